/* fcgi/worker.c - accept or read on, handle, finish, until stop_fd becomes readable. */
#include "fcgi/worker.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "fcgi/pipeline.h"
#include "shared/log.h"

enum {
    FIRST_WORKERS = 8,
    IDLE_MAX = 32,             /* more threads than this waiting for a connection: leave */
    STACK_BYTES = 256 * 1024,  /* jansson at our nesting limit needs far less: shared/json.h */
    OUT_OF_FILES_PAUSE_MS = 1000,
};

static struct {
    struct mrs_app *app;
    int listen_fd;
    int64_t max;
    _Atomic int64_t listening; /* workers without a connection */
    pthread_attr_t attr;
} pool;

static void *worker_main(void *arg);

/* One more thread unless the maximum is reached. False: not started. */
static bool start_one(void)
{
    pthread_t thread;
    if (atomic_fetch_add(&pool.app->open_workers, 1) >= pool.max ||
        pthread_create(&thread, &pool.attr, worker_main, NULL) != 0) {
        atomic_fetch_sub(&pool.app->open_workers, 1);
        return false;
    }
    return true;
}

/* --- a request of libfcgi as the pipeline sees it --------------------------------------------- */

static const char *fcgi_param(void *ctx, const char *name)
{
    FCGX_Request *request = ctx;
    return FCGX_GetParam(name, request->envp);
}

static size_t fcgi_read(void *ctx, char *buf, size_t len)
{
    FCGX_Request *request = ctx;
    int n = FCGX_GetStr(buf, (int)len, request->in);
    return n > 0 ? (size_t)n : 0;
}

static bool fcgi_write(void *ctx, const char *buf, size_t len)
{
    FCGX_Request *request = ctx;
    return FCGX_PutStr(buf, (int)len, request->out) == (int)len;
}

/* --- the loop -------------------------------------------------------------------------------- */

struct worker {
    FCGX_Request request;
    struct mrs_scratch scratch;
    bool is_listening; /* counted in pool.listening */
};

/* Waits for a request. True: FCGX_Accept_r is worth calling. False: time to go. */
static bool wait_for_request(struct worker *w)
{
    /* A kept connection is waited for on its own socket; only without one do we accept. */
    bool is_kept = w->request.ipcFd >= 0;
    if (!is_kept && !w->is_listening) {
        w->is_listening = true;
        if (atomic_fetch_add(&pool.listening, 1) >= IDLE_MAX)
            return false;
    }
    struct pollfd fds[] = {{is_kept ? w->request.ipcFd : pool.listen_fd, POLLIN, 0},
                           {pool.app->stop_fd, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return false; /* ENOMEM: another worker will be started when it is needed */
    }
    /* Draining: a request that nginx has already sent on a kept connection is still answered. */
    return fds[1].revents == 0 || (is_kept && (fds[0].revents & POLLIN) != 0);
}

/* The last one that was waiting for connections has got one: somebody must take its place. */
static void note_busy(struct worker *w)
{
    if (!w->is_listening)
        return;
    w->is_listening = false;
    if (atomic_fetch_sub(&pool.listening, 1) == 1)
        (void)start_one();
}

static void *worker_main(void *arg)
{
    struct worker worker = {0};
    struct worker *w = &worker;
    const struct mrs_io io = {&w->request, fcgi_param, fcgi_read, fcgi_write};

    (void)arg;
    mrs_scratch_init(&w->scratch);
    (void)FCGX_InitRequest(&w->request, pool.listen_fd, FCGI_FAIL_ACCEPT_ON_INTR);
    while (wait_for_request(w)) {
        int rc = FCGX_Accept_r(&w->request); /* the listening socket is O_NONBLOCK */
        if (rc == -EAGAIN || rc == -EINTR)
            continue; /* another worker was faster, or a kept connection was closed */
        if (rc < 0) {
            df_log(DF_LOG_WARN, "accept_failed", "rc=%d", rc);
            struct pollfd stop = {pool.app->stop_fd, POLLIN, 0};
            (void)poll(&stop, 1, OUT_OF_FILES_PAUSE_MS); /* EMFILE would spin */
            continue;
        }
        note_busy(w);
        mrs_pipeline_run(pool.app, &io, &w->scratch);
        FCGX_Finish_r(&w->request);
    }
    if (w->is_listening)
        atomic_fetch_sub(&pool.listening, 1);
    FCGX_Free(&w->request, 1);
    mrs_scratch_release(&w->scratch);
    atomic_fetch_sub(&pool.app->open_workers, 1);
    return NULL;
}

enum df_code mrs_workers_start(struct mrs_app *app, int listen_fd, int64_t max_workers,
                               struct df_error *err)
{
    int flags = fcntl(listen_fd, F_GETFL);
    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return df_error_set(err, DF_EINPUT, "the listening socket is unusable");
    pool.app = app;
    pool.listen_fd = listen_fd;
    pool.max = max_workers;
    if (pthread_attr_init(&pool.attr) != 0)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    (void)pthread_attr_setstacksize(&pool.attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&pool.attr, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < FIRST_WORKERS && i < max_workers; i++) {
        if (!start_one() && i == 0)
            return df_error_set(err, DF_ENOMEM, "cannot start a worker thread");
    }
    return DF_OK;
}
