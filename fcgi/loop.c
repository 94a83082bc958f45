/* fcgi/loop.c - epoll around libfcgi.
 *
 * libfcgi reads and writes blocking sockets. Here it is only called when there is something to
 * read, and nginx sends a request in one go (it has buffered the body), so it does not block; a
 * broken peer that sends half a request costs at most SOCKET_TIMEOUT_S. Measured against a thread
 * for each kept connection in ARCHITECTURE.md. */
#include "fcgi/loop.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/log.h"

enum {
    EVENTS_AT_ONCE = 64,
    SOCKET_TIMEOUT_S = 1,
    OUT_OF_FILES_PAUSE_MS = 100,
    STACK_BYTES = 256 * 1024, /* JSON at our nesting limit needs far less: shared/json.h */
};

struct connection {
    struct mrs_watch watch; /* first */
    FCGX_Request fcgi;
    struct mrs_loop *loop;
    int fd;
    bool is_busy;     /* a request is under way */
    bool is_readable; /* told so while busy: the next request, or the end */
    bool is_closed;
    struct connection *prev, *next;
    struct mrs_call *call; /* in the same piece of memory, behind this struct */
};

struct mrs_loop {
    const struct mrs_service *service;
    struct mrs_traffic *traffic;
    void *state;
    pthread_t thread;
    bool has_thread;
    _Atomic bool has_ended;
    int epoll_fd;
    int wake_fd;
    int listen_fd; /* borrowed; -1 when draining */
    struct mrs_watch wake_watch, listen_watch, stop_watch;
    bool is_draining;
    struct connection *connections;    /* doubly linked */
    struct connection *closed;         /* freed after the round: later events may still name them */
    _Atomic(struct mrs_call *) posted; /* newest first */
};

#define HOLDER(watch, type, member) ((type *)(void *)((char *)(watch)-offsetof(type, member)))

/* --- a request of libfcgi as the pipeline sees it --------------------------------------------- */

static const char *fcgi_param(void *ctx, const char *name)
{
    FCGX_Request *fcgi = ctx;
    return FCGX_GetParam(name, fcgi->envp);
}

static size_t fcgi_read(void *ctx, char *buf, size_t len)
{
    FCGX_Request *fcgi = ctx;
    int n = FCGX_GetStr(buf, (int)len, fcgi->in);
    return n > 0 ? (size_t)n : 0;
}

/* --- connections ----------------------------------------------------------------------------- */

static void close_connection(struct connection *c)
{
    FCGX_Free(&c->fcgi, 1); /* closes the socket, which also leaves the epoll set */
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->loop->connections = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    atomic_fetch_sub_explicit(&c->loop->traffic->connections, 1, memory_order_relaxed);
    c->is_closed = true;
    c->next = c->loop->closed;
    c->loop->closed = c;
}

static void free_closed(struct mrs_loop *loop)
{
    while (loop->closed != NULL) {
        struct connection *c = loop->closed;
        loop->closed = c->next;
        free(c);
    }
}

static void finish(struct connection *c);

static void write_answer(struct connection *c)
{
    const struct df_buf *reply = c->call->reply;
    (void)FCGX_PutStr(reply->data, (int)reply->len, c->fcgi.out); /* the peer may be gone */
    if (c->call->left_body_unread)
        c->fcgi.keepConnection = 0; /* what is left of the body must not be read as a request */
    FCGX_Finish_r(&c->fcgi);
    c->is_busy = false;
    atomic_fetch_sub_explicit(&c->loop->traffic->active_requests, 1, memory_order_relaxed);
}

