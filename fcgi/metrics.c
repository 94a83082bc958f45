/* fcgi/metrics.c - what happened so far, in Prometheus' text format. */
#include "fcgi/metrics.h"

#include <stdatomic.h>

static _Atomic uint64_t counters[MRS_COUNTER_COUNT];

static const struct {
    const char *name, *help;
} counter_names[MRS_COUNTER_COUNT] = {
    [MRS_COUNT_STORED] = {"messages_stored", "Messages committed"},
    [MRS_COUNT_REPEATED] = {"messages_repeated", "Deliveries answered from an earlier commit"},
    [MRS_COUNT_CAPTURED] = {"sales_captured", "Sales committed"},
    [MRS_COUNT_IGNORED] = {"captures_ignored", "Buyers left alone by ignored_phrases"},
    [MRS_COUNT_ROWS_REFUSED] = {"rows_refused", "Messages that Postgres refused one by one"},
    [MRS_COUNT_BATCHES] = {"store_batches", "Commits of the store"},
    [MRS_COUNT_BATCH_ROWS] = {"store_batch_rows", "Jobs in those commits"},
    [MRS_COUNT_BATCH_SPLITS] = {"store_batch_splits", "Batches halved to find a bad row"},
    [MRS_COUNT_ANALYSED_LOCAL] = {"analysed_local", "Verdicts of the embedded model"},
    [MRS_COUNT_ANALYSED_GATEWAY] = {"analysed_gateway", "Verdicts of the model server"},
    [MRS_COUNT_ANALYSED_FALLBACK] = {"analysed_fallback",
                                     "Embedded model in place of a failing model server"},
    [MRS_COUNT_ANALYSED_CACHED] = {"analysed_cached", "Remembered verdicts of the model server"},
    [MRS_COUNT_AI_SURE] = {"ai_skipped_sure", "Not asked: the embedded model was sure"},
    [MRS_COUNT_AI_USERS] = {"ai_skipped_users", "Not asked: AI_ONLY_USERS, AI_SKIP_USERS"},
    [MRS_COUNT_AI_WORDS] = {"ai_skipped_words", "Not asked: no word of AI_PREFILTER"},
    [MRS_COUNT_AI_ORDERS] = {"ai_skipped_orders", "Not asked: the line speaks to the model"},
    [MRS_COUNT_AI_BUDGET] = {"ai_skipped_budget", "Not asked: a budget is used up"},
    [MRS_COUNT_REANALYSED] = {"reanalysed", "Fallback verdicts replaced later"},
    [MRS_COUNT_RATE_LIMITED] = {"rate_limited", "Requests refused by a rate limit"},
    [MRS_COUNT_TOKENS_VERIFIED] = {"tokens_verified", "Tokens whose signature was checked"},
    [MRS_COUNT_TOKENS_CACHED] = {"tokens_cached", "Tokens known from before"},
    [MRS_COUNT_TOKENS_REFUSED] = {"tokens_refused", "Requests without a valid token or key"},
    [MRS_COUNT_WEBHOOKS_DELIVERED] = {"webhooks_delivered", "Sales that a webhook took"},
    [MRS_COUNT_WEBHOOKS_FAILED] = {"webhooks_failed", "Attempts that failed"},
    [MRS_COUNT_WEBHOOKS_REFUSED] = {"webhooks_refused",
                                    "Attempts at an address that is not public"},
    [MRS_COUNT_WEBHOOKS_DEAD] = {"webhooks_dead", "Sales given up after too many attempts"},
    [MRS_COUNT_RELOADS] = {"reloads", "Reloads by SIGHUP"},
};

static struct mrs_histogram times[MRS_TIME_COUNT];

static const struct {
    const char *name, *help;
} time_names[MRS_TIME_COUNT] = {
    [MRS_TIME_REQUEST] = {"request", "Time a request spent in this program"},
    [MRS_TIME_STORE] = {"store", "Time a message waited to be committed"},
    [MRS_TIME_COMMIT] = {"commit", "Time of one commit of the store"},
    [MRS_TIME_MODEL] = {"model", "Time of one verdict of the model server"},
};

void mrs_count(enum mrs_counter counter, uint64_t by)
{
    atomic_fetch_add_explicit(&counters[counter], by, memory_order_relaxed);
}

void mrs_observe(enum mrs_time what, int64_t elapsed_ns)
{
    mrs_histogram_observe(&times[what], elapsed_ns);
}

void mrs_metrics_print(struct df_buf *out)
{
    for (int i = 0; i < MRS_COUNTER_COUNT; i++)
        mrs_counter_print(out, counter_names[i].name, counter_names[i].help,
                          atomic_load_explicit(&counters[i], memory_order_relaxed));
    mrs_responses_print(out);
    for (int i = 0; i < MRS_TIME_COUNT; i++)
        mrs_histogram_print(&times[i], time_names[i].name, time_names[i].help, out);
}
