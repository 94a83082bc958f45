/* fcgi/listen.c - where requests come in. */
#include "fcgi/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, SYSTEMD_FIRST_FD = 3 };

static bool is_listening(int fd)
{
    int yes = 0;
    socklen_t len = sizeof yes;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes != 0;
}

static bool path_address(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len >= sizeof address->sun_path)
        return false;
    memcpy(address->sun_path, path, len + 1);
    return true;
}

static enum df_code open_path(int *out, const char *path, const char *mode, struct df_error *err)
{
    struct sockaddr_un address;
    if (!path_address(&address, path))
        return df_error_set(err, DF_EINPUT, "%s: too long for a unix socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return df_error_set(err, DF_ENOMEM, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        close(fd);
        return df_error_set(err, DF_EINPUT, "%s: another program listens there already", path);
    }
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        (void)unlink(path); /* nobody answers: left behind by a crash */
    close(fd);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t bits = (mode_t)strtoul(mode == NULL ? "0660" : mode, NULL, 8);
    mode_t before = umask(0777 & ~bits); /* the file must never be more open than asked for */
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    int why = errno;
    (void)umask(before);
    if (!ok || listen(fd, BACKLOG) != 0) {
        if (fd >= 0)
            close(fd);
        return df_error_set(err, DF_EINPUT, "%s: %s", path, strerror(ok ? errno : why));
    }
    *out = fd;
    return DF_OK;
}

static enum df_code open_port(int *out, const char *where, struct df_error *err)
{
    char host[128];
    const char *colon = strrchr(where, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - where);
    if (colon == NULL || host_len == 0 || host_len >= sizeof host)
        return df_error_set(err, DF_EINPUT, "%s: use /path/to.sock or 127.0.0.1:9000", where);
    memcpy(host, where, host_len);
    host[host_len] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0)
        return df_error_set(err, DF_EINPUT, "%s: %s", where, gai_strerror(rc));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
              bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
    int why = errno;
    freeaddrinfo(found);
    if (!ok) {
        if (fd >= 0)
            close(fd);
        return df_error_set(err, DF_EINPUT, "%s: %s", where, strerror(why));
    }
    *out = fd;
    return DF_OK;
}

enum df_code mrs_listen_open(int *fd, const char *where, const char *mode, struct df_error *err)
{
    return strchr(where, '/') != NULL ? open_path(fd, where, mode, err) : open_port(fd, where, err);
}

static bool from_systemd(int *fd)
{
    const char *pid = getenv("LISTEN_PID");
    const char *fds = getenv("LISTEN_FDS");
    if (fds == NULL || atoi(fds) < 1 || (pid != NULL && atoi(pid) != getpid()))
        return false;
    *fd = SYSTEMD_FIRST_FD;
    return is_listening(*fd);
}

enum df_code mrs_listen_front(enum mrs_front *front, int *fd, const char **path,
                              const char *fcgi_socket, const char *socket_mode,
                              struct df_error *err)
{
    *path = NULL;
    *front = MRS_FRONT_SOCKET;
    if (from_systemd(fd))
        return DF_OK;
    if (is_listening(STDIN_FILENO)) {
        *fd = STDIN_FILENO;
        return DF_OK;
    }
    if (getenv("GATEWAY_INTERFACE") != NULL) {
        *front = MRS_FRONT_CGI;
        return DF_OK;
    }
    if (fcgi_socket == NULL)
        return df_error_set(err, DF_EINPUT,
                            "nowhere to listen: set FCGI_SOCKET=/path/to.sock (or 127.0.0.1:9000), "
                            "or start under spawn-fcgi, systemd or a CGI server");
    enum df_code rc = mrs_listen_open(fd, fcgi_socket, socket_mode, err);
    if (rc == DF_OK && strchr(fcgi_socket, '/') != NULL)
        *path = fcgi_socket;
    return rc;
}

void mrs_notify_supervisor(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    if (path == NULL || !path_address(&address, path))
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0'; /* abstract namespace */
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    close(fd);
}