/* True when bytes of a next request have arrived already. */
static bool has_input(const struct connection *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* Reads the request that has arrived. Closes the connection at its end. */
static void serve(struct connection *c)
{
    c->is_readable = false;
    c->fcgi.ipcFd = c->fd;
    c->fcgi.keepConnection = 1; /* or FCGX_Accept_r closes it first; the request sets it anew */
    if (FCGX_Accept_r(&c->fcgi) != 0) { /* the end, or no FastCGI: libfcgi has closed it */
        c->fcgi.ipcFd = -1;
        close_connection(c);
        return;
    }
    c->is_busy = true;
    atomic_fetch_add_explicit(&c->loop->traffic->active_requests, 1, memory_order_relaxed);
    c->call->left_body_unread = false;
    if (c->loop->service->start(c->call) == MRS_ANSWERED)
        finish(c);
}

static void on_connection(struct mrs_watch *watch, uint32_t events)
{
    struct connection *c = HOLDER(watch, struct connection, watch);
    (void)events;
    c->is_readable = true;
    if (!c->is_busy && !c->is_closed)
        serve(c);
}

/* Writes the answer, then: closes what is not kept or no longer wanted, reads on where more came.
 */
static void finish(struct connection *c)
{
    write_answer(c);
    if (c->fcgi.ipcFd < 0 || (c->loop->is_draining && !has_input(c)))
        close_connection(c);
    else if (c->is_readable || c->loop->is_draining)
        serve(c);
}

void mrs_loop_resume(struct mrs_call *call)
{
    FCGX_Request *fcgi = call->io.ctx;
    if (call->loop->service->resume(call) == MRS_ANSWERED)
        finish(HOLDER(fcgi, struct connection, fcgi));
}

static void on_wake(struct mrs_watch *watch, uint32_t events)
{
    struct mrs_loop *loop = HOLDER(watch, struct mrs_loop, wake_watch);
    struct mrs_call *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct mrs_call *oldest = NULL;
    (void)events;
    while (newest != NULL) { /* answer in order of arrival */
        struct mrs_call *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct mrs_call *call = oldest;
        oldest = call->next;
        mrs_loop_resume(call);
    }
}

void mrs_loop_post(struct mrs_loop *loop, struct mrs_call *call)
{
    struct mrs_call *before = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        call->next = before;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &before, call,
                                                    memory_order_release, memory_order_relaxed));
    /* Whoever finds the list empty wakes the loop: once for a whole batch, usually. */
    const uint64_t one = 1;
    if (before == NULL && write(loop->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake */
}

bool mrs_loop_watch(struct mrs_loop *loop, int fd, uint32_t events, struct mrs_watch *watch)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ||
           (errno == EEXIST && epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0);
}

