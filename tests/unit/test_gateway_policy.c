/* tests/unit/test_gateway_policy.c - the breaker, the waits between tries, and what is learnt. */
#include "fcgi/gateway_policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void eight_failures_in_a_row_open_the_breaker(void **state)
{
    struct mrs_breaker breaker = {0};

    (void)state;
    for (int i = 0; i < 7; i++)
        assert_int_equal(mrs_breaker_report(&breaker, 503, false, 0, 0), MRS_BREAKER_SAME);
    assert_int_equal(mrs_breaker_report(&breaker, 200, false, 0, 0), MRS_BREAKER_SAME);
    for (int i = 0; i < 7; i++)
        assert_int_equal(mrs_breaker_report(&breaker, i % 2 == 0 ? 0 : 429, false, 0, 0),
                         MRS_BREAKER_SAME);
    assert_int_equal(mrs_breaker_gate(&breaker, 0), MRS_GATE_PASS);
    assert_int_equal(mrs_breaker_report(&breaker, 500, false, 0, 1000), MRS_BREAKER_OPENED);
    assert_int_equal(mrs_breaker_gate(&breaker, 1000), MRS_GATE_REFUSE);
    assert_int_equal(mrs_breaker_gate(&breaker, 2999), MRS_GATE_REFUSE);
    assert_int_equal(mrs_breaker_gate(&breaker, 3000), MRS_GATE_PROBE);
    assert_int_equal(mrs_breaker_gate(&breaker, 3000), MRS_GATE_REFUSE); /* one probe only */
}

static void faults_of_the_caller_never_open_the_breaker(void **state)
{
    struct mrs_breaker breaker = {0};

    (void)state;
    for (int i = 0; i < 50; i++)
        assert_int_equal(mrs_breaker_report(&breaker, i % 2 == 0 ? 400 : 404, false, 0, 0),
                         MRS_BREAKER_SAME);
    assert_false(breaker.is_open);
}

static void a_bad_key_or_no_credit_opens_at_once_for_minutes(void **state)
{
    static const int statuses[] = {401, 402, 403};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct mrs_breaker breaker = {0};
        assert_int_equal(mrs_breaker_report(&breaker, statuses[i], false, 0, 0), MRS_BREAKER_OPENED);
        assert_int_equal(breaker.status, statuses[i]);
        assert_int_equal(mrs_breaker_gate(&breaker, 119999), MRS_GATE_REFUSE);
        assert_int_equal(mrs_breaker_gate(&breaker, 300000), MRS_GATE_PROBE);
    }
}

static void a_failed_probe_doubles_the_pause_up_to_half_a_minute(void **state)
{
    static const int64_t pauses[] = {2000, 4000, 8000, 16000, 30000, 30000};
    struct mrs_breaker breaker = {0};
    int64_t now_ms = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        (void)mrs_breaker_report(&breaker, 0, false, 0, now_ms);
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        assert_int_equal(breaker.pause_ms, pauses[i]);
        now_ms = breaker.until_ms;
        assert_int_equal(mrs_breaker_gate(&breaker, now_ms), MRS_GATE_PROBE);
        assert_int_equal(mrs_breaker_report(&breaker, 500, true, 0, now_ms), MRS_BREAKER_SAME);
        assert_int_equal(mrs_breaker_gate(&breaker, now_ms), MRS_GATE_REFUSE);
    }
    assert_int_equal(mrs_breaker_report(&breaker, 200, true, 0, now_ms), MRS_BREAKER_CLOSED);
    assert_int_equal(mrs_breaker_gate(&breaker, now_ms), MRS_GATE_PASS);
}

static void only_the_probe_counts_while_open(void **state)
{
    struct mrs_breaker breaker = {0};

    (void)state;
    (void)mrs_breaker_report(&breaker, 401, false, 0, 0);
    int64_t until_ms = breaker.until_ms;
    assert_int_equal(mrs_breaker_report(&breaker, 200, false, 0, 5), MRS_BREAKER_SAME);
    assert_int_equal(mrs_breaker_report(&breaker, 500, false, 0, 5), MRS_BREAKER_SAME);
    assert_true(breaker.is_open);
    assert_int_equal(breaker.until_ms, until_ms);
    assert_int_equal(mrs_breaker_gate(&breaker, until_ms), MRS_GATE_PROBE);
    mrs_breaker_abandon(&breaker); /* it timed out in the queue: the next one may try */
    assert_int_equal(mrs_breaker_gate(&breaker, until_ms), MRS_GATE_PROBE);
}

