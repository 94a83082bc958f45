/* scraper/browser_launch.h - which Chromium, with which flags, in what surroundings. Knows nothing of
 * the protocol. Loop thread: the browser dies with the thread that started it. */
#ifndef SCRAPER_BROWSER_LAUNCH_H
#define SCRAPER_BROWSER_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "scraper/config.h"
#include "shared/error.h"

struct scr_launch {
    char executable[512];
    char folder[512];  /* where it really lies, links followed: all its processes run from there */
    bool is_shell;     /* chromium-headless-shell rather than the full browser */
    bool is_sandboxed; /* started without --no-sandbox */
};

/* Chooses the executable and whether the sandbox is used, and logs a warning when it is not.
 * DF_ENOTFOUND: no browser; the message says what to install or set. */
enum df_code scr_launch_prepare(struct scr_launch *out, const struct scr_config *config,
                                struct df_error *err) DF_MUST_USE;

struct scr_launched {
    pid_t pid;     /* also its process group */
    int read_fd;   /* what the browser writes to its descriptor 4 */
    int write_fd;  /* what it reads from its descriptor 3 */
    int stderr_fd; /* non-blocking */
};

/* Starts it with a profile folder. The caller owns the descriptors and reaps the process.
 * DF_EUNAVAILABLE: no descriptors, processes or room for shared memory. DF_ENOMEM. */
enum df_code scr_launch_start(struct scr_launched *out, const struct scr_launch *launch,
                              const struct scr_config *config, const char *profile,
                              struct df_error *err) DF_MUST_USE;

/* Splits flags at blanks; single and double quotes keep blanks together and are dropped. Writes at most
 * max pointers to heap strings. False: out of room or memory (what was written is still the caller's to
 * free), or a quote is not closed. */
bool scr_launch_split_flags(const char *text, char **out, size_t max, size_t *count);

#endif
