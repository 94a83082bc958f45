/* realtime/resolve_private.h - one batch on its way, shared by resolve.c and visible.c. */
#ifndef REALTIME_RESOLVE_PRIVATE_H
#define REALTIME_RESOLVE_PRIVATE_H

#include "realtime/resolve.h"

/* A row as one role sees it: one line of realtime_rows. */
struct rt_seen_row {
    uint32_t n;           /* which row of the batch, from 0 */
    bool is_visible;      /* no question of row level security */
    int line;             /* in the result */
    struct rt_ids wanted; /* claim sets of this role with a filter that it passes */
    struct rt_ids claims; /* those that see it */
};

struct rt_batch {
    struct rt_resolver *resolver;
    struct rt_entry *const *entries;
    size_t entry_count, row_count;
    uint32_t *entry_of;    /* by row: the entry */
    struct rt_ids *passed; /* by row: filters */
    struct rt_ids filters; /* to be evaluated by Postgres */
    struct pg_result *result;
    struct rt_seen_row *seen;
    size_t seen_count;
    struct df_buf roles, ids, keys, old_rows, question; /* parameters */
};

/* Columns of realtime_rows. */
enum {
    RT_ROWS_N,
    RT_ROWS_ROLE,
    RT_ROWS_VISIBLE,
    RT_ROWS_KEY,
    RT_ROWS_COLUMNS,
    RT_ROWS_NEW,
    RT_ROWS_OLD,
    RT_ROWS_PASSED
};

/* Runs a statement and tells how long it took. */
enum df_code rt_batch_ask(struct rt_batch *batch, const char *statement, int param_count,
                          const char *const *params, struct pg_result **out, struct df_error *err);
/* Isolating what is at fault must not hold the others up for long. */
enum df_code rt_batch_hurry(struct rt_batch *batch, bool is_hurried, struct df_error *err);

/* visible.c: fills claims of each row from wanted. */
enum df_code rt_batch_claims(struct rt_batch *batch, struct df_error *err);

#endif
