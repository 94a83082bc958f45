/* fcgi/gateway.h - asks a model server (OpenAI-compatible chat completions) for a verdict.
 * One thread of its own drives libcurl's multi interface; anybody may ask, and sleeps or is called
 * back at the answer, an error or the deadline. What asking costs is held down by asking about
 * several lines at once, by remembering verdicts, and by budgets. Source: edge contract section 3. */
#ifndef FCGI_GATEWAY_H
#define FCGI_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/gateway_budget.h"
#include "shared/error.h"
#include "shared/intent.h"
#include "shared/uuid.h"

/* clang-format off */
enum mrs_gateway_mode { /* order of the choices of AI_MODE */
    MRS_AI_AUTO, MRS_AI_TOOL, MRS_AI_REQUIRED, MRS_AI_JSON_SCHEMA, MRS_AI_JSON_OBJECT,
};
/* clang-format on */

struct mrs_gateway_options {
    const char *base_url;      /* with or without trailing slash; "/chat/completions" is appended */
    const char *api_key;       /* NULL or "": no Authorization header */
    const char *models;        /* comma list, in order of preference */
    const char *extra_headers; /* "Name: value" separated by newlines or "|"; may be NULL */
    enum mrs_gateway_mode mode;
    int64_t timeout_ms;        /* one total deadline for a verdict, retries included */
    int64_t connect_timeout_ms;
    int64_t in_flight_max;     /* calls open at once; more wait in a queue of the same length */
    bool use_breaker;
    bool retry_billed;         /* ask again after an unusable 2xx answer (it was billed) */
    bool send_temperature;     /* some servers refuse one of these two */
    bool send_max_tokens;
    int64_t batch_ms;  /* lines of a show are collected this long and asked about together; 0: not */
    int64_t batch_max; /* ... or until there are so many, at most MRS_BATCH_LINES_MAX */
    int64_t cache_max; /* texts whose verdicts are remembered; 0: none */
    int64_t cache_ttl_ms;
    struct mrs_budget_limits budget;
};

#define MRS_BATCH_LINES_MAX 50

struct mrs_gateway_answer {
    struct df_verdict verdict;
    char model[96];        /* the model that answered */
    int upstream_status;   /* last HTTP status, 0 when there was none */
    int64_t retry_after_s; /* from the server, clamped; 0 when unknown */
    int64_t prompt_tokens, completion_tokens; /* of the whole call that brought it */
    bool over_budget; /* not asked, because a budget is used up: no failure of the server */
};

struct mrs_gateway_stats {
    uint64_t calls;      /* HTTP requests sent */
    uint64_t lines;      /* lines in them; more than calls where lines were asked about together */
    uint64_t batches;    /* calls about more than one line */
    uint64_t batch_gaps; /* lines that the answer about a batch had no clear verdict on */
    uint64_t cache_hits, cache_misses;
    uint64_t over_budget; /* asks refused by a budget */
    uint64_t micro_usd;   /* what the calls cost, by the prices of the options */
    int64_t cache_entries;
    uint64_t answers;    /* usable verdicts */
    uint64_t failures;   /* asks that ended in an error */
    uint64_t retries;
    uint64_t short_circuits; /* refused at once because the breaker was open */
    uint64_t prompt_tokens, completion_tokens;
    int64_t in_flight, queued;
    bool breaker_open;
};

struct mrs_gateway;

/* Copies the options, starts the thread. On DF_OK the caller owns *out. curl_global_init must have
 * run. DF_EINPUT: unusable base_url, no model. DF_ENOMEM. */
enum df_code mrs_gateway_new(struct mrs_gateway **out, const struct mrs_gateway_options *options,
                             struct df_error *err) DF_MUST_USE;
/* Fails what is still waiting with DF_EUNAVAILABLE, joins the thread, frees. NULL is fine. */
void mrs_gateway_free(struct mrs_gateway *gateway);

