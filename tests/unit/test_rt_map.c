/* tests/unit/test_rt_map.c - the hash map. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/map.h"

enum { MANY = 5000 };
static int value[MANY];

static void put_get_take(void **state)
{
    struct rt_map map = {0};
    char key[32];
    (void)state;
    assert_null(rt_map_get(&map, "a", 1));
    assert_null(rt_map_take(&map, "a", 1));
    for (size_t i = 0; i < MANY; i++) {
        size_t len = (size_t)snprintf(key, sizeof key, "realtime:room-%zu", i);
        assert_true(rt_map_put(&map, key, len, &value[i]));
    }
    assert_int_equal(map.count, MANY);
    assert_true(rt_map_put(&map, "realtime:room-7", 15, &value[8]));
    assert_int_equal(map.count, MANY);
    assert_ptr_equal(rt_map_get(&map, "realtime:room-7", 15), &value[8]);
    assert_null(rt_map_get(&map, "realtime:room-", 14));
    for (size_t i = 0; i < MANY; i += 2) {
        size_t len = (size_t)snprintf(key, sizeof key, "realtime:room-%zu", i);
        assert_ptr_equal(rt_map_take(&map, key, len), &value[i]);
        assert_null(rt_map_get(&map, key, len));
    }
    assert_int_equal(map.count, MANY / 2);
    rt_map_release(&map);
    assert_null(rt_map_get(&map, "a", 1));
}

static void keys_are_bytes(void **state)
{
    struct rt_map map = {0};
    (void)state;
    assert_true(rt_map_put(&map, "a\0b", 3, &value[0]));
    assert_true(rt_map_put(&map, "a\0c", 3, &value[1]));
    assert_true(rt_map_put(&map, "a\0", 2, &value[2]));
    assert_true(rt_map_put(&map, "", 0, &value[3]));
    assert_ptr_equal(rt_map_get(&map, "a\0b", 3), &value[0]);
    assert_ptr_equal(rt_map_get(&map, "a\0c", 3), &value[1]);
    assert_ptr_equal(rt_map_get(&map, "a\0", 2), &value[2]);
    assert_ptr_equal(rt_map_get(&map, "", 0), &value[3]);
    rt_map_release(&map);
}

static void goes_through_all_while_taking(void **state)
{
    struct rt_map map = {0};
    struct rt_map_cursor cursor = {0};
    size_t seen = 0;
    int *at = NULL;
    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        value[i] = (int)i;
        assert_true(rt_map_put(&map, &i, sizeof i, &value[i]));
    }
    while ((at = rt_map_next(&map, &cursor)) != NULL) {
        uint64_t key = (uint64_t)*at;
        assert_ptr_equal(rt_map_take(&map, &key, sizeof key), at);
        seen++;
    }
    assert_int_equal(seen, 100);
    assert_int_equal(map.count, 0);
    rt_map_release(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_take),
        cmocka_unit_test(keys_are_bytes),
        cmocka_unit_test(goes_through_all_while_taking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
