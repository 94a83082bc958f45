/* tests/unit/test_scr_source.c - which source is read, in the situations that pages get into
 * (scraper/tab_source.c). Times are milliseconds after the document came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scraper/tab_source.h"

enum act {
    LOADED,
    OPENED,
    CLOSED,
    JOINED,
    LINE, /* by a frame */
    ROW,  /* one addition in the document */
    SNAPSHOT,
    LOST,
    POLLED,
    LOOK, /* nothing happens, time passes */
};

struct step {
    int64_t at_ms;
    enum act act;
    enum scr_source want; /* after it */
};

#define NONE     SCR_SOURCE_NONE
#define FRAMES   SCR_SOURCE_FRAMES
#define DOCUMENT SCR_SOURCE_DOCUMENT
#define POLLING  SCR_SOURCE_POLLING

static void act(struct scr_choice *choice, const struct step *step)
{
    switch (step->act) {
    case LOADED:
        scr_choice_loaded(choice, step->at_ms);
        break;
    case OPENED:
        scr_choice_socket_opened(choice);
        break;
    case CLOSED:
        scr_choice_socket_closed(choice, step->at_ms);
        break;
    case JOINED:
        scr_choice_joined(choice);
        break;
    case LINE:
        scr_choice_frame_line(choice, step->at_ms);
        break;
    case ROW:
        scr_choice_rows(choice, 1, step->at_ms);
        break;
    case SNAPSHOT:
        scr_choice_rows(choice, 0, step->at_ms);
        break;
    case LOST:
        scr_choice_rows_lost(choice, step->at_ms);
        break;
    case POLLED:
        scr_choice_polled_rows(choice);
        break;
    case LOOK:
        break;
    }
}

static void play(enum scr_source_choice rule, const struct step *steps, size_t count)
{
    struct scr_choice choice;

    scr_choice_begin(&choice, rule, false, false, 0);
    for (size_t i = 0; i < count; i++) {
        act(&choice, &steps[i]);
        enum scr_source got = scr_choice_decide(&choice, steps[i].at_ms);
        if (got != steps[i].want)
            fail_msg("step %zu at %d ms: %s instead of %s", i, (int)steps[i].at_ms,
                     scr_source_name(got), scr_source_name(steps[i].want));
    }
}

#define PLAY(rule, ...)                                                                            \
    do {                                                                                           \
        static const struct step steps[] = {__VA_ARGS__};                                          \
        play(rule, steps, sizeof steps / sizeof steps[0]);                                         \
    } while (0)

static void a_join_is_enough_for_frames(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {50, LOADED, NONE}, {60, OPENED, NONE}, {80, JOINED, FRAMES},
         {60000, LOOK, FRAMES});
}

static void rows_wait_for_the_socket_that_is_there(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {50, LOADED, NONE}, {60, OPENED, NONE}, {100, SNAPSHOT, NONE},
         {9000, ROW, NONE}, {10049, LOOK, NONE}, {10050, LOOK, DOCUMENT});
}

static void rows_without_any_socket_are_taken_soon(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {50, LOADED, NONE}, {100, SNAPSHOT, NONE}, {1049, LOOK, NONE},
         {1050, LOOK, DOCUMENT}, {100000, LOOK, DOCUMENT});
}

static void nothing_is_decided_before_the_page_has_loaded(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {100, SNAPSHOT, NONE}, {50000, LOOK, NONE}, {50000, LOADED, NONE},
         {51000, LOOK, DOCUMENT});
}

static void frames_take_over_with_their_first_line(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {100, SNAPSHOT, NONE}, {1500, LOOK, DOCUMENT},
         {5000, OPENED, DOCUMENT}, {5010, JOINED, DOCUMENT}, {5020, LINE, FRAMES},
         {5040, ROW, FRAMES});
}

static void a_short_loss_of_the_socket_changes_nothing(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {30, LINE, FRAMES}, {50, SNAPSHOT, FRAMES}, {1000, CLOSED, FRAMES}, {3999, LOOK, FRAMES},
         {3999, OPENED, FRAMES}, {4010, JOINED, FRAMES}, {20000, LOOK, FRAMES});
}

static void a_long_loss_hands_over_to_the_document_and_back(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {50, SNAPSHOT, FRAMES}, {1000, CLOSED, FRAMES}, {4000, LOOK, DOCUMENT},
         {9000, OPENED, DOCUMENT}, {9010, LINE, FRAMES});
}

