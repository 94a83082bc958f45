/* fcgi/rest/caller.h - who is calling: a token or an API key, and what Postgres is told about it.
 */
#ifndef FCGI_REST_CALLER_H
#define FCGI_REST_CALLER_H

#include "fcgi/io.h"
#include "fcgi/keys.h"
#include "fcgi/rest/arena.h"
#include "fcgi/rest/error.h"

struct rst_caller {
    const char *role;   /* to become in Postgres */
    const char *claims; /* JSON object for request.jwt.claims */
    bool is_anon;
};

/* The Authorization header decides; without one the apikey header, or apikey= in the query string.
 * Both are checked where both are sent. What is kept lives in the arena. False: *err is 401, either
 * as the hosted gateway says it (code "": only message and hint are sent) or as PostgREST does
 * (PGRST301, PGRST303). Any thread. */
bool rst_caller_find(struct rst_caller *out, struct mrs_keys *keys, const struct mrs_io *io,
                     int64_t leeway_s, struct rst_arena *arena, struct rst_error *err);

#endif
