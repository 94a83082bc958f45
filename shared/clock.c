/* shared/clock.c - CLOCK_MONOTONIC and CLOCK_REALTIME in the units we use. */
#include "shared/clock.h"

#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t = {0};
    (void)clock_gettime(id, &t); /* cannot fail for these two clocks */
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t df_clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

int64_t df_clock_mono_ms(void)
{
    return read_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t df_clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000;
}
