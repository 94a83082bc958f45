/* scraper/endpoint.h - what an answer of the function means, and when to ask again. Pure; times are
 * passed in. */
#ifndef SCRAPER_ENDPOINT_H
#define SCRAPER_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

enum scr_verdict {
    SCR_DELIVERED,
    SCR_DEAD,      /* 400, 409, 413: this line will never be taken */
    SCR_PARK_LANE, /* 403, 404 and other refusals: this session is not taken now */
    SCR_PARK_ALL,  /* 401, 402, redirects: nothing is taken until somebody mends the settings */
    SCR_RETRY,     /* 408, 429, 5xx, no answer */
};

/* status 0: no answer came. Source: the function's contract, answers of POST. */
enum scr_verdict scr_verdict_of(int status);

/* The other end as a whole. While it is down one post at a time asks whether it is back. */
struct scr_endpoint {
    bool is_down, is_refusing; /* refusing: down by SCR_PARK_ALL */
    int status;                /* of the last failure, 0: no answer */
    int64_t down_since_ms, failed_ms, next_try_ms;
};

/* A failure that is the other end's; retry_after_ms 0: it named no time. jitter: 0..1. */
void scr_endpoint_failed(struct scr_endpoint *endpoint, enum scr_verdict verdict, int status,
                         int64_t retry_after_ms, int64_t now_ms, double jitter);
/* An answer that shows it alive, to a post that began then: before the last failure it says nothing
 * about now. True when it was down and is not any more. */
bool scr_endpoint_answered(struct scr_endpoint *endpoint, int64_t began_ms);

/* How long to wait before a line (or a parked session) is tried again, after so many failures of its
 * own: from first_ms, doubling, to max_ms; a fifth more or less by jitter. */
int64_t scr_backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms, double jitter);

#endif
