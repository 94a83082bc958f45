/* realtime/catch_up.h - one client's missed rows, page by page; sql/migrations/0020 says how they
 * are found. Control thread. */
#ifndef REALTIME_CATCH_UP_H
#define REALTIME_CATCH_UP_H

#include <stdbool.h>

#include "realtime/changes_private.h"
#include "realtime/db.h"

struct rt_catch_up;

extern const struct rt_db_statement rt_catch_up_statements[];
extern const size_t rt_catch_up_statement_count;

/* Takes the question over. NULL: no memory, then it is still the caller's. */
struct rt_catch_up *rt_catch_up_new(struct rt_changes *changes, struct rt_question *question);
void rt_catch_up_free(struct rt_catch_up *catch_up);
uint64_t rt_catch_up_token(const struct rt_catch_up *catch_up);

enum rt_catch_up_state {
    RT_CATCH_UP_WAITS, /* for its plan to come into force */
    RT_CATCH_UP_GOES_ON,
    RT_CATCH_UP_DONE, /* its last event was sent */
};
/* Sends one page. DF_OK: *state holds; otherwise the same again, when the database is back. */
enum df_code rt_catch_up_step(struct rt_catch_up *catch_up, struct rt_db *db,
                              enum rt_catch_up_state *state, struct df_error *err) DF_MUST_USE;

#endif
