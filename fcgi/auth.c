/* fcgi/auth.c - the gateway's part of the contract: Authorization, apikey, ANON_WRITES, limits. */
#include "fcgi/auth.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/metrics.h"
#include "shared/clock.h"
#include "shared/ratelimit.h"

enum { TOKENS_REMEMBERED = 4096, BUCKETS = 16384, JWKS_MAX_BYTES = 1 << 20 };

struct api_key {
    char *text;
    size_t len;
    enum mrs_role role;
};

/* Survives reloads, so that nobody gets a fresh burst; the last mrs_auth that refers to it frees
 * it. */
struct shared_buckets {
    _Atomic int users;
    struct df_ratelimit *limit;
};

struct mrs_auth {
    struct df_jwt_keys *keys;
    struct api_key *api_keys;
    size_t api_key_count;
    bool must_verify, anon_may_write;
    int64_t leeway_s;
    double user_per_s, anon_per_s, burst_factor;
    struct df_token_cache *tokens; /* of these keys: a withdrawn key takes its tokens along */
    struct shared_buckets *buckets;
};

/* --- building -------------------------------------------------------------------------------- */

static enum df_code read_file(const char *path, char **out, size_t *out_len, struct df_error *err)
{
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return df_error_set(err, DF_EINPUT, "JWKS_FILE %s: %s", path, strerror(errno));
    char *text = malloc(JWKS_MAX_BYTES);
    if (text == NULL) {
        (void)fclose(file);
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    *out_len = fread(text, 1, JWKS_MAX_BYTES, file);
    bool failed = ferror(file) != 0 || *out_len == JWKS_MAX_BYTES;
    (void)fclose(file);
    if (failed) {
        free(text);
        return df_error_set(err, DF_EINPUT, "JWKS_FILE %s: unreadable or over 1 MiB", path);
    }
    *out = text;
    return DF_OK;
}

static bool role_of(const char *name, size_t len, enum mrs_role *out)
{
    static const struct {
        const char *name;
        enum mrs_role role;
    } roles[] = {{"anon", MRS_ANON},
                 {"publishable", MRS_ANON},
                 {"service_role", MRS_SERVICE},
                 {"secret", MRS_SERVICE}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strlen(roles[i].name) == len && memcmp(roles[i].name, name, len) == 0) {
            *out = roles[i].role;
            return true;
        }
    }
    return false;
}

static enum df_code add_api_keys(struct mrs_auth *auth, const char *list, struct df_error *err)
{
    size_t count = 1;
    for (const char *c = list; *c != '\0'; c++)
        count += *c == ',';
    auth->api_keys = calloc(count, sizeof *auth->api_keys);
    if (auth->api_keys == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        const char *equals = memchr(item, '=', (size_t)(end - item));
        struct api_key *key = &auth->api_keys[auth->api_key_count];
        if (equals == NULL || equals - item < 8 ||
            !role_of(equals + 1, (size_t)(end - equals - 1), &key->role))
            return df_error_set(err, DF_EINPUT,
                                "API_KEYS: entry %zu is not key=anon or key=service_role, with a "
                                "key of 8 characters or more",
                                auth->api_key_count + 1);
        key->len = (size_t)(equals - item);
        key->text = strndup(item, key->len);
        if (key->text == NULL)
            return df_error_set(err, DF_ENOMEM, "out of memory");
        auth->api_key_count++;
        item = *end == ',' ? end + 1 : NULL;
    }
    return DF_OK;
}

static enum df_code share_buckets(struct mrs_auth *auth, struct mrs_auth *old, struct df_error *err)
{
    if (old != NULL) {
        auth->buckets = old->buckets;
        atomic_fetch_add(&auth->buckets->users, 1);
        return DF_OK;
    }
    auth->buckets = calloc(1, sizeof *auth->buckets);
    if (auth->buckets == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    atomic_store(&auth->buckets->users, 1);
    return df_ratelimit_new(&auth->buckets->limit, BUCKETS, err);
}

enum df_code mrs_auth_new(struct mrs_auth **out, const struct mrs_config *config,
                          struct mrs_auth *old, struct df_error *err)
{
    char *jwks = NULL;
    size_t jwks_len = 0;
    enum df_code rc = DF_OK;

