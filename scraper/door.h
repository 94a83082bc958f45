/* scraper/door.h - a listening socket, and the wait for a request's head. A connection is handed on
 * once its first head is complete, so that slow and idle ones cost next to nothing.
 * Loop thread. */
#ifndef SCRAPER_DOOR_H
#define SCRAPER_DOOR_H

#include <stdbool.h>
#include <stddef.h>

#include "scraper/loop.h"
#include "shared/error.h"

struct scr_door;

struct scr_door_guest {
    void *arg;
    /* May one more come in? False: it is answered 503. */
    bool (*has_room)(void *arg);
    /* The socket is the callee's now; head (borrowed, may be changed) is what can be read from it. */
    void (*on_guest)(void *arg, int fd, char *head, size_t head_len);
};

/* Listens on an IP address and port, or (port < 0) where a text says: a path, or 127.0.0.1:port.
 * The caller owns *out. DF_EUNAVAILABLE: the place is taken; DF_EINPUT: it is no place. Both say
 * so. */
enum df_code scr_door_open(struct scr_door **out, struct scr_loop *loop, const char *where,
                           int port, const struct scr_door_guest *guest,
                           struct df_error *err) DF_MUST_USE;
int scr_door_port(const struct scr_door *door);       /* the real one; 0 for a path */
size_t scr_door_waiting(const struct scr_door *door); /* connections without a whole head */
/* Listens no longer and drops who is waiting. */
void scr_door_shut(struct scr_door *door);
void scr_door_free(struct scr_door *door); /* shuts it first; NULL is fine */

#endif
