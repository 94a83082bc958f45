/* realtime/answer.c - what a request is answered: the broadcast routes, health, refused upgrades.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "realtime/server_private.h"
#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"

enum {
    BODY_WAIT_MS = 30000,
    ASK_WAIT_MS = 30000,
    TOKEN_MAX_BYTES = 8192,
    WEBSOCKET_KEY_BYTES = 24,
};
#define JSON "application/json"
#define CORS                                                                                       \
    "Access-Control-Allow-Methods: GET, POST, OPTIONS\r\n"                                         \
    "Access-Control-Allow-Headers: authorization, x-client-info, apikey, content-type, "           \
    "x-api-key\r\n"                                                                                \
    "Access-Control-Max-Age: 86400\r\n"

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return status < 400 ? "OK" : "Error";
}

/* --- building an answer -------------------------------------------------------------------------
 */

static void build(struct rt_guest *guest, int status, const char *content_type, const char *body,
                  const char *extra_headers)
{
    struct df_buf *out = &guest->out;
    size_t len = strlen(body);

    if (status >= 400)
        guest->server->stats.refused++;
    (void)df_buf_printf(out, "HTTP/1.1 %d %s\r\n", status, phrase(status));
    if (len > 0)
        (void)df_buf_printf(out, "Content-Type: %s\r\n", content_type);
    if (status != 204)
        (void)df_buf_printf(out, "Content-Length: %zu\r\n", len);
    (void)df_buf_printf(out,
                        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                        "Access-Control-Allow-Origin: *\r\nConnection: close\r\n%s\r\n",
                        extra_headers);
    if (!guest->is_head)
        (void)df_buf_append(out, body, len);
}

void rt_guest_answer(struct rt_guest *guest, int status, const char *content_type, const char *body,
                     const char *extra_headers)
{
    build(guest, status, content_type, body, extra_headers);
    if (guest->out.failed)
        rt_guest_end(guest, false);
    else
        rt_guest_write(guest);
}

/* The same after a pause, unless too many wait already. */
static void refuse(struct rt_guest *guest, int status, const char *body)
{
    struct rt_server *server = guest->server;
    const struct rt_config *config = server->config;

    build(guest, status, JSON, body, status == 426 ? "Sec-WebSocket-Version: 13\r\n" : "");
    if (guest->out.failed)
        rt_guest_end(guest, false);
    else if (config->refuse_delay_ms > 0 && !server->is_stopping &&
             server->waiting_count < (size_t)config->refuse_waiting_max)
        rt_guest_set_state(guest, RT_GUEST_WAITING, config->refuse_delay_ms);
    else
        rt_guest_write(guest);
}

static void refuse_upgrade(struct rt_guest *guest, int status, const char *error)
{
    struct df_buf body;

    df_buf_init(&body, 1024);
    (void)df_buf_append_str(&body, "{\"error\":");
    (void)df_json_append_string(&body, error, strlen(error));
    (void)df_buf_append_char(&body, '}');
    df_log(DF_LOG_DEBUG, "upgrade_refused", "status=%d why=\"%s\"", status, error);
    refuse(guest, status, body.failed ? "{}" : body.data);
    df_buf_release(&body);
}

/* --- upgrades -----------------------------------------------------------------------------------
 */

static bool is_websocket_key(struct rt_slice key)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   "+/";

    if (key.len != WEBSOCKET_KEY_BYTES || memcmp(key.text + key.len - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i + 2 < key.len; i++)
        if (memchr(alphabet, key.text[i], sizeof alphabet - 1) == NULL)
            return false;
    return true;
}

/* Fills claims from the request's token. False: reason holds the words. */
static bool identify(struct rt_guest *guest, const struct rt_head *head, bool is_upgrade,
                     char *reason, size_t reason_size)
{
    char token[TOKEN_MAX_BYTES + 2];
    size_t len = rt_head_token(head, !is_upgrade, token, sizeof token);
    bool ok = false;

    if (len == 0)
        (void)snprintf(reason, reason_size, "API key is missing");
    else
        ok = rt_access_check(guest->server->access, token, len, df_clock_wall_ms() / 1000,
                             &guest->claims, reason, reason_size);
    explicit_bzero(token, sizeof token);
    return ok;
}

