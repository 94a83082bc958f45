/* scraper/tab.h - one watched page: its life cycle from opening to ended, its sources of chat, its
 * recovery. Loop thread only. The states are those that clients see. */
#ifndef SCRAPER_TAB_H
#define SCRAPER_TAB_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/address.h"
#include "scraper/browser.h"
#include "scraper/config.h"
#include "scraper/line.h"
#include "scraper/rules.h"

enum scr_state {
    SCR_OPENING,
    SCR_LOADING,
    SCR_WAITING_CHAT,
    SCR_LIVE,
    SCR_QUIET,
    SCR_DEGRADED,
    SCR_BLOCKED,
    SCR_ENDED,
    SCR_RECOVERING,
    SCR_CLOSED, /* never a tab's own: its owner's word for one that it has freed */
    SCR_FAILED, /* gave up: 3 failed openings, or 6 recoveries in 10 minutes */
};
const char *scr_state_name(enum scr_state state); /* "opening", "waiting_chat", ... */

struct scr_tab_facts {
    enum scr_state state;
    char reason[160];       /* of the last change, for people; "" when plain */
    int64_t state_since_ms; /* wall clock */
    enum scr_source source;
    char strategy[32]; /* of the document reader, "" before it found a list */
    bool is_drawn;     /* false: undrawn page (begin-frame control) */
    char title[256], host[128];
    int64_t viewers; /* -1 unknown */
    int http_status; /* of the document, 0 before */
    int64_t last_line_ms, last_life_ms; /* wall clock, 0: never */
    uint64_t frames, frames_malformed, reports_malformed, recoveries, navigations, frame_gaps;
    int64_t opened_ms; /* monotonic: when this target was made */
    int64_t heap_bytes; /* page's script heap at the last look */
};

struct scr_tab_callbacks {
    void *arg;
    /* State or reason changed; facts are current. May close the tab (scr_tab_free) only for itself by
     * a timer of 0 ms, never from inside a callback. */
    void (*on_state)(void *arg, enum scr_state from, enum scr_state to);
    void (*on_facts)(void *arg);                                /* title, host or viewers changed */
    void (*on_lines)(void *arg, const struct scr_lines *lines); /* judged by the session */
    void (*on_life)(void *arg); /* a sign of life other than chat: joins, viewer changes, sales */
};

struct scr_tab;

/* Opens a page as soon as the browser is up (and asks for the browser). address, rules, config are
 * borrowed until _free, address is copied. The caller owns *out. DF_ENOMEM. */
enum df_code scr_tab_new(struct scr_tab **out, struct scr_loop *loop, struct scr_browser *browser,
                         const struct scr_config *config, const struct scr_rules *rules,
                         const struct scr_address *address, const struct scr_tab_callbacks *callbacks,
                         struct df_error *err) DF_MUST_USE;
/* Closes the page and its context; no callback comes after. NULL is fine. */
void scr_tab_free(struct scr_tab *tab);

const struct scr_tab_facts *scr_tab_facts(const struct scr_tab *tab);
const struct scr_address *scr_tab_address(const struct scr_tab *tab);

/* The PNG of the page, drawn for the purpose when it is undrawn; done once, within 5 s, or 20 s when an
 * undrawn page has to wait for others that are loading. png is borrowed, NULL on failure. done may be
 * called before this function returns. At most one at a time: DF_EBUSY. */
typedef void scr_tab_png_fn(void *arg, const unsigned char *png, size_t png_len,
                            const struct df_error *err);
void scr_tab_screenshot(struct scr_tab *tab, scr_tab_png_fn *done, void *arg);

#endif
