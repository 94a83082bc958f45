/* realtime/server_private.h - shared by the server's own files. Loop thread.
 *
 * A connection begins as a guest: its head is read and judged here (guest.c). What is no upgrade is
 * answered here too. An upgrade that may come in is given to libwebsockets as a head of our own
 * making, and is a connection from then on (connection.c). Both live on one libuv loop, because
 * libwebsockets' own loop is poll(), whose price grows with the idle connections. */
#ifndef REALTIME_SERVER_PRIVATE_H
#define REALTIME_SERVER_PRIVATE_H

#include <libwebsockets.h>
#include <uv.h>

#include "realtime/head.h"
#include "realtime/queue.h"
#include "realtime/server.h"
#include "shared/buf.h"

enum {
    RT_TICK_MS = 250,
    RT_GUESTS_MAX = 1024, /* beside refusals that wait */
};
#define RT_INCOMING_MAX_BYTES                                                                      \
    ((size_t)256 << 20) /* half-read messages and bodies of all together */

/* A listening socket. */
struct rt_door {
    struct rt_server *server;
    uv_poll_t poll;
    int fd; /* -1: shut */
    int port;
    bool is_admin, is_paused; /* paused: out of descriptors */
    char path[108];           /* of a unix socket, to remove it */
};

enum rt_guest_state {
    RT_GUEST_HEAD,    /* its head is being read */
    RT_GUEST_WAITING, /* refused, and made to wait for it */
    RT_GUEST_BODY,
    RT_GUEST_ASKED,  /* the hub has the request */
    RT_GUEST_ANSWER, /* the answer is being written */
    RT_GUEST_LINGER, /* the answer is out: reads on, or a reset could overtake it */
};

/* An HTTP request, or an upgrade that is not judged yet. */
struct rt_guest {
    struct rt_guest *next, **link;
    struct rt_server *server;
    uv_poll_t poll;
    int fd;
    int64_t due_ms; /* when the state has lasted too long */
    uint64_t id;
    enum rt_guest_state state;
    bool is_admin, is_head, is_private, is_json;
    struct df_buf in; /* the head, then the body */
    size_t head_len, body_len;
    struct rt_target target;
    struct rt_claims claims;
    struct df_buf out;
    size_t sent;
};

/* A WebSocket. Lives from the upgrade to CLOSED. */
struct rt_connection {
    struct rt_connection *next, **link;
    struct rt_connection *dirty_next; /* has something to write and is not written to yet */
    struct rt_server *server;
    struct lws *wsi;
    void *state; /* the hub's */
    struct rt_claims claims;
    struct rt_queue queue;
    size_t sent; /* of the first message, when it goes out in pieces */
    struct df_buf incoming;
    int64_t heard_ms;
    int64_t close_ms; /* when closing began, or (close_code 0) when it is due at the end */
    enum rt_vsn vsn;
    int close_code; /* it is being closed; 0: it is not */
    char close_reason[48];
    bool is_dirty, is_pinged, wants_ping, is_close_sent, is_cut;
};

struct rt_server {
    const struct rt_config *config;
    struct rt_access *access;
    struct rt_server_handlers handlers;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t tick, drain;
    uv_prepare_t flush;
    uv_poll_t watch;
    void (*on_watched)(void *arg);
    void *watch_arg;
    struct lws_context *context;
    struct lws_vhost *host;
    struct rt_door api_door, admin_door;
    struct rt_guest *guests;
    size_t guest_count, waiting_count;
    struct rt_connection *connections, *dirty;
    struct rt_connection *arriving; /* between adoption and ESTABLISHED */
    size_t incoming_bytes;
    uint64_t next_id, ticks;
    int64_t stop_ms; /* when it must be over */
    bool has_loop, has_handles, is_stopping;
    struct rt_server_stats stats;
};

static inline int64_t rt_server_now_ms(const struct rt_server *server)
{
    return (int64_t)uv_now(&server->loop);
}

/* --- door.c -------------------------------------------------------------------------------------
 */

/* "127.0.0.1:4000", "[::1]:4000" or a path. DF_EUNAVAILABLE: it is taken; DF_EINPUT: it is no
 * place. */
enum df_code rt_door_open(struct rt_door *door, struct rt_server *server, const char *where,
                          bool is_admin, struct df_error *err) DF_MUST_USE;
void rt_door_resume(struct rt_door *door); /* accepts again after a pause */
void rt_door_shut(struct rt_door *door);   /* fine when it is not open */

/* --- guest.c, answer.c --------------------------------------------------------------------------
 */

void rt_guest_new(struct rt_server *server, int fd, bool is_admin); /* takes fd */
void rt_guest_sweep(struct rt_server *server);
void rt_guest_end_all(struct rt_server *server);
/* The end of a guest: its descriptor is closed, or (keep_fd) the caller's. */
void rt_guest_end(struct rt_guest *guest, bool keep_fd);
void rt_guest_set_state(struct rt_guest *guest, enum rt_guest_state state, int64_t wait_ms);

/* Judges a guest whose head is complete: answers, refuses, reads on, or makes it a connection. */
void rt_guest_judge(struct rt_guest *guest);
void rt_guest_take_body(struct rt_guest *guest); /* it is complete */
/* Writes an answer; what does not go out at once follows. body may be "". */
void rt_guest_answer(struct rt_guest *guest, int status, const char *content_type, const char *body,
                     const char *extra_headers);
/* What was built by a refusal that waited. */
void rt_guest_write(struct rt_guest *guest);

/* --- connection.c -------------------------------------------------------------------------------
 */

extern const struct lws_protocols rt_connection_protocols[];
/* Takes fd and the claims over. False: it could not be; fd is closed. */
void rt_connection_begin(struct rt_server *server, int fd, const char *websocket_key,
                         enum rt_vsn vsn, struct rt_claims *claims);
/* Writes what was queued since the last round. */
void rt_connection_flush_all(struct rt_server *server);
void rt_connection_sweep(struct rt_server *server);       /* who is silent, who does not close */
void rt_connection_cut(struct rt_connection *connection); /* at once, without a word */

/* --- metrics.c ----------------------------------------------------------------------------------
 */

/* The hub's text and the server's own; heap, NULL for lack of memory. */
char *rt_server_metrics(const struct rt_server *server);

#endif
