/* fcgi/background.h - work that nobody waits for: asks the model server again about verdicts that
 * the embedded model gave while the server failed, leases the day's budget, and trims the change log. A thread and a
 * connection of its own; rows are claimed with skip locked, so any number of programs may share the
 * work. */
#ifndef FCGI_BACKGROUND_H
#define FCGI_BACKGROUND_H

#include "fcgi/app.h"

struct mrs_background;

/* Starts the thread. The caller owns *out. DF_ENOMEM. */
enum df_code mrs_background_start(struct mrs_background **out, struct mrs_app *app,
                                  struct df_error *err) DF_MUST_USE;
/* Waits for the ask under way (its deadline bounds that), joins. NULL is fine. */
void mrs_background_stop(struct mrs_background *background);

#endif
