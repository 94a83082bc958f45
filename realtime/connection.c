/* realtime/connection.c - WebSockets: what they are sent, what they say, when they are closed.
 *
 * A message is written as soon as the loop's round is over, without waiting to be told that the
 * socket is writeable: it nearly always is, and asking costs two system calls a message. What a
 * socket does not take, libwebsockets keeps; more is written when it says that this is out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "realtime/server_private.h"
#include "shared/log.h"

enum {
    SLICE_BYTES = 65536,   /* a longer message goes out in fragments: libwebsockets copies what a
                              slow socket does not take, and that must stay small */
    SMALL_BYTES = 8192,    /* such messages go out together when several wait */
    ROUND_BYTES = 1 << 20, /* for one connection, then others have a turn */
    CLOSE_WAIT_MS = 2000,  /* for what is queued, and for the closing handshake */
    KEY_BYTES = 24,        /* of Sec-WebSocket-Key: 16 bytes in base64 */
    CONTROL_MAX_BYTES = 125,
};
enum { CLOSE_IDLE = 1000, CLOSE_TOO_BIG = 1009, CLOSE_TRY_LATER = 1013 };

_Static_assert(RT_BLOB_ROOM >= LWS_PRE, "the header is written in front of the bytes");

/* What libwebsockets keeps for each connection; zeroed by it. */
struct seat {
    struct rt_connection *connection;
};

/* --- writing ------------------------------------------------------------------------------------
 */

static unsigned char piece[LWS_PRE + SLICE_BYTES]; /* loop thread */

static int write_slice(struct rt_connection *connection, const struct rt_blob *blob)
{
    size_t len = blob->len - connection->sent;
    int type = connection->sent > 0 ? LWS_WRITE_CONTINUATION
               : blob->is_binary    ? LWS_WRITE_BINARY
                                    : LWS_WRITE_TEXT;

    if (len > SLICE_BYTES) {
        len = SLICE_BYTES;
        type |= LWS_WRITE_NO_FIN;
    }
    /* The header of a later piece would be written over the end of the one before. */
    memcpy(piece + LWS_PRE, blob->bytes + RT_BLOB_ROOM + connection->sent, len);
    if (lws_write(connection->wsi, piece + LWS_PRE, len, (enum lws_write_protocol)type) < (int)len)
        return -1;
    return (int)len;
}

static void pop(struct rt_connection *connection)
{
    struct rt_server_stats *stats = &connection->server->stats;

    stats->frames_out++;
    stats->bytes_out += rt_queue_first(&connection->queue)->len;
    rt_queue_pop(&connection->queue);
    connection->sent = 0;
}

/* Several small messages with one system call, as frames of our own making (RFC 6455 5.2). */
static int write_small(struct rt_connection *connection)
{
    const struct rt_blob *blob;
    size_t len = 0;

    while ((blob = rt_queue_first(&connection->queue)) != NULL && blob->len <= SMALL_BYTES &&
           len + 4 + blob->len <= SLICE_BYTES) {
        unsigned char *at = piece + LWS_PRE + len;
        size_t header = blob->len < 126 ? 2 : 4;
        at[0] = blob->is_binary ? 0x82 : 0x81;
        at[1] = header == 2 ? (unsigned char)blob->len : 126;
        at[2] = (unsigned char)(blob->len >> 8); /* overwritten when the header is short */
        at[3] = (unsigned char)blob->len;
        memcpy(at + header, blob->bytes + RT_BLOB_ROOM, blob->len);
        len += header + blob->len;
        pop(connection);
    }
    return lws_write(connection->wsi, piece + LWS_PRE, len, LWS_WRITE_HTTP); /* as it is */
}

