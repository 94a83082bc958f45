/* realtime/db.c - libpq driven asynchronously, so that each wait has a deadline and hears the stop.
 */
#include "realtime/db.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <libpq-fe.h>

#include "shared/clock.h"

#define CONNECT_MS 10000
/* Longer than statement_timeout below: it is for a server that does not answer at all. */
#define ANSWER_MS 30000

/* The functions are for service_role; they become whoever asks. Times are told in UTC. */
static const char session_sql[] =
    "set role service_role; set timezone = 'UTC'; set statement_timeout = 3000;"
    " set lock_timeout = 1000; set idle_in_transaction_session_timeout = 60000;"
    " set synchronous_commit = off; set jit = off";

void rt_db_disconnect(struct rt_db *db)
{
    PQfinish(db->conn); /* NULL is fine */
    db->conn = NULL;
}

int rt_db_socket(const struct rt_db *db)
{
    return db->conn == NULL ? -1 : PQsocket(db->conn);
}

/* True when the socket is ready; false at the deadline and when the program stops. */
static bool wait_for(const struct rt_db *db, short events, int64_t deadline_ms)
{
    struct pollfd fds[] = {{PQsocket(db->conn), events, 0}, {db->stop_fd, POLLIN, 0}};

    for (;;) {
        int64_t left_ms = deadline_ms - df_clock_mono_ms();
        if (left_ms <= 0)
            return false;
        int n = poll(fds, 2, (int)left_ms);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            return fds[1].revents == 0;
    }
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static enum df_code start_connection(struct rt_db *db, int64_t deadline_ms, struct df_error *err)
{
    const char *const names[] = {"dbname",          "fallback_application_name", "client_encoding",
                                 "keepalives_idle", "tcp_user_timeout",          NULL};
    const char *const values[] = {db->url, db->app_name, "UTF8", "30", "10000", NULL};
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    db->conn = PQconnectStartParams(names, values, 1); /* 1: dbname may be a whole conninfo */
    if (db->conn == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "out of memory");
    while (state != PGRES_POLLING_OK) {
        if (PQstatus(db->conn) == CONNECTION_BAD || state == PGRES_POLLING_FAILED)
            return df_error_set(err, DF_EUNAVAILABLE, "connect: %s", PQerrorMessage(db->conn));
        if (!wait_for(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ms))
            return df_error_set(err, DF_EUNAVAILABLE, "connect: timed out");
        state = PQconnectPoll(db->conn);
    }
    (void)PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    if (PQsetnonblocking(db->conn, 1) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "connect: cannot set non-blocking mode");
    return DF_OK;
}

static enum df_code classify(const char *sqlstate)
{
    static const char *const gone[] = {"08", "57P"};
    static const char *const later[] = {"40", "53", "55P03", "58"};

    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        if (strncmp(sqlstate, gone[i], strlen(gone[i])) == 0)
            return DF_EUNAVAILABLE;
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        if (strncmp(sqlstate, later[i], strlen(later[i])) == 0)
            return DF_EBUSY;
    return strcmp(sqlstate, "57014") == 0 ? DF_ETIMEOUT : DF_EINPUT;
}

static enum df_code error_of(const PGresult *result, struct df_error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (state == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "connection to Postgres lost");
    enum df_code rc = df_error_set(err, classify(state), "%s", text == NULL ? state : text);
    size_t n = strnlen(state, sizeof err->sqlstate - 1);
    memcpy(err->sqlstate, state, n);
    err->sqlstate[n] = '\0';
    return rc;
}

static enum df_code lose(struct rt_db *db, PGresult *kept, const char *why, struct df_error *err)
{
    PQclear(kept);
    rt_db_disconnect(db); /* an answer may still come: this connection is spent */
    return df_error_set(err, DF_EUNAVAILABLE, "%s", why);
}

/* Collects what the command that was sent answers; keeps the last row set. */
static enum df_code await(struct rt_db *db, int64_t deadline_ms, PGresult **out,
                          struct df_error *err)
{
    enum df_code rc = DF_OK;
    PGresult *kept = NULL, *result = NULL;

    for (;;) {
        int unsent = PQflush(db->conn);
        while (unsent > 0 || (unsent == 0 && PQisBusy(db->conn))) {
            if (!wait_for(db, unsent > 0 ? POLLIN | POLLOUT : POLLIN, deadline_ms))
                return lose(db, kept, "Postgres did not answer in time", err);
            if (PQconsumeInput(db->conn) == 0)
                return lose(db, kept, "connection to Postgres lost", err);
            if (unsent > 0)
                unsent = PQflush(db->conn);
        }
        if (unsent < 0)
            return lose(db, kept, "connection to Postgres lost", err);
        result = PQgetResult(db->conn);
        if (result == NULL)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            PQclear(kept);
            kept = result;
            continue;
        }
        if (rc == DF_OK)
            rc = error_of(result, err);
        PQclear(result);
    }
    if (rc == DF_EUNAVAILABLE || PQstatus(db->conn) != CONNECTION_OK)
        return lose(db, kept, "connection to Postgres lost", err);
    if (rc != DF_OK) {
        PQclear(kept);
        kept = NULL;
    }
    *out = kept;
    return rc;
}

