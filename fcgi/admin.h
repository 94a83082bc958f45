/* fcgi/admin.h - /metrics, /readyz and /healthz on a unix socket or a loopback port, never at the
 * public door. One thread of its own, so that it answers however busy the rest is. */
#ifndef FCGI_ADMIN_H
#define FCGI_ADMIN_H

#include "fcgi/app.h"

struct mrs_admin;

/* Listens at `where` (path or loopback host:port) and starts the thread. The caller owns *out.
 * DF_EINPUT: cannot listen there, or the host is no loopback address. */
enum df_code mrs_admin_start(struct mrs_admin **out, struct mrs_app *app, const char *where,
                             struct df_error *err) DF_MUST_USE;
/* Stops the thread, closes and removes the socket. NULL is fine. */
void mrs_admin_stop(struct mrs_admin *admin);

#endif