    *out = NULL;
    struct mrs_auth *auth = calloc(1, sizeof *auth);
    if (auth == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    auth->must_verify = config->jwt_verify == MRS_ON;
    auth->anon_may_write = config->anon_writes == MRS_ALLOW;
    auth->leeway_s = config->jwt_leeway_s;
    auth->user_per_s = config->rate_user_per_s;
    auth->anon_per_s = config->rate_anon_per_s;
    auth->burst_factor = config->rate_burst_factor;
    if (config->jwks_file != NULL)
        rc = read_file(config->jwks_file, &jwks, &jwks_len, err);
    if (rc == DF_OK)
        rc = df_jwt_keys_new(&auth->keys, config->jwt_secret, jwks, jwks_len, err);
    if (rc == DF_OK && config->api_keys != NULL)
        rc = add_api_keys(auth, config->api_keys, err);
    if (rc == DF_OK)
        rc = df_token_cache_new(&auth->tokens, TOKENS_REMEMBERED, err);
    if (rc == DF_OK)
        rc = share_buckets(auth, old, err);
    free(jwks);
    if (rc != DF_OK) {
        mrs_auth_free(auth);
        auth = NULL;
    }
    *out = auth;
    return rc;
}

void mrs_auth_free(struct mrs_auth *auth)
{
    if (auth == NULL)
        return;
    df_jwt_keys_free(auth->keys);
    for (size_t i = 0; i < auth->api_key_count; i++) {
        explicit_bzero(auth->api_keys[i].text, auth->api_keys[i].len);
        free(auth->api_keys[i].text);
    }
    free(auth->api_keys);
    df_token_cache_free(auth->tokens);
    if (auth->buckets != NULL && atomic_fetch_sub(&auth->buckets->users, 1) == 1) {
        df_ratelimit_free(auth->buckets->limit);
        free(auth->buckets);
    }
    free(auth);
}

/* --- checking -------------------------------------------------------------------------------- */

/* Compares with every key in full, so that the time taken tells nothing about how much matched. */
static bool find_api_key(const struct mrs_auth *auth, const char *text, size_t len,
                         enum mrs_role *role)
{
    bool found = false;
    for (size_t i = 0; i < auth->api_key_count; i++) {
        const struct api_key *key = &auth->api_keys[i];
        unsigned char diff = key->len != len;
        for (size_t k = 0; k < key->len; k++)
            diff |= (unsigned char)(key->text[k] ^ text[k < len ? k : 0]);
        if (diff == 0) {
            *role = key->role;
            found = true;
        }
    }
    return found;
}

static bool is_new_style(const char *text, size_t len)
{
    return len > 3 && memcmp(text, "sb_", 3) == 0;
}

static void caller_from_claims(const struct df_claims *claims, struct mrs_caller *caller)
{
    if (strcmp(claims->role, "service_role") == 0) {
        caller->role = MRS_SERVICE;
    } else if (strcmp(claims->role, "anon") == 0 || claims->sub[0] == '\0') {
        caller->role = MRS_ANON;
    } else {
        caller->role = MRS_USER;
        caller->has_user = df_uuid_parse(&caller->user, claims->sub, strlen(claims->sub));
    }
}

static enum df_jwt_result check_token(struct mrs_auth *auth, const char *token, size_t len,
                                      struct df_claims *claims)
{
    int64_t now_s = df_clock_wall_ms() / 1000;
    if (df_token_cache_find(auth->tokens, token, len, now_s, auth->leeway_s, claims)) {
        mrs_count(MRS_COUNT_TOKENS_CACHED, 1);
        return DF_JWT_OK;
    }
    enum df_jwt_result result =
        df_jwt_verify(auth->keys, token, len, now_s, auth->leeway_s, claims);
    if (result == DF_JWT_OK) {
        mrs_count(MRS_COUNT_TOKENS_VERIFIED, 1);
        df_token_cache_store(auth->tokens, token, len, claims);
    }
    return result;
}

static enum df_jwt_result identify(struct mrs_auth *auth, const struct mrs_io *io,
                                   struct mrs_caller *caller, struct df_claims *claims)
{
    const char *token;
    size_t token_len;
    const char *apikey = io->param(io->ctx, "HTTP_APIKEY");
    enum df_jwt_result result =
        df_jwt_from_header(io->param(io->ctx, "HTTP_AUTHORIZATION"), &token, &token_len);

