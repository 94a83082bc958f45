/* tests/unit/test_scr_history.c - which lines are new. A line is written as one word "user:text",
 * with "#id" behind it when a frame brought it; a report as words in a row. */
#include "scraper/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINES_MAX = 1200 };

static struct scr_history *history;
static char words[65536];
static struct scr_line lines[LINES_MAX];
static bool is_new[LINES_MAX], is_gap;

static int make_history(void **state)
{
    (void)state;
    return scr_history_new(&history, 10000, 300000, NULL) == DF_OK ? 0 : -1;
}

static int free_history(void **state)
{
    (void)state;
    scr_history_free(history);
    return 0;
}

static struct scr_line read_word(char *word)
{
    char *text = strchr(word, ':'), *id = strchr(word, '#');

    assert_non_null(text);
    *text++ = '\0';
    if (id != NULL)
        *id++ = '\0';
    return (struct scr_line){.id = id != NULL ? id : "",
                             .username = word,
                             .text = text,
                             .id_len = id != NULL ? strlen(id) : 0,
                             .username_len = strlen(word),
                             .text_len = strlen(text)};
}

static size_t read_words(const char *text)
{
    size_t count = 0;
    char *save = NULL;

    assert_true(strlen(text) < sizeof words);
    memcpy(words, text, strlen(text) + 1);
    for (char *w = strtok_r(words, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        assert_true(count < LINES_MAX);
        lines[count++] = read_word(w);
    }
    return count;
}

/* Judges a report and says which of its lines are new, as "0" and "1" in a row. */
static const char *judge(enum scr_source source, bool is_snapshot, const char *text, int64_t now_ms)
{
    static char verdict[LINES_MAX + 1];
    struct scr_lines report = {source, is_snapshot, lines, read_words(text)};

    scr_history_judge(history, &report, is_new, &is_gap, now_ms);
    for (size_t i = 0; i < report.count; i++)
        verdict[i] = is_new[i] ? '1' : '0';
    verdict[report.count] = '\0';
    return verdict;
}

static const char *frame(const char *text, int64_t now_ms)
{
    return judge(SCR_SOURCE_FRAMES, false, text, now_ms);
}

static const char *latest(const char *text, int64_t now_ms)
{
    return judge(SCR_SOURCE_FRAMES, true, text, now_ms);
}

static const char *added(const char *text, int64_t now_ms)
{
    return judge(SCR_SOURCE_DOCUMENT, false, text, now_ms);
}

static const char *snapshot(const char *text, int64_t now_ms)
{
    return judge(SCR_SOURCE_DOCUMENT, true, text, now_ms);
}

static void reports_the_first_snapshot_in_full(void **state)
{
    (void)state;
    assert_string_equal(snapshot("", 0), "");
    assert_string_equal(snapshot("a:W b:W a:W", 0), "111");
    assert_false(is_gap);
    assert_int_equal(scr_history_count(history), 3);
}

static void takes_repeats_for_messages(void **state)
{
    (void)state;
    assert_string_equal(frame("a:W#1", 0), "1");
    assert_string_equal(frame("a:W#2", 0), "1");
    assert_string_equal(frame("a:W#2", 0), "0");
    assert_string_equal(frame("a:W", 0), "1"); /* a frame without an id cannot be a repetition */
    assert_string_equal(added("b:W b:W b:W", 10000), "111");
    assert_string_equal(added("b:W", 10001), "1");
}

static void takes_a_list_drawn_anew_for_history(void **state)
{
    (void)state;
    assert_string_equal(added("a:W a:W a:W", 0), "111");
    assert_string_equal(snapshot("a:W a:W a:W", 10000), "000");
    assert_string_equal(snapshot("a:W a:W a:W a:W", 20000), "0001");
    assert_string_equal(snapshot("a:W a:W a:W a:W", 20000), "0000");
    assert_string_equal(snapshot("b:x a:W a:W a:W a:W c:y", 30000), "000001");
    assert_false(is_gap);
}

static void emits_the_tail_of_a_window(void **state)
{
    (void)state;
    (void)added("a:1 b:2 c:3 d:4 e:5 f:6", 0);
    assert_string_equal(snapshot("e:5 f:6", 1), "00");
    assert_string_equal(snapshot("d:4 e:5 f:6 g:7 h:8", 2), "00011");
    assert_string_equal(snapshot("h:8 i:9", 3), "01");
    assert_false(is_gap);
    assert_string_equal(snapshot("x:1 y:2", 4), "11");
    assert_true(is_gap);
}

static void ignores_a_window_on_older_rows(void **state)
{
    (void)state;
    (void)added("a:1 b:2 c:3 d:4 e:5 f:6 g:7 h:8 i:9", 0);
    assert_string_equal(snapshot("a:1 b:2 c:3 d:4", 1), "0000");
    assert_string_equal(snapshot("g:7", 1), "0"); /* close to the end, so one match will do */
    assert_string_equal(snapshot("a:1", 1), "1"); /* far from it, one match is chance */
}

static void bears_a_line_that_differs(void **state)
{
    (void)state;
    (void)added("a:1 b:2 c:3 d:4 e:5 f:6", 0);
    assert_string_equal(snapshot("a:1 b:2 c:[deleted] d:4 e:5 f:6 g:7", 1), "0000001");
    assert_string_equal(snapshot("b:2 d:4 e:5 f:6 g:7 h:8", 2), "000001");
    assert_string_equal(snapshot("b:2 d:4 Today:x e:5 f:6 g:7 h:8 i:9", 3), "00000001");
}

static void does_not_take_one_chance_match_for_overlap(void **state)
{
    (void)state;
    (void)added("a:1 b:2 c:3 x:mine", 0);
    assert_string_equal(snapshot("k:1 l:2 x:mine m:3", 1), "1111");
    assert_true(is_gap);
}

static void compares_without_regard_to_white_space(void **state)
{
    struct scr_line line = {.id = "", .username = "a", .username_len = 1};
    struct scr_lines report = {SCR_SOURCE_FRAMES, false, &line, 1};

    (void)state;
    line.id = "1";
    line.id_len = 1;
    line.text = " ok\tthen  ";
    line.text_len = strlen(line.text);
    scr_history_judge(history, &report, is_new, &is_gap, 0);
    assert_true(is_new[0]);
    report = (struct scr_lines){SCR_SOURCE_DOCUMENT, true, &line, 1};
    line.id = "";
    line.id_len = 0;
    line.text = "ok\xC2\xA0then";
    line.text_len = strlen(line.text);
    scr_history_judge(history, &report, is_new, &is_gap, 1);
    assert_false(is_new[0]);
    line.text = "okthen";
    line.text_len = strlen(line.text);
    scr_history_judge(history, &report, is_new, &is_gap, 2);
    assert_true(is_new[0]);
}

static void fills_the_gap_after_a_reconnect_once(void **state)
{
    (void)state;
    (void)latest("a:W#1 a:W#2 b:x#3", 0);
    (void)frame("c:y#4", 0);
    assert_string_equal(latest("a:W#2 b:x#3 c:y#4 a:W#5 a:W#6", 5000), "00011");
    assert_string_equal(latest("a:W#2 b:x#3 c:y#4 a:W#5 a:W#6", 5001), "00000");
    assert_false(is_gap);
    assert_string_equal(latest("q:1#10 q:2#11", 6000), "11");
    assert_true(is_gap);
    /* a hole in the middle: the ids tell */
    assert_string_equal(latest("a:W#6 a:W#7 q:1#10 q:2#11", 6001), "0100");
}

static void lets_the_document_take_over_from_frames(void **state)
{
    (void)state;
    (void)latest("a:1#1 b:2#2 c:3#3", 0);
    (void)frame("a:W#4", 1000);
    /* the page had not drawn the last one when the snapshot was made */
    assert_string_equal(snapshot("a:1 b:2 c:3", 1001), "000");
    assert_string_equal(added("a:W", 1002), "0");
    assert_string_equal(added("a:W", 1003), "1");
    assert_string_equal(added("d:5", 1004), "1");
}

static void lets_frames_take_over_from_the_document(void **state)
{
    (void)state;
    (void)snapshot("a:1 b:2 a:W", 0);
    (void)added("a:W c:3", 20000);
    assert_string_equal(latest("b:2#2 a:W#3 a:W#4 c:3#5 a:W#6", 30000), "00001");
    assert_string_equal(added("a:W", 30005), "0"); /* the document is late */
    assert_string_equal(added("a:W", 30010), "1"); /* early: the frame comes after it */
    assert_string_equal(frame("a:W#7", 30012), "0");
    assert_string_equal(frame("a:W#8", 30013), "1");
    assert_string_equal(latest("c:3#5 a:W#6 a:W#7 a:W#8", 30014), "0000");
}

static void does_not_claim_what_is_long_ago(void **state)
{
    (void)state;
    (void)added("a:W", 0);
    assert_string_equal(frame("a:W#1", 60000), "1");
    assert_string_equal(added("a:W", 120000), "1");
}

static void resumes_from_what_was_captured(void **state)
{
    static const char *const seeds[] = {"a:1#1", "b:2#2", "a:W", "a:W"};

    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        (void)read_words(seeds[i]);
        scr_history_seed(history, &lines[0], 0);
        scr_history_seed(history, &lines[0], 0); /* a known id is not kept twice */
        if (lines[0].id_len == 0)
            break;
    }
    assert_int_equal(scr_history_count(history), 4);
    assert_string_equal(snapshot("a:1 b:2 a:W a:W c:3", 1), "00001");
    assert_string_equal(latest("b:2#2 a:W#3 a:W#4 c:3#5 d:4#6", 2), "00001");
    /* what was seeded just now is no reason to swallow an addition */
    assert_string_equal(added("b:2", 3), "1");
}

