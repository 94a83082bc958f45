/* fcgi/figures.c - what monitor-realtime-stream tells at its admin door. */
#include "fcgi/figures.h"

#include <poll.h>

#include "fcgi/metrics.h"

static void print(void *ctx, struct df_buf *out)
{
    struct mrs_app *app = ctx;
    mrs_metrics_print(out);
    mrs_metrics_sample(out, "database_up", "gauge", "1 while the store is connected",
                       mrs_store_is_ready(app->store) ? 1 : 0);
    mrs_metrics_sample(out, "store_queue_length", "gauge", "Messages waiting for a commit",
                       (double)mrs_store_queue_length(app->store));
    mrs_metrics_sample(out, "requests_active", "gauge", "Requests being handled",
                       (double)atomic_load(&app->traffic.active_requests));
    mrs_metrics_sample(out, "connections", "gauge", "Connections from the web server",
                       (double)atomic_load(&app->traffic.connections));
    if (app->gateway == NULL)
        return;
    struct mrs_gateway_stats s;
    mrs_gateway_stats(app->gateway, &s);
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"ai_calls_total", "counter", "Requests sent to the model server", (double)s.calls},
        {"ai_answers_total", "counter", "Usable verdicts", (double)s.answers},
        {"ai_failures_total", "counter", "Asks that ended in an error", (double)s.failures},
        {"ai_retries_total", "counter", "Requests sent again", (double)s.retries},
        {"ai_short_circuits_total", "counter", "Asks refused by the open circuit breaker",
         (double)s.short_circuits},
        {"ai_prompt_tokens_total", "counter", "Tokens sent, as billed", (double)s.prompt_tokens},
        {"ai_completion_tokens_total", "counter", "Tokens received, as billed",
         (double)s.completion_tokens},
        {"ai_lines_total", "counter", "Lines in the requests sent", (double)s.lines},
        {"ai_batches_total", "counter", "Requests about more than one line", (double)s.batches},
        {"ai_batch_gaps_total", "counter", "Lines that a batch's answer had no verdict on",
         (double)s.batch_gaps},
        {"ai_cost_dollars_total", "counter", "Cost by AI_PRICE_IN and AI_PRICE_OUT",
         (double)s.micro_usd / 1e6},
        {"ai_cache_hits_total", "counter", "Verdicts found in the cache", (double)s.cache_hits},
        {"ai_cache_misses_total", "counter", "Verdicts not found in the cache",
         (double)s.cache_misses},
        {"ai_cache_entries", "gauge", "Verdicts in the cache", (double)s.cache_entries},
        {"ai_in_flight", "gauge", "Calls open", (double)s.in_flight},
        {"ai_queued", "gauge", "Asks waiting for a free call", (double)s.queued},
        {"ai_breaker_open", "gauge", "1 while the circuit breaker is open", s.breaker_open ? 1 : 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        mrs_metrics_sample(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
}

/* Draining counts as not ready, so that a load balancer looks elsewhere. */
static bool is_ready(void *ctx)
{
    struct mrs_app *app = ctx;
    struct pollfd stop = {app->traffic.stop_fd, POLLIN, 0};
    return mrs_store_is_ready(app->store) && poll(&stop, 1, 0) == 0;
}

void mrs_figures_source(struct mrs_admin_source *out, struct mrs_app *app)
{
    *out = (struct mrs_admin_source){.ctx = app, .print = print, .is_ready = is_ready};
}
