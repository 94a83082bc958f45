/* shared/jwt.c - JSON Web Tokens: which key, which algorithm, which times. libjose computes. */
#include "shared/jwt.h"

#include "shared/json.h"

#include <jansson.h>
#include <jose/b64.h>
#include <jose/cfg.h>
#include <jose/jws.h>
#include <jose/openssl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All threads verify with the same JWKs; libjose only reads them, and counts references. */
#if !JSON_HAVE_ATOMIC_BUILTINS && !JSON_HAVE_SYNC_BUILTINS
#error "jansson without atomic reference counts: keys could not be shared by threads"
#endif

#define TOKEN_MAX_BYTES   8192 /* a request header line cannot be longer in nginx */
#define JWK_SET_MAX_BYTES (1024 * 1024)
#define SECRET_MIN_BYTES  32   /* RFC 7518 section 3.2; libjose refuses shorter ones */
#define SECRET_MAX_BYTES  1024 /* libjose's limit */
#define RSA_MIN_BITS      2048 /* RFC 7518 section 3.3, likewise */

enum alg { HS256, ES256, RS256, ALG_COUNT };

static const struct {
    const char *name, *kty;
    const char *members[3]; /* what of a JWK is needed to verify */
} algs[ALG_COUNT] = {
    [HS256] = {"HS256", "oct", {"k"}},
    [ES256] = {"ES256", "EC", {"crv", "x", "y"}},
    [RS256] = {"RS256", "RSA", {"n", "e"}},
};

struct key {
    enum alg alg;
    bool is_secret;  /* JWT_SECRET: the HS256 key of tokens whose kid no other key has */
    json_t *jwk;     /* owned; only needed members, and alg, so that libjose insists on it */
    const char *kid; /* borrowed from jwk; NULL when it has none */
};

struct df_jwt_keys {
    size_t count;
    struct key list[];
};

/* libjose would print to stderr otherwise. */
static void ignore_report(void *misc, const char *file, int line, uint64_t code, const char *fmt,
                          va_list ap)
{
    (void)misc, (void)file, (void)line, (void)code, (void)fmt, (void)ap;
}

/* One per call: a libjose configuration counts its references without atomics. */
static jose_cfg_t *quiet_cfg(void)
{
    jose_cfg_t *cfg = jose_cfg();

    if (cfg != NULL)
        jose_cfg_set_err_func(cfg, ignore_report, NULL);
    return cfg;
}

/* --- keys --- */

static void wipe_secret(json_t *jwk)
{
    json_t *k = json_object_get(jwk, "k");

    /* jansson hands out its own memory as const; it is about to be freed */
    if (json_is_string(k))
        explicit_bzero((char *)json_string_value(k), json_string_length(k));
}

static const char *string_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name)); /* NULL unless it is a string */
}

/* True when the set's publisher lets the key verify signatures, RFC 7517 sections 4.2 to 4.4. */
static bool may_verify(const json_t *jwk, enum alg alg)
{
    const char *use = string_of(jwk, "use"), *name = string_of(jwk, "alg");
    const json_t *ops = json_object_get(jwk, "key_ops");

    if ((use != NULL && strcmp(use, "sig") != 0) ||
        (name != NULL && strcmp(name, algs[alg].name) != 0))
        return false;
    if (ops == NULL)
        return true;
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));
        if (op != NULL && strcmp(op, "verify") == 0)
            return true;
    }
    return false;
}

/* True when the JWK is of a kind we use; *alg is its only algorithm then. */
static bool kind_of(const json_t *jwk, enum alg *alg)
{
    const char *kty = string_of(jwk, "kty"), *crv = string_of(jwk, "crv");

    for (int i = 0; kty != NULL && i < ALG_COUNT; i++) {
        if (strcmp(kty, algs[i].kty) != 0)
            continue;
        *alg = (enum alg)i;
        return (i != ES256 || (crv != NULL && strcmp(crv, "P-256") == 0)) && may_verify(jwk, *alg);
    }
    return false;
}

