/* scraper/server.h - HTTP API and WebSocket of the daemon on one port (libwebsockets). Knows
 * transport, tokens, CORS and client queues; what the paths mean is the monitor's (monitor.h).
 * Loop thread only. */
#ifndef SCRAPER_SERVER_H
#define SCRAPER_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/access.h"
#include "scraper/config.h"
#include "scraper/loop.h"
#include "shared/error.h"

struct json_t;
struct scr_server;

/* What the server asks of the program. Every request gets exactly one scr_server_reply, now or later. */
struct scr_server_handlers {
    void *arg;
    /* method and path of a known route with its parsed body (NULL when none; borrowed); caller is
     * borrowed and valid for the call. id is for scr_server_reply. */
    void (*on_start)(void *arg, uint64_t id, const struct scr_caller *caller, const struct json_t *body);
    void (*on_stop)(void *arg, uint64_t id, const struct scr_caller *caller, const struct json_t *body);
    void (*on_health)(void *arg, uint64_t id, const struct scr_caller *caller); /* NOBODY allowed */
    void (*on_streams)(void *arg, uint64_t id, const struct scr_caller *caller);
    void (*on_summary)(void *arg, uint64_t id, const struct scr_caller *caller, const char *stream_id);
    void (*on_screenshot)(void *arg, uint64_t id, const struct scr_caller *caller,
                          const char *session_id); /* GET /api/screenshot/:sessionId -> image/png */
    /* Prometheus text for METRICS_LISTEN (GET /metrics); appended to a heap string, owned by server */
    char *(*on_metrics)(void *arg);
    /* A WebSocket client is there (its token was checked): returns the hello event, owned by server. */
    struct json_t *(*on_client)(void *arg, const struct scr_caller *caller);
    /* A client's message {action: ...}; `client` is for scr_server_tell. */
    void (*on_action)(void *arg, uint64_t client, const struct scr_caller *caller,
                      const struct json_t *message);
};

struct scr_server_stats {
    uint64_t requests, refused, clients, clients_ever, clients_slow, frames_sent, bytes_sent;
    int port; /* the real one when PORT was 0 */
};

/* Binds and listens. handlers are copied, config, access and loop borrowed; access may be replaced
 * (SIGHUP) with _set_access. The caller owns *out. DF_EUNAVAILABLE: the port is taken (says so). */
enum df_code scr_server_new(struct scr_server **out, struct scr_loop *loop,
                            const struct scr_config *config, struct scr_access *access,
                            const struct scr_server_handlers *handlers,
                            struct df_error *err) DF_MUST_USE;
void scr_server_set_access(struct scr_server *server, struct scr_access *access);
/* Runs everything (libwebsockets and the loop's watches and timers) until scr_server_stop. */
void scr_server_run(struct scr_server *server);
/* Stops listening, closes clients with 1001 "shutting down", lets answers out for up to 1 s, then makes
 * _run return. */
void scr_server_stop(struct scr_server *server);
void scr_server_free(struct scr_server *server); /* NULL is fine */

/* Answers a request; body is stolen. A request whose client has gone is ignored. With the id of a
 * WebSocket client (see on_action) a refusal is told as an error event, anything else to nobody. */
void scr_server_reply(struct scr_server *server, uint64_t id, int status, struct json_t *body);
/* The same with bytes (copied). */
void scr_server_reply_bytes(struct scr_server *server, uint64_t id, int status,
                            const char *content_type, const void *bytes, size_t len);

/* Sends an event (borrowed, encoded once) to every client that may see this owner's sessions:
 * service clients always, a user's clients when owner equals their subject. */
void scr_server_broadcast(struct scr_server *server, const char *owner, const struct json_t *event);
/* The same with text that is JSON already. */
void scr_server_broadcast_text(struct scr_server *server, const char *owner, const char *text,
                               size_t text_len);
/* To one client; ignored when it has gone. */
void scr_server_tell(struct scr_server *server, uint64_t client, const struct json_t *event);

void scr_server_stats_get(const struct scr_server *server, struct scr_server_stats *out);

#endif
