/* realtime/entry.h - entries of the change log as the functions realtime_log, realtime_missed and
 * realtime_made return them. */
#ifndef REALTIME_ENTRY_H
#define REALTIME_ENTRY_H

#include <stddef.h>
#include <stdint.h>

#include "realtime/plan.h"

struct pg_result;

/* All texts are borrowed from the result. */
struct rt_entry {
    uint64_t cut; /* the caller's: see realtime/cuts.h; 0: not known */
    int64_t seq;
    uint32_t had;     /* the caller's: rows left out before the first */
    size_t first_row; /* rt_resolve's: among those of the batch */
    const char *schema, *table, *op, *at;
    const char *session;  /* "" when there is none */
    const char *ids;      /* array of uuids, or NULL: then */
    const char *keys;     /* JSON array of keys */
    const char *old_rows; /* JSON array, NULL for INSERT */
    size_t row_count;
    int64_t age_ms;
    struct rt_matches matches; /* who wants it; owned */
};

/* How many entries the result holds. */
size_t rt_entry_count(const struct pg_result *result);
void rt_entry_read(struct rt_entry *out, const struct pg_result *result, size_t row);

#endif
