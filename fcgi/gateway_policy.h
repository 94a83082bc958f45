/* fcgi/gateway_policy.h - when to ask a model server again, which way, and when to leave it alone.
 * Pure: the time (monotonic milliseconds) is passed in. Not thread-safe: the gateway's lock guards
 * the breaker, the rest belongs to its thread. Source: edge contract 3.2, checklist 39 and 40. */
#ifndef FCGI_GATEWAY_POLICY_H
#define FCGI_GATEWAY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/gateway.h"

/* --- circuit breaker -------------------------------------------------------------------------- */

/* clang-format off */
enum mrs_breaker_gate { MRS_GATE_PASS, MRS_GATE_PROBE, MRS_GATE_REFUSE };
enum mrs_breaker_change { MRS_BREAKER_SAME, MRS_BREAKER_OPENED, MRS_BREAKER_CLOSED };
/* clang-format on */

struct mrs_breaker { /* all zero: closed */
    bool is_open;
    bool is_probing;   /* one ask is on its way to see whether the server is back */
    int status;        /* what opened it; 0: unreachable or timed out */
    int failure_count; /* in a row, while closed */
    int64_t until_ms;  /* no probe before */
    int64_t pause_ms;  /* of the last opening; doubles with each failed probe */
};

/* May an ask go out now? MRS_GATE_PROBE makes the caller responsible for one mrs_breaker_report or
 * mrs_breaker_abandon with is_probe true. */
enum mrs_breaker_gate mrs_breaker_gate(struct mrs_breaker *breaker, int64_t now_ms);
/* What an attempt met: an HTTP status, or 0 for unreachable or timed out. 401, 402 and 403 open at
 * once and for minutes, eight failures in a row (429, 5xx, 0) for seconds. While open, only the
 * probe counts: what was already under way says nothing new. */
enum mrs_breaker_change mrs_breaker_report(struct mrs_breaker *breaker, int status, bool is_probe,
                                           int64_t retry_after_ms, int64_t now_ms);
/* The probe ended without having learnt anything. */
void mrs_breaker_abandon(struct mrs_breaker *breaker);

/* --- retries ---------------------------------------------------------------------------------- */

#define MRS_RETRIES_MAX 4          /* after connect failures, 429 and 503 */
#define MRS_RETRY_AFTER_MAX_S 60   /* what we tell our own callers at most */

/* How long to wait before the next try, or -1 when it does not fit before deadline_ms any more.
 * retry_count tries were made before; retry_after_s is the server's wish (0: none); random is any
 * number, for the jitter. */
int64_t mrs_retry_delay_ms(int retry_count, int64_t retry_after_s, uint32_t random, int64_t now_ms,
                           int64_t deadline_ms);

/* --- what the process has learnt about its server ---------------------------------------------- */

struct mrs_learned { /* all zero but for mode: nothing learnt */
    enum mrs_gateway_mode mode; /* to start the next ask with; never MRS_AI_AUTO */
    bool is_auto;               /* mode may change */
    bool is_mode_proven;        /* it brought a verdict once */
    int missing_calls;          /* in a row */
    bool no_temperature, no_max_tokens; /* the server refused the parameter */
    size_t model;               /* index into the list */
    int64_t model_until_ms;     /* then the list is tried from its start again */
};

void mrs_learned_init(struct mrs_learned *learned, enum mrs_gateway_mode mode);
/* The mode to try after `mode` was refused or brought no call: a circle of MRS_MODES. */
enum mrs_gateway_mode mrs_mode_next(enum mrs_gateway_mode mode);
#define MRS_MODES 3
/* An answer came back in `mode`. has_verdict: it was usable; as_asked: and came the way the mode
 * asks for, or every other way was refused. True when the mode to start with changed. A mode that
 * has worked before survives two odd answers; one that never has does not. */
bool mrs_learned_answer(struct mrs_learned *learned, enum mrs_gateway_mode mode, bool has_verdict,
                        bool as_asked);
/* The model to start with. */
size_t mrs_learned_model(struct mrs_learned *learned, int64_t now_ms);
/* `model` was refused. True and *next set when there is another to try; *is_news when nobody has
 * been told yet. Remembered for some minutes. */
bool mrs_learned_model_refused(struct mrs_learned *learned, size_t model, size_t model_count,
                               int64_t now_ms, size_t *next, bool *is_news);

const char *mrs_gateway_mode_name(enum mrs_gateway_mode mode);

#endif
