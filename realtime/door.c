/* realtime/door.c - listening sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "realtime/server_private.h"
#include "shared/log.h"

enum { BACKLOG = 1024, ACCEPTS_A_ROUND = 64 };

static enum df_code fail(const char *where, int why, struct df_error *err)
{
    if (why == EADDRINUSE)
        return df_error_set(err, DF_EUNAVAILABLE, "%s is taken: another program listens there",
                            where);
    return df_error_set(err, why == EACCES || why == EADDRNOTAVAIL ? DF_EINPUT : DF_EUNAVAILABLE,
                        "cannot listen on %s: %s", where, strerror(why));
}

static enum df_code open_path(struct rt_door *door, const char *path, struct df_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(path) >= sizeof address.sun_path)
        return df_error_set(err, DF_EINPUT, "%s: too long for a unix socket", path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(path, errno, err);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        (void)close(fd);
        return fail(path, EADDRINUSE, err);
    }
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path);      /* nobody answers: left behind by a crash */
    mode_t before = umask(0117); /* owner and group only, from the first moment on */
    bool ok = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int why = errno;
    (void)umask(before);
    if (!ok || listen(fd, BACKLOG) != 0) {
        why = ok ? errno : why;
        (void)close(fd);
        return fail(path, why, err);
    }
    door->fd = fd;
    memcpy(door->path, path, strlen(path) + 1);
    return DF_OK;
}

static enum df_code open_port(struct rt_door *door, const char *where, struct df_error *err)
{
    char host[64];
    const char *colon = strrchr(where, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - where);
    bool has_brackets = host_len > 2 && where[0] == '[' && where[host_len - 1] == ']';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound = {0};
    socklen_t bound_len = sizeof bound;
    int yes = 1;

    if (host_len == 0 || host_len >= sizeof host)
        return df_error_set(err, DF_EINPUT, "%s: use /path/to.sock or 127.0.0.1:4000", where);
    (void)snprintf(host, sizeof host, "%.*s", (int)(has_brackets ? host_len - 2 : host_len),
                   has_brackets ? where + 1 : where);
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0)
        return df_error_set(err, DF_EINPUT, "%s: %s", where, gai_strerror(rc));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
              bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0 &&
              getsockname(fd, (struct sockaddr *)&bound, &bound_len) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (!ok) {
        if (fd >= 0)
            (void)close(fd);
        return fail(where, why, err);
    }
    door->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                   : ((struct sockaddr_in *)&bound)->sin_port);
    door->fd = fd;
    return DF_OK;
}

static void on_knock(uv_poll_t *poll, int status, int events)
{
    struct rt_door *door = poll->data;
    int yes = 1;

    (void)status;
    (void)events;
    for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
        int fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (door->port != 0) {
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
            }
            rt_guest_new(door->server, fd, door->is_admin);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            df_log(DF_LOG_WARN, "accept_failed", "why=\"%s\"", strerror(errno));
            door->is_paused = true; /* trying again at once would spin */
            (void)uv_poll_stop(&door->poll);
        }
        return; /* EAGAIN, or the client changed its mind */
    }
}

enum df_code rt_door_open(struct rt_door *door, struct rt_server *server, const char *where,
                          bool is_admin, struct df_error *err)
{
    door->server = server;
    door->is_admin = is_admin;
    enum df_code rc =
        strchr(where, '/') != NULL ? open_path(door, where, err) : open_port(door, where, err);
    if (rc != DF_OK)
        return rc;
    if (uv_poll_init(&server->loop, &door->poll, door->fd) != 0) {
        (void)close(door->fd);
        door->fd = -1;
        return df_error_set(err, DF_EUNAVAILABLE, "cannot listen on %s", where);
    }
    door->poll.data = door;
    (void)uv_poll_start(&door->poll, UV_READABLE, on_knock);
    return DF_OK;
}

void rt_door_resume(struct rt_door *door)
{
    if (!door->is_paused)
        return;
    door->is_paused = false;
    (void)uv_poll_start(&door->poll, UV_READABLE, on_knock);
}

void rt_door_shut(struct rt_door *door)
{
    if (door->fd < 0)
        return;
    door->is_paused = false;
    uv_close((uv_handle_t *)&door->poll, NULL);
    (void)close(door->fd);
    door->fd = -1;
    if (door->path[0] != '\0')
        (void)unlink(door->path);
}
