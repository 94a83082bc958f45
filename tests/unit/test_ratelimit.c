/* tests/unit/test_ratelimit.c - bursts, refill, retry times, and what a full table forgets. */
#include "shared/ratelimit.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct df_ratelimit *limit_of(size_t capacity)
{
    struct df_ratelimit *limit;

    assert_int_equal(df_ratelimit_new(&limit, capacity, NULL), DF_OK);
    return limit;
}

static bool take(struct df_ratelimit *limit, const char *key, double per_second, double burst,
                 int64_t now_ms, int64_t *retry_ms)
{
    return df_ratelimit_take(limit, key, strlen(key), per_second, burst, now_ms, retry_ms);
}

static void gives_the_burst_then_tells_when_to_return(void **state)
{
    struct df_ratelimit *limit = limit_of(100);
    int64_t retry_ms = -1;

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_true(take(limit, "anon", 5, 50, 1000, &retry_ms));
    assert_false(take(limit, "anon", 5, 50, 1000, &retry_ms));
    assert_int_equal(retry_ms, 200);
    assert_false(take(limit, "anon", 5, 50, 1150, &retry_ms));
    assert_int_equal(retry_ms, 50);
    assert_true(take(limit, "anon", 5, 50, 1200, &retry_ms));
    assert_false(take(limit, "anon", 5, 50, 1200, &retry_ms));
    assert_true(take(limit, "other", 5, 50, 1200, &retry_ms)); /* each key has its own */
    df_ratelimit_free(limit);
    df_ratelimit_free(NULL);
}

static void lets_in_who_waits_exactly_as_told(void **state)
{
    static const double rates[] = {0.001, 0.3, 1, 3, 7, 33.3, 50, 333, 1000, 5000};
    int64_t retry_ms = 0;

    (void)state;
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        struct df_ratelimit *limit = limit_of(10);
        int64_t now_ms = 123456789;
        for (int i = 0; i < 200; i++) {
            if (take(limit, "k", rates[r], 3, now_ms, &retry_ms))
                continue;
            assert_true(retry_ms >= 1);
            now_ms += retry_ms;
            assert_true(take(limit, "k", rates[r], 3, now_ms, &retry_ms));
        }
        df_ratelimit_free(limit);
    }
}

static void never_holds_more_than_the_burst(void **state)
{
    struct df_ratelimit *limit = limit_of(10);
    int64_t retry_ms;
    int taken = 0;

    (void)state;
    assert_true(take(limit, "k", 100, 5, 0, &retry_ms));
    for (int i = 0; i < 50; i++)
        taken += take(limit, "k", 100, 5, INT64_MAX / 2, &retry_ms); /* ages later */
    assert_int_equal(taken, 5);
    df_ratelimit_free(limit);
}

static void keeps_the_rate_in_the_long_run(void **state)
{
    struct df_ratelimit *limit = limit_of(10);
    int64_t retry_ms;
    int taken = 0;

    (void)state;
    for (int64_t ms = 0; ms < 100000; ms++) /* asked each millisecond for 100 s */
        taken += take(limit, "k", 50, 500, ms, &retry_ms);
    assert_in_range(taken, 500 + 4998, 500 + 5001);
    df_ratelimit_free(limit);
}

static void follows_settings_that_change(void **state)
{
    struct df_ratelimit *limit = limit_of(10);
    int64_t retry_ms;
    int taken = 0;

    (void)state;
    assert_true(take(limit, "k", 1, 100, 0, &retry_ms));
    for (int i = 0; i < 50; i++)
        taken += take(limit, "k", 1, 3, 0, &retry_ms); /* a reload made the bucket smaller */
    assert_int_equal(taken, 3);
    df_ratelimit_free(limit);

    limit = limit_of(10);
    assert_true(take(limit, "k", 1, 0.5, 0, &retry_ms)); /* less than one token means one */
    assert_false(take(limit, "k", 1, 0.5, 0, &retry_ms));
    assert_int_equal(retry_ms, 1000);
    assert_false(take(limit, "k", 1e-300, 1, 1, &retry_ms)); /* no overflow */
    assert_true(retry_ms > 0);
    df_ratelimit_free(limit);
}

