/* scraper/server_ws.c - WebSocket clients: who gets in, what they are sent, when they are closed.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/client_message.h"
#include "scraper/cors.h"
#include "scraper/head.h"
#include "scraper/server_private.h"
#include "shared/clock.h"
#include "shared/log.h"

/* A client that is sent events has to answer pings, so that one that stops reading is found long
 * before the kernel's buffers are full: 3 s to the next ping, 5 s for its answer, 1 s for the
 * sweep. */
enum {
    TOKEN_WAIT_MS = 5000,
    BUSY_PING_MS = 3000,
    IDLE_PING_MS = 25000,
    PONG_WAIT_MS = 5000,
    CLOSE_WAIT_MS = 2000, /* for the closing handshake */
    LATE_MS = 2500,       /* between two sweeps, which are a second apart */
};
enum { CLOSE_GONE = 1001, CLOSE_TOO_BIG = 1009, CLOSE_TOKEN = 4401, CLOSE_SLOW = 4408 };

/* --- sending --------------------------------------------------------------------------------- */

static void close_client(struct scr_server *server, struct scr_client *client, int code,
                         const char *reason)
{
    if (client->close_code != 0)
        return;
    client->close_code = code;
    client->close_ms = df_clock_mono_ms();
    (void)snprintf(client->close_reason, sizeof client->close_reason, "%s", reason);
    scr_queue_release(&client->queue);
    if (client->is_known)
        server->stats.clients--;
    if (code == CLOSE_SLOW)
        server->stats.clients_slow++;
    df_log(code == CLOSE_SLOW ? DF_LOG_WARN : DF_LOG_DEBUG, "client_closed",
           "client=%llu code=%d reason=\"%s\"", (unsigned long long)client->id, code, reason);
    lws_callback_on_writable(client->wsi);
}

static void send_frame(struct scr_server *server, struct scr_client *client,
                       struct scr_packet *frame)
{
    if (client->close_code != 0)
        return;
    if (!scr_queue_push(&client->queue, frame, (size_t)server->config->client_queue_max,
                        (size_t)server->config->client_queue_max_bytes)) {
        close_client(server, client, CLOSE_SLOW, "too slow");
        return;
    }
    lws_callback_on_writable(client->wsi);
}

static void send_text(struct scr_server *server, struct scr_client *client, const char *text)
{
    struct scr_packet *frame = text == NULL ? NULL : scr_packet_new(text, strlen(text));

    if (frame == NULL)
        df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=client");
    else
        send_frame(server, client, frame);
    scr_packet_release(frame);
}

static void send_json(struct scr_server *server, struct scr_client *client, const json_t *event)
{
    char *text = scr_server_encode(event);

    send_text(server, client, text);
    free(text);
}

static void send_error(struct scr_server *server, struct scr_client *client, const char *error)
{
    json_t *event = json_pack("{s:s, s:s}", "type", "error", "error", error);

    send_json(server, client, event);
    json_decref(event);
}

static bool may_see(const struct scr_client *client, const char *owner)
{
    if (!client->is_known || client->close_code != 0)
        return false;
    return client->caller.kind == SCR_CALLER_SERVICE ||
           (client->caller.kind == SCR_CALLER_USER && owner != NULL && owner[0] != '\0' &&
            strcmp(owner, client->caller.sub) == 0);
}

void scr_server_broadcast_text(struct scr_server *server, const char *owner, const char *text,
                               size_t text_len)
{
    struct scr_packet *frame = NULL;

    for (struct scr_client *client = server->clients; client != NULL; client = client->next) {
        if (!may_see(client, owner))
            continue;
        if (frame == NULL)
            frame = scr_packet_new(text, text_len);
        if (frame == NULL) {
            df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=broadcast");
            return;
        }
        send_frame(server, client, frame);
    }
    scr_packet_release(frame);
}

void scr_server_broadcast(struct scr_server *server, const char *owner, const struct json_t *event)
{
    if (server->clients == NULL)
        return;
    char *text = scr_server_encode(event);
    if (text == NULL)
        df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=broadcast");
    else
        scr_server_broadcast_text(server, owner, text, strlen(text));
    free(text);
}

void scr_server_tell(struct scr_server *server, uint64_t client_id, const struct json_t *event)
{
    for (struct scr_client *client = server->clients; client != NULL; client = client->next)
        if (client->id == client_id)
            send_json(server, client, event);
}

