/* fcgi/cgi.c - plain CGI: one request from environment and standard input. */
#include "fcgi/cgi.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fcgi/pipeline.h"

struct cgi {
    size_t left; /* of CONTENT_LENGTH: a CGI program must not read past it (RFC 3875 4.2) */
};

static const char *cgi_param(void *ctx, const char *name)
{
    (void)ctx;
    return getenv(name);
}

static size_t cgi_read(void *ctx, char *buf, size_t len)
{
    struct cgi *cgi = ctx;
    if (len > cgi->left)
        len = cgi->left;
    if (len == 0)
        return 0;
    ssize_t n;
    do {
        n = read(STDIN_FILENO, buf, len);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return 0;
    cgi->left -= (size_t)n;
    return (size_t)n;
}

static bool cgi_write(void *ctx, const char *buf, size_t len)
{
    (void)ctx;
    while (len > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        buf += n;
        len -= (size_t)n;
    }
    return true;
}

void mrs_cgi_run(struct mrs_app *app)
{
    const char *length = getenv("CONTENT_LENGTH");
    struct cgi cgi = {.left = length == NULL ? 0 : strtoul(length, NULL, 10)};
    const struct mrs_io io = {&cgi, cgi_param, cgi_read, cgi_write};
    struct mrs_scratch scratch;

    mrs_scratch_init(&scratch);
    mrs_pipeline_run(app, &io, &scratch);
    mrs_scratch_release(&scratch);
}
