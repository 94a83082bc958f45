/* scraper/browser_stderr.c - splits Chromium's complaints into lines and weighs them. */
#include "scraper/browser_stderr.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "shared/log.h"

enum { READS_MAX = 16 };

/* Chromium grumbles about the desktop it does not find; this is what it says before it gives up. */
static bool names_a_cause(const char *line)
{
    static const char *const signs[] = {"FATAL",
                                        "error while loading shared libraries",
                                        "cannot be executed",
                                        "not found (required by",
                                        "Missing X server",
                                        "Running as root without"};

    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (strstr(line, signs[i]) != NULL)
            return true;
    return false;
}

static void end_line(struct scr_stderr *from)
{
    char quoted[sizeof from->line + 2];

    from->line[from->len] = '\0';
    from->len = 0;
    if (from->line[0] == '\0' || from->line[0] == '#') /* "#0 0x55..." is a line of a stack trace */
        return;
    df_log(DF_LOG_DEBUG, "browser_stderr", "line=%s",
           df_log_quote(quoted, sizeof quoted, from->line));
    if (from->is_telling)
        return;
    from->is_telling = names_a_cause(from->line);
    memcpy(from->last, from->line, sizeof from->last);
}

void scr_stderr_feed(struct scr_stderr *from, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n')
            end_line(from);
        else if (from->len + 1 < sizeof from->line)
            from->line[from->len++] = bytes[i];
    }
}

void scr_stderr_read(struct scr_stderr *from)
{
    char bytes[4096];

    for (int i = 0; i < READS_MAX && from->watch.fd >= 0; i++) {
        ssize_t n = read(from->watch.fd, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            end_line(from);
            scr_stderr_close(from);
            return;
        }
        scr_stderr_feed(from, bytes, (size_t)n);
    }
}

static void on_readable(void *arg, uint32_t epoll_events)
{
    (void)epoll_events;
    scr_stderr_read(arg);
}

void scr_stderr_open(struct scr_stderr *out, struct scr_loop *loop, int fd)
{
    *out =
        (struct scr_stderr){.loop = loop, .watch = {.fd = fd, .on_ready = on_readable, .arg = out}};
    if (scr_loop_watch(loop, &out->watch, EPOLLIN, NULL) != DF_OK)
        df_log(DF_LOG_WARN, "browser_stderr_unread", "%s", "why=\"cannot be watched\"");
}

void scr_stderr_close(struct scr_stderr *from)
{
    if (from->loop == NULL || from->watch.fd < 0)
        return;
    scr_loop_unwatch(from->loop, &from->watch);
    (void)close(from->watch.fd);
    from->watch.fd = -1;
}
