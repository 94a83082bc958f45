/* scraper/server_private.h - shared by the server's own files. Loop thread. */
#ifndef SCRAPER_SERVER_PRIVATE_H
#define SCRAPER_SERVER_PRIVATE_H

#include <libwebsockets.h>
#include <stdbool.h>
#include <stdint.h>

#include "scraper/client.h"
#include "scraper/door.h"
#include "scraper/route.h"
#include "scraper/server.h"
#include "shared/buf.h"

enum {
    SCR_TOKEN_MAX = 8192,    /* longest token read from a request, with its NUL */
    SCR_BODY_MAX = 64 << 10, /* longest request body */
};

/* The request of a connection. Lives from its head to the last byte of the answer; the connection
 * may go first. */
struct scr_request {
    struct scr_request *next, **link;
    struct lws *wsi;
    uint64_t id;
    enum scr_route route;
    char route_id[SCR_ROUTE_ID_MAX];
    bool is_head, is_answered;
    bool has_body_ended;
    size_t body_expected;
    struct df_buf body;
    struct scr_caller caller;
    char *token;        /* what caller.token points to */
    char *origin;       /* of the page that asks, NULL for others */
    unsigned char *out; /* LWS_PRE bytes, then the answer */
    size_t out_len, out_sent;
};

/* A WebSocket. Lives from ESTABLISHED to CLOSED. */
struct scr_client {
    struct scr_client *next, **link;
    struct lws *wsi;
    uint64_t id;
    bool is_known; /* its token was checked */
    struct scr_caller caller;
    char *token;
    struct scr_queue queue;
    struct df_buf incoming;
    int64_t since_ms;     /* when it came */
    int64_t ping_ms;      /* when a ping was wanted that has no answer yet, 0: none */
    int64_t last_ping_ms; /* the ping before that */
    bool wants_ping;      /* ... and it was not written yet */
    bool was_sent_to;     /* events since the last ping */
    int close_code;       /* it is being closed; 0: it is not */
    int64_t close_ms;
    char close_reason[64];
};

/* What libwebsockets keeps for each connection; zeroed by it. */
struct scr_seat {
    struct scr_request *request;
    struct scr_client *client;
};

struct scr_server {
    struct scr_loop *loop;
    const struct scr_config *config;
    struct scr_access *access;
    struct scr_server_handlers handlers;
    struct lws_context *context;
    struct lws_vhost *clients_host;
    struct scr_door *api_door, *admin_door;
    struct scr_request *requests;
    struct scr_client *clients;
    size_t connections; /* that libwebsockets has */
    uint64_t next_id;
    struct scr_timer sweep, give_up;
    int64_t swept_ms; /* the last sweep */
    struct scr_server_stats stats;
    bool is_stopping, is_done;
};

/* --- server.c -------------------------------------------------------------------------------- */

/* Did the connection come in by METRICS_LISTEN? */
bool scr_server_is_admin(struct lws *wsi);
/* The token of a request: from "Authorization: Bearer", or the subprotocol bearer.<token>. Empty
 * when there is none; *is_header tells where it came from. */
void scr_server_read_token(struct lws *wsi, char *out, size_t out_size, bool *is_header);
/* One header as a heap string, NULL when it is missing. */
char *scr_server_copy_header(struct lws *wsi, enum lws_token_indexes header);
/* As the programs of this project print JSON: compact, 0.7 as 0.7. NULL for lack of memory. */
char *scr_server_encode(const struct json_t *value);

/* --- server_http.c --------------------------------------------------------------------------- */

int scr_http_on_head(struct scr_server *server, struct lws *wsi, struct scr_seat *seat,
                     const char *path);
int scr_http_on_body(struct scr_seat *seat, const char *bytes, size_t len);
int scr_http_on_body_end(struct scr_server *server, struct scr_seat *seat);
int scr_http_on_writeable(struct scr_server *server, struct scr_seat *seat);
void scr_http_on_gone(struct scr_seat *seat);
/* Refuses an upgrade: writes the whole answer. Returns what the callback must return. */
int scr_http_refuse_upgrade(struct scr_server *server, struct lws *wsi, int status,
                            const char *error);

/* --- server_ws.c ----------------------------------------------------------------------------- */

int scr_ws_on_upgrade(struct scr_server *server, struct lws *wsi);
int scr_ws_add_headers(struct lws *wsi, struct lws_process_html_args *args);
int scr_ws_on_open(struct scr_server *server, struct lws *wsi, struct scr_seat *seat);
int scr_ws_on_bytes(struct scr_server *server, struct scr_seat *seat, const char *bytes,
                    size_t len);
int scr_ws_on_writeable(struct scr_server *server, struct scr_seat *seat);
void scr_ws_on_pong(struct scr_seat *seat);
void scr_ws_on_gone(struct scr_server *server, struct scr_seat *seat);
/* Once a second: who said nothing, does not read, or holds an expired token. */
void scr_ws_sweep(struct scr_server *server);
void scr_ws_close_all(struct scr_server *server, int code, const char *reason);

#endif
