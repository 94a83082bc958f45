/* realtime/stretch.h - a client's way through the order of delivery: from its last row, stretch by
 * stretch of the cuts that this gateway remembers, up to where live delivery begins. Each stretch
 * is what one statement asks for. Pure; the caller holds the lock of the cuts. */
#ifndef REALTIME_STRETCH_H
#define REALTIME_STRETCH_H

#include "realtime/changes_private.h"
#include "shared/buf.h"

struct rt_stretch {
    char *last;          /* heap: all that it sees was before; NULL: nothing known */
    struct df_buf cuts;  /* snapshots as a Postgres array; empty: rt_stretch_next is due */
    uint64_t first, end; /* their numbers: from first to before end */
    char *newest;        /* heap: the last of them; NULL: there was none yet */
    bool is_known;       /* these are places in the order of delivery */
    char upto_seq[24];   /* of what only the newest one sees */
    /* The last entry that was sent: which cut of the stretch, from 1, and its seq. */
    char after_cut[24], after_seq[24];
};

void rt_stretch_init(struct rt_stretch *stretch);
void rt_stretch_release(struct rt_stretch *stretch);

/* Begins with the entry of the spot, which may have been delivered in part; false: it is not
 * remembered, or no memory. */
bool rt_stretch_begin_at_spot(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                              const struct rt_spot *spot);
/* The same for an entry known by its transaction and seq. */
bool rt_stretch_begin_at_entry(struct rt_stretch *stretch, const struct rt_cuts *cuts, uint64_t xid,
                               int64_t seq);
/* Begins with all that the oldest cut sees. */
void rt_stretch_begin(struct rt_stretch *stretch, const struct rt_cuts *cuts);

/* *is_over: there is none, all up to `until` was asked for. Otherwise DF_ENOMEM: the same again. */
enum df_code rt_stretch_next(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                             const struct rt_place *until, bool *is_over,
                             struct df_error *err) DF_MUST_USE;

#endif
