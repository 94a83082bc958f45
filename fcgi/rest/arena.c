/* fcgi/rest/arena.c - blocks that are handed out piece by piece. */
#include "fcgi/rest/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 8192, ALIGNMENT = alignof(max_align_t) };

struct rst_block {
    struct rst_block *next;
    size_t used, size;
    _Alignas(max_align_t) char bytes[];
};

void *rst_alloc(struct rst_arena *arena, size_t size)
{
    if (size > (size_t)1 << 30)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct rst_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        if (arena->max_bytes > 0 && arena->used_bytes + room > arena->max_bytes)
            return NULL;
        block = calloc(1, sizeof *block + room);
        if (block == NULL)
            return NULL;
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used_bytes += room;
    }
    void *piece = block->bytes + block->used;
    block->used += size;
    return piece;
}

char *rst_copy(struct rst_arena *arena, const char *text, size_t len)
{
    char *copy = rst_alloc(arena, len + 1);
    if (copy != NULL && len > 0)
        memcpy(copy, text, len);
    return copy;
}

void rst_arena_release(struct rst_arena *arena)
{
    while (arena->blocks != NULL) {
        struct rst_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->used_bytes = 0;
}
