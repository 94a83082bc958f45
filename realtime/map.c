/* realtime/map.c - chained buckets, doubled as they fill. */
#include "realtime/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_BUCKETS = 16 };

struct rt_map_entry {
    struct rt_map_entry *next;
    void *value;
    uint64_t hash;
    size_t key_len;
    unsigned char key[];
};

/* Multiplies by a secret odd number, so that nobody can prepare names that collide. */
static uint64_t hash_of(const struct rt_map *map, const void *key, size_t key_len)
{
    const unsigned char *at = key;
    uint64_t hash = map->seed ^ key_len;

    while (key_len > 0) {
        uint64_t word = 0;
        size_t n = key_len < sizeof word ? key_len : sizeof word;
        memcpy(&word, at, n);
        hash = (hash ^ word) * (map->seed | 1);
        hash ^= hash >> 29;
        at += n;
        key_len -= n;
    }
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

static struct rt_map_entry **find(const struct rt_map *map, const void *key, size_t key_len,
                                  uint64_t hash)
{
    struct rt_map_entry **at = &map->bucket[hash & (map->bucket_count - 1)];

    while (*at != NULL && ((*at)->hash != hash || (*at)->key_len != key_len ||
                           memcmp((*at)->key, key, key_len) != 0))
        at = &(*at)->next;
    return at;
}

void *rt_map_get(const struct rt_map *map, const void *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    const struct rt_map_entry *entry = *find(map, key, key_len, hash_of(map, key, key_len));
    return entry == NULL ? NULL : entry->value;
}

static bool grow(struct rt_map *map)
{
    size_t bucket_count = map->bucket_count == 0 ? FIRST_BUCKETS : 2 * map->bucket_count;
    struct rt_map_entry **bucket = calloc(bucket_count, sizeof(struct rt_map_entry *));

    if (bucket == NULL)
        return false;
    if (map->bucket == NULL && getrandom(&map->seed, sizeof map->seed, GRND_NONBLOCK) < 0)
        map->seed = (uint64_t)(uintptr_t)bucket; /* early in the machine's life */
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct rt_map_entry *entry = map->bucket[i], *next = NULL;
        for (; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = bucket[entry->hash & (bucket_count - 1)];
            bucket[entry->hash & (bucket_count - 1)] = entry;
        }
    }
    free(map->bucket);
    map->bucket = bucket;
    map->bucket_count = bucket_count;
    return true;
}

bool rt_map_put(struct rt_map *map, const void *key, size_t key_len, void *value)
{
    if (map->count >= map->bucket_count && !grow(map) && map->bucket_count == 0)
        return false; /* a map that cannot grow gets slower, not wrong */
    uint64_t hash = hash_of(map, key, key_len);
    struct rt_map_entry **place = find(map, key, key_len, hash);
    if (*place == NULL) {
        struct rt_map_entry *entry = malloc(sizeof *entry + key_len);
        if (entry == NULL)
            return false;
        entry->next = NULL;
        entry->hash = hash;
        entry->key_len = key_len;
        memcpy(entry->key, key, key_len);
        *place = entry;
        map->count++;
    }
    (*place)->value = value;
    return true;
}

void *rt_map_take(struct rt_map *map, const void *key, size_t key_len)
{
    if (map->count == 0)
        return NULL;
    struct rt_map_entry **place = find(map, key, key_len, hash_of(map, key, key_len));
    struct rt_map_entry *entry = *place;
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    *place = entry->next;
    free(entry);
    map->count--;
    return value;
}

void *rt_map_next(const struct rt_map *map, struct rt_map_cursor *cursor)
{
    while (cursor->next == NULL && cursor->bucket < map->bucket_count)
        cursor->next = map->bucket[cursor->bucket++];
    if (cursor->next == NULL)
        return NULL;
    void *value = cursor->next->value;
    cursor->next = cursor->next->next;
    return value;
}

void rt_map_release(struct rt_map *map)
{
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct rt_map_entry *entry = map->bucket[i], *next = NULL;
        for (; entry != NULL; entry = next) {
            next = entry->next;
            free(entry);
        }
    }
    free(map->bucket);
    *map = (struct rt_map){0};
}
