/* fcgi/metrics.c - what happened so far, in Prometheus' text format. */
#include "fcgi/metrics.h"

#include <stdatomic.h>

#include "shared/json.h"

static _Atomic uint64_t counters[MRS_COUNTER_COUNT];
static _Atomic uint64_t responses[600];

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
    [MRS_COUNT_RELOADS] = {"reloads", "Reloads by SIGHUP"},
};

/* Upper bounds in microseconds: wide enough for a model server, fine enough for a commit. */
static const int64_t bounds_us[] = {250,   500,    1000,   2500,    5000,    10000,   25000,
                                    50000, 100000, 250000, 1000000, 2500000, 10000000};
enum { BUCKETS = sizeof bounds_us / sizeof bounds_us[0] };

static struct {
    _Atomic uint64_t bucket[BUCKETS + 1];
    _Atomic uint64_t sum_us;
} times[MRS_TIME_COUNT];

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

void mrs_count_response(int http_status)
{
    if (http_status >= 0 && http_status < 600)
        atomic_fetch_add_explicit(&responses[http_status], 1, memory_order_relaxed);
}

void mrs_observe(enum mrs_time what, int64_t elapsed_ns)
{
    int64_t us = elapsed_ns / 1000;
    int i = 0;
    while (i < BUCKETS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&times[what].bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&times[what].sum_us, (uint64_t)us, memory_order_relaxed);
}

static void print_header(struct df_buf *out, const char *name, const char *suffix, const char *type,
                         const char *help)
{
    df_buf_printf(out, "# HELP dealflow_%s%s %s\n# TYPE dealflow_%s%s %s\n", name, suffix, help,
                  name, suffix, type);
}

void mrs_metrics_sample(struct df_buf *out, const char *name, const char *type, const char *help,
                        double value)
{
    print_header(out, name, "", type, help);
    df_buf_printf(out, "dealflow_%s ", name);
    df_json_append_number(out, value);
    df_buf_append_char(out, '\n');
}

static void print_histogram(struct df_buf *out, int which)
{
    const char *name = time_names[which].name;
    uint64_t seen = 0;

    print_header(out, name, "_seconds", "histogram", time_names[which].help);
    for (int i = 0; i < BUCKETS; i++) {
        seen += atomic_load_explicit(&times[which].bucket[i], memory_order_relaxed);
        df_buf_printf(out, "dealflow_%s_seconds_bucket{le=\"%g\"} %llu\n", name,
                      (double)bounds_us[i] / 1e6, (unsigned long long)seen);
    }
    seen += atomic_load_explicit(&times[which].bucket[BUCKETS], memory_order_relaxed);
    df_buf_printf(out, "dealflow_%s_seconds_bucket{le=\"+Inf\"} %llu\n", name,
                  (unsigned long long)seen);
    uint64_t sum = atomic_load_explicit(&times[which].sum_us, memory_order_relaxed);
    df_buf_printf(out, "dealflow_%s_seconds_sum %.6f\ndealflow_%s_seconds_count %llu\n", name,
                  (double)sum / 1e6, name, (unsigned long long)seen);
}

void mrs_metrics_print(struct df_buf *out)
{
    for (int i = 0; i < MRS_COUNTER_COUNT; i++) {
        print_header(out, counter_names[i].name, "_total", "counter", counter_names[i].help);
        df_buf_printf(out, "dealflow_%s_total %llu\n", counter_names[i].name,
                      (unsigned long long)atomic_load_explicit(&counters[i], memory_order_relaxed));
    }
    print_header(out, "responses", "_total", "counter", "Answers by HTTP status");
    for (int status = 0; status < 600; status++) {
        uint64_t n = atomic_load_explicit(&responses[status], memory_order_relaxed);
        if (n > 0)
            df_buf_printf(out, "dealflow_responses_total{status=\"%d\"} %llu\n", status,
                          (unsigned long long)n);
    }
    for (int i = 0; i < MRS_TIME_COUNT; i++)
        print_histogram(out, i);
}