static void takes_a_clock_that_stands_or_steps_back(void **state)
{
    struct df_ratelimit *limit = limit_of(10);
    int64_t retry_ms;

    (void)state;
    assert_true(take(limit, "k", 1, 1, 5000, &retry_ms));
    assert_false(take(limit, "k", 1, 1, 4000, &retry_ms));
    assert_false(take(limit, "k", 1, 1, 5999, &retry_ms));
    assert_true(take(limit, "k", 1, 1, 6000, &retry_ms));
    df_ratelimit_free(limit);
}

static void forgets_the_longest_idle_when_full(void **state)
{
    struct df_ratelimit *limit = limit_of(8); /* one set */
    int64_t retry_ms;
    char key[16];

    (void)state;
    for (int i = 0; i < 8; i++) {
        (void)snprintf(key, sizeof key, "key %d", i);
        assert_true(take(limit, key, 0.001, 1, 1000 + i, &retry_ms)); /* now all are empty */
    }
    assert_false(take(limit, "key 0", 0.001, 1, 2000, &retry_ms)); /* asked for: no longer idle */
    assert_true(take(limit, "new", 0.001, 1, 2001, &retry_ms));    /* takes the place of key 1 */
    for (int i = 7; i >= 2; i--) {
        (void)snprintf(key, sizeof key, "key %d", i);
        assert_false(take(limit, key, 0.001, 1, 2002, &retry_ms));
    }
    assert_false(take(limit, "key 0", 0.001, 1, 2002, &retry_ms));
    assert_false(take(limit, "new", 0.001, 1, 2002, &retry_ms));
    assert_true(take(limit, "key 1", 0.001, 1, 2002, &retry_ms));
    df_ratelimit_free(limit);
}

static void tells_keys_of_any_bytes_apart(void **state)
{
    struct df_ratelimit *limit = limit_of(4096);
    unsigned char key[40] = {0};
    int64_t retry_ms;

    (void)state;
    for (size_t len = 0; len <= sizeof key; len++) /* 0 bytes, then ever more zeros */
        assert_true(df_ratelimit_take(limit, key, len, 1, 1, 0, &retry_ms));
    for (size_t len = 0; len <= sizeof key; len++)
        assert_false(df_ratelimit_take(limit, key, len, 1, 1, 0, &retry_ms));
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = 1;
        assert_true(df_ratelimit_take(limit, key, sizeof key, 1, 1, 0, &retry_ms));
        key[i] = 0;
    }
    df_ratelimit_free(limit);
}

static void takes_a_capacity_of_nothing(void **state)
{
    struct df_ratelimit *limit = limit_of(0);
    int64_t retry_ms;

    (void)state;
    assert_true(take(limit, "a", 1, 1, 0, &retry_ms));
    assert_false(take(limit, "a", 1, 1, 0, &retry_ms));
    assert_true(take(limit, "b", 1, 1, 0, &retry_ms));
    df_ratelimit_free(limit);
}

static _Atomic int total;

static void *take_many(void *limit)
{
    int64_t retry_ms;

    for (int i = 0; i < 20000; i++)
        total += take(limit, "shared", 1, 5000, 0, &retry_ms);
    return NULL;
}

static void gives_no_token_twice_to_many_threads(void **state)
{
    struct df_ratelimit *limit = limit_of(100);
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, limit), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(total, 5000);
    df_ratelimit_free(limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_burst_then_tells_when_to_return),
        cmocka_unit_test(lets_in_who_waits_exactly_as_told),
        cmocka_unit_test(never_holds_more_than_the_burst),
        cmocka_unit_test(keeps_the_rate_in_the_long_run),
        cmocka_unit_test(follows_settings_that_change),
        cmocka_unit_test(takes_a_clock_that_stands_or_steps_back),
        cmocka_unit_test(forgets_the_longest_idle_when_full),
        cmocka_unit_test(tells_keys_of_any_bytes_apart),
        cmocka_unit_test(takes_a_capacity_of_nothing),
        cmocka_unit_test(gives_no_token_twice_to_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
