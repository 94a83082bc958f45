/* fcgi/rest/db_slot.c - one connection: connecting, setting up, running one pipeline after another.
 */
#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "fcgi/rest/db_parts.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    BACKOFF_FIRST_MS = 10,
    BACKOFF_MAX_MS = 250,
    GRACE_MS = 2000, /* Postgres is given so long to keep to its own statement_timeout */
};

/* Parameters: role, claims, method, path, read only. The role comes first: what follows is done
 * with its rights. */
static const char context_sql[] = "select pg_catalog.set_config('role', $1, true), "
                                  "pg_catalog.set_config('request.jwt.claims', $2, true), "
                                  "pg_catalog.set_config('request.method', $3, true), "
                                  "pg_catalog.set_config('request.path', $4, true), "
                                  "pg_catalog.set_config('transaction_read_only', $5, true)";

/* UTC as on Supabase; a plan compiled to machine code pays for reports, not for these. */
static const char setup_sql[] = "select pg_catalog.set_config('timezone', 'UTC', false), "
                                "pg_catalog.set_config('statement_timeout', $1, false), "
                                "pg_catalog.set_config('idle_in_transaction_session_timeout', $1, "
                                "false), "
                                "pg_catalog.set_config('search_path', "
                                "pg_catalog.quote_ident($2) || ', extensions', false), "
                                "pg_catalog.set_config('jit', 'off', false)";

static void on_ready(struct mrs_watch *watch, uint32_t events);

static struct rst_slot *slot_of(struct mrs_watch *watch)
{
    return (struct rst_slot *)watch; /* its first member */
}

/* --- the socket ------------------------------------------------------------------------------ */

static void watch_for(struct rst_slot *slot, uint32_t events)
{
    int fd = PQsocket(slot->conn);
    if (fd == slot->fd && events == slot->watched)
        return;
    slot->fd = fd;
    slot->watched = events;
    if (!mrs_loop_watch(slot->db->loop, fd, events, &slot->watch))
        df_log(DF_LOG_ERROR, "watch_failed", "fd=%d", fd);
}

static void forget_prepared(struct rst_slot *slot)
{
    for (int i = 0; i < slot->prepared_count; i++)
        free(slot->prepared[i].sql);
    slot->prepared_count = 0;
    slot->current = NULL;
}

static void clear_results(struct rst_slot *slot)
{
    PQclear(slot->answer);
    PQclear(slot->error);
    slot->answer = slot->error = NULL;
}

static void close_connection(struct rst_slot *slot)
{
    if (slot->state == RST_SLOT_IDLE || slot->state == RST_SLOT_BUSY) {
        atomic_fetch_sub_explicit(&slot->db->figures->connected, 1, memory_order_relaxed);
        if (--slot->db->connected == 0)
            slot->db->away_since_ms = df_clock_mono_ms();
    }
    PQfinish(slot->conn); /* closes the socket, which leaves the loop's set by that */
    slot->conn = NULL;
    slot->fd = -1;
    slot->watched = 0;
    slot->state = RST_SLOT_AWAY;
    forget_prepared(slot);
    clear_results(slot);
}

/* The connection is gone, or must be: its request hears about it, and a new one is made. */
static void lose(struct rst_slot *slot, const char *why)
{
    char quoted[256];
    struct rst_job *job = slot->job;

    if (!slot->is_failure_told)
        df_log(DF_LOG_WARN, "database_lost", "error=%s", df_log_quote(quoted, sizeof quoted, why));
    slot->is_failure_told = true;
    slot->job = NULL;
    close_connection(slot);
    slot->backoff_ms = slot->backoff_ms == 0 ? BACKOFF_FIRST_MS : slot->backoff_ms * 2;
    if (slot->backoff_ms > BACKOFF_MAX_MS)
        slot->backoff_ms = BACKOFF_MAX_MS;
    slot->retry_ms = df_clock_mono_ms() + slot->backoff_ms;
    if (job != NULL) {
        job->outcome = RST_LOST;
        job->result = NULL;
        job->on_done(job);
    }
}