static void retry_after_stretches_the_pause_within_reason(void **state)
{
    struct mrs_breaker breaker = {0};

    (void)state;
    for (int i = 0; i < 8; i++)
        (void)mrs_breaker_report(&breaker, 429, false, 10000, 0);
    assert_int_equal(breaker.pause_ms, 10000);
    breaker = (struct mrs_breaker){0};
    for (int i = 0; i < 8; i++)
        (void)mrs_breaker_report(&breaker, 429, false, 3600000, 0);
    assert_int_equal(breaker.pause_ms, 60000);
}

static void waits_grow_and_stay_within_the_deadline(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 5000; random += 7) {
        for (int tries = 0; tries < MRS_RETRIES_MAX; tries++) {
            int64_t full_ms = 100 << tries;
            int64_t delay_ms = mrs_retry_delay_ms(tries, 0, random, 0, 60000);
            assert_true(delay_ms >= full_ms / 2 && delay_ms <= full_ms);
        }
    }
    assert_int_equal(mrs_retry_delay_ms(MRS_RETRIES_MAX, 0, 0, 0, 60000), -1);
    assert_int_equal(mrs_retry_delay_ms(0, 0, 0, 1000, 1099), -1);
    assert_int_equal(mrs_retry_delay_ms(0, 0, 0, 1000, 1100), 50);
    assert_int_equal(mrs_retry_delay_ms(0, 2, 0, 1000, 5000), 2000);
    assert_int_equal(mrs_retry_delay_ms(0, 4, 0, 1000, 5000), -1);
    assert_int_equal(mrs_retry_delay_ms(0, INT64_MAX / 4, 0, 1000, 5000), -1);
}

static void an_unproven_mode_goes_at_the_first_miss(void **state)
{
    struct mrs_learned learned;

    (void)state;
    mrs_learned_init(&learned, MRS_AI_AUTO);
    assert_int_equal(learned.mode, MRS_AI_TOOL);
    assert_true(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_int_equal(learned.mode, MRS_AI_JSON_SCHEMA);
    /* What was under way in the old mode changes nothing more. */
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_true(mrs_learned_answer(&learned, MRS_AI_JSON_SCHEMA, false, true));
    assert_int_equal(learned.mode, MRS_AI_JSON_OBJECT);
    assert_true(mrs_learned_answer(&learned, MRS_AI_JSON_OBJECT, false, true));
    assert_int_equal(learned.mode, MRS_AI_TOOL); /* round again */
}

static void a_proven_mode_survives_two_misses(void **state)
{
    struct mrs_learned learned;

    (void)state;
    mrs_learned_init(&learned, MRS_AI_AUTO);
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, true, true));
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, true, true));
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_false(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_true(mrs_learned_answer(&learned, MRS_AI_TOOL, false, false));
    assert_int_equal(learned.mode, MRS_AI_JSON_SCHEMA);
    mrs_learned_init(&learned, MRS_AI_REQUIRED);
    for (int i = 0; i < 10; i++)
        assert_false(mrs_learned_answer(&learned, MRS_AI_REQUIRED, false, false));
    assert_int_equal(learned.mode, MRS_AI_REQUIRED);
}

static void a_refused_model_is_left_out_for_some_minutes(void **state)
{
    struct mrs_learned learned;
    size_t next = 99;
    bool is_news = false;

    (void)state;
    mrs_learned_init(&learned, MRS_AI_TOOL);
    assert_int_equal(mrs_learned_model(&learned, 1000), 0);
    assert_true(mrs_learned_model_refused(&learned, 0, 2, 1000, &next, &is_news));
    assert_int_equal(next, 1);
    assert_true(is_news);
    assert_true(mrs_learned_model_refused(&learned, 0, 2, 1001, &next, &is_news));
    assert_false(is_news); /* another ask met the same */
    assert_int_equal(mrs_learned_model(&learned, 1002), 1);
    assert_false(mrs_learned_model_refused(&learned, 1, 2, 1003, &next, &is_news));
    assert_int_equal(mrs_learned_model(&learned, 1000 + 5 * 60 * 1000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_failures_in_a_row_open_the_breaker),
        cmocka_unit_test(faults_of_the_caller_never_open_the_breaker),
        cmocka_unit_test(a_bad_key_or_no_credit_opens_at_once_for_minutes),
        cmocka_unit_test(a_failed_probe_doubles_the_pause_up_to_half_a_minute),
        cmocka_unit_test(only_the_probe_counts_while_open),
        cmocka_unit_test(retry_after_stretches_the_pause_within_reason),
        cmocka_unit_test(waits_grow_and_stay_within_the_deadline),
        cmocka_unit_test(an_unproven_mode_goes_at_the_first_miss),
        cmocka_unit_test(a_proven_mode_survives_two_misses),
        cmocka_unit_test(a_refused_model_is_left_out_for_some_minutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
