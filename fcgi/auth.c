/* fcgi/auth.c - the gateway's part of the contract: Authorization, apikey, ANON_WRITES, limits. */
#include "fcgi/auth.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/keys.h"
#include "fcgi/metrics.h"
#include "shared/clock.h"
#include "shared/ratelimit.h"

enum { BUCKETS = 16384 };

/* Survives reloads, so that nobody gets a fresh burst; the last mrs_auth that refers to it frees
 * it. */
struct shared_buckets {
    _Atomic int users;
    struct df_ratelimit *limit;
};

struct mrs_auth {
    struct mrs_keys *keys;
    bool must_verify, anon_may_write;
    int64_t leeway_s;
    double user_per_s, anon_per_s, burst_factor;
    struct shared_buckets *buckets;
};

/* --- building -------------------------------------------------------------------------------- */

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
    const struct mrs_key_settings settings = {.jwt_secret = config->jwt_secret,
                                              .jwks_file = config->jwks_file,
                                              .api_keys = config->api_keys};

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
    enum df_code rc = mrs_keys_new(&auth->keys, &settings, err);
    if (rc == DF_OK)
        rc = share_buckets(auth, old, err);
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
    mrs_keys_free(auth->keys);
    if (auth->buckets != NULL && atomic_fetch_sub(&auth->buckets->users, 1) == 1) {
        df_ratelimit_free(auth->buckets->limit);
        free(auth->buckets);
    }
    free(auth);
}

/* --- checking -------------------------------------------------------------------------------- */

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
    bool was_known;
    enum df_jwt_result result =
        mrs_keys_verify(auth->keys, token, len, auth->leeway_s, claims, &was_known);
    if (result == DF_JWT_OK)
        mrs_count(was_known ? MRS_COUNT_TOKENS_CACHED : MRS_COUNT_TOKENS_VERIFIED, 1);
    return result;
}

static enum df_jwt_result check_api_key(const struct mrs_auth *auth, const char *text, size_t len,
                                        struct mrs_caller *caller)
{
    const char *role = mrs_keys_find(auth->keys, text, len);
    if (role == NULL)
        return DF_JWT_BAD_FORMAT;
    caller->role = strcmp(role, "service_role") == 0 ? MRS_SERVICE : MRS_ANON;
    return DF_JWT_OK;
}

static enum df_jwt_result identify(struct mrs_auth *auth, const struct mrs_io *io,
                                   struct mrs_caller *caller, struct df_claims *claims)
{
    const char *token;
    size_t token_len;
    const char *apikey = io->param(io->ctx, "HTTP_APIKEY");
    enum df_jwt_result result =
        df_jwt_from_header(io->param(io->ctx, "HTTP_AUTHORIZATION"), &token, &token_len);

    if (result == DF_JWT_NO_HEADER && apikey != NULL &&
        mrs_key_is_new_style(apikey, strlen(apikey)))
        return check_api_key(auth, apikey, strlen(apikey), caller);
    if (result != DF_JWT_OK)
        return result;
    if (mrs_key_is_new_style(token, token_len))
        return check_api_key(auth, token, token_len, caller);
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
