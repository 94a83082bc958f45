/* fcgi/gateway_settle.c - judges how a call ended: answer it, try again, or go another way. */
#include "fcgi/gateway_loop.h"

#include <stdio.h>

#include <curl/curl.h>

#include "shared/clock.h"
#include "shared/log.h"

#define BILLED_RETRIES_MAX 2
#define RETRY_AFTER_TRUSTED_S 86400 /* any number may stand in a header; it is multiplied below */

/* --- asks --------------------------------------------------------------------------------------- */

void mrs_ask_finish(struct mrs_gateway *gateway, struct mrs_ask *ask, const struct mrs_call *call,
                   enum df_code code)
{
    (void)pthread_mutex_lock(&gateway->lock);
    if (ask->is_probe)
        mrs_breaker_abandon(&gateway->breaker);
    if (call == NULL)
        gateway->waiting_count -= ask->count;
    if (code == DF_OK)
        gateway->stats.answers += (uint64_t)ask->count;
    else
        gateway->stats.failures += (uint64_t)ask->count;
    if (ask->out->over_budget)
        gateway->stats.over_budget += (uint64_t)ask->count;
    (void)pthread_mutex_unlock(&gateway->lock);
    /* The others share the leader's fate; the leader goes last, because its error is copied. */
    for (struct mrs_ask *other = ask->others, *next = NULL; other != NULL; other = next) {
        next = other->next;
        *other->out = *ask->out;
        if (code != DF_OK)
            (void)df_error_set(other->err, code, "%s",
                               ask->err == NULL ? "AI analysis failed" : ask->err->msg);
        other->code = code;
        other->on_done(other);
    }
    ask->code = code;
    ask->on_done(ask);
}

/* Puts an ask whose call ended back in line, to be sent again in delay_ms. */
static void again(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t delay_ms)
{
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->waiting_count += ask->count;
    gateway->stats.retries++;
    (void)pthread_mutex_unlock(&gateway->lock);
    if (delay_ms == 0) {
        mrs_ask_append(&gateway->queue, ask);
        if (ask->deadline_ms < gateway->check_ms)
            gateway->check_ms = ask->deadline_ms;
        return;
    }
    ask->ready_ms = df_clock_mono_ms() + delay_ms;
    mrs_ask_append(&gateway->delayed, ask);
    if (ask->ready_ms < gateway->check_ms)
        gateway->check_ms = ask->ready_ms;
}

/* --- the breaker -------------------------------------------------------------------------------- */

/* Tells the breaker what an attempt met. True when it is open now, so that retrying is pointless. */
static bool report(struct mrs_gateway *gateway, struct mrs_ask *ask, int status, int64_t retry_after_s)
{
    enum mrs_breaker_change change = MRS_BREAKER_SAME;
    bool is_open = false;
    int64_t pause_ms = 0;

    (void)pthread_mutex_lock(&gateway->lock);
    if (gateway->use_breaker) {
        change = mrs_breaker_report(&gateway->breaker, status, ask->is_probe, retry_after_s * 1000,
                                    df_clock_mono_ms());
        is_open = gateway->breaker.is_open;
        pause_ms = gateway->breaker.pause_ms;
    }
    gateway->stats.breaker_open = is_open;
    (void)pthread_mutex_unlock(&gateway->lock);
    ask->is_probe = false;
    if (change == MRS_BREAKER_OPENED) {
        df_log(DF_LOG_WARN, "ai_breaker_opened", "status=%d pause_ms=%lld", status,
               (long long)pause_ms);
        for (struct mrs_ask *a = gateway->delayed.first; a != NULL; a = a->next)
            a->ready_ms = 0; /* to the queue, where they meet the open breaker */
        gateway->check_ms = 0;
    } else if (change == MRS_BREAKER_CLOSED) {
        df_log(DF_LOG_INFO, "ai_breaker_closed", "status=%d", status);
    }
    return is_open;
}

/* --- how a call ended --------------------------------------------------------------------------- */

enum df_code mrs_status_error(struct df_error *err, int status)
{
    enum df_code code = status == 402   ? DF_EPAYMENT
                        : status == 429 ? DF_EBUSY
                        : status == 524 ? DF_ETIMEOUT /* a proxy's word for it */
                                        : DF_EUPSTREAM;
    return df_error_set(err, code, "AI analysis failed: %d", status);
}

