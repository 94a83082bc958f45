/* fcgi/rest/caller.c - tokens and keys into role and claims. */
#include "fcgi/rest/caller.h"

#include <jansson.h>
#include <jose/b64.h>
#include <string.h>

#include "fcgi/rest/query.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { CLAIMS_MAX_BYTES = 8192 };

static bool no_key(struct rst_error *err)
{
    (void)rst_fail(err, 401, "", "No API key found in request");
    return rst_hint(err, "No `apikey` request header or url param was found.");
}

static bool bad_key(struct rst_error *err)
{
    (void)rst_fail(err, 401, "", "Invalid API key");
    return rst_hint(err, "Double check your Supabase `anon` or `service_role` API key.");
}

static int count_parts(const char *token, size_t len)
{
    int parts = 1;
    for (size_t i = 0; i < len; i++)
        parts += token[i] == '.';
    return parts;
}

/* Why a token was refused, in PostgREST's words. */
static bool bad_token(struct mrs_keys *keys, const char *token, size_t len,
                      enum df_jwt_result reason, struct rst_error *err)
{
    struct df_claims claims;
    bool was_known;
    int64_t now_s = df_clock_wall_ms() / 1000;

    if (reason == DF_JWT_BAD_FORMAT && count_parts(token, len) != 3)
        return rst_fail(err, 401, "PGRST301", "Expected 3 parts in JWT; got %d",
                        count_parts(token, len));
    if (reason == DF_JWT_BAD_FORMAT)
        return rst_fail(err, 401, "PGRST301", "JWT could not be decoded");
    if (reason == DF_JWT_BAD_ALGORITHM)
        return rst_fail(err, 401, "PGRST301", "Wrong or unsupported encoding algorithm");
    /* Good at some time? Then its signature is right. */
    if (mrs_keys_verify(keys, token, len, now_s, &claims, &was_known) == DF_JWT_OK)
        return rst_fail(err, 401, "PGRST303",
                        claims.expires_at_s <= now_s ? "JWT expired" : "JWT not yet valid");
    (void)rst_fail(err, 401, "PGRST301", "No suitable key or wrong key type");
    return rst_details(err, "None of the keys was able to decode the JWT");
}

/* The payload as one line of JSON; its signature is good. */
static const char *read_claims(const char *token, size_t len, struct rst_arena *arena)
{
    char text[CLAIMS_MAX_BYTES];
    json_t *payload = NULL;
    const char *begin = memchr(token, '.', len);
    const char *end =
        begin == NULL ? NULL : memchr(begin + 1, '.', len - (size_t)(begin + 1 - token));
    if (end == NULL)
        return NULL;
    size_t text_len = jose_b64_dec_buf(begin + 1, (size_t)(end - begin - 1), text, sizeof text);
    if (text_len == SIZE_MAX || text_len > sizeof text ||
        df_json_parse(&payload, text, text_len, sizeof text, NULL) != DF_OK)
        return NULL;
    size_t size = json_dumpb(payload, NULL, 0, JSON_COMPACT);
    char *claims = size == 0 ? NULL : rst_alloc(arena, size + 1);
    if (claims != NULL)
        (void)json_dumpb(payload, claims, size, JSON_COMPACT);
    json_decref(payload);
    return claims;
}

static bool use_token(struct rst_caller *out, struct mrs_keys *keys, const char *token, size_t len,
                      int64_t leeway_s, struct rst_arena *arena, struct rst_error *err)
{
    struct df_claims claims;
    bool was_known;

    enum df_jwt_result result = mrs_keys_verify(keys, token, len, leeway_s, &claims, &was_known);
    if (result != DF_JWT_OK)
        return bad_token(keys, token, len, result, err);
    out->claims = read_claims(token, len, arena);
    const char *role = claims.role[0] == '\0' ? "anon" : claims.role;
    out->role = rst_copy(arena, role, strlen(role));
    if (out->claims == NULL || out->role == NULL)
        return rst_fail(err, 401, "PGRST301", "JWT could not be decoded");
    /* "none" would mean the user who is connected. */
    if (strcmp(out->role, "none") == 0)
        return rst_fail(err, 401, "22023", "role \"none\" does not exist");
    out->is_anon = strcmp(out->role, "anon") == 0;
    return true;
}

static bool use_api_key(struct rst_caller *out, const char *role)
{
    bool is_service = strcmp(role, "service_role") == 0;
    *out = (struct rst_caller){.role = role,
                               .claims = is_service ? "{\"role\":\"service_role\"}"
                                                    : "{\"role\":\"anon\"}",
                               .is_anon = !is_service};
    return true;
}

/* apikey=... of the query string, or NULL. */
static const char *key_in_query(const char *query, struct rst_arena *arena, struct rst_error *err)
{
    static const char name[] = "apikey=";

    for (const char *at = query; at != NULL && *at != '\0'; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, name, sizeof name - 1) == 0) {
            at += sizeof name - 1;
            return rst_url_decode(at, strcspn(at, "&"), arena, err);
        }
    }
    return NULL;
}

bool rst_caller_find(struct rst_caller *out, struct mrs_keys *keys, const struct mrs_io *io,
                     int64_t leeway_s, struct rst_arena *arena, struct rst_error *err)
{
    const char *token, *role;
    size_t token_len;
    const char *apikey = io->param(io->ctx, "HTTP_APIKEY");
    const char *query = io->param(io->ctx, "QUERY_STRING");

    if ((apikey == NULL || *apikey == '\0') && query != NULL)
        apikey = key_in_query(query, arena, err);
    size_t apikey_len = apikey == NULL ? 0 : strlen(apikey);
    bool has_key = apikey_len > 0;
    enum df_jwt_result header =
        df_jwt_from_header(io->param(io->ctx, "HTTP_AUTHORIZATION"), &token, &token_len);
    if (header == DF_JWT_NO_HEADER && !has_key)
        return no_key(err);
    if (has_key && mrs_key_is_new_style(apikey, apikey_len)) {
        role = mrs_keys_find(keys, apikey, apikey_len);
        if (role == NULL)
            return bad_key(err);
        if (header == DF_JWT_NO_HEADER)
            return use_api_key(out, role);
    } else if (has_key && header == DF_JWT_NO_HEADER) {
        return use_token(out, keys, apikey, apikey_len, leeway_s, arena, err);
    } else if (has_key && (token_len != apikey_len || memcmp(token, apikey, token_len) != 0)) {
        /* Beside a token the key only opens the door; the token says who it is. */
        struct rst_caller ignored;
        if (header == DF_JWT_OK &&
            !use_token(&ignored, keys, apikey, apikey_len, leeway_s, arena, err))
            return bad_key(err);
    }
    if (header != DF_JWT_OK)
        return rst_fail(err, 401, "PGRST301", "The Authorization header is not 'Bearer <token>'");
    if (mrs_key_is_new_style(token, token_len)) {
        role = mrs_keys_find(keys, token, token_len);
        return role == NULL ? bad_key(err) : use_api_key(out, role);
    }
    return use_token(out, keys, token, token_len, leeway_s, arena, err);
}
