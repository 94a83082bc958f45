/* scraper/loop.h - the loop thread's descriptors and timers. An epoll descriptor that
 * libwebsockets watches as one of its own (decided there, see http.c), so that the browser's pipe,
 * its end, timers and the delivery thread's wake-ups share one thread with the clients.
 * Everything here belongs to the loop thread. */
#ifndef SCRAPER_LOOP_H
#define SCRAPER_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

struct scr_loop;

/* Owned by the caller (usually a member of its struct); zero it before first use. */
struct scr_watch {
    int fd;
    void (*on_ready)(void *arg, uint32_t epoll_events);
    void *arg;
    bool is_on; /* private */
};

struct scr_timer {
    void (*on_due)(void *arg); /* may set the same timer again, or free what holds it */
    void *arg;
    int64_t due_ms; /* private */
    size_t place;   /* private: 1 + index in the heap, 0 when not set */
};

/* The caller owns *out. DF_ENOMEM, DF_EUNAVAILABLE (no descriptors left). */
enum df_code scr_loop_new(struct scr_loop **out, struct df_error *err) DF_MUST_USE;
void scr_loop_free(struct scr_loop *loop); /* NULL is fine; watches and timers must be off */

/* Readable whenever scr_loop_dispatch has something to do (timers included). */
int scr_loop_fd(const struct scr_loop *loop);
/* Waits at most timeout_ms (0: not at all, -1: until something happens) and runs the callbacks. */
void scr_loop_dispatch(struct scr_loop *loop, int timeout_ms);

/* Level-triggered. on_ready of a watch that was removed in the same round is not called. */
enum df_code scr_loop_watch(struct scr_loop *loop, struct scr_watch *watch, uint32_t epoll_events,
                            struct df_error *err) DF_MUST_USE;
void scr_loop_change(struct scr_loop *loop, struct scr_watch *watch, uint32_t epoll_events);
void scr_loop_unwatch(struct scr_loop *loop, struct scr_watch *watch); /* fine when not on */

/* Runs timer->on_due once, after_ms from now (0: in the next round). Set again: moved.
 * Fails only for lack of memory, which ends the program: a timer lost is a promise broken. */
void scr_timer_set(struct scr_loop *loop, struct scr_timer *timer, int64_t after_ms);
void scr_timer_cancel(struct scr_loop *loop, struct scr_timer *timer); /* fine when not set */
bool scr_timer_is_set(const struct scr_timer *timer);

#endif
