/* fcgi/io.h - one request as the pipeline sees it, whether it came by FastCGI or plain CGI. */
#ifndef FCGI_IO_H
#define FCGI_IO_H

#include <stddef.h>

/* Filled by a front end (loop.c, cgi.c); `ctx` is its own. All calls come from one thread. */
struct mrs_io {
    void *ctx;
    /* A CGI variable, or NULL; borrowed until the request ends. */
    const char *(*param)(void *ctx, const char *name);
    /* Reads up to len bytes of the body; 0 at its end or when the peer is gone. */
    size_t (*read)(void *ctx, char *buf, size_t len);
};

#endif
