/* shared/error.h - what went wrong, from the socket to the HTTP reply. */
#ifndef SHARED_ERROR_H
#define SHARED_ERROR_H

#define DF_MUST_USE __attribute__((warn_unused_result))

/* clang-format off */
enum df_code {
    DF_OK = 0,
    DF_EINPUT, DF_EAUTH, DF_EDENIED,        /* 400 wrong data, 401 who are you, 403 not allowed */
    DF_ENOTFOUND, DF_EMETHOD, DF_ECONFLICT, /* 404, 405, 409 same id with other content */
    DF_ETOOBIG, DF_EBUSY, DF_EPAYMENT,      /* 413 size limit, 429 rate or queue, 402 no credit */
    DF_EUPSTREAM, DF_ETIMEOUT,              /* 502 model or Chromium, 504 */
    DF_EUNAVAILABLE, DF_ENOMEM,             /* 503 database away or full, 503 */
    DF_EBUG,                                /* 500 our mistake; clients never see its message */
};
/* clang-format on */

struct df_error {
    enum df_code code;
    char sqlstate[6]; /* "" unless Postgres said no */
    char msg[200];    /* one printable line, no secrets */
};

/* Stores code and message in *err and returns code, so that reporting is one line.
 * err may be NULL. Control bytes of the formatted text become '?', because it may quote hostile
 * input; text over 199 bytes is cut. Any thread; never fails. */
enum df_code df_error_set(struct df_error *err, enum df_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " in front of the message that is there. Returns err->code, or DF_EBUG when
 * err is NULL. */
enum df_code df_error_wrap(struct df_error *err, const char *context);

/* The HTTP status that a client sees for a code: the one table for all programs. */
int df_error_http_status(enum df_code code);

/* The stable machine-readable name of a code, e.g. "INVALID_INPUT"; sent as sb-error-code. */
const char *df_error_name(enum df_code code);

#endif
