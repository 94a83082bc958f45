/* fcgi/keys.h - the keys that callers are known by: the secret or public keys of tokens, and API
 * keys (sb_publishable_..., sb_secret_...). Immutable once made, but for the tokens it remembers.
 */
#ifndef FCGI_KEYS_H
#define FCGI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/jwt.h"

struct mrs_keys;

struct mrs_key_settings { /* each may be NULL */
    const char *jwt_secret, *jwks_file, *api_keys;
};

/* Reads jwks_file. The caller owns *out. DF_EINPUT names the setting at fault; DF_ENOMEM. */
enum df_code mrs_keys_new(struct mrs_keys **out, const struct mrs_key_settings *settings,
                          struct df_error *err) DF_MUST_USE;
void mrs_keys_free(struct mrs_keys *keys); /* wipes them; NULL is fine */

/* The role of an API key, "anon" or "service_role"; NULL when there is no such key. Takes the same
 * time however much of a key matches. Any thread. */
const char *mrs_keys_find(const struct mrs_keys *keys, const char *text, size_t len);
bool mrs_key_is_new_style(const char *text, size_t len); /* sb_... */

/* df_jwt_verify at this moment, remembering what was good. *was_known: no signature was computed.
 * Any thread. */
enum df_jwt_result mrs_keys_verify(struct mrs_keys *keys, const char *token, size_t len,
                                   int64_t leeway_s, struct df_claims *claims, bool *was_known);

#endif
