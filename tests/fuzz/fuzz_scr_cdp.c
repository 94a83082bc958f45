/* tests/fuzz/fuzz_scr_cdp.c - any bytes as the browser's output, while commands wait for answers.
 */
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "scraper/cdp.h"
#include "scraper/cdp_methods.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

enum { COMMANDS = 4, PIECE = 1000 };

struct heard {
    int answers, closed;
    struct scr_cdp *cdp;
};

static void on_reply(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct heard *heard = arg;

    MUST((result == NULL) != (err == NULL));
    MUST(err == NULL || err->code == DF_EUPSTREAM);
    MUST(result == NULL || json_is_object(result));
    heard->answers++;
}

static void on_event(void *arg, const char *session_id, const char *method,
                     const struct json_t *params)
{
    struct heard *heard = arg;

    MUST(strlen(session_id) < 64);
    MUST(scr_cdp_event(method, strlen(method)) == method);
    MUST(json_is_object(params));
    if (strcmp(method, "Page.loadEventFired") == 0) /* what a tab may do from here */
        scr_cdp_send(heard->cdp, session_id, "Page.getFrameTree", NULL, 1000, NULL, NULL);
}

static void on_closed(void *arg, const char *reason)
{
    MUST(reason[0] != '\0');
    ((struct heard *)arg)->closed++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct heard heard = {0};
    const struct scr_cdp_handlers handlers = {&heard, on_event, on_closed};
    struct scr_loop *loop;
    struct scr_cdp_stats stats;
    int in[2], out[2];

    (void)signal(SIGPIPE, SIG_IGN);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, in) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, out) == 0);
    MUST(scr_loop_new(&loop, NULL) == DF_OK);
    MUST(scr_cdp_new(&heard.cdp, loop, in[0], out[0], &handlers, NULL) == DF_OK);
    for (int i = 0; i < COMMANDS; i++)
        scr_cdp_send(heard.cdp, "", "Browser.getVersion", NULL, 600000, on_reply, &heard);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t len = size - at < PIECE ? size - at : PIECE;
        MUST(write(in[1], data + at, len) == (ssize_t)len);
        scr_loop_dispatch(loop, 0);
    }
    (void)close(in[1]);
    for (int i = 0; i < 1000 && heard.closed == 0; i++)
        scr_loop_dispatch(loop, 10);
    MUST(heard.closed == 1);
    MUST(heard.answers == COMMANDS);
    scr_cdp_stats_get(heard.cdp, &stats);
    MUST(stats.bytes_in == size);
    MUST(stats.events_ignored + stats.malformed + stats.late_replies <= stats.messages_in);
    scr_cdp_free(heard.cdp);
    scr_loop_free(loop);
    (void)close(out[1]);
    return 0;
}
