/* fcgi/rest/error.h - errors as PostgREST tells them: {"code","details","hint","message"}.
 * Source: https://docs.postgrest.org/en/v13/references/errors.html */
#ifndef FCGI_REST_ERROR_H
#define FCGI_REST_ERROR_H

#include <stdbool.h>

#include "shared/buf.h"

struct rst_error {
    int status;        /* HTTP */
    char code[16];     /* PGRST..., or a SQLSTATE */
    char message[512]; /* cut at that length */
    char details[1024];
    char hint[512];
    bool has_details, has_hint; /* else JSON null */
};

/* Fills *err, without details and hint, and returns false, so that a failure is one line. The text
 * may quote hostile bytes: they are escaped when it is printed. */
bool rst_fail(struct rst_error *err, int status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds to an error that is set; returns false as well. */
bool rst_details(struct rst_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool rst_hint(struct rst_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool rst_no_memory(struct rst_error *err);

/* The HTTP status for an error of Postgres. is_anon: the caller has no role of its own. */
int rst_status_of(const char *sqlstate, const char *message, bool is_anon);

/* Appends the JSON object. */
void rst_error_print(const struct rst_error *err, struct df_buf *out);

#endif
