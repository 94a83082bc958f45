/* fcgi/listen.h - listening sockets: our own, systemd's, spawn-fcgi's. Main thread only. */
#ifndef FCGI_LISTEN_H
#define FCGI_LISTEN_H

#include "shared/error.h"

enum mrs_front { MRS_FRONT_SOCKET, MRS_FRONT_CGI };

/* Finds out how the web server talks to us, in this order: LISTEN_FDS (systemd), a listening
 * descriptor 0 (spawn-fcgi), GATEWAY_INTERFACE (plain CGI), FCGI_SOCKET. With MRS_FRONT_SOCKET
 * *fd listens and is owned by the caller; *path is the socket file that we made ourselves and have
 * to remove at the end, or NULL. DF_EINPUT says what to set. */
enum df_code mrs_listen_front(enum mrs_front *front, int *fd, const char **path,
                              const char *fcgi_socket, const char *socket_mode,
                              struct df_error *err) DF_MUST_USE;

/* Opens a listening socket at a path or host:port (numeric host). A stale socket file is replaced,
 * one that somebody answers on is not (DF_EINPUT). mode: octal text, or NULL for 0660. */
enum df_code mrs_listen_open(int *fd, const char *where, const char *mode,
                             struct df_error *err) DF_MUST_USE;

/* Tells systemd about our state ("READY=1", "STOPPING=1", ...) when NOTIFY_SOCKET is set. */
void mrs_notify_supervisor(const char *state);

#endif
