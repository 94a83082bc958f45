/* realtime/db.h - one connection to Postgres for text results, LISTEN and long statements. Every
 * wait has a deadline and ends at once when the program stops. A struct rt_db belongs to one
 * thread. */
#ifndef REALTIME_DB_H
#define REALTIME_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/error.h"

struct pg_conn;   /* libpq's PGconn */
struct pg_result; /* libpq's PGresult */

struct rt_db_statement {
    const char *name, *sql;
};

struct rt_db {
    const char *url;      /* borrowed */
    const char *app_name; /* borrowed */
    int stop_fd;          /* readable when the program stops; borrowed */
    const struct rt_db_statement *statements;
    size_t statement_count;
    struct pg_conn *conn; /* NULL while disconnected */
};

/* Connects, becomes service_role, sets timeouts and prepares the statements.
 * DF_EUNAVAILABLE: not possible now; nothing of the URL is in err. */
enum df_code rt_db_connect(struct rt_db *db, struct df_error *err) DF_MUST_USE;
void rt_db_disconnect(struct rt_db *db);
int rt_db_socket(const struct rt_db *db); /* -1 while disconnected */

/* Runs a prepared statement with text parameters (NULL: null). On DF_OK the caller owns *out
 * (PQclear). Otherwise:
 *   DF_EUNAVAILABLE  the connection is gone (or was given up: no answer in time, or stopping)
 *   DF_EBUSY         a lock, a deadlock, no resources: the same again, later
 *   DF_ETIMEOUT      statement_timeout
 *   DF_EINPUT        anything else that Postgres said */
enum df_code rt_db_execute(struct rt_db *db, const char *statement, int param_count,
                           const char *const *params, struct pg_result **out,
                           struct df_error *err) DF_MUST_USE;
/* The same for plain SQL; the result is thrown away. */
enum df_code rt_db_run(struct rt_db *db, const char *sql, struct df_error *err) DF_MUST_USE;

/* Calls on_notify for each notification that has arrived. False: the connection is gone. */
bool rt_db_notifications(struct rt_db *db,
                         void (*on_notify)(void *arg, const char *channel, const char *payload),
                         void *arg);

/* --- array literals as parameters: {"a","b"} ----------------------------------------------------
 */

void rt_db_array_begin(struct df_buf *array);
void rt_db_array_add(struct df_buf *array, const char *text, size_t text_len);
void rt_db_array_end(struct df_buf *array);

#endif