int scr_ws_on_writeable(struct scr_server *server, struct scr_seat *seat)
{
    struct scr_client *client = seat->client;
    unsigned char ping[LWS_PRE + 2] = {0}; /* libwebsockets sends no empty one */

    if (client == NULL)
        return -1;
    if (client->close_code != 0) {
        lws_close_reason(client->wsi, (enum lws_close_status)client->close_code,
                         (unsigned char *)client->close_reason, strlen(client->close_reason));
        return -1;
    }
    if (client->wants_ping) {
        client->wants_ping = false;
        if (lws_write(client->wsi, ping + LWS_PRE, 2, LWS_WRITE_PING) < 0)
            return -1;
    } else {
        struct scr_packet *frame = scr_queue_take(&client->queue);
        if (frame == NULL)
            return 0;
        size_t len = frame->len;
        _Static_assert(SCR_FRAME_ROOM >= LWS_PRE, "the header is written in front of the text");
        int n = lws_write(client->wsi, frame->bytes + SCR_FRAME_ROOM, len, LWS_WRITE_TEXT);
        scr_packet_release(frame);
        if (n < (int)len)
            return -1; /* the socket is gone: CLOSED follows */
        client->was_sent_to = true;
        server->stats.frames_sent++;
        server->stats.bytes_sent += len;
    }
    if (!scr_queue_is_empty(&client->queue))
        lws_callback_on_writable(client->wsi);
    return 0;
}

/* --- coming in ------------------------------------------------------------------------------- */

int scr_ws_on_upgrade(struct scr_server *server, struct lws *wsi)
{
    char token[SCR_TOKEN_MAX], path[64], route_id[SCR_ROUTE_ID_MAX];
    bool is_header = false;
    struct scr_caller caller;
    struct df_error err = {0};
    enum scr_route route = SCR_ROUTE_NONE;

    if (!scr_server_is_admin(wsi) && lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI) > 0)
        route = scr_route_find(path, route_id);
    if (route != SCR_ROUTE_ROOT && route != SCR_ROUTE_SOCKET)
        return scr_http_refuse_upgrade(server, wsi, 404, "Not found");
    char *origin = scr_server_copy_header(wsi, WSI_TOKEN_ORIGIN);
    bool is_allowed = scr_cors_allows(server->config->cors_origins, origin);
    free(origin);
    if (!is_allowed)
        return scr_http_refuse_upgrade(server, wsi, 403, "this origin is not allowed");
    if (server->is_stopping)
        return scr_http_refuse_upgrade(server, wsi, 503, "shutting down");
    size_t count = 0;
    for (struct scr_client *client = server->clients; client != NULL; client = client->next)
        count++;
    if (count >= (size_t)server->config->clients_max)
        return scr_http_refuse_upgrade(server, wsi, 503, "too many WebSocket clients");
    /* A wrong header is answered here, as programs expect; browsers cannot read that answer and get
     * a close code instead, so a wrong subprotocol is told later. */
    scr_server_read_token(wsi, token, sizeof token, &is_header);
    enum df_code rc =
        is_header ? scr_access_check(server->access, token, strlen(token), &caller, &err) : DF_OK;
    explicit_bzero(token, sizeof token);
    return rc == DF_OK ? 0 : scr_http_refuse_upgrade(server, wsi, 401, err.msg);
}

/* The answer to a list of subprotocols that was kept from libwebsockets. */
int scr_ws_add_headers(struct lws *wsi, struct lws_process_html_args *args)
{
    char *list = scr_server_copy_header(wsi, WSI_TOKEN_X_AUTH_TOKEN);
    struct scr_offer offer;

    if (list == NULL)
        return 0;
    scr_head_offer(&offer, list, strlen(list));
    int rc = 0;
    if (offer.answer != NULL) {
        int n = snprintf(args->p, (size_t)args->max_len, "Sec-WebSocket-Protocol: %.*s\r\n",
                         (int)offer.answer_len, offer.answer);
        if (n > 0 && n < args->max_len)
            args->p += n;
        else
            rc = 1;
    }
    explicit_bzero(list, strlen(list));
    free(list);
    return rc;
}

/* Judges a token and greets. */
static void admit(struct scr_server *server, struct scr_client *client, const char *token)
{
    struct df_error err = {0};

    client->token = strdup(token);
    if (client->token == NULL) {
        close_client(server, client, CLOSE_TOKEN, "out of memory");
        return;
    }
    if (scr_access_check(server->access, client->token, strlen(client->token), &client->caller,
                         &err) != DF_OK) {
        err.msg[sizeof client->close_reason - 1] = '\0';
        close_client(server, client, CLOSE_TOKEN, err.msg);
        return;
    }
    client->is_known = true;
    server->stats.clients++;
    server->stats.clients_ever++;
    json_t *hello = server->handlers.on_client(server->handlers.arg, &client->caller);
    if (hello != NULL)
        send_json(server, client, hello);
    json_decref(hello);
}

int scr_ws_on_open(struct scr_server *server, struct lws *wsi, struct scr_seat *seat)
{
    char token[SCR_TOKEN_MAX];
    bool is_header;

    struct scr_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return -1;
    client->wsi = wsi;
    client->id = ++server->next_id;
    client->since_ms = client->last_ping_ms = df_clock_mono_ms();
    df_buf_init(&client->incoming, SCR_CLIENT_MESSAGE_MAX_BYTES);
    client->next = server->clients;
    client->link = &server->clients;
    if (client->next != NULL)
        client->next->link = &client->next;
    server->clients = client;
    seat->client = client;
    scr_server_read_token(wsi, token, sizeof token, &is_header);
    if (token[0] != '\0' || server->config->api_auth == SCR_AUTH_OFF)
        admit(server, client, token);
    explicit_bzero(token, sizeof token);
    return 0;
}

