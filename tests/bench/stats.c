/* tests/bench/stats.c - see stats.h. */
#include "tests/bench/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_samples_add(struct bench_samples *samples, int64_t ns)
{
    if (samples->count == samples->room) {
        size_t room = samples->room == 0 ? 4096 : samples->room * 2;
        int64_t *grown = reallocarray(samples->ns, room, sizeof *grown);

        if (grown == NULL) {
            perror("bench: samples");
            exit(70);
        }
        samples->ns = grown;
        samples->room = room;
    }
    samples->ns[samples->count++] = ns;
}

static int compare_ns(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left;
    int64_t b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

double bench_samples_percentile_ms(struct bench_samples *samples, double share)
{
    size_t at;

    if (samples->count == 0)
        return 0.0;
    qsort(samples->ns, samples->count, sizeof *samples->ns, compare_ns);
    at = (size_t)(share * (double)(samples->count - 1) + 0.5);
    return (double)samples->ns[at] / 1e6;
}

void bench_samples_release(struct bench_samples *samples)
{
    free(samples->ns);
    samples->ns = NULL;
    samples->count = samples->room = 0;
}
