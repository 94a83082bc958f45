/* realtime/server.c - the loop (libuv), libwebsockets on it, and the end.
 *
 * libwebsockets 4.1 alone waits with poll(): 5,000 idle clients that send their heartbeats cost
 * 21 % of a core so, and 1 % with the libuv plugin that Debian ships beside it. The loop is ours,
 * libwebsockets is its guest. */
#include "realtime/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "realtime/server_private.h"
#include "shared/log.h"

enum {
    OTHER_DESCRIPTORS = 128, /* database, log, listeners ... */
    TICKS_A_SWEEP = 4,       /* looks at every connection: once a second */
    SERVICE_BYTES = 4096,    /* libwebsockets' scratch */
    DRAIN_STEP_MS = 20,
    CLOSE_WAIT_MS = 2500, /* for the last closing handshakes; connection.c cuts at 2 s */
    CLOSE_RESTART = 1012,
    SETTLE_ROUNDS = 1000,
};

/* --- libwebsockets ------------------------------------------------------------------------------
 */

/* What libwebsockets calls an error is mostly a client's. */
static void on_lws_log(int level, const char *line)
{
    char text[400], quoted[420];

    (void)level;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
    df_log(DF_LOG_DEBUG, "libwebsockets", "text=%s", df_log_quote(quoted, sizeof quoted, text));
}

/* libwebsockets makes tables as long as the limit of descriptors, which may be a million; and the
 * limit must be high enough for the clients. */
static void limit_descriptors(const struct rt_config *config)
{
    rlim_t want = (rlim_t)config->clients_max + (rlim_t)config->refuse_waiting_max + RT_GUESTS_MAX +
                  OTHER_DESCRIPTORS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && want > limit.rlim_max) {
        df_log(DF_LOG_WARN, "descriptors_few", "have=%llu want=%llu",
               (unsigned long long)limit.rlim_max, (unsigned long long)want);
        want = limit.rlim_max;
    }
    limit.rlim_cur = want;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum df_code open_context(struct rt_server *server, struct df_error *err)
{
    static const lws_retry_bo_t no_idle_policy = {0}; /* pings are ours, see connection.c */
    void *loops[] = {&server->loop};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER, /* doors listen */
        .protocols = rt_connection_protocols,
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES | LWS_SERVER_OPTION_VALIDATE_UTF8,
        .foreign_loops = loops,
        .user = server,
        .pt_serv_buf_size = SERVICE_BYTES,
        .timeout_secs = 10,
        .server_string = "",
        .retry_and_idle_policy = &no_idle_policy,
        .vhost_name = "clients",
        .uid = -1,
        .gid = -1,
    };

    limit_descriptors(server->config);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    server->context = lws_create_context(&info);
    if (server->context == NULL)
        return df_error_set(err, DF_EUNAVAILABLE,
                            "libwebsockets cannot be initialised with libuv: is its plugin there "
                            "(package libwebsockets-evlib-uv)?");
    server->host = lws_create_vhost(server->context, &info);
    if (server->host == NULL)
        return df_error_set(err, DF_ENOMEM, "server: libwebsockets cannot be set up");
    return DF_OK;
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static void on_wake(uv_async_t *wake)
{
    struct rt_server *server = wake->data;
    server->handlers.on_wake(server->handlers.arg);
}

static void on_tick(uv_timer_t *timer)
{
    struct rt_server *server = timer->data;

    rt_door_resume(&server->api_door);
    rt_door_resume(&server->admin_door);
    rt_guest_sweep(server);
    if (server->ticks++ % TICKS_A_SWEEP == 0)
        rt_connection_sweep(server);
    server->handlers.on_tick(server->handlers.arg, rt_server_now_ms(server));
}

/* Runs before the loop waits: what this round has queued goes out together. */
static void on_round_end(uv_prepare_t *prepare)
{
    rt_connection_flush_all(prepare->data);
}

static void on_watched(uv_poll_t *poll, int status, int events)
{
    struct rt_server *server = poll->data;

    (void)events;
    if (status == 0)
        server->on_watched(server->watch_arg);
}

enum df_code rt_server_watch(struct rt_server *server, int fd, void (*on_ready)(void *arg),
                             void *arg, struct df_error *err)
{
    if (uv_poll_init(&server->loop, &server->watch, fd) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "server: the descriptor cannot be watched");
    server->watch.data = server;
    server->on_watched = on_ready;
    server->watch_arg = arg;
    (void)uv_poll_start(&server->watch, UV_READABLE, on_watched);
    return DF_OK;
}

void rt_server_wake(struct rt_server *server)
{
    (void)uv_async_send(&server->wake);
}

