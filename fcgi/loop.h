/* fcgi/loop.h - event loops that serve FastCGI connections: read a request, start it, write its
 * answer. A connection stays with the loop that accepted it, so a request is only ever touched by
 * one thread; other threads hand it back through mrs_loop_post. What a request means is the
 * service's business: each program brings its own. */
#ifndef FCGI_LOOP_H
#define FCGI_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/io.h"
#include "shared/buf.h"
#include "shared/error.h"

struct mrs_loop;

enum mrs_progress {
    MRS_WAITING, /* will be resumed or posted; do not touch it until then */
    MRS_ANSWERED /* call->reply holds the whole answer */
};

/* One request. The service's own struct begins with it. */
struct mrs_call {
    struct mrs_loop *loop;
    void *ctx;   /* service->ctx */
    void *state; /* the loop's, from service->state_new */
    struct mrs_io io;
    const struct df_buf *reply; /* out: headers and body, valid until the step returned */
    bool left_body_unread;      /* out: the connection cannot be used again */
    struct mrs_call *next;      /* link of the loop's list of posted requests */
};

/* All calls come on the loop's thread. */
struct mrs_service {
    void *ctx;
    size_t call_size; /* of the service's struct; it is zeroed once for each connection */
    /* What one loop's requests share (buffers, database connections). *out is freed by state_free
     * after the loop has ended. */
    enum df_code (*state_new)(void **out, void *ctx, struct mrs_loop *loop, struct df_error *err);
    void (*state_free)(void *state);
    /* Begins a request whose io is ready to be read; goes on with one that had to wait. */
    enum mrs_progress (*start)(struct mrs_call *call);
    enum mrs_progress (*resume)(struct mrs_call *call);
    /* Called after each round of events; returns in how many milliseconds at the latest it wants
     * to be called again, -1: no matter. NULL: never called. */
    int (*tick)(void *state);
};

/* What the loops of a program have in common; the counters may be read by any thread. */
struct mrs_traffic {
    int stop_fd;                     /* eventfd, readable for good once the program drains */
    _Atomic int64_t active_requests; /* taken and not yet answered */
    _Atomic int64_t connections;     /* from nginx, idle ones included */
    int64_t connections_max;
};

/* Starts `count` loops that accept from listen_fd (made non-blocking here; it stays the caller's).
 * FCGX_Init must have run; service and traffic are borrowed. On DF_OK the caller owns *out, an
 * array of `count` loops. */
enum df_code mrs_loops_start(struct mrs_loop **out, int64_t count,
                             const struct mrs_service *service, struct mrs_traffic *traffic,
                             int listen_fd, struct df_error *err) DF_MUST_USE;
/* True once every loop has ended: stop_fd is readable and the last request is answered. */
bool mrs_loops_ended(struct mrs_loop *loops, int64_t count);
/* Joins and frees; they must have ended. NULL is fine. */
void mrs_loops_free(struct mrs_loop *loops, int64_t count);

/* A loop without connections, for the one request of a CGI process. The caller owns *out and ends
 * it with mrs_loops_free(loop, 1). */
enum df_code mrs_loop_new_single(struct mrs_loop **out, const struct mrs_service *service,
                                 struct mrs_traffic *traffic, struct df_error *err) DF_MUST_USE;
/* Makes a request of the loop whose bytes come from io. The caller frees it with free(). */
struct mrs_call *mrs_loop_call_new(struct mrs_loop *loop, const struct mrs_io *io);
/* Sleeps until a request is posted to the loop and returns it. */
struct mrs_call *mrs_loop_wait_single(struct mrs_loop *loop);

/* Hands a waiting request back to its loop, which resumes it. Any thread; never blocks. */
void mrs_loop_post(struct mrs_loop *loop, struct mrs_call *call);
/* The same at once, on the loop's own thread and not from within a step of that request. */
void mrs_loop_resume(struct mrs_call *call);

/* Something else that a loop waits for. Owned by whoever embeds it; it must stay where it is until
 * the round of events is over in which its descriptor was closed. */
struct mrs_watch {
    void (*on_ready)(struct mrs_watch *watch, uint32_t events); /* EPOLLIN ... */
};
/* Adds fd to the loop's set, or changes what it is watched for (EPOLLIN, EPOLLOUT, EPOLLET). */
bool mrs_loop_watch(struct mrs_loop *loop, int fd, uint32_t events, struct mrs_watch *watch);

#endif
