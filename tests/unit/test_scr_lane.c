/* tests/unit/test_scr_lane.c - which line goes next, what an answer means, how long to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/alarm.h"
#include "scraper/endpoint.h"
#include "scraper/lane.h"
#include "scraper/latency.h"

#define QUICK_MS 1.0 /* a post's time at which nobody lags */

static int setup(void **state)
{
    struct scr_lane *lane = scr_lane_new("s");
    assert_non_null(lane);
    *state = lane;
    return 0;
}

static int teardown(void **state)
{
    scr_lane_free(*state);
    return 0;
}

static void add(struct scr_lane *lane, int64_t seq)
{
    struct scr_capture capture = {.username = "u", .text = "t", .captured_ms = seq};
    lane->last_seq = seq;
    scr_lane_added(lane, seq, &capture);
}

static struct scr_item *next(struct scr_lane *lane, int64_t now_ms)
{
    int64_t due_ms = INT64_MAX;
    return scr_lane_next(lane, 4, QUICK_MS, now_ms, &due_ms);
}

static struct scr_item *fly(struct scr_lane *lane, int64_t now_ms)
{
    struct scr_item *item = next(lane, now_ms);
    assert_non_null(item);
    scr_lane_started(lane, item);
    return item;
}

static void one_flies_at_a_time_and_in_order(void **state)
{
    struct scr_lane *lane = *state;

    for (int64_t seq = 1; seq <= 3; seq++)
        add(lane, seq);
    for (int64_t seq = 1; seq <= 3; seq++) {
        struct scr_item *item = fly(lane, 0);
        assert_int_equal(item->seq, seq);
        assert_null(next(lane, 0));
        scr_lane_settled(lane, item);
        assert_int_equal(lane->done_seq, seq);
    }
    assert_null(next(lane, 0));
    assert_int_equal(lane->pending, 0);
}

static void a_failed_line_holds_up_those_behind_it_for_its_pause(void **state)
{
    struct scr_lane *lane = *state;
    int64_t due_ms = INT64_MAX;

    add(lane, 1);
    add(lane, 2);
    struct scr_item *item = fly(lane, 0);
    item->failures = 1;
    item->not_before_ms = 250;
    scr_lane_back(lane, item);
    assert_null(scr_lane_next(lane, 4, QUICK_MS, 100, &due_ms));
    assert_int_equal(due_ms, 250);
    assert_ptr_equal(next(lane, 250), item);
}

static void a_line_that_keeps_failing_lets_others_pass(void **state)
{
    struct scr_lane *lane = *state;

    add(lane, 1);
    add(lane, 2);
    add(lane, 3);
    struct scr_item *bad = fly(lane, 0);
    bad->failures = SCR_FAILURES_ASIDE;
    bad->not_before_ms = 1000;
    scr_lane_back(lane, bad);
    struct scr_item *second = fly(lane, 0);
    assert_int_equal(second->seq, 2);
    scr_lane_settled(lane, second);
    assert_int_equal(lane->done_seq, 0); /* a crash now must not lose the bad one */
    struct scr_item *third = fly(lane, 0);
    scr_lane_settled(lane, third);
    assert_int_equal(lane->pending, 1);
    bad = fly(lane, 1000);
    scr_lane_settled(lane, bad);
    assert_int_equal(lane->done_seq, 3);
}

static void several_fly_only_when_one_by_one_would_take_long(void **state)
{
    static const struct {
        int lines;
        double post_ms;
        unsigned want;
    } rows[] = {{60, 2, 1}, {3, 500, 1}, {60, 50, 4}, {5, 500, 4}};
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_lane *lane = scr_lane_new("s");
        int64_t due_ms = INT64_MAX;
        struct scr_item *item = NULL;
        for (int seq = 1; seq <= rows[i].lines; seq++)
            add(lane, seq);
        while ((item = scr_lane_next(lane, 4, rows[i].post_ms, 0, &due_ms)) != NULL)
            scr_lane_started(lane, item);
        if (lane->flying != rows[i].want)
            fail_msg("row %zu: %u fly", i, lane->flying);
        scr_lane_free(lane);
    }
}

static void settling_out_of_order_moves_on_only_over_what_is_settled(void **state)
{
    struct scr_lane *lane = *state;
    struct scr_item *items[3];
    int64_t due_ms = INT64_MAX;

    for (int64_t seq = 1; seq <= 6; seq++)
        add(lane, seq);
    for (int i = 0; i < 3; i++) {
        items[i] = scr_lane_next(lane, 4, 1000.0, 0, &due_ms);
        assert_non_null(items[i]);
        scr_lane_started(lane, items[i]);
    }
    scr_lane_settled(lane, items[2]);
    scr_lane_settled(lane, items[1]);
    assert_int_equal(lane->done_seq, 0);
    scr_lane_settled(lane, items[0]);
    assert_int_equal(lane->done_seq, 3);
}

