/* shared/pg.h - one Postgres connection with deadlines, and arrays as binary parameters.
 * A df_pg belongs to one thread at a time. Wraps libpq 15; every wait is bounded by a deadline, so
 * a server that stops answering costs its callers that long and not for ever. */
#ifndef SHARED_PG_H
#define SHARED_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/error.h"
#include "shared/uuid.h"

struct pg_result; /* libpq's PGresult */

struct df_pg_statement {
    const char *name;
    const char *sql;
};

struct df_pg_options {
    const char *conninfo; /* URI or key=value; borrowed for the life of the df_pg */
    const char *app_name;
    const char *session_sql; /* run after each connect (set role ...; timeouts), or NULL */
    const struct df_pg_statement *statements; /* prepared after each connect; borrowed */
    size_t statement_count;
    int64_t connect_timeout_ms;
};

struct df_pg;

/* Makes a connection object; does not connect yet. On DF_OK the caller owns *out. DF_ENOMEM. */
enum df_code df_pg_new(struct df_pg **out, const struct df_pg_options *options,
                       struct df_error *err) DF_MUST_USE;
void df_pg_free(struct df_pg *pg); /* closes; NULL is fine */

/* Connects, runs session_sql, prepares the statements. DF_OK when it is connected already.
 * DF_EUNAVAILABLE: the server is away, refuses, or took longer than connect_timeout_ms; err->msg
 * holds no part of the connection string. */
enum df_code df_pg_connect(struct df_pg *pg, struct df_error *err) DF_MUST_USE;
bool df_pg_is_connected(const struct df_pg *pg);
void df_pg_disconnect(struct df_pg *pg);

/* The socket to watch while idle, or -1; when it turns readable call df_pg_drain: it notices that
 * the server closed the connection (and disconnects), and throws notices away. */
int df_pg_socket(const struct df_pg *pg);
void df_pg_drain(struct df_pg *pg);

/* --- parameters ------------------------------------------------------------------------------ */

enum df_pg_type {
    DF_PG_UUID = 2950,
    DF_PG_TEXT = 25,
    DF_PG_BOOL = 16,
    DF_PG_FLOAT8 = 701,
    DF_PG_INT8 = 20
};

/* One binary one-dimensional array, grown element by element and reused between calls. */
struct df_pg_array {
    struct df_buf bytes;
    uint32_t count;
    bool has_null;
};

void df_pg_array_init(struct df_pg_array *array, size_t max_bytes);
void df_pg_array_release(struct df_pg_array *array);
void df_pg_array_begin(struct df_pg_array *array, enum df_pg_type element); /* empties it */
void df_pg_array_add_null(struct df_pg_array *array);
void df_pg_array_add_uuid(struct df_pg_array *array, const struct df_uuid *uuid);
void df_pg_array_add_text(struct df_pg_array *array, const char *text, size_t text_len);
void df_pg_array_add_bool(struct df_pg_array *array, bool value);
void df_pg_array_add_float8(struct df_pg_array *array, double value);
void df_pg_array_add_int8(struct df_pg_array *array, int64_t value);

/* --- execution ------------------------------------------------------------------------------- */

/* Runs a prepared statement with array parameters as a transaction of its own and waits until
 * deadline_ms (df_clock_mono_ms). On DF_OK *out holds the result in binary format, owned by the
 * caller (df_pg_result_free). Otherwise *out is NULL and err->sqlstate is set when Postgres spoke:
 *   DF_EUNAVAILABLE  connection lost or deadline passed (then disconnected: the outcome of the
 *                    statement is unknown), or classes 53, 57, 58, 42, 25, 28: the server as a
 *                    whole cannot do it now, trying row by row would not help
 *   DF_EBUSY         40001, 40P01, 23503: try once more
 *   DF_EINPUT        any other SQLSTATE: some row of the statement is at fault
 *   DF_ENOMEM */
enum df_code df_pg_execute(struct df_pg *pg, const char *statement,
                           const struct df_pg_array *const *params, int param_count,
                           int64_t deadline_ms, struct pg_result **out,
                           struct df_error *err) DF_MUST_USE;

/* Runs plain SQL (begin, commit, ...) and throws the result away; codes as above. */
enum df_code df_pg_run(struct df_pg *pg, const char *sql, int64_t deadline_ms,
                       struct df_error *err) DF_MUST_USE;

void df_pg_result_free(struct pg_result *result); /* NULL is fine */
int df_pg_rows(const struct pg_result *result);
bool df_pg_is_null(const struct pg_result *result, int row, int column);
/* Binary readers; the column must have that type. Text is borrowed from the result. */
bool df_pg_get_uuid(const struct pg_result *result, int row, int column, struct df_uuid *out);
bool df_pg_get_bool(const struct pg_result *result, int row, int column);
int64_t df_pg_get_int8(const struct pg_result *result, int row, int column); /* int2, int4, int8 */
double df_pg_get_float8(const struct pg_result *result, int row, int column);
const char *df_pg_get_text(const struct pg_result *result, int row, int column, size_t *text_len);

#endif
