/* fcgi/webhooks.h - sends captured sales to their owners' webhook_url: takes deliveries that are
 * due from public.webhook_deliveries, calls, writes down how it went. A thread and a connection of
 * its own; rows are claimed with skip locked and a lease, so any number of programs may share the
 * work, and a killed one's deliveries are taken again when the lease ends (at least once). */
#ifndef FCGI_WEBHOOKS_H
#define FCGI_WEBHOOKS_H

#include "fcgi/app.h"

struct mrs_webhooks;

/* Starts the thread; with WEBHOOKS=off nothing, and *out is NULL. curl_global_init must have run.
 * The caller owns *out. DF_ENOMEM. */
enum df_code mrs_webhooks_start(struct mrs_webhooks **out, struct mrs_app *app,
                                struct df_error *err) DF_MUST_USE;
/* Breaks off calls under way (their deliveries are due again at once), joins. NULL is fine. */
void mrs_webhooks_stop(struct mrs_webhooks *webhooks);

#endif
