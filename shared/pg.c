/* shared/pg.c - libpq driven asynchronously, so that each wait has a deadline. */
#include "shared/pg.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

struct df_pg {
    struct df_pg_options options;
    PGconn *conn; /* NULL while disconnected */
};

enum df_code df_pg_new(struct df_pg **out, const struct df_pg_options *options,
                       struct df_error *err)
{
    struct df_pg *pg = calloc(1, sizeof *pg);
    *out = pg;
    if (pg == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    pg->options = *options;
    return DF_OK;
}

void df_pg_disconnect(struct df_pg *pg)
{
    PQfinish(pg->conn); /* NULL is fine */
    pg->conn = NULL;
}

void df_pg_free(struct df_pg *pg)
{
    if (pg == NULL)
        return;
    df_pg_disconnect(pg);
    free(pg);
}

bool df_pg_is_connected(const struct df_pg *pg)
{
    return pg->conn != NULL && PQstatus(pg->conn) == CONNECTION_OK;
}

int df_pg_socket(const struct df_pg *pg)
{
    return pg->conn == NULL ? -1 : PQsocket(pg->conn);
}

void df_pg_drain(struct df_pg *pg)
{
    if (pg->conn == NULL)
        return;
    if (PQconsumeInput(pg->conn) == 0 || PQstatus(pg->conn) != CONNECTION_OK) {
        df_pg_disconnect(pg);
        return;
    }
    PGnotify *notify;
    while ((notify = PQnotifies(pg->conn)) != NULL)
        PQfreemem(notify);
}

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* True when the descriptor is ready before the deadline. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - df_clock_mono_ms();
        if (left <= 0)
            return false;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, (int)(left > 60000 ? 60000 : left));
        if (n > 0)
            return true;
    }
}

static enum df_code connect_until(struct df_pg *pg, int64_t deadline_ms, struct df_error *err)
{
    const char *const names[] = {"dbname",          "fallback_application_name", "client_encoding",
                                 "keepalives_idle", "tcp_user_timeout",          NULL};
    const char *const values[] = {
        pg->options.conninfo, pg->options.app_name, "UTF8", "30", "10000", NULL};

    pg->conn = PQconnectStartParams(names, values, 1); /* 1: dbname may be a whole conninfo */
    if (pg->conn == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (PQstatus(pg->conn) == CONNECTION_BAD || state == PGRES_POLLING_FAILED) {
            /* libpq's text names host, port and reason, never the password. */
            return df_error_set(err, DF_EUNAVAILABLE, "connect: %s", PQerrorMessage(pg->conn));
        }
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        if (!wait_for(PQsocket(pg->conn), events, deadline_ms))
            return df_error_set(err, DF_EUNAVAILABLE, "connect: timed out");
        state = PQconnectPoll(pg->conn);
    }
    PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
    if (PQsetnonblocking(pg->conn, 1) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "connect: cannot set non-blocking mode");
    return DF_OK;
}

static enum df_code classify(const char *sqlstate)
{
    static const char *const whole_server[] = {"08", "25", "28", "42", "53", "57", "58"};

    /* 23503: a parent row went away while the statement ran; it will be seen as missing now. */
    if (strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0 ||
        strcmp(sqlstate, "23503") == 0)
        return DF_EBUSY;
    for (size_t i = 0; i < sizeof whole_server / sizeof whole_server[0]; i++) {
        if (strncmp(sqlstate, whole_server[i], 2) == 0)
            return DF_EUNAVAILABLE;
    }
    return DF_EINPUT;
}

static enum df_code error_of(const PGresult *result, struct df_error *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (state == NULL)
        state = "08006";
    enum df_code rc = df_error_set(err, classify(state), "%s (SQLSTATE %s)",
                                   text == NULL ? "connection lost" : text, state);
    if (err != NULL) {
        size_t n = strnlen(state, sizeof err->sqlstate - 1);
        memcpy(err->sqlstate, state, n);
        err->sqlstate[n] = '\0';
    }
    return rc;
}

/* Collects what the sent command answers; keeps the last row set. */
static enum df_code await(struct df_pg *pg, int64_t deadline_ms, PGresult **out,
                          struct df_error *err)
{
    enum df_code rc = DF_OK;
    PGresult *kept = NULL;

