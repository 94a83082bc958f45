/* fcgi/rest/service.c - the stages of a request, in order. */
#include "fcgi/rest/service.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rest/answer.h"
#include "fcgi/rest/body.h"
#include "fcgi/rest/caller.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { HEADERS_MAX_BYTES = 16384, KEEP_BYTES = 262144, ARENA_EXTRA_BYTES = 2 << 20 };

struct loop_state {
    struct rst_app *app;
    struct rst_db *db;
    struct df_buf reply, body; /* used within a step only */
    struct rst_error err;      /* likewise */
};

struct request {
    struct mrs_call call; /* first */
    struct rst_job job;
    struct loop_state *state;
    int64_t started_ns;
    struct rst_arena arena;
    struct rst_head head;
    struct rst_caller caller;
    struct rst_statement statement;
    int status;
};

static const char *param(const struct request *r, const char *name)
{
    const char *value = r->call.io.param(r->call.io.ctx, name);
    return value == NULL ? "" : value;
}

/* --- answers --------------------------------------------------------------------------------- */

static enum mrs_progress answer_error(struct request *r)
{
    const struct rst_error *err = &r->state->err;
    bool is_head = strcmp(param(r, "REQUEST_METHOD"), "HEAD") == 0;

    r->status = rst_answer_error(&r->state->reply, err, is_head);
    if (r->status >= 500) {
        char quoted[256];
        df_log(DF_LOG_WARN, "request_failed", "status=%d code=%s error=%s", r->status, err->code,
               df_log_quote(quoted, sizeof quoted, err->message));
    }
    return MRS_ANSWERED;
}

static void explain_outcome(struct request *r)
{
    struct rst_error *err = &r->state->err;

    switch (r->job.outcome) {
    case RST_LATE:
        (void)rst_fail(err, 504, "PGRST003",
                       "Timed out acquiring connection from connection pool.");
        break;
    case RST_FULL:
        (void)rst_fail(err, 503, "PGRST003", "Too many requests wait for a connection already.");
        break;
    case RST_FAILED:
        rst_error_from_result(err, r->job.result, r->caller.is_anon);
        /* A table or a column went away, or changed its kind. */
        if (strcmp(err->code, "42P01") == 0 || strcmp(err->code, "42703") == 0)
            rst_db_doubt_catalog(r->state->db);
        break;
    default:
        (void)rst_fail(err, 503, "PGRST001", "Database client error. Retrying the connection.");
    }
}

static enum mrs_progress answer_outcome(struct request *r)
{
    if (r->job.outcome == RST_DONE) {
        r->status = rst_answer_result(&r->state->reply, &r->head, &r->statement, r->job.result,
                                      &r->state->err);
        return MRS_ANSWERED;
    }
    explain_outcome(r);
    return answer_error(r);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Exactly one row, or at most so many: else nothing may have happened. */
static bool may_commit(struct rst_job *job, const struct pg_result *result)
{
    struct request *r = (struct request *)((char *)job - offsetof(struct request, job));
    return rst_check_rows(&r->head, rst_rows_of(&r->statement, result), &r->state->err);
}

static void on_done(struct rst_job *job)
{
    struct request *r = (struct request *)((char *)job - offsetof(struct request, job));
    mrs_loop_resume(&r->call);
}

static enum mrs_progress submit(struct request *r)
{
    bool reads = r->head.method == RST_GET || r->head.method == RST_HEAD;
    const char *path = rst_copy(&r->arena, r->head.table, strlen(r->head.table));

    r->job = (struct rst_job){.role = r->caller.role,
                              .claims = r->caller.claims,
                              .method = param(r, "REQUEST_METHOD"),
                              .path = path == NULL ? "" : path,
                              .is_read_only = reads,
                              .sql = r->statement.sql.data,
                              .params = r->statement.params,
                              .param_count = r->statement.param_count,
                              .on_done = on_done};
    if (!reads && (r->head.wants_object || r->head.max_affected >= 0))
        r->job.may_commit = may_commit;
    if (rst_db_submit(r->state->db, &r->job))
        return MRS_WAITING;
    return answer_outcome(r);
}

/* --- reading --------------------------------------------------------------------------------- */

static bool read_body(struct request *r)
{
    size_t max = (size_t)r->state->app->config.body_max_bytes;
    struct df_buf *body = &r->state->body;

    df_buf_reset(body);
    for (;;) {
        size_t room = max + 1 - body->len; /* one more than allowed shows that it is too long */
        if (room > 16384)
            room = 16384;
        if (!df_buf_reserve(body, room))
            return rst_no_memory(&r->state->err);
        size_t n = r->call.io.read(r->call.io.ctx, body->data + body->len, room);
        if (n == 0)
            break;
        body->len += n;
        if (body->len > max) {
            r->call.left_body_unread = true;
            return rst_fail(&r->state->err, 413, "PGRST102",
                            "Request body is larger than %zu bytes", max);
        }
    }
    body->data[body->len] = '\0';
    return true;
}

static bool identify(struct request *r)
{
    struct rst_app *app = r->state->app;

    pthread_rwlock_rdlock(&app->keys_lock);
    bool ok = rst_caller_find(&r->caller, app->keys, &r->call.io, app->config.jwt_leeway_s,
                              &r->arena, &r->state->err);
    pthread_rwlock_unlock(&app->keys_lock);
    return ok;
}

static bool build(struct request *r, struct rst_body *body)
{
    struct rst_query query;
    struct rst_error *err = &r->state->err;
    const struct rst_config *config = &r->state->app->config;
    const char *text = param(r, "QUERY_STRING");
    const struct rst_catalog *catalog = rst_db_catalog(r->state->db);

    if (catalog == NULL)
        return rst_fail(err, 503, "PGRST002",
                        "Could not query the database for the schema cache. Retrying.");
    if (!rst_query_parse(&query, text, strlen(text), &r->arena, err))
        return false;
    if (body != NULL) { /* kept until it is sent */
        const struct df_buf *read = &r->state->body;
        char *copy = rst_copy(&r->arena, read->data, read->len);
        if (copy == NULL)
            return rst_no_memory(err);
        if (!rst_body_read(body, copy, read->len, param(r, "CONTENT_TYPE"), query.columns != NULL,
                           &r->arena, err))
            return false;
    }
    if (rst_sql_build(&r->statement, &r->head, &query, body, catalog, config->max_rows, &r->arena,
                      err))
        return true;
    if (strcmp(err->code, "42703") == 0 || strncmp(err->code, "PGRST20", 7) == 0)
        rst_db_doubt_catalog(r->state->db);
    return false;
}

static enum mrs_progress begin(struct request *r)
{
    struct rst_body body;
    const char *method = param(r, "REQUEST_METHOD");

