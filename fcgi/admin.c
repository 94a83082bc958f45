/* fcgi/admin.c - a very small HTTP/1.0 server: one short request at a time, one second each. */
#include "fcgi/admin.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fcgi/listen.h"
#include "shared/buf.h"
#include "shared/clock.h"

enum { CLIENT_TIMEOUT_MS = 1000, REQUEST_MAX = 2048 };

struct mrs_admin {
    struct mrs_admin_source source;
    char *where;
    int listen_fd;
    int stop_fd;
    pthread_t thread;
};

static bool is_for(const char *request, const char *path)
{
    size_t len = strlen(path);
    return strncmp(request, "GET ", 4) == 0 && strncmp(request + 4, path, len) == 0 &&
           (request[4 + len] == ' ' || request[4 + len] == '?');
}

static void respond(const struct mrs_admin_source *source, const char *request, struct df_buf *out)
{
    struct df_buf body;
    const char *status = "200 OK";
    const char *type = "application/json";

    df_buf_init(&body, 256 * 1024);
    if (is_for(request, "/metrics")) {
        type = "text/plain; version=0.0.4";
        source->print(source->ctx, &body);
    } else if (is_for(request, "/healthz")) {
        df_buf_append_str(&body, "{\"status\":\"ok\"}");
    } else if (is_for(request, "/readyz")) {
        bool ready = source->is_ready(source->ctx);
        status = ready ? "200 OK" : "503 Service Unavailable";
        df_buf_append_str(&body, ready ? "{\"status\":\"ready\"}"
                                       : "{\"status\":\"not ready\",\"database\":\"down\"}");
    } else {
        status = "404 Not Found";
        df_buf_append_str(&body, "{\"error\":\"Not found: try /metrics, /readyz or /healthz\"}");
    }
    df_buf_printf(out,
                  "HTTP/1.0 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                  "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
                  status, type, body.len);
    df_buf_append(out, body.data, body.len);
    df_buf_release(&body);
}

static bool wait_ready(int fd, short events, int64_t deadline_ms)
{
    int64_t left = deadline_ms - df_clock_mono_ms();
    struct pollfd p = {fd, events, 0};
    return left > 0 && poll(&p, 1, (int)left) > 0;
}

static void serve(const struct mrs_admin_source *source, int fd)
{
    char request[REQUEST_MAX];
    size_t used = 0;
    int64_t deadline_ms = df_clock_mono_ms() + CLIENT_TIMEOUT_MS;

    request[0] = '\0';
    while (strstr(request, "\r\n\r\n") == NULL) {
        if (used == sizeof request - 1 || !wait_ready(fd, POLLIN, deadline_ms))
            return;
        ssize_t n = recv(fd, request + used, sizeof request - 1 - used, 0);
        if (n <= 0)
            return;
        used += (size_t)n;
        request[used] = '\0';
    }
    struct df_buf out;
    df_buf_init(&out, 300 * 1024);
    respond(source, request, &out);
    for (size_t sent = 0; sent < out.len && wait_ready(fd, POLLOUT, deadline_ms);) {
        ssize_t n = send(fd, out.data + sent, out.len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    df_buf_release(&out);
}

static void *admin_main(void *arg)
{
    struct mrs_admin *admin = arg;

    for (;;) {
        struct pollfd fds[] = {{admin->listen_fd, POLLIN, 0}, {admin->stop_fd, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents != 0)
            return NULL;
        int fd = accept4(admin->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            (void)poll(&fds[1], 1, 100); /* out of descriptors: do not spin */
            continue;
        }
        serve(&admin->source, fd);
        close(fd);
    }
}

static bool is_loopback(const char *where)
{
    return strchr(where, '/') != NULL || strncmp(where, "127.", 4) == 0 ||
           strncmp(where, "::1:", 4) == 0;
}

enum df_code mrs_admin_start(struct mrs_admin **out, const struct mrs_admin_source *source,
                             const char *where, struct df_error *err)
{
    *out = NULL;
    if (!is_loopback(where))
        return df_error_set(err, DF_EINPUT, "%s: use a path or a loopback address, 127.0.0.1:9100",
                            where);
    struct mrs_admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    *admin = (struct mrs_admin){.source = *source, .listen_fd = -1, .stop_fd = -1};
    enum df_code rc = mrs_listen_open(&admin->listen_fd, where, "0660", err);
    if (rc != DF_OK)
        goto out;
    admin->where = strdup(where);
    admin->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (admin->where == NULL || admin->stop_fd < 0 ||
        pthread_create(&admin->thread, NULL, admin_main, admin) != 0)
        rc = df_error_set(err, DF_ENOMEM, "cannot start the metrics thread");
out:
    if (rc != DF_OK) {
        if (admin->listen_fd >= 0)
            close(admin->listen_fd);
        if (admin->stop_fd >= 0)
            close(admin->stop_fd);
        free(admin->where);
        free(admin);
        admin = NULL;
    }
    *out = admin;
    return rc;
}

void mrs_admin_stop(struct mrs_admin *admin)
{
    if (admin == NULL)
        return;
    uint64_t one = 1;
    if (write(admin->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        pthread_join(admin->thread, NULL);
    close(admin->listen_fd);
    close(admin->stop_fd);
    if (strchr(admin->where, '/') != NULL)
        (void)unlink(admin->where);
    free(admin->where);
    free(admin);
}
