/* fcgi/rest/body.h - the JSON of an insert or update: which columns it names. The values stay text;
 * Postgres reads them. Pure. */
#ifndef FCGI_REST_BODY_H
#define FCGI_REST_BODY_H

#include <stdbool.h>
#include <stddef.h>

#include "fcgi/rest/arena.h"
#include "fcgi/rest/error.h"
#include "fcgi/rest/query.h"

struct rst_body {
    const char *text; /* borrowed from the caller, who keeps it; NUL-terminated */
    bool is_array;
    size_t row_count;      /* 1 for an object */
    struct rst_name *keys; /* of the first object, each once */
};

/* Checks one JSON object, or an array of objects. any_keys: they need not have the same keys (the
 * request names its columns). False: *err (PGRST102). text[len] must be NUL. */
bool rst_body_read(struct rst_body *out, const char *text, size_t len, const char *content_type,
                   bool any_keys, struct rst_arena *arena, struct rst_error *err);

#endif
