/* tests/unit/test_gateway_cost.c - what saves calls: remembered verdicts, budgets, and the switches
 * that choose who is asked about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "fcgi/gateway_budget.h"
#include "fcgi/gateway_cache.h"
#include "fcgi/gateway_route.h"

static struct df_chat_line line_of(const char *username, const char *message)
{
    return (struct df_chat_line){.platform = "whatnot",
                                 .platform_len = 7,
                                 .username = username,
                                 .username_len = strlen(username),
                                 .message = message,
                                 .message_len = strlen(message)};
}

/* --- cache ------------------------------------------------------------------------------------ */

static struct mrs_cache *new_cache(size_t max, int64_t ttl_ms)
{
    struct mrs_cache *cache = NULL;
    assert_int_equal(mrs_cache_new(&cache, max, ttl_ms, NULL), DF_OK);
    return cache;
}

static void put(struct mrs_cache *cache, const char *user, const char *text, int64_t now_ms)
{
    struct df_chat_line line = line_of(user, text);
    struct df_verdict verdict = {
        .is_buyer = true, .confidence = 0.9, .type = DF_DIRECT_PURCHASE, .item = "red jacket"};
    mrs_cache_put(cache, &line, now_ms, &verdict, "m1");
}

static bool get(struct mrs_cache *cache, const char *user, const char *text, int64_t now_ms,
                struct df_verdict *verdict)
{
    struct df_chat_line line = line_of(user, text);
    char model[96];
    bool found = mrs_cache_get(cache, &line, now_ms, verdict, model, sizeof model);
    if (found)
        assert_string_equal(model, "m1");
    return found;
}

static void the_same_text_is_known_however_it_is_written(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(10, 1000);

    (void)state;
    put(cache, "ann", "the red jacket please", 0);
    assert_true(get(cache, "bob", "The RED  jacket PLEASE", 10, &v));
    assert_true(v.is_buyer);
    assert_false(get(cache, "bob", "the red jacket for 45", 10, &v));
    assert_false(get(cache, "bob", "", 10, &v));
    mrs_cache_free(cache);
}

static void an_item_is_quoted_from_the_line_itself(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(10, 1000);

    (void)state;
    put(cache, "ann", "red jacket please", 0);
    assert_true(get(cache, "bob", "RED JACKET please", 10, &v));
    assert_string_equal(v.item, "RED JACKET");
    assert_true(get(cache, "bob", "red  jacket please", 10, &v));
    assert_string_equal(v.item, ""); /* no such words in a row here */
    mrs_cache_free(cache);
}

static void hosts_and_bots_are_neither_remembered_nor_answered(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(10, 1000);

    (void)state;
    put(cache, "mod_dre", "mine", 0);
    assert_false(get(cache, "ann", "mine", 1, &v));
    put(cache, "ann", "mine", 2);
    assert_true(get(cache, "bob", "mine", 3, &v));
    assert_false(get(cache, "mod_dre", "mine", 3, &v));
    assert_false(get(cache, "bidbot3000", "mine", 3, &v));
    mrs_cache_free(cache);
}

static void a_verdict_is_forgotten_after_its_time(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(10, 1000);
    struct mrs_cache_stats stats;

    (void)state;
    put(cache, "ann", "mine", 0);
    assert_true(get(cache, "ann", "mine", 999, &v));
    assert_false(get(cache, "ann", "mine", 1000, &v));
    mrs_cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 0);
    put(cache, "ann", "mine", 1000);
    put(cache, "ann", "mine", 1500); /* heard again: lives on */
    assert_true(get(cache, "ann", "mine", 2400, &v));
    mrs_cache_stats(cache, &stats);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 1);
    mrs_cache_free(cache);
}

static void the_one_used_longest_ago_makes_room(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(3, 1000);
    struct mrs_cache_stats stats;

    (void)state;
    put(cache, "ann", "one", 0);
    put(cache, "ann", "two", 0);
    put(cache, "ann", "three", 0);
    assert_true(get(cache, "ann", "one", 1, &v));
    put(cache, "ann", "four", 2);
    assert_false(get(cache, "ann", "two", 3, &v));
    assert_true(get(cache, "ann", "one", 3, &v));
    assert_true(get(cache, "ann", "three", 3, &v));
    assert_true(get(cache, "ann", "four", 3, &v));
    for (int i = 0; i < 5000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "lot number %d", i);
        put(cache, "ann", text, 4);
    }
    mrs_cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 3);
    mrs_cache_free(cache);
}

