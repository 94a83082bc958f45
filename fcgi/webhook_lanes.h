/* fcgi/webhook_lanes.h - one lane for each owner: how many calls of the owner's are open, and until
 * when to leave a receiver alone that fails, so that it delays nobody else. Pure; one thread. */
#ifndef FCGI_WEBHOOK_LANES_H
#define FCGI_WEBHOOK_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/uuid.h"

struct mrs_lane {
    struct df_uuid owner;
    int open;         /* calls under way */
    int failures;     /* in a row */
    int64_t pause_ms; /* not before this time; df_clock_mono_ms */
    char *url;        /* that failed: another one is not paused; NULL unless paused */
};

struct mrs_lanes {
    struct mrs_lane *list;
    size_t count, cap;
    uint32_t jitter;
};

void mrs_lanes_init(struct mrs_lanes *lanes, uint32_t seed);
void mrs_lanes_release(struct mrs_lanes *lanes);

/* A call of the owner's begins. DF_ENOMEM: it must not. */
enum df_code mrs_lanes_begin(struct mrs_lanes *lanes, const struct df_uuid *owner,
                             struct df_error *err) DF_MUST_USE;
/* It ended. A success opens the lane again. A failure pauses it for calls to the same url (copied,
 * NULL is ""): for base_ms, twice as long each time, at most a minute, half of it by chance.
 * Abandoned, neither of both, leaves it as it was. */
enum mrs_call_end { MRS_CALL_SUCCEEDED, MRS_CALL_FAILED, MRS_CALL_ABANDONED };
void mrs_lanes_end(struct mrs_lanes *lanes, const struct df_uuid *owner, enum mrs_call_end how,
                   const char *url, int64_t base_ms, int64_t now_ms);

/* True while an owner must not get another call: some are open, or the lane is paused. Forgets
 * lanes that say nothing any more. */
bool mrs_lanes_is_closed(const struct mrs_lane *lane, int64_t now_ms);
void mrs_lanes_forget_idle(struct mrs_lanes *lanes, int64_t now_ms);

/* The wait before attempt number `attempts` + 1: base_ms doubled for each attempt so far, at most
 * MRS_BACKOFF_MAX_MS, of which the second half is by chance. */
#define MRS_BACKOFF_MAX_MS ((int64_t)3600 * 1000)
int64_t mrs_backoff_ms(int64_t base_ms, int attempts, uint32_t random);
uint32_t mrs_lanes_random(struct mrs_lanes *lanes);

#endif
