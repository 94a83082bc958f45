/* realtime/resolve.h - from entries of the change log to rows that subscribers may see: two
 * questions to Postgres (realtime_rows, realtime_visible) for many rows at once. One thread. */
#ifndef REALTIME_RESOLVE_H
#define REALTIME_RESOLVE_H

#include "realtime/changes.h"
#include "realtime/db.h"
#include "realtime/entry.h"
#include "realtime/ids.h"
#include "realtime/plan.h"

enum { RT_BATCH_ROWS = 200 };

struct rt_resolver {
    struct rt_db *db;       /* borrowed; has the statements of rt_resolve_statements */
    struct rt_index *index; /* borrowed */
    /* A filter or claim set turned out to be beyond Postgres; it is marked in the index. */
    void (*on_failed)(void *arg, bool is_filter, uint32_t id, const char *why);
    void (*on_query)(void *arg, int64_t us);
    void *arg;
};

extern const struct rt_db_statement rt_resolve_statements[];
extern const size_t rt_resolve_statement_count;

struct rt_row_list {
    struct rt_row *at;
    size_t count, cap;
};
void rt_row_release(struct rt_row *row);
void rt_row_list_release(struct rt_row_list *list);

/* Entries of one table and operation, all with ids or all with keys, with their matches. rows has a
 * list for each entry; on DF_OK the caller owns what is in them, otherwise they are empty.
 *   DF_EUNAVAILABLE  the connection is gone
 *   DF_EBUSY         the same again, later: a lock, a timeout that no filter is to blame for
 *   DF_ENOMEM
 * What cannot be read at all (DF_EINPUT from Postgres) is logged and yields no rows. */
enum df_code rt_resolve(struct rt_resolver *resolver, struct rt_entry *const *entries, size_t count,
                        struct rt_row_list *rows, struct df_error *err) DF_MUST_USE;

#endif
