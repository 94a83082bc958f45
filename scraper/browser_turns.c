/* scraper/browser_turns.c - a queue with one place at its head. */
#include "scraper/browser_turns.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

struct request {
    void (*turn)(void *arg);
    void *arg;
};

struct scr_turns {
    struct scr_loop *loop;
    struct scr_timer timer; /* the next start, or the end of patience with who holds the turn */
    int64_t gap_ms, hold_ms;
    int64_t next_ms; /* no start before */
    bool is_held;
    const void *holder;
    struct request *queue;
    size_t count, capacity;
};

/* Sets the timer to what comes next. */
static void plan(struct scr_turns *turns)
{
    int64_t now_ms = df_clock_mono_ms();

    if (turns->is_held)
        return; /* it is set to the end of patience */
    if (turns->count == 0)
        scr_timer_cancel(turns->loop, &turns->timer);
    else
        scr_timer_set(turns->loop, &turns->timer,
                      turns->next_ms > now_ms ? turns->next_ms - now_ms : 0);
}

static void on_due(void *arg)
{
    struct scr_turns *turns = arg;

    if (turns->is_held) {
        df_log(DF_LOG_WARN, "navigation_overdue", "ms=%lld", (long long)turns->hold_ms);
        turns->is_held = false;
        plan(turns);
        return;
    }
    if (turns->count == 0)
        return;
    struct request request = turns->queue[0];
    turns->count--;
    memmove(turns->queue, turns->queue + 1, turns->count * sizeof turns->queue[0]);
    turns->is_held = true;
    turns->holder = request.arg;
    turns->next_ms = df_clock_mono_ms() + turns->gap_ms;
    scr_timer_set(turns->loop, &turns->timer, turns->hold_ms);
    request.turn(request.arg);
}

enum df_code scr_turns_new(struct scr_turns **out, struct scr_loop *loop, int64_t gap_ms,
                           int64_t hold_ms, struct df_error *err)
{
    struct scr_turns *turns = calloc(1, sizeof *turns);

    *out = turns;
    if (turns == NULL)
        return df_error_set(err, DF_ENOMEM, "browser: out of memory");
    turns->loop = loop;
    turns->gap_ms = gap_ms;
    turns->hold_ms = hold_ms;
    turns->timer = (struct scr_timer){.on_due = on_due, .arg = turns};
    return DF_OK;
}

void scr_turns_free(struct scr_turns *turns)
{
    if (turns == NULL)
        return;
    scr_timer_cancel(turns->loop, &turns->timer);
    free(turns->queue);
    free(turns);
}

void scr_turns_ask(struct scr_turns *turns, void (*turn)(void *arg), void *arg)
{
    if (turns->count == turns->capacity) {
        size_t capacity = turns->capacity == 0 ? 16 : turns->capacity * 2;
        struct request *grown = reallocarray(turns->queue, capacity, sizeof *grown);
        if (grown == NULL) { /* a turn that never comes would leave a tab waiting for ever */
            df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=navigations");
            abort();
        }
        turns->queue = grown;
        turns->capacity = capacity;
    }
    turns->queue[turns->count++] = (struct request){turn, arg};
    plan(turns);
}

void scr_turns_done(struct scr_turns *turns, const void *arg)
{
    size_t kept = 0;

    if (turns->is_held && turns->holder == arg) {
        turns->is_held = false;
        scr_timer_cancel(turns->loop, &turns->timer);
    } else {
        for (size_t i = 0; i < turns->count; i++)
            if (turns->queue[i].arg != arg)
                turns->queue[kept++] = turns->queue[i];
        turns->count = kept;
    }
    plan(turns);
}
