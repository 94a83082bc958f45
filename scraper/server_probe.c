/* scraper/server_probe.c - a test helper that hosts the server without a browser. Settings come
 * from the environment as for the daemon; it prints {"port":N} and then takes JSON lines:
 *   {"broadcast":{...},"owner":"..."}           one event, seen by that owner's clients
 *   {"pace":{"count":200,"per_s":20,"bytes":200}}  events with number and time (monotonic clock,
 * ns)
 *   {"keys":true}                               reads the environment's keys anew, as SIGHUP does
 *   {"stats":true}                              prints the server's counters
 * End of input: stops and frees the server, exits. Not installed. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "scraper/server.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/log.h"

#define LINE_MAX_BYTES (1u << 20)
#define PICTURE_BYTES  700000 /* more than a socket takes at once */

struct later;

struct probe {
    struct scr_config config;
    struct scr_access *access;
    struct scr_loop *loop;
    struct scr_server *server;
    struct scr_watch input;
    struct df_buf line;
    struct later *laters; /* freed at the end */
    struct scr_timer pace;
    json_int_t pace_left, pace_number, pace_bytes, pace_every_ms;
};

/* A reply that waits, as start-monitoring does. */
struct later {
    struct later *next;
    struct probe *probe;
    uint64_t id;
    struct scr_timer timer;
};

static const char *kind_name(enum scr_caller_kind kind)
{
    return kind == SCR_CALLER_SERVICE ? "service" : kind == SCR_CALLER_USER ? "user" : "nobody";
}

static json_t *describe(const char *what, const struct scr_caller *caller)
{
    return json_pack("{s:s, s:s, s:s, s:f}", "type", what, "caller", kind_name(caller->kind), "sub",
                     caller->sub, "confidence", 0.7);
}

static void on_later(void *arg)
{
    const struct later *later = arg;

    scr_server_reply(later->probe->server, later->id, 200, json_pack("{s:s}", "type", "late"));
}

static void on_start(void *arg, uint64_t id, const struct scr_caller *caller,
                     const struct json_t *body)
{
    struct probe *probe = arg;
    const json_t *wait_ms = json_object_get(body, "waitMs");

    if (json_is_integer(wait_ms)) {
        struct later *later = calloc(1, sizeof *later);
        if (later == NULL)
            abort();
        *later = (struct later){.next = probe->laters, .probe = probe, .id = id};
        probe->laters = later;
        later->timer = (struct scr_timer){.on_due = on_later, .arg = later};
        scr_timer_set(probe->loop, &later->timer, json_integer_value(wait_ms));
        return;
    }
    json_t *answer = describe("start", caller);
    (void)json_object_set(answer, "body", (json_t *)body);
    scr_server_reply(probe->server, id, 200, answer);
}

static void on_stop(void *arg, uint64_t id, const struct scr_caller *caller,
                    const struct json_t *body)
{
    (void)caller;
    (void)body;
    scr_server_reply(((struct probe *)arg)->server, id, 404,
                     json_pack("{s:s}", "error", "No active monitoring session"));
}

static void on_health(void *arg, uint64_t id, const struct scr_caller *caller)
{
    scr_server_reply(((struct probe *)arg)->server, id, 200, describe("health", caller));
}

static void on_streams(void *arg, uint64_t id, const struct scr_caller *caller)
{
    scr_server_reply(((struct probe *)arg)->server, id, 200, describe("streams", caller));
}

static void on_summary(void *arg, uint64_t id, const struct scr_caller *caller, const char *stream)
{
    json_t *answer = describe("summary", caller);
    (void)json_object_set_new(answer, "id", json_string(stream));
    scr_server_reply(((struct probe *)arg)->server, id, 200, answer);
}

static void on_screenshot(void *arg, uint64_t id, const struct scr_caller *caller,
                          const char *session)
{
    char *bytes = malloc(PICTURE_BYTES);

    (void)caller;
    (void)session;
    if (bytes == NULL)
        abort();
    for (size_t i = 0; i < PICTURE_BYTES; i++)
        bytes[i] = (char)(i * 7 >> 3);
    scr_server_reply_bytes(((struct probe *)arg)->server, id, 200, "image/png", bytes,
                           PICTURE_BYTES);
    free(bytes);
}

static char *on_metrics(void *arg)
{
    (void)arg;
    return strdup("probe_up 1\n");
}

static struct json_t *on_client(void *arg, const struct scr_caller *caller)
{
    (void)arg;
    return describe("hello", caller);
}

static void on_action(void *arg, uint64_t client, const struct scr_caller *caller,
                      const struct json_t *message)
{
    json_t *event = describe("action", caller);

    (void)json_object_set(event, "message", (json_t *)message);
    if (json_object_get(message, "refuse") != NULL)
        scr_server_reply(((struct probe *)arg)->server, client, 400,
                         json_pack("{s:s}", "error", "refused"));
    scr_server_tell(((struct probe *)arg)->server, client, event);
    json_decref(event);
}

/* --- commands -------------------------------------------------------------------------------- */

static void on_pace(void *arg)
{
    struct probe *probe = arg;
    char padding[4096];

    size_t bytes =
        (size_t)probe->pace_bytes < sizeof padding ? (size_t)probe->pace_bytes : sizeof padding - 1;
    memset(padding, 'x', bytes);
    padding[bytes] = '\0';
    json_t *event = json_pack("{s:s, s:I, s:I, s:s}", "type", "paced", "n", probe->pace_number++,
                              "sentNs", (json_int_t)df_clock_mono_ns(), "padding", padding);
    scr_server_broadcast(probe->server, NULL, event);
    json_decref(event);
    if (--probe->pace_left > 0)
        scr_timer_set(probe->loop, &probe->pace, probe->pace_every_ms);
}

