/* scraper/door.c - accepts, looks for the end of the head, hands on. Nothing is taken out of a
 * socket: libwebsockets reads it all itself. */
#include "scraper/door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "scraper/head.h"
#include "shared/log.h"

enum { BACKLOG = 512, HEAD_WAIT_MS = 10000, ACCEPT_PAUSE_MS = 500 };

/* A connection whose head is not complete. */
struct arrival {
    struct arrival *next, **link;
    struct scr_door *door;
    struct scr_watch watch;
    struct scr_timer too_late;
    bool is_begun; /* some bytes have come */
};

struct scr_door {
    struct scr_loop *loop;
    struct scr_door_guest guest;
    struct scr_watch listener;
    struct scr_timer pause; /* out of descriptors: accepting again would spin */
    struct arrival *arrivals;
    size_t waiting;
    int port;
    char path[108]; /* of a unix socket, to remove it */
    char head[SCR_HEAD_MAX_BYTES];
};

/* --- arrivals -------------------------------------------------------------------------------- */

static void forget(struct arrival *arrival, bool close_it)
{
    struct scr_door *door = arrival->door;

    scr_loop_unwatch(door->loop, &arrival->watch);
    scr_timer_cancel(door->loop, &arrival->too_late);
    *arrival->link = arrival->next;
    if (arrival->next != NULL)
        arrival->next->link = arrival->link;
    door->waiting--;
    if (close_it)
        (void)close(arrival->watch.fd);
    free(arrival);
}

/* A last word to somebody who does not get in; lost when the socket is full. */
static void turn_away(int fd, const char *status, const char *error)
{
    char text[256];
    int n =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                 "Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{\"error\":\"%s\"}",
                 status, strlen(error) + 12, error);
    if (n > 0 && (size_t)n < sizeof text)
        (void)send(fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_too_late(void *arg)
{
    struct arrival *arrival = arg;

    if (arrival->is_begun)
        turn_away(arrival->watch.fd, "408 Request Timeout", "the request did not come in time");
    forget(arrival, true);
}

static void let_in(struct arrival *arrival, size_t head_len)
{
    struct scr_door *door = arrival->door;
    int fd = arrival->watch.fd;

    forget(arrival, false);
    door->guest.on_guest(door->guest.arg, fd, door->head, head_len);
}

static void refuse(struct arrival *arrival, const char *status, const char *error)
{
    turn_away(arrival->watch.fd, status, error);
    forget(arrival, true);
}

/* Called once for each arrival of bytes (edge-triggered), because they stay in the socket. */
static void on_bytes(void *arg, uint32_t events)
{
    struct arrival *arrival = arg;
    char *head = arrival->door->head;

    (void)events;
    ssize_t n = recv(arrival->watch.fd, head, SCR_HEAD_MAX_BYTES, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || head[0] < 'A' || head[0] > 'Z') {
        forget(arrival, true); /* gone; or no method begins so: TLS, noise */
        return;
    }
    arrival->is_begun = true;
    size_t head_len = scr_head_end(head, (size_t)n);
    if (head_len == 0 && n == SCR_HEAD_MAX_BYTES)
        refuse(arrival, "431 Request Header Fields Too Large", "the request's head is over 16 KiB");
    else if (head_len == 0)
        return;
    else if (!scr_head_has_known_method(head, head_len))
        refuse(arrival, "501 Not Implemented", "unknown method");
    else if (scr_head_has_control_bytes(head, head_len))
        refuse(arrival, "400 Bad Request", "control bytes in the path");
    else
        let_in(arrival, head_len);
}

static void take(struct scr_door *door, int fd)
{
    struct df_error err = {0};
    int yes = 1;

    if (!door->guest.has_room(door->guest.arg)) {
        turn_away(fd, "503 Service Unavailable", "too many connections");
        (void)close(fd);
        return;
    }
    struct arrival *arrival = calloc(1, sizeof *arrival);
    if (arrival == NULL) {
        (void)close(fd);
        return;
    }
    if (door->port != 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    }
    arrival->door = door;
    arrival->watch = (struct scr_watch){.fd = fd, .on_ready = on_bytes, .arg = arrival};
    arrival->too_late = (struct scr_timer){.on_due = on_too_late, .arg = arrival};
    arrival->next = door->arrivals;
    arrival->link = &door->arrivals;
    if (arrival->next != NULL)
        arrival->next->link = &arrival->next;
    door->arrivals = arrival;
    door->waiting++;
    scr_timer_set(door->loop, &arrival->too_late, HEAD_WAIT_MS);
    if (scr_loop_watch(door->loop, &arrival->watch, EPOLLIN | EPOLLRDHUP | EPOLLET, &err) !=
        DF_OK) {
        df_log(DF_LOG_WARN, "connection_refused", "why=\"%s\"", err.msg);
        forget(arrival, true);
    }
}

/* --- the listener ---------------------------------------------------------------------------- */

static void listen_again(void *arg)
{
    struct scr_door *door = arg;
    struct df_error err = {0};

    if (scr_loop_watch(door->loop, &door->listener, EPOLLIN, &err) != DF_OK)
        scr_timer_set(door->loop, &door->pause, ACCEPT_PAUSE_MS);
}

static void on_knock(void *arg, uint32_t events)
{
    struct scr_door *door = arg;

    (void)events;
    for (int i = 0; i < 64; i++) { /* then others have a turn */
        int fd = accept4(door->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(door, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            df_log(DF_LOG_WARN, "accept_failed", "why=\"%s\"", strerror(errno));
            scr_loop_unwatch(door->loop, &door->listener);
            scr_timer_set(door->loop, &door->pause, ACCEPT_PAUSE_MS);
        }
        return; /* EAGAIN, or the client changed its mind */
    }
}

static enum df_code fail(const char *where, int port, int why, struct df_error *err)
{
    char place[140];

    if (port < 0)
        (void)snprintf(place, sizeof place, "%.120s", where);
    else
        (void)snprintf(place, sizeof place, "%.100s port %d", where, port);
    if (why == EADDRINUSE)
        return df_error_set(err, DF_EUNAVAILABLE, "%s is taken: another program listens there",
                            place);
    if (why == EACCES || why == EADDRNOTAVAIL)
        return df_error_set(err, DF_EINPUT, "cannot listen on %s: %s", place, strerror(why));
    return df_error_set(err, DF_EUNAVAILABLE, "cannot listen on %s: %s", place, strerror(why));
}

static enum df_code open_path(struct scr_door *door, const char *path, struct df_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(path) >= sizeof address.sun_path)
        return df_error_set(err, DF_EINPUT, "%s: too long for a unix socket", path);
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(path, -1, errno, err);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        (void)close(fd);
        return fail(path, -1, EADDRINUSE, err);
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
        return fail(path, -1, why, err);
    }
    door->listener.fd = fd;
    memcpy(door->path, path, strlen(path) + 1);
    return DF_OK;
}

