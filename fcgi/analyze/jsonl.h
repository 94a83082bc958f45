/* fcgi/analyze/jsonl.h - `dealflow-analyze --jsonl`: verdicts for a stream of chat lines. */
#ifndef FCGI_ANALYZE_JSONL_H
#define FCGI_ANALYZE_JSONL_H

#include <stdint.h>

#include "shared/intent.h"

#define AN_JSONL_LINE_MAX_BYTES ((size_t)64 << 20)

struct an_jsonl_totals {
    uint64_t lines;
    uint64_t bad; /* lines that could not be read, answered as no buyer */
};

/* Reads lines from in_fd to its end and writes one verdict line each to out_fd, in order. What is
 * ready is written before waiting for more input, so a program at the other end of two pipes gets
 * its answer at once. A line that cannot be read, or is longer than AN_JSONL_LINE_MAX_BYTES, is
 * answered with an_no_verdict and its reason goes to stderr (the first hundred; all are counted).
 * Memory grows with the longest line only. Any thread.
 * DF_EUNAVAILABLE: reading or writing failed, err->msg says how. DF_ENOMEM. */
enum df_code an_jsonl_run(const struct df_intent_model *model, int in_fd, int out_fd,
                          struct an_jsonl_totals *totals, struct df_error *err) DF_MUST_USE;

#endif
