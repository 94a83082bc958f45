/* tests/bench/pace.c - a light client: the same HTTP request at a steady rate on one kept
 * connection, to see what a bystander waits while others load the server. A time counts from the
 * moment the request was due, so a server that stalls cannot hide it.
 * usage: bench_pace PORT RATE_PER_S SECONDS REQUEST_FILE
 * prints one line: sent=N s2xx=N s4xx=N other=N p50_ms=X p99_ms=X max_ms=X */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/stats.h"

#define REQUEST_MAX     8192
#define REPLY_MAX       65536
#define RATE_MAX        10000
#define REPLY_TIMEOUT_S 30

struct pace {
    int fd;
    struct sockaddr_in where;
    char request[REQUEST_MAX];
    size_t request_len;
    char reply[REPLY_MAX];
    int64_t s2xx, s4xx, other;
    struct bench_samples samples;
};

static int load_request(struct pace *p, const char *path)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        return -1;
    p->request_len = fread(p->request, 1, sizeof p->request, file);
    fclose(file);
    return p->request_len > 0 && p->request_len < sizeof p->request ? 0 : -1;
}

static int open_connection(struct pace *p)
{
    struct timeval limit = {.tv_sec = REPLY_TIMEOUT_S};
    int on = 1;

    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return -1;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return connect(p->fd, (struct sockaddr *)&p->where, sizeof p->where);
}

/* Total length of the reply once its head is complete, 0 before. */
static size_t reply_length(const struct pace *p, size_t have)
{
    const char *end = memmem(p->reply, have, "\r\n\r\n", 4);
    const char *field = strcasestr(p->reply, "\r\ncontent-length:");

    if (end == NULL)
        return 0;
    return (size_t)(end - p->reply) + 4 +
           (field != NULL && field < end ? strtoul(field + 17, NULL, 10) : 0);
}

/* Sends one request and reads its reply; the HTTP status, or 0 when the connection failed. */
static int exchange(struct pace *p)
{
    size_t have = 0, want = 0;

    if (send(p->fd, p->request, p->request_len, MSG_NOSIGNAL) != (ssize_t)p->request_len)
        return 0;
    while (want == 0 || have < want) {
        ssize_t got = recv(p->fd, p->reply + have, sizeof p->reply - 1 - have, 0);

        if (got <= 0)
            return 0;
        have += (size_t)got;
        p->reply[have] = '\0';
        want = reply_length(p, have);
    }
    return (int)strtol(p->reply + strlen("HTTP/1.1 "), NULL, 10);
}

static void count_status(struct pace *p, int status)
{
    if (status >= 200 && status < 300)
        p->s2xx++;
    else if (status >= 400 && status < 500)
        p->s4xx++;
    else
        p->other++;
    if (status == 0) { /* nginx may close a kept connection: the next request opens one */
        close(p->fd);
        (void)!open_connection(p);
    }
}

static void run(struct pace *p, int64_t step_ns, int64_t count)
{
    int64_t due = bench_now_ns();

    for (int64_t i = 0; i < count; i++, due += step_ns) {
        struct timespec at = {due / 1000000000, due % 1000000000};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            continue;
        count_status(p, exchange(p));
        bench_samples_add(&p->samples, bench_now_ns() - due);
    }
}

int main(int argc, char **argv)
{
    static struct pace p; /* zeroed, and too large for the stack */
    long port = argc == 5 ? strtol(argv[1], NULL, 10) : 0;
    long rate = argc == 5 ? strtol(argv[2], NULL, 10) : 0;
    long seconds = argc == 5 ? strtol(argv[3], NULL, 10) : 0;
    double p50, p99, longest;

    if (port < 1 || port > UINT16_MAX || rate < 1 || rate > RATE_MAX || seconds < 1) {
        fprintf(stderr, "usage: bench_pace PORT RATE_PER_S SECONDS REQUEST_FILE\n");
        return 64;
    }
    p.where = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    p.where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (load_request(&p, argv[4]) != 0 || open_connection(&p) != 0) {
        perror("bench_pace");
        return 71;
    }
    run(&p, 1000000000 / rate, rate * seconds);
    p50 = bench_samples_percentile_ms(&p.samples, 0.5);
    p99 = bench_samples_percentile_ms(&p.samples, 0.99);
    longest = bench_samples_percentile_ms(&p.samples, 1.0);
    printf("sent=%ld s2xx=%lld s4xx=%lld other=%lld p50_ms=%.2f p99_ms=%.2f max_ms=%.2f\n",
           rate * seconds, (long long)p.s2xx, (long long)p.s4xx, (long long)p.other, p50, p99,
           longest);
    close(p.fd);
    bench_samples_release(&p.samples);
    return 0;
}
