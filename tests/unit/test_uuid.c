/* tests/unit/test_uuid.c - spellings, and the order and uniqueness of version 7. */
#include "shared/uuid.h"

#include "shared/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CANONICAL "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c"

static void reads_the_spellings_postgres_reads(void **state)
{
    static const char *const good[] = {
        CANONICAL,
        "AB54A98C-0D1E-4F2A-8B3C-9D8E7F6A5B4C",
        "ab54a98c0d1e4f2a8b3c9d8e7f6a5b4c",
        "{ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c}",
        "{AB54A98C0D1E4F2A8B3C9D8E7F6A5B4C}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct df_uuid uuid;
        char text[DF_UUID_TEXT_SIZE];
        assert_true(df_uuid_parse(&uuid, good[i], strlen(good[i])));
        df_uuid_format(text, &uuid);
        assert_string_equal(text, CANONICAL);
    }
}

static void refuses_everything_else(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{",
        "test-123",
        " ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c",
        "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c ",
        "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4",
        "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4cc",
        "gb54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c",
        "ab54a98c0-d1e-4f2a-8b3c-9d8e7f6a5b4c",
        "{ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c",
        "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c}",
        "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4-",
        "ab54a98c0d1e4f2a8b3c9d8e7f6a5b4-",
        "{{ab54a98c0d1e4f2a8b3c9d8e7f6a5b4c}}",
    };
    struct df_uuid uuid = {{7}}, before = uuid;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (df_uuid_parse(&uuid, bad[i], strlen(bad[i])))
            fail_msg("took \"%s\"", bad[i]);
        assert_memory_equal(&uuid, &before, sizeof uuid);
    }
    assert_false(df_uuid_parse(&uuid, CANONICAL "\0", 37));
}

static void makes_version_7_ids_that_sort_by_time(void **state)
{
    struct df_uuid last, next;
    int64_t before_ms = df_clock_wall_ms();

    (void)state;
    df_uuid_new_v7(&last);
    for (int i = 0; i < 20000; i++) {
        df_uuid_new_v7(&next);
        assert_true(memcmp(last.bytes, next.bytes, 16) < 0);
        assert_int_equal(next.bytes[6] >> 4, 7);
        assert_int_equal(next.bytes[8] >> 6, 2);
        last = next;
    }
    int64_t stamp_ms = 0;
    for (int i = 0; i < 6; i++)
        stamp_ms = stamp_ms << 8 | next.bytes[i];
    assert_true(stamp_ms >= before_ms && stamp_ms <= df_clock_wall_ms() + 60000);
}

enum { THREADS = 4, EACH = 5000 };
static struct df_uuid made[THREADS][EACH];

static void *make_many(void *row)
{
    for (int i = 0; i < EACH; i++)
        df_uuid_new_v7((struct df_uuid *)row + i);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct df_uuid));
}

static void never_makes_one_twice_in_many_threads(void **state)
{
    pthread_t threads[THREADS];
    struct df_uuid *all = &made[0][0];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, made[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    qsort(all, (size_t)THREADS * EACH, sizeof *all, compare);
    for (size_t i = 1; i < (size_t)THREADS * EACH; i++) {
        assert_false(df_uuid_equal(&all[i - 1], &all[i]));
        /* the 48 bits of time and 12 of sequence alone keep them apart */
        assert_true(memcmp(all[i - 1].bytes, all[i].bytes, 8) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_spellings_postgres_reads),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(makes_version_7_ids_that_sort_by_time),
        cmocka_unit_test(never_makes_one_twice_in_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
