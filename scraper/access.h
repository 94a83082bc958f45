/* scraper/access.h - who is calling, and what may they see. Service keys (SUPABASE_SERVICE_ROLE_KEY,
 * API_KEYS with role service_role, a JWT whose role is service_role) may do everything; a user's JWT
 * only what belongs to that user. Loop thread. */
#ifndef SCRAPER_ACCESS_H
#define SCRAPER_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/config.h"
#include "shared/error.h"

enum scr_caller_kind {
    SCR_CALLER_NOBODY,
    SCR_CALLER_USER,
    SCR_CALLER_SERVICE,
};

struct scr_caller {
    enum scr_caller_kind kind;
    char sub[128];     /* USER: the token's subject */
    const char *token; /* USER: borrowed from _check, to ask for ownership with; NUL-terminated */
    int64_t expires_at_s; /* INT64_MAX: never */
};

struct scr_access;

/* Reads JWKS_FILE; builds keys. The caller owns *out. DF_EINPUT names the setting. */
enum df_code scr_access_new(struct scr_access **out, const struct scr_config *config,
                            struct df_error *err) DF_MUST_USE;
void scr_access_free(struct scr_access *access);

/* Judges a NUL-terminated token (may be NULL or ""). With API_AUTH=off everybody is SERVICE. Otherwise DF_EAUTH with a
 * message that says what is wrong with it (missing, expired, bad signature, role). */
enum df_code scr_access_check(struct scr_access *access, const char *token, size_t token_len,
                              struct scr_caller *caller, struct df_error *err);

#endif
