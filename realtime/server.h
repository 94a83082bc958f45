/* realtime/server.h - sockets of the gateway (libwebsockets): upgrades and their refusals, queues,
 * limits by connection, the broadcast routes, metrics, the end. Knows nothing of channels (hub.h).
 * Loop thread only. */
#ifndef REALTIME_SERVER_H
#define REALTIME_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "realtime/access.h"
#include "realtime/config.h"
#include "realtime/wire.h"

struct rt_server;
struct rt_connection; /* the server's; lives until on_close */

/* A message encoded once for many connections. */
struct rt_blob;
struct rt_blob *rt_blob_new(const void *bytes, size_t len, bool is_binary); /* NULL: no memory */
struct rt_blob *rt_blob_keep(struct rt_blob *blob);
void rt_blob_drop(struct rt_blob *blob); /* NULL is fine */

struct rt_server_handlers {
    void *arg;
    /* A client is there; returns the hub's state for it, or NULL to refuse for lack of memory.
     * claims are those of its apikey, borrowed for the connection's life. */
    void *(*on_open)(void *arg, struct rt_connection *connection, enum rt_vsn vsn,
                     const struct rt_claims *claims);
    void (*on_message)(void *arg, void *state, bool is_binary, const uint8_t *bytes, size_t len);
    void (*on_close)(void *arg, void *state); /* the connection is void from here on */
    /* POST /api/broadcast...: topic NULL for the batch form. The body is borrowed. Answers by
     * rt_server_reply_http at once or later. claims as for sockets (apikey or Authorization). */
    void (*on_broadcast)(void *arg, uint64_t request, const struct rt_claims *claims,
                         const char *topic, const char *event, bool is_private, bool is_json,
                         const uint8_t *body, size_t body_len);
    void (*on_wake)(void *arg);                 /* after rt_server_wake */
    void (*on_tick)(void *arg, int64_t now_ms); /* every 250 ms */
    char *(*on_metrics)(void *arg);             /* Prometheus text, heap */
    bool (*is_ready)(void *arg);                /* /readyz on METRICS_LISTEN and /readyz path */
};

enum df_code rt_server_new(struct rt_server **out, const struct rt_config *config,
                           struct rt_access *access, const struct rt_server_handlers *handlers,
                           struct df_error *err) DF_MUST_USE;
void rt_server_set_access(struct rt_server *server, struct rt_access *access);
void rt_server_run(struct rt_server *server);  /* until _stop is done */
void rt_server_stop(struct rt_server *server); /* closes with 1012, spread over DRAIN_MS;
                                                  signal-safe? no: from the loop (a signalfd) */
void rt_server_free(struct rt_server *server);
void rt_server_wake(struct rt_server *server); /* the one function for other threads */
/* Calls on_ready in the loop whenever fd (borrowed, e.g. a signalfd) is readable. One a server. */
enum df_code rt_server_watch(struct rt_server *server, int fd, void (*on_ready)(void *arg),
                             void *arg, struct df_error *err) DF_MUST_USE;

/* Queues a message. False when the connection's queue is over its limit: nothing was queued, and
 * the hub decides (phx_error, then close). Control answers (is_control) may exceed the limit a
 * little. */
bool rt_connection_send(struct rt_connection *connection, struct rt_blob *blob, bool is_control);
/* Closes after what is queued was sent, at most 2 s later. */
void rt_connection_close(struct rt_connection *connection, int code, const char *reason);
size_t rt_connection_queued_bytes(const struct rt_connection *connection);
void rt_server_reply_http(struct rt_server *server, uint64_t request, int status,
                          const char *json_or_empty);

struct rt_server_stats {
    uint64_t connections, connections_ever, refused, frames_in, frames_out, bytes_in, bytes_out;
    uint64_t closed_idle, closed_slow, closed_oversized;
    int port;
};
void rt_server_stats_get(const struct rt_server *server, struct rt_server_stats *out);

#endif
