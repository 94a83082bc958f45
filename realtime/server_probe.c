/* realtime/server_probe.c - a test helper that hosts the server with a hub that echoes. Settings
 * come from the environment as for the gateway; it prints {"port":N} and takes lines on standard
 * input: pace COUNT PER_S BYTES  that many messages to every client, each with a number and the
 * time of the monotonic clock, then {"paced":true} send BYTES              one message to every
 * client close CODE              closes every client ready 0|1               what /readyz says keys
 * reads the environment's keys anew, as SIGHUP does stats                   prints the server's
 * counters stop                    ends as SIGTERM does; end of input: at once A client's message
 * comes back as it is; {"claims":true} is answered with its claims. A broadcast is answered with
 * what arrived. Not installed. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "realtime/server.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"

struct probe;

struct client {
    struct client *next, **link;
    struct probe *probe;
    struct rt_connection *connection;
    const struct rt_claims *claims;
    enum rt_vsn vsn;
};

struct probe {
    struct rt_config config;
    struct rt_access *access;
    struct rt_server *server;
    struct client *clients;
    struct df_buf input;
    bool is_ready;
    uint64_t wakes, ticks, slow;
    pthread_t pacer; /* wakes the loop for each paced message, as the database's threads do */
    _Atomic int64_t pace_ns; /* 0: not pacing */
    int64_t pace_from_ns;
    size_t pace_left, pace_bytes, pace_number;
    _Atomic bool is_over;
};

static void send_text(struct client *client, const void *bytes, size_t len, bool is_binary)
{
    struct rt_blob *blob = rt_blob_new(bytes, len, is_binary);

    if (blob == NULL)
        abort();
    if (!rt_connection_send(client->connection, blob, false))
        rt_connection_close(client->connection, 1013, "too slow");
    rt_blob_drop(blob);
}

static void *on_open(void *arg, struct rt_connection *connection, enum rt_vsn vsn,
                     const struct rt_claims *claims)
{
    struct probe *probe = arg;
    struct client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    *client = (struct client){.next = probe->clients,
                              .link = &probe->clients,
                              .probe = probe,
                              .connection = connection,
                              .claims = claims,
                              .vsn = vsn};
    if (client->next != NULL)
        client->next->link = &client->next;
    probe->clients = client;
    return client;
}

static void on_close(void *arg, void *state)
{
    struct client *client = state;

    (void)arg;
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    free(client);
}

static void on_message(void *arg, void *state, bool is_binary, const uint8_t *bytes, size_t len)
{
    static const char ask[] = "{\"claims\":true}";
    struct client *client = state;
    struct df_buf out;

    (void)arg;
    if (len != sizeof ask - 1 || memcmp(bytes, ask, len) != 0) {
        send_text(client, bytes, len, is_binary);
        return;
    }
    df_buf_init(&out, 65536);
    (void)df_buf_printf(&out, "{\"vsn\":%d,\"role\":\"%s\",\"sub\":\"%s\",\"claims\":%s}",
                        client->vsn == RT_VSN_1 ? 1 : 2, client->claims->role, client->claims->sub,
                        client->claims->json);
    send_text(client, out.data, out.len, false);
    df_buf_release(&out);
}

static void on_broadcast(void *arg, uint64_t request, const struct rt_claims *claims,
                         const char *topic, const char *event, bool is_private, bool is_json,
                         const uint8_t *body, size_t body_len)
{
    struct probe *probe = arg;
    struct df_buf out;

    if (body_len == 5 && memcmp(body, "empty", 5) == 0) {
        rt_server_reply_http(probe->server, request, 202, "");
        return;
    }
    df_buf_init(&out, SIZE_MAX / 4);
    (void)df_buf_printf(&out,
                        "{\"role\":\"%s\",\"private\":%s,\"json\":%s,\"topic\":", claims->role,
                        is_private ? "true" : "false", is_json ? "true" : "false");
    (void)df_json_append_string(&out, topic == NULL ? "-" : topic,
                                topic == NULL ? 1 : strlen(topic));
    (void)df_buf_append_str(&out, ",\"event\":");
    (void)df_json_append_string(&out, event == NULL ? "-" : event,
                                event == NULL ? 1 : strlen(event));
    (void)df_buf_append_str(&out, ",\"body\":");
    (void)df_json_append_string(&out, (const char *)body, body_len);
    (void)df_buf_append_char(&out, '}');
    rt_server_reply_http(probe->server, request, 202, out.data);
    df_buf_release(&out);
}

static char *on_metrics(void *arg)
{
    (void)arg;
    return strdup("probe_up 1\n");
}

static bool is_ready(void *arg)
{
    return ((struct probe *)arg)->is_ready;
}

/* --- commands -----------------------------------------------------------------------------------
 */

static void send_all(struct probe *probe, size_t bytes)
{
    char *text = malloc(bytes + 1);
    int n;

    if (text == NULL)
        abort();
    memset(text, ' ', bytes);
    n = snprintf(text, bytes + 1, "{\"n\":%zu,\"ns\":%lld}", probe->pace_number++,
                 (long long)df_clock_mono_ns());
    if (n >= 0 && (size_t)n < bytes)
        text[n] = ' ';
    struct rt_blob *blob = rt_blob_new(text, bytes, false);
    if (blob == NULL)
        abort();
    for (struct client *client = probe->clients; client != NULL; client = client->next)
        if (!rt_connection_send(client->connection, blob, false)) {
            probe->slow++;
            rt_connection_close(client->connection, 1013, "too slow");
        }
    rt_blob_drop(blob);
    free(text);
}

