/* scraper/lane.h - the lines that one session owes, in order: a window of them in memory, the rest in
 * the outbox. Decides which line goes next. Pure; times are passed in. */
#ifndef SCRAPER_LANE_H
#define SCRAPER_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/outbox.h"

#define SCR_WINDOW_MAX 64 /* lines of one session in memory */
#define SCR_WINDOW_MAX_BYTES 65536
#define SCR_WINDOW_LOW 16 /* refilled from the outbox below that */
/* After so many failures of its own a line no longer holds up those behind it. */
#define SCR_FAILURES_ASIDE 3

struct scr_item {
    struct scr_item *next;
    bool is_flying;
    enum scr_role role;
    unsigned failures; /* that were its own: the other end was well before and after */
    int64_t seq, captured_ms;
    int64_t not_before_ms; /* monotonic */
    struct df_uuid id;
    size_t bytes, username_len, text_len;
    const char *username, *text;
    char data[];
};

struct scr_lane {
    struct scr_lane *next;
    int64_t session;   /* its row; 0: the row has yet to be made */
    bool is_new;       /* made by the transaction under way */
    int64_t last_seq;  /* newest number given out */
    int64_t stored_seq; /* newest line that _added or _kept told of */
    int64_t done_seq;  /* settled up to here */
    int64_t saved_seq; /* what the outbox knows of done_seq */
    int64_t tidied_seq; /* done_seq at the last trim */
    int64_t seen_seq;  /* everything to deliver in (done_seq, seen_seq] is in the window */
    bool has_more;     /* there is more behind seen_seq */
    uint64_t pending;  /* all that is owed */
    struct scr_item *first, *last;
    size_t count, bytes;
    unsigned flying;
    bool is_rushing;   /* too slow one by one: some at once, order only roughly */
    int park_status;   /* not 0: the function refuses this session */
    unsigned park_tries;
    int64_t park_until_ms;
    char name[SCR_SESSION_MAX_BYTES + 1];
};

/* NULL: out of memory. name must fit. */
struct scr_lane *scr_lane_new(const char *name);
void scr_lane_free(struct scr_lane *lane);

/* A line to deliver that was stored: into the window when it is the next one and there is room,
 * else it will be read from the outbox. */
void scr_lane_added(struct scr_lane *lane, int64_t seq, const struct scr_capture *capture);
/* A line that was stored only to be kept. */
void scr_lane_kept(struct scr_lane *lane, int64_t seq);
/* Reads on when the window runs low. */
enum df_code scr_lane_refill(struct scr_lane *lane, struct scr_outbox *outbox,
                             struct df_error *err) DF_MUST_USE;
/* Empties the window (nothing may be flying) after the outbox moved done_seq itself. */
void scr_lane_rewind(struct scr_lane *lane, int64_t done_seq, uint64_t settled);

/* The line to post now, or NULL. per_lane_max: how many may fly while it rushes; post_ms: what a
 * post takes of late, decides on rushing. *due_ms (monotonic) is lowered to when asking again may
 * help. */
struct scr_item *scr_lane_next(struct scr_lane *lane, unsigned per_lane_max, double post_ms,
                               int64_t now_ms, int64_t *due_ms);
/* The line that asks whether the other end is back: the first, or (when that one may be the cause)
 * the second. NULL: none. */
struct scr_item *scr_lane_probe(struct scr_lane *lane, bool suspect_first, int64_t now_ms);

void scr_lane_started(struct scr_lane *lane, struct scr_item *item);
/* The line was taken or buried; item is gone afterwards. */
void scr_lane_settled(struct scr_lane *lane, struct scr_item *item);
void scr_lane_back(struct scr_lane *lane, struct scr_item *item); /* not delivered: waits again */

#endif
