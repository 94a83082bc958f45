/* fcgi/cgi.h - the same program as a plain CGI script (RFC 3875), e.g. under fcgiwrap. */
#ifndef FCGI_CGI_H
#define FCGI_CGI_H

#include "fcgi/app.h"

/* Handles the one request of this process on the calling thread. */
void mrs_cgi_run(struct mrs_app *app);

#endif