/* Fills the history with `count` messages of its own at a time. */
static void fill(size_t count, int64_t now_ms)
{
    static unsigned serial;
    char text[40];

    for (size_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "u:%u#f%u", serial, serial);
        serial++;
        assert_string_equal(frame(text, now_ms), "1");
    }
}

static void forgets_by_age_but_never_the_newest(void **state)
{
    (void)state;
    (void)frame("a:W#first", 0);
    fill(SCR_HISTORY_KEEP - 1, 1);
    assert_string_equal(frame("a:W#first", 10000000), "0");
    fill(2, 10000001);
    assert_int_equal(scr_history_count(history), SCR_HISTORY_KEEP + 1);
    assert_string_equal(frame("x:y#z", 10000002), "1"); /* the old ones go as new ones come */
    assert_int_equal(scr_history_count(history), SCR_HISTORY_KEEP + 1);
    assert_string_equal(frame("a:W#first", 10000003), "1");
    fill(5000, 10000004);
    assert_string_equal(frame("x:y#z", 10000005), "0");
}

static void forgets_the_oldest_at_its_capacity(void **state)
{
    (void)state;
    scr_history_free(history);
    assert_int_equal(scr_history_new(&history, 300, 300000, NULL), DF_OK);
    (void)frame("a:W#first", 0);
    fill(299, 0);
    assert_string_equal(frame("a:W#first", 1), "0");
    fill(1, 1);
    assert_int_equal(scr_history_count(history), 300);
    assert_string_equal(frame("a:W#first", 2), "1");
    scr_history_free(history);
    assert_int_equal(scr_history_new(&history, 1, 300000, NULL), DF_OK);
    assert_string_equal(snapshot("a:1 b:2 c:3", 0), "111");
    assert_string_equal(snapshot("a:1 b:2 c:3 d:4", 1), "0001");
    assert_int_equal(scr_history_count(history), 1);
}

