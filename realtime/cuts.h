/* realtime/cuts.h - in which order this gateway read the change log. Each read goes from one
 * snapshot to the next and is given out by seq, so the place of an entry in what subscribers got is
 * the first snapshot that sees its transaction, then its seq; no number in the log tells as much.
 * The snapshots are kept for the newest 65,536 reads that found something (and 8 MiB): the oldest
 * one kept, the base, only says that all it sees came before the rest. Pure, no locks: struct
 * rt_changes guards its own by its lock. */
#ifndef REALTIME_CUTS_H
#define REALTIME_CUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rt_cut {
    char *snapshot;   /* heap: pg_snapshot as text */
    uint32_t entries; /* of the log that this read found */
};
struct rt_cuts { /* all zero: empty */
    struct rt_cut *at;
    size_t first, end, cap;
    size_t bytes;
    uint64_t base; /* number of at[first]; numbers begin with 1 and are never used again */
};

/* Nobody looked how much is between this snapshot and the one before. */
#define RT_CUT_UNKNOWN UINT32_MAX

/* Adds a read. Its number; 0: no memory. */
uint64_t rt_cuts_add(struct rt_cuts *cuts, const char *snapshot, uint32_t entries);
void rt_cuts_add_entries(struct rt_cuts *cuts, uint32_t entries); /* to the newest */
/* A read found nothing: its snapshot may stand for the newest one. */
void rt_cuts_replace(struct rt_cuts *cuts, const char *snapshot);
void rt_cuts_release(struct rt_cuts *cuts);

uint64_t rt_cuts_newest(const struct rt_cuts *cuts); /* 0: none */
/* Borrowed until the next call that changes something; NULL: not kept. */
const struct rt_cut *rt_cuts_get(const struct rt_cuts *cuts, uint64_t number);
/* The first read that sees the transaction; the base if that does, newest + 1 if none does. */
uint64_t rt_cuts_find(const struct rt_cuts *cuts, uint64_t xid);

/* As pg_visible_in_snapshot(), of "xmin:xmax:xip,xip". */
bool rt_snapshot_sees(const char *snapshot, uint64_t xid);

#endif
