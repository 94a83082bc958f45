/* fcgi/auth.h - who is calling, and how often: tokens, keys, rate limits. */
#ifndef FCGI_AUTH_H
#define FCGI_AUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/config.h"
#include "fcgi/io.h"
#include "shared/error.h"
#include "shared/jwt.h"
#include "shared/uuid.h"

enum mrs_role { MRS_ANON, MRS_USER, MRS_SERVICE };

struct mrs_caller {
    enum mrs_role role;
    bool has_user; /* MRS_USER with a sub that is a UUID */
    struct df_uuid user;
};

struct mrs_refusal {
    int http_status;           /* 401 (hosted body), 403, 429 */
    enum df_jwt_result reason; /* 401 only */
    const char *code;
    char message[128];
    int64_t retry_after_s; /* 429 only */
};

struct mrs_auth; /* keys are immutable; remembered tokens and buckets have their own locks */

/* Builds keys from the settings; reads JWKS_FILE. Rate buckets are taken over from `old` when given
 * (a reload), remembered tokens are not. The caller owns *out; `old` stays valid until the caller
 * frees it. DF_EINPUT names the setting at fault. */
enum df_code mrs_auth_new(struct mrs_auth **out, const struct mrs_config *config,
                          struct mrs_auth *old, struct df_error *err) DF_MUST_USE;
void mrs_auth_free(struct mrs_auth *auth); /* NULL is fine */

/* Decides who calls. True: *caller is filled. False: *refusal says what to answer.
 * Any thread. Source: edge contract section 2.2. */
bool mrs_auth_check(struct mrs_auth *auth, const struct mrs_io *io, struct mrs_caller *caller,
                    struct mrs_refusal *refusal);

#endif