static void a_silent_socket_loses_to_rows(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {30, LINE, FRAMES}, {5000, ROW, FRAMES}, {7000, ROW, FRAMES}, {8030, ROW, FRAMES},
         {9000, ROW, FRAMES}, {10000, ROW, DOCUMENT});
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {5000, ROW, FRAMES}, {6000, ROW, FRAMES}, {7000, ROW, DOCUMENT});
}

/* A burst by frames is drawn a moment later, and counted later still: its rows are no proof against
 * the socket. */
static void rows_soon_after_a_frame_are_its_own(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {1000, LINE, FRAMES}, {1100, ROW, FRAMES}, {6000, ROW, FRAMES}, {7000, ROW, FRAMES},
         {8900, ROW, FRAMES}, {60000, LOOK, FRAMES});
}

static void rows_from_before_the_join_do_not_count(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {100, ROW, NONE}, {110, ROW, NONE},
         {120, ROW, NONE}, {9000, JOINED, FRAMES}, {30000, LOOK, FRAMES});
}

static void a_page_with_nothing_left_has_no_source(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES},
         {1000, CLOSED, FRAMES}, {30999, LOOK, FRAMES}, {31000, LOOK, NONE}, {31250, LOOK, NONE},
         {32000, OPENED, NONE}, {32010, JOINED, FRAMES});
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, SNAPSHOT, NONE}, {2000, LOOK, DOCUMENT},
         {3000, LOST, DOCUMENT}, {32999, LOOK, DOCUMENT}, {33000, LOOK, NONE},
         {34000, SNAPSHOT, DOCUMENT});
}

static void a_list_that_comes_back_is_still_the_source(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, SNAPSHOT, NONE}, {2000, LOOK, DOCUMENT},
         {3000, LOST, DOCUMENT}, {3100, SNAPSHOT, DOCUMENT}, {90000, LOOK, DOCUMENT});
}

static void a_lost_list_gives_way_to_a_quiet_socket(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10, SNAPSHOT, NONE}, {2000, LOOK, DOCUMENT},
         {2500, OPENED, DOCUMENT}, {2600, JOINED, DOCUMENT}, {3000, LOST, FRAMES});
}

static void polling_is_the_last_resort(void **state)
{
    struct scr_choice choice;

    (void)state;
    PLAY(SCR_CHOOSE_AUTO, {0, LOADED, NONE}, {10000, LOOK, NONE}, {10010, POLLED, POLLING},
         {20000, ROW, DOCUMENT}, {20500, OPENED, DOCUMENT}, {21000, LINE, FRAMES});
    scr_choice_begin(&choice, SCR_CHOOSE_AUTO, false, false, 0);
    scr_choice_loaded(&choice, 0);
    assert_false(scr_choice_wants_poll(&choice, 9999));
    assert_true(scr_choice_wants_poll(&choice, 10000));
    scr_choice_rows(&choice, 1, 10001); /* the observer works after all */
    assert_false(scr_choice_wants_poll(&choice, 10001));
}

static void a_source_that_was_asked_for_stays(void **state)
{
    (void)state;
    PLAY(SCR_CHOOSE_FRAMES, {0, LOADED, NONE}, {10, SNAPSHOT, NONE}, {20000, ROW, NONE},
         {20001, OPENED, NONE}, {20002, JOINED, FRAMES}, {30000, ROW, FRAMES}, {31000, ROW, FRAMES},
         {32000, ROW, FRAMES}, {40000, LOOK, FRAMES});
    PLAY(SCR_CHOOSE_DOCUMENT, {0, LOADED, NONE}, {1, OPENED, NONE}, {2, JOINED, NONE},
         {3, LINE, NONE}, {10, SNAPSHOT, DOCUMENT}, {20, LINE, DOCUMENT}, {5000, LOST, DOCUMENT},
         {35000, LOOK, NONE});
    PLAY(SCR_CHOOSE_POLLING, {0, LOADED, NONE}, {3, LINE, NONE}, {10, ROW, NONE},
         {20, POLLED, POLLING}, {30, ROW, POLLING});
}

static bool wants_drawing(enum scr_source_choice rule, bool is_half_blind, const struct step *steps,
                          size_t count, int64_t now_ms)
{
    struct scr_choice choice;

    scr_choice_begin(&choice, rule, is_half_blind, false, 0);
    for (size_t i = 0; i < count; i++) {
        act(&choice, &steps[i]);
        assert_int_equal(scr_choice_decide(&choice, steps[i].at_ms), steps[i].want);
    }
    assert_int_equal(scr_choice_decide(&choice, now_ms), choice.source);
    return scr_choice_wants_drawing(&choice, now_ms);
}

