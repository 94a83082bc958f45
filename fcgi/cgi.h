/* fcgi/cgi.h - the same program as a plain CGI script (RFC 3875), e.g. under fcgiwrap. */
#ifndef FCGI_CGI_H
#define FCGI_CGI_H

#include "fcgi/loop.h"

/* Handles the one request of this process on the calling thread; `loop` comes from
 * mrs_loop_new_single(.., service, ..) and stays the caller's. */
void mrs_cgi_run(const struct mrs_service *service, struct mrs_loop *loop);

#endif
