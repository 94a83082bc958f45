/* realtime/map.h - a hash map from bytes to pointers. Keys are copied, values belong to the caller.
 * The hash is seeded, because clients choose names. One thread. */
#ifndef REALTIME_MAP_H
#define REALTIME_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rt_map_entry;

struct rt_map { /* all zero: empty */
    struct rt_map_entry **bucket;
    size_t bucket_count, count;
    uint64_t seed;
};

void *rt_map_get(const struct rt_map *map, const void *key, size_t key_len); /* NULL: not there */
/* Puts a value that is not NULL; one that is there is replaced. False: no memory, nothing changed. */
bool rt_map_put(struct rt_map *map, const void *key, size_t key_len, void *value);
void *rt_map_take(struct rt_map *map, const void *key, size_t key_len); /* removed; NULL: not there */

/* Goes through all values: *cursor starts as {0}; NULL at the end. Nothing may be put meanwhile, and only
 * the value just returned may be taken. */
struct rt_map_cursor {
    size_t bucket;
    struct rt_map_entry *next;
};
void *rt_map_next(const struct rt_map *map, struct rt_map_cursor *cursor);

void rt_map_release(struct rt_map *map); /* the values are the caller's */

#endif
