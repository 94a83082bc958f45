/* fcgi/reanalyze.h - asks the model server again about verdicts that the embedded model gave while
 * the server failed. A thread and a connection of its own; rows are claimed with skip locked, so any
 * number of programs may share the work. */
#ifndef FCGI_REANALYZE_H
#define FCGI_REANALYZE_H

#include "fcgi/app.h"

struct mrs_reanalyzer;

/* Starts the thread. app->gateway must not be NULL. The caller owns *out. */
enum df_code mrs_reanalyzer_start(struct mrs_reanalyzer **out, struct mrs_app *app,
                                  struct df_error *err) DF_MUST_USE;
/* Waits for the ask under way (its deadline bounds that), joins. NULL is fine. */
void mrs_reanalyzer_stop(struct mrs_reanalyzer *reanalyzer);

#endif
