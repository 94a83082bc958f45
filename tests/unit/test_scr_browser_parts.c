/* tests/unit/test_scr_browser_parts.c - flags, complaints, turns and listeners, without a browser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/browser_launch.h"
#include "scraper/browser_listeners.h"
#include "scraper/browser_stderr.h"
#include "scraper/browser_turns.h"
#include "shared/clock.h"

#define PATIENCE_MS 10000

/* --- flags ----------------------------------------------------------------------------------- */

static void flags_split_at_blanks_outside_quotes(void **state)
{
    /* clang-format off */
    static const struct { const char *text; bool ok; const char *want; } rows[] = {
        {"", true, ""},
        {"  \t\n", true, ""},
        {"--a", true, "--a|"},
        {" --a  --b=1\t--c ", true, "--a|--b=1|--c|"},
        {"\"--host-resolver-rules=MAP * 127.0.0.1\" --x", true,
         "--host-resolver-rules=MAP * 127.0.0.1|--x|"},
        {"--r='MAP a \"b\"' ''", true, "--r=MAP a \"b\"||"},
        {"--open=\"x y", false, NULL},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *word[8], got[200] = "";
        size_t count;
        bool ok = scr_launch_split_flags(rows[i].text, word, 8, &count);
        for (size_t k = 0; k < count; k++) {
            (void)strncat(got, word[k], 100);
            (void)strncat(got, "|", 2);
            free(word[k]);
        }
        if (ok != rows[i].ok || (ok && strcmp(got, rows[i].want) != 0))
            fail_msg("row %zu: %d %s", i, ok, got);
    }
}

static void too_many_flags_are_refused(void **state)
{
    char *word[2];
    size_t count;

    (void)state;
    assert_false(scr_launch_split_flags("a b c", word, 2, &count));
    assert_int_equal(count, 2);
    free(word[0]);
    free(word[1]);
}

/* --- complaints ------------------------------------------------------------------------------ */

static void feed(struct scr_stderr *from, const char *text)
{
    scr_stderr_feed(from, text, strlen(text));
}

static void the_line_that_names_the_cause_is_kept(void **state)
{
    struct scr_stderr from = {0};

    (void)state;
    feed(&from, "noise one\nnoise");
    assert_string_equal(from.last, "noise one");
    feed(&from, " two\n\n#0 0x123 trace\n");
    assert_string_equal(from.last, "noise two");
    assert_false(from.is_telling);
    feed(&from, "x: error while loading shared libraries: libnss3.so: cannot open\nmore noise\n");
    assert_string_equal(from.last,
                        "x: error while loading shared libraries: libnss3.so: cannot open");
    assert_true(from.is_telling);
}

static void a_line_without_end_is_cut(void **state)
{
    struct scr_stderr from = {0};

    (void)state;
    for (int i = 0; i < 5000; i++)
        feed(&from, "x");
    feed(&from, "\nshort\n");
    assert_string_equal(from.last, "short");
}

/* --- turns ----------------------------------------------------------------------------------- */

struct page {
    int turns;
    int64_t turn_ms;
};

static void on_turn(void *arg)
{
    struct page *page = arg;
    page->turns++;
    page->turn_ms = df_clock_mono_ms();
}