static void an_undrawn_page_without_frames_is_drawn(void **state)
{
    static const struct step no_socket[] = {{0, LOADED, NONE}, {10, SNAPSHOT, NONE}};
    static const struct step no_join[] = {{0, LOADED, NONE}, {10, OPENED, NONE}};
    static const struct step joined[] = {
        {0, LOADED, NONE}, {10, OPENED, NONE}, {20, JOINED, FRAMES}};
    static const struct step lost[] = {{0, LOADED, NONE},      {10, OPENED, NONE},
                                       {20, JOINED, FRAMES},   {30, SNAPSHOT, FRAMES},
                                       {1000, CLOSED, FRAMES}, {4000, LOOK, DOCUMENT}};

    (void)state;
    assert_false(wants_drawing(SCR_CHOOSE_AUTO, true, no_socket, 2, 999));
    assert_true(wants_drawing(SCR_CHOOSE_AUTO, true, no_socket, 2, 1000));
    assert_false(wants_drawing(SCR_CHOOSE_AUTO, true, no_join, 2, 9999));
    assert_true(wants_drawing(SCR_CHOOSE_AUTO, true, no_join, 2, 10000));
    assert_false(wants_drawing(SCR_CHOOSE_AUTO, true, joined, 3, 100000));
    assert_false(wants_drawing(SCR_CHOOSE_AUTO, true, lost, 6, 4000 + SCR_STAND_IN_MS - 1));
    assert_true(wants_drawing(SCR_CHOOSE_AUTO, true, lost, 6, 4000 + SCR_STAND_IN_MS));
    assert_false(wants_drawing(SCR_CHOOSE_FRAMES, true, no_join, 2, 100000));
    assert_false(wants_drawing(SCR_CHOOSE_AUTO, false, no_join, 2, 100000));
}

static void a_page_drawn_for_its_rows_is_read_at_once(void **state)
{
    struct scr_choice choice;

    (void)state;
    scr_choice_begin(&choice, SCR_CHOOSE_AUTO, false, true, 0);
    assert_int_equal(scr_choice_decide(&choice, 50), SCR_SOURCE_NONE);
    scr_choice_rows(&choice, 0, 60);
    assert_int_equal(scr_choice_decide(&choice, 60), SCR_SOURCE_DOCUMENT);
}

static void few_lines_are_not_compared(void **state)
{
    struct scr_check check = {.frames = 0, .rows = SCR_CHECK_LINES - 1};

    (void)state;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_UNDECIDED);
    assert_int_equal(check.rows, SCR_CHECK_LINES - 1); /* kept until there are enough */
}

static void a_shortage_must_be_seen_twice(void **state)
{
    struct scr_check check = {0};

    (void)state;
    check.rows = 100, check.frames = 80;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_UNDECIDED);
    check.rows = 100, check.frames = 80;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_SHORT);
    check.rows = 100, check.frames = 99;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_FINE);
    check.rows = 100, check.frames = 80;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_UNDECIDED);
}

static void a_document_that_shows_less_is_no_fault(void **state)
{
    struct scr_check check = {.frames = 500, .rows = 15};

    (void)state;
    assert_int_equal(scr_check_judge(&check), SCR_CHECK_FINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_is_enough_for_frames),
        cmocka_unit_test(rows_wait_for_the_socket_that_is_there),
        cmocka_unit_test(rows_without_any_socket_are_taken_soon),
        cmocka_unit_test(nothing_is_decided_before_the_page_has_loaded),
        cmocka_unit_test(frames_take_over_with_their_first_line),
        cmocka_unit_test(a_short_loss_of_the_socket_changes_nothing),
        cmocka_unit_test(a_long_loss_hands_over_to_the_document_and_back),
        cmocka_unit_test(a_silent_socket_loses_to_rows),
        cmocka_unit_test(rows_soon_after_a_frame_are_its_own),
        cmocka_unit_test(rows_from_before_the_join_do_not_count),
        cmocka_unit_test(a_page_with_nothing_left_has_no_source),
        cmocka_unit_test(a_list_that_comes_back_is_still_the_source),
        cmocka_unit_test(a_lost_list_gives_way_to_a_quiet_socket),
        cmocka_unit_test(polling_is_the_last_resort),
        cmocka_unit_test(a_source_that_was_asked_for_stays),
        cmocka_unit_test(an_undrawn_page_without_frames_is_drawn),
        cmocka_unit_test(a_page_drawn_for_its_rows_is_read_at_once),
        cmocka_unit_test(few_lines_are_not_compared),
        cmocka_unit_test(a_shortage_must_be_seen_twice),
        cmocka_unit_test(a_document_that_shows_less_is_no_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