static enum df_code open_port(struct scr_door *door, const char *host, int port,
                              struct df_error *err)
{
    char service[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
    struct addrinfo *found = NULL;
    struct sockaddr_storage bound = {0};
    socklen_t bound_len = sizeof bound;
    int yes = 1;

    (void)snprintf(service, sizeof service, "%d", port);
    int rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0)
        return df_error_set(err, DF_EINPUT, "%s: %s", host, gai_strerror(rc));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
              bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0 &&
              getsockname(fd, (struct sockaddr *)&bound, &bound_len) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (!ok) {
        if (fd >= 0)
            (void)close(fd);
        return fail(host, port, why, err);
    }
    door->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                                   : ((struct sockaddr_in *)&bound)->sin_port);
    door->listener.fd = fd;
    return DF_OK;
}

/* "127.0.0.1:9100" or "[::1]:9100". */
static enum df_code open_text(struct scr_door *door, const char *where, struct df_error *err)
{
    char host[64];
    const char *colon = strrchr(where, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - where);
    char *end = NULL;
    long port = colon == NULL ? -1 : strtol(colon + 1, &end, 10);

    if (host_len == 0 || host_len >= sizeof host || *end != '\0' || end == colon + 1 || port < 0 ||
        port > 65535)
        return df_error_set(err, DF_EINPUT, "%s: use /path/to.sock or 127.0.0.1:9100", where);
    bool has_brackets = where[0] == '[' && host_len > 2 && where[host_len - 1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(has_brackets ? host_len - 2 : host_len),
                   has_brackets ? where + 1 : where);
    return open_port(door, host, (int)port, err);
}

enum df_code scr_door_open(struct scr_door **out, struct scr_loop *loop, const char *where,
                           int port, const struct scr_door_guest *guest, struct df_error *err)
{
    *out = NULL;
    struct scr_door *door = calloc(1, sizeof *door);
    if (door == NULL)
        return df_error_set(err, DF_ENOMEM, "server: out of memory");
    door->loop = loop;
    door->guest = *guest;
    door->listener = (struct scr_watch){.fd = -1, .on_ready = on_knock, .arg = door};
    door->pause = (struct scr_timer){.on_due = listen_again, .arg = door};
    enum df_code rc = port >= 0                    ? open_port(door, where, port, err)
                      : strchr(where, '/') != NULL ? open_path(door, where, err)
                                                   : open_text(door, where, err);
    if (rc == DF_OK)
        rc = scr_loop_watch(loop, &door->listener, EPOLLIN, err);
    if (rc != DF_OK) {
        scr_door_free(door);
        return rc;
    }
    *out = door;
    return DF_OK;
}

int scr_door_port(const struct scr_door *door)
{
    return door->port;
}

size_t scr_door_waiting(const struct scr_door *door)
{
    return door->waiting;
}

void scr_door_shut(struct scr_door *door)
{
    scr_loop_unwatch(door->loop, &door->listener);
    scr_timer_cancel(door->loop, &door->pause);
    while (door->arrivals != NULL)
        forget(door->arrivals, true);
    if (door->listener.fd >= 0)
        (void)close(door->listener.fd);
    door->listener.fd = -1;
    if (door->path[0] != '\0')
        (void)unlink(door->path);
    door->path[0] = '\0';
}

void scr_door_free(struct scr_door *door)
{
    if (door == NULL)
        return;
    scr_door_shut(door);
    free(door);
}
