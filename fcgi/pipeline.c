/* fcgi/pipeline.c - the stages of a request, in order. */
#include "fcgi/pipeline.h"

#include <string.h>

#include "fcgi/metrics.h"
#include "fcgi/reply.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { REPLY_MAX_BYTES = 16384, KEEP_BYTES = 16384 };

/* Everything the stages of one request pass on. */
struct request {
    struct mrs_app *app;
    struct mrs_runtime *runtime;
    const struct mrs_io *io;
    struct mrs_scratch *scratch;
    struct df_uuid id; /* sb-request-id */
    struct mrs_caller caller;
    struct df_message message;
    struct mrs_job job;
};

void mrs_scratch_init(struct mrs_scratch *scratch)
{
    df_buf_init(&scratch->body, (size_t)8 << 20); /* the real limit is REQUEST_MAX_BYTES */
    df_buf_init(&scratch->reply, REPLY_MAX_BYTES);
}

void mrs_scratch_release(struct mrs_scratch *scratch)
{
    df_buf_release(&scratch->body);
    df_buf_release(&scratch->reply);
}

/* --- answers --------------------------------------------------------------------------------- */

static int answer_error(struct request *r, const struct df_error *error, int64_t retry_after_s)
{
    int status = mrs_reply_error(&r->scratch->reply, &r->id, error, retry_after_s);
    if (status >= 500) {
        char id[DF_UUID_TEXT_SIZE], quoted[256];
        df_uuid_format(id, &r->id);
        df_log(DF_LOG_WARN, "request_failed", "req=%s status=%d code=%s error=%s", id, status,
               df_error_name(error->code), df_log_quote(quoted, sizeof quoted, error->msg));
    }
    return status;
}

static int answer_verdict(struct request *r, const struct df_verdict *verdict, bool captured)
{
    return mrs_reply_analysed(&r->scratch->reply, &r->id, verdict, captured);
}

/* --- auth ------------------------------------------------------------------------------------ */

static void log_refusal(const struct request *r, const struct mrs_refusal *refusal)
{
    static _Atomic int64_t last_s, unlogged; /* a flood of bad tokens must not become one of logs */
    int64_t now_s = df_clock_mono_ms() / 1000;
    if (atomic_exchange_explicit(&last_s, now_s, memory_order_relaxed) == now_s) {
        atomic_fetch_add_explicit(&unlogged, 1, memory_order_relaxed);
        return;
    }
    char id[DF_UUID_TEXT_SIZE], quoted[160];
    df_uuid_format(id, &r->id);
    df_log(DF_LOG_WARN, "caller_refused", "req=%s status=%d code=%s reason=%s more=%lld", id,
           refusal->http_status, refusal->code,
           df_log_quote(quoted, sizeof quoted, refusal->message),
           (long long)atomic_exchange_explicit(&unlogged, 0, memory_order_relaxed));
}

/* --- validate -------------------------------------------------------------------------------- */

static enum df_code read_body(struct request *r, struct df_error *err)
{
    size_t max = (size_t)r->runtime->config.request_max_bytes;
    struct df_buf *body = &r->scratch->body;

    df_buf_reset(body);
    for (;;) {
        size_t room = max + 1 - body->len; /* one more than allowed shows that it is too long */
        if (room > 4096)
            room = 4096;
        if (!df_buf_reserve(body, room))
            return df_error_set(err, DF_ENOMEM, "out of memory");
        size_t n = r->io->read(r->io->ctx, body->data + body->len, room);
        if (n == 0)
            return DF_OK;
        body->len += n;
        if (body->len > max)
            return df_error_set(err, DF_ETOOBIG, "Request body is larger than %zu bytes", max);
    }
}

static enum df_code validate(struct request *r, struct df_error *err)
{
    const struct mrs_config *config = &r->runtime->config;
    const struct df_message_limits limits = {
        .body_max_bytes = (size_t)config->request_max_bytes,
        .message_max_bytes = (size_t)config->message_max_bytes,
        .username_max_bytes = (size_t)config->username_max_bytes,
    };
    enum df_code rc = read_body(r, err);
    if (rc != DF_OK)
        return rc;
    const struct df_buf *body = &r->scratch->body;
    return df_message_parse(&r->message, body->data == NULL ? "" : body->data, body->len, &limits,
                            err);
}

/* --- store ----------------------------------------------------------------------------------- */