    *out = NULL;
    for (;;) {
        int flushed = PQflush(pg->conn);
        if (flushed < 0)
            goto lost;
        while (flushed > 0 || PQisBusy(pg->conn)) {
            short events = flushed > 0 ? POLLIN | POLLOUT : POLLIN;
            if (!wait_for(PQsocket(pg->conn), events, deadline_ms)) {
                PQclear(kept);
                df_pg_disconnect(pg); /* the answer may still come: this connection is spent */
                return df_error_set(err, DF_EUNAVAILABLE, "Postgres did not answer in time");
            }
            if (PQconsumeInput(pg->conn) == 0)
                goto lost;
            if (flushed > 0 && (flushed = PQflush(pg->conn)) < 0)
                goto lost;
        }
        PGresult *result = PQgetResult(pg->conn);
        if (result == NULL)
            break;
        ExecStatusType status = PQresultStatus(result);
        if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
            PQclear(kept);
            kept = result;
        } else {
            if (rc == DF_OK)
                rc = error_of(result, err);
            PQclear(result);
        }
    }
    if (PQstatus(pg->conn) != CONNECTION_OK)
        df_pg_disconnect(pg);
    if (rc != DF_OK) {
        PQclear(kept);
        return rc;
    }
    *out = kept;
    return DF_OK;
lost:
    PQclear(kept);
    df_pg_disconnect(pg);
    return df_error_set(err, DF_EUNAVAILABLE, "connection to Postgres lost");
}

enum df_code df_pg_run(struct df_pg *pg, const char *sql, int64_t deadline_ms, struct df_error *err)
{
    PGresult *result = NULL;

    if (pg->conn == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "not connected to Postgres");
    if (PQsendQuery(pg->conn, sql) == 0) {
        df_pg_disconnect(pg);
        return df_error_set(err, DF_EUNAVAILABLE, "connection to Postgres lost");
    }
    enum df_code rc = await(pg, deadline_ms, &result, err);
    PQclear(result);
    return rc;
}

static enum df_code prepare_all(struct df_pg *pg, int64_t deadline_ms, struct df_error *err)
{
    for (size_t i = 0; i < pg->options.statement_count; i++) {
        const struct df_pg_statement *s = &pg->options.statements[i];
        PGresult *result = NULL;
        if (PQsendPrepare(pg->conn, s->name, s->sql, 0, NULL) == 0)
            return df_error_set(err, DF_EUNAVAILABLE, "connection to Postgres lost");
        enum df_code rc = await(pg, deadline_ms, &result, err);
        PQclear(result);
        if (rc != DF_OK) {
            (void)df_error_wrap(err, s->name);
            return DF_EUNAVAILABLE;
        }
    }
    return DF_OK;
}

enum df_code df_pg_connect(struct df_pg *pg, struct df_error *err)
{
    if (df_pg_is_connected(pg))
        return DF_OK;
    df_pg_disconnect(pg);
    int64_t deadline_ms = df_clock_mono_ms() + pg->options.connect_timeout_ms;
    enum df_code rc = connect_until(pg, deadline_ms, err);
    if (rc == DF_OK && pg->options.session_sql != NULL)
        rc = df_pg_run(pg, pg->options.session_sql, deadline_ms, err);
    if (rc == DF_OK)
        rc = prepare_all(pg, deadline_ms, err);
    if (rc != DF_OK) {
        df_pg_disconnect(pg);
        return rc == DF_ENOMEM ? rc : DF_EUNAVAILABLE;
    }
    return DF_OK;
}

/* --- parameters ------------------------------------------------------------------------------ */

enum { ARRAY_HEADER_BYTES = 20 };

static void put_u32(char *out, uint32_t v)
{
    out[0] = (char)(v >> 24);
    out[1] = (char)(v >> 16);
    out[2] = (char)(v >> 8);
    out[3] = (char)v;
}

static void put_u64(char *out, uint64_t v)
{
    put_u32(out, (uint32_t)(v >> 32));
    put_u32(out + 4, (uint32_t)v);
}

void df_pg_array_init(struct df_pg_array *array, size_t max_bytes)
{
    *array = (struct df_pg_array){0};
    df_buf_init(&array->bytes, max_bytes);
}

void df_pg_array_release(struct df_pg_array *array)
{
    df_buf_release(&array->bytes);
}

/* Layout: dimensions, has-null flag, element type, then length and lower bound of the dimension
 * (array_recv in Postgres' arrayfuncs.c). Count and flag are filled in when it is sent. */
void df_pg_array_begin(struct df_pg_array *array, enum df_pg_type element)
{
    char header[ARRAY_HEADER_BYTES] = {0};
    put_u32(header, 1);
    put_u32(header + 8, (uint32_t)element);
    put_u32(header + 16, 1);
    df_buf_reset(&array->bytes);
    array->count = 0;
    array->has_null = false;
    df_buf_append(&array->bytes, header, sizeof header);
}

