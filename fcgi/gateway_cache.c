/* fcgi/gateway_cache.c - a hash table whose entries also hang in a list, most recently used first. */
#include "fcgi/gateway_cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/intent/roles.h"

#define MODEL_MAX 96

struct entry {
    struct entry *chain;         /* next in its bucket */
    struct entry *newer, *older; /* by last use */
    uint64_t hash;
    int64_t expires_ms;
    struct df_verdict verdict;
    char model[MODEL_MAX];
    uint16_t key_len;
    char key[];
};

struct mrs_cache {
    pthread_mutex_t lock;
    struct entry **buckets; /* bucket_count is a power of two */
    size_t bucket_count, count, max;
    int64_t ttl_ms;
    struct entry *newest, *oldest;
    uint64_t seed; /* so that nobody can choose texts that share a bucket */
    uint64_t hits, misses;
};

static uint64_t hash_of(const struct mrs_cache *cache, const char *key, size_t len)
{
    uint64_t hash = cache->seed;

    for (size_t i = 0; i < len; i++) { /* FNV-1a, then mixed: the low bits choose the bucket */
        hash ^= (unsigned char)key[i];
        hash *= 1099511628211u;
    }
    hash ^= hash >> 31;
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static struct entry **bucket_of(const struct mrs_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static void unlink_use(struct mrs_cache *cache, struct entry *e)
{
    *(e->newer == NULL ? &cache->newest : &e->newer->older) = e->older;
    *(e->older == NULL ? &cache->oldest : &e->older->newer) = e->newer;
}

static void link_newest(struct mrs_cache *cache, struct entry *e)
{
    e->newer = NULL;
    e->older = cache->newest;
    *(cache->newest == NULL ? &cache->oldest : &cache->newest->newer) = e;
    cache->newest = e;
}

static void drop(struct mrs_cache *cache, struct entry *e)
{
    struct entry **at = bucket_of(cache, e->hash);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_use(cache, e);
    cache->count--;
    free(e);
}

static void clear(struct mrs_cache *cache)
{
    while (cache->oldest != NULL)
        drop(cache, cache->oldest);
}

static enum df_code resize(struct mrs_cache *cache, size_t entry_max, int64_t ttl_ms,
                           struct df_error *err)
{
    size_t count = 1;

    while (count < entry_max)
        count *= 2;
    struct entry **buckets = calloc(count, sizeof(*buckets));
    if (buckets == NULL)
        return df_error_set(err, DF_ENOMEM, "verdict cache: out of memory");
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_count = count;
    cache->max = entry_max;
    cache->ttl_ms = ttl_ms;
    return DF_OK;
}

enum df_code mrs_cache_new(struct mrs_cache **out, size_t entry_max, int64_t ttl_ms,
                           struct df_error *err)
{
    struct mrs_cache *made = calloc(1, sizeof *made);

    *out = NULL;
    if (made == NULL)
        return df_error_set(err, DF_ENOMEM, "verdict cache: out of memory");
    enum df_code rc = resize(made, entry_max, ttl_ms, err);
    if (rc != DF_OK) {
        free(made);
        return rc;
    }
    (void)pthread_mutex_init(&made->lock, NULL);
    /* An address is random enough for a table that never leaves the process. */
    made->seed = 14695981039346656037u ^ (uint64_t)(uintptr_t)made * 0x9e3779b97f4a7c15u;
    *out = made;
    return DF_OK;
}

void mrs_cache_free(struct mrs_cache *cache)
{
    if (cache == NULL)
        return;
    clear(cache);
    free(cache->buckets);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

enum df_code mrs_cache_reset(struct mrs_cache *cache, size_t entry_max, int64_t ttl_ms,
                             struct df_error *err)
{
    (void)pthread_mutex_lock(&cache->lock);
    clear(cache);
    enum df_code rc = resize(cache, entry_max, ttl_ms, err);
    (void)pthread_mutex_unlock(&cache->lock);
    return rc;
}

size_t mrs_cache_key(char key[MRS_CACHE_KEY_MAX], const struct df_chat_line *line)
{
    if (df_role_of(line->username, line->username_len) == DF_ROLE_HOST)
        return 0;
    return df_intent_normalise(line->message, line->message_len, key, MRS_CACHE_KEY_MAX);
}

static struct entry *find(const struct mrs_cache *cache, uint64_t hash, const char *key, size_t len)
{
    struct entry *e = *bucket_of(cache, hash);

    while (e != NULL && (e->hash != hash || e->key_len != len || memcmp(e->key, key, len) != 0))
        e = e->chain;
    return e;
}

/* "RED jacket!!" and "red jacket" are one text, but a line is quoted with its own words only. */
static void keep_item_of(struct df_verdict *verdict, const struct df_chat_line *line)
{
    size_t len = strlen(verdict->item);

    for (size_t at = 0; len > 0 && at + len <= line->message_len; at++) {
        if (strncasecmp(line->message + at, verdict->item, len) == 0) {
            memcpy(verdict->item, line->message + at, len);
            return;
        }
    }
    verdict->item[0] = '\0';
}

bool mrs_cache_get(struct mrs_cache *cache, const struct df_chat_line *line, int64_t now_ms,
                   struct df_verdict *verdict, char *model, size_t model_size)
{
    char key[MRS_CACHE_KEY_MAX];
    size_t len = 0;
    struct entry *e = NULL;

    (void)pthread_mutex_lock(&cache->lock);
    bool is_on = cache->max > 0;
    (void)pthread_mutex_unlock(&cache->lock);
    if (!is_on || (len = mrs_cache_key(key, line)) == 0)
        return false;
    (void)pthread_mutex_lock(&cache->lock);
    uint64_t hash = hash_of(cache, key, len);
    e = find(cache, hash, key, len);
    if (e != NULL && now_ms >= e->expires_ms) {
        drop(cache, e);
        e = NULL;
    }
    if (e != NULL) {
        *verdict = e->verdict;
        (void)snprintf(model, model_size, "%s", e->model);
        unlink_use(cache, e);
        link_newest(cache, e);
        cache->hits++;
    } else {
        cache->misses++;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    if (e == NULL)
        return false;
    keep_item_of(verdict, line);
    return true;
}

void mrs_cache_put(struct mrs_cache *cache, const struct df_chat_line *line, int64_t now_ms,
                   const struct df_verdict *verdict, const char *model)
{
    char key[MRS_CACHE_KEY_MAX];
    size_t len = mrs_cache_key(key, line);

    if (len == 0)
        return;
    (void)pthread_mutex_lock(&cache->lock);
    if (cache->max == 0)
        goto out;
    uint64_t hash = hash_of(cache, key, len);
    struct entry *e = find(cache, hash, key, len);
    if (e == NULL) {
        e = malloc(sizeof *e + len);
        if (e == NULL)
            goto out;
        if (cache->count >= cache->max)
            drop(cache, cache->oldest);
        e->hash = hash;
        e->key_len = (uint16_t)len;
        memcpy(e->key, key, len);
        e->chain = *bucket_of(cache, hash);
        *bucket_of(cache, hash) = e;
        cache->count++;
    } else {
        unlink_use(cache, e);
    }
    link_newest(cache, e);
    e->verdict = *verdict;
    e->expires_ms = now_ms + cache->ttl_ms;
    (void)snprintf(e->model, sizeof e->model, "%s", model);
out:
    (void)pthread_mutex_unlock(&cache->lock);
}

void mrs_cache_stats(struct mrs_cache *cache, struct mrs_cache_stats *out)
{
    (void)pthread_mutex_lock(&cache->lock);
    *out = (struct mrs_cache_stats){
        .hits = cache->hits, .misses = cache->misses, .entries = (int64_t)cache->count};
    (void)pthread_mutex_unlock(&cache->lock);
}
