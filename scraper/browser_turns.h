/* scraper/browser_turns.h - one navigation at a time, with a gap between their starts: many pages
 * that load at once starve each other, and look like an attack. Loop thread. */
#ifndef SCRAPER_BROWSER_TURNS_H
#define SCRAPER_BROWSER_TURNS_H

#include <stdint.h>

#include "scraper/loop.h"

struct scr_turns;

/* Who keeps a turn for hold_ms loses it, so that one forgotten end cannot stop all others.
 * The caller owns *out. DF_ENOMEM. */
enum df_code scr_turns_new(struct scr_turns **out, struct scr_loop *loop, int64_t gap_ms,
                           int64_t hold_ms, struct df_error *err) DF_MUST_USE;
void scr_turns_free(struct scr_turns *turns); /* NULL is fine; who waits is forgotten */
/* turn(arg) is called later, never from inside this call. */
void scr_turns_ask(struct scr_turns *turns, void (*turn)(void *arg), void *arg);
/* Ends arg's turn, or takes all its requests back. */
void scr_turns_done(struct scr_turns *turns, const void *arg);

#endif