void scr_ws_on_gone(struct scr_server *server, struct scr_seat *seat)
{
    struct scr_client *client = seat == NULL ? NULL : seat->client;

    if (client == NULL)
        return;
    seat->client = NULL;
    if (client->is_known && client->close_code == 0)
        server->stats.clients--;
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    scr_queue_release(&client->queue);
    df_buf_release(&client->incoming);
    if (client->token != NULL)
        explicit_bzero(client->token, strlen(client->token));
    free(client->token);
    free(client);
}

/* --- what clients say ------------------------------------------------------------------------ */

static void on_message(struct scr_server *server, struct scr_client *client, const char *text,
                       size_t text_len)
{
    struct scr_client_message message;
    struct df_error err = {0};

    enum scr_client_verb verb = scr_client_message_parse(&message, text, text_len, &err);
    if (!client->is_known && verb != SCR_CLIENT_AUTH) {
        close_client(server, client, CLOSE_TOKEN, "the first message must be a token");
    } else if (verb == SCR_CLIENT_AUTH) {
        if (!client->is_known)
            admit(server, client, message.token);
    } else if (verb == SCR_CLIENT_PING) {
        send_text(server, client, "{\"type\":\"pong\"}");
    } else if (verb == SCR_CLIENT_ACTION) {
        server->handlers.on_action(server->handlers.arg, client->id, &client->caller, message.root);
    } else {
        send_error(server, client, err.msg);
    }
    scr_client_message_release(&message);
}

int scr_ws_on_bytes(struct scr_server *server, struct scr_seat *seat, const char *bytes, size_t len)
{
    struct scr_client *client = seat->client;

    if (client == NULL || client->close_code != 0)
        return 0;
    bool is_last =
        lws_is_final_fragment(client->wsi) != 0 && lws_remaining_packet_payload(client->wsi) == 0;
    if (!df_buf_append(&client->incoming, bytes, len)) {
        close_client(server, client, CLOSE_TOO_BIG, "a message is over 64 KiB");
        return 0;
    }
    if (!is_last)
        return 0;
    if (lws_frame_is_binary(client->wsi) != 0 && client->is_known)
        send_error(server, client, "binary messages have no meaning here");
    else
        on_message(server, client, client->incoming.data == NULL ? "" : client->incoming.data,
                   client->incoming.len);
    if (client->incoming.data != NULL) /* it may have held a token */
        explicit_bzero(client->incoming.data, client->incoming.len);
    df_buf_release(&client->incoming);
    return 0;
}

void scr_ws_on_pong(struct scr_seat *seat)
{
    if (seat->client != NULL)
        seat->client->ping_ms = 0;
}

/* --- once a second --------------------------------------------------------------------------- */

static void look_at(struct scr_server *server, struct scr_client *client, int64_t now_ms,
                    int64_t now_s, bool is_late)
{
    if (client->close_code != 0) {
        if (now_ms - client->close_ms >= CLOSE_WAIT_MS)
            lws_set_timeout(client->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    } else if (!client->is_known && now_ms - client->since_ms >= TOKEN_WAIT_MS) {
        close_client(server, client, CLOSE_TOKEN, "no token came within 5 s");
    } else if (client->is_known && client->caller.expires_at_s <= now_s) {
        close_client(server, client, CLOSE_TOKEN, "token expired");
    } else if (client->ping_ms != 0) {
        if (now_ms - client->ping_ms >= PONG_WAIT_MS && !is_late)
            close_client(server, client, CLOSE_SLOW, "too slow");
    } else if (now_ms - client->last_ping_ms >=
               (client->was_sent_to ? BUSY_PING_MS : IDLE_PING_MS)) {
        client->ping_ms = client->last_ping_ms = now_ms;
        client->wants_ping = true;
        client->was_sent_to = false;
        lws_callback_on_writable(client->wsi);
    }
}

void scr_ws_sweep(struct scr_server *server)
{
    int64_t now_ms = df_clock_mono_ms(), now_s = df_clock_wall_ms() / 1000;
    /* We were held up ourselves: answers may lie unread, and nobody is to blame. */
    bool is_late = server->swept_ms != 0 && now_ms - server->swept_ms >= LATE_MS;

    server->swept_ms = now_ms;
    for (struct scr_client *client = server->clients, *next; client != NULL; client = next) {
        next = client->next;
        look_at(server, client, now_ms, now_s, is_late);
    }
}

void scr_ws_close_all(struct scr_server *server, int code, const char *reason)
{
    for (struct scr_client *client = server->clients; client != NULL; client = client->next)
        close_client(server, client, code, reason);
}