static bool has_time(const struct mrs_ask *ask)
{
    return df_clock_mono_ms() < ask->deadline_ms;
}

/* After a connect failure, 429 or 503. True when the ask was put back in line. */
static bool try_again(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t retry_after_s)
{
    gateway->random = gateway->random * 1664525 + 1013904223; /* Numerical Recipes; jitter only */
    int64_t delay_ms = mrs_retry_delay_ms(ask->retries, retry_after_s, gateway->random >> 8,
                                          df_clock_mono_ms(), ask->deadline_ms);
    if (delay_ms < 0)
        return false;
    ask->retries++;
    again(gateway, ask, delay_ms);
    return true;
}

/* An answer that was billed is asked for again only when told so. */
static bool try_again_billed(struct mrs_gateway *gateway, struct mrs_call *call)
{
    struct mrs_ask *ask = call->ask;

    if (!call->settings->retry_billed || ask->billed >= BILLED_RETRIES_MAX || !has_time(ask))
        return false;
    ask->billed++;
    again(gateway, ask, 0);
    return true;
}

static void settle_failure(struct mrs_gateway *gateway, struct mrs_call *call, CURLcode result)
{
    struct mrs_ask *ask = call->ask;
    bool is_unsent = mrs_call_is_unsent(call);

    if (call->is_too_big) {
        (void)report(gateway, ask, 200, 0);
        if (!try_again_billed(gateway, call))
            mrs_ask_finish(gateway, ask, call,
                   df_error_set(ask->err, DF_EUPSTREAM, "Unusable AI answer: over %zu KiB",
                                MRS_REPLY_MAX_BYTES / 1024));
        return;
    }
    if (result == CURLE_OUT_OF_MEMORY) {
        mrs_ask_finish(gateway, ask, call, df_error_set(ask->err, DF_ENOMEM, "model call: out of memory"));
        return;
    }
    if (result == CURLE_COULDNT_RESOLVE_HOST || result == CURLE_COULDNT_RESOLVE_PROXY)
        gateway->has_address = false;
    bool was_probe = ask->is_probe;
    bool is_open = report(gateway, ask, 0, 0);
    if (result == CURLE_OPERATION_TIMEDOUT && !(is_unsent && has_time(ask))) {
        mrs_ask_finish(gateway, ask, call, df_error_set(ask->err, DF_ETIMEOUT, MRS_TIMED_OUT));
        return;
    }
    if (is_unsent) {
        if (was_probe || is_open || !try_again(gateway, ask, 0))
            mrs_ask_finish(gateway, ask, call, df_error_set(ask->err, DF_EUPSTREAM, "AI server unreachable"));
        return;
    }
    if (!try_again_billed(gateway, call))
        mrs_ask_finish(gateway, ask, call,
               df_error_set(ask->err, DF_EUPSTREAM, "AI server unreachable: connection lost"));
}

static void learn_from_answer(struct mrs_gateway *gateway, const struct mrs_call *call,
                              bool has_message, bool has_call, bool has_verdict)
{
    bool by_call = call->mode == MRS_AI_TOOL || call->mode == MRS_AI_REQUIRED;
    bool as_asked = !by_call || has_call || call->ask->modes_tried + 1 >= MRS_MODES;

    if (call->settings != gateway->settings)
        return; /* options changed meanwhile: this says nothing about the new ones */
    if (!has_verdict && (!has_message || has_call))
        return; /* an error in a 200, a call cut short: no fault of the mode */
    if (mrs_learned_answer(&gateway->learned, call->mode, has_verdict, as_asked))
        df_log(DF_LOG_WARN, "ai_mode_changed", "from=%s to=%s", mrs_gateway_mode_name(call->mode),
               mrs_gateway_mode_name(gateway->learned.mode));
}

static void note_tokens(struct mrs_gateway *gateway, struct mrs_call *call, int64_t prompt_tokens,
                        int64_t completion_tokens)
{
    call->ask->out->prompt_tokens += prompt_tokens;
    call->ask->out->completion_tokens += completion_tokens;
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->stats.prompt_tokens += (uint64_t)prompt_tokens;
    gateway->stats.completion_tokens += (uint64_t)completion_tokens;
    gateway->stats.micro_usd += (uint64_t)mrs_budget_micro_usd(
        &call->settings->budget, prompt_tokens, completion_tokens);
    (void)pthread_mutex_unlock(&gateway->lock);
    mrs_group_settle_bill(gateway, call->ask, prompt_tokens, completion_tokens);
    (void)report(gateway, call->ask, 200, 0);
}

