/* fcgi/gateway_loop.h - what the askers (gateway.c) and the gateway's thread (gateway_loop.c,
 * gateway_settle.c) share. Private to these files. */
#ifndef FCGI_GATEWAY_LOOP_H
#define FCGI_GATEWAY_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fcgi/gateway.h"
#include "fcgi/gateway_cache.h"
#include "fcgi/gateway_call.h"
#include "fcgi/gateway_policy.h"

struct ask_list { /* first in, first out */
    struct mrs_ask *first, *last;
};

struct mrs_gateway {
    pthread_t thread;
    int wake_fd;
    /* Guarded by lock: */
    pthread_mutex_t lock;
    bool is_stopping;
    struct ask_list arrivals;
    struct mrs_settings *pending; /* from a reload, until the thread takes it */
    int64_t timeout_ms, waiting_max; /* of the newest settings, for askers */
    bool use_breaker;
    struct mrs_breaker breaker;
    struct mrs_budget budget;
    struct mrs_gateway_stats stats;
    int64_t waiting_count; /* lines in arrivals, queue and retries together */
    /* With a lock of its own: */
    struct mrs_cache *cache;
    /* The thread's own: */
    void *multi; /* a CURLM */
    int epoll_fd;
    int64_t timer_due_ms; /* libcurl's, or -1 */
    struct mrs_settings *settings;
    struct mrs_learned learned;
    struct ask_list queue;   /* ready to start */
    struct ask_list delayed; /* waiting for ready_ms: a retry, or a batch that still grows */
    int64_t check_ms;        /* nothing in queue or delayed is due before */
    struct mrs_call *active, *idle;
    int64_t active_count, idle_count;
    bool has_address; /* the server's name was resolved once */
    uint32_t random;
};

void mrs_ask_append(struct ask_list *list, struct mrs_ask *ask);

#define MRS_TIMED_OUT "AI analysis timed out"

/* Gives the answer, to the leader and to all that travel with it. `call` is the one that just ended,
 * or NULL when the ask was still waiting. After this the asks are gone: their memory is the askers'.
 * The gateway's thread only, like all that follows. */
void mrs_ask_finish(struct mrs_gateway *gateway, struct mrs_ask *ask, const struct mrs_call *call,
                    enum df_code code);

/* --- batches (gateway_group.c) --- */

/* Takes in what has just arrived: joins a batch of its show, begins one, or is asked about alone. */
void mrs_group_admit(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t now_ms);
/* Pays for the call that a leader is about to make. False: a budget is used up. */
bool mrs_group_pay(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t prompt_tokens,
                   int64_t completion_tokens);
/* Corrects what was paid by what the server says it was; 0 tokens: it does not say. */
void mrs_group_settle_bill(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t prompt_tokens,
                           int64_t completion_tokens);
/* Gives back what was paid: the call cannot have been billed. */
void mrs_group_refund(struct mrs_gateway *gateway, struct mrs_ask *ask);
/* Ends a leader's group: what travelled with it stands alone in the list that is returned, the
 * leader first, linked by next. */
struct mrs_ask *mrs_group_dissolve(struct mrs_ask *leader);
/* Fills lines[0..count) with those of the leader and its others; returns the count. */
size_t mrs_group_lines(const struct mrs_ask *leader,
                       const struct df_chat_line *lines[MRS_BATCH_LINES_MAX]);

/* Judges a call that left the multi handle with `result` (a CURLcode): its ask is answered, or back
 * in line. */
void mrs_gateway_settle(struct mrs_gateway *gateway, struct mrs_call *call, int result);
/* The error for a status that is no success: code and text as the contract has them. */
enum df_code mrs_status_error(struct df_error *err, int status);

/* The thread's main function; the argument is the gateway. Ends after is_stopping was set and
 * wake_fd written; every ask has been answered then. */
void *mrs_gateway_loop(void *gateway);

/* Opens and closes what the thread needs; called by _new and _free while it does not run. */
enum df_code mrs_gateway_loop_init(struct mrs_gateway *gateway, struct df_error *err) DF_MUST_USE;
void mrs_gateway_loop_release(struct mrs_gateway *gateway);

#endif
