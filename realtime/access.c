/* realtime/access.c - keys are compared in full and in constant time; a token's signature is
 * checked once and remembered, its claims are read each time. */
#include "realtime/access.h"

#include <errno.h>
#include <jansson.h>
#include <jose/b64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/json.h"
#include "shared/jwt.h"

enum { TOKENS_REMEMBERED = 4096, JWKS_MAX_BYTES = 1 << 20, TOKEN_MAX_BYTES = 8192 };

/* Signatures are judged apart from times, because the answer tells which of them is wrong. */
#define ANY_TIME_S ((int64_t)1 << 61)

#define MALFORMED "MalformedJWT: The token provided is not a valid JWT"
#define EXPIRED   "InvalidJWTToken: Token has expired"

struct key {
    char *text;
    size_t len;
    const char *role;
};

struct rt_access {
    struct df_jwt_keys *jwt;
    struct df_token_cache *tokens;
    struct key *keys;
    size_t key_count;
};

/* --- building -----------------------------------------------------------------------------------
 */

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

/* The setting is shared with the function, and so are the words it takes. */
static const char *role_of(const char *word, size_t len)
{
    static const struct {
        const char *word, *role;
    } roles[] = {{"anon", "anon"},
                 {"publishable", "anon"},
                 {"service_role", "service_role"},
                 {"secret", "service_role"}};

    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strlen(roles[i].word) == len && memcmp(roles[i].word, word, len) == 0)
            return roles[i].role;
    return NULL;
}

static enum df_code add_keys(struct rt_access *access, const char *list, struct df_error *err)
{
    size_t count = 1;

    for (const char *c = list; *c != '\0'; c++)
        count += *c == ',';
    access->keys = calloc(count, sizeof *access->keys);
    if (access->keys == NULL)
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        const char *equals = memrchr(item, '=', (size_t)(end - item));
        struct key *key = &access->keys[access->key_count];
        if (equals != NULL && equals - item >= 8)
            key->role = role_of(equals + 1, (size_t)(end - equals - 1));
        if (key->role == NULL)
            return df_error_set(err, DF_EINPUT,
                                "API_KEYS: entry %zu is not key=anon or key=service_role, with a "
                                "key of 8 characters or more",
                                access->key_count + 1);
        key->len = (size_t)(equals - item);
        key->text = strndup(item, key->len);
        if (key->text == NULL)
            return df_error_set(err, DF_ENOMEM, "access: out of memory");
        access->key_count++;
        item = *end == ',' ? end + 1 : NULL;
    }
    return DF_OK;
}

enum df_code rt_access_new(struct rt_access **out, const struct rt_config *config,
                           struct df_error *err)
{
    char *jwks = NULL;
    size_t jwks_len = 0;
    enum df_code rc = DF_OK;

    *out = NULL;
    struct rt_access *access = calloc(1, sizeof *access);
    if (access == NULL)
        return df_error_set(err, DF_ENOMEM, "access: out of memory");
    if (config->jwks_file != NULL)
        rc = read_jwks(config->jwks_file, &jwks, &jwks_len, err);
    if (rc == DF_OK)
        rc = df_jwt_keys_new(&access->jwt, config->jwt_secret, jwks, jwks_len, err);
    if (rc == DF_OK)
        rc = df_token_cache_new(&access->tokens, TOKENS_REMEMBERED, err);
    if (rc == DF_OK && config->api_keys != NULL)
        rc = add_keys(access, config->api_keys, err);
    free(jwks);
    if (rc != DF_OK) {
        rt_access_free(access);
        return rc;
    }
    *out = access;
    return DF_OK;
}

void rt_access_free(struct rt_access *access)
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

/* --- judging ------------------------------------------------------------------------------------
 */

static bool refuse(char *reason, size_t reason_size, const char *text)
{
    (void)snprintf(reason, reason_size, "%s", text);
    return false;
}

/* Compares with every key in full, so that the time taken tells nothing about how much matched. */
static const struct key *find_key(const struct rt_access *access, const char *text, size_t len)
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

/* Clients copy tokens with line breaks in them; Supabase takes them. */
static size_t strip(char *out, const char *token, size_t token_len)
{
    size_t len = 0;

    for (size_t i = 0; i < token_len; i++)
        if (strchr(" \t\r\n\v\f", token[i]) == NULL || token[i] == '\0')
            out[len++] = token[i];
    out[len] = '\0';
    return len;
}

/* The payload of a token whose signature is good. Duplicate names: the last wins, as in jwt.c. */
static json_t *read_payload(const char *token, size_t token_len)
{
    char text[TOKEN_MAX_BYTES / 4 * 3 + 3];
    json_t *payload = NULL;
    const char *begin = memchr(token, '.', token_len);
    const char *end = begin == NULL ? NULL : strchr(begin + 1, '.');

    if (end == NULL)
        return NULL;
    size_t len = jose_b64_dec_buf(begin + 1, (size_t)(end - begin - 1), text, sizeof text);
    if (len == SIZE_MAX || df_json_parse(&payload, text, len, sizeof text, NULL) != DF_OK)
        return NULL;
    explicit_bzero(text, sizeof text);
    return payload;
}

