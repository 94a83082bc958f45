/* tests/unit/test_scr_loop.c - descriptors and timers of the loop thread. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "scraper/loop.h"
#include "shared/clock.h"

#define PATIENCE_MS 10000

static struct scr_loop *loop;

static int setup(void **state)
{
    (void)state;
    assert_int_equal(scr_loop_new(&loop, NULL), DF_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    scr_loop_free(loop);
    return 0;
}

struct entry {
    struct scr_timer timer;
    struct scr_watch watch;
    int runs;
    int64_t ran_ms;
    struct entry *other; /* what its callback works on */
    int again;           /* how often it sets itself anew */
};

static void note(void *arg)
{
    struct entry *entry = arg;
    entry->runs++;
    entry->ran_ms = df_clock_mono_ms();
}

static void run_until(const int *count, int wanted)
{
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;
    while (*count < wanted && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(loop, 100);
    assert_int_equal(*count, wanted);
}

static void a_timer_runs_once_and_not_early(void **state)
{
    struct entry entry = {.timer = {.on_due = note, .arg = &entry}};
    struct entry after = {.timer = {.on_due = note, .arg = &after}};
    int64_t start_ms = df_clock_mono_ms();

    (void)state;
    scr_timer_set(loop, &entry.timer, 20);
    scr_timer_set(loop, &after.timer, 60);
    assert_true(scr_timer_is_set(&entry.timer));
    run_until(&after.runs, 1);
    assert_int_equal(entry.runs, 1);
    assert_true(entry.ran_ms >= start_ms + 20);
    assert_true(after.ran_ms >= start_ms + 60);
    assert_false(scr_timer_is_set(&entry.timer));
}

/* Timers are told apart by when they are due: the loop must run them in that order, whatever the
 * order in which they were set. */
static int64_t due_order[1000];
static size_t due_count;

static void note_due(void *arg)
{
    due_order[due_count++] = ((struct scr_timer *)arg)->due_ms;
}

static void many_timers_run_in_the_order_of_their_times(void **state)
{
    enum { COUNT = 500 };
    static struct scr_timer timers[COUNT];
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;
    uint32_t seed = 12345;

    (void)state;
    for (int round = 0; round < 2; round++) { /* the second round moves them */
        for (int i = 0; i < COUNT; i++) {
            timers[i].on_due = note_due;
            timers[i].arg = &timers[i];
            seed = seed * 1664525u + 1013904223u;
            scr_timer_set(loop, &timers[i], 20 + (int64_t)(seed >> 16) % 100);
        }
    }
    for (int i = 0; i < COUNT; i += 5)
        scr_timer_cancel(loop, &timers[i]);
    while (due_count < COUNT * 4 / 5 && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(loop, 100);
    assert_int_equal(due_count, COUNT * 4 / 5);
    for (size_t i = 1; i < due_count; i++)
        assert_true(due_order[i - 1] <= due_order[i]);
}

static void cancel_other(void *arg)
{
    struct entry *entry = arg;
    note(entry);
    scr_timer_cancel(loop, &entry->other->timer);
}

static void a_timer_can_cancel_one_that_is_due_with_it(void **state)
{
    struct entry second = {.timer = {.on_due = note, .arg = &second}};
    struct entry first = {.timer = {.on_due = cancel_other, .arg = &first}, .other = &second};

    (void)state;
    scr_timer_set(loop, &first.timer, 0);
    scr_timer_set(loop, &second.timer, 1);
    int64_t later_ms = df_clock_mono_ms() + 5;
    while (df_clock_mono_ms() < later_ms)
        ; /* until both are due */
    run_until(&first.runs, 1);
    scr_loop_dispatch(loop, 20);
    assert_int_equal(second.runs, 0);
    scr_timer_cancel(loop, &second.timer); /* fine when it is not set */
}

static void set_again(void *arg)
{
    struct entry *entry = arg;
    note(entry);
    if (entry->again-- > 0)
        scr_timer_set(loop, &entry->timer, 0);
}

static void read_event(void *arg, uint32_t events)
{
    struct entry *entry = arg;
    uint64_t value;
    assert_true((events & EPOLLIN) != 0);
    note(entry);
    assert_int_equal(read(entry->watch.fd, &value, sizeof value), sizeof value);
}

static void a_timer_that_sets_itself_for_now_leaves_descriptors_their_turn(void **state)
{
    struct entry spinner = {.timer = {.on_due = set_again, .arg = &spinner}, .again = 1000000};
    struct entry reader = {
        .watch = {.fd = eventfd(1, EFD_CLOEXEC), .on_ready = read_event, .arg = &reader}};

    (void)state;
    scr_timer_set(loop, &spinner.timer, 0);
    assert_int_equal(scr_loop_watch(loop, &reader.watch, EPOLLIN, NULL), DF_OK);
    run_until(&reader.runs, 1);
    assert_true(spinner.runs < 1000);
    scr_timer_cancel(loop, &spinner.timer);
    scr_loop_unwatch(loop, &reader.watch);
    (void)close(reader.watch.fd);
}

static void free_itself(void *arg)
{
    struct entry *entry = arg;
    note(entry->other);
    free(entry);
}

static void a_timer_may_free_what_holds_it(void **state)
{
    struct entry witness = {0};
    struct entry *entry = calloc(1, sizeof *entry);

    (void)state;
    assert_non_null(entry);
    entry->timer = (struct scr_timer){.on_due = free_itself, .arg = entry};
    entry->other = &witness;
    scr_timer_set(loop, &entry->timer, 0);
    run_until(&witness.runs, 1);
}

/* Two of these are ready in one round: whoever is called first frees the other. */
static struct entry *pair[2];

static void free_other(void *arg, uint32_t events)
{
    struct entry *me = arg;
    size_t other = me == pair[0];

    (void)events;
    note(me);
    scr_loop_unwatch(loop, &pair[other]->watch);
    free(pair[other]); /* a call for it now would be seen by the address sanitizer */
    pair[other] = NULL;
    scr_loop_unwatch(loop, &me->watch);
}

static void a_watch_removed_in_its_round_is_not_called(void **state)
{
    int fds[2];
    size_t survivor;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fds[i] = eventfd(1, EFD_CLOEXEC);
        pair[i] = calloc(1, sizeof *pair[i]);
        assert_non_null(pair[i]);
        pair[i]->watch = (struct scr_watch){.fd = fds[i], .on_ready = free_other, .arg = pair[i]};
        assert_int_equal(scr_loop_watch(loop, &pair[i]->watch, EPOLLIN, NULL), DF_OK);
    }
    scr_loop_dispatch(loop, 1000);
    scr_loop_dispatch(loop, 0);
    survivor = pair[0] == NULL;
    assert_non_null(pair[survivor]);
    assert_null(pair[!survivor]);
    assert_int_equal(pair[survivor]->runs, 1);
    free(pair[survivor]);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void the_loops_descriptor_is_ready_for_events_and_timers(void **state)
{
    struct entry reader = {
        .watch = {.fd = eventfd(0, EFD_CLOEXEC), .on_ready = read_event, .arg = &reader}};
    struct entry timer = {.timer = {.on_due = note, .arg = &timer}};
    struct pollfd outside = {.fd = scr_loop_fd(loop), .events = POLLIN};
    uint64_t one = 1;

    (void)state;
    assert_int_equal(scr_loop_watch(loop, &reader.watch, EPOLLIN, NULL), DF_OK);
    assert_int_equal(poll(&outside, 1, 0), 0);
    assert_int_equal(write(reader.watch.fd, &one, sizeof one), sizeof one);
    assert_int_equal(poll(&outside, 1, PATIENCE_MS), 1);
    scr_loop_dispatch(loop, 0);
    assert_int_equal(reader.runs, 1);
    assert_int_equal(poll(&outside, 1, 0), 0);
    scr_timer_set(loop, &timer.timer, 10);
    assert_int_equal(poll(&outside, 1, PATIENCE_MS), 1);
    scr_loop_dispatch(loop, 0);
    assert_int_equal(timer.runs, 1);
    assert_int_equal(poll(&outside, 1, 0), 0); /* idle again, not spinning */
    scr_loop_unwatch(loop, &reader.watch);
    (void)close(reader.watch.fd);
}

static void count_writable(void *arg, uint32_t events)
{
    struct entry *entry = arg;
    if ((events & EPOLLOUT) != 0)
        note(entry);
}

static void interest_can_be_changed(void **state)
{
    struct entry entry = {
        .watch = {.fd = eventfd(0, EFD_CLOEXEC), .on_ready = count_writable, .arg = &entry}};

    (void)state;
    scr_loop_change(loop, &entry.watch, EPOLLOUT); /* not on: nothing happens */
    assert_int_equal(scr_loop_watch(loop, &entry.watch, EPOLLIN, NULL), DF_OK);
    scr_loop_dispatch(loop, 0);
    assert_int_equal(entry.runs, 0);
    scr_loop_change(loop, &entry.watch, EPOLLIN | EPOLLOUT);
    run_until(&entry.runs, 1);
    scr_loop_unwatch(loop, &entry.watch);
    scr_loop_unwatch(loop, &entry.watch);
    scr_loop_dispatch(loop, 0);
    assert_int_equal(entry.runs, 1);
    (void)close(entry.watch.fd);
}

static void a_bad_descriptor_is_refused(void **state)
{
    struct scr_watch watch = {.fd = -1, .on_ready = count_writable};
    struct df_error err;

    (void)state;
    assert_int_equal(scr_loop_watch(loop, &watch, EPOLLIN, &err), DF_EUNAVAILABLE);
    scr_loop_unwatch(loop, &watch);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_timer_runs_once_and_not_early),
        TEST(many_timers_run_in_the_order_of_their_times),
        TEST(a_timer_can_cancel_one_that_is_due_with_it),
        TEST(a_timer_that_sets_itself_for_now_leaves_descriptors_their_turn),
        TEST(a_timer_may_free_what_holds_it),
        TEST(a_watch_removed_in_its_round_is_not_called),
        TEST(the_loops_descriptor_is_ready_for_events_and_timers),
        TEST(interest_can_be_changed),
        TEST(a_bad_descriptor_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
