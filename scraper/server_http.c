/* scraper/server_http.c - requests and their answers.
 *
 * One request a connection: when two come in one packet and the second has a body,
 * libwebsockets 4.1 reads that out of memory it has freed. Callers come seldom, so a connection
 * each costs nothing. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/cors.h"
#include "scraper/server_private.h"
#include "shared/json.h"
#include "shared/log.h"

enum { SLICE_BYTES = 32 << 10 }; /* of an answer in one write, so that a picture disturbs nobody */

static const char *phrase(int status)
{
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return status < 400 ? "OK" : "Error";
}

/* --- building an answer ---------------------------------------------------------------------- */

static void append_cors(struct df_buf *head, const struct scr_server *server, const char *origin)
{
    const char *list = server->config->cors_origins;
    const char *value = scr_cors_value(list, origin);

    if (value != NULL)
        (void)df_buf_printf(head, "Access-Control-Allow-Origin: %s\r\n", value);
    if (strcmp(list, "*") != 0)
        (void)df_buf_append_str(head, "Vary: Origin\r\n");
}

static void append_preflight(struct df_buf *head, enum scr_route route)
{
    (void)df_buf_printf(head,
                        "Access-Control-Allow-Methods: %s\r\n"
                        "Access-Control-Allow-Headers: authorization, content-type, apikey, "
                        "x-client-info\r\n"
                        "Access-Control-Max-Age: 86400\r\n",
                        scr_route_methods(route));
}

/* The head of an answer. content_type NULL: no body. */
static void append_head(struct df_buf *head, const struct scr_server *server, int status,
                        const char *origin, const char *content_type, size_t len)
{
    (void)df_buf_printf(head, "HTTP/1.1 %d %s\r\n", status, phrase(status));
    if (content_type != NULL)
        (void)df_buf_printf(head,
                            "Content-Type: %s\r\nContent-Length: %zu\r\n"
                            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
                            content_type, len);
    if (status == 401)
        (void)df_buf_append_str(head, "WWW-Authenticate: Bearer\r\n");
    (void)df_buf_append_str(head, "Connection: close\r\n");
    append_cors(head, server, origin);
}

/* Puts head and body together and asks for a chance to write. extra: further header lines. */
static void answer(struct scr_server *server, struct scr_request *request, int status,
                   const char *content_type, const void *body, size_t len, const char *extra)
{
    struct df_buf head;

    if (request->is_answered)
        return;
    request->is_answered = true;
    if (status >= 400)
        server->stats.refused++;
    df_buf_init(&head, 8192);
    append_head(&head, server, status, request->origin, content_type, len);
    if (request->route != SCR_ROUTE_NONE && status == 204)
        append_preflight(&head, request->route);
    (void)df_buf_append_str(&head, extra);
    (void)df_buf_append_str(&head, "\r\n");
    if (request->is_head)
        len = 0;
    if (!head.failed)
        request->out = malloc(LWS_PRE + head.len + len);
    if (request->out != NULL) {
        memcpy(request->out + LWS_PRE, head.data, head.len);
        if (len > 0)
            memcpy(request->out + LWS_PRE + head.len, body, len);
        request->out_len = head.len + len;
    } else {
        df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=answer");
    }
    df_buf_release(&head);
    lws_callback_on_writable(request->wsi);
}

static char *error_text(const char *error)
{
    json_t *body = json_pack("{s:s}", "error", error);
    char *text = scr_server_encode(body);

    json_decref(body);
    return text;
}

static void answer_error(struct scr_server *server, struct scr_request *request, int status,
                         const char *error)
{
    char allow[64] = "";
    char *text = error_text(error);

    if (status == 405)
        (void)snprintf(allow, sizeof allow, "Allow: %s\r\n", scr_route_methods(request->route));
    answer(server, request, status, "application/json", text == NULL ? "{}" : text,
           text == NULL ? 2 : strlen(text), allow);
    free(text);
}

static struct scr_request *find(struct scr_server *server, uint64_t id)
{
    struct scr_request *request = server->requests;

    while (request != NULL && request->id != id)
        request = request->next;
    return request;
}

void scr_server_reply(struct scr_server *server, uint64_t id, int status, struct json_t *body)
{
    struct scr_request *request = find(server, id);

    if (request == NULL) { /* it has gone, or is no request but a WebSocket client */
        if (status >= 400 && json_object_set_new(body, "type", json_string("error")) == 0)
            scr_server_tell(server, id, body);
        json_decref(body);
        return;
    }
    char *text = scr_server_encode(body);
    json_decref(body);
    if (text == NULL)
        answer_error(server, request, 503, "out of memory");
    else
        answer(server, request, status, "application/json", text, strlen(text), "");
    free(text);
}

void scr_server_reply_bytes(struct scr_server *server, uint64_t id, int status,
                            const char *content_type, const void *bytes, size_t len)
{
    struct scr_request *request = find(server, id);

    if (request != NULL)
        answer(server, request, status, content_type, bytes, len, "");
}

/* --- reading a request ----------------------------------------------------------------------- */

