/* fcgi/rest/head.h - what the request line and the headers ask for. Pure. */
#ifndef FCGI_REST_HEAD_H
#define FCGI_REST_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/io.h"
#include "fcgi/rest/arena.h"
#include "fcgi/rest/error.h"

/* clang-format off */
enum rst_method { RST_GET, RST_HEAD, RST_POST, RST_PATCH, RST_DELETE };
enum rst_return { RST_RETURN_MINIMAL, RST_RETURN_HEADERS, RST_RETURN_ROWS };
enum rst_resolution { RST_NO_RESOLUTION, RST_MERGE, RST_IGNORE };
/* clang-format on */

struct rst_head {
    enum rst_method method;
    const char *table;
    /* Accept */
    bool wants_object; /* application/vnd.pgrst.object+json: exactly one row */
    bool strips_nulls;
    /* Prefer */
    bool has_return, has_missing, is_strict;
    enum rst_return returns;
    enum rst_resolution resolution;
    bool counts;             /* count=exact, planned or estimated */
    const char *count_word;  /* which of them was said */
    bool missing_is_default; /* missing=default */
    int64_t max_affected;    /* -1: any */
    /* Range */
    int64_t range_first, range_last; /* first -1: no header; last INT64_MAX: open */
};

/* Reads REQUEST_METHOD, the path below /rest/v1/ and the headers. What is kept lives in the arena.
 * False: *err says what PostgREST would. OPTIONS is not for this function. */
bool rst_head_read(struct rst_head *out, const struct mrs_io *io, const char *schema,
                   struct rst_arena *arena, struct rst_error *err);

/* The value of Preference-Applied, "" for none; out_size 160 is enough. */
void rst_head_applied(const struct rst_head *head, char *out, size_t out_size);

#endif
