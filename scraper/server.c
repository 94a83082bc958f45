/* scraper/server.c - libwebsockets and the loop in one thread.
 *
 * Two things wait: lws_service() for its sockets, scr_loop for the rest. libwebsockets is given the
 * loop's epoll descriptor as one more file to watch, and after each of its rounds the loop runs
 * what is ready, so nothing waits for the other. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "scraper/head.h"
#include "scraper/server_private.h"
#include "shared/jwt.h"
#include "shared/log.h"

enum {
    OTHER_CONNECTIONS = 128, /* HTTP beside CLIENTS_MAX WebSockets */
    OTHER_DESCRIPTORS = 384, /* browser pipes, outbox, posts to the function, listeners ... */
    SWEEP_MS = 1000,
    STOP_WAIT_MS = 1000,
    SERVICE_BYTES = 20 << 10, /* libwebsockets' scratch: must hold a whole answer to an upgrade */
    HEADERS_AT_ONCE = 256,    /* requests read or waited for at once */
};

/* --- helpers of the other files -------------------------------------------------------------- */

char *scr_server_copy_header(struct lws *wsi, enum lws_token_indexes header)
{
    int len = lws_hdr_total_length(wsi, header);
    char *text = len <= 0 ? NULL : malloc((size_t)len + 64);

    /* Headers that came several times are joined by commas: hence the room. */
    if (text != NULL && lws_hdr_copy(wsi, text, len + 64, header) <= 0) {
        free(text);
        text = NULL;
    }
    return text;
}

void scr_server_read_token(struct lws *wsi, char *out, size_t out_size, bool *is_header)
{
    char *header = scr_server_copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION);
    const char *token = NULL;
    size_t len = 0;
    struct scr_offer offer = {0};

    out[0] = '\0';
    *is_header = header != NULL;
    if (header != NULL) {
        /* A header of another scheme is a token that nothing accepts, and says so. */
        if (df_jwt_from_header(header, &token, &len) != DF_JWT_OK) {
            token = header;
            len = strlen(header);
        }
    } else {
        header = scr_server_copy_header(wsi, WSI_TOKEN_X_AUTH_TOKEN);
        if (header != NULL)
            scr_head_offer(&offer, header, strlen(header));
        token = offer.token;
        len = offer.token_len;
    }
    if (token != NULL && len < out_size) {
        memcpy(out, token, len);
        out[len] = '\0';
    }
    if (header != NULL)
        explicit_bzero(header, strlen(header));
    free(header);
}

char *scr_server_encode(const struct json_t *value)
{
    /* 15 digits: all that is exact in a double's text, and 0.7 stays 0.7. */
    return value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
}