static void set_timeouts(int fd)
{
    const struct timeval limit = {.tv_sec = SOCKET_TIMEOUT_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static void add_connection(struct mrs_loop *loop, int fd)
{
    struct mrs_traffic *traffic = loop->traffic;
    size_t head = (sizeof(struct connection) + 15) / 16 * 16; /* the call behind it is aligned */
    struct connection *c = calloc(1, head + loop->service->call_size);

    if (c == NULL || atomic_fetch_add(&traffic->connections, 1) >= traffic->connections_max) {
        if (c != NULL)
            atomic_fetch_sub(&traffic->connections, 1);
        df_log(DF_LOG_WARN, "connection_refused", "max=%lld hint=CONNECTIONS_MAX",
               (long long)traffic->connections_max);
        free(c);
        close(fd);
        return;
    }
    set_timeouts(fd);
    c->fd = fd;
    c->loop = loop;
    c->watch.on_ready = on_connection;
    c->call = (struct mrs_call *)(void *)((char *)c + head);
    *c->call = (struct mrs_call){.loop = loop, .ctx = loop->service->ctx, .state = loop->state};
    c->call->io = (struct mrs_io){&c->fcgi, fcgi_param, fcgi_read};
    /* -1: libfcgi must never accept by itself, it would block. */
    (void)FCGX_InitRequest(&c->fcgi, -1, FCGI_FAIL_ACCEPT_ON_INTR);
    c->next = loop->connections;
    if (c->next != NULL)
        c->next->prev = c;
    loop->connections = c;
    if (!mrs_loop_watch(loop, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, &c->watch)) {
        c->fcgi.ipcFd = fd;
        close_connection(c);
    }
}

static void on_listen(struct mrs_watch *watch, uint32_t events)
{
    struct mrs_loop *loop = HOLDER(watch, struct mrs_loop, listen_watch);
    (void)events;
    if (loop->is_draining)
        return;
    int fd = accept4(loop->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        add_connection(loop, fd);
        return;
    }
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
        return; /* the other loop was faster */
    df_log(DF_LOG_WARN, "accept_failed", "errno=%d", errno);
    (void)poll(NULL, 0, OUT_OF_FILES_PAUSE_MS); /* EMFILE would spin */
}

/* Stops accepting, closes what is idle; the rest goes when it is answered. */
static void on_stop(struct mrs_watch *watch, uint32_t events)
{
    struct mrs_loop *loop = HOLDER(watch, struct mrs_loop, stop_watch);
    (void)events;
    loop->is_draining = true;
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->listen_fd, NULL);
    (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, loop->traffic->stop_fd, NULL);
    loop->listen_fd = -1;
    for (struct connection *c = loop->connections, *next; c != NULL; c = next) {
        next = c->next;
        if (c->is_busy)
            continue;
        if (has_input(c)) /* nginx has sent a request before it could know */
            serve(c);
        else
            close_connection(c);
    }
}

static void *loop_main(void *arg)
{
    struct mrs_loop *loop = arg;
    struct epoll_event events[EVENTS_AT_ONCE];

    while (!loop->is_draining || loop->connections != NULL) {
        int wait_ms = loop->service->tick == NULL ? -1 : loop->service->tick(loop->state);
        int n = epoll_wait(loop->epoll_fd, events, EVENTS_AT_ONCE, wait_ms);
        for (int i = 0; i < n; i++) {
            struct mrs_watch *watch = events[i].data.ptr;
            watch->on_ready(watch, events[i].events);
        }
        free_closed(loop);
    }
    atomic_store(&loop->has_ended, true);
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static enum df_code init_loop(struct mrs_loop *loop, const struct mrs_service *service,
                              struct mrs_traffic *traffic, struct df_error *err)
{
    loop->service = service;
    loop->traffic = traffic;
    loop->listen_fd = -1;
    loop->wake_watch.on_ready = on_wake;
    loop->listen_watch.on_ready = on_listen;
    loop->stop_watch.on_ready = on_stop;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Edge-triggered, so that the counter of the eventfd need not be read back. */
    if (loop->epoll_fd < 0 || loop->wake_fd < 0 ||
        !mrs_loop_watch(loop, loop->wake_fd, EPOLLIN | EPOLLET, &loop->wake_watch))
        return df_error_set(err, DF_ENOMEM, "cannot make an event loop");
    return service->state_new(&loop->state, service->ctx, loop, err);
}

static enum df_code start_loop(struct mrs_loop *loop, int listen_fd, struct df_error *err)
{
    pthread_attr_t attr;

    loop->listen_fd = listen_fd;
    if (!mrs_loop_watch(loop, listen_fd, EPOLLIN | EPOLLEXCLUSIVE, &loop->listen_watch) ||
        !mrs_loop_watch(loop, loop->traffic->stop_fd, EPOLLIN, &loop->stop_watch) ||
        pthread_attr_init(&attr) != 0)
        return df_error_set(err, DF_ENOMEM, "cannot make an event loop");
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    loop->has_thread = pthread_create(&loop->thread, &attr, loop_main, loop) == 0;
    (void)pthread_attr_destroy(&attr);
    return loop->has_thread ? DF_OK : df_error_set(err, DF_ENOMEM, "cannot start a thread");
}

enum df_code mrs_loops_start(struct mrs_loop **out, int64_t count,
                             const struct mrs_service *service, struct mrs_traffic *traffic,
                             int listen_fd, struct df_error *err)
{
    *out = NULL;
    int flags = fcntl(listen_fd, F_GETFL);
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return df_error_set(err, DF_EINPUT, "the listening socket is unusable");
    struct mrs_loop *loops = calloc((size_t)count, sizeof *loops);
    if (loops == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    *out = loops; /* also after a failure: some may run already, main ends the process then */
    for (int64_t i = 0; i < count; i++) {
        enum df_code rc = init_loop(&loops[i], service, traffic, err);
        if (rc == DF_OK)
            rc = start_loop(&loops[i], listen_fd, err);
        if (rc != DF_OK)
            return rc;
    }
    return DF_OK;
}

bool mrs_loops_ended(struct mrs_loop *loops, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (loops[i].has_thread && !atomic_load(&loops[i].has_ended))
            return false;
    }
    return true;
}

void mrs_loops_free(struct mrs_loop *loops, int64_t count)
{
    if (loops == NULL)
        return;
    for (int64_t i = 0; i < count; i++) {
        if (loops[i].has_thread)
            pthread_join(loops[i].thread, NULL);
        if (loops[i].epoll_fd > 0)
            close(loops[i].epoll_fd);
        if (loops[i].wake_fd > 0)
            close(loops[i].wake_fd);
        if (loops[i].state != NULL)
            loops[i].service->state_free(loops[i].state);
    }
    free(loops);
}

enum df_code mrs_loop_new_single(struct mrs_loop **out, const struct mrs_service *service,
                                 struct mrs_traffic *traffic, struct df_error *err)
{
    *out = calloc(1, sizeof **out);
    if (*out == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    return init_loop(*out, service, traffic, err);
}

struct mrs_call *mrs_loop_call_new(struct mrs_loop *loop, const struct mrs_io *io)
{
    struct mrs_call *call = calloc(1, loop->service->call_size);
    if (call != NULL)
        *call = (struct mrs_call){
            .loop = loop, .ctx = loop->service->ctx, .state = loop->state, .io = *io};
    return call;
}

struct mrs_call *mrs_loop_wait_single(struct mrs_loop *loop)
{
    struct mrs_call *call;
    struct pollfd wake = {loop->wake_fd, POLLIN, 0};

    while ((call = atomic_exchange(&loop->posted, NULL)) == NULL) {
        uint64_t ignored;
        if (poll(&wake, 1, -1) > 0 && read(loop->wake_fd, &ignored, sizeof ignored) < 0)
            continue;
    }
    return call;
}
