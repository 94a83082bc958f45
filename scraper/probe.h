/* scraper/probe.h - `dealflow-scraper --probe URL`: what would be read from this page, and how. */
#ifndef SCRAPER_PROBE_H
#define SCRAPER_PROBE_H

#include "scraper/config.h"
#include "scraper/rules.h"
#include "shared/intent.h"

/* Opens the page in a browser of its own, says on stdout what happens, prints ten messages, saves a
 * picture to the current folder. Returns the exit status: 0 when chat was read, 1 when not. */
int scr_probe_run(const struct scr_config *config, const struct scr_rules *rules,
                  const struct df_intent_model *model, const char *url);

#endif