static bool is_sound(const json_t *jwk, enum alg alg)
{
    if (alg == HS256) {
        size_t len = jose_b64_dec(json_object_get(jwk, "k"), NULL, 0);
        return len != SIZE_MAX && len >= SECRET_MIN_BYTES && len <= SECRET_MAX_BYTES;
    }
    jose_cfg_t *cfg = quiet_cfg();
    EVP_PKEY *pkey = cfg != NULL ? jose_openssl_jwk_to_EVP_PKEY(cfg, jwk) : NULL;
    bool sound = pkey != NULL && (alg != RS256 || EVP_PKEY_get_bits(pkey) >= RSA_MIN_BITS);
    EVP_PKEY_free(pkey);
    if (cfg != NULL)
        jose_cfg_decref(cfg);
    return sound;
}

/* Copies what is needed of a foreign JWK: private halves stay out. */
static enum df_code add_key(struct df_jwt_keys *keys, const json_t *from, enum alg alg,
                            struct df_error *err)
{
    struct key *key = &keys->list[keys->count];
    json_t *kid = json_object_get(from, "kid");
    bool ok;

    *key = (struct key){.alg = alg, .jwk = json_object()};
    if (key->jwk == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    keys->count++;
    ok = json_object_set_new(key->jwk, "kty", json_string(algs[alg].kty)) == 0 &&
         json_object_set_new(key->jwk, "alg", json_string(algs[alg].name)) == 0;
    for (size_t i = 0; i < 3 && algs[alg].members[i] != NULL && ok; i++) {
        const char *text = string_of(from, algs[alg].members[i]);
        if (text == NULL)
            return df_error_set(err, DF_EINPUT, "JWK set: a key of type %s lacks \"%s\"",
                                algs[alg].kty, algs[alg].members[i]);
        ok = json_object_set_new(key->jwk, algs[alg].members[i], json_string(text)) == 0;
    }
    if (ok && json_is_string(kid)) {
        ok = json_object_set_new(key->jwk, "kid", json_string(json_string_value(kid))) == 0;
        key->kid = string_of(key->jwk, "kid");
    }
    if (!ok)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    if (!is_sound(key->jwk, alg))
        return df_error_set(err, DF_EINPUT, "JWK set: a key of type %s is broken or too short",
                            algs[alg].kty);
    return DF_OK;
}

static enum df_code add_secret(struct df_jwt_keys *keys, const char *secret, struct df_error *err)
{
    size_t len = strlen(secret);

    if (len < SECRET_MIN_BYTES || len > SECRET_MAX_BYTES)
        return df_error_set(err, DF_EINPUT, "JWT secret: must have %d to %d bytes, has %zu",
                            SECRET_MIN_BYTES, SECRET_MAX_BYTES, len);
    json_t *jwk = json_pack("{s:o}", "k", jose_b64_enc(secret, len));
    if (jwk == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    enum df_code rc = add_key(keys, jwk, HS256, err);
    if (rc == DF_OK)
        keys->list[keys->count - 1].is_secret = true;
    wipe_secret(jwk);
    json_decref(jwk);
    return rc;
}

enum df_code df_jwt_keys_new(struct df_jwt_keys **out, const char *secret, const char *jwk_set,
                             size_t jwk_set_len, struct df_error *err)
{
    struct df_jwt_keys *keys = NULL;
    json_t *root = NULL, *set = NULL;
    enum df_code rc = DF_OK;

    *out = NULL;
    if (jwk_set != NULL)
        rc = df_json_parse(&root, jwk_set, jwk_set_len, JWK_SET_MAX_BYTES, err);
    if (rc != DF_OK) {
        (void)df_error_wrap(err, "JWK set");
        goto out;
    }
    set = json_object_get(root, "keys");
    if (jwk_set != NULL && !json_is_array(set)) {
        rc = df_error_set(err, DF_EINPUT, "JWK set: must be an object with an array \"keys\"");
        goto out;
    }
    keys = calloc(1, sizeof *keys + (json_array_size(set) + 1) * sizeof keys->list[0]);
    if (keys == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
        goto out;
    }
    if (secret != NULL && secret[0] != '\0')
        rc = add_secret(keys, secret, err);
    for (size_t i = 0; i < json_array_size(set) && rc == DF_OK; i++) {
        const json_t *jwk = json_array_get(set, i);
        enum alg alg;
        if (kind_of(jwk, &alg))
            rc = add_key(keys, jwk, alg, err);
    }
    if (rc == DF_OK) {
        *out = keys;
        keys = NULL;
    }
out:
    df_jwt_keys_free(keys);
    for (size_t i = 0; i < json_array_size(set); i++)
        wipe_secret(json_array_get(set, i));
    json_decref(root);
    return rc == DF_ETOOBIG ? DF_EINPUT : rc;
}

void df_jwt_keys_free(struct df_jwt_keys *keys)
{
    if (keys == NULL)
        return;
    for (size_t i = 0; i < keys->count; i++) {
        wipe_secret(keys->list[i].jwk);
        json_decref(keys->list[i].jwk);
    }
    free(keys);
}

/* The key with the token's kid; of a token without one, the only key of the algorithm. */
static const struct key *choose_key(const struct df_jwt_keys *keys, enum alg alg, const char *kid)
{
    const struct key *found = NULL, *secret = NULL;
    size_t candidates = 0;

    for (size_t i = 0; i < keys->count; i++) {
        const struct key *key = &keys->list[i];
        if (key->alg != alg)
            continue;
        if (key->is_secret) {
            secret = key;
        } else if (kid == NULL || (key->kid != NULL && strcmp(key->kid, kid) == 0)) {
            found = key;
            candidates++;
        }
    }
    /* JWT_SECRET has no kid of its own, yet auth servers put one into the tokens they sign with it.
     */
    if (secret != NULL && (kid == NULL || candidates == 0))
        return secret;
    return candidates == 1 ? found : NULL;
}

/* --- the header --- */

enum df_jwt_result df_jwt_from_header(const char *header, const char **token, size_t *token_len)
{
    static const char scheme[] = "Bearer ";