/* --- libwebsockets --------------------------------------------------------------------------- */

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                  size_t len)
{
    struct scr_server *server = lws_context_user(lws_get_context(wsi));
    struct scr_seat *seat = user;

    switch (reason) {
    case LWS_CALLBACK_WSI_CREATE:
        server->connections++;
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        server->connections--;
        return 0;
    case LWS_CALLBACK_HTTP:
        return scr_http_on_head(server, wsi, seat, in);
    case LWS_CALLBACK_HTTP_BODY:
        return scr_http_on_body(seat, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return scr_http_on_body_end(server, seat);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return scr_http_on_writeable(server, seat);
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
    case LWS_CALLBACK_CLOSED_HTTP:
        scr_http_on_gone(seat);
        return 0;
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return scr_ws_on_upgrade(server, wsi);
    case LWS_CALLBACK_ADD_HEADERS:
        return scr_ws_add_headers(wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return scr_ws_on_open(server, wsi, seat);
    case LWS_CALLBACK_RECEIVE:
        return scr_ws_on_bytes(server, seat, in, len);
    case LWS_CALLBACK_RECEIVE_PONG:
        scr_ws_on_pong(seat);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return scr_ws_on_writeable(server, seat);
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WS_SERVER_DROP_PROTOCOL:
        scr_ws_on_gone(server, seat);
        return 0;
    default:
        return 0;
    }
}

/* The loop's descriptor: being woken is all that is needed, see scr_server_run. */
static int on_loop(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                   size_t len)
{
    (void)wsi;
    (void)reason;
    (void)user;
    (void)in;
    (void)len;
    return 0;
}

static const struct lws_protocols client_protocols[] = {
    {"dealflow", on_lws, sizeof(struct scr_seat), 4096, 0, NULL, 0},
    {0},
};
static const struct lws_protocols loop_protocols[] = {
    {"loop", on_loop, 0, 0, 0, NULL, 0},
    {0},
};

/* What libwebsockets calls an error is mostly a client's. */
static void on_lws_log(int level, const char *line)
{
    char text[400], quoted[420];

    (void)level;
    (void)snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
    df_log(DF_LOG_DEBUG, "libwebsockets", "text=%s", df_log_quote(quoted, sizeof quoted, text));
}

/* libwebsockets makes tables as long as the limit of descriptors, which may be a million; and the
 * limit must be high enough for the clients. Children may raise theirs again. */
static void limit_descriptors(const struct scr_config *config)
{
    rlim_t want = (rlim_t)config->clients_max + OTHER_CONNECTIONS + OTHER_DESCRIPTORS;
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

static enum df_code open_context(struct scr_server *server, struct df_error *err)
{
    static const lws_retry_bo_t no_idle_policy = {0}; /* pings are ours, see server_ws.c */
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER, /* doors listen */
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_NO_LWS_SYSTEM_STATES |
                   LWS_SERVER_OPTION_VALIDATE_UTF8,
        .user = server,
        .pt_serv_buf_size = SERVICE_BYTES,
        .max_http_header_data2 = SCR_HEAD_MAX_BYTES,
        .max_http_header_pool2 = HEADERS_AT_ONCE,
        .timeout_secs = 15,
        .server_string = "dealflow", /* in the few answers it gives itself; must not be empty */
        .retry_and_idle_policy = &no_idle_policy,
        .uid = -1,
        .gid = -1,
    };

    limit_descriptors(server->config);
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    server->context = lws_create_context(&info);
    if (server->context == NULL)
        return df_error_set(err, DF_ENOMEM, "server: libwebsockets cannot be initialised");
    info.protocols = client_protocols;
    info.vhost_name = "clients";
    server->clients_host = lws_create_vhost(server->context, &info);
    /* Another port: clients reach every virtual host of theirs by its name. */
    info.vhost_name = "loop";
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.protocols = loop_protocols;
    struct lws_vhost *loop = lws_create_vhost(server->context, &info);
    /* A second descriptor for the same epoll: libwebsockets closes what it adopted. */
    int fd = dup(scr_loop_fd(server->loop));
    lws_sock_file_fd_type adopted = {.filefd = fd};
    if (server->clients_host == NULL || loop == NULL || fd < 0 ||
        lws_adopt_descriptor_vhost(loop, LWS_ADOPT_RAW_FILE_DESC, adopted, "loop", NULL) == NULL)
        return df_error_set(err, DF_EUNAVAILABLE, "server: libwebsockets cannot be set up");
    return DF_OK;
}

/* --- doors ----------------------------------------------------------------------------------- */

static bool has_room(void *arg)
{
    const struct scr_server *server = arg;
    size_t waiting = scr_door_waiting(server->api_door) +
                     (server->admin_door == NULL ? 0 : scr_door_waiting(server->admin_door));

    return server->connections + waiting < (size_t)server->config->clients_max + OTHER_CONNECTIONS;
}

/* Takes what is known already out of the socket. It is all there, so this cannot block. */
static bool skip(int fd, size_t len)
{
    char gone[4096];

    while (len > 0) {
        ssize_t n = recv(fd, gone, len < sizeof gone ? len : sizeof gone, 0);
        if (n <= 0)
            return false;
        len -= (size_t)n;
    }
    return true;
}

/* An upgrade whose head has to be changed is handed over as bytes. Others are not:
 * libwebsockets 4.1 takes such bytes for the body of a POST. Either way it closes the socket when
 * it fails. */
static void on_guest(void *arg, int fd, char *head, size_t head_len)
{
    struct scr_server *server = arg;

    if (!scr_head_prepare(head, head_len))
        (void)lws_adopt_socket_vhost(server->clients_host, fd);
    else if (skip(fd, head_len))
        (void)lws_adopt_socket_vhost_readbuf(server->clients_host, fd, head, head_len);
    else
        (void)close(fd);
}

/* A connection of METRICS_LISTEN is known by its mark. */
static void on_admin_guest(void *arg, int fd, char *head, size_t head_len)
{
    struct scr_server *server = arg;
    lws_adopt_desc_t adopt = {
        .vh = server->clients_host,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP,
        .fd = {.sockfd = fd},
        .opaque = server,
    };

    (void)head;
    (void)head_len;
    (void)lws_adopt_descriptor_vhost_via_info(&adopt);
}

bool scr_server_is_admin(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi) != NULL;
}

static enum df_code open_doors(struct scr_server *server, struct df_error *err)
{
    const struct scr_config *config = server->config;
    struct scr_door_guest guest = {server, has_room, on_guest};

    enum df_code rc = scr_door_open(&server->api_door, server->loop, config->bind,
                                    (int)config->port, &guest, err);
    if (rc != DF_OK)
        return rc;
    server->stats.port = scr_door_port(server->api_door);
    if (config->metrics_listen == NULL)
        return DF_OK;
    guest.on_guest = on_admin_guest;
    rc = scr_door_open(&server->admin_door, server->loop, config->metrics_listen, -1, &guest, err);
    if (rc != DF_OK)
        (void)df_error_wrap(err, "METRICS_LISTEN");
    return rc;
}

/* --- life ------------------------------------------------------------------------------------ */

static void on_sweep(void *arg)
{
    struct scr_server *server = arg;

    scr_ws_sweep(server);
    scr_timer_set(server->loop, &server->sweep, SWEEP_MS);
}

static void on_give_up(void *arg)
{
    ((struct scr_server *)arg)->is_done = true;
}

enum df_code scr_server_new(struct scr_server **out, struct scr_loop *loop,
                            const struct scr_config *config, struct scr_access *access,
                            const struct scr_server_handlers *handlers, struct df_error *err)
{
    *out = NULL;
    struct scr_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return df_error_set(err, DF_ENOMEM, "server: out of memory");
    server->loop = loop;
    server->config = config;
    server->access = access;
    server->handlers = *handlers;
    server->sweep = (struct scr_timer){.on_due = on_sweep, .arg = server};
    server->give_up = (struct scr_timer){.on_due = on_give_up, .arg = server};
    enum df_code rc = open_context(server, err);
    if (rc == DF_OK)
        rc = open_doors(server, err);
    if (rc != DF_OK) {
        scr_server_free(server);
        return rc;
    }
    scr_timer_set(loop, &server->sweep, SWEEP_MS);
    *out = server;
    return DF_OK;
}

void scr_server_set_access(struct scr_server *server, struct scr_access *access)
{
    server->access = access;
}

void scr_server_run(struct scr_server *server)
{
    while (!server->is_done) {
        /* Waits until a socket or the loop's descriptor is ready; 0 is no time limit here. */
        if (lws_service(server->context, 0) < 0)
            break;
        scr_loop_dispatch(server->loop, 0);
        if (server->is_stopping && server->clients == NULL && server->requests == NULL)
            break;
    }
}

void scr_server_stop(struct scr_server *server)
{
    if (server->is_stopping)
        return;
    server->is_stopping = true;
    scr_door_shut(server->api_door);
    if (server->admin_door != NULL)
        scr_door_shut(server->admin_door);
    scr_ws_close_all(server, LWS_CLOSE_STATUS_GOINGAWAY, "shutting down");
    scr_timer_set(server->loop, &server->give_up, STOP_WAIT_MS);
}

void scr_server_free(struct scr_server *server)
{
    if (server == NULL)
        return;
    scr_timer_cancel(server->loop, &server->sweep);
    scr_timer_cancel(server->loop, &server->give_up);
    scr_door_free(server->api_door);
    scr_door_free(server->admin_door);
    if (server->context != NULL)
        lws_context_destroy(server->context); /* calls back for each connection */
    free(server);
}

void scr_server_stats_get(const struct scr_server *server, struct scr_server_stats *out)
{
    *out = server->stats;
}
