/* fcgi/worker.h - threads that take FastCGI requests. A kept connection of nginx pins one thread, so
 * there may be many; they start when the last idle one gets work, and leave when too many idle. */
#ifndef FCGI_WORKER_H
#define FCGI_WORKER_H

#include "fcgi/app.h"

/* Starts the first workers on a listening socket (made non-blocking here); up to max_workers follow
 * as they are needed. FCGX_Init must have run. DF_ENOMEM: no thread could be started. */
enum df_code mrs_workers_start(struct mrs_app *app, int listen_fd, int64_t max_workers,
                               struct df_error *err) DF_MUST_USE;

#endif