static void kept_lines_settle_but_never_over_owed_ones(void **state)
{
    struct scr_lane *lane = *state;

    lane->last_seq = 4; /* one transaction of four: kept, owed, kept, owed */
    scr_lane_kept(lane, 1);
    assert_int_equal(lane->done_seq, 1);
    struct scr_capture capture = {.username = "u", .text = "t"};
    scr_lane_added(lane, 2, &capture);
    scr_lane_kept(lane, 3);
    assert_int_equal(lane->done_seq, 1);
    struct scr_item *item = fly(lane, 0);
    scr_lane_settled(lane, item);
    assert_int_equal(lane->done_seq, 3);
    scr_lane_added(lane, 4, &capture);
    assert_int_equal(lane->done_seq, 3);
}

static void the_window_is_bounded_and_the_rest_is_counted(void **state)
{
    struct scr_lane *lane = *state;

    for (int64_t seq = 1; seq <= 3 * SCR_WINDOW_MAX; seq++)
        add(lane, seq);
    assert_int_equal(lane->count, SCR_WINDOW_MAX);
    assert_true(lane->has_more);
    assert_int_equal(lane->pending, 3 * SCR_WINDOW_MAX);
    assert_int_equal(lane->seen_seq, SCR_WINDOW_MAX);
}

static void a_parked_session_sends_one_line_when_its_time_has_come(void **state)
{
    struct scr_lane *lane = *state;
    int64_t due_ms = INT64_MAX;

    for (int64_t seq = 1; seq <= 60; seq++)
        add(lane, seq);
    lane->park_status = 404;
    lane->park_until_ms = 30000;
    assert_null(scr_lane_next(lane, 4, 1000.0, 29999, &due_ms));
    assert_int_equal(due_ms, 30000);
    assert_null(scr_lane_probe(lane, false, 29999));
    struct scr_item *item = scr_lane_next(lane, 4, 1000.0, 30000, &due_ms);
    assert_non_null(item);
    scr_lane_started(lane, item);
    assert_null(scr_lane_next(lane, 4, 1000.0, 30000, &due_ms));
}

static void a_suspected_first_line_is_passed_by_the_probe(void **state)
{
    struct scr_lane *lane = *state;

    add(lane, 1);
    assert_int_equal(scr_lane_probe(lane, true, 0)->seq, 1); /* there is no other */
    add(lane, 2);
    assert_int_equal(scr_lane_probe(lane, false, 0)->seq, 1);
    assert_int_equal(scr_lane_probe(lane, true, 0)->seq, 2);
}

static void each_status_has_its_verdict(void **state)
{
    static const struct {
        int status;
        enum scr_verdict want;
    } rows[] = {
        {200, SCR_DELIVERED}, {204, SCR_DELIVERED}, {400, SCR_DEAD},      {409, SCR_DEAD},
        {413, SCR_DEAD},      {401, SCR_PARK_ALL},  {402, SCR_PARK_ALL},  {301, SCR_PARK_ALL},
        {403, SCR_PARK_LANE}, {404, SCR_PARK_LANE}, {405, SCR_PARK_LANE}, {422, SCR_PARK_LANE},
        {408, SCR_RETRY},     {429, SCR_RETRY},     {500, SCR_RETRY},     {502, SCR_RETRY},
        {503, SCR_RETRY},     {504, SCR_RETRY},     {0, SCR_RETRY},       {100, SCR_RETRY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (scr_verdict_of(rows[i].status) != rows[i].want)
            fail_msg("status %d", rows[i].status);
    }
}

static void pauses_grow_with_the_outage_from_a_quarter_second_to_thirty(void **state)
{
    static const struct {
        int64_t down_ms, min_ms, max_ms;
    } rows[] = {{0, 200, 300}, {4000, 800, 1200}, {40000, 8000, 12000}, {3600000, 24000, 30000}};
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int shake = 0; shake <= 10; shake++) {
            struct scr_endpoint endpoint = {0};
            scr_endpoint_failed(&endpoint, SCR_RETRY, 503, 0, 1000, 0.5);
            scr_endpoint_failed(&endpoint, SCR_RETRY, 503, 0, 1000 + rows[i].down_ms, shake / 10.0);
            int64_t pause_ms = endpoint.next_try_ms - 1000 - rows[i].down_ms;
            if (pause_ms < rows[i].min_ms || pause_ms > rows[i].max_ms)
                fail_msg("row %zu: %lld ms", i, (long long)pause_ms);
        }
    }
}