static void a_reset_forgets_and_size_zero_is_off(void **state)
{
    struct df_verdict v;
    struct mrs_cache *cache = new_cache(0, 1000);

    (void)state;
    put(cache, "ann", "mine", 0);
    assert_false(get(cache, "ann", "mine", 0, &v));
    assert_int_equal(mrs_cache_reset(cache, 5, 1000, NULL), DF_OK);
    put(cache, "ann", "mine", 0);
    assert_true(get(cache, "ann", "mine", 0, &v));
    assert_int_equal(mrs_cache_reset(cache, 5, 1000, NULL), DF_OK);
    assert_false(get(cache, "ann", "mine", 0, &v));
    mrs_cache_free(cache);
}

static void *use_cache(void *cache)
{
    struct df_verdict v;
    for (int i = 0; i < 4000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "lot %d", i * 7 % 90);
        put(cache, "ann", text, i);
        (void)get(cache, "bob", text, i, &v);
        if (i % 1000 == 0 && mrs_cache_reset(cache, 40, 1000, NULL) != DF_OK)
            return cache;
    }
    return NULL;
}

static void threads_may_share_a_cache(void **state)
{
    pthread_t threads[4];
    void *failed = NULL;
    struct mrs_cache *cache = new_cache(40, 1000);
    struct mrs_cache_stats stats;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_cache, cache), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    mrs_cache_stats(cache, &stats);
    assert_true(stats.entries <= 40);
    assert_int_equal(stats.hits + stats.misses, 16000);
    mrs_cache_free(cache);
}

/* --- budget ----------------------------------------------------------------------------------- */

static struct df_uuid show(unsigned n)
{
    struct df_uuid id = {{0x01}};
    memcpy(&id.bytes[8], &n, sizeof n);
    return id;
}

static void a_show_stops_at_its_limit_and_the_others_go_on(void **state)
{
    struct mrs_budget b;
    const struct mrs_budget_limits limits = {.unit = MRS_BUDGET_CALLS, .session = 3};
    struct df_uuid one = show(1), two = show(2), none = {{0}};

    (void)state;
    mrs_budget_init(&b, &limits);
    for (int i = 0; i < 3; i++)
        assert_true(mrs_budget_take(&b, &one, 1));
    assert_false(mrs_budget_take(&b, &one, 1));
    assert_true(mrs_budget_is_spent(&b, &one));
    assert_false(mrs_budget_is_spent(&b, &two));
    assert_true(mrs_budget_take(&b, &two, 1));
    mrs_budget_return(&b, &one, 1);
    assert_true(mrs_budget_take(&b, &one, 1));
    assert_false(mrs_budget_take(&b, &one, 1));
    for (int i = 0; i < 100; i++)
        assert_true(mrs_budget_take(&b, &none, 1)); /* no show: no limit of a show */
    mrs_budget_release(&b);
}

static void many_shows_are_told_apart(void **state)
{
    struct mrs_budget b;
    const struct mrs_budget_limits limits = {.unit = MRS_BUDGET_CALLS, .session = 2};

    (void)state;
    mrs_budget_init(&b, &limits);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 1; i <= 20000; i++) {
            struct df_uuid id = show(i);
            assert_int_equal(mrs_budget_take(&b, &id, 1), round < 2);
        }
    assert_int_equal(b.session_count, 20000);
    /* Far more shows than are ever open at once: old ones are forgotten, memory is not. */
    for (unsigned i = 1; i <= 300000; i++) {
        struct df_uuid id = show(1000000 + i);
        assert_true(mrs_budget_take(&b, &id, 1));
    }
    assert_true(b.session_max <= 65536);
    mrs_budget_release(&b);
}