static enum df_code open_loop(struct rt_server *server, struct df_error *err)
{
    if (uv_loop_init(&server->loop) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "server: no loop (out of descriptors?)");
    server->has_loop = true;
    server->wake.data = server->tick.data = server->drain.data = server->flush.data = server;
    if (uv_async_init(&server->loop, &server->wake, on_wake) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "server: no loop (out of descriptors?)");
    (void)uv_timer_init(&server->loop, &server->tick);
    (void)uv_timer_init(&server->loop, &server->drain);
    (void)uv_prepare_init(&server->loop, &server->flush);
    (void)uv_timer_start(&server->tick, on_tick, RT_TICK_MS, RT_TICK_MS);
    (void)uv_prepare_start(&server->flush, on_round_end);
    server->has_handles = true;
    return DF_OK;
}

/* --- life ---------------------------------------------------------------------------------------
 */

enum df_code rt_server_new(struct rt_server **out, const struct rt_config *config,
                           struct rt_access *access, const struct rt_server_handlers *handlers,
                           struct df_error *err)
{
    *out = NULL;
    struct rt_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return df_error_set(err, DF_ENOMEM, "server: out of memory");
    server->config = config;
    server->access = access;
    server->handlers = *handlers;
    server->api_door.fd = server->admin_door.fd = -1;
    enum df_code rc = open_loop(server, err);
    if (rc == DF_OK)
        rc = open_context(server, err);
    if (rc == DF_OK) {
        rc = rt_door_open(&server->api_door, server, config->listen, false, err);
        if (rc != DF_OK)
            (void)df_error_wrap(err, "REALTIME_LISTEN");
    }
    if (rc == DF_OK && config->metrics_listen != NULL) {
        rc = rt_door_open(&server->admin_door, server, config->metrics_listen, true, err);
        if (rc != DF_OK)
            (void)df_error_wrap(err, "METRICS_LISTEN");
    }
    if (rc != DF_OK) {
        rt_server_free(server);
        return rc;
    }
    server->stats.port = server->api_door.port;
    *out = server;
    return DF_OK;
}

void rt_server_set_access(struct rt_server *server, struct rt_access *access)
{
    server->access = access;
}

void rt_server_run(struct rt_server *server)
{
    (void)uv_run(&server->loop, UV_RUN_DEFAULT);
    /* Whoever is left does not even hang up; the hub must not hear of them later. */
    for (struct rt_connection *connection = server->connections; connection != NULL;
         connection = connection->next) {
        if (connection->state != NULL)
            server->handlers.on_close(server->handlers.arg, connection->state);
        connection->state = NULL;
    }
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void on_drain(uv_timer_t *timer)
{
    struct rt_server *server = timer->data;
    int64_t now_ms = rt_server_now_ms(server);

    for (struct rt_connection *connection = server->connections; connection != NULL;
         connection = connection->next)
        if (connection->close_code == 0 && connection->close_ms <= now_ms)
            rt_connection_close(connection, CLOSE_RESTART, "service restart");
    if (server->connections == NULL || now_ms >= server->stop_ms)
        uv_stop(&server->loop);
}

/* Every client connects again at once when it is closed: at random moments, so that the gateway
 * that comes next is not met by all of them together. */
void rt_server_stop(struct rt_server *server)
{
    if (server->is_stopping)
        return;
    int64_t now_ms = rt_server_now_ms(server), drain_ms = server->config->drain_ms;
    server->is_stopping = true;
    server->stop_ms = now_ms + drain_ms + CLOSE_WAIT_MS;
    rt_door_shut(&server->api_door);
    for (struct rt_connection *connection = server->connections; connection != NULL;
         connection = connection->next)
        if (connection->close_code == 0)
            connection->close_ms = now_ms + (drain_ms == 0 ? 0 : random() % drain_ms);
    (void)uv_timer_start(&server->drain, on_drain, 0, DRAIN_STEP_MS);
}

/* Lets the loop hear of every handle that was closed. Bounded: an end that never comes is worse
 * than what a loop of a failed start leaves behind. */
static void settle(struct rt_server *server)
{
    for (int i = 0; i < SETTLE_ROUNDS; i++)
        if (uv_run(&server->loop, UV_RUN_NOWAIT) == 0)
            return;
}

void rt_server_free(struct rt_server *server)
{
    if (server == NULL)
        return;
    rt_door_shut(&server->api_door);
    rt_door_shut(&server->admin_door);
    rt_guest_end_all(server);
    if (server->context != NULL)
        lws_context_destroy(server->context); /* calls back for each connection */
    if (server->has_handles) {
        uv_close((uv_handle_t *)&server->wake, NULL);
        uv_close((uv_handle_t *)&server->tick, NULL);
        uv_close((uv_handle_t *)&server->drain, NULL);
        uv_close((uv_handle_t *)&server->flush, NULL);
    }
    if (server->on_watched != NULL)
        uv_close((uv_handle_t *)&server->watch, NULL);
    if (server->has_loop) {
        settle(server);
        /* The second half, which unloads libwebsockets' libuv plugin: no callback may be left. */
        if (server->context != NULL)
            lws_context_destroy(server->context);
        (void)uv_loop_close(&server->loop);
    }
    free(server);
}

void rt_server_stats_get(const struct rt_server *server, struct rt_server_stats *out)
{
    *out = server->stats;
}