/* The length of the body, or -1 when it is not told in a way we can rely on. */
static int64_t body_length(struct lws *wsi)
{
    char text[24];

    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0 ||
        lws_hdr_copy(wsi, text, sizeof text, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0 ||
        strlen(text) > 15 || text[strspn(text, "0123456789")] != '\0')
        return -1;
    return strtoll(text, NULL, 10);
}

static struct scr_request *new_request(struct scr_server *server, struct lws *wsi)
{
    struct scr_request *request = calloc(1, sizeof *request);

    if (request == NULL)
        return NULL;
    request->wsi = wsi;
    request->id = ++server->next_id;
    df_buf_init(&request->body, SCR_BODY_MAX);
    request->next = server->requests;
    request->link = &server->requests;
    if (request->next != NULL)
        request->next->link = &request->next;
    server->requests = request;
    server->stats.requests++;
    return request;
}

void scr_http_on_gone(struct scr_seat *seat)
{
    struct scr_request *request = seat == NULL ? NULL : seat->request;

    if (request == NULL)
        return;
    seat->request = NULL;
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
    df_buf_release(&request->body);
    if (request->token != NULL)
        explicit_bzero(request->token, strlen(request->token));
    free(request->token);
    free(request->origin);
    free(request->out);
    free(request);
}

/* Fills the caller. Only health may be asked by nobody; METRICS_LISTEN is guarded by its place. */
static bool identify(struct scr_server *server, struct scr_request *request)
{
    char token[SCR_TOKEN_MAX], message[240];
    struct df_error err = {0};
    bool is_header;

    scr_server_read_token(request->wsi, token, sizeof token, &is_header);
    request->token = strdup(token);
    explicit_bzero(token, sizeof token);
    if (request->token == NULL) {
        answer_error(server, request, 503, "out of memory");
        return false;
    }
    enum df_code rc = scr_access_check(server->access, request->token, strlen(request->token),
                                       &request->caller, &err);
    if (rc == DF_OK)
        return true;
    request->caller = (struct scr_caller){.kind = SCR_CALLER_NOBODY};
    if (request->route == SCR_ROUTE_HEALTH || request->route == SCR_ROUTE_ROOT ||
        request->route == SCR_ROUTE_METRICS || request->route == SCR_ROUTE_LIVENESS)
        return true;
    if (request->token[0] == '\0')
        (void)snprintf(message, sizeof message, "%s",
                       "Missing header: send 'Authorization: Bearer <token>' with the service key "
                       "or a user's token");
    else
        (void)snprintf(message, sizeof message, "%s", err.msg);
    answer_error(server, request, rc == DF_EAUTH ? 401 : 503, message);
    return false;
}

static void ask_program(struct scr_server *server, struct scr_request *request, const json_t *body)
{
    const struct scr_server_handlers *on = &server->handlers;
    const struct scr_caller *caller = &request->caller;
    char *text;

    /* The program may take its time, e.g. until a stream is live. */
    lws_set_timeout(request->wsi, NO_PENDING_TIMEOUT, 0);
    switch (request->route) {
    case SCR_ROUTE_START:
        on->on_start(on->arg, request->id, caller, body);
        break;
    case SCR_ROUTE_STOP:
        on->on_stop(on->arg, request->id, caller, body);
        break;
    case SCR_ROUTE_STREAMS:
        on->on_streams(on->arg, request->id, caller);
        break;
    case SCR_ROUTE_SUMMARY:
        on->on_summary(on->arg, request->id, caller, request->route_id);
        break;
    case SCR_ROUTE_SCREENSHOT:
        on->on_screenshot(on->arg, request->id, caller, request->route_id);
        break;
    case SCR_ROUTE_METRICS:
        text = on->on_metrics(on->arg);
        answer(server, request, text == NULL ? 503 : 200, "text/plain; version=0.0.4",
               text == NULL ? "" : text, text == NULL ? 0 : strlen(text), "");
        free(text);
        break;
    case SCR_ROUTE_LIVENESS:
        answer(server, request, 200, "text/plain", "ok\n", 3, "");
        break;
    default:
        on->on_health(on->arg, request->id, caller);
    }
}

/* POST: the body must be announced with its length, and be small. True: wait for it. */
static bool expect_body(struct scr_server *server, struct scr_request *request)
{
    int64_t len = body_length(request->wsi);

    if (len < 0) {
        answer_error(server, request, 411, "the body needs a Content-Length");
    } else if (len > SCR_BODY_MAX) {
        answer_error(server, request, 413, "the body is over 64 KiB");
    } else if (len == 0) {
        answer_error(server, request, 400, "Unexpected end of JSON input");
    } else if (identify(server, request)) {
        request->body_expected = (size_t)len;
        return true;
    }
    return false;
}