    if (result == DF_JWT_NO_HEADER && apikey != NULL && is_new_style(apikey, strlen(apikey)))
        return find_api_key(auth, apikey, strlen(apikey), &caller->role) ? DF_JWT_OK
                                                                         : DF_JWT_BAD_FORMAT;
    if (result != DF_JWT_OK)
        return result;
    if (is_new_style(token, token_len))
        return find_api_key(auth, token, token_len, &caller->role) ? DF_JWT_OK : DF_JWT_BAD_FORMAT;
    result = check_token(auth, token, token_len, claims);
    if (result == DF_JWT_OK)
        caller_from_claims(claims, caller);
    return result;
}

static bool within_limit(struct mrs_auth *auth, const struct mrs_io *io,
                         const struct mrs_caller *caller, struct mrs_refusal *refusal)
{
    const char *address = io->param(io->ctx, "REMOTE_ADDR");
    const void *key = address == NULL ? "" : address;
    size_t key_len = strlen(key);
    double per_s = auth->anon_per_s;
    int64_t wait_ms = 0;

    if (caller->role == MRS_SERVICE)
        return true;
    if (caller->has_user) {
        key = caller->user.bytes;
        key_len = sizeof caller->user.bytes;
        per_s = auth->user_per_s;
    }
    if (per_s <= 0 || df_ratelimit_take(auth->buckets->limit, key, key_len, per_s,
                                        per_s * auth->burst_factor, df_clock_mono_ms(), &wait_ms))
        return true;
    mrs_count(MRS_COUNT_RATE_LIMITED, 1);
    *refusal = (struct mrs_refusal){.http_status = 429, .code = "RATE_LIMITED"};
    refusal->retry_after_s = (wait_ms + 999) / 1000;
    (void)snprintf(refusal->message, sizeof refusal->message,
                   "Rate limit exceeded: try again in %lld s", (long long)refusal->retry_after_s);
    return false;
}

bool mrs_auth_check(struct mrs_auth *auth, const struct mrs_io *io, struct mrs_caller *caller,
                    struct mrs_refusal *refusal)
{
    struct df_claims claims = {0};

    *caller = (struct mrs_caller){.role = MRS_ANON};
    enum df_jwt_result result = identify(auth, io, caller, &claims);
    if (result != DF_JWT_OK) {
        *caller = (struct mrs_caller){.role = MRS_ANON};
        if (auth->must_verify) {
            mrs_count(MRS_COUNT_TOKENS_REFUSED, 1);
            *refusal = (struct mrs_refusal){
                .http_status = 401, .reason = result, .code = df_jwt_refusal_code(result)};
            df_jwt_refusal_message(refusal->message, sizeof refusal->message, result, &claims);
            return false;
        }
    }
    if (!within_limit(auth, io, caller, refusal))
        return false;
    if (caller->role == MRS_ANON && !auth->anon_may_write) {
        *refusal = (struct mrs_refusal){.http_status = 403, .code = "FORBIDDEN"};
        (void)snprintf(refusal->message, sizeof refusal->message,
                       "The anon key may not post messages here: use a user's token or the "
                       "service key");
        return false;
    }
    return true;
}