static void flush(struct rst_slot *slot)
{
    int rest = PQflush(slot->conn);
    if (rest < 0)
        lose(slot, PQerrorMessage(slot->conn));
    else
        watch_for(slot, rest > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* --- connecting ------------------------------------------------------------------------------ */

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static void connect_now(struct rst_slot *slot)
{
    const char *const names[] = {"dbname",          "fallback_application_name", "client_encoding",
                                 "keepalives_idle", "tcp_user_timeout",          NULL};
    const char *const values[] = {
        slot->db->options.conninfo, "dealflow-rest", "UTF8", "30", "10000", NULL};

    slot->conn = PQconnectStartParams(names, values, 1); /* 1: dbname may be a whole conninfo */
    slot->state = RST_SLOT_CONNECTING;
    slot->deadline_ms = df_clock_mono_ms() + CONNECT_TIMEOUT_MS;
    if (slot->conn == NULL)
        lose(slot, "out of memory");
    else if (PQstatus(slot->conn) == CONNECTION_BAD)
        lose(slot, PQerrorMessage(slot->conn));
    else
        watch_for(slot, EPOLLOUT);
}

static bool add_step(struct rst_slot *slot, int sent, enum rst_slot_step step)
{
    slot->steps[slot->step_count++] = step;
    return sent == 1;
}

static void begin_steps(struct rst_slot *slot)
{
    slot->step_count = slot->step = 0;
    slot->has_result = slot->is_held = false;
}

static void set_up(struct rst_slot *slot)
{
    char timeout[24];
    const char *const params[] = {timeout, slot->db->options.schema};

    (void)snprintf(timeout, sizeof timeout, "%lld",
                   (long long)slot->db->options.statement_timeout_ms);
    PQsetNoticeReceiver(slot->conn, ignore_notice, NULL);
    slot->state = RST_SLOT_SETTING_UP;
    begin_steps(slot);
    bool ok =
        PQsetnonblocking(slot->conn, 1) == 0 && PQenterPipelineMode(slot->conn) == 1 &&
        add_step(slot, PQsendQueryParams(slot->conn, setup_sql, 2, NULL, params, NULL, NULL, 0),
                 RST_STEP_OTHER) &&
        add_step(slot, PQsendPrepare(slot->conn, "context", context_sql, 0, NULL), RST_STEP_OTHER);
    if (ok && slot->listens)
        ok = add_step(slot,
                      PQsendQueryParams(slot->conn, "listen pgrst", 0, NULL, NULL, NULL, NULL, 0),
                      RST_STEP_OTHER);
    if (ok)
        ok = add_step(slot, PQpipelineSync(slot->conn), RST_STEP_SYNC);
    if (ok)
        flush(slot);
    else
        lose(slot, PQerrorMessage(slot->conn));
}

static void go_on_connecting(struct rst_slot *slot)
{
    switch (PQconnectPoll(slot->conn)) {
    case PGRES_POLLING_READING:
        watch_for(slot, EPOLLIN);
        break;
    case PGRES_POLLING_WRITING:
        watch_for(slot, EPOLLOUT);
        break;
    case PGRES_POLLING_OK:
        set_up(slot);
        break;
    default: /* libpq's text names host, port and reason, never the password */
        lose(slot, PQerrorMessage(slot->conn));
    }
}

static void become_idle(struct rst_slot *slot)
{
    slot->state = RST_SLOT_IDLE;
    slot->backoff_ms = 0;
    if (slot->is_failure_told)
        df_log(DF_LOG_INFO, "database_back", "%s", "");
    slot->is_failure_told = false;
    slot->db->connected++;
    slot->db->away_since_ms = 0;
    atomic_fetch_add_explicit(&slot->db->figures->connected, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->db->figures->connects, 1, memory_order_relaxed);
    rst_db_go_on(slot);
}

/* --- prepared statements --------------------------------------------------------------------- */

static uint64_t print_of(const char *text)
{
    uint64_t print = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *text != '\0'; text++)
        print = (print ^ (unsigned char)*text) * 0x100000001b3u;
    return print;
}

static void name_of(const struct rst_prepared *statement, char out[16])
{
    (void)snprintf(out, 16, "s%u", statement->number);
}

static void drop_prepared(struct rst_slot *slot, struct rst_prepared *statement)
{
    free(statement->sql);
    *statement = slot->prepared[--slot->prepared_count];
}

/* Makes room by letting go of the one unused longest. */
static bool evict(struct rst_slot *slot)
{
    char text[32];
    struct rst_prepared *oldest = &slot->prepared[0];

    for (int i = 1; i < slot->prepared_count; i++) {
        if (slot->prepared[i].used < oldest->used)
            oldest = &slot->prepared[i];
    }
    (void)snprintf(text, sizeof text, "deallocate s%u", oldest->number);
    drop_prepared(slot, oldest);
    return add_step(slot, PQsendQueryParams(slot->conn, text, 0, NULL, NULL, NULL, NULL, 0),
                    RST_STEP_OTHER);
}

static struct rst_prepared *find_prepared(struct rst_slot *slot, const char *sql, uint64_t print)
{
    for (int i = 0; i < slot->prepared_count; i++) {
        if (slot->prepared[i].print == print && strcmp(slot->prepared[i].sql, sql) == 0)
            return &slot->prepared[i];
    }
    return NULL;
}

/* --- running --------------------------------------------------------------------------------- */

static bool send_context(struct rst_slot *slot, const struct rst_job *job)
{
    const char *const params[] = {job->role, job->claims, job->method, job->path,
                                  job->is_read_only ? "on" : "off"};

    if (slot->is_held &&
        !add_step(slot, PQsendQueryParams(slot->conn, "begin", 0, NULL, NULL, NULL, NULL, 0),
                  RST_STEP_OTHER))
        return false;
    return add_step(slot, PQsendQueryPrepared(slot->conn, "context", 5, params, NULL, NULL, 0),
                    RST_STEP_OTHER);
}

static bool send_main(struct rst_slot *slot, const struct rst_job *job, uint64_t print)
{
    char name[16];
    struct rst_prepared *statement = find_prepared(slot, job->sql, print);

    if (statement == NULL) {
        char *copy = strdup(job->sql);
        if (copy == NULL)
            return false;
        statement = &slot->prepared[slot->prepared_count++];
        *statement =
            (struct rst_prepared){.print = print, .sql = copy, .number = ++slot->last_number};
        name_of(statement, name);
        if (!add_step(slot, PQsendPrepare(slot->conn, name, job->sql, 0, NULL), RST_STEP_PREPARE))
            return false;
    }
    statement->used = ++slot->clock;
    slot->current = statement;
    name_of(statement, name);
    return add_step(
        slot, PQsendQueryPrepared(slot->conn, name, job->param_count, job->params, NULL, NULL, 0),
        RST_STEP_MAIN);
}

static bool send_sync(struct rst_slot *slot)
{
    slot->is_held = false;
    return add_step(slot, PQpipelineSync(slot->conn), RST_STEP_SYNC);
}

void rst_slot_run(struct rst_slot *slot, struct rst_job *job)
{
    uint64_t print = print_of(job->sql);

    slot->job = job;
    slot->state = RST_SLOT_BUSY;
    slot->deadline_ms = df_clock_mono_ms() + slot->db->options.statement_timeout_ms + GRACE_MS;
    atomic_fetch_add_explicit(&slot->db->figures->statements, 1, memory_order_relaxed);
    begin_steps(slot);
    slot->is_held = job->may_commit != NULL;
    bool ok = true;
    if (slot->prepared_count == RST_PREPARED_MAX && find_prepared(slot, job->sql, print) == NULL)
        ok = evict(slot);
    if (ok && !job->is_internal)
        ok = send_context(slot, job);
    ok = ok && send_main(slot, job, print);
    if (ok)
        ok = slot->is_held ? PQsendFlushRequest(slot->conn) == 1 : send_sync(slot);
    /* What goes wrong here comes out at the next event: a submit never ends a job by itself. */
    int rest = ok ? PQflush(slot->conn) : -1;
    if (rest < 0)
        slot->deadline_ms = 0;
    else
        watch_for(slot, rest > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* The answer is complete and the transaction over. */
static void finish(struct rst_slot *slot)
{
    struct rst_job *job = slot->job;
    PGresult *answer = slot->answer, *error = slot->error;

    if (slot->current != NULL && !slot->current->is_known)
        drop_prepared(slot, slot->current);
    slot->current = NULL;
    slot->job = NULL;
    slot->answer = slot->error = NULL;
    slot->state = RST_SLOT_IDLE;
    if (job->is_internal) { /* the next one may need what it brings */
        job->outcome = error == NULL ? RST_DONE : RST_FAILED;
        job->result = error == NULL ? answer : error;
        job->on_done(job);
        rst_db_go_on(slot);
    } else {
        rst_db_go_on(slot); /* the database works while the answer is written */
        job->outcome = error == NULL ? RST_DONE : RST_FAILED;
        job->result = error == NULL ? answer : error;
        job->on_done(job);
    }
    PQclear(answer);
    PQclear(error);
}

static bool send_command(struct rst_slot *slot, const char *sql)
{
    return add_step(slot, PQsendQueryParams(slot->conn, sql, 0, NULL, NULL, NULL, NULL, 0),
                    RST_STEP_OTHER) &&
           send_sync(slot);
}

/* Everything up to the statement has been answered without an error. */
static bool settle(struct rst_slot *slot)
{
    bool commits = slot->job->may_commit(slot->job, slot->answer);
    return send_command(slot, commits ? "commit" : "rollback");
}

static bool on_synced(struct rst_slot *slot)
{
    if (slot->state == RST_SLOT_SETTING_UP) {
        if (slot->error != NULL)
            return false;
        become_idle(slot);
        return true;
    }
    if (PQtransactionStatus(slot->conn) != PQTRANS_IDLE) { /* after begin, and an error */
        begin_steps(slot);
        return send_command(slot, "rollback");
    }
    finish(slot);
    return true;
}

static void take_result(struct rst_slot *slot, PGresult *result)
{
    enum rst_slot_step step = slot->steps[slot->step];

    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (step == RST_STEP_PREPARE && slot->current != NULL)
            slot->current->is_known = true;
        if (step == RST_STEP_MAIN && slot->answer == NULL) {
            slot->answer = result;
            return;
        }
        break;
    case PGRES_PIPELINE_ABORTED:
        break;
    default:
        if (slot->error == NULL) {
            slot->error = result;
            return;
        }
    }
    PQclear(result);
}

/* Reads what has arrived. False: the connection is unusable. */
static bool read_results(struct rst_slot *slot)
{
    while (slot->conn != NULL &&
           (slot->state == RST_SLOT_BUSY || slot->state == RST_SLOT_SETTING_UP) &&
           !PQisBusy(slot->conn)) {
        PGresult *result = PQgetResult(slot->conn);
        if (result == NULL) {
            if (!slot->has_result)
                return PQstatus(slot->conn) == CONNECTION_OK; /* nothing more for now */
            slot->has_result = false;
            bool was_main = slot->steps[slot->step++] == RST_STEP_MAIN;
            if (slot->is_held && slot->error != NULL && !send_sync(slot))
                return false;
            if (slot->is_held && was_main && !settle(slot))
                return false;
            continue;
        }
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            slot->has_result = false;
            slot->step++;
            if (!on_synced(slot))
                return false;
            continue;
        }
        slot->has_result = true;
        take_result(slot, result);
    }
    return true;
}

static void take_notifications(struct rst_slot *slot)
{
    PGnotify *notify;
    bool is_for_us = false;

    while ((notify = PQnotifies(slot->conn)) != NULL) {
        is_for_us = is_for_us || strcmp(notify->relname, "pgrst") == 0;
        PQfreemem(notify);
    }
    if (is_for_us)
        rst_db_want_catalog(slot->db);
}

static void on_ready(struct mrs_watch *watch, uint32_t events)
{
    struct rst_slot *slot = slot_of(watch);

    (void)events;
    if (slot->conn == NULL)
        return; /* told before it was closed in this round */
    if (slot->state == RST_SLOT_CONNECTING) {
        go_on_connecting(slot);
        return;
    }
    if (PQconsumeInput(slot->conn) == 0 || !read_results(slot) ||
        (slot->conn != NULL && PQstatus(slot->conn) != CONNECTION_OK)) {
        lose(slot,
             slot->error != NULL ? PQresultErrorMessage(slot->error) : PQerrorMessage(slot->conn));
        return;
    }
    if (slot->conn == NULL)
        return;
    take_notifications(slot);
    if (slot->conn != NULL)
        flush(slot);
}

int64_t rst_slot_tick(struct rst_slot *slot, int64_t now_ms)
{
    if (slot->state == RST_SLOT_AWAY) {
        if (slot->retry_ms > now_ms)
            return slot->retry_ms;
        connect_now(slot);
    } else if (slot->state == RST_SLOT_IDLE) {
        return INT64_MAX;
    } else if (slot->deadline_ms <= now_ms) {
        lose(slot, "Postgres did not answer in time");
    }
    return slot->state == RST_SLOT_AWAY ? slot->retry_ms : slot->deadline_ms;
}

void rst_slot_init(struct rst_slot *slot, struct rst_db *db, bool listens)
{
    *slot = (struct rst_slot){.watch = {on_ready}, .db = db, .listens = listens, .fd = -1};
}

void rst_slot_release(struct rst_slot *slot)
{
    close_connection(slot);
}
