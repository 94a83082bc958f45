/* scraper/tab_limits.h - how often and after which pauses a page may be tried again. Pure; times in
 * milliseconds of the monotonic clock, passed in. */
#ifndef SCRAPER_TAB_LIMITS_H
#define SCRAPER_TAB_LIMITS_H

#include <stddef.h>
#include <stdint.h>

enum {
    SCR_OPENINGS_MAX = 3,    /* failed openings in a row: then the page is given up */
    SCR_RECOVERIES_MAX = 6,  /* within the window: then the page is given up */
    SCR_NAVIGATIONS_MAX = 6, /* within the window: then the next one waits */
    SCR_WINDOW_SLOTS = 6,
};
#define SCR_WINDOW_MS 600000

/* When the newest few things of a kind happened. Zero it before first use. */
struct scr_window {
    int64_t at_ms[SCR_WINDOW_SLOTS]; /* ring; oldest overwritten */
    size_t next, used;
};

void scr_window_add(struct scr_window *window, int64_t now_ms);
/* How many of the newest SCR_WINDOW_SLOTS happened during the last SCR_WINDOW_MS. */
size_t scr_window_count(const struct scr_window *window, int64_t now_ms);
/* How long until fewer than SCR_WINDOW_SLOTS of them are that young; 0: they are now. */
int64_t scr_window_wait_ms(const struct scr_window *window, int64_t now_ms);

/* The pause before opening anew after the nth recovery (0 the first), and before the nth look at a
 * wall; beyond the end of the table its last entry. */
int64_t scr_recovery_pause_ms(size_t nth);
int64_t scr_blocked_pause_ms(size_t nth);
/* A page in which no chat is found is loaded anew after this; later ones are rarer. */
int64_t scr_reload_pause_ms(size_t nth);

#endif
