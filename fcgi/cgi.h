/* fcgi/cgi.h - the same program as a plain CGI script (RFC 3875), e.g. under fcgiwrap. */
#ifndef FCGI_CGI_H
#define FCGI_CGI_H

#include "fcgi/app.h"

/* Handles the one request of this process on the calling thread. DF_ENOMEM. */
enum df_code mrs_cgi_run(struct mrs_app *app, struct df_error *err) DF_MUST_USE;

#endif
