/* scraper/browser_watch.h - looks after a browser that is up: does it answer, how much memory does
 * it take, has it pages that nobody knows. Loop thread. */
#ifndef SCRAPER_BROWSER_WATCH_H
#define SCRAPER_BROWSER_WATCH_H

#include <stdint.h>

#include "scraper/browser.h"
#include "scraper/browser_listeners.h"

struct scr_browser_watch;

/* Everything is borrowed until _free; facts->pss_bytes and facts->strays are written. on_hang is
 * called when the browser has not answered three times in a row; it may free the watch. The caller
 * owns *out. DF_ENOMEM. */
enum df_code scr_browser_watch_new(struct scr_browser_watch **out, struct scr_loop *loop,
                                   struct scr_cdp *cdp, const struct scr_listeners *listeners,
                                   struct scr_browser_facts *facts,
                                   void (*on_hang)(void *arg, const char *reason), void *arg,
                                   struct df_error *err) DF_MUST_USE;
void scr_browser_watch_free(struct scr_browser_watch *watch); /* before the cdp; NULL is fine */
/* An event of the root session: pages that open pages are noticed here. */
void scr_browser_watch_event(struct scr_browser_watch *watch, const char *method,
                             const struct json_t *params);

#endif