/* Answers one ask, and remembers the verdict for whoever says the same. */
static void give_verdict(struct mrs_gateway *gateway, const struct mrs_call *call,
                         struct mrs_ask *ask, const struct df_verdict *verdict)
{
    ask->out->verdict = *verdict;
    (void)snprintf(ask->out->model, sizeof ask->out->model, "%s",
                   call->settings->models[call->model]);
    if (call->settings == gateway->settings) /* else the cache was emptied for another model */
        mrs_cache_put(gateway->cache, ask->line, df_clock_mono_ms(), verdict, ask->out->model);
    mrs_ask_finish(gateway, ask, call, DF_OK);
}

static void settle_answer(struct mrs_gateway *gateway, struct mrs_call *call)
{
    struct mrs_ask *ask = call->ask;
    struct mrs_gateway_reply reply;
    enum df_code rc = mrs_gateway_format_reply(call->response.data, call->response.len, &reply,
                                               ask->err);

    note_tokens(gateway, call, reply.prompt_tokens, reply.completion_tokens);
    learn_from_answer(gateway, call, reply.has_message, reply.has_call, rc == DF_OK);
    if (rc == DF_OK) {
        give_verdict(gateway, call, ask, &reply.verdict);
        return;
    }
    ask->mode = gateway->learned.mode; /* should it be sent again */
    if (rc == DF_EUPSTREAM && try_again_billed(gateway, call))
        return;
    mrs_ask_finish(gateway, ask, call, rc);
}

/* A line that the answer left out, or contradicted itself about: asked about alone where paying
 * twice is allowed; else whoever asked falls back, and may ask again later. */
static void settle_gap(struct mrs_gateway *gateway, struct mrs_call *call, struct mrs_ask *ask)
{
    if (call->settings->retry_billed && ask->billed < BILLED_RETRIES_MAX && has_time(ask)) {
        ask->billed++;
        again(gateway, ask, 0);
        return;
    }
    mrs_ask_finish(gateway, ask, call,
                   df_error_set(ask->err, DF_EUPSTREAM,
                                "Unusable AI answer: no clear verdict on this line of a batch"));
}

static void settle_batch(struct mrs_gateway *gateway, struct mrs_call *call)
{
    struct mrs_ask *ask = call->ask;
    struct mrs_batch_reply reply;
    enum df_code rc = mrs_gateway_format_batch_reply(call->response.data, call->response.len,
                                                     &call->numbering, call->line_count, &reply,
                                                     ask->err);

    note_tokens(gateway, call, reply.prompt_tokens, reply.completion_tokens);
    learn_from_answer(gateway, call, reply.has_message, reply.has_call, rc == DF_OK);
    if (rc != DF_OK) {
        ask->mode = gateway->learned.mode;
        if (rc != DF_EUPSTREAM || !try_again_billed(gateway, call))
            mrs_ask_finish(gateway, ask, call, rc);
        return;
    }
    if (reply.clear_count < call->line_count || reply.stray_count > 0) {
        (void)pthread_mutex_lock(&gateway->lock);
        gateway->stats.batch_gaps += call->line_count - reply.clear_count;
        (void)pthread_mutex_unlock(&gateway->lock);
        df_log(DF_LOG_WARN, "ai_batch_gaps", "lines=%zu clear=%zu stray=%zu", call->line_count,
               reply.clear_count, reply.stray_count);
    }
    struct mrs_gateway_answer shared = *ask->out; /* status and tokens are the whole call's */
    ask = mrs_group_dissolve(ask);
    for (size_t i = 0; i < call->line_count; i++) {
        struct mrs_ask *next = ask->next; /* `ask` is gone once it is answered */
        *ask->out = shared;
        if (reply.is_clear[i])
            give_verdict(gateway, call, ask, &reply.verdicts[i]);
        else
            settle_gap(gateway, call, ask);
        ask = next;
    }
}

