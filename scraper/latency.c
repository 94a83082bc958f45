/* scraper/latency.c - a ring of latencies and its quantiles. */
#include "scraper/latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void scr_latency_add(struct scr_latency *latency, double ms)
{
    latency->ms[latency->next] = (float)ms;
    latency->next = (latency->next + 1) % SCR_LATENCIES;
    if (latency->count < SCR_LATENCIES)
        latency->count++;
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

int64_t scr_latency_share(const struct scr_latency *latency, double share)
{
    float sorted[SCR_LATENCIES];
    size_t n = latency->count;

    if (n == 0)
        return 0;
    memcpy(sorted, latency->ms, n * sizeof sorted[0]);
    qsort(sorted, n, sizeof sorted[0], by_size);
    size_t at = (size_t)(share * (double)n);
    return (int64_t)ceil((double)sorted[at < n ? at : n - 1]);
}