static void on_wake(void *arg)
{
    struct probe *probe = arg;

    probe->wakes++;
    while (probe->pace_left > 0 && df_clock_mono_ns() >= probe->pace_from_ns) {
        send_all(probe, probe->pace_bytes);
        probe->pace_from_ns += atomic_load(&probe->pace_ns);
        if (--probe->pace_left == 0) {
            atomic_store(&probe->pace_ns, 0);
            printf("{\"paced\":true}\n");
            (void)fflush(stdout);
        }
    }
}

static void *pace(void *arg)
{
    struct probe *probe = arg;

    while (!atomic_load(&probe->is_over)) {
        int64_t ns = atomic_load(&probe->pace_ns);
        const struct timespec pause = {.tv_nsec = ns == 0 ? 20000000 : ns};
        (void)nanosleep(&pause, NULL);
        if (ns != 0)
            rt_server_wake(probe->server);
    }
    return NULL;
}

static void on_tick(void *arg, int64_t now_ms)
{
    struct probe *probe = arg;

    (void)now_ms;
    probe->ticks++;
}

static void print_stats(struct probe *probe)
{
    struct rt_server_stats s;

    rt_server_stats_get(probe->server, &s);
    printf("{\"stats\":true,\"connections\":%llu,\"refused\":%llu,\"framesIn\":%llu,"
           "\"framesOut\":%llu,\"closedIdle\":%llu,\"closedSlow\":%llu,\"closedOversized\":%llu,"
           "\"wakes\":%llu,\"ticks\":%llu,\"slow\":%llu}\n",
           (unsigned long long)s.connections, (unsigned long long)s.refused,
           (unsigned long long)s.frames_in, (unsigned long long)s.frames_out,
           (unsigned long long)s.closed_idle, (unsigned long long)s.closed_slow,
           (unsigned long long)s.closed_oversized, (unsigned long long)probe->wakes,
           (unsigned long long)probe->ticks, (unsigned long long)probe->slow);
}

static void reload(struct probe *probe)
{
    struct rt_config config;
    struct rt_access *access = NULL;

    if (rt_config_load(&config, NULL) != DF_OK || rt_access_new(&access, &config, NULL) != DF_OK)
        abort();
    rt_config_release(&config);
    rt_server_set_access(probe->server, access);
    rt_access_free(probe->access);
    probe->access = access;
    printf("{\"keys\":true}\n");
}

static void obey(struct probe *probe, const char *line)
{
    size_t count, per_s, bytes;
    int code;

    if (sscanf(line, "pace %zu %zu %zu", &count, &per_s, &bytes) == 3) {
        probe->pace_left = count;
        probe->pace_bytes = bytes;
        probe->pace_from_ns = df_clock_mono_ns();
        atomic_store(&probe->pace_ns, 999999999 / (int64_t)per_s);
    } else if (sscanf(line, "send %zu", &bytes) == 1) {
        send_all(probe, bytes);
    } else if (sscanf(line, "close %d", &code) == 1) {
        for (struct client *client = probe->clients; client != NULL; client = client->next)
            rt_connection_close(client->connection, code, "as asked");
    } else if (sscanf(line, "ready %d", &code) == 1) {
        probe->is_ready = code != 0;
        printf("{\"ready\":%d}\n", code);
    } else if (strcmp(line, "stats") == 0) {
        print_stats(probe);
    } else if (strcmp(line, "keys") == 0) {
        reload(probe);
    } else if (strcmp(line, "stop") == 0) {
        rt_server_stop(probe->server);
    }
}

static void on_input(void *arg)
{
    struct probe *probe = arg;
    char bytes[4096];

    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if (n <= 0) {
        probe->config.drain_ms = 0;
        rt_server_stop(probe->server);
        return;
    }
    (void)df_buf_append(&probe->input, bytes, (size_t)n);
    for (char *newline; (newline = strchr(probe->input.data, '\n')) != NULL;) {
        size_t len = (size_t)(newline - probe->input.data) + 1;
        *newline = '\0';
        obey(probe, probe->input.data);
        memmove(probe->input.data, newline + 1, probe->input.len - len + 1);
        probe->input.len -= len;
    }
    (void)fflush(stdout);
}

int main(void)
{
    static struct probe probe;
    struct df_error err = {0};
    const struct rt_server_handlers handlers = {
        .arg = &probe,
        .on_open = on_open,
        .on_message = on_message,
        .on_close = on_close,
        .on_broadcast = on_broadcast,
        .on_wake = on_wake,
        .on_tick = on_tick,
        .on_metrics = on_metrics,
        .is_ready = is_ready,
    };
    struct rt_server_stats stats;
    enum df_log_level level = DF_LOG_INFO;

    df_log_init("realtime_server_probe", DF_LOG_INFO);
    df_buf_init(&probe.input, 65536);
    if (rt_config_load(&probe.config, &err) != DF_OK ||
        rt_access_new(&probe.access, &probe.config, &err) != DF_OK ||
        rt_server_new(&probe.server, &probe.config, probe.access, &handlers, &err) != DF_OK ||
        rt_server_watch(probe.server, STDIN_FILENO, on_input, &probe, &err) != DF_OK ||
        pthread_create(&probe.pacer, NULL, pace, &probe) != 0) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    if (df_log_level_parse(probe.config.log_level, &level))
        df_log_set_level(level);
    rt_server_stats_get(probe.server, &stats);
    printf("{\"port\":%d}\n", stats.port);
    (void)fflush(stdout);
    rt_server_run(probe.server);
    atomic_store(&probe.is_over, true);
    (void)pthread_join(probe.pacer, NULL);
    rt_server_free(probe.server);
    rt_access_free(probe.access);
    rt_config_release(&probe.config);
    df_buf_release(&probe.input);
    return 0;
}
