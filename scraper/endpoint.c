/* scraper/endpoint.c - the meaning of answers, and the pauses after bad ones. */
#include "scraper/endpoint.h"

#define DOWN_FIRST_MS      250
#define DOWN_MAX_MS        30000
#define REFUSED_FIRST_MS   30000
#define REFUSED_MAX_MS     300000
#define RETRY_AFTER_MAX_MS 3600000 /* a slip of the other end must not stop us for days */

enum scr_verdict scr_verdict_of(int status)
{
    if (status >= 200 && status < 300)
        return SCR_DELIVERED;
    switch (status) {
    case 400:
    case 409:
    case 413:
        return SCR_DEAD;
    case 401:
    case 402:
        return SCR_PARK_ALL;
    case 408:
    case 425:
    case 429:
        return SCR_RETRY;
    default:
        break;
    }
    if (status >= 300 && status < 400) /* not followed: the key would go to a stranger */
        return SCR_PARK_ALL;
    if (status >= 400 && status < 500)
        return SCR_PARK_LANE;
    return SCR_RETRY;
}

static int64_t shaken(int64_t ms, double jitter)
{
    return (int64_t)((double)ms * (0.8 + 0.4 * jitter));
}

static int64_t clamp(int64_t value, int64_t min, int64_t max)
{
    return value < min ? min : value > max ? max : value;
}

void scr_endpoint_failed(struct scr_endpoint *endpoint, enum scr_verdict verdict, int status,
                         int64_t retry_after_ms, int64_t now_ms, double jitter)
{
    bool is_refusing = verdict == SCR_PARK_ALL;
    int64_t pause_ms = 0;

    if (!endpoint->is_down || endpoint->is_refusing != is_refusing)
        endpoint->down_since_ms = now_ms;
    endpoint->is_down = true;
    endpoint->is_refusing = is_refusing;
    endpoint->status = status;
    endpoint->failed_ms = now_ms;
    /* A share of the time it has been down: coming back late costs at most that share, and a long
     * outage is asked rarely. Over a minute that makes as many tries as doubling to 8 s would. */
    if (is_refusing)
        pause_ms = clamp((now_ms - endpoint->down_since_ms) / 2, REFUSED_FIRST_MS, REFUSED_MAX_MS);
    else
        pause_ms = clamp((now_ms - endpoint->down_since_ms) / 4, DOWN_FIRST_MS, DOWN_MAX_MS);
    pause_ms = shaken(pause_ms, jitter);
    if (!is_refusing && pause_ms > DOWN_MAX_MS)
        pause_ms = DOWN_MAX_MS;
    if (retry_after_ms > pause_ms) /* never earlier than asked */
        pause_ms = clamp(retry_after_ms, 0, RETRY_AFTER_MAX_MS);
    endpoint->next_try_ms = now_ms + pause_ms;
}

bool scr_endpoint_answered(struct scr_endpoint *endpoint, int64_t began_ms)
{
    if (!endpoint->is_down || began_ms <= endpoint->failed_ms)
        return false;
    endpoint->is_down = false;
    endpoint->is_refusing = false;
    return true;
}

int64_t scr_backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms, double jitter)
{
    int64_t ms = first_ms;

    for (unsigned i = 1; i < failures && ms < max_ms; i++)
        ms *= 2;
    ms = shaken(ms, jitter);
    return ms > max_ms ? max_ms : ms;
}
