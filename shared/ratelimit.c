/* shared/ratelimit.c - token buckets in a table of fixed size. A keyed hash names a key's set, a
 * set's eight buckets are searched one by one. A bucket knows its key by 64 bits of SipHash-2-4
 * under a random key: nobody can choose keys that share a set, and two keys that share a bucket by
 * chance are one in 2^64. */
#include "shared/ratelimit.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SET_SIZE   8
#define LOCK_COUNT 64

struct bucket {
    uint64_t key;    /* 0: empty */
    int64_t used_ms; /* `tokens` is as of then */
    double tokens;
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
};

struct df_ratelimit {
    uint64_t secret[2];
    size_t set_count;
    size_t set_size;
    struct bucket *buckets;
    struct stripe stripes[LOCK_COUNT];
};

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012), words in the machine's byte order: the result never
 * leaves the process. */
static uint64_t hash_key(const uint64_t secret[2], const unsigned char *bytes, size_t len)
{
    uint64_t v[4] = {secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d,
                     secret[0] ^ 0x6c7967656e657261, secret[1] ^ 0x7465646279746573};
    uint64_t word;
    size_t left = len;

    for (; left >= 8; left -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    word = v[0] ^ v[1] ^ v[2] ^ v[3];
    return word != 0 ? word : 1;
}

enum df_code df_ratelimit_new(struct df_ratelimit **out, size_t capacity, struct df_error *err)
{
    struct df_ratelimit *limit;

    *out = NULL;
    limit = aligned_alloc(64, sizeof *limit);
    if (limit == NULL)
        return df_error_set(err, DF_ENOMEM, "rate limits: out of memory");
    memset(limit, 0, sizeof *limit);
    limit->set_size = capacity < SET_SIZE ? (capacity > 0 ? capacity : 1) : SET_SIZE;
    limit->set_count = capacity < SET_SIZE ? 1 : capacity / SET_SIZE;
    limit->buckets = calloc(limit->set_count * limit->set_size, sizeof *limit->buckets);
    if (limit->buckets == NULL) {
        free(limit);
        return df_error_set(err, DF_ENOMEM, "rate limits: out of memory");
    }
    if (getrandom(limit->secret, sizeof limit->secret, 0) != (ssize_t)sizeof limit->secret)
        limit->secret[0] = (uint64_t)(uintptr_t)limit; /* not on Linux since boot */
    for (size_t i = 0; i < LOCK_COUNT; i++)
        (void)pthread_mutex_init(&limit->stripes[i].lock, NULL); /* never fails with glibc */
    *out = limit;
    return DF_OK;
}

void df_ratelimit_free(struct df_ratelimit *limit)
{
    if (limit == NULL)
        return;
    for (size_t i = 0; i < LOCK_COUNT; i++)
        (void)pthread_mutex_destroy(&limit->stripes[i].lock);
    free(limit->buckets);
    free(limit);
}

/* The key's bucket, or a fresh one in the place of an empty or the longest idle one. */
static struct bucket *find_bucket(struct bucket *set, size_t set_size, uint64_t key, double burst,
                                  int64_t now_ms)
{
    struct bucket *oldest = &set[0];

    for (size_t i = 0; i < set_size; i++) {
        if (set[i].key == key)
            return &set[i];
        if (oldest->key != 0 && (set[i].key == 0 || set[i].used_ms < oldest->used_ms))
            oldest = &set[i];
    }
    *oldest = (struct bucket){.key = key, .used_ms = now_ms, .tokens = burst};
    return oldest;
}

static bool take(struct bucket *bucket, double per_second, double burst, int64_t now_ms,
                 int64_t *retry_after_ms)
{
    /* What binary fractions lose must not cost a caller who waited exactly as long as told. */
    const double enough = 1.0 - 1e-6;

    if (now_ms > bucket->used_ms) {
        bucket->tokens += (double)(now_ms - bucket->used_ms) * per_second / 1000;
        bucket->used_ms = now_ms;
    }
    bucket->tokens = fmin(bucket->tokens, burst); /* a reload may have made it smaller */
    if (bucket->tokens >= enough) {
        bucket->tokens = fmax(bucket->tokens - 1, 0);
        return true;
    }
    double wait_ms = ceil((1 - bucket->tokens) * 1000 / per_second);
    *retry_after_ms = (int64_t)fmin(fmax(wait_ms, 1), 1e15);
    return false;
}

bool df_ratelimit_take(struct df_ratelimit *limit, const void *key, size_t key_len,
                       double per_second, double burst, int64_t now_ms, int64_t *retry_after_ms)
{
    uint64_t hash = hash_key(limit->secret, key, key_len);
    size_t set = (size_t)(hash % limit->set_count);
    struct stripe *stripe = &limit->stripes[set % LOCK_COUNT];

    burst = fmax(burst, 1); /* a bucket that cannot hold one token would never open */
    (void)pthread_mutex_lock(&stripe->lock);
    struct bucket *bucket =
        find_bucket(limit->buckets + set * limit->set_size, limit->set_size, hash, burst, now_ms);
    bool ok = take(bucket, per_second, burst, now_ms, retry_after_ms);
    (void)pthread_mutex_unlock(&stripe->lock);
    return ok;
}
