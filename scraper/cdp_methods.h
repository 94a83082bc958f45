/* scraper/cdp_methods.h - the words of the DevTools protocol that we use, and no others. Any
 * thread. */
#ifndef SCRAPER_CDP_METHODS_H
#define SCRAPER_CDP_METHODS_H

#include <stddef.h>

/* The table's own copy of a command's or event's name, which lives for ever, or NULL when it is not
 * in the table. `method` needs no NUL. */
const char *scr_cdp_command(const char *method, size_t method_len);
const char *scr_cdp_event(const char *method, size_t method_len);

#endif
