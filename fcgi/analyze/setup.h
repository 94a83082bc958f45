/* fcgi/analyze/setup.h - from the settings to a database, a model server and a re-analysis. */
#ifndef FCGI_ANALYZE_SETUP_H
#define FCGI_ANALYZE_SETUP_H

#include "fcgi/analyze/options.h"

/* Runs --session as the options say, with the settings of the environment, the same that the
 * function reads. Main thread. DF_EINPUT: a setting; else as an_session_run. */
enum df_code an_setup_and_run(struct an_options *options, struct df_error *err) DF_MUST_USE;

#endif
