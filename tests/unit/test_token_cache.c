/* tests/unit/test_token_cache.c - verified tokens are found while they are valid and no longer. */
#include "shared/jwt.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_S 1800000000

static struct df_token_cache *cache_of(size_t capacity)
{
    struct df_token_cache *cache;

    assert_int_equal(df_token_cache_new(&cache, capacity, NULL), DF_OK);
    return cache;
}

static bool find(struct df_token_cache *cache, const char *token, int64_t now_s,
                 struct df_claims *claims)
{
    return df_token_cache_find(cache, token, strlen(token), now_s, 0, claims);
}

static void store(struct df_token_cache *cache, const char *token, int64_t starts_at_s,
                  int64_t expires_at_s)
{
    struct df_claims claims = {.expires_at_s = expires_at_s, .starts_at_s = starts_at_s};

    (void)snprintf(claims.sub, sizeof claims.sub, "sub of %.100s", token);
    (void)snprintf(claims.role, sizeof claims.role, "authenticated");
    df_token_cache_store(cache, token, strlen(token), &claims);
}

static void finds_what_was_stored_and_nothing_else(void **state)
{
    struct df_token_cache *cache = cache_of(1000);
    struct df_claims claims;

    (void)state;
    assert_false(find(cache, "one", NOW_S, &claims));
    store(cache, "one", INT64_MIN, INT64_MAX);
    store(cache, "two", INT64_MIN, INT64_MAX);
    assert_true(find(cache, "one", NOW_S, &claims));
    assert_string_equal(claims.sub, "sub of one");
    assert_string_equal(claims.role, "authenticated");
    assert_true(find(cache, "two", NOW_S, &claims));
    assert_string_equal(claims.sub, "sub of two");
    assert_false(find(cache, "", NOW_S, &claims));
    assert_false(find(cache, "ones", NOW_S, &claims));
    assert_false(find(cache, "on", NOW_S, &claims));
    df_token_cache_free(cache);
    df_token_cache_free(NULL);
}

static void forgets_a_token_when_it_expires(void **state)
{
    struct df_token_cache *cache = cache_of(100);
    struct df_claims claims;

    (void)state;
    store(cache, "t", NOW_S, NOW_S + 10);
    assert_true(find(cache, "t", NOW_S, &claims));
    assert_true(find(cache, "t", NOW_S + 9, &claims));
    assert_false(find(cache, "t", NOW_S + 10, &claims)); /* exp equal to now is too late */
    assert_false(find(cache, "t", NOW_S, &claims));      /* and it is gone for good */

    store(cache, "t", NOW_S, NOW_S + 10);
    assert_true(df_token_cache_find(cache, "t", 1, NOW_S + 14, 5, &claims));
    assert_false(df_token_cache_find(cache, "t", 1, NOW_S + 15, 5, &claims));

    store(cache, "t", NOW_S, NOW_S + 10);
    assert_true(df_token_cache_find(cache, "t", 1, NOW_S - 5, 5, &claims));
    assert_false(find(cache, "t", NOW_S - 1, &claims)); /* a clock set back: not yet valid */
    df_token_cache_free(cache);
}

static void replaces_the_claims_of_a_token_stored_twice(void **state)
{
    struct df_token_cache *cache = cache_of(1); /* the smallest there is */
    struct df_claims claims;

    (void)state;
    store(cache, "t", INT64_MIN, NOW_S + 10);
    store(cache, "t", INT64_MIN, NOW_S + 20);
    assert_true(find(cache, "t", NOW_S + 15, &claims));
    store(cache, "u", INT64_MIN, NOW_S + 20);
    assert_true(find(cache, "u", NOW_S, &claims));
    assert_false(find(cache, "t", NOW_S, &claims));
    df_token_cache_free(cache);
}

