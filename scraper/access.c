/* scraper/access.c - keys are compared in full and in constant time, tokens are verified once and
 * remembered. */
#include "scraper/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/jwt.h"

enum { TOKENS_REMEMBERED = 256, JWKS_MAX_BYTES = 1 << 20 };

struct key {
    char *text;
    size_t len;
    bool is_service; /* else anon: known, but it opens nothing here */
};

struct scr_access {
    bool is_off;
    struct df_jwt_keys *jwt;
    struct df_token_cache *tokens;
    struct key *keys;
    size_t key_count;
};

/* --- building -------------------------------------------------------------------------------- */

static enum df_code read_jwks(const char *path, char **out, size_t *out_len, struct df_error *err)
{
    *out = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return df_error_set(err, DF_EINPUT, "JWKS_FILE %s: %s", path, strerror(errno));
    char *text = malloc(JWKS_MAX_BYTES);
    if (text == NULL) {
        (void)fclose(file);
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
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

static enum df_code add_key(struct scr_access *access, const char *text, size_t len,
                            bool is_service, struct df_error *err)
{
    struct key *key = &access->keys[access->key_count];

    key->text = strndup(text, len);
    if (key->text == NULL)
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
    key->len = len;
    key->is_service = is_service;
    access->key_count++;
    return DF_OK;
}

static bool word_is(const char *word, size_t len, const char *want)
{
    return strlen(want) == len && memcmp(want, word, len) == 0;
}

static enum df_code add_list(struct scr_access *access, const char *list, struct df_error *err)
{
    size_t entry = 0;

    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        const char *equals = memrchr(item, '=', (size_t)(end - item));
        const char *role = equals == NULL ? end : equals + 1;
        size_t role_len = (size_t)(end - role);
        bool is_service =
            word_is(role, role_len, "service_role") || word_is(role, role_len, "secret");
        entry++;
        if (equals == NULL || equals - item < 8 ||
            (!is_service && !word_is(role, role_len, "anon") &&
             !word_is(role, role_len, "publishable")))
            return df_error_set(err, DF_EINPUT,
                                "API_KEYS: entry %zu is not key=service_role or key=anon, with a "
                                "key of 8 characters or more",
                                entry);
        enum df_code rc = add_key(access, item, (size_t)(equals - item), is_service, err);
        if (rc != DF_OK)
            return rc;
        item = *end == ',' ? end + 1 : NULL;
    }
    return DF_OK;
}

static enum df_code add_keys(struct scr_access *access, const struct scr_config *config,
                             struct df_error *err)
{
    size_t count = 2;
    enum df_code rc = DF_OK;

    for (const char *c = config->api_keys; c != NULL && *c != '\0'; c++)
        count += *c == ',';
    access->keys = calloc(count, sizeof *access->keys);
    if (access->keys == NULL)
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
    if (config->service_key != NULL)
        rc = add_key(access, config->service_key, strlen(config->service_key), true, err);
    if (rc == DF_OK && config->api_keys != NULL)
        rc = add_list(access, config->api_keys, err);
    return rc;
}

enum df_code scr_access_new(struct scr_access **out, const struct scr_config *config,
                            struct df_error *err)
{
    char *jwks = NULL;
    size_t jwks_len = 0;
    enum df_code rc = DF_OK;

    *out = NULL;
    struct scr_access *access = calloc(1, sizeof *access);
    if (access == NULL)
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
    access->is_off = config->api_auth == SCR_AUTH_OFF;
    if (config->jwks_file != NULL)
        rc = read_jwks(config->jwks_file, &jwks, &jwks_len, err);
    if (rc == DF_OK)
        rc = df_jwt_keys_new(&access->jwt, config->jwt_secret, jwks, jwks_len, err);
    if (rc == DF_OK)
        rc = df_token_cache_new(&access->tokens, TOKENS_REMEMBERED, err);
    if (rc == DF_OK)
        rc = add_keys(access, config, err);
    free(jwks);
    if (rc != DF_OK) {
        scr_access_free(access);
        return rc;
    }
    *out = access;
    return DF_OK;
}

void scr_access_free(struct scr_access *access)
{
    if (access == NULL)
        return;
    for (size_t i = 0; i < access->key_count; i++) {
        explicit_bzero(access->keys[i].text, access->keys[i].len);
        free(access->keys[i].text);
    }
    free(access->keys);
    df_jwt_keys_free(access->jwt);
    df_token_cache_free(access->tokens);
    free(access);
}

/* --- judging --------------------------------------------------------------------------------- */

/* Compares with every key in full, so that the time taken tells nothing about how much matched. */
static const struct key *find_key(const struct scr_access *access, const char *text, size_t len)
{
    const struct key *found = NULL;

    for (size_t i = 0; i < access->key_count; i++) {
        const struct key *key = &access->keys[i];
        unsigned char diff = key->len != len;
        for (size_t k = 0; k < key->len; k++)
            diff |= (unsigned char)(key->text[k] ^ text[k < len ? k : 0]);
        if (diff == 0)
            found = key;
    }
    return found;
}

static enum df_code refuse_anon(struct df_error *err)
{
    return df_error_set(err, DF_EAUTH,
                        "this token opens nothing here: use a signed-in user's token or the "
                        "service key");
}

static enum df_code check_jwt(struct scr_access *access, const char *token, size_t token_len,
                              struct df_claims *claims, struct df_error *err)
{
    int64_t now_s = df_clock_wall_ms() / 1000;
    char message[100];

    if (df_token_cache_find(access->tokens, token, token_len, now_s, 0, claims))
        return DF_OK;
    enum df_jwt_result result = df_jwt_verify(access->jwt, token, token_len, now_s, 0, claims);
    if (result != DF_JWT_OK) {
        df_jwt_refusal_message(message, sizeof message, result, claims);
        return df_error_set(err, DF_EAUTH, "%s: wrong key, expired, or not a token", message);
    }
    df_token_cache_store(access->tokens, token, token_len, claims);
    return DF_OK;
}

enum df_code scr_access_check(struct scr_access *access, const char *token, size_t token_len,
                              struct scr_caller *caller, struct df_error *err)
{
    struct df_claims claims = {0};

    memset(caller, 0, sizeof *caller);
    caller->expires_at_s = INT64_MAX;
    if (access->is_off) {
        caller->kind = SCR_CALLER_SERVICE;
        return DF_OK;
    }
    if (token == NULL || token_len == 0)
        return df_error_set(err, DF_EAUTH, "a token is missing");
    const struct key *key = find_key(access, token, token_len);
    if (key != NULL) {
        caller->kind = key->is_service ? SCR_CALLER_SERVICE : SCR_CALLER_NOBODY;
        return key->is_service ? DF_OK : refuse_anon(err);
    }
    enum df_code rc = check_jwt(access, token, token_len, &claims, err);
    if (rc != DF_OK)
        return rc;
    caller->expires_at_s = claims.expires_at_s;
    if (strcmp(claims.role, "service_role") == 0) {
        caller->kind = SCR_CALLER_SERVICE;
        return DF_OK;
    }
    if (strcmp(claims.role, "anon") == 0 || claims.sub[0] == '\0')
        return refuse_anon(err);
    caller->kind = SCR_CALLER_USER;
    caller->token = token;
    (void)snprintf(caller->sub, sizeof caller->sub, "%s", claims.sub);
    return DF_OK;
}
