/* scraper/browser.h - the one Chromium of all streams: started over a pipe in its own process group,
 * watched, restarted with back-off, reaped with all its children, its profile folder removed.
 * Loop thread only. */
#ifndef SCRAPER_BROWSER_H
#define SCRAPER_BROWSER_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/cdp.h"
#include "scraper/config.h"
#include "scraper/loop.h"
#include "shared/error.h"

struct scr_browser;

/* What a tab hears from the browser. A member of the tab's struct; linked by _attach. */
struct scr_browser_listener {
    void *arg;
    /* The browser is up and answers (also called soon after _attach when it is up already). */
    void (*on_up)(void *arg);
    /* It is gone: every target, session and context id is void. Comes before the next on_up. */
    void (*on_down)(void *arg, const char *reason);
    /* An event of a flat session that this listener claimed, or of the root session ("") that names
     * this listener's target id in params.targetId. */
    void (*on_event)(void *arg, const char *session_id, const char *method,
                     const struct json_t *params);
    char target_id[64];  /* set by the listener once known; "" before */
    char session_id[64]; /* the same; events of child sessions (frames, workers): see _claim */
    struct scr_browser_listener *next; /* private */
    bool is_told;                      /* private: on_up was called and on_down was not since */
};

struct scr_browser_facts {
    bool is_up;
    char product[64];     /* "HeadlessChrome/156.0.8078.79", "" before the first start */
    char executable[512]; /* what is run */
    bool can_begin_frame; /* headless shell: pages may stay undrawn */
    bool is_sandboxed;
    int pid;              /* 0 when down */
    uint64_t starts;
    int64_t up_since_ms;  /* df_clock_mono_ms */
    int64_t pss_bytes;    /* whole process tree without us; measured every 10 s; 0 before */
    uint64_t strays;      /* pages closed because nobody knew them, ever */
    char trouble[400];    /* why it is down, for people; "" while it is up or was never wanted */
};

/* Finds the executable (CHROME_EXECUTABLE_PATH, chromium-headless-shell, chromium: the real binary,
 * not Debian's wrapper), removes profile folders that dead runs of ours left in the profile root,
 * makes us subreaper. Does not start the browser. The caller owns *out; config is borrowed.
 * DF_ENOTFOUND: no browser; the message says which package to install. */
enum df_code scr_browser_new(struct scr_browser **out, struct scr_loop *loop,
                             const struct scr_config *config, struct df_error *err) DF_MUST_USE;
/* Starts it when it is not running or starting; after a failure or crash it comes back by itself
 * after 0.5, 1, 2, 5, 10, 30 s as long as somebody is attached. */
void scr_browser_want(struct scr_browser *browser);
/* Asks it to close, kills its group after deadline_ms, reaps, removes the profile; blocks that long
 * at most. Then frees. NULL is fine. */
void scr_browser_free(struct scr_browser *browser, int64_t deadline_ms);

void scr_browser_attach(struct scr_browser *browser, struct scr_browser_listener *listener);
void scr_browser_detach(struct scr_browser *browser, struct scr_browser_listener *listener);
/* Events of this further session id (an out-of-process frame, a worker) go to the listener too. */
void scr_browser_claim(struct scr_browser *browser, struct scr_browser_listener *listener,
                       const char *session_id);

/* NULL while it is down. Borrowed; valid until the next on_down. */
struct scr_cdp *scr_browser_cdp(struct scr_browser *browser);
const struct scr_browser_facts *scr_browser_facts(const struct scr_browser *browser);

/* One navigation at a time, NAVIGATION_GAP_MS apart: calls turn(arg) when it is this caller's turn;
 * the caller ends its turn with _navigation_done, or withdraws (same call) before it came. */
void scr_browser_navigation_turn(struct scr_browser *browser, void (*turn)(void *arg), void *arg);
void scr_browser_navigation_done(struct scr_browser *browser, const void *arg);

/* The pages that Chromium says it has against those that listeners know; strays are closed. Runs
 * every minute by itself; the count of strays ever closed goes to /metrics. */
uint64_t scr_browser_strays(const struct scr_browser *browser);

#endif
