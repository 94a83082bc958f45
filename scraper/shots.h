/* scraper/shots.h - pictures of a page for support: a ring of PNG files in one folder, at most one
 * picture a minute of one page. Loop thread only. */
#ifndef SCRAPER_SHOTS_H
#define SCRAPER_SHOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/config.h"
#include "scraper/tab.h"

enum { SCR_SHOT_GAP_MS = 60000 };

struct scr_shots { /* one per session; zero is empty */
    const struct scr_config *config;
    char name[64]; /* of the stream, part of the file names */
    int64_t last_ms;
    bool is_busy;
};

/* Takes a picture when DEALFLOW_SAVE_SCREENSHOT is on and the last one is old enough. */
void scr_shots_take(struct scr_shots *shots, struct scr_tab *tab, const char *why);

/* Writes bytes to folder/name-time-why.png and removes the oldest files of ours beyond `keep`.
 * path (may be NULL) gets the file's name. DF_EUNAVAILABLE says what could not be written. */
enum df_code scr_shots_write(const char *folder, size_t keep, const char *name, const char *why,
                             const void *png, size_t png_len, char *path, size_t path_size,
                             struct df_error *err) DF_MUST_USE;

#endif
