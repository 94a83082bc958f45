/* scraper/browser_stderr.h - what Chromium complains about: passed on to the debug log, and the
 * line that explains a failed start is remembered. Loop thread. */
#ifndef SCRAPER_BROWSER_STDERR_H
#define SCRAPER_BROWSER_STDERR_H

#include <stdbool.h>
#include <stddef.h>

#include "scraper/loop.h"

struct scr_stderr {
    struct scr_loop *loop;
    struct scr_watch watch;
    char line[400]; /* what came of the current line, cut */
    size_t len;
    char last[400];  /* the line that says most about why it ended; "" when it said nothing */
    bool is_telling; /* `last` names a cause: later noise does not replace it */
};

/* Takes the descriptor, which must be non-blocking. */
void scr_stderr_open(struct scr_stderr *out, struct scr_loop *loop, int fd);
void scr_stderr_read(struct scr_stderr *from);  /* all there is now */
void scr_stderr_close(struct scr_stderr *from); /* fine when not open */

/* Takes in bytes as if they had been read; also what _read does. */
void scr_stderr_feed(struct scr_stderr *from, const char *bytes, size_t len);

#endif
