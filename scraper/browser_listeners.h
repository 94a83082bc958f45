/* scraper/browser_listeners.h - who hears what from the browser. Loop thread. */
#ifndef SCRAPER_BROWSER_LISTENERS_H
#define SCRAPER_BROWSER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>

#include "scraper/browser.h"

struct scr_claim;

/* Zero it before first use; end with _release. A listener may add and remove itself and others from
 * inside any of its callbacks. */
struct scr_listeners {
    struct scr_browser_listener *first;
    struct scr_browser_listener *cursor; /* who is told next; moves on when that one is removed */
    struct scr_claim *claims;
    size_t claim_count, claim_capacity;
};

void scr_listeners_add(struct scr_listeners *all, struct scr_browser_listener *listener);
void scr_listeners_remove(struct scr_listeners *all, struct scr_browser_listener *listener);
void scr_listeners_claim(struct scr_listeners *all, struct scr_browser_listener *listener,
                         const char *session_id);
void scr_listeners_release(struct scr_listeners *all);

/* Tells those that were not told since the last _down. */
void scr_listeners_up(struct scr_listeners *all);
/* Tells those that were told of the last _up; their ids and claims are void. */
void scr_listeners_down(struct scr_listeners *all, const char *reason);
/* Passes an event on to the one it concerns, if any. */
void scr_listeners_event(struct scr_listeners *all, const char *session_id, const char *method,
                         const struct json_t *params);
bool scr_listeners_know(const struct scr_listeners *all, const char *target_id);

#endif