static void add_element(struct df_pg_array *array, const void *bytes, size_t len)
{
    char prefix[4];
    put_u32(prefix, (uint32_t)len);
    if (!df_buf_reserve(&array->bytes, sizeof prefix + len))
        return; /* bytes.failed tells df_pg_execute */
    df_buf_append(&array->bytes, prefix, sizeof prefix);
    df_buf_append(&array->bytes, bytes, len);
    array->count++;
}

void df_pg_array_add_null(struct df_pg_array *array)
{
    df_buf_append(&array->bytes, "\xff\xff\xff\xff", 4);
    array->count++;
    array->has_null = true;
}

void df_pg_array_add_uuid(struct df_pg_array *array, const struct df_uuid *uuid)
{
    add_element(array, uuid->bytes, sizeof uuid->bytes);
}

void df_pg_array_add_text(struct df_pg_array *array, const char *text, size_t text_len)
{
    add_element(array, text, text_len);
}

void df_pg_array_add_bool(struct df_pg_array *array, bool value)
{
    add_element(array, value ? "\1" : "\0", 1);
}

void df_pg_array_add_int8(struct df_pg_array *array, int64_t value)
{
    char bytes[8];
    put_u64(bytes, (uint64_t)value);
    add_element(array, bytes, sizeof bytes);
}

void df_pg_array_add_float8(struct df_pg_array *array, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    df_pg_array_add_int8(array, (int64_t)bits);
}

/* --- execution ------------------------------------------------------------------------------- */

enum { PARAM_MAX = 20 };

enum df_code df_pg_execute(struct df_pg *pg, const char *statement,
                           const struct df_pg_array *const *params, int param_count,
                           int64_t deadline_ms, struct pg_result **out, struct df_error *err)
{
    const char *values[PARAM_MAX];
    int lengths[PARAM_MAX];
    int formats[PARAM_MAX];

    *out = NULL;
    if (param_count > PARAM_MAX)
        return df_error_set(err, DF_EBUG, "%s: too many parameters", statement);
    if (pg->conn == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "not connected to Postgres");
    for (int i = 0; i < param_count; i++) {
        if (params[i]->bytes.failed)
            return df_error_set(err, DF_ENOMEM, "%s: parameters too large", statement);
        put_u32(params[i]->bytes.data + 4, params[i]->has_null ? 1 : 0);
        put_u32(params[i]->bytes.data + 12, params[i]->count);
        values[i] = params[i]->bytes.data;
        lengths[i] = (int)params[i]->bytes.len;
        formats[i] = 1;
    }
    if (PQsendQueryPrepared(pg->conn, statement, param_count, values, lengths, formats, 1) == 0) {
        df_pg_disconnect(pg);
        return df_error_set(err, DF_EUNAVAILABLE, "connection to Postgres lost");
    }
    return await(pg, deadline_ms, out, err);
}

void df_pg_result_free(struct pg_result *result)
{
    PQclear(result);
}

int df_pg_rows(const struct pg_result *result)
{
    return result == NULL ? 0 : PQntuples(result);
}

bool df_pg_is_null(const struct pg_result *result, int row, int column)
{
    return PQgetisnull(result, row, column) != 0;
}

bool df_pg_get_uuid(const struct pg_result *result, int row, int column, struct df_uuid *out)
{
    if (df_pg_is_null(result, row, column) ||
        PQgetlength(result, row, column) != (int)sizeof out->bytes)
        return false;
    memcpy(out->bytes, PQgetvalue(result, row, column), sizeof out->bytes);
    return true;
}

bool df_pg_get_bool(const struct pg_result *result, int row, int column)
{
    return !df_pg_is_null(result, row, column) && PQgetvalue(result, row, column)[0] != 0;
}

int64_t df_pg_get_int8(const struct pg_result *result, int row, int column)
{
    const unsigned char *bytes = (const unsigned char *)PQgetvalue(result, row, column);
    int length = PQgetlength(result, row, column);
    uint64_t v = length > 0 && (bytes[0] & 0x80) ? UINT64_MAX : 0; /* sign */
    for (int i = 0; i < length && i < 8; i++)
        v = v << 8 | bytes[i];
    return (int64_t)v;
}

double df_pg_get_float8(const struct pg_result *result, int row, int column)
{
    int64_t bits = df_pg_get_int8(result, row, column);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

const char *df_pg_get_text(const struct pg_result *result, int row, int column, size_t *text_len)
{
    *text_len = (size_t)PQgetlength(result, row, column);
    return PQgetvalue(result, row, column);
}