    if (strcmp(method, "OPTIONS") == 0) {
        r->status =
            rst_answer_preflight(&r->state->reply, param(r, "HTTP_ACCESS_CONTROL_REQUEST_HEADERS"));
        return MRS_ANSWERED;
    }
    /* First of all, so that the connection can be used again whatever comes. */
    if (!read_body(r) || !identify(r) ||
        !rst_head_read(&r->head, &r->call.io, r->state->app->config.schema, &r->arena,
                       &r->state->err))
        return answer_error(r);
    bool has_body = r->head.method == RST_POST || r->head.method == RST_PATCH;
    if (!build(r, has_body ? &body : NULL))
        return answer_error(r);
    return submit(r);
}

/* --- the loop's side ------------------------------------------------------------------------- */

static void keep_small(struct df_buf *buf)
{
    if (buf->cap > KEEP_BYTES)
        df_buf_release(buf);
}

static enum mrs_progress end_if_answered(struct request *r, enum mrs_progress progress)
{
    if (progress == MRS_WAITING)
        return progress;
    rst_statement_release(&r->statement);
    rst_arena_release(&r->arena);
    mrs_count_response(r->status);
    mrs_histogram_observe(&r->state->app->request_time, df_clock_mono_ns() - r->started_ns);
    return progress;
}

static enum mrs_progress start(struct mrs_call *call)
{
    struct request *r = (struct request *)call;
    struct loop_state *state = call->state;

    r->state = state;
    r->started_ns = df_clock_mono_ns();
    r->statement = (struct rst_statement){0};
    r->arena = (struct rst_arena){.max_bytes = (size_t)state->app->config.body_max_bytes * 4 +
                                               ARENA_EXTRA_BYTES};
    call->reply = &state->reply;
    keep_small(&state->reply);
    enum mrs_progress progress = end_if_answered(r, begin(r));
    keep_small(&state->body);
    return progress;
}

static enum mrs_progress resume(struct mrs_call *call)
{
    struct request *r = (struct request *)call;
    keep_small(&r->state->reply);
    return end_if_answered(r, answer_outcome(r));
}

static enum df_code state_new(void **out, void *ctx, struct mrs_loop *loop, struct df_error *err)
{
    struct rst_app *app = ctx;
    int64_t workers = app->config.workers;
    int64_t share = (app->config.db_connections + workers - 1) / workers;
    const struct rst_db_options options = {
        .conninfo = app->config.database_url,
        .schema = app->config.schema,
        .connections = share,
        .queue_max = app->config.queue_max,
        .wait_ms = app->config.wait_ms,
        .statement_timeout_ms = app->config.statement_timeout_ms,
    };
    struct loop_state *state = calloc(1, sizeof *state);

    *out = state;
    if (state == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    state->app = app;
    df_buf_init(&state->reply, (size_t)app->config.answer_max_bytes + HEADERS_MAX_BYTES);
    df_buf_init(&state->body, (size_t)app->config.body_max_bytes + 32768);
    return rst_db_new(&state->db, &options, &app->figures, loop, err);
}

static void state_free(void *ctx)
{
    struct loop_state *state = ctx;
    rst_db_free(state->db);
    df_buf_release(&state->reply);
    df_buf_release(&state->body);
    free(state);
}

static int tick(void *ctx)
{
    struct loop_state *state = ctx;
    return rst_db_tick(state->db);
}

void rst_service(struct mrs_service *out, struct rst_app *app)
{
    *out = (struct mrs_service){.ctx = app,
                                .call_size = sizeof(struct request),
                                .state_new = state_new,
                                .state_free = state_free,
                                .start = start,
                                .resume = resume,
                                .tick = tick};
}
