/* shared/jwt.h - who is calling: JSON Web Tokens (RFC 7519) as Supabase issues them. Pure: no file
 * access, the time is passed in. Answers follow section 2.2 of the edge contract. */
#ifndef SHARED_JWT_H
#define SHARED_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

/* What the public answer has to say about a token; df_jwt_refusal_* give code and message. */
enum df_jwt_result {
    DF_JWT_OK = 0,
    DF_JWT_NO_HEADER,     /* UNAUTHORIZED_NO_AUTH_HEADER */
    DF_JWT_BAD_HEADER,    /* UNAUTHORIZED_INVALID_JWT_FORMAT, "Auth header is not 'Bearer {token}'" */
    DF_JWT_BAD_FORMAT,    /* UNAUTHORIZED_INVALID_JWT_FORMAT, "Invalid JWT" */
    DF_JWT_BAD_LEGACY,    /* UNAUTHORIZED_LEGACY_JWT: HS256 signature, exp, nbf */
    DF_JWT_BAD_ASYMMETRIC,/* UNAUTHORIZED_ASYMMETRIC_JWT: ES256, RS256 */
    DF_JWT_BAD_ALGORITHM, /* UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM, "Unsupported JWT algorithm X" */
};

struct df_claims {
    char role[64];        /* "" when the token has none */
    char sub[128];        /* "" when the token has none */
    int64_t expires_at_s; /* Unix time; INT64_MAX when the token has no exp */
    int64_t starts_at_s;  /* nbf, or INT64_MIN */
    char algorithm[16];   /* set for DF_JWT_BAD_ALGORITHM too: printable, "undefined" when missing */
};

struct df_jwt_keys; /* immutable after _new, so any number of threads may verify with it */

/* secret (may be NULL) verifies HS256; jwk_set (may be NULL) is the text of a JWK set with EC P-256,
 * RSA or oct keys; keys of other kinds are ignored. On DF_OK the caller owns *out.
 * DF_EINPUT: the set is no JWK set, or a usable key in it is broken; DF_ENOMEM. */
enum df_code df_jwt_keys_new(struct df_jwt_keys **out, const char *secret, const char *jwk_set,
                             size_t jwk_set_len, struct df_error *err) DF_MUST_USE;
void df_jwt_keys_free(struct df_jwt_keys *keys); /* wipes the secret; NULL is fine */

/* Splits an Authorization header. On DF_JWT_OK *token is borrowed from header. Only "Bearer", one
 * space, one word is accepted. header NULL or empty: DF_JWT_NO_HEADER. */
enum df_jwt_result df_jwt_from_header(const char *header, const char **token, size_t *token_len);

/* Verifies a token: three base64url parts, alg HS256, ES256 or RS256 (nothing else, "none" least of
 * all), the key chosen by kid or the single key of the kind, exp strictly later than now - leeway,
 * nbf not later than now + leeway; iat, role and aud are not judged. A key is only ever used with
 * its own algorithm. Constant-time comparison of signatures.
 * On DF_JWT_OK *claims is filled; otherwise only claims->algorithm has a meaning. Any thread. */
enum df_jwt_result df_jwt_verify(const struct df_jwt_keys *keys, const char *token,
                                 size_t token_len, int64_t now_s, int64_t leeway_s,
                                 struct df_claims *claims);

/* "UNAUTHORIZED_..." for the sb-error-code header and body; the message goes to out. */
const char *df_jwt_refusal_code(enum df_jwt_result result);
void df_jwt_refusal_message(char *out, size_t out_size, enum df_jwt_result result,
                            const struct df_claims *claims);

/* --- verified tokens, remembered until they expire ------------------------------------------- */

struct df_token_cache; /* thread-safe; holds SHA-256 digests, never a token */

/* At most `capacity` tokens. The caller owns *out. DF_ENOMEM. */
enum df_code df_token_cache_new(struct df_token_cache **out, size_t capacity,
                                struct df_error *err) DF_MUST_USE;
void df_token_cache_free(struct df_token_cache *cache);
/* True and *claims filled when the token was stored and is still valid at now_s. */
bool df_token_cache_find(struct df_token_cache *cache, const char *token, size_t token_len,
                         int64_t now_s, int64_t leeway_s, struct df_claims *claims);
void df_token_cache_store(struct df_token_cache *cache, const char *token, size_t token_len,
                          const struct df_claims *claims);
/* Forgets everything: after keys changed. */
void df_token_cache_clear(struct df_token_cache *cache);

#endif