static void take_keys(struct probe *probe)
{
    struct scr_config fresh;
    struct scr_access *access;
    struct df_error err = {0};

    if (scr_config_load(&fresh, &err) != DF_OK || scr_access_new(&access, &fresh, &err) != DF_OK) {
        printf("{\"error\":\"%s\"}\n", err.msg);
        return;
    }
    scr_server_set_access(probe->server, access);
    scr_access_free(probe->access);
    probe->access = access;
    scr_config_release(&fresh);
    printf("{\"keys\":true}\n");
}

static void print_stats(const struct probe *probe)
{
    struct scr_server_stats s;

    scr_server_stats_get(probe->server, &s);
    printf("{\"stats\":true,\"requests\":%llu,\"refused\":%llu,\"clients\":%llu,\"ever\":%llu,"
           "\"slow\":%llu,\"frames\":%llu}\n",
           (unsigned long long)s.requests, (unsigned long long)s.refused,
           (unsigned long long)s.clients, (unsigned long long)s.clients_ever,
           (unsigned long long)s.clients_slow, (unsigned long long)s.frames_sent);
}

static void run(struct probe *probe, const char *text, size_t len)
{
    json_error_t why;
    json_t *command = json_loadb(text, len, 0, &why);
    const json_t *event = json_object_get(command, "broadcast");
    const json_t *pace = json_object_get(command, "pace");

    if (event != NULL) {
        scr_server_broadcast(probe->server, json_string_value(json_object_get(command, "owner")),
                             event);
    } else if (pace != NULL) {
        probe->pace_left = json_integer_value(json_object_get(pace, "count"));
        probe->pace_bytes = json_integer_value(json_object_get(pace, "bytes"));
        probe->pace_every_ms = 1000 / json_integer_value(json_object_get(pace, "per_s"));
        probe->pace_number = 0;
        scr_timer_set(probe->loop, &probe->pace, probe->pace_every_ms);
    } else if (json_object_get(command, "keys") != NULL) {
        take_keys(probe);
    } else if (json_object_get(command, "stats") != NULL) {
        print_stats(probe);
    } else {
        printf("{\"error\":\"unknown command: %s\"}\n", why.text);
    }
    (void)fflush(stdout);
    json_decref(command);
}

static void on_input(void *arg, uint32_t events)
{
    struct probe *probe = arg;
    char bytes[4096];

    (void)events;
    ssize_t n = read(probe->input.fd, bytes, sizeof bytes);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        scr_loop_unwatch(probe->loop, &probe->input);
        scr_server_stop(probe->server);
        return;
    }
    if (!df_buf_append(&probe->line, bytes, (size_t)n))
        abort();
    char *at = probe->line.data, *newline;
    while ((newline = strchr(at, '\n')) != NULL) {
        run(probe, at, (size_t)(newline - at));
        at = newline + 1;
    }
    size_t left = probe->line.len - (size_t)(at - probe->line.data);
    memmove(probe->line.data, at, left);
    probe->line.len = left;
    probe->line.data[left] = '\0';
}

int main(void)
{
    static const struct scr_server_handlers handlers = {
        NULL,       on_start,      on_stop,    on_health, on_streams,
        on_summary, on_screenshot, on_metrics, on_client, on_action,
    };
    struct probe probe = {0};
    struct df_error err = {0};
    struct scr_server_handlers mine = handlers;
    struct scr_server_stats stats;
    enum df_log_level level = DF_LOG_INFO;

    mine.arg = &probe;
    df_buf_init(&probe.line, LINE_MAX_BYTES);
    if (scr_config_load(&probe.config, &err) != DF_OK) {
        (void)fprintf(stderr, "server_probe: %s\n", err.msg);
        return 78;
    }
    (void)df_log_level_parse(probe.config.log_level, &level);
    df_log_init("server_probe", level);
    int status = 1;
    if (scr_access_new(&probe.access, &probe.config, &err) != DF_OK ||
        scr_loop_new(&probe.loop, &err) != DF_OK ||
        scr_server_new(&probe.server, probe.loop, &probe.config, probe.access, &mine, &err) !=
            DF_OK)
        goto out;
    probe.pace = (struct scr_timer){.on_due = on_pace, .arg = &probe};
    probe.input = (struct scr_watch){.fd = STDIN_FILENO, .on_ready = on_input, .arg = &probe};
    if (scr_loop_watch(probe.loop, &probe.input, EPOLLIN, &err) != DF_OK)
        goto out;
    scr_server_stats_get(probe.server, &stats);
    printf("{\"port\":%d}\n", stats.port);
    (void)fflush(stdout);
    scr_server_run(probe.server);
    status = 0;
out:
    if (status != 0)
        (void)fprintf(stderr, "server_probe: %s\n", err.msg);
    if (probe.loop != NULL)
        scr_timer_cancel(probe.loop, &probe.pace);
    for (struct later *later = probe.laters, *next; later != NULL; later = next) {
        next = later->next;
        scr_timer_cancel(probe.loop, &later->timer);
        free(later);
    }
    scr_server_free(probe.server);
    scr_loop_free(probe.loop);
    scr_access_free(probe.access);
    scr_config_release(&probe.config);
    df_buf_release(&probe.line);
    return status;
}