/* Replaces options for asks that start from now on (SIGHUP): key, models, mode, limits. */
enum df_code mrs_gateway_reload(struct mrs_gateway *gateway,
                                const struct mrs_gateway_options *options,
                                struct df_error *err) DF_MUST_USE;

/* One question. The asker owns it and what it points to, and keeps all of it alive until on_done
 * was called. */
struct mrs_ask {
    const struct df_chat_line *line;
    struct mrs_gateway_answer *out;
    struct df_error *err;
    void (*on_done)(struct mrs_ask *ask); /* on the gateway's thread: be quick */
    void *context;                        /* for on_done */
    struct df_uuid session;               /* the show, for its budget; all zero: none */
    bool is_patient;                      /* may wait for others of its show, up to batch_ms */
    enum df_code code;                    /* valid in and after on_done */

    /* Private to the gateway. */
    struct mrs_ask *next;
    struct mrs_ask *others, *last_other; /* that travel in one call with this one, the leader */
    int64_t count;                       /* of the leader and the others */
    size_t message_bytes;                /* of all of them */
    bool is_collecting;                  /* more may join */
    int64_t points;                      /* taken from the budget for the call under way, */
    enum mrs_budget_unit points_unit;    /* ... in this unit */
    int64_t deadline_ms;
    bool is_probe; /* the breaker waits to hear how it went */
    bool is_started;
    int64_t ready_ms; /* not before, because of a retry */
    size_t model;
    enum mrs_gateway_mode mode;
    int modes_tried, retries, billed;
};

/* Queues a question; any thread. DF_OK: on_done will be called exactly once, with ask->code and, on
 * DF_OK, ask->out->verdict (fields clamped and trimmed as the contract's checklist 34 and 35 say).
 * Anything else: refused at once, on_done will not be called. Either way err says why it failed and
 * out->upstream_status / retry_after_s are set where known:
 *   DF_EPAYMENT     upstream 402           "AI analysis failed: 402"
 *   DF_EBUSY        upstream 429           "AI analysis failed: 429"
 *   DF_ETIMEOUT     our deadline, or 524   "AI analysis timed out" / "AI analysis failed: 524"
 *   DF_EUPSTREAM    everything else: "AI analysis failed: N", "No tool call in AI response",
 *                   "Unusable AI answer: ...", "AI server unreachable", breaker open, queue full
 *   DF_EPAYMENT     out->over_budget: the show's or the day's budget is used up
 * Retries only what cannot have been billed (connect failures, 429, 503) and only within the
 * deadline, honouring Retry-After; tries the next model of the list on 404 or a model error. */
enum df_code mrs_gateway_submit(struct mrs_gateway *gateway, struct mrs_ask *ask) DF_MUST_USE;

/* The same, sleeping until there is an answer. Any thread but the gateway's. */
enum df_code mrs_gateway_ask(struct mrs_gateway *gateway, const struct df_chat_line *line,
                             struct mrs_gateway_answer *out, struct df_error *err) DF_MUST_USE;

/* True, and *out filled, when the verdict on this text is remembered; nobody is asked. Any thread. */
bool mrs_gateway_recall(struct mrs_gateway *gateway, const struct df_chat_line *line,
                        struct mrs_gateway_answer *out);
/* False when the budget of the show or of the day is used up: asking would be refused. Any thread.
 */
bool mrs_gateway_can_pay(struct mrs_gateway *gateway, const struct df_uuid *session);

/* The day's budget, for whoever keeps it in the database. Any thread. _wants: points to lease now,
 * and *limit, the whole day's points (0: no limit); _grant brings them; _surrender takes back what
 * is left. The points depend on *unit. */
int64_t mrs_gateway_budget_wants(struct mrs_gateway *gateway, enum mrs_budget_unit *unit,
                                 int64_t *limit);
void mrs_gateway_budget_grant(struct mrs_gateway *gateway, int64_t points);
int64_t mrs_gateway_budget_surrender(struct mrs_gateway *gateway);

/* A snapshot of the counters. Any thread. */
void mrs_gateway_stats(struct mrs_gateway *gateway, struct mrs_gateway_stats *out);

#endif