static enum df_code prepare_job(struct request *r, struct df_error *err)
{
    struct mrs_job *job = &r->job;
    *job = (struct mrs_job){.kind = MRS_JOB_MESSAGE, .message = &r->message};
    job->id_from_caller = r->message.has_id;
    if (r->message.has_id)
        job->id = r->message.id;
    else
        df_uuid_new_v7(&job->id);
    if (r->caller.role == MRS_USER) { /* a user writes to the user's own sessions only */
        if (!r->caller.has_user)
            return df_error_set(err, DF_EDENIED, "This token belongs to no user of this service");
        job->has_owner = true;
        job->owner = r->caller.user;
    }
    return DF_OK;
}

static void submit(struct request *r)
{
    int64_t started_ns = df_clock_mono_ns();
    mrs_store_submit(r->app->store, &r->job);
    mrs_observe(MRS_TIME_STORE, df_clock_mono_ns() - started_ns);
    if (r->job.outcome == MRS_STORED && r->job.kind == MRS_JOB_MESSAGE)
        mrs_count(MRS_COUNT_STORED, 1);
    if (r->job.outcome == MRS_REPEATED && r->job.kind == MRS_JOB_MESSAGE)
        mrs_count(MRS_COUNT_REPEATED, 1);
    if (r->job.outcome == MRS_STORED && r->job.captured) {
        char id[DF_UUID_TEXT_SIZE];
        df_uuid_format(id, &r->id);
        mrs_count(MRS_COUNT_CAPTURED, 1);
        df_log(DF_LOG_INFO, "sale_captured", "req=%s confidence=%.2f analyzer=%s", id,
               r->job.judgement.verdict.confidence, r->job.judgement.analyzer);
    }
}

/* --- analyse --------------------------------------------------------------------------------- */

static void chat_line_of(const struct df_message *m, struct df_chat_line *line)
{
    *line = (struct df_chat_line){.platform = m->platform,
                                  .username = m->username,
                                  .message = m->message,
                                  .platform_len = m->platform_len,
                                  .username_len = m->username_len,
                                  .message_len = m->message_len};
}

static void judge_locally(struct request *r, const char *analyzer)
{
    struct df_chat_line line;
    struct mrs_judgement *j = &r->job.judgement;
    chat_line_of(&r->message, &line);
    df_intent_classify(r->app->model, &line, &j->verdict);
    j->analyzer = analyzer;
    j->model = df_intent_model_name(r->app->model);
    j->capture = df_intent_should_capture(&j->verdict, &r->runtime->capture_rule);
}

/* True when the embedded model alone may decide. */
static bool is_sure(const struct request *r)
{
    double c = r->job.judgement.verdict.confidence;
    return c <= r->runtime->config.hybrid_low || c >= r->runtime->config.hybrid_high;
}

/* Second commit: verdict, sale and counters for a message that is stored already. */
static int add_verdict(struct request *r)
{
    r->job.kind = MRS_JOB_VERDICT;
    submit(r);
    if (r->job.outcome == MRS_UNANSWERED)
        return answer_error(r, &r->job.error, 0);
    if (r->job.outcome == MRS_REPEATED && r->job.has_earlier) /* somebody was faster: their word */
        return answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    return answer_verdict(r, &r->job.judgement.verdict, r->job.captured);
}

static int ask_model_server(struct request *r)
{
    struct mrs_gateway_answer answer = {0};
    struct df_error err = {0};
    struct df_chat_line line;
    struct mrs_judgement *j = &r->job.judgement;

    chat_line_of(&r->message, &line);
    int64_t started_ns = df_clock_mono_ns();
    enum df_code rc = mrs_gateway_ask(r->app->gateway, &line, &answer, &err);
    mrs_observe(MRS_TIME_MODEL, df_clock_mono_ns() - started_ns);
    if (rc == DF_OK) {
        *j = (struct mrs_judgement){.verdict = answer.verdict, .analyzer = MRS_ANALYZER_GATEWAY};
        j->model = answer.model;
        j->capture = df_intent_should_capture(&j->verdict, &r->runtime->capture_rule);
        mrs_count(MRS_COUNT_ANALYSED_GATEWAY, 1);
        return add_verdict(r); /* `answer` lives until then */
    }
    switch (r->runtime->config.ai_on_error) {
    case MRS_ON_ERROR_FAIL: return answer_error(r, &err, answer.retry_after_s);
    case MRS_ON_ERROR_STORE: return mrs_reply_skipped(&r->scratch->reply, &r->id);
    default:
        judge_locally(r, MRS_ANALYZER_FALLBACK);
        mrs_count(MRS_COUNT_ANALYSED_FALLBACK, 1);
        return add_verdict(r);
    }
}

