/* shared/clock.h - the two clocks. Durations come from the monotonic one; wall time appears only
 * at the edges (a row, a log line, a token's expiry). Any thread; never fail. */
#ifndef SHARED_CLOCK_H
#define SHARED_CLOCK_H

#include <stdint.h>

int64_t df_clock_mono_ns(void);
int64_t df_clock_mono_ms(void);
int64_t df_clock_wall_ms(void); /* milliseconds since 1970-01-01T00:00:00Z */

#endif
