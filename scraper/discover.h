/* scraper/discover.h - which shows are on: opens the index page, reads its links, closes it.
 * Loop thread only. */
#ifndef SCRAPER_DISCOVER_H
#define SCRAPER_DISCOVER_H

#include <stddef.h>
#include <stdint.h>

#include "scraper/browser.h"
#include "scraper/config.h"
#include "scraper/rules.h"

struct scr_show {
    char url[2048];
    char title[256], host[128];
    int64_t viewers; /* -1 unknown; "1.2K" is 1200 */
};

struct scr_discover;

/* Most viewers first, none twice, only allowed addresses. err NULL on success (count may be 0). */
typedef void scr_discover_fn(void *arg, const struct scr_show *show, size_t count,
                             const struct df_error *err);

/* Calls done exactly once within 45 s, unless _cancel came first. */
enum df_code scr_discover_start(struct scr_discover **out, struct scr_loop *loop,
                                struct scr_browser *browser, const struct scr_config *config,
                                const struct scr_rules *rules, scr_discover_fn *done, void *arg,
                                struct df_error *err) DF_MUST_USE;
/* Frees it too; also to be called after done, and from inside it. NULL is fine. */
void scr_discover_cancel(struct scr_discover *discover);

/* What the index page's script returned -> shows. Pure; fuzzed. Returns how many. */
size_t scr_discover_parse(struct scr_show *out, size_t max, const char *json, size_t json_len,
                          const struct scr_config *config);

#endif