/* One message, several small ones, or a piece of a long one. -1: the socket is gone. */
static int write_first(struct rt_connection *connection)
{
    struct rt_blob *blob = rt_queue_first(&connection->queue);
    int n;

    if (connection->queue.count > 1 && blob->len <= SMALL_BYTES)
        return write_small(connection);
    if (blob->len > SLICE_BYTES)
        n = write_slice(connection, blob);
    else
        n = lws_write(connection->wsi, blob->bytes + RT_BLOB_ROOM, blob->len,
                      blob->is_binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    if (n < 0)
        return -1;
    connection->sent += (size_t)n;
    if (connection->sent >= blob->len)
        pop(connection);
    return n;
}

static int write_ping(struct rt_connection *connection)
{
    unsigned char ping[LWS_PRE + 2] = {0}; /* libwebsockets sends no empty one */

    connection->wants_ping = false;
    return lws_write(connection->wsi, ping + LWS_PRE, 2, LWS_WRITE_PING);
}

/* By ourselves: with libuv, Debian's libwebsockets 4.1 hangs up where it should send the close
 * frame (it closes twice, to test itself). The peer answers with its own, see on_lws. */
static int write_close(struct rt_connection *connection)
{
    unsigned char frame[LWS_PRE + 4 + CONTROL_MAX_BYTES], *at = frame + LWS_PRE;
    size_t len = strlen(connection->close_reason);

    connection->is_close_sent = true;
    at[0] = 0x88; /* RFC 6455 5.5.1 */
    at[1] = (unsigned char)(len + 2);
    at[2] = (unsigned char)(connection->close_code >> 8);
    at[3] = (unsigned char)connection->close_code;
    memcpy(at + 4, connection->close_reason, len);
    return lws_write(connection->wsi, at, len + 4, LWS_WRITE_HTTP); /* as it is */
}

/* Writes while the socket takes it. -1: the socket is gone. */
static int flush(struct rt_connection *connection)
{
    size_t round = 0;
    int n = 0;

    if (connection->is_cut || connection->is_close_sent)
        return 0;
    while (n >= 0 && round < ROUND_BYTES && !lws_partial_buffered(connection->wsi)) {
        if (connection->wants_ping)
            n = write_ping(connection);
        else if (connection->queue.count > 0)
            n = write_first(connection);
        else
            return connection->close_code == 0 ? 0 : write_close(connection);
        round += n > 0 ? (size_t)n : 0;
    }
    lws_callback_on_writable(connection->wsi);
    return n;
}

static void mark_dirty(struct rt_connection *connection)
{
    if (connection->is_dirty)
        return;
    connection->is_dirty = true;
    connection->dirty_next = connection->server->dirty;
    connection->server->dirty = connection;
}

void rt_connection_flush_all(struct rt_server *server)
{
    while (server->dirty != NULL) {
        struct rt_connection *connection = server->dirty;
        server->dirty = connection->dirty_next;
        connection->is_dirty = false;
        if (flush(connection) < 0)
            rt_connection_cut(connection);
    }
}

bool rt_connection_send(struct rt_connection *connection, struct rt_blob *blob, bool is_control)
{
    if (connection->close_code != 0 || connection->is_cut)
        return true; /* it hears nothing any more */
    if (!rt_queue_push(&connection->queue, blob,
                       (size_t)connection->server->config->queue_max_bytes, is_control))
        return false;
    mark_dirty(connection);
    return true;
}

size_t rt_connection_queued_bytes(const struct rt_connection *connection)
{
    return connection->queue.bytes - connection->sent;
}

/* --- closing ------------------------------------------------------------------------------------
 */

void rt_connection_close(struct rt_connection *connection, int code, const char *reason)
{
    if (connection->close_code != 0 || connection->is_cut)
        return;
    connection->close_code = code;
    connection->close_ms = rt_server_now_ms(connection->server);
    (void)snprintf(connection->close_reason, sizeof connection->close_reason, "%s", reason);
    mark_dirty(connection);
}

void rt_connection_cut(struct rt_connection *connection)
{
    if (connection->is_cut)
        return;
    connection->is_cut = true;
    rt_queue_release(&connection->queue);
    connection->sent = 0;
    /* libwebsockets finds it dead in the next round; it cannot be told to from outside. */
    (void)shutdown(lws_get_socket_fd(connection->wsi), SHUT_RDWR);
}

static void look_at(struct rt_server *server, struct rt_connection *connection, int64_t now_ms)
{
    int64_t silent_ms = now_ms - connection->heard_ms;

    if (connection->close_code != 0) {
        if (now_ms - connection->close_ms < CLOSE_WAIT_MS || connection->is_cut)
            return;
        if (connection->queue.count > 0)
            server->stats.closed_slow++;
        rt_connection_cut(connection);
    } else if (silent_ms >= server->config->idle_ms) {
        server->stats.closed_idle++;
        rt_connection_close(connection, CLOSE_IDLE, "no frame for too long");
    } else if (silent_ms >= server->config->idle_ms / 2 && !connection->is_pinged) {
        connection->is_pinged = connection->wants_ping = true;
        mark_dirty(connection);
    }
}

void rt_connection_sweep(struct rt_server *server)
{
    int64_t now_ms = rt_server_now_ms(server);

    for (struct rt_connection *connection = server->connections; connection != NULL;
         connection = connection->next)
        look_at(server, connection, now_ms);
}

/* --- coming and going ---------------------------------------------------------------------------
 */

static void release(struct rt_connection *connection)
{
    rt_queue_release(&connection->queue);
    connection->server->incoming_bytes -= connection->incoming.len;
    df_buf_release(&connection->incoming);
    rt_claims_release(&connection->claims);
    free(connection);
}

void rt_connection_begin(struct rt_server *server, int fd, const char *websocket_key,
                         enum rt_vsn vsn, struct rt_claims *claims)
{
    char head[256];
    struct rt_connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL) {
        df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=connection");
        rt_claims_release(claims);
        (void)close(fd);
        return;
    }
    connection->server = server;
    connection->vsn = vsn;
    connection->claims = *claims;
    connection->heard_ms = rt_server_now_ms(server);
    df_buf_init(&connection->incoming, (size_t)server->config->frame_max_bytes);
    memset(claims, 0, sizeof *claims);
    int n = snprintf(head, sizeof head,
                     "GET / HTTP/1.1\r\nHost: realtime\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: %.*s\r\n\r\n",
                     KEY_BYTES, websocket_key);
    server->arriving = connection;
    /* Answers the upgrade before it returns; closes fd when it fails. */
    (void)lws_adopt_socket_vhost_readbuf(server->host, fd, head, (size_t)n);
    if (server->arriving != NULL) {
        server->arriving = NULL;
        df_log(DF_LOG_WARN, "upgrade_failed", "%s", "");
        release(connection);
    }
}