static void the_day_is_spent_from_its_lease(void **state)
{
    struct mrs_budget b;
    const struct mrs_budget_limits limits = {.unit = MRS_BUDGET_CALLS, .day = 1000};
    struct df_uuid one = show(1);

    (void)state;
    mrs_budget_init(&b, &limits);
    assert_true(mrs_budget_is_spent(&b, &one)); /* nothing leased yet */
    assert_false(mrs_budget_take(&b, &one, 1));
    assert_int_equal(mrs_budget_day_wants(&b), 125);
    mrs_budget_day_grant(&b, 125);
    assert_int_equal(mrs_budget_day_wants(&b), 0);
    for (int i = 0; i < 63; i++)
        assert_true(mrs_budget_take(&b, &one, 1));
    assert_int_equal(mrs_budget_day_wants(&b), 63);
    for (int i = 0; i < 62; i++)
        assert_true(mrs_budget_take(&b, &one, 1));
    assert_false(mrs_budget_take(&b, &one, 1));
    mrs_budget_return(&b, &one, 1);
    assert_int_equal(mrs_budget_day_surrender(&b), 1);
    assert_true(mrs_budget_is_spent(&b, &one));
    mrs_budget_release(&b);
}

static void a_small_day_is_leased_whole(void **state)
{
    struct mrs_budget b;
    const struct mrs_budget_limits limits = {.unit = MRS_BUDGET_CALLS, .day = 5};

    (void)state;
    mrs_budget_init(&b, &limits);
    assert_int_equal(mrs_budget_day_wants(&b), 5);
    mrs_budget_release(&b);
}

static void money_is_counted_in_millionths_of_a_cent(void **state)
{
    struct mrs_budget b;
    const struct mrs_budget_limits limits = {
        .unit = MRS_BUDGET_CENTS, .session = 1, .price_in = 0.30, .price_out = 2.50};
    struct df_uuid one = show(1);
    int calls = 0;

    (void)state;
    mrs_budget_init(&b, &limits);
    /* 410 in at 0.30 and 40 out at 2.50 dollars a million are 223 millionths of a dollar. */
    assert_int_equal(mrs_budget_cost(&b, 410, 40), 22300);
    assert_int_equal(mrs_budget_micro_usd(&limits, 410, 40), 223);
    while (mrs_budget_take(&b, &one, 22300))
        calls++;
    assert_int_equal(calls, 44); /* 0.9812 cents; one more would pass the cent */
    mrs_budget_return(&b, &one, -18800); /* a bill above the guess: all gone */
    assert_true(mrs_budget_is_spent(&b, &one));
    mrs_budget_release(&b);
}

static void new_limits_keep_what_was_spent_unless_the_unit_changes(void **state)
{
    struct mrs_budget b;
    struct mrs_budget_limits limits = {.unit = MRS_BUDGET_CALLS, .session = 3};
    struct df_uuid one = show(1);

    (void)state;
    mrs_budget_init(&b, &limits);
    for (int i = 0; i < 3; i++)
        assert_true(mrs_budget_take(&b, &one, 1));
    limits.session = 4;
    mrs_budget_set(&b, &limits);
    assert_true(mrs_budget_take(&b, &one, 1));
    assert_false(mrs_budget_take(&b, &one, 1));
    limits.unit = MRS_BUDGET_TOKENS;
    mrs_budget_set(&b, &limits);
    assert_true(mrs_budget_take(&b, &one, 4));
    mrs_budget_release(&b);
}

/* --- routes ----------------------------------------------------------------------------------- */

static struct mrs_route_rules *rules_of(const char *prefilter, const char *only, const char *skip)
{
    struct mrs_route_rules *rules = NULL;
    const struct mrs_route_options options = {
        .prefilter = prefilter, .only_users = only, .skip_users = skip};
    assert_int_equal(mrs_route_rules_new(&rules, &options, NULL), DF_OK);
    return rules;
}

