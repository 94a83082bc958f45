/* scraper/browser_profile.h - the folders that Chromium writes to: one for each start, below one root,
 * named after the daemon that made it so that a dead daemon's folders can be told from a living one's.
 * Any thread, one at a time; blocks on the file system. */
#ifndef SCRAPER_BROWSER_PROFILE_H
#define SCRAPER_BROWSER_PROFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

/* Makes the root (mode 0700, parents too) when it is missing, and removes what dead daemons left in it.
 * DF_EDENIED: the root is a link, no folder, not ours, or others may write to it: whoever can put files
 * into a profile owns the browser. DF_EUNAVAILABLE: cannot be made or read. */
enum df_code scr_profile_root_open(const char *root, struct df_error *err) DF_MUST_USE;

/* Makes a new folder ROOT/run-PID-TICKS-N with a folder tmp in it and writes its path to out.
 * DF_EUNAVAILABLE, DF_ETOOBIG (out is too small). */
enum df_code scr_profile_new(const char *root, char *out, size_t out_size,
                             struct df_error *err) DF_MUST_USE;

/* Removes a folder and all in it, without following links. False when something is left: a browser
 * that is being killed may still be writing; try again. */
bool scr_profile_remove(const char *path);

#endif
