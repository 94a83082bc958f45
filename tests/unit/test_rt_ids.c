/* test_rt_ids.c - lists of small numbers: sorting, membership, arrays of Postgres. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "realtime/ids.h"

static void sorts_and_drops_doubles(void **state)
{
    static const uint32_t given[] = {7, 3, 7, 4294967295u, 0, 3};
    static const uint32_t want[] = {0, 3, 7, 4294967295u};
    struct rt_ids ids = {0};

    (void)state;
    rt_ids_sort(&ids);
    assert_false(rt_ids_has(&ids, 0));
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++)
        assert_true(rt_ids_add(&ids, given[i]));
    rt_ids_sort(&ids);
    assert_int_equal(ids.count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(ids.at[i], want[i]);
    assert_true(rt_ids_has(&ids, 7));
    assert_false(rt_ids_has(&ids, 8));
    rt_ids_release(&ids);
}

static void reads_arrays_of_postgres(void **state)
{
    struct rt_ids ids = {0};

    (void)state;
    assert_true(rt_ids_parse(&ids, ""));
    assert_true(rt_ids_parse(&ids, "{}"));
    assert_int_equal(ids.count, 0);
    assert_true(rt_ids_parse(&ids, "{12}"));
    assert_true(rt_ids_parse(&ids, "{3,200,1}"));
    assert_int_equal(ids.count, 4);
    assert_int_equal(ids.at[0], 12);
    assert_int_equal(ids.at[2], 200);
    rt_ids_release(&ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_and_drops_doubles),
        cmocka_unit_test(reads_arrays_of_postgres),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
