/* fcgi/pipeline.c - the stages of a request, in order. */
#include "fcgi/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/metrics.h"
#include "fcgi/reply.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { REPLY_MAX_BYTES = 16384, KEEP_BYTES = 16384 };

static enum df_code scratch_new(void **out, void *app, struct mrs_loop *loop, struct df_error *err)
{
    (void)app;
    (void)loop;
    struct mrs_scratch *scratch = malloc(sizeof *scratch);
    *out = scratch;
    if (scratch == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    df_buf_init(&scratch->body, (size_t)8 << 20); /* the real limit is REQUEST_MAX_BYTES */
    df_buf_init(&scratch->reply, REPLY_MAX_BYTES);
    return DF_OK;
}

static void scratch_free(void *state)
{
    struct mrs_scratch *scratch = state;
    df_buf_release(&scratch->body);
    df_buf_release(&scratch->reply);
    free(scratch);
}

/* --- answers --------------------------------------------------------------------------------- */

static enum mrs_progress answer_error(struct mrs_request *r, const struct df_error *error,
                                      int64_t retry_after_s)
{
    r->status = mrs_reply_error(&r->scratch->reply, &r->id, error, retry_after_s);
    if (r->status >= 500) {
        char id[DF_UUID_TEXT_SIZE], quoted[256];
        df_uuid_format(id, &r->id);
        df_log(DF_LOG_WARN, "request_failed", "req=%s status=%d code=%s error=%s", id, r->status,
               df_error_name(error->code), df_log_quote(quoted, sizeof quoted, error->msg));
    }
    return MRS_ANSWERED;
}

static enum mrs_progress answer_verdict(struct mrs_request *r, const struct df_verdict *verdict,
                                        bool captured)
{
    r->status = mrs_reply_analysed(&r->scratch->reply, &r->id, verdict, captured);
    return MRS_ANSWERED;
}

static enum mrs_progress answer_skipped(struct mrs_request *r)
{
    r->status = mrs_reply_skipped(&r->scratch->reply, &r->id);
    return MRS_ANSWERED;
}

/* --- auth ------------------------------------------------------------------------------------ */

static void log_refusal(const struct mrs_request *r, const struct mrs_refusal *refusal)
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

static enum df_code read_body(struct mrs_request *r, struct df_error *err)
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
        size_t n = r->call.io.read(r->call.io.ctx, body->data + body->len, room);
        if (n == 0)
            return DF_OK;
        body->len += n;
        r->call.left_body_unread = body->len > max;
        if (r->call.left_body_unread)
            return df_error_set(err, DF_ETOOBIG, "Request body is larger than %zu bytes", max);
    }
}

static enum df_code validate(struct mrs_request *r, struct df_error *err)
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

static enum df_code prepare_job(struct mrs_request *r, struct df_error *err)
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

/* On the writer's thread. */
static void on_stored(struct mrs_job *job)
{
    struct mrs_request *r = job->context;
    mrs_loop_post(r->call.loop, &r->call);
}

/* Hands the job to the store; `step` goes on with its outcome, at once when the store refuses. */
static enum mrs_progress store(struct mrs_request *r,
                               enum mrs_progress (*step)(struct mrs_request *r))
{
    r->job.on_done = on_stored;
    r->job.context = r;
    r->step = step;
    r->waiting_since_ns = df_clock_mono_ns();
    return mrs_store_submit(r->app->store, &r->job) ? MRS_WAITING : step(r);
}