static int on_open(struct rt_server *server, struct lws *wsi, struct seat *seat)
{
    struct rt_connection *connection = server->arriving;

    if (connection == NULL)
        return -1;
    server->arriving = NULL;
    seat->connection = connection;
    connection->wsi = wsi;
    connection->next = server->connections;
    connection->link = &server->connections;
    if (connection->next != NULL)
        connection->next->link = &connection->next;
    server->connections = connection;
    server->stats.connections++;
    server->stats.connections_ever++;
    connection->state = server->handlers.on_open(server->handlers.arg, connection, connection->vsn,
                                                 &connection->claims);
    return connection->state == NULL ? -1 : 0;
}

static void on_gone(struct rt_server *server, struct seat *seat)
{
    struct rt_connection *connection = seat == NULL ? NULL : seat->connection;

    if (connection == NULL)
        return;
    seat->connection = NULL;
    *connection->link = connection->next;
    if (connection->next != NULL)
        connection->next->link = connection->link;
    server->stats.connections--;
    if (connection->state != NULL)
        server->handlers.on_close(server->handlers.arg, connection->state);
    if (connection->is_dirty) {
        struct rt_connection **link = &server->dirty;
        while (*link != connection)
            link = &(*link)->dirty_next;
        *link = connection->dirty_next;
    }
    release(connection);
}

/* --- what clients say ---------------------------------------------------------------------------
 */

static void forget_incoming(struct rt_connection *connection)
{
    connection->server->incoming_bytes -= connection->incoming.len;
    df_buf_release(&connection->incoming);
}

static void on_message(struct rt_connection *connection, const void *bytes, size_t len)
{
    struct rt_server *server = connection->server;

    server->stats.frames_in++;
    server->handlers.on_message(server->handlers.arg, connection->state,
                                lws_frame_is_binary(connection->wsi) != 0, bytes, len);
}

static void refuse_message(struct rt_connection *connection, int code, const char *reason)
{
    forget_incoming(connection);
    rt_connection_close(connection, code, reason);
}

static void on_bytes(struct rt_connection *connection, const char *bytes, size_t len)
{
    struct rt_server *server = connection->server;
    size_t more = lws_remaining_packet_payload(connection->wsi);
    bool is_last = lws_is_final_fragment(connection->wsi) != 0 && more == 0;

    connection->heard_ms = rt_server_now_ms(server);
    connection->is_pinged = false;
    server->stats.bytes_in += len;
    if (connection->close_code != 0 || connection->is_cut)
        return;
    if (len + more > connection->incoming.max - connection->incoming.len) {
        server->stats.closed_oversized++;
        refuse_message(connection, CLOSE_TOO_BIG, "message too big");
    } else if (is_last && connection->incoming.len == 0) {
        on_message(connection, bytes, len);
    } else if (server->incoming_bytes + len > RT_INCOMING_MAX_BYTES ||
               !df_buf_append(&connection->incoming, bytes, len)) {
        refuse_message(connection, CLOSE_TRY_LATER, "no room for the message");
    } else {
        server->incoming_bytes += len;
        if (!is_last)
            return;
        on_message(connection, connection->incoming.data, connection->incoming.len);
        forget_incoming(connection);
    }
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct rt_server *server = lws_context_user(lws_get_context(wsi));
    struct seat *seat = user;
    struct rt_connection *connection = seat == NULL ? NULL : seat->connection;

    switch (reason) {
    case LWS_CALLBACK_ESTABLISHED:
        return on_open(server, wsi, seat);
    case LWS_CALLBACK_RECEIVE:
        if (connection != NULL)
            on_bytes(connection, in, len);
        return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (connection != NULL) {
            connection->heard_ms = rt_server_now_ms(server);
            connection->is_pinged = false;
        }
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return connection == NULL || flush(connection) < 0 ? -1 : 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        /* An answer to ours ends it; to its own libwebsockets answers. */
        return connection == NULL || connection->is_close_sent ? -1 : 0;
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        on_gone(server, seat);
        return 0;
    case LWS_CALLBACK_HTTP:
        return -1; /* only upgrades are handed over */
    default:
        return 0;
    }
}

const struct lws_protocols rt_connection_protocols[] = {
    /* 1 KiB each for what is being received: most messages fit, longer ones come in pieces. Writes
     * would be cut to the same size. */
    {"realtime", on_lws, sizeof(struct seat), 1024, 0, NULL, SLICE_BYTES + CONTROL_MAX_BYTES},
    {0},
};