static void stays_within_its_capacity(void **state)
{
    static const size_t capacities[] = {0, 1, 7, 8, 9, 64, 1000};
    struct df_claims claims;
    char token[32];

    (void)state;
    for (size_t c = 0; c < sizeof capacities / sizeof capacities[0]; c++) {
        struct df_token_cache *cache = cache_of(capacities[c]);
        size_t found = 0;
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(token, sizeof token, "token %d", i);
            store(cache, token, INT64_MIN, INT64_MAX);
            assert_true(find(cache, token, NOW_S, &claims)); /* the newest is always there */
        }
        for (int i = 0; i < 5000; i++) {
            (void)snprintf(token, sizeof token, "token %d", i);
            found += find(cache, token, NOW_S, &claims);
        }
        assert_true(found >= 1 && found <= (capacities[c] > 0 ? capacities[c] : 1));
        df_token_cache_free(cache);
    }
}

static void drops_the_longest_unused_and_expired_ones_first(void **state)
{
    struct df_token_cache *cache = cache_of(8); /* one set */
    struct df_claims claims;
    char token[16];

    (void)state;
    for (int i = 0; i < 8; i++) {
        (void)snprintf(token, sizeof token, "t%d", i);
        store(cache, token, INT64_MIN, i == 5 ? NOW_S + 1 : INT64_MAX);
    }
    assert_true(find(cache, "t0", NOW_S, &claims)); /* now t1 is the longest unused */
    store(cache, "new", INT64_MIN, INT64_MAX);
    assert_false(find(cache, "t1", NOW_S, &claims));
    assert_true(find(cache, "t0", NOW_S + 5, &claims)); /* tells the time: t5 is over */
    store(cache, "newer", INT64_MIN, INT64_MAX);
    assert_true(find(cache, "t2", NOW_S + 5, &claims));
    assert_true(find(cache, "newer", NOW_S + 5, &claims));
    assert_false(find(cache, "t5", NOW_S, &claims));
    df_token_cache_free(cache);
}

static void forgets_everything_when_keys_change(void **state)
{
    struct df_token_cache *cache = cache_of(100);
    struct df_claims claims;
    char token[16];

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(token, sizeof token, "t%d", i);
        store(cache, token, INT64_MIN, INT64_MAX);
    }
    df_token_cache_clear(cache);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(token, sizeof token, "t%d", i);
        assert_false(find(cache, token, NOW_S, &claims));
    }
    df_token_cache_free(cache);
}

static void does_not_store_what_was_verified_before_the_change(void **state)
{
    struct df_token_cache *cache = cache_of(100);
    struct df_claims claims;

    (void)state;
    assert_false(find(cache, "t", NOW_S, &claims)); /* so the caller verifies, with the old keys */
    df_token_cache_clear(cache);
    store(cache, "t", INT64_MIN, INT64_MAX);
    assert_false(find(cache, "t", NOW_S, &claims));
    store(cache, "t", INT64_MIN, INT64_MAX); /* this one was looked for after the change */
    assert_true(find(cache, "t", NOW_S, &claims));
    df_token_cache_free(cache);
}

static void *use_cache(void *arg)
{
    struct df_token_cache *cache = arg;
    struct df_claims claims;
    char token[16], want[32];
    uintptr_t bad = 0;

    for (int i = 0; i < 20000; i++) {
        (void)snprintf(token, sizeof token, "t%d", i % 40);
        (void)snprintf(want, sizeof want, "sub of %s", token);
        if (!find(cache, token, NOW_S, &claims))
            store(cache, token, INT64_MIN, INT64_MAX);
        else if (strcmp(claims.sub, want) != 0)
            bad++;
        if (i % 5000 == 0)
            df_token_cache_clear(cache);
    }
    return (void *)bad;
}

static void gives_each_thread_the_right_claims(void **state)
{
    struct df_token_cache *cache =
        cache_of(32); /* fewer than tokens: entries change all the time */
    pthread_t threads[4];
    void *bad;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_cache, cache), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    df_token_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_was_stored_and_nothing_else),
        cmocka_unit_test(forgets_a_token_when_it_expires),
        cmocka_unit_test(replaces_the_claims_of_a_token_stored_twice),
        cmocka_unit_test(stays_within_its_capacity),
        cmocka_unit_test(drops_the_longest_unused_and_expired_ones_first),
        cmocka_unit_test(forgets_everything_when_keys_change),
        cmocka_unit_test(does_not_store_what_was_verified_before_the_change),
        cmocka_unit_test(gives_each_thread_the_right_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
