/* scraper/cors.h - which web pages may call: CORS_ORIGINS. Pure. */
#ifndef SCRAPER_CORS_H
#define SCRAPER_CORS_H

#include <stdbool.h>

/* list: "*" or origins separated by commas; origin: the request's header, NULL or "" when it has
 * none (no browser: allowed). */
bool scr_cors_allows(const char *list, const char *origin);
/* The value of Access-Control-Allow-Origin: "*", the origin itself, or NULL for none. */
const char *scr_cors_value(const char *list, const char *origin);

#endif
