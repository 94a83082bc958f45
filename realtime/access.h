/* realtime/access.h - tokens and keys of this gateway: who a connection or channel acts as. Loop
 * thread. Texts of refusals are those of Supabase Realtime. */
#ifndef REALTIME_ACCESS_H
#define REALTIME_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "realtime/config.h"
#include "shared/error.h"

struct rt_access;

struct rt_claims {
    char role[64];
    char sub[128];
    int64_t expires_at_s; /* INT64_MAX for keys of API_KEYS */
    char *json;           /* heap: the claims as JSON text, what request.jwt.claims is set to; canonical
                             (sorted keys, iat/exp/jti and the like removed) so that equal people share
                             one claim set */
};

enum df_code rt_access_new(struct rt_access **out, const struct rt_config *config,
                           struct df_error *err) DF_MUST_USE;
void rt_access_free(struct rt_access *access);

/* True: *claims is filled (rt_claims_release). False: reason holds e.g. "MalformedJWT: The token
 * provided is not a valid JWT"; rt_access_http_text gives the words of a refused upgrade. */
bool rt_access_check(struct rt_access *access, const char *token, size_t token_len, int64_t now_s,
                     struct rt_claims *claims, char *reason, size_t reason_size);
const char *rt_access_http_text(const char *reason); /* the part after the code */
void rt_claims_release(struct rt_claims *claims);

#endif
