/* scraper/delivery_state.h - the inside of the delivery. For delivery*.c only. */
#ifndef SCRAPER_DELIVERY_STATE_H
#define SCRAPER_DELIVERY_STATE_H

#include <pthread.h>

#include "scraper/capture.h"
#include "scraper/owner.h"
#include "scraper/sender.h"

struct scr_delivery {
    const struct scr_config *config;
    pthread_t thread;
    int event_fd; /* readable while `ready` holds events */
    void *multi;  /* CURLM; only its wake-up is for other threads */
    struct scr_watch_row *watches; /* as they were at the start, until asked for */
    size_t watch_count;

    pthread_mutex_t lock; /* guards what follows, up to the blank line */
    struct scr_order_list arrivals;
    struct scr_event_list ready;
    struct scr_delivery_stats shared; /* oldest_pending_ms holds a wall clock time */
    int64_t drain_until_ms;           /* monotonic */
    bool is_stopping;

    /* the delivery thread's own */
    struct scr_outbox *outbox;
    struct scr_sender *sender;
    struct scr_owner_desk *desk;
    struct scr_alarms alarms;
    struct scr_event_list events;  /* not handed over yet */
    struct scr_order_list fresh;   /* to be written, in order */
    struct scr_order_list held;    /* could not be written, in order */
    size_t held_lines, held_bytes;
    int64_t retry_ms;              /* when `held` is tried again */
    int64_t retry_after_ms;        /* how long it waits for that */
    int64_t save_ms, chores_ms;    /* when they are due; 0: nothing to save */
    int64_t dropped_ms, buried_ms; /* of the last one, for the alarms to end; 0: none */
    int64_t used_bytes;
    struct scr_delivery_stats stats;
    char told[SCR_ALARM_BYTES];
};

/* Writes what is fresh, or holds it. What is held comes first. */
void scr_delivery_write(struct scr_delivery *delivery, int64_t now_ms);
/* Who answers questions of ownership; its answers become events. NULL: out of memory. */
struct scr_owner_desk *scr_delivery_desk(struct scr_delivery *delivery);
void *scr_delivery_main(void *user);

#endif
