/* fcgi/admin.h - /metrics, /readyz and /healthz on a unix socket or a loopback port, never at the
 * public door. One thread of its own, so that it answers however busy the rest is. */
#ifndef FCGI_ADMIN_H
#define FCGI_ADMIN_H

#include <stdbool.h>

#include "shared/buf.h"
#include "shared/error.h"

struct mrs_admin;

/* What it tells about the program; both are called on its thread. */
struct mrs_admin_source {
    void *ctx;
    void (*print)(void *ctx, struct df_buf *out); /* Prometheus text */
    bool (*is_ready)(void *ctx);
};

/* Listens at `where` (path or loopback host:port) and starts the thread. The caller owns *out.
 * DF_EINPUT: cannot listen there, or the host is no loopback address. */
enum df_code mrs_admin_start(struct mrs_admin **out, const struct mrs_admin_source *source,
                             const char *where, struct df_error *err) DF_MUST_USE;
/* Stops the thread, closes and removes the socket. NULL is fine. */
void mrs_admin_stop(struct mrs_admin *admin);

#endif
