/* scraper/latency.h - how long the last thousand answers took. Pure. */
#ifndef SCRAPER_LATENCY_H
#define SCRAPER_LATENCY_H

#include <stddef.h>
#include <stdint.h>

enum { SCR_LATENCIES = 1000 };

struct scr_latency { /* zeroed: empty */
    float ms[SCR_LATENCIES];
    size_t count, next;
};

void scr_latency_add(struct scr_latency *latency, double ms);
/* The value that this share of them (0..1) does not exceed, rounded up; 0 when there are none. */
int64_t scr_latency_share(const struct scr_latency *latency, double share);

#endif
