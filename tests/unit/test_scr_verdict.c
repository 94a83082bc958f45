/* tests/unit/test_scr_verdict.c - who raises an alert, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/verdict.h"

static const struct df_capture_rule rule = {.threshold = 0.7, .type_mask = ~0U};

static int open_model(void **state)
{
    struct df_intent_model *model = NULL;
    struct df_error err = {0};

    if (df_intent_model_open(&model, getenv("DF_INTENT_WEIGHTS"), &err) != DF_OK)
        fail_msg("%s", err.msg);
    *state = model;
    return 0;
}

static int close_model(void **state)
{
    df_intent_model_close(*state);
    return 0;
}

static struct scr_verdict judge(void **state, const char *text, enum scr_kind kind,
                                enum scr_role role)
{
    struct scr_verdict verdict;
    scr_verdict_make(&verdict, *state, &rule, "whatnot", "river_kicks", text, kind, role);
    return verdict;
}

static void alerts_for_a_viewer_who_buys(void **state)
{
    assert_true(judge(state, "I'll take it", SCR_CHAT, SCR_VIEWER).is_buyer);
    assert_false(judge(state, "gm everyone", SCR_CHAT, SCR_VIEWER).is_buyer);
}

static void never_alerts_for_hosts_and_moderators(void **state)
{
    assert_false(judge(state, "I'll take it", SCR_CHAT, SCR_HOST).is_buyer);
    assert_false(judge(state, "I'll take it", SCR_CHAT, SCR_MODERATOR).is_buyer);
}

static void judges_chat_only(void **state)
{
    struct scr_verdict verdict = judge(state, "I'll take it", SCR_ANNOUNCEMENT, SCR_VIEWER);
    assert_false(verdict.is_buyer);
    assert_true(verdict.judged.confidence == 0.0);
    assert_int_equal(verdict.judged.value_cents, DF_VALUE_NONE);
}

static void without_a_model_nobody_is_a_buyer(void **state)
{
    struct scr_verdict verdict;
    (void)state;
    scr_verdict_make(&verdict, NULL, &rule, "whatnot", "a", "I'll take it", SCR_CHAT, SCR_VIEWER);
    assert_false(verdict.is_buyer);
}

static void marks_questions(void **state)
{
    assert_true(judge(state, "how much for the blue one?", SCR_CHAT, SCR_VIEWER).is_question);
    assert_false(judge(state, "lets gooo", SCR_CHAT, SCR_VIEWER).is_question);
}

static void says_why_with_item_and_offer(void **state)
{
    char text[400];
    struct scr_verdict verdict = {
        .judged = {.type = DF_DIRECT_PURCHASE, .item = "blue jacket", .value_cents = 2050}};
    (void)state;
    assert_string_equal(scr_verdict_reason(text, sizeof text, &verdict),
                        "wants to buy: blue jacket, offers $20.50");
    verdict.judged = (struct df_verdict){.type = DF_PRICING_QUESTION, .value_cents = DF_VALUE_NONE};
    assert_string_equal(scr_verdict_reason(text, sizeof text, &verdict), "asks for the price");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alerts_for_a_viewer_who_buys),
        cmocka_unit_test(never_alerts_for_hosts_and_moderators),
        cmocka_unit_test(judges_chat_only),
        cmocka_unit_test(without_a_model_nobody_is_a_buyer),
        cmocka_unit_test(marks_questions),
        cmocka_unit_test(says_why_with_item_and_offer),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
