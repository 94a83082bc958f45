/* fcgi/gateway.c - the askers' side of the gateway: queue up, sleep, take the answer. */
#include "fcgi/gateway.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/gateway_loop.h"
#include "shared/clock.h"

/* A TLS handshake and the JSON parser fit well; the default of 8 MiB is only address space, but
 * counts where memory is capped by it. */
#define THREAD_STACK_BYTES ((size_t)512 * 1024)

void mrs_ask_append(struct ask_list *list, struct mrs_ask *ask)
{
    ask->next = NULL;
    if (list->last == NULL)
        list->first = ask;
    else
        list->last->next = ask;
    list->last = ask;
}

static void wake(struct mrs_gateway *gateway)
{
    const uint64_t one = 1;
    /* Fails only when the counter is full, and then the thread is awake anyway. */
    if (write(gateway->wake_fd, &one, sizeof one) < 0)
        return;
}

/* Signals are main's business, and SIGPIPE from a TLS write must not end the program. */
static int start_thread(struct mrs_gateway *gateway)
{
    sigset_t all, before;
    pthread_attr_t attr;
    int failed = pthread_attr_init(&attr);

    if (failed != 0)
        return failed;
    failed = pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    (void)sigfillset(&all);
    if (failed == 0)
        failed = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (failed == 0) {
        failed = pthread_create(&gateway->thread, &attr, mrs_gateway_loop, gateway);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attr);
    return failed;
}

/* The parts of the settings that askers look at, under the lock. */
static void publish(struct mrs_gateway *gateway, const struct mrs_settings *settings)
{
    gateway->timeout_ms = settings->timeout_ms;
    gateway->waiting_max = settings->in_flight_max;
    gateway->use_breaker = settings->use_breaker;
    mrs_budget_set(&gateway->budget, &settings->budget);
}

enum df_code mrs_gateway_new(struct mrs_gateway **out, const struct mrs_gateway_options *options,
                             struct df_error *err)
{
    enum df_code rc;
    struct mrs_gateway *made = calloc(1, sizeof *made);

    *out = NULL;
    if (made == NULL)
        return df_error_set(err, DF_ENOMEM, "gateway: out of memory");
    made->epoll_fd = -1;
    made->wake_fd = -1;
    (void)pthread_mutex_init(&made->lock, NULL);
    rc = mrs_settings_new(&made->settings, options, err);
    if (rc == DF_OK)
        rc = mrs_cache_new(&made->cache, (size_t)options->cache_max, options->cache_ttl_ms, err);
    if (rc != DF_OK)
        goto out;
    mrs_budget_init(&made->budget, &made->settings->budget);
    publish(made, made->settings);
    mrs_learned_init(&made->learned, made->settings->mode);
    made->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (made->wake_fd < 0) {
        rc = df_error_set(err, DF_ENOMEM, "gateway: eventfd: %s", strerror(errno));
        goto out;
    }
    rc = mrs_gateway_loop_init(made, err);
    if (rc != DF_OK)
        goto out;
    int failed = start_thread(made);
    if (failed != 0)
        rc = df_error_set(err, DF_ENOMEM, "gateway: no thread: %s", strerror(failed));
out:
    if (rc == DF_OK) {
        *out = made;
        return DF_OK;
    }
    mrs_gateway_loop_release(made);
    if (made->wake_fd >= 0)
        (void)close(made->wake_fd);
    mrs_settings_drop(made->settings);
    mrs_cache_free(made->cache);
    mrs_budget_release(&made->budget);
    (void)pthread_mutex_destroy(&made->lock);
    free(made);
    return rc;
}

void mrs_gateway_free(struct mrs_gateway *gateway)
{
    if (gateway == NULL)
        return;
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->is_stopping = true;
    (void)pthread_mutex_unlock(&gateway->lock);
    wake(gateway);
    (void)pthread_join(gateway->thread, NULL);
    mrs_gateway_loop_release(gateway);
    (void)close(gateway->wake_fd);
    mrs_settings_drop(gateway->pending);
    mrs_settings_drop(gateway->settings);
    mrs_cache_free(gateway->cache);
    mrs_budget_release(&gateway->budget);
    (void)pthread_mutex_destroy(&gateway->lock);
    free(gateway);
}

enum df_code mrs_gateway_reload(struct mrs_gateway *gateway,
                                const struct mrs_gateway_options *options, struct df_error *err)
{
    struct mrs_settings *made = NULL;
    struct mrs_settings *unused = NULL;
    enum df_code rc = mrs_settings_new(&made, options, err);

    if (rc == DF_OK)
        rc = mrs_cache_reset(gateway->cache, (size_t)options->cache_max, options->cache_ttl_ms, err);
    if (rc != DF_OK) {
        mrs_settings_drop(made);
        return rc;
    }
    (void)pthread_mutex_lock(&gateway->lock);
    unused = gateway->pending; /* of a reload that the thread has not seen */
    gateway->pending = made;
    publish(gateway, made);
    gateway->breaker = (struct mrs_breaker){0}; /* a new key or server deserves a fresh try */
    gateway->stats.breaker_open = false;
    (void)pthread_mutex_unlock(&gateway->lock);
    mrs_settings_drop(unused);
    wake(gateway);
    return DF_OK;
}

