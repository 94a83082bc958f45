/* tests/unit/test_inflight.c - one at a time per id, in order of arrival. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/inflight.h"

static struct mrs_inflight_entry *turns[8];
static size_t turn_count;

static void note_turn(struct mrs_inflight_entry *entry)
{
    turns[turn_count++] = entry;
}

static int setup(void **state)
{
    struct df_error err;
    turn_count = 0;
    assert_int_equal(mrs_inflight_new((struct mrs_inflight **)state, &err), DF_OK);
    return 0;
}

static int teardown(void **state)
{
    mrs_inflight_free(*state);
    return 0;
}

static struct mrs_inflight_entry entry_of(uint8_t first, uint8_t last)
{
    struct mrs_inflight_entry entry = {.on_turn = note_turn};
    memset(entry.id.bytes, 0, sizeof entry.id.bytes);
    entry.id.bytes[0] = first;
    entry.id.bytes[15] = last;
    return entry;
}

static void different_ids_do_not_wait_for_each_other(void **state)
{
    struct mrs_inflight_entry a = entry_of(1, 9), b = entry_of(2, 9), c = entry_of(1, 8);
    assert_true(mrs_inflight_enter(*state, &a));
    assert_true(mrs_inflight_enter(*state, &b)); /* the same slot of the table */
    assert_true(mrs_inflight_enter(*state, &c));
    mrs_inflight_leave(*state, &a);
    mrs_inflight_leave(*state, &c);
    mrs_inflight_leave(*state, &b);
    assert_int_equal(turn_count, 0);
}

static void equal_ids_go_in_one_by_one_in_order(void **state)
{
    struct mrs_inflight_entry entries[4];
    for (size_t i = 0; i < 4; i++) {
        entries[i] = entry_of(1, 1);
        assert_int_equal(mrs_inflight_enter(*state, &entries[i]), i == 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(turn_count, i);
        mrs_inflight_leave(*state, &entries[i]);
        if (i < 3)
            assert_ptr_equal(turns[i], &entries[i + 1]);
    }
    assert_int_equal(turn_count, 3);
}

static void an_heir_keeps_its_place_among_the_others(void **state)
{
    struct mrs_inflight_entry a = entry_of(1, 5), b = entry_of(2, 5), a2 = entry_of(1, 5),
                              c = entry_of(3, 5);
    assert_true(mrs_inflight_enter(*state, &a));
    assert_true(mrs_inflight_enter(*state, &b));
    assert_false(mrs_inflight_enter(*state, &a2));
    mrs_inflight_leave(*state, &a);
    assert_int_equal(turn_count, 1);
    assert_true(mrs_inflight_enter(*state, &c));
    mrs_inflight_leave(*state, &b);
    mrs_inflight_leave(*state, &a2);
    mrs_inflight_leave(*state, &c);
    struct mrs_inflight_entry again = entry_of(1, 5);
    assert_true(mrs_inflight_enter(*state, &again));
    mrs_inflight_leave(*state, &again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(different_ids_do_not_wait_for_each_other, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_ids_go_in_one_by_one_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(an_heir_keeps_its_place_among_the_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