static void route(struct scr_server *server, struct scr_request *request, int method)
{
    bool is_post_route = request->route == SCR_ROUTE_START || request->route == SCR_ROUTE_STOP;

    if (server->is_stopping) {
        answer_error(server, request, 503, "shutting down");
    } else if (!scr_cors_allows(server->config->cors_origins, request->origin)) {
        answer_error(server, request, 403, "this origin is not allowed");
    } else if (method == LWSHUMETH_OPTIONS) {
        answer(server, request, 204, NULL, NULL, 0, "");
    } else if (request->route == SCR_ROUTE_NONE) {
        answer_error(server, request, 404, "Not found");
    } else if (method != (is_post_route ? LWSHUMETH_POST : LWSHUMETH_GET) &&
               (is_post_route || method != LWSHUMETH_HEAD)) {
        answer_error(server, request, 405, "Method not allowed");
    } else if (request->route == SCR_ROUTE_SOCKET) {
        answer_error(server, request, 426, "this is a WebSocket");
    } else if (is_post_route) {
        (void)expect_body(server, request);
    } else if (identify(server, request)) {
        ask_program(server, request, NULL);
    }
}

int scr_http_on_head(struct scr_server *server, struct lws *wsi, struct scr_seat *seat,
                     const char *path)
{
    char *uri = NULL;
    int uri_len = 0;

    if (seat->request != NULL)
        return -1; /* see above: there is no second one */
    struct scr_request *request = new_request(server, wsi);
    if (request == NULL)
        return -1;
    seat->request = request;
    int method = lws_http_get_uri_and_method(wsi, &uri, &uri_len);
    request->route = scr_server_is_admin(wsi) ? scr_route_find_admin(path)
                                              : scr_route_find(path, request->route_id);
    request->is_head = method == LWSHUMETH_HEAD;
    request->origin = scr_server_copy_header(wsi, WSI_TOKEN_ORIGIN);
    route(server, request, method);
    return 0;
}

int scr_http_on_body(struct scr_seat *seat, const char *bytes, size_t len)
{
    struct scr_request *request = seat->request;

    if (request == NULL || request->is_answered)
        return 0; /* refused already; the rest is thrown away */
    return df_buf_append(&request->body, bytes, len) ? 0 : -1;
}

/* --- writing --------------------------------------------------------------------------------- */

int scr_http_on_writeable(struct scr_server *server, struct scr_seat *seat)
{
    struct scr_request *request = seat->request;

    if (request == NULL || !request->is_answered)
        return 0;
    if (request->out == NULL)
        return -1;
    struct lws *wsi = request->wsi;
    size_t len = request->out_len - request->out_sent;
    if (len > SLICE_BYTES)
        len = SLICE_BYTES;
    /* Header space in front is overwritten by nobody: HTTP/1.1 needs none. */
    int n = lws_write(wsi, request->out + LWS_PRE + request->out_sent, len, LWS_WRITE_HTTP);
    if (n < (int)len)
        return -1;
    request->out_sent += len;
    server->stats.bytes_sent += len;
    if (request->out_sent < request->out_len) {
        lws_callback_on_writable(wsi);
        return 0;
    }
    scr_http_on_gone(seat);
    return -1;
}

int scr_http_on_body_end(struct scr_server *server, struct scr_seat *seat)
{
    struct scr_request *request = seat->request;
    struct df_error err = {0};
    json_t *body = NULL;

    /* When bytes follow a body in one packet libwebsockets 4.1 says so again and again: the second
     * time ends the connection, or it would never stop. */
    if (request == NULL)
        return -1;
    if (request->has_body_ended) {
        (void)scr_http_on_writeable(server, seat); /* the last chance for an answer that is ready */
        return -1;
    }
    request->has_body_ended = true;
    if (request->is_answered || request->body_expected == 0)
        return 0;
    enum df_code rc =
        df_json_parse(&body, request->body.data, request->body.len, SCR_BODY_MAX, &err);
    df_buf_release(&request->body);
    if (rc != DF_OK)
        answer_error(server, request, rc == DF_EINPUT ? 400 : 503, err.msg);
    else if (!json_is_object(body))
        answer_error(server, request, 400, "the body must be a JSON object");
    else
        ask_program(server, request, body);
    json_decref(body);
    return 0;
}

int scr_http_refuse_upgrade(struct scr_server *server, struct lws *wsi, int status,
                            const char *error)
{
    char *origin = scr_server_copy_header(wsi, WSI_TOKEN_ORIGIN);
    char *text = error_text(error);
    struct df_buf out;

    df_buf_init(&out, 16384);
    server->stats.requests++;
    server->stats.refused++;
    for (int i = 0; i < LWS_PRE; i++)
        (void)df_buf_append_char(&out, ' ');
    if (text != NULL) {
        append_head(&out, server, status, origin, "application/json", strlen(text));
        (void)df_buf_append_str(&out, "\r\n");
        (void)df_buf_append_str(&out, text);
    }
    if (text != NULL && !out.failed) {
        size_t len = out.len - LWS_PRE;
        (void)lws_write(wsi, (unsigned char *)out.data + LWS_PRE, len, LWS_WRITE_HTTP);
    }
    df_buf_release(&out);
    free(text);
    free(origin);
    return -1; /* the connection ends when it is written */
}