static void aligns_lists_longer_than_its_tail(void **state)
{
    static char text[40 * LINES_MAX];
    size_t len = 0;

    (void)state;
    for (int i = 0; i < 1150; i++) /* once at random, then all the same */
        len += (size_t)snprintf(text + len, sizeof text - len, "u%d:mine ",
                                i < 800 ? i * 7919 % 1009 % 13 : 0);
    size_t new_count = 0;
    (void)snapshot(text, 0);
    for (int i = 0; i < 1150; i++)
        new_count += is_new[i];
    assert_int_equal(new_count, 1150);
    (void)snprintf(text + len, sizeof text - len, "v:last");
    (void)snapshot(text, 1);
    for (int i = 0; i < 1150; i++)
        assert_false(is_new[i]);
    assert_true(is_new[1150]);
}

static void stays_below_a_megabyte(void **state)
{
    (void)state;
    assert_true(scr_history_bytes(history) < 1000000);
}

int main(void)
{
#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, make_history, free_history)
    const struct CMUnitTest tests[] = {
        HISTORY_TEST(reports_the_first_snapshot_in_full),
        HISTORY_TEST(takes_repeats_for_messages),
        HISTORY_TEST(takes_a_list_drawn_anew_for_history),
        HISTORY_TEST(emits_the_tail_of_a_window),
        HISTORY_TEST(ignores_a_window_on_older_rows),
        HISTORY_TEST(bears_a_line_that_differs),
        HISTORY_TEST(does_not_take_one_chance_match_for_overlap),
        HISTORY_TEST(compares_without_regard_to_white_space),
        HISTORY_TEST(fills_the_gap_after_a_reconnect_once),
        HISTORY_TEST(lets_the_document_take_over_from_frames),
        HISTORY_TEST(lets_frames_take_over_from_the_document),
        HISTORY_TEST(does_not_claim_what_is_long_ago),
        HISTORY_TEST(resumes_from_what_was_captured),
        HISTORY_TEST(forgets_by_age_but_never_the_newest),
        HISTORY_TEST(forgets_the_oldest_at_its_capacity),
        HISTORY_TEST(aligns_lists_longer_than_its_tail),
        HISTORY_TEST(stays_below_a_megabyte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
