/* tests/unit/test_scr_limits.c - pauses and counting of scraper/tab_limits.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scraper/tab_limits.h"

static void pauses_grow_as_promised_and_stay_at_the_last(void **state)
{
    static const int64_t recovery[] = {500, 1000, 2000, 5000, 10000, 30000, 30000};
    static const int64_t blocked[] = {60000, 120000, 300000, 600000, 1800000, 1800000};
    static const int64_t reload[] = {60000, 600000, 600000};

    (void)state;
    for (size_t i = 0; i < sizeof recovery / sizeof recovery[0]; i++)
        assert_int_equal(scr_recovery_pause_ms(i), recovery[i]);
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        assert_int_equal(scr_blocked_pause_ms(i), blocked[i]);
    for (size_t i = 0; i < sizeof reload / sizeof reload[0]; i++)
        assert_int_equal(scr_reload_pause_ms(i), reload[i]);
    assert_int_equal(scr_blocked_pause_ms(1000000), 1800000);
}

static void an_empty_window_asks_for_no_wait(void **state)
{
    struct scr_window window = {0};

    (void)state;
    assert_int_equal(scr_window_count(&window, 0), 0);
    assert_int_equal(scr_window_wait_ms(&window, 0), 0);
}

static void the_seventh_within_ten_minutes_waits_for_the_first_to_age(void **state)
{
    struct scr_window window = {0};

    (void)state;
    for (int64_t i = 0; i < SCR_WINDOW_SLOTS; i++) {
        assert_int_equal(scr_window_wait_ms(&window, 1000 * i), 0);
        scr_window_add(&window, 1000 * i);
    }
    assert_int_equal(scr_window_count(&window, 5000), SCR_WINDOW_SLOTS);
    assert_int_equal(scr_window_wait_ms(&window, 5000), SCR_WINDOW_MS - 5000);
    assert_int_equal(scr_window_wait_ms(&window, SCR_WINDOW_MS - 1), 1);
    assert_int_equal(scr_window_wait_ms(&window, SCR_WINDOW_MS), 0);
    assert_int_equal(scr_window_count(&window, SCR_WINDOW_MS + 5000), 0);
}

static void old_ones_make_room_for_new_ones(void **state)
{
    struct scr_window window = {0};

    (void)state;
    for (int64_t i = 0; i < 20; i++)
        scr_window_add(&window, i * SCR_WINDOW_MS);
    assert_int_equal(scr_window_count(&window, 19 * SCR_WINDOW_MS), 1);
    assert_int_equal(scr_window_wait_ms(&window, 19 * SCR_WINDOW_MS), 0);
}

/* What a page that never loads costs its site: the walls' table against the window. */
static void walls_alone_never_reach_the_limit(void **state)
{
    struct scr_window window = {0};
    int64_t now_ms = 0;

    (void)state;
    for (size_t n = 0; n < 20; n++) {
        assert_int_equal(scr_window_wait_ms(&window, now_ms), 0);
        scr_window_add(&window, now_ms);
        assert_true(scr_window_count(&window, now_ms) <= 4);
        now_ms += scr_blocked_pause_ms(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_grow_as_promised_and_stay_at_the_last),
        cmocka_unit_test(an_empty_window_asks_for_no_wait),
        cmocka_unit_test(the_seventh_within_ten_minutes_waits_for_the_first_to_age),
        cmocka_unit_test(old_ones_make_room_for_new_ones),
        cmocka_unit_test(walls_alone_never_reach_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