/* --- the order of stages ---------------------------------------------------------------------- */

/* off and local: message, verdict, sale and counters in one commit. */
static int store_once(struct request *r)
{
    submit(r);
    if (r->job.outcome == MRS_UNANSWERED)
        return answer_error(r, &r->job.error, 0);
    if (r->job.outcome == MRS_REPEATED && r->job.has_earlier)
        return answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    if (r->job.judgement.analyzer == NULL)
        return mrs_reply_skipped(&r->scratch->reply, &r->id);
    if (r->job.outcome == MRS_REPEATED) /* stored before, while nobody judged */
        return add_verdict(r);
    return answer_verdict(r, &r->job.judgement.verdict, r->job.captured);
}

/* With the model server: the message first (its NOTIFY goes out), then the verdict. */
static int store_then_ask(struct request *r)
{
    struct mrs_inflight_entry entry;
    int status;

    if (r->job.id_from_caller)
        mrs_inflight_enter(r->app->inflight, &entry, &r->job.id);
    r->job.judgement = (struct mrs_judgement){0};
    submit(r);
    if (r->job.outcome == MRS_UNANSWERED)
        status = answer_error(r, &r->job.error, 0);
    else if (r->job.outcome == MRS_REPEATED && r->job.has_earlier)
        status = answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    else
        status = ask_model_server(r);
    if (r->job.id_from_caller)
        mrs_inflight_leave(r->app->inflight, &entry);
    return status;
}

static int deliver(struct request *r)
{
    int analyzer = r->runtime->analyzer;
    if (analyzer == MRS_ANALYZE_LOCAL || analyzer == MRS_ANALYZE_HYBRID)
        judge_locally(r, MRS_ANALYZER_LOCAL);
    if (analyzer == MRS_ANALYZE_GATEWAY || (analyzer == MRS_ANALYZE_HYBRID && !is_sure(r)))
        return store_then_ask(r);
    if (analyzer != MRS_ANALYZE_OFF)
        mrs_count(MRS_COUNT_ANALYSED_LOCAL, 1);
    return store_once(r);
}

static int handle(struct request *r)
{
    struct df_error err = {0};
    struct mrs_refusal refusal;
    const char *method = r->io->param(r->io->ctx, "REQUEST_METHOD");

    if (method != NULL && strcmp(method, "OPTIONS") == 0)
        return mrs_reply_preflight(&r->scratch->reply, &r->id);
    if (!mrs_auth_check(r->runtime->auth, r->io, &r->caller, &refusal)) {
        log_refusal(r, &refusal);
        return mrs_reply_refused(&r->scratch->reply, &r->id, &refusal);
    }
    if (method == NULL || strcmp(method, "POST") != 0)
        return mrs_reply_method(&r->scratch->reply, &r->id);
    if (validate(r, &err) != DF_OK)
        return answer_error(r, &err, 0);
    int status;
    if (prepare_job(r, &err) != DF_OK)
        status = answer_error(r, &err, 0);
    else
        status = deliver(r);
    df_message_release(&r->message);
    return status;
}

void mrs_pipeline_run(struct mrs_app *app, const struct mrs_io *io, struct mrs_scratch *scratch)
{
    int64_t started_ns = df_clock_mono_ns();
    struct request r = {.app = app, .io = io, .scratch = scratch};

    atomic_fetch_add_explicit(&app->active_requests, 1, memory_order_relaxed);
    df_uuid_new_v7(&r.id);
    r.runtime = mrs_runtime_get(app);
    int status = handle(&r);
    (void)io->write(io->ctx, scratch->reply.data, scratch->reply.len);
    mrs_runtime_put(app, r.runtime);
    mrs_count_response(status);
    mrs_observe(MRS_TIME_REQUEST, df_clock_mono_ns() - started_ns);
    if (scratch->body.cap > KEEP_BYTES) /* a large request must not be paid for by every worker */
        df_buf_release(&scratch->body);
    atomic_fetch_sub_explicit(&app->active_requests, 1, memory_order_relaxed);
}
