/* fcgi/metrics.h - counters and latency histograms of the process. Any thread, no locks, relaxed
 * atomics: a reading may be a few events behind, never torn. */
#ifndef FCGI_METRICS_H
#define FCGI_METRICS_H

#include <stdint.h>

#include "fcgi/prom.h"

/* clang-format off */
enum mrs_counter {
    MRS_COUNT_STORED, MRS_COUNT_REPEATED, MRS_COUNT_CAPTURED, MRS_COUNT_IGNORED, MRS_COUNT_ROWS_REFUSED,
    MRS_COUNT_BATCHES, MRS_COUNT_BATCH_ROWS, MRS_COUNT_BATCH_SPLITS,
    MRS_COUNT_ANALYSED_LOCAL, MRS_COUNT_ANALYSED_GATEWAY, MRS_COUNT_ANALYSED_FALLBACK,
    MRS_COUNT_ANALYSED_CACHED, MRS_COUNT_AI_SURE, MRS_COUNT_AI_USERS, MRS_COUNT_AI_WORDS,
    MRS_COUNT_AI_ORDERS, MRS_COUNT_AI_BUDGET,
    MRS_COUNT_REANALYSED, MRS_COUNT_RATE_LIMITED, MRS_COUNT_TOKENS_VERIFIED,
    MRS_COUNT_TOKENS_CACHED, MRS_COUNT_TOKENS_REFUSED, MRS_COUNT_RELOADS,
    MRS_COUNT_WEBHOOKS_DELIVERED, MRS_COUNT_WEBHOOKS_FAILED, MRS_COUNT_WEBHOOKS_REFUSED,
    MRS_COUNT_WEBHOOKS_DEAD,
    MRS_COUNTER_COUNT,
};
enum mrs_time {
    MRS_TIME_REQUEST, /* first byte read to last byte written */
    MRS_TIME_STORE,   /* handed to the store to answered */
    MRS_TIME_COMMIT,  /* one batch at the database */
    MRS_TIME_MODEL,   /* one ask of the model server */
    MRS_TIME_COUNT,
};
/* clang-format on */

void mrs_count(enum mrs_counter counter, uint64_t by);
void mrs_observe(enum mrs_time what, int64_t elapsed_ns);

/* Appends Prometheus text (version 0.0.4) of everything above. */
void mrs_metrics_print(struct df_buf *out);

#endif
