/* fcgi/rest/arena.h - memory of one request, freed all at once. One owner, no locking. */
#ifndef FCGI_REST_ARENA_H
#define FCGI_REST_ARENA_H

#include <stddef.h>

struct rst_block;

struct rst_arena { /* zeroed storage is an empty one without a limit */
    struct rst_block *blocks;
    size_t used_bytes;
    size_t max_bytes; /* 0: none */
};

/* Zeroed bytes, aligned for anything; NULL when memory or the limit is used up. */
void *rst_alloc(struct rst_arena *arena, size_t size);
/* A NUL-terminated copy. */
char *rst_copy(struct rst_arena *arena, const char *text, size_t len);
void rst_arena_release(struct rst_arena *arena); /* and ready for use again */

#endif
