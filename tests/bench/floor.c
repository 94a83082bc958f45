/* tests/bench/floor.c - the floor: what nginx and libfcgi cost when the program does nothing.
 * Same thread layout as the real program (decisions: poll the kept connection, else the listening
 * socket), reads the whole body, answers one constant with the contract's headers.
 * usage: bench_floor SOCKET_PATH THREADS */
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 2048
#define STACK_BYTES (256 * 1024)
#define BACKLOG     1024

#define BODY                                                                                       \
    "{\"success\":true,\"analyzed\":false,\"message\":\"Message stored (AI analysis skipped)\"}"

/* sb-request-id is constant here: the floor has nothing to tell requests apart by. */
#define REPLY_FORMAT                                                                               \
    "Status: 200 OK\r\n"                                                                           \
    "access-control-allow-origin: *\r\n"                                                           \
    "access-control-allow-headers: authorization, x-client-info, apikey, content-type\r\n"         \
    "sb-request-id: 00000000-0000-7000-8000-000000000000\r\n"                                      \
    "content-type: application/json\r\n"                                                           \
    "content-length: %zu\r\n\r\n" BODY

static int listen_fd;
static char reply[sizeof REPLY_FORMAT + 32];
static int reply_len;

static void answer(FCGX_Request *request)
{
    char body[4096];

    while (FCGX_GetStr(body, sizeof body, request->in) == (int)sizeof body)
        continue; /* a body longer than the buffer: read on, the floor keeps nothing */
    FCGX_PutStr(reply, reply_len, request->out);
}

static void *worker(void *unused)
{
    FCGX_Request request;

    (void)unused;
    if (FCGX_InitRequest(&request, listen_fd, 0) != 0)
        return NULL;
    for (;;) {
        struct pollfd ready = {request.ipcFd >= 0 ? request.ipcFd : listen_fd, POLLIN, 0};

        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return NULL;
        if (FCGX_Accept_r(&request) < 0)
            continue; /* another thread took the connection */
        answer(&request);
        FCGX_Finish_r(&request);
    }
}

static int start_threads(int count)
{
    pthread_attr_t attr;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (int i = 0; i < count; i++) {
        pthread_t thread;

        if (pthread_create(&thread, &attr, worker, NULL) != 0)
            return -1;
        pthread_detach(thread);
    }
    pthread_attr_destroy(&attr);
    return 0;
}

/* Blocks until SIGTERM or SIGINT; the threads hold nothing that would need a goodbye. */
static void wait_for_stop(const sigset_t *stop)
{
    int number;

    while (sigwait(stop, &number) != 0)
        continue;
}

int main(int argc, char **argv)
{
    sigset_t stop;
    long threads = argc == 3 ? strtol(argv[2], NULL, 10) : 0;

    if (threads < 1 || threads > THREADS_MAX) {
        fprintf(stderr, "usage: bench_floor SOCKET_PATH THREADS\n");
        return 64;
    }
    if (FCGX_Init() != 0)
        return 70;
    sigemptyset(&stop); /* after FCGX_Init, which installs handlers of its own */
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    reply_len = snprintf(reply, sizeof reply, REPLY_FORMAT, strlen(BODY));
    listen_fd = FCGX_OpenSocket(argv[1], BACKLOG);
    if (listen_fd < 0 || fcntl(listen_fd, F_SETFL, O_NONBLOCK) != 0) {
        perror(argv[1]);
        return 71;
    }
    if (start_threads((int)threads) != 0) {
        perror("bench_floor: threads");
        return 71;
    }
    wait_for_stop(&stop);
    unlink(argv[1]);
    return 0;
}