static void the_prefilter_finds_whole_words(void **state)
{
    static const struct {
        const char *list, *message;
        bool want;
    } cases[] = {
        {"on", "MINE!!", true},
        {"on", "miiiine", true},
        {"on", "how much", true},
        {"on", "\xc2\xbf" "cuanto cuesta?", true},
        {"on", "25", true},
        {"on", "lol", false},
        {"on", "hello everybody", false},
        {"on", "\xf0\x9f\x94\xa5\xf0\x9f\x94\xa5", false},
        {"off", "lol", true},
        {"mine", "determined", false},
        {"mine", "it is MINE.", true},
        {"ship*", "SHIPPING?", true},
        {"ship", "shipping", false},
        {"#", "lot 22", true},
        {"#", "lot", false},
        {"how much , take it", "I'd TAKE it", true},
        {"$", "five $", true},
        {"\xe2\x82\xac", "five \xe2\x82\xac", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mrs_route_rules *rules = rules_of(cases[i].list, NULL, NULL);
        struct df_chat_line line = line_of("ann", cases[i].message);
        if (mrs_route_has_word(rules, &line) != cases[i].want)
            fail_msg("row %zu: '%s' in '%s'", i, cases[i].list, cases[i].message);
        mrs_route_rules_free(rules);
    }
}

static void users_are_chosen_by_name(void **state)
{
    static const struct {
        const char *only, *skip, *user;
        bool want;
    } cases[] = {
        {NULL, NULL, "ann", true},        {"ann,bob", NULL, "ANN", true},
        {"ann,bob", NULL, "anna", false}, {"ann*", NULL, "anna", true},
        {"*bot", NULL, "bidbot", true},   {"*bot", NULL, "bots", false},
        {"*x*", NULL, "max77", true},     {NULL, "ann", "ann", false},
        {NULL, "ann", "bob", true},       {"*", "ann", "ann", false},
        {"*", "ann", "bob", true},        {"@ann", NULL, "ann", true},
        {"ann", NULL, "@Ann", true},      {"ann", NULL, "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mrs_route_rules *rules = rules_of("off", cases[i].only, cases[i].skip);
        struct df_chat_line line = line_of(cases[i].user, "mine");
        if (mrs_route_wants_user(rules, &line) != cases[i].want)
            fail_msg("row %zu: %s", i, cases[i].user);
        mrs_route_rules_free(rules);
    }
}

static void a_bad_list_is_refused_by_name(void **state)
{
    struct mrs_route_rules *rules = NULL;
    struct df_error err = {0};
    char name[200];
    struct mrs_route_options options = {.prefilter = ", ,"};

    (void)state;
    assert_int_equal(mrs_route_rules_new(&rules, &options, &err), DF_EINPUT);
    assert_non_null(strstr(err.msg, "AI_PREFILTER"));
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = "abc"[i % 3]; /* letters that repeat would be shortened */
    name[sizeof name - 1] = '\0';
    options = (struct mrs_route_options){.prefilter = name};
    assert_int_equal(mrs_route_rules_new(&rules, &options, &err), DF_EINPUT);
    options = (struct mrs_route_options){.prefilter = "off", .only_users = name};
    assert_int_equal(mrs_route_rules_new(&rules, &options, &err), DF_EINPUT);
    assert_non_null(strstr(err.msg, "AI_ONLY_USERS"));
    assert_null(rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_text_is_known_however_it_is_written),
        cmocka_unit_test(an_item_is_quoted_from_the_line_itself),
        cmocka_unit_test(hosts_and_bots_are_neither_remembered_nor_answered),
        cmocka_unit_test(a_verdict_is_forgotten_after_its_time),
        cmocka_unit_test(the_one_used_longest_ago_makes_room),
        cmocka_unit_test(a_reset_forgets_and_size_zero_is_off),
        cmocka_unit_test(threads_may_share_a_cache),
        cmocka_unit_test(a_show_stops_at_its_limit_and_the_others_go_on),
        cmocka_unit_test(many_shows_are_told_apart),
        cmocka_unit_test(the_day_is_spent_from_its_lease),
        cmocka_unit_test(a_small_day_is_leased_whole),
        cmocka_unit_test(money_is_counted_in_millionths_of_a_cent),
        cmocka_unit_test(new_limits_keep_what_was_spent_unless_the_unit_changes),
        cmocka_unit_test(the_prefilter_finds_whole_words),
        cmocka_unit_test(users_are_chosen_by_name),
        cmocka_unit_test(a_bad_list_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
