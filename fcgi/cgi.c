/* fcgi/cgi.c - plain CGI: one request from environment and standard input. */
#include "fcgi/cgi.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

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

static void write_answer(const struct df_buf *answer)
{
    for (size_t sent = 0; sent < answer->len;) {
        ssize_t n = write(STDOUT_FILENO, answer->data + sent, answer->len - sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* the web server is gone */
        sent += (size_t)n;
    }
}

void mrs_cgi_run(const struct mrs_service *service, struct mrs_loop *loop)
{
    const char *length = getenv("CONTENT_LENGTH");
    struct cgi cgi = {.left = length == NULL ? 0 : strtoul(length, NULL, 10)};
    const struct mrs_io io = {&cgi, cgi_param, cgi_read};
    struct mrs_call *call = mrs_loop_call_new(loop, &io);

    if (call == NULL)
        return; /* without an answer the web server says 502 or 503 */
    enum mrs_progress progress = service->start(call);
    while (progress == MRS_WAITING)
        progress = service->resume(mrs_loop_wait_single(loop));
    write_answer(call->reply);
    free(call);
}
