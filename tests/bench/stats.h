/* tests/bench/stats.h - percentiles of measured times, and the clock they are taken from. */
#ifndef TESTS_BENCH_STATS_H
#define TESTS_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

/* A growing list of durations in nanoseconds. Zero it to start; one thread at a time. */
struct bench_samples {
    int64_t *ns; /* owned by the list; freed by bench_samples_release */
    size_t count, room;
};

int64_t bench_now_ns(void); /* monotonic */

/* Ends the process when there is no memory: a benchmark has no better answer. */
void bench_samples_add(struct bench_samples *samples, int64_t ns);
/* Sorts the list and returns the duration below which `share` (0..1) of it lies, in milliseconds;
 * 0 when the list is empty. */
double bench_samples_percentile_ms(struct bench_samples *samples, double share);
void bench_samples_release(struct bench_samples *samples);

#endif
