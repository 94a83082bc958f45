/* shared/token_cache.c - tokens that were verified before. A table of small sets: a token's digest
 * names its set, a set's eight entries are searched one by one, the one unused longest makes room.
 * Sets share 64 locks, held for the copy of one entry only. */
#include "shared/jwt.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_SIZE 32
#define SET_SIZE    8
#define LOCK_COUNT  64

struct entry {
    uint8_t digest[DIGEST_SIZE];
    uint64_t used; /* the lock's tick of the last use; 0: empty */
    struct df_claims claims;
};

/* A cache line each, so that threads at different locks do not slow each other. */
struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    uint64_t tick;
    int64_t now_s; /* the latest time a reader told, to tell expired entries when storing */
};

struct df_token_cache {
    EVP_MD *sha256; /* fetched once: OpenSSL 3 searches its providers at every fetch */
    size_t set_count;
    size_t set_size;
    _Atomic uint64_t generation; /* grows with every clear */
    struct entry *entries;
    struct stripe stripes[LOCK_COUNT];
};

/* A token that was not found is verified next, and keys may change meanwhile: what was verified
 * with the old keys must not be stored after the clear that announced the new ones. So each thread
 * remembers in which generation it missed. */
static _Thread_local struct {
    const struct df_token_cache *cache;
    uint64_t generation;
} last_miss;

enum df_code df_token_cache_new(struct df_token_cache **out, size_t capacity, struct df_error *err)
{
    size_t set_size = capacity < SET_SIZE ? (capacity > 0 ? capacity : 1) : SET_SIZE;
    size_t set_count = capacity < SET_SIZE ? 1 : capacity / SET_SIZE;
    struct df_token_cache *cache;

    *out = NULL;
    cache = aligned_alloc(64, sizeof *cache); /* its size is a multiple of 64 by the stripes */
    if (cache == NULL)
        return df_error_set(err, DF_ENOMEM, "token cache: out of memory");
    memset(cache, 0, sizeof *cache);
    cache->set_count = set_count;
    cache->set_size = set_size;
    cache->entries = calloc(set_count * set_size, sizeof *cache->entries);
    cache->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    for (size_t i = 0; i < LOCK_COUNT; i++)
        (void)pthread_mutex_init(&cache->stripes[i].lock, NULL); /* never fails with glibc */
    if (cache->entries == NULL || cache->sha256 == NULL) {
        df_token_cache_free(cache);
        return df_error_set(err, DF_ENOMEM, "token cache: out of memory");
    }
    *out = cache;
    return DF_OK;
}

void df_token_cache_free(struct df_token_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < LOCK_COUNT; i++)
        (void)pthread_mutex_destroy(&cache->stripes[i].lock);
    EVP_MD_free(cache->sha256);
    free(cache->entries);
    free(cache);
}

static bool digest_of(uint8_t digest[DIGEST_SIZE], const struct df_token_cache *cache,
                      const char *token, size_t token_len)
{
    return EVP_Digest(token, token_len, digest, NULL, cache->sha256, NULL) == 1;
}

/* The digest's first bytes choose the set; the set chooses the lock. */
static struct entry *locked_set(struct df_token_cache *cache, const uint8_t digest[DIGEST_SIZE],
                                struct stripe **stripe)
{
    uint64_t number;

    memcpy(&number, digest, sizeof number);
    size_t set = (size_t)(number % cache->set_count);
    *stripe = &cache->stripes[set % LOCK_COUNT];
    (void)pthread_mutex_lock(&(*stripe)->lock);
    return cache->entries + set * cache->set_size;
}

static bool is_valid(const struct df_claims *claims, int64_t now_s, int64_t leeway_s)
{
    return claims->expires_at_s > now_s - leeway_s && claims->starts_at_s <= now_s + leeway_s;
}

bool df_token_cache_find(struct df_token_cache *cache, const char *token, size_t token_len,
                         int64_t now_s, int64_t leeway_s, struct df_claims *claims)
{
    uint8_t digest[DIGEST_SIZE];
    struct stripe *stripe;
    bool found = false;

    last_miss.cache = cache;
    last_miss.generation = atomic_load(&cache->generation);
    if (!digest_of(digest, cache, token, token_len))
        return false; /* out of memory: verifying anew is right, only slower */
    struct entry *set = locked_set(cache, digest, &stripe);
    stripe->now_s = now_s;
    for (size_t i = 0; i < cache->set_size; i++) {
        if (set[i].used == 0 || memcmp(set[i].digest, digest, DIGEST_SIZE) != 0)
            continue;
        if (is_valid(&set[i].claims, now_s, leeway_s)) {
            set[i].used = ++stripe->tick;
            *claims = set[i].claims;
            found = true;
        } else {
            memset(&set[i], 0, sizeof set[i]);
        }
        break;
    }
    (void)pthread_mutex_unlock(&stripe->lock);
    return found;
}

void df_token_cache_store(struct df_token_cache *cache, const char *token, size_t token_len,
                          const struct df_claims *claims)
{
    uint8_t digest[DIGEST_SIZE];
    struct stripe *stripe;

    if (!digest_of(digest, cache, token, token_len))
        return;
    struct entry *set = locked_set(cache, digest, &stripe);
    /* Under the lock: a clear that started before us has raised the generation already, one that
     * starts later will come to this set after us. */
    bool outdated =
        last_miss.cache == cache && last_miss.generation != atomic_load(&cache->generation);
    struct entry *victim = &set[0];
    for (size_t i = 0; i < cache->set_size && !outdated; i++) {
        if (set[i].used != 0 && memcmp(set[i].digest, digest, DIGEST_SIZE) == 0) {
            victim = &set[i];
            break;
        }
        if (set[i].used != 0 && set[i].claims.expires_at_s <= stripe->now_s)
            set[i].used = 0;
        if (set[i].used < victim->used)
            victim = &set[i];
    }
    if (!outdated) {
        memcpy(victim->digest, digest, DIGEST_SIZE);
        victim->claims = *claims;
        victim->used = ++stripe->tick;
    }
    (void)pthread_mutex_unlock(&stripe->lock);
}

void df_token_cache_clear(struct df_token_cache *cache)
{
    atomic_fetch_add(&cache->generation, 1);
    for (size_t i = 0; i < LOCK_COUNT; i++) {
        (void)pthread_mutex_lock(&cache->stripes[i].lock);
        for (size_t set = i; set < cache->set_count; set += LOCK_COUNT)
            memset(cache->entries + set * cache->set_size, 0,
                   cache->set_size * sizeof *cache->entries);
        (void)pthread_mutex_unlock(&cache->stripes[i].lock);
    }
}
