/* fcgi/keys.c - JWT_SECRET, JWKS_FILE and API_KEYS, and the tokens that they were found to have
 * signed. */
#include "fcgi/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"

enum { TOKENS_REMEMBERED = 4096, JWKS_MAX_BYTES = 1 << 20 };

struct api_key {
    char *text;
    size_t len;
    const char *role;
};

struct mrs_keys {
    struct df_jwt_keys *jwt;
    struct api_key *api_keys;
    size_t api_key_count;
    struct df_token_cache *tokens; /* of these keys: a withdrawn key takes its tokens along */
};

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

static bool role_of(const char *name, size_t len, const char **out)
{
    static const struct {
        const char *name;
        const char *role;
    } roles[] = {{"anon", "anon"},
                 {"publishable", "anon"},
                 {"service_role", "service_role"},
                 {"secret", "service_role"}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strlen(roles[i].name) == len && memcmp(roles[i].name, name, len) == 0) {
            *out = roles[i].role;
            return true;
        }
    }
    return false;
}

static enum df_code add_api_keys(struct mrs_keys *keys, const char *list, struct df_error *err)
{
    size_t count = 1;
    for (const char *c = list; *c != '\0'; c++)
        count += *c == ',';
    keys->api_keys = calloc(count, sizeof *keys->api_keys);
    if (keys->api_keys == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        const char *equals = memchr(item, '=', (size_t)(end - item));
        struct api_key *key = &keys->api_keys[keys->api_key_count];
        if (equals == NULL || equals - item < 8 ||
            !role_of(equals + 1, (size_t)(end - equals - 1), &key->role))
            return df_error_set(err, DF_EINPUT,
                                "API_KEYS: entry %zu is not key=anon or key=service_role, with a "
                                "key of 8 characters or more",
                                keys->api_key_count + 1);
        key->len = (size_t)(equals - item);
        key->text = strndup(item, key->len);
        if (key->text == NULL)
            return df_error_set(err, DF_ENOMEM, "out of memory");
        keys->api_key_count++;
        item = *end == ',' ? end + 1 : NULL;
    }
    return DF_OK;
}

enum df_code mrs_keys_new(struct mrs_keys **out, const struct mrs_key_settings *settings,
                          struct df_error *err)
{
    char *jwks = NULL;
    size_t jwks_len = 0;
    enum df_code rc = DF_OK;

    *out = NULL;
    struct mrs_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    if (settings->jwks_file != NULL)
        rc = read_file(settings->jwks_file, &jwks, &jwks_len, err);
    if (rc == DF_OK)
        rc = df_jwt_keys_new(&keys->jwt, settings->jwt_secret, jwks, jwks_len, err);
    if (rc == DF_OK && settings->api_keys != NULL)
        rc = add_api_keys(keys, settings->api_keys, err);
    if (rc == DF_OK)
        rc = df_token_cache_new(&keys->tokens, TOKENS_REMEMBERED, err);
    free(jwks);
    if (rc != DF_OK) {
        mrs_keys_free(keys);
        keys = NULL;
    }
    *out = keys;
    return rc;
}

void mrs_keys_free(struct mrs_keys *keys)
{
    if (keys == NULL)
        return;
    df_jwt_keys_free(keys->jwt);
    for (size_t i = 0; i < keys->api_key_count; i++) {
        explicit_bzero(keys->api_keys[i].text, keys->api_keys[i].len);
        free(keys->api_keys[i].text);
    }
    free(keys->api_keys);
    df_token_cache_free(keys->tokens);
    free(keys);
}

/* Compares with every key in full, so that the time taken tells nothing about how much matched. */
const char *mrs_keys_find(const struct mrs_keys *keys, const char *text, size_t len)
{
    const char *role = NULL;
    for (size_t i = 0; i < keys->api_key_count; i++) {
        const struct api_key *key = &keys->api_keys[i];
        unsigned char diff = key->len != len;
        for (size_t k = 0; k < key->len; k++)
            diff |= (unsigned char)(key->text[k] ^ text[k < len ? k : 0]);
        if (diff == 0)
            role = key->role;
    }
    return role;
}

bool mrs_key_is_new_style(const char *text, size_t len)
{
    return len > 3 && memcmp(text, "sb_", 3) == 0;
}

enum df_jwt_result mrs_keys_verify(struct mrs_keys *keys, const char *token, size_t len,
                                   int64_t leeway_s, struct df_claims *claims, bool *was_known)
{
    int64_t now_s = df_clock_wall_ms() / 1000;
    *was_known = df_token_cache_find(keys->tokens, token, len, now_s, leeway_s, claims);
    if (*was_known)
        return DF_JWT_OK;
    enum df_jwt_result result = df_jwt_verify(keys->jwt, token, len, now_s, leeway_s, claims);
    if (result == DF_JWT_OK)
        df_token_cache_store(keys->tokens, token, len, claims);
    return result;
}