enum df_code rt_db_execute(struct rt_db *db, const char *statement, int param_count,
                           const char *const *params, struct pg_result **out, struct df_error *err)
{
    *out = NULL;
    if (db->conn == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "not connected to Postgres");
    if (PQsendQueryPrepared(db->conn, statement, param_count, params, NULL, NULL, 0) == 0)
        return lose(db, NULL, "connection to Postgres lost", err);
    return await(db, df_clock_mono_ms() + ANSWER_MS, out, err);
}

enum df_code rt_db_run(struct rt_db *db, const char *sql, struct df_error *err)
{
    PGresult *result = NULL;

    if (db->conn == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "not connected to Postgres");
    if (PQsendQuery(db->conn, sql) == 0)
        return lose(db, NULL, "connection to Postgres lost", err);
    enum df_code rc = await(db, df_clock_mono_ms() + ANSWER_MS, &result, err);
    PQclear(result);
    return rc;
}

static enum df_code prepare(struct rt_db *db, const struct rt_db_statement *statement,
                            int64_t deadline_ms, struct df_error *err)
{
    PGresult *result = NULL;

    if (PQsendPrepare(db->conn, statement->name, statement->sql, 0, NULL) == 0)
        return lose(db, NULL, "connection to Postgres lost", err);
    enum df_code rc = await(db, deadline_ms, &result, err);
    PQclear(result);
    if (rc != DF_OK)
        (void)df_error_wrap(err, statement->name);
    return rc;
}

enum df_code rt_db_connect(struct rt_db *db, struct df_error *err)
{
    int64_t deadline_ms = df_clock_mono_ms() + CONNECT_MS;

    rt_db_disconnect(db);
    enum df_code rc = start_connection(db, deadline_ms, err);
    if (rc == DF_OK)
        rc = rt_db_run(db, session_sql, err);
    for (size_t i = 0; rc == DF_OK && i < db->statement_count; i++)
        rc = prepare(db, &db->statements[i], deadline_ms, err);
    if (rc == DF_OK)
        return DF_OK;
    rt_db_disconnect(db);
    err->code = DF_EUNAVAILABLE;
    return DF_EUNAVAILABLE;
}

bool rt_db_notifications(struct rt_db *db,
                         void (*on_notify)(void *arg, const char *channel, const char *payload),
                         void *arg)
{
    PGnotify *notify = NULL;

    if (db->conn == NULL)
        return false;
    bool is_alive = PQconsumeInput(db->conn) != 0 && PQstatus(db->conn) == CONNECTION_OK;
    while ((notify = PQnotifies(db->conn)) != NULL) {
        on_notify(arg, notify->relname, notify->extra);
        PQfreemem(notify);
    }
    return is_alive;
}

void rt_db_array_begin(struct df_buf *array)
{
    df_buf_reset(array);
    (void)df_buf_append_char(array, '{');
}

void rt_db_array_add(struct df_buf *array, const char *text, size_t text_len)
{
    size_t done = 0;

    if (array->len > 1)
        (void)df_buf_append_char(array, ',');
    (void)df_buf_append_char(array, '"');
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] != '"' && text[i] != '\\')
            continue;
        (void)df_buf_append(array, text + done, i - done);
        (void)df_buf_append_char(array, '\\');
        done = i;
    }
    (void)df_buf_append(array, text + done, text_len - done);
    (void)df_buf_append_char(array, '"');
}

void rt_db_array_end(struct df_buf *array)
{
    (void)df_buf_append_char(array, '}');
}
