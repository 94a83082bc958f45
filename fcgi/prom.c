/* fcgi/prom.c - Prometheus' text format. */
#include "fcgi/prom.h"

#include <stdatomic.h>

#include "shared/json.h"

/* Upper bounds in microseconds: wide enough for a model server, fine enough for a commit. */
static const int64_t bounds_us[MRS_HISTOGRAM_BOUNDS] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 2500000, 10000000};

static _Atomic uint64_t responses[600];

void mrs_histogram_observe(struct mrs_histogram *histogram, int64_t elapsed_ns)
{
    int64_t us = elapsed_ns / 1000;
    int i = 0;
    while (i < MRS_HISTOGRAM_BOUNDS && us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&histogram->bucket[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, (uint64_t)us, memory_order_relaxed);
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

void mrs_counter_print(struct df_buf *out, const char *name, const char *help, uint64_t value)
{
    print_header(out, name, "_total", "counter", help);
    df_buf_printf(out, "dealflow_%s_total %llu\n", name, (unsigned long long)value);
}

void mrs_histogram_print(const struct mrs_histogram *histogram, const char *name, const char *help,
                         struct df_buf *out)
{
    uint64_t seen = 0;

    print_header(out, name, "_seconds", "histogram", help);
    for (int i = 0; i < MRS_HISTOGRAM_BOUNDS; i++) {
        seen += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
        df_buf_printf(out, "dealflow_%s_seconds_bucket{le=\"%g\"} %llu\n", name,
                      (double)bounds_us[i] / 1e6, (unsigned long long)seen);
    }
    seen += atomic_load_explicit(&histogram->bucket[MRS_HISTOGRAM_BOUNDS], memory_order_relaxed);
    df_buf_printf(out, "dealflow_%s_seconds_bucket{le=\"+Inf\"} %llu\n", name,
                  (unsigned long long)seen);
    uint64_t sum = atomic_load_explicit(&histogram->sum_us, memory_order_relaxed);
    df_buf_printf(out, "dealflow_%s_seconds_sum %.6f\ndealflow_%s_seconds_count %llu\n", name,
                  (double)sum / 1e6, name, (unsigned long long)seen);
}

void mrs_count_response(int http_status)
{
    if (http_status >= 0 && http_status < 600)
        atomic_fetch_add_explicit(&responses[http_status], 1, memory_order_relaxed);
}

void mrs_responses_print(struct df_buf *out)
{
    print_header(out, "responses", "_total", "counter", "Answers by HTTP status");
    for (int status = 0; status < 600; status++) {
        uint64_t n = atomic_load_explicit(&responses[status], memory_order_relaxed);
        if (n > 0)
            df_buf_printf(out, "dealflow_responses_total{status=\"%d\"} %llu\n", status,
                          (unsigned long long)n);
    }
}
