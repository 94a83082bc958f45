/* fcgi/gateway_policy.c - the numbers and rules behind retries, the breaker and what is learnt. */
#include "fcgi/gateway_policy.h"

#define FAILURES_TO_OPEN 8
#define PAUSE_MIN_MS 2000
#define PAUSE_MAX_MS 30000
#define PAUSE_KEY_MS (2 * 60 * 1000)    /* 401, 403: somebody has to put in another key */
#define PAUSE_CREDIT_MS (5 * 60 * 1000) /* 402: somebody has to pay */

#define BACKOFF_BASE_MS 100
#define BACKOFF_MAX_MS 2000
#define ATTEMPT_MIN_MS 50 /* with less time left a try cannot succeed */

#define MODEL_STICKY_MS (5 * 60 * 1000)
#define MISSING_CALLS_MAX 3

static bool is_fatal(int status)
{
    return status == 401 || status == 402 || status == 403;
}

static bool is_failure(int status)
{
    return status == 0 || status == 429 || status >= 500;
}

enum mrs_breaker_gate mrs_breaker_gate(struct mrs_breaker *breaker, int64_t now_ms)
{
    if (!breaker->is_open)
        return MRS_GATE_PASS;
    if (breaker->is_probing || now_ms < breaker->until_ms)
        return MRS_GATE_REFUSE;
    breaker->is_probing = true;
    return MRS_GATE_PROBE;
}

static int64_t pause_for(const struct mrs_breaker *breaker, int status, int64_t retry_after_ms)
{
    if (status == 402)
        return PAUSE_CREDIT_MS;
    if (is_fatal(status))
        return PAUSE_KEY_MS;
    int64_t pause_ms = breaker->is_open && !is_fatal(breaker->status) ? breaker->pause_ms * 2
                                                                      : PAUSE_MIN_MS;
    if (pause_ms > PAUSE_MAX_MS)
        pause_ms = PAUSE_MAX_MS;
    if (retry_after_ms > pause_ms) /* the server knows better, within reason */
        pause_ms = retry_after_ms < MRS_RETRY_AFTER_MAX_S * 1000 ? retry_after_ms
                                                                 : MRS_RETRY_AFTER_MAX_S * 1000;
    return pause_ms;
}

enum mrs_breaker_change mrs_breaker_report(struct mrs_breaker *breaker, int status, bool is_probe,
                                           int64_t retry_after_ms, int64_t now_ms)
{
    if (breaker->is_open && !is_probe)
        return MRS_BREAKER_SAME;
    bool was_open = breaker->is_open;
    if (is_fatal(status) || is_failure(status)) {
        breaker->failure_count++;
        if (!was_open && !is_fatal(status) && breaker->failure_count < FAILURES_TO_OPEN)
            return MRS_BREAKER_SAME;
        breaker->pause_ms = pause_for(breaker, status, retry_after_ms);
        breaker->until_ms = now_ms + breaker->pause_ms;
        breaker->status = status;
        breaker->is_open = true;
        breaker->is_probing = false;
        return was_open ? MRS_BREAKER_SAME : MRS_BREAKER_OPENED;
    }
    *breaker = (struct mrs_breaker){0};
    return was_open ? MRS_BREAKER_CLOSED : MRS_BREAKER_SAME;
}

void mrs_breaker_abandon(struct mrs_breaker *breaker)
{
    breaker->is_probing = false;
}

int64_t mrs_retry_delay_ms(int retry_count, int64_t retry_after_s, uint32_t random, int64_t now_ms,
                           int64_t deadline_ms)
{
    if (retry_count >= MRS_RETRIES_MAX)
        return -1;
    int64_t delay_ms = BACKOFF_BASE_MS << retry_count;
    if (delay_ms > BACKOFF_MAX_MS)
        delay_ms = BACKOFF_MAX_MS;
    delay_ms = delay_ms / 2 + (int64_t)(random % (uint32_t)(delay_ms / 2 + 1));
    if (retry_after_s > 0) {
        if (retry_after_s > (deadline_ms - now_ms) / 1000)
            return -1;
        /* Everybody was told the same second: spread them a little behind it. */
        delay_ms = retry_after_s * 1000 + random % BACKOFF_BASE_MS;
    }
    return now_ms + delay_ms + ATTEMPT_MIN_MS <= deadline_ms ? delay_ms : -1;
}

void mrs_learned_init(struct mrs_learned *learned, enum mrs_gateway_mode mode)
{
    *learned = (struct mrs_learned){
        .mode = mode == MRS_AI_AUTO ? MRS_AI_TOOL : mode,
        .is_auto = mode == MRS_AI_AUTO,
    };
}

enum mrs_gateway_mode mrs_mode_next(enum mrs_gateway_mode mode)
{
    if (mode == MRS_AI_JSON_OBJECT)
        return MRS_AI_TOOL;
    /* A server that refuses the named tool seldom takes "required": straight to plain JSON. */
    return mode == MRS_AI_JSON_SCHEMA ? MRS_AI_JSON_OBJECT : MRS_AI_JSON_SCHEMA;
}

bool mrs_learned_answer(struct mrs_learned *learned, enum mrs_gateway_mode mode, bool has_verdict,
                        bool as_asked)
{
    enum mrs_gateway_mode before = learned->mode;

    if (!learned->is_auto)
        return false;
    if (as_asked && has_verdict) {
        learned->mode = mode;
        learned->is_mode_proven = true;
        learned->missing_calls = 0;
    } else if (mode == learned->mode) { /* else another ask has moved on already */
        learned->missing_calls++;
        if (!learned->is_mode_proven || learned->missing_calls >= MISSING_CALLS_MAX) {
            learned->mode = mrs_mode_next(learned->mode);
            learned->is_mode_proven = false;
            learned->missing_calls = 0;
        }
    }
    return learned->mode != before;
}

size_t mrs_learned_model(struct mrs_learned *learned, int64_t now_ms)
{
    if (learned->model != 0 && now_ms >= learned->model_until_ms)
        learned->model = 0;
    return learned->model;
}

bool mrs_learned_model_refused(struct mrs_learned *learned, size_t model, size_t model_count,
                               int64_t now_ms, size_t *next, bool *is_news)
{
    *is_news = false;
    if (model + 1 >= model_count) {
        *is_news = now_ms >= learned->model_until_ms; /* the last one: say so now and then */
        if (*is_news)
            learned->model_until_ms = now_ms + MODEL_STICKY_MS;
        return false;
    }
    *next = model + 1;
    if (learned->model < *next) {
        learned->model = *next;
        learned->model_until_ms = now_ms + MODEL_STICKY_MS;
        *is_news = true;
    }
    return true;
}

const char *mrs_gateway_mode_name(enum mrs_gateway_mode mode)
{
    static const char *const names[] = {"auto", "tool", "required", "json_schema", "json_object"};
    return names[mode];
}