    *token = NULL;
    *token_len = 0;
    if (header == NULL || header[0] == '\0')
        return DF_JWT_NO_HEADER;
    if (strncmp(header, scheme, sizeof scheme - 1) != 0)
        return DF_JWT_BAD_HEADER;
    const char *word = header + sizeof scheme - 1;
    size_t len = 0;
    for (; word[len] != '\0'; len++) {
        if ((unsigned char)word[len] <= ' ' || word[len] == 0x7f)
            return DF_JWT_BAD_HEADER;
    }
    if (len == 0)
        return DF_JWT_BAD_HEADER;
    *token = word;
    *token_len = len;
    return DF_JWT_OK;
}

/* --- verification --- */

struct part {
    const char *text;
    size_t len;
};

/* Cuts header, payload and signature out of the token. */
static bool split(struct part parts[3], const char *token, size_t token_len)
{
    size_t n = 0;

    if (token_len > TOKEN_MAX_BYTES)
        return false;
    parts[0] = (struct part){token, 0};
    for (size_t i = 0; i < token_len; i++) {
        char c = token[i];
        if (c == '.') {
            if (++n == 3)
                return false;
            parts[n] = (struct part){token + i + 1, 0};
            continue;
        }
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
        parts[n].len++;
    }
    return n == 2 && parts[0].len % 4 != 1 && parts[1].len % 4 != 1 && parts[2].len % 4 != 1;
}

/* The JSON object of a part, or NULL. */
static json_t *decode_object(struct part part)
{
    char text[TOKEN_MAX_BYTES / 4 * 3 + 3];
    json_t *object = NULL;
    size_t len = jose_b64_dec_buf(part.text, part.len, text, sizeof text);

    if (len == SIZE_MAX || df_json_parse(&object, text, len, sizeof text, NULL) != DF_OK)
        return NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static void copy_printable(char *out, size_t out_size, const char *text)
{
    size_t i = 0;

    for (; text[i] != '\0' && i + 1 < out_size; i++)
        out[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    out[i] = '\0';
}

static bool is_signed_by(const struct key *key, const struct part parts[3])
{
    jose_cfg_t *cfg = quiet_cfg();
    json_t *jws = json_pack("{s:s%,s:s%,s:s%}", "protected", parts[0].text, parts[0].len, "payload",
                            parts[1].text, parts[1].len, "signature", parts[2].text, parts[2].len);
    bool ok = cfg != NULL && jws != NULL && jose_jws_ver(cfg, jws, NULL, key->jwk, false);

    json_decref(jws);
    if (cfg != NULL)
        jose_cfg_decref(cfg);
    return ok;
}

/* A time claim, rounded up: for whole seconds of `now` that changes neither "exp > now" nor
 * "nbf <= now". False when it is there and no number. */
static bool read_time(int64_t *out, const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);

    if (value == NULL)
        return true; /* *out keeps what stands for "none" */
    if (!json_is_number(value))
        return false;
    double seconds = ceil(json_number_value(value));
    if (seconds >= 9e18)
        *out = INT64_MAX;
    else if (seconds <= -9e18)
        *out = INT64_MIN;
    else
        *out = (int64_t)seconds;
    return true;
}

/* A text claim. False when it does not fit: cut, it could name another role or another user. */
static bool read_text(char *out, size_t out_size, const json_t *claims, const char *name)
{
    const json_t *value = json_object_get(claims, name);

    out[0] = '\0';
    if (!json_is_string(value))
        return true;
    if (json_string_length(value) >= out_size)
        return false;
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool read_claims(struct df_claims *claims, struct part payload, int64_t now_s,
                        int64_t leeway_s)
{
    json_t *object = decode_object(payload);
    bool ok = object != NULL && read_time(&claims->expires_at_s, object, "exp") &&
              read_time(&claims->starts_at_s, object, "nbf") &&
              read_text(claims->role, sizeof claims->role, object, "role") &&
              read_text(claims->sub, sizeof claims->sub, object, "sub");

    json_decref(object);
    return ok && claims->expires_at_s > now_s - leeway_s && claims->starts_at_s <= now_s + leeway_s;
}

enum df_jwt_result df_jwt_verify(const struct df_jwt_keys *keys, const char *token,
                                 size_t token_len, int64_t now_s, int64_t leeway_s,
                                 struct df_claims *claims)
{
    struct part parts[3];
    json_t *header = NULL;

    *claims = (struct df_claims){.expires_at_s = INT64_MAX, .starts_at_s = INT64_MIN};
    if (split(parts, token, token_len))
        header = decode_object(parts[0]);
    if (header == NULL)
        return DF_JWT_BAD_FORMAT;

    const char *name = string_of(header, "alg");
    enum df_jwt_result result = DF_JWT_BAD_ALGORITHM;
    enum alg alg = ALG_COUNT;
    copy_printable(claims->algorithm, sizeof claims->algorithm, name != NULL ? name : "undefined");
    for (int i = 0; name != NULL && i < ALG_COUNT; i++) {
        if (strcmp(name, algs[i].name) == 0)
            alg = (enum alg)i;
    }
    if (alg != ALG_COUNT) {
        result = alg == HS256 ? DF_JWT_BAD_LEGACY : DF_JWT_BAD_ASYMMETRIC;
        const json_t *kid = json_object_get(header, "kid");
        const struct key *key = choose_key(keys, alg, json_string_value(kid));
        /* RFC 7515 section 4.1.11: an extension that is critical and not understood ends it */
        if (key != NULL && json_object_get(header, "crit") == NULL && is_signed_by(key, parts) &&
            read_claims(claims, parts[1], now_s, leeway_s))
            result = DF_JWT_OK;
    }
    json_decref(header);
    return result;
}

/* --- what the caller is told --- */

const char *df_jwt_refusal_code(enum df_jwt_result result)
{
    switch (result) {
    case DF_JWT_OK:
        break;
    case DF_JWT_NO_HEADER:
        return "UNAUTHORIZED_NO_AUTH_HEADER";
    case DF_JWT_BAD_HEADER:
    case DF_JWT_BAD_FORMAT:
        return "UNAUTHORIZED_INVALID_JWT_FORMAT";
    case DF_JWT_BAD_LEGACY:
        return "UNAUTHORIZED_LEGACY_JWT";
    case DF_JWT_BAD_ASYMMETRIC:
        return "UNAUTHORIZED_ASYMMETRIC_JWT";
    case DF_JWT_BAD_ALGORITHM:
        return "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM";
    }
    return "";
}

void df_jwt_refusal_message(char *out, size_t out_size, enum df_jwt_result result,
                            const struct df_claims *claims)
{
    const char *text = "Invalid JWT";

    if (result == DF_JWT_NO_HEADER)
        text = "Missing authorization header";
    else if (result == DF_JWT_BAD_HEADER)
        text = "Auth header is not 'Bearer {token}'";
    if (result == DF_JWT_BAD_ALGORITHM)
        (void)snprintf(out, out_size, "Unsupported JWT algorithm %s", claims->algorithm);
    else
        (void)snprintf(out, out_size, "%s", text);
}