/* True when a parameter was left out, another mode or another model is to be tried. */
static bool adapt(struct mrs_gateway *gateway, struct mrs_call *call, int status)
{
    struct mrs_ask *ask = call->ask;
    struct mrs_learned *learned = &gateway->learned;
    const struct mrs_settings *settings = call->settings;
    const char *model = settings->models[call->model];
    char quoted[128];
    bool is_news = false;

    enum mrs_refusal refusal = mrs_gateway_format_refusal(
        status, call->response.data == NULL ? "" : call->response.data, call->response.len, model);
    /* A parameter is dropped for all asks; one that was under way with it still gets its retry. */
    if (refusal == MRS_REFUSAL_TEMPERATURE && call->sent_temperature) {
        is_news = !learned->no_temperature;
        learned->no_temperature = true;
        if (is_news)
            df_log(DF_LOG_WARN, "ai_parameter_refused", "name=temperature status=%d", status);
        return true;
    }
    if (refusal == MRS_REFUSAL_MAX_TOKENS && call->sent_max_tokens) {
        is_news = !learned->no_max_tokens;
        learned->no_max_tokens = true;
        if (is_news)
            df_log(DF_LOG_WARN, "ai_parameter_refused", "name=max_tokens status=%d", status);
        return true;
    }
    if (refusal == MRS_REFUSAL_MODEL) {
        size_t next = 0;
        bool has_next = mrs_learned_model_refused(learned, call->model, settings->model_count,
                                                  df_clock_mono_ms(), &next, &is_news);
        if (is_news)
            df_log(DF_LOG_WARN, "ai_model_refused", "model=%s status=%d next=%s",
                   df_log_quote(quoted, sizeof quoted, model), status,
                   has_next ? settings->models[next] : "none");
        if (!has_next)
            return false;
        ask->model = next;
        ask->modes_tried = 0;
        ask->mode = learned->mode;
        return true;
    }
    bool may_be_mode = refusal == MRS_REFUSAL_MODE ||
                       (refusal == MRS_REFUSAL_OTHER && !learned->is_mode_proven);
    if (may_be_mode && learned->is_auto && ask->modes_tried + 1 < MRS_MODES) {
        ask->modes_tried++;
        ask->mode = mrs_mode_next(call->mode);
        return true;
    }
    return false;
}

static void settle_refusal(struct mrs_gateway *gateway, struct mrs_call *call, int status,
                           int64_t retry_after_s)
{
    struct mrs_ask *ask = call->ask;
    bool was_probe = ask->is_probe;
    bool is_final = status >= 400 && status < 500 && status != 429;

    if (is_final && call->settings != gateway->settings && has_time(ask)) {
        ask->is_started = false; /* a reload came in between: ask anew with the new options */
        again(gateway, ask, 0);
        return;
    }
    bool is_open = report(gateway, ask, status, retry_after_s);
    if (retry_after_s > 0)
        ask->out->retry_after_s =
            retry_after_s < MRS_RETRY_AFTER_MAX_S ? retry_after_s : MRS_RETRY_AFTER_MAX_S;
    if ((status == 400 || status == 404 || status == 422) && has_time(ask) &&
        adapt(gateway, call, status)) {
        again(gateway, ask, 0);
        return;
    }
    if ((status == 429 || status == 503) && !was_probe && !is_open &&
        try_again(gateway, ask, retry_after_s))
        return;
    mrs_ask_finish(gateway, ask, call, mrs_status_error(ask->err, status));
}

void mrs_gateway_settle(struct mrs_gateway *gateway, struct mrs_call *call, int result)
{
    long status = 0;
    curl_off_t retry_after_s = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    if (retry_after_s < 0)
        retry_after_s = 0;
    else if (retry_after_s > RETRY_AFTER_TRUSTED_S)
        retry_after_s = RETRY_AFTER_TRUSTED_S;
    call->ask->out->upstream_status = (int)status;
    /* What was sent and not refused may have been billed: the budget does not get it back. */
    if (result == CURLE_OK ? status < 200 || status >= 300 : mrs_call_is_unsent(call))
        mrs_group_refund(gateway, call->ask);
    if (result != CURLE_OK)
        settle_failure(gateway, call, (CURLcode)result);
    else if (status >= 200 && status < 300 && call->line_count > 1)
        settle_batch(gateway, call);
    else if (status >= 200 && status < 300)
        settle_answer(gateway, call);
    else
        settle_refusal(gateway, call, (int)status, (int64_t)retry_after_s);
}