static void upgrade(struct rt_guest *guest, const struct rt_head *head)
{
    struct rt_server *server = guest->server;
    char text[32], reason[200];
    enum rt_vsn vsn;

    int len = rt_query_get(head->query, "vsn", text, sizeof text);
    if (!rt_slice_is(head->header[RT_HEADER_UPGRADE], "websocket") ||
        !rt_slice_is(head->header[RT_HEADER_WEBSOCKET_VERSION], "13")) {
        refuse_upgrade(guest, 426, "this is a WebSocket of version 13");
    } else if (!is_websocket_key(head->header[RT_HEADER_WEBSOCKET_KEY]) ||
               guest->in.len > guest->head_len) {
        refuse_upgrade(guest, 400, "not a proper WebSocket handshake");
    } else if (!rt_vsn_parse(&vsn, len < 0 ? NULL : text)) {
        refuse_upgrade(guest, 400, "Unsupported vsn: use 1.0.0 or 2.0.0");
    } else if (server->is_stopping) {
        refuse_upgrade(guest, 503, "shutting down");
    } else if (!identify(guest, head, true, reason, sizeof reason)) {
        refuse_upgrade(guest, 401, rt_access_http_text(reason));
    } else if (server->stats.connections >= (uint64_t)server->config->clients_max) {
        refuse_upgrade(guest, 429, "Too many connected users");
    } else {
        char key[WEBSOCKET_KEY_BYTES + 1] = {0};
        struct rt_claims claims = guest->claims;
        int fd = guest->fd;
        memcpy(key, head->header[RT_HEADER_WEBSOCKET_KEY].text, WEBSOCKET_KEY_BYTES);
        memset(&guest->claims, 0, sizeof guest->claims);
        rt_guest_end(guest, true);
        rt_connection_begin(server, fd, key, vsn, &claims);
    }
}

/* --- broadcasts ---------------------------------------------------------------------------------
 */

/* Media type without parameters. */
static bool type_is(struct rt_slice type, const char *want)
{
    const char *semicolon = type.len == 0 ? NULL : memchr(type.text, ';', type.len);

    if (semicolon != NULL)
        type.len = (size_t)(semicolon - type.text);
    while (type.len > 0 && type.text[type.len - 1] == ' ')
        type.len--;
    return rt_slice_is(type, want);
}

