/* shared/ratelimit.h - token buckets by key (a token's subject, a client address). The clock is
 * passed in. Thread-safe. */
#ifndef SHARED_RATELIMIT_H
#define SHARED_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

struct df_ratelimit;

/* Remembers at most `capacity` keys; when full, the bucket that was idle longest makes room (it is
 * the fullest, so nobody gains by flooding with keys). The caller owns *out. DF_ENOMEM. */
enum df_code df_ratelimit_new(struct df_ratelimit **out, size_t capacity,
                              struct df_error *err) DF_MUST_USE;
void df_ratelimit_free(struct df_ratelimit *limit); /* NULL is fine */

/* Takes one token from the key's bucket, which holds `burst` tokens and gains `per_second` of them
 * (both > 0; passed each time, so a reload needs no rebuild). False when empty: *retry_after_ms
 * (>= 1) then tells when the next token is there. now_ms from df_clock_mono_ms(). Never allocates. */
bool df_ratelimit_take(struct df_ratelimit *limit, const void *key, size_t key_len,
                       double per_second, double burst, int64_t now_ms, int64_t *retry_after_ms);

#endif