static bool check_signature(struct rt_access *access, const char *token, size_t len,
                            struct df_claims *claims, char *reason, size_t reason_size)
{
    if (df_token_cache_find(access->tokens, token, len, 0, ANY_TIME_S, claims))
        return true;
    switch (df_jwt_verify(access->jwt, token, len, 0, ANY_TIME_S, claims)) {
    case DF_JWT_OK:
        df_token_cache_store(access->tokens, token, len, claims);
        return true;
    case DF_JWT_BAD_LEGACY:
    case DF_JWT_BAD_ASYMMETRIC:
        return refuse(reason, reason_size, "JwtSignatureError: Failed to validate JWT signature");
    case DF_JWT_BAD_ALGORITHM:
        (void)snprintf(reason, reason_size,
                       "JwtSignerError: Failed to generate JWT signer: unsupported algorithm %s",
                       claims->algorithm);
        return false;
    default:
        return refuse(reason, reason_size, MALFORMED);
    }
}

static bool check_times(const struct df_claims *claims, int64_t now_s, char *reason,
                        size_t reason_size)
{
    if (claims->expires_at_s < now_s) {
        (void)snprintf(reason, reason_size, EXPIRED " %lld seconds ago",
                       (long long)(now_s - claims->expires_at_s));
        return false;
    }
    if (claims->expires_at_s == now_s)
        return refuse(reason, reason_size, EXPIRED " 0 seconds ago");
    if (claims->starts_at_s > now_s)
        return refuse(reason, reason_size, "InvalidJWTToken: Token is not valid yet");
    return true;
}

static bool take_claims(struct rt_claims *out, const struct df_claims *claims, json_t *payload,
                        char *reason, size_t reason_size)
{
    static const char *const noise[] = {"exp", "iat", "nbf", "jti"};

    for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++)
        (void)json_object_del(payload, noise[i]);
    out->json = json_dumps(payload, JSON_COMPACT | JSON_SORT_KEYS);
    if (out->json == NULL)
        return refuse(reason, reason_size, "UnknownError: out of memory");
    memcpy(out->role, claims->role, sizeof out->role);
    memcpy(out->sub, claims->sub, sizeof out->sub);
    out->expires_at_s = claims->expires_at_s;
    return true;
}

static bool check_jwt(struct rt_access *access, const char *token, size_t len, int64_t now_s,
                      struct rt_claims *out, char *reason, size_t reason_size)
{
    struct df_claims claims;

    if (!check_signature(access, token, len, &claims, reason, reason_size))
        return false;
    json_t *payload = read_payload(token, len);
    bool ok = false;
    if (payload == NULL)
        (void)refuse(reason, reason_size, MALFORMED);
    else if (claims.role[0] == '\0' || json_object_get(payload, "exp") == NULL)
        (void)refuse(reason, reason_size,
                     "InvalidJWTToken: Fields `role` and `exp` are required in JWT");
    else
        ok = check_times(&claims, now_s, reason, reason_size) &&
             take_claims(out, &claims, payload, reason, reason_size);
    json_decref(payload);
    return ok;
}

static bool take_key(struct rt_claims *out, const struct key *key, char *reason, size_t reason_size)
{
    out->expires_at_s = INT64_MAX;
    (void)snprintf(out->role, sizeof out->role, "%s", key->role);
    if (asprintf(&out->json, "{\"role\":\"%s\"}", key->role) >= 0)
        return true;
    out->json = NULL;
    return refuse(reason, reason_size, "UnknownError: out of memory");
}

bool rt_access_check(struct rt_access *access, const char *token, size_t token_len, int64_t now_s,
                     struct rt_claims *claims, char *reason, size_t reason_size)
{
    char text[TOKEN_MAX_BYTES + 1];

    memset(claims, 0, sizeof *claims);
    if (token_len >= sizeof text)
        return refuse(reason, reason_size, MALFORMED);
    size_t len = strip(text, token, token_len);
    const struct key *key = find_key(access, text, len);
    bool ok = key != NULL ? take_key(claims, key, reason, reason_size)
                          : check_jwt(access, text, len, now_s, claims, reason, reason_size);
    explicit_bzero(text, len);
    return ok;
}

const char *rt_access_http_text(const char *reason)
{
    const char *colon = strstr(reason, ": ");

    if (strncmp(reason, EXPIRED, sizeof EXPIRED - 1) == 0)
        return "Token has expired";
    return colon == NULL ? reason : colon + 2;
}

void rt_claims_release(struct rt_claims *claims)
{
    free(claims->json);
    memset(claims, 0, sizeof *claims);
}