static void expect_body(struct rt_guest *guest, const struct rt_head *head)
{
    struct rt_server *server = guest->server;
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    int64_t len = rt_slice_number(head->header[RT_HEADER_CONTENT_LENGTH]);

    if (len < 0 || head->header[RT_HEADER_TRANSFER_ENCODING].text != NULL) {
        rt_guest_answer(guest, 411, JSON, "{\"message\":\"Content-Length is required\"}", "");
    } else if (len > server->config->frame_max_bytes) {
        rt_guest_answer(guest, 413, JSON, "{\"message\":\"Payload too large\"}", "");
    } else if (server->incoming_bytes + (size_t)len > RT_INCOMING_MAX_BYTES) {
        rt_guest_answer(guest, 503, JSON, "{\"message\":\"Too busy\"}", "Retry-After: 1\r\n");
    } else {
        guest->body_len = (size_t)len;
        server->incoming_bytes += guest->body_len;
        guest->in.max = guest->head_len + guest->body_len + RT_HEAD_MAX_BYTES;
        if (rt_slice_is(head->header[RT_HEADER_EXPECT], "100-continue"))
            (void)send(guest->fd, go_on, sizeof go_on - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (guest->in.len >= guest->head_len + guest->body_len)
            rt_guest_take_body(guest);
        else
            rt_guest_set_state(guest, RT_GUEST_BODY, BODY_WAIT_MS);
    }
}

static void broadcast(struct rt_guest *guest, const struct rt_head *head)
{
    struct rt_slice type = head->header[RT_HEADER_CONTENT_TYPE];
    char text[8], reason[200];

    guest->is_json = guest->target.route == RT_ROUTE_BATCH || type_is(type, JSON);
    guest->is_private =
        rt_query_get(head->query, "private", text, sizeof text) == 4 && strcmp(text, "true") == 0;
    if (head->method == RT_METHOD_OPTIONS)
        rt_guest_answer(guest, 204, JSON, "", CORS);
    else if (head->method != RT_METHOD_POST)
        rt_guest_answer(guest, 405, JSON, "{\"message\":\"Method not allowed\"}",
                        "Allow: POST, OPTIONS\r\n");
    else if (guest->server->is_stopping)
        rt_guest_answer(guest, 503, JSON, "{\"message\":\"Shutting down\"}", "");
    else if (!identify(guest, head, false, reason, sizeof reason))
        refuse(guest, 401, "{\"message\":\"Unauthorized\"}");
    else if (!guest->is_json && !type_is(type, "application/octet-stream"))
        rt_guest_answer(guest, 415, JSON,
                        "{\"message\":\"Use application/json or application/octet-stream\"}", "");
    else
        expect_body(guest, head);
}

void rt_guest_take_body(struct rt_guest *guest)
{
    struct rt_server *server = guest->server;
    const struct rt_server_handlers *on = &server->handlers;
    bool is_batch = guest->target.route == RT_ROUTE_BATCH;

    rt_guest_set_state(guest, RT_GUEST_ASKED, ASK_WAIT_MS);
    on->on_broadcast(on->arg, guest->id, &guest->claims, is_batch ? NULL : guest->target.topic,
                     is_batch ? NULL : guest->target.event, guest->is_private, guest->is_json,
                     (const uint8_t *)guest->in.data + guest->head_len, guest->body_len);
}

void rt_server_reply_http(struct rt_server *server, uint64_t request, int status,
                          const char *json_or_empty)
{
    struct rt_guest *guest = server->guests;

    while (guest != NULL && guest->id != request)
        guest = guest->next;
    if (guest != NULL && guest->state == RT_GUEST_ASKED) /* else it has left */
        rt_guest_answer(guest, status, JSON, json_or_empty, "");
}

/* --- health -------------------------------------------------------------------------------------
 */

static void tell_state(struct rt_guest *guest)
{
    struct rt_server *server = guest->server;
    bool is_ready = !server->is_stopping && server->handlers.is_ready(server->handlers.arg);
    char *text;

    switch (guest->target.route) {
    case RT_ROUTE_HEALTH:
        rt_guest_answer(guest, 200, JSON, "{\"status\":\"ok\"}", "");
        break;
    case RT_ROUTE_READY:
        rt_guest_answer(guest, is_ready ? 200 : 503, JSON,
                        is_ready ? "{\"status\":\"ok\"}" : "{\"status\":\"unavailable\"}", "");
        break;
    default:
        text = rt_server_metrics(server);
        rt_guest_answer(guest, text == NULL ? 503 : 200, "text/plain; version=0.0.4",
                        text == NULL ? "" : text, "");
        free(text);
    }
}

void rt_guest_judge(struct rt_guest *guest)
{
    struct rt_head head;
    struct df_error err = {0};

    if (rt_head_parse(&head, guest->in.data, guest->head_len, &err) != DF_OK) {
        rt_guest_answer(guest, 400, JSON, "{\"error\":\"Bad request\"}", "");
        return;
    }
    guest->is_head = head.method == RT_METHOD_HEAD;
    rt_target_parse(&guest->target, head.path);
    enum rt_route route = guest->target.route;
    bool is_state = route == RT_ROUTE_HEALTH || route == RT_ROUTE_READY ||
                    (guest->is_admin && route == RT_ROUTE_METRICS);
    bool is_post = route == RT_ROUTE_BATCH || route == RT_ROUTE_BROADCAST;
    if (is_state && (head.method == RT_METHOD_GET || guest->is_head))
        tell_state(guest);
    else if (!guest->is_admin && is_post)
        broadcast(guest, &head);
    else if (!guest->is_admin && route == RT_ROUTE_SOCKET && head.method == RT_METHOD_GET)
        upgrade(guest, &head);
    else if (is_state || (!guest->is_admin && route == RT_ROUTE_SOCKET))
        rt_guest_answer(guest, 405, JSON, "{\"error\":\"Method not allowed\"}", "Allow: GET\r\n");
    else
        rt_guest_answer(guest, 404, JSON, "{\"error\":\"Not found\"}", "");
}
