/* scraper/loop.c - one epoll descriptor with a timerfd in it, and a binary heap of timers. */
#include "scraper/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

enum { EVENTS_MAX = 64, HEAP_FIRST = 64 };

struct scr_loop {
    int epoll_fd;
    int timer_fd;
    int64_t armed_ms; /* what timer_fd is set to, 0: not set */
    struct scr_timer **heap;
    size_t count, capacity;
    struct epoll_event *ready; /* the round that is being worked on; NULL between rounds */
    int ready_count;
};

enum df_code scr_loop_new(struct scr_loop **out, struct df_error *err)
{
    struct epoll_event interest = {.events = EPOLLIN, .data.ptr = NULL};

    *out = NULL;
    struct scr_loop *loop = calloc(1, sizeof *loop);
    if (loop == NULL)
        return df_error_set(err, DF_ENOMEM, "loop: out of memory");
    loop->heap = calloc(HEAP_FIRST, sizeof(struct scr_timer *));
    loop->capacity = HEAP_FIRST;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (loop->heap == NULL || loop->epoll_fd < 0 || loop->timer_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &interest) != 0) {
        int why = errno;
        scr_loop_free(loop);
        return df_error_set(err, DF_EUNAVAILABLE, "loop: %s", strerror(why));
    }
    *out = loop;
    return DF_OK;
}

void scr_loop_free(struct scr_loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->timer_fd >= 0)
        (void)close(loop->timer_fd);
    if (loop->epoll_fd >= 0)
        (void)close(loop->epoll_fd);
    free(loop->heap);
    free(loop);
}

int scr_loop_fd(const struct scr_loop *loop)
{
    return loop->epoll_fd;
}

/* --- descriptors ----------------------------------------------------------------------------- */

enum df_code scr_loop_watch(struct scr_loop *loop, struct scr_watch *watch, uint32_t epoll_events,
                            struct df_error *err)
{
    struct epoll_event interest = {.events = epoll_events, .data.ptr = watch};

    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &interest) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "loop: cannot watch a descriptor: %s",
                            strerror(errno));
    watch->is_on = true;
    return DF_OK;
}

void scr_loop_change(struct scr_loop *loop, struct scr_watch *watch, uint32_t epoll_events)
{
    struct epoll_event interest = {.events = epoll_events, .data.ptr = watch};

    if (watch->is_on)
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &interest);
}

void scr_loop_unwatch(struct scr_loop *loop, struct scr_watch *watch)
{
    if (!watch->is_on)
        return;
    watch->is_on = false;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    /* The watch may be freed by its owner now: what this round still holds of it must go. */
    for (int i = 0; loop->ready != NULL && i < loop->ready_count; i++)
        if (loop->ready[i].data.ptr == watch)
            loop->ready[i].events = 0;
}

/* --- timers ---------------------------------------------------------------------------------- */

static void heap_put(struct scr_loop *loop, size_t i, struct scr_timer *timer)
{
    loop->heap[i] = timer;
    timer->place = i + 1;
}

static void heap_up(struct scr_loop *loop, size_t i)
{
    struct scr_timer *timer = loop->heap[i];
    for (; i > 0 && loop->heap[(i - 1) / 2]->due_ms > timer->due_ms; i = (i - 1) / 2)
        heap_put(loop, i, loop->heap[(i - 1) / 2]);
    heap_put(loop, i, timer);
}

static void heap_down(struct scr_loop *loop, size_t i)
{
    struct scr_timer *timer = loop->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= loop->count)
            break;
        if (child + 1 < loop->count && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (loop->heap[child]->due_ms >= timer->due_ms)
            break;
        heap_put(loop, i, loop->heap[child]);
        i = child;
    }
    heap_put(loop, i, timer);
}

static void heap_remove(struct scr_loop *loop, size_t i)
{
    loop->heap[i]->place = 0;
    struct scr_timer *last = loop->heap[--loop->count];
    if (i == loop->count)
        return;
    heap_put(loop, i, last);
    heap_up(loop, i);
    heap_down(loop, last->place - 1);
}

/* Sets the timerfd to the earliest timer; a later one that it is set to already may stay. */
static void arm(struct scr_loop *loop)
{
    int64_t due_ms = loop->count == 0 ? 0 : loop->heap[0]->due_ms;
    struct itimerspec when = {{0, 0}, {due_ms / 1000, due_ms % 1000 * 1000000}};

    if (due_ms == loop->armed_ms)
        return;
    loop->armed_ms = due_ms;
    (void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

void scr_timer_set(struct scr_loop *loop, struct scr_timer *timer, int64_t after_ms)
{
    if (timer->place != 0)
        heap_remove(loop, timer->place - 1);
    if (loop->count == loop->capacity) {
        struct scr_timer **grown =
            reallocarray(loop->heap, loop->capacity * 2, sizeof(struct scr_timer *));
        if (grown == NULL) {
            df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=timers");
            abort();
        }
        loop->heap = grown;
        loop->capacity *= 2;
    }
    timer->due_ms = df_clock_mono_ms() + (after_ms < 0 ? 0 : after_ms);
    heap_put(loop, loop->count, timer);
    heap_up(loop, loop->count++);
    arm(loop);
}

void scr_timer_cancel(struct scr_loop *loop, struct scr_timer *timer)
{
    if (timer->place == 0)
        return;
    heap_remove(loop, timer->place - 1);
    arm(loop);
}

bool scr_timer_is_set(const struct scr_timer *timer)
{
    return timer->place != 0;
}

/* Timers that are set for now by a callback run in the next round, so that a chain of them cannot keep
 * the descriptors waiting. */
static void run_timers(struct scr_loop *loop)
{
    int64_t now_ms = df_clock_mono_ms();

    for (size_t budget = loop->count; budget > 0; budget--) {
        if (loop->count == 0 || loop->heap[0]->due_ms > now_ms)
            break;
        struct scr_timer *timer = loop->heap[0];
        heap_remove(loop, 0);
        timer->on_due(timer->arg);
    }
    loop->armed_ms = -1; /* it has fired, or may have: set it anew */
    arm(loop);
}

/* --- a round --------------------------------------------------------------------------------- */

void scr_loop_dispatch(struct scr_loop *loop, int timeout_ms)
{
    struct epoll_event ready[EVENTS_MAX];
    bool timers_due = false;

    int n = epoll_wait(loop->epoll_fd, ready, EVENTS_MAX, timeout_ms);
    if (n < 0)
        return; /* EINTR */
    loop->ready = ready;
    loop->ready_count = n;
    for (int i = 0; i < n; i++) {
        struct scr_watch *watch = ready[i].data.ptr;
        if (watch == NULL) {
            uint64_t times;
            timers_due = true;
            if (read(loop->timer_fd, &times, sizeof times) < 0 && errno != EAGAIN)
                df_log(DF_LOG_ERROR, "timer_failed", "why=%d", errno);
        } else if (ready[i].events != 0) {
            watch->on_ready(watch->arg, ready[i].events);
        }
    }
    loop->ready = NULL;
    if (timers_due)
        run_timers(loop);
}
