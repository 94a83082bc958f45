/* scraper/monitor.h - the sessions: which streams are watched for whom. Takes what the API asks, what
 * tabs see and what the outbox has committed, and tells the clients. Loop thread only. */
#ifndef SCRAPER_MONITOR_H
#define SCRAPER_MONITOR_H

#include "scraper/browser.h"
#include "scraper/config.h"
#include "scraper/delivery.h"
#include "scraper/rules.h"
#include "scraper/server.h"
#include "shared/intent.h"

struct scr_monitor;

struct scr_monitor_parts { /* all borrowed and alive until scr_monitor_free */
    struct scr_loop *loop;
    const struct scr_config *config;
    struct scr_browser *browser;
    struct scr_delivery *delivery;
    const struct scr_rules *rules;
    const struct df_intent_model *model;
};

/* The caller owns *out. DF_ENOMEM, DF_EUNAVAILABLE. */
enum df_code scr_monitor_new(struct scr_monitor **out, const struct scr_monitor_parts *parts,
                             struct df_error *err) DF_MUST_USE;
/* Closes every page; what is watched stays in the outbox and is watched again after the next start.
 * NULL is fine. */
void scr_monitor_free(struct scr_monitor *monitor);

/* What the server calls; arg is the monitor. */
void scr_monitor_handlers(struct scr_monitor *monitor, struct scr_server_handlers *out);
/* The server to talk through, before anything is started. */
void scr_monitor_set_server(struct scr_monitor *monitor, struct scr_server *server);
/* New rules for pages that are opened from now on; the old ones must stay alive. */
void scr_monitor_set_rules(struct scr_monitor *monitor, const struct scr_rules *rules);
/* Watches again what was being watched when the last run ended. Returns how many sessions. */
size_t scr_monitor_resume(struct scr_monitor *monitor);

#endif
