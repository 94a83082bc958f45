/* fcgi/figures.h - metrics and readiness of monitor-realtime-stream, for its admin door. */
#ifndef FCGI_FIGURES_H
#define FCGI_FIGURES_H

#include "fcgi/admin.h"
#include "fcgi/app.h"

/* app is borrowed and must outlive the door. */
void mrs_figures_source(struct mrs_admin_source *out, struct mrs_app *app);

#endif
