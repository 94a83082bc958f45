/* fcgi/prom.h - counters and histograms in Prometheus' text format (version 0.0.4). Any thread, no
 * locks, relaxed atomics: a reading may be a few events behind, never torn. */
#ifndef FCGI_PROM_H
#define FCGI_PROM_H

#include <stdint.h>

#include "shared/buf.h"

enum { MRS_HISTOGRAM_BOUNDS = 13 };

struct mrs_histogram { /* zeroed storage is an empty one */
    _Atomic uint64_t bucket[MRS_HISTOGRAM_BOUNDS + 1];
    _Atomic uint64_t sum_us;
};

void mrs_histogram_observe(struct mrs_histogram *histogram, int64_t elapsed_ns);
/* Appends dealflow_NAME_seconds with HELP and TYPE. */
void mrs_histogram_print(const struct mrs_histogram *histogram, const char *name, const char *help,
                         struct df_buf *out);

/* Counts an answer of the process by its status. */
void mrs_count_response(int http_status);
void mrs_responses_print(struct df_buf *out);

/* Appends HELP and TYPE of dealflow_NAME and one sample. */
void mrs_metrics_sample(struct df_buf *out, const char *name, const char *type, const char *help,
                        double value);
/* The same for a count, as dealflow_NAME_total. */
void mrs_counter_print(struct df_buf *out, const char *name, const char *help, uint64_t value);

#endif