static void retry_after_is_never_cut_short_but_bounded(void **state)
{
    struct scr_endpoint endpoint = {0};
    (void)state;

    scr_endpoint_failed(&endpoint, SCR_RETRY, 429, 7000, 1000, 1.0);
    assert_int_equal(endpoint.next_try_ms, 8000);
    scr_endpoint_failed(&endpoint, SCR_RETRY, 429, 86400000, 1000, 1.0);
    assert_int_equal(endpoint.next_try_ms, 1000 + 3600000);
    assert_false(scr_endpoint_answered(&endpoint, 999)); /* began before the failure at 1000 */
    assert_true(endpoint.is_down);
    assert_true(scr_endpoint_answered(&endpoint, 1001));
    assert_false(scr_endpoint_answered(&endpoint, 1002)); /* it was up already */
}

static void a_refusal_of_all_is_asked_again_after_half_a_minute_to_five(void **state)
{
    struct scr_endpoint endpoint = {0};
    (void)state;

    scr_endpoint_failed(&endpoint, SCR_PARK_ALL, 401, 0, 0, 0.5);
    assert_true(endpoint.is_refusing);
    assert_int_equal(endpoint.next_try_ms, 30000);
    scr_endpoint_failed(&endpoint, SCR_PARK_ALL, 401, 0, 10000000, 0.5);
    assert_int_equal(endpoint.next_try_ms, 10300000);
}

static void a_line_of_its_own_waits_twice_as_long_each_time(void **state)
{
    (void)state;
    assert_int_equal(scr_backoff_ms(1, 250, 30000, 0.5), 250);
    assert_int_equal(scr_backoff_ms(3, 250, 30000, 0.5), 1000);
    assert_int_equal(scr_backoff_ms(1000, 250, 30000, 1.0), 30000);
}

static void the_worst_trouble_is_told(void **state)
{
    struct scr_alarms alarms = {0};
    (void)state;

    assert_string_equal(scr_alarm_worst(&alarms), "");
    scr_alarm_set(&alarms, SCR_TROUBLE_DOWN, "away %d", 1);
    scr_alarm_set(&alarms, SCR_TROUBLE_OUTBOX, "full");
    assert_string_equal(scr_alarm_worst(&alarms), "full");
    scr_alarm_clear(&alarms, SCR_TROUBLE_OUTBOX);
    assert_string_equal(scr_alarm_worst(&alarms), "away 1");
}

static void latencies_are_of_the_last_thousand(void **state)
{
    static struct scr_latency latency;
    (void)state;

    assert_int_equal(scr_latency_share(&latency, 0.5), 0);
    for (int i = 0; i < 500; i++)
        scr_latency_add(&latency, 9999);
    for (int i = 1; i <= 1000; i++)
        scr_latency_add(&latency, i);
    assert_int_equal(scr_latency_share(&latency, 0.5), 501);
    assert_int_equal(scr_latency_share(&latency, 0.99), 991);
    assert_int_equal(scr_latency_share(&latency, 1.0), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_flies_at_a_time_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_line_holds_up_those_behind_it_for_its_pause, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_that_keeps_failing_lets_others_pass, setup, teardown),
        cmocka_unit_test(several_fly_only_when_one_by_one_would_take_long),
        cmocka_unit_test_setup_teardown(settling_out_of_order_moves_on_only_over_what_is_settled,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(kept_lines_settle_but_never_over_owed_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(the_window_is_bounded_and_the_rest_is_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_parked_session_sends_one_line_when_its_time_has_come,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_suspected_first_line_is_passed_by_the_probe, setup,
                                        teardown),
        cmocka_unit_test(each_status_has_its_verdict),
        cmocka_unit_test(pauses_grow_with_the_outage_from_a_quarter_second_to_thirty),
        cmocka_unit_test(retry_after_is_never_cut_short_but_bounded),
        cmocka_unit_test(a_refusal_of_all_is_asked_again_after_half_a_minute_to_five),
        cmocka_unit_test(a_line_of_its_own_waits_twice_as_long_each_time),
        cmocka_unit_test(the_worst_trouble_is_told),
        cmocka_unit_test(latencies_are_of_the_last_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