static void run_until(struct scr_loop *loop, const int *count, int wanted)
{
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;
    while (*count < wanted && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(loop, 20);
    assert_int_equal(*count, wanted);
}

static void one_navigates_at_a_time_and_not_too_soon(void **state)
{
    struct scr_loop *loop;
    struct scr_turns *turns;
    struct page a = {0}, b = {0}, c = {0};

    (void)state;
    assert_int_equal(scr_loop_new(&loop, NULL), DF_OK);
    assert_int_equal(scr_turns_new(&turns, loop, 60, 60000, NULL), DF_OK);
    scr_turns_ask(turns, on_turn, &a);
    scr_turns_ask(turns, on_turn, &b);
    scr_turns_ask(turns, on_turn, &c);
    assert_int_equal(a.turns, 0); /* never from inside the call */
    run_until(loop, &a.turns, 1);
    scr_loop_dispatch(loop, 80); /* longer than the gap: a holds it still */
    assert_int_equal(b.turns, 0);
    scr_turns_done(turns, &b); /* withdraws */
    scr_turns_done(turns, &a);
    run_until(loop, &c.turns, 1);
    assert_true(c.turn_ms - a.turn_ms >= 60);
    assert_int_equal(b.turns, 0);
    scr_turns_done(turns, &c);
    scr_turns_done(turns, &c); /* once more does no harm */
    scr_turns_ask(turns, on_turn, &b);
    run_until(loop, &b.turns, 1);
    assert_true(b.turn_ms - c.turn_ms >= 60);
    assert_int_equal(a.turns + c.turns, 2);
    scr_turns_free(turns);
    scr_loop_free(loop);
}

static void who_forgets_to_end_loses_the_turn(void **state)
{
    struct scr_loop *loop;
    struct scr_turns *turns;
    struct page a = {0}, b = {0};

    (void)state;
    assert_int_equal(scr_loop_new(&loop, NULL), DF_OK);
    assert_int_equal(scr_turns_new(&turns, loop, 1, 50, NULL), DF_OK);
    scr_turns_ask(turns, on_turn, &a);
    scr_turns_ask(turns, on_turn, &b);
    run_until(loop, &b.turns, 1);
    assert_true(b.turn_ms - a.turn_ms >= 50);
    scr_turns_free(turns);
    scr_loop_free(loop);
}

/* --- listeners ------------------------------------------------------------------------------- */

struct member {
    struct scr_browser_listener listener;
    struct scr_listeners *all;
    struct member *other; /* removed by its callback */
    int ups, downs;
};

static void up_removing(void *arg)
{
    struct member *member = arg;
    member->ups++;
    if (member->other != NULL)
        scr_listeners_remove(member->all, &member->other->listener);
    scr_listeners_remove(member->all, &member->listener);
}

static void count_down(void *arg, const char *reason)
{
    assert_string_equal(reason, "gone");
    ((struct member *)arg)->downs++;
}

static void listeners_may_remove_each_other_while_told(void **state)
{
    struct scr_listeners all = {0};
    struct member member[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        member[i] = (struct member){.all = &all};
        member[i].listener.arg = &member[i];
        member[i].listener.on_up = up_removing;
        member[i].listener.on_down = count_down;
        scr_listeners_add(&all, &member[i].listener);
    }
    member[0].other = &member[1]; /* the very next one */
    member[2].other = &member[0]; /* one that has gone */
    scr_listeners_up(&all);
    assert_int_equal(member[0].ups, 1);
    assert_int_equal(member[1].ups, 0);
    assert_int_equal(member[2].ups, 1);
    assert_int_equal(member[3].ups, 1);
    assert_null(all.first);
    scr_listeners_down(&all, "gone");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(member[i].downs, 0);
    scr_listeners_release(&all);
}

static void up_and_down_come_in_pairs(void **state)
{
    struct scr_listeners all = {0};
    struct member member = {.listener = {.on_down = count_down}};

    (void)state;
    member.listener.arg = &member;
    scr_listeners_add(&all, &member.listener);
    scr_listeners_down(&all, "gone"); /* a start that failed */
    assert_int_equal(member.downs, 0);
    scr_listeners_up(&all);
    scr_listeners_up(&all);
    scr_listeners_down(&all, "gone");
    scr_listeners_down(&all, "gone");
    assert_int_equal(member.downs, 1);
    assert_false(scr_listeners_know(&all, ""));
    (void)snprintf(member.listener.target_id, sizeof member.listener.target_id, "T");
    assert_true(scr_listeners_know(&all, "T"));
    scr_listeners_remove(&all, &member.listener);
    assert_false(scr_listeners_know(&all, "T"));
    scr_listeners_release(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_split_at_blanks_outside_quotes),
        cmocka_unit_test(too_many_flags_are_refused),
        cmocka_unit_test(the_line_that_names_the_cause_is_kept),
        cmocka_unit_test(a_line_without_end_is_cut),
        cmocka_unit_test(one_navigates_at_a_time_and_not_too_soon),
        cmocka_unit_test(who_forgets_to_end_loses_the_turn),
        cmocka_unit_test(listeners_may_remove_each_other_while_told),
        cmocka_unit_test(up_and_down_come_in_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
