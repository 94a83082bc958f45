/* scraper/rules.h - what we know about the layout of the site, from a JSON file that an operator can
 * change without a compiler (page/rules.json; SCRAPER_RULES_FILE). Read at start and on SIGHUP. */
#ifndef SCRAPER_RULES_H
#define SCRAPER_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

struct scr_rules; /* immutable after _load; loop thread */

/* path NULL: the file installed beside the program (../share/dealflow/scraper-rules.json).
 * The caller owns *out. DF_ENOTFOUND, DF_EINPUT (names the key at fault). */
enum df_code scr_rules_load(struct scr_rules **out, const char *path, struct df_error *err) DF_MUST_USE;
void scr_rules_free(struct scr_rules *rules);

/* Does the address of a page's socket carry the chat? (path patterns; the query is not looked at) */
bool scr_rules_is_live_socket(const struct scr_rules *rules, const char *url);
/* Does a page text or title look like a wall ("Just a moment", ...)? The matching entry, or NULL. */
const char *scr_rules_wall(const struct scr_rules *rules, const char *text);
/* Addresses to block (images, fonts, media): a NULL-terminated list for Network.setBlockedURLs. */
const char *const *scr_rules_blocked(const struct scr_rules *rules);
/* The source of the isolated-world script with these rules in it (page/observer.js); borrowed. */
const char *scr_rules_page_script(const struct scr_rules *rules);
/* The expression that lists the shows of an index page, for Runtime.evaluate; borrowed. */
const char *scr_rules_discover_script(const struct scr_rules *rules);

#endif