static void note_outcome(const struct mrs_request *r)
{
    mrs_observe(MRS_TIME_STORE, df_clock_mono_ns() - r->waiting_since_ns);
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

static void judge_locally(struct mrs_request *r, const char *analyzer)
{
    struct mrs_judgement *j = &r->job.judgement;
    chat_line_of(&r->message, &r->line);
    df_intent_classify(r->app->model, &r->line, &j->verdict);
    j->analyzer = analyzer;
    j->model = df_intent_model_name(r->app->model);
    j->capture = df_intent_should_capture(&j->verdict, &r->runtime->capture_rule);
}

static enum mrs_progress on_verdict_added(struct mrs_request *r)
{
    note_outcome(r);
    if (r->job.outcome == MRS_UNANSWERED)
        return answer_error(r, &r->job.error, 0);
    if (r->job.outcome == MRS_REPEATED && r->job.has_earlier) /* somebody was faster: their word */
        return answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    return answer_verdict(r, &r->job.judgement.verdict, r->job.captured);
}

/* Second commit: verdict, sale and counters for a message that is stored already. */
static enum mrs_progress add_verdict(struct mrs_request *r)
{
    r->job.kind = MRS_JOB_VERDICT;
    return store(r, on_verdict_added);
}

static enum mrs_progress on_model_answered(struct mrs_request *r)
{
    struct mrs_judgement *j = &r->job.judgement;

    mrs_observe(MRS_TIME_MODEL, df_clock_mono_ns() - r->waiting_since_ns);
    if (r->ask.code == DF_OK) {
        *j = (struct mrs_judgement){.verdict = r->answer.verdict,
                                    .analyzer = MRS_ANALYZER_GATEWAY,
                                    .model = r->answer.model};
        j->capture = df_intent_should_capture(&j->verdict, &r->runtime->capture_rule);
        mrs_count(MRS_COUNT_ANALYSED_GATEWAY, 1);
        return add_verdict(r);
    }
    if (r->answer.over_budget) { /* spent between the look at it and the call: no failure */
        judge_locally(r, MRS_ANALYZER_LOCAL);
        mrs_count(MRS_COUNT_AI_BUDGET, 1);
        mrs_count(MRS_COUNT_ANALYSED_LOCAL, 1);
        return add_verdict(r);
    }
    switch (r->runtime->config.ai_on_error) {
    case MRS_ON_ERROR_FAIL:
        return answer_error(r, &r->error, r->answer.retry_after_s);
    case MRS_ON_ERROR_STORE:
        return answer_skipped(r);
    default:
        judge_locally(r, MRS_ANALYZER_FALLBACK);
        mrs_count(MRS_COUNT_ANALYSED_FALLBACK, 1);
        return add_verdict(r);
    }
}

/* On the gateway's thread. */
static void on_asked(struct mrs_ask *ask)
{
    struct mrs_request *r = ask->context;
    mrs_loop_post(r->call.loop, &r->call);
}

static enum mrs_progress ask_model_server(struct mrs_request *r)
{
    chat_line_of(&r->message, &r->line);
    r->ask = (struct mrs_ask){
        .line = &r->line, .out = &r->answer, .err = &r->error, .on_done = on_asked, .context = r,
        .session = r->message.session, .is_patient = true};
    r->step = on_model_answered;
    r->waiting_since_ns = df_clock_mono_ns();
    enum df_code rc = mrs_gateway_submit(r->app->gateway, &r->ask);
    if (rc == DF_OK)
        return MRS_WAITING;
    r->ask.code = rc;
    return on_model_answered(r);
}

/* --- the order of stages ---------------------------------------------------------------------- */

static enum mrs_progress on_stored_once(struct mrs_request *r)
{
    note_outcome(r);
    if (r->job.outcome == MRS_UNANSWERED)
        return answer_error(r, &r->job.error, 0);
    if (r->job.outcome == MRS_REPEATED && r->job.has_earlier)
        return answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    if (r->job.judgement.analyzer == NULL)
        return answer_skipped(r);
    if (r->job.outcome == MRS_REPEATED) /* stored before, while nobody judged */
        return add_verdict(r);
    return answer_verdict(r, &r->job.judgement.verdict, r->job.captured);
}

static enum mrs_progress on_message_stored(struct mrs_request *r)
{
    note_outcome(r);
    if (r->job.outcome == MRS_UNANSWERED)
        return answer_error(r, &r->job.error, 0);
    if (r->job.outcome == MRS_REPEATED && r->job.has_earlier)
        return answer_verdict(r, &r->job.earlier, r->job.earlier_captured);
    return ask_model_server(r);
}

static enum mrs_progress store_message(struct mrs_request *r)
{
    r->job.judgement = (struct mrs_judgement){0};
    return store(r, on_message_stored);
}

/* On the thread of the request that was inside before. */
static void on_turn(struct mrs_inflight_entry *entry)
{
    struct mrs_request *r = entry->context;
    r->step = store_message;
    mrs_loop_post(r->call.loop, &r->call);
}

/* With the model server: the message first (its NOTIFY goes out), then the verdict. */
static enum mrs_progress store_then_ask(struct mrs_request *r)
{
    if (r->job.id_from_caller) {
        r->is_in_flight = true;
        r->entry = (struct mrs_inflight_entry){.id = r->job.id, .on_turn = on_turn, .context = r};
        if (!mrs_inflight_enter(r->app->inflight, &r->entry))
            return MRS_WAITING;
    }
    return store_message(r);
}

/* One commit for message, verdict, sale and counters. */
static enum mrs_progress store_judged(struct mrs_request *r, enum mrs_counter counter)
{
    mrs_count(counter, 1);
    return store(r, on_stored_once);
}

/* The model server may be asked: does anything speak for not asking? */
static enum mrs_progress deliver_asking(struct mrs_request *r)
{
    static const enum mrs_counter reasons[MRS_ROUTE_COUNT] = {
        [MRS_ROUTE_SURE] = MRS_COUNT_AI_SURE,     [MRS_ROUTE_USER] = MRS_COUNT_AI_USERS,
        [MRS_ROUTE_WORDS] = MRS_COUNT_AI_WORDS,   [MRS_ROUTE_ORDERS] = MRS_COUNT_AI_ORDERS,
        [MRS_ROUTE_BUDGET] = MRS_COUNT_AI_BUDGET,
    };
    struct mrs_judgement *j = &r->job.judgement;

    chat_line_of(&r->message, &r->line);
    if (r->runtime->analyzer == MRS_ANALYZE_HYBRID)
        judge_locally(r, MRS_ANALYZER_LOCAL);
    enum mrs_route route = mrs_route(r->runtime->rules, r->app->gateway, &r->line, &j->verdict,
                                     &r->message.session, &r->answer);
    if (route == MRS_ROUTE_ASK)
        return store_then_ask(r);
    if (route == MRS_ROUTE_CACHED) {
        *j = (struct mrs_judgement){.verdict = r->answer.verdict,
                                    .analyzer = MRS_ANALYZER_GATEWAY,
                                    .model = r->answer.model};
        j->capture = df_intent_should_capture(&j->verdict, &r->runtime->capture_rule);
        return store_judged(r, MRS_COUNT_ANALYSED_CACHED);
    }
    mrs_count(reasons[route], 1);
    if (r->runtime->analyzer != MRS_ANALYZE_HYBRID)
        judge_locally(r, MRS_ANALYZER_LOCAL);
    return store_judged(r, MRS_COUNT_ANALYSED_LOCAL);
}

static enum mrs_progress deliver(struct mrs_request *r)
{
    if (r->message.is_staff) /* "who wants it?" of the seller is no wish to buy */
        return store(r, on_stored_once);
    switch (r->runtime->analyzer) {
    case MRS_ANALYZE_GATEWAY:
    case MRS_ANALYZE_HYBRID:
        return deliver_asking(r);
    case MRS_ANALYZE_LOCAL:
        judge_locally(r, MRS_ANALYZER_LOCAL);
        return store_judged(r, MRS_COUNT_ANALYSED_LOCAL);
    default:
        return store(r, on_stored_once);
    }
}

static enum mrs_progress begin(struct mrs_request *r)
{
    struct mrs_refusal refusal;
    const char *method = r->call.io.param(r->call.io.ctx, "REQUEST_METHOD");

    if (method != NULL && strcmp(method, "OPTIONS") == 0) {
        r->status = mrs_reply_preflight(&r->scratch->reply, &r->id);
        return MRS_ANSWERED;
    }
    if (!mrs_auth_check(r->runtime->auth, &r->call.io, &r->caller, &refusal)) {
        log_refusal(r, &refusal);
        r->status = mrs_reply_refused(&r->scratch->reply, &r->id, &refusal);
        return MRS_ANSWERED;
    }
    if (method == NULL || strcmp(method, "POST") != 0) {
        r->status = mrs_reply_method(&r->scratch->reply, &r->id);
        return MRS_ANSWERED;
    }
    if (validate(r, &r->error) != DF_OK)
        return answer_error(r, &r->error, 0);
    r->has_message = true;
    if (prepare_job(r, &r->error) != DF_OK)
        return answer_error(r, &r->error, 0);
    return deliver(r);
}

/* Lets go of everything once the answer is in the reply buffer. */
static enum mrs_progress end_if_answered(struct mrs_request *r, enum mrs_progress progress)
{
    if (progress == MRS_WAITING)
        return MRS_WAITING; /* `r` may be at work on another thread by now */
    if (r->is_in_flight)
        mrs_inflight_leave(r->app->inflight, &r->entry);
    if (r->has_message)
        df_message_release(&r->message);
    mrs_runtime_put(r->app, r->runtime);
    mrs_count_response(r->status);
    mrs_observe(MRS_TIME_REQUEST, df_clock_mono_ns() - r->started_ns);
    return MRS_ANSWERED;
}

static enum mrs_progress start(struct mrs_call *call)
{
    struct mrs_request *r = (struct mrs_request *)call;
    r->app = call->ctx;
    r->scratch = call->state;
    call->reply = &r->scratch->reply;
    r->started_ns = df_clock_mono_ns();
    r->has_message = r->is_in_flight = call->left_body_unread = false;
    df_uuid_new_v7(&r->id);
    r->runtime = mrs_runtime_get(r->app);
    enum mrs_progress progress = end_if_answered(r, begin(r));
    if (((struct mrs_scratch *)call->state)->body.cap > KEEP_BYTES)
        df_buf_release(&((struct mrs_scratch *)call->state)->body);
    return progress;
}

static enum mrs_progress resume(struct mrs_call *call)
{
    struct mrs_request *r = (struct mrs_request *)call;
    return end_if_answered(r, r->step(r));
}

void mrs_pipeline_service(struct mrs_service *out, struct mrs_app *app)
{
    *out = (struct mrs_service){.ctx = app,
                                .call_size = sizeof(struct mrs_request),
                                .state_new = scratch_new,
                                .state_free = scratch_free,
                                .start = start,
                                .resume = resume};
}