/* Why an ask is not even queued; DF_OK when it may be. Under the lock. */
static enum df_code admit(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t now_ms)
{
    if (gateway->is_stopping)
        return df_error_set(ask->err, DF_EUNAVAILABLE, "AI gateway is shutting down");
    /* As many again may wait as may be under way. */
    if (gateway->waiting_count + gateway->stats.in_flight >= 2 * gateway->waiting_max)
        return df_error_set(ask->err, DF_EUPSTREAM, "AI queue is full");
    if (!gateway->use_breaker)
        return DF_OK;
    enum mrs_breaker_gate gate = mrs_breaker_gate(&gateway->breaker, now_ms);
    ask->is_probe = gate == MRS_GATE_PROBE;
    if (gate != MRS_GATE_REFUSE)
        return DF_OK;
    int status = gateway->breaker.status;
    int64_t wait_ms = gateway->breaker.until_ms - now_ms;
    gateway->stats.short_circuits++;
    ask->out->upstream_status = status;
    ask->out->retry_after_s = wait_ms > 0 ? (wait_ms + 999) / 1000 : 1;
    if (ask->out->retry_after_s > MRS_RETRY_AFTER_MAX_S)
        ask->out->retry_after_s = MRS_RETRY_AFTER_MAX_S;
    if (status == 402)
        return df_error_set(ask->err, DF_EPAYMENT, "AI analysis failed: 402");
    if (status == 0)
        return df_error_set(ask->err, DF_EUPSTREAM, "AI server does not answer, not asked again yet");
    return df_error_set(ask->err, DF_EUPSTREAM, "AI server answered %d, not asked again yet", status);
}

enum df_code mrs_gateway_submit(struct mrs_gateway *gateway, struct mrs_ask *ask)
{
    int64_t now_ms = df_clock_mono_ms();
    bool must_wake = false;

    memset(ask->out, 0, sizeof *ask->out);
    ask->out->verdict.type = DF_GENERAL;
    ask->out->verdict.value_cents = DF_VALUE_NONE;
    (void)pthread_mutex_lock(&gateway->lock);
    enum df_code rc = admit(gateway, ask, now_ms);
    if (rc == DF_OK) {
        ask->deadline_ms = now_ms + gateway->timeout_ms;
        ask->count = 1;
        ask->message_bytes = ask->line->message_len;
        must_wake = gateway->arrivals.first == NULL; /* else somebody has woken the thread */
        mrs_ask_append(&gateway->arrivals, ask);
        gateway->waiting_count++;
    } else {
        gateway->stats.failures++;
    }
    (void)pthread_mutex_unlock(&gateway->lock);
    if (must_wake)
        wake(gateway);
    return rc;
}

static void post_semaphore(struct mrs_ask *ask)
{
    (void)sem_post(ask->context);
}

enum df_code mrs_gateway_ask(struct mrs_gateway *gateway, const struct df_chat_line *line,
                             struct mrs_gateway_answer *out, struct df_error *err)
{
    sem_t done;
    struct mrs_ask ask = {
        .line = line, .out = out, .err = err, .on_done = post_semaphore, .context = &done};

    (void)sem_init(&done, 0, 0);
    enum df_code rc = mrs_gateway_submit(gateway, &ask);
    if (rc == DF_OK) {
        while (sem_wait(&done) != 0) {
            /* A signal handler ran: sleep on. */
        }
        rc = ask.code;
    }
    (void)sem_destroy(&done);
    return rc;
}

bool mrs_gateway_recall(struct mrs_gateway *gateway, const struct df_chat_line *line,
                        struct mrs_gateway_answer *out)
{
    memset(out, 0, sizeof *out);
    return mrs_cache_get(gateway->cache, line, df_clock_mono_ms(), &out->verdict, out->model,
                         sizeof out->model);
}

bool mrs_gateway_can_pay(struct mrs_gateway *gateway, const struct df_uuid *session)
{
    (void)pthread_mutex_lock(&gateway->lock);
    bool is_spent = mrs_budget_is_spent(&gateway->budget, session);
    if (is_spent)
        gateway->stats.over_budget++;
    (void)pthread_mutex_unlock(&gateway->lock);
    return !is_spent;
}

int64_t mrs_gateway_budget_wants(struct mrs_gateway *gateway, enum mrs_budget_unit *unit,
                                 int64_t *limit)
{
    (void)pthread_mutex_lock(&gateway->lock);
    int64_t points = mrs_budget_day_wants(&gateway->budget);
    *unit = gateway->budget.limits.unit;
    *limit = gateway->budget.day_points;
    (void)pthread_mutex_unlock(&gateway->lock);
    return points;
}

void mrs_gateway_budget_grant(struct mrs_gateway *gateway, int64_t points)
{
    (void)pthread_mutex_lock(&gateway->lock);
    mrs_budget_day_grant(&gateway->budget, points);
    (void)pthread_mutex_unlock(&gateway->lock);
}

int64_t mrs_gateway_budget_surrender(struct mrs_gateway *gateway)
{
    (void)pthread_mutex_lock(&gateway->lock);
    int64_t points = mrs_budget_day_surrender(&gateway->budget);
    (void)pthread_mutex_unlock(&gateway->lock);
    return points;
}

void mrs_gateway_stats(struct mrs_gateway *gateway, struct mrs_gateway_stats *out)
{
    struct mrs_cache_stats cache;

    mrs_cache_stats(gateway->cache, &cache);
    (void)pthread_mutex_lock(&gateway->lock);
    *out = gateway->stats;
    out->queued = gateway->waiting_count;
    out->cache_hits = cache.hits;
    out->cache_misses = cache.misses;
    out->cache_entries = cache.entries;
    (void)pthread_mutex_unlock(&gateway->lock);
}
