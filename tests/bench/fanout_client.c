/* tests/bench/fanout_client.c - many subscribers in one thread: WebSocket and the Realtime protocol
 * (vsn 2.0.0), just enough of both, so that the client is not the limit of what is measured.
 *
 * usage: bench_fanout_client PORT CLIENTS TOKENS_FILE BINDING
 *   TOKENS_FILE  a token a line; client i joins with line i modulo their number
 *   BINDING      the JSON object of one postgres_changes subscription
 *
 * Every row must have a column sent_us: CLOCK_MONOTONIC in microseconds when its commit was called.
 * The latency of a delivery is from there to the moment its frame was read.
 *
 * Prints "live=N" when all clients are subscribed. On "start" from standard input it forgets its
 * figures, on "stop" it prints one line: deliveries=N p50_ms=X p95_ms=X p99_ms=X max_ms=X closed=N.
 * The end of the input ends it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/stats.h"

enum {
    CLIENTS_MAX = 20000,
    TOKENS_MAX = 10000,
    OPENING_MAX = 64, /* connections that are being opened at once */
    EVENTS_MAX = 256,
    TEXT_MAX = 8192,     /* of what we send */
    INPUT_MAX = 1 << 20, /* of one read and of one frame */
    HEARTBEAT_MS = 25000,
    SWEEP_MS = 1000, /* so often some clients send their heartbeat */
    SMALL_FRAME = 126,
    MEDIUM_FRAME = 65536,
};

enum state { ST_IDLE, ST_CONNECTING, ST_UPGRADING, ST_JOINING, ST_LIVE, ST_CLOSED };

struct client {
    int fd;
    enum state state;
    char *rest; /* heap: bytes of an unfinished frame or head */
    size_t rest_len;
};

struct crowd {
    int epoll;
    struct sockaddr_in where;
    const char *binding;
    char *token[TOKENS_MAX];
    size_t token_count;
    struct client *client;
    size_t client_count, opened, live, closed;
    size_t heart; /* the client whose heartbeat is due next */
    int64_t swept_ms;
    struct bench_samples samples;
    bool is_measuring;
};

static char input[2 * INPUT_MAX];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_fanout_client: %s: %s\n", what, strerror(errno));
    exit(71);
}

/* --- out ----------------------------------------------------------------------------------------
 */

/* Small texts into an idle socket: a short write means that the other side has given up. */
static void send_bytes(struct client *c, const void *bytes, size_t len)
{
    if (send(c->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
}

/* A masked frame, as clients must; a mask of zero leaves the text as it is. */
static void send_text(struct client *c, const char *text, size_t len)
{
    unsigned char frame[TEXT_MAX + 8] = {0x81};
    size_t head = 2;

    if (len < SMALL_FRAME) {
        frame[1] = (unsigned char)(0x80 | len);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (unsigned char)(len >> 8);
        frame[3] = (unsigned char)len;
        head = 4;
    }
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, text, len);
    send_bytes(c, frame, head + 4 + len);
}

static void open_next(struct crowd *crowd)
{
    struct client *c = &crowd->client[crowd->opened];
    struct epoll_event event = {.events = EPOLLOUT, .data.u64 = crowd->opened};
    int on = 1;

    crowd->opened++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&crowd->where, sizeof crowd->where) != 0 &&
        errno != EINPROGRESS)
        die("connect");
    c->state = ST_CONNECTING;
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void upgrade(struct crowd *crowd, struct client *c, size_t index)
{
    char text[TEXT_MAX];
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    int len =
        snprintf(text, sizeof text,
                 "GET /realtime/v1/websocket?apikey=%s&vsn=2.0.0 HTTP/1.1\r\n"
                 "Host: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyAxNg==\r\n\r\n",
                 crowd->token[index % crowd->token_count]);

    send_bytes(c, text, (size_t)len);
    c->state = ST_UPGRADING;
    if (epoll_ctl(crowd->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void join(struct crowd *crowd, struct client *c)
{
    char text[TEXT_MAX];
    int len =
        snprintf(text, sizeof text,
                 "[\"1\",\"1\",\"realtime:bench\",\"phx_join\",{\"config\":{\"broadcast\":"
                 "{\"ack\":false,\"self\":false},\"presence\":{\"key\":\"\",\"enabled\":false},"
                 "\"postgres_changes\":[%s],\"private\":false}}]",
                 crowd->binding);

    send_text(c, text, (size_t)len);
    c->state = ST_JOINING;
}

/* --- in -----------------------------------------------------------------------------------------
 */

static void close_client(struct crowd *crowd, struct client *c)
{
    close(c->fd);
    free(c->rest);
    if (c->state != ST_LIVE) {
        fprintf(stderr, "bench_fanout_client: a client was refused\n");
        exit(69);
    }
    *c = (struct client){.fd = -1, .state = ST_CLOSED};
    crowd->closed++;
}

static bool has(const char *text, size_t len, const char *word)
{
    return memmem(text, len, word, strlen(word)) != NULL;
}

static void take_frame(struct crowd *crowd, struct client *c, const char *text, size_t len)
{
    static const char key[] = "\"sent_us\":";
    const char *sent;

    if (c->state == ST_JOINING) {
        if (has(text, len, "\"status\":\"error\"")) {
            fprintf(stderr, "bench_fanout_client: %.*s\n", (int)len, text);
            exit(69);
        }
        if (has(text, len, "Subscribed to PostgreSQL")) {
            c->state = ST_LIVE;
            crowd->live++;
            if (crowd->live == crowd->client_count) {
                printf("live=%zu\n", crowd->live);
                fflush(stdout);
            }
        }
        return;
    }
    if (!crowd->is_measuring || !has(text, len < 80 ? len : 80, "\"postgres_changes\""))
        return;
    sent = memmem(text, len, key, sizeof key - 1);
    if (sent == NULL) {
        fprintf(stderr, "bench_fanout_client: a row without sent_us: %.*s\n", (int)len, text);
        exit(65);
    }
    /* The input always ends with a NUL, so this cannot run away. */
    bench_samples_add(&crowd->samples,
                      bench_now_ns() - 1000 * strtoll(sent + sizeof key - 1, NULL, 10));
}

/* Takes whole frames from the bytes and returns how many bytes they were. */
static size_t take_frames(struct crowd *crowd, struct client *c, const char *bytes, size_t len)
{
    size_t at = 0;

    while (len - at >= 2) {
        const unsigned char *head = (const unsigned char *)bytes + at;
        uint64_t size = head[1] & 0x7f;
        size_t head_len = 2;

        if (size == 126)
            head_len = 4;
        else if (size == 127)
            head_len = 10;
        if (len - at < head_len)
            break;
        if (head_len > 2) {
            size = 0;
            for (size_t i = 2; i < head_len; i++)
                size = size << 8 | head[i];
        }
        if (size > INPUT_MAX) {
            fprintf(stderr, "bench_fanout_client: a frame of %llu bytes\n",
                    (unsigned long long)size);
            exit(65);
        }
        if (len - at - head_len < size)
            break;
        if ((head[0] & 0x0f) == 0x01)
            take_frame(crowd, c, bytes + at + head_len, (size_t)size);
        at += head_len + (size_t)size;
    }
    return at;
}

/* Takes the answer to the upgrade; returns its length, 0 while it is not complete. */
static size_t take_head(struct crowd *crowd, struct client *c, const char *bytes, size_t len)
{
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);

    if (end == NULL)
        return 0;
    if (strncmp(bytes, "HTTP/1.1 101", 12) != 0) {
        fprintf(stderr, "bench_fanout_client: %.*s\n", (int)len, bytes);
        exit(69);
    }
    join(crowd, c);
    return (size_t)(end - bytes) + 4;
}

static void receive(struct crowd *crowd, struct client *c)
{
    size_t len = c->rest_len, done = 0;
    ssize_t got;

    if (len > 0)
        memcpy(input, c->rest, len);
    got = recv(c->fd, input + len, INPUT_MAX - 1, 0);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        close_client(crowd, c);
        return;
    }
    len += (size_t)got;
    input[len] = '\0';
    if (c->state == ST_UPGRADING)
        done = take_head(crowd, c, input, len);
    if (c->state != ST_UPGRADING)
        done += take_frames(crowd, c, input + done, len - done);
    free(c->rest);
    c->rest = NULL;
    c->rest_len = len - done;
    if (c->rest_len == 0)
        return;
    if (c->rest_len > INPUT_MAX)
        die("too long a frame");
    c->rest = malloc(c->rest_len);
    if (c->rest == NULL)
        die("malloc");
    memcpy(c->rest, input + done, c->rest_len);
}

/* --- the loop -----------------------------------------------------------------------------------
 */

/* Each second its share of the clients, so that their heartbeats do not come in one burst. */
static void send_heartbeats(struct crowd *crowd, int64_t now_ms)
{
    static const char text[] = "[null,\"h\",\"phoenix\",\"heartbeat\",{}]";
    size_t share = crowd->client_count * SWEEP_MS / HEARTBEAT_MS + 1;

    if (now_ms - crowd->swept_ms < SWEEP_MS)
        return;
    crowd->swept_ms = now_ms;
    for (size_t i = 0; i < share; i++) {
        struct client *c = &crowd->client[crowd->heart];

        crowd->heart = (crowd->heart + 1) % crowd->client_count;
        if (c->state == ST_LIVE)
            send_text(c, text, sizeof text - 1);
    }
}

static void print_figures(struct crowd *crowd)
{
    size_t count = crowd->samples.count;
    double p50 = bench_samples_percentile_ms(&crowd->samples, 0.5);
    double p95 = bench_samples_percentile_ms(&crowd->samples, 0.95);
    double p99 = bench_samples_percentile_ms(&crowd->samples, 0.99);
    double longest = bench_samples_percentile_ms(&crowd->samples, 1.0);

    printf("deliveries=%zu p50_ms=%.2f p95_ms=%.2f p99_ms=%.2f max_ms=%.2f closed=%zu\n", count,
           p50, p95, p99, longest, crowd->closed);
    fflush(stdout);
}

/* False: the input has ended. */
static bool obey(struct crowd *crowd)
{
    char line[64];
    ssize_t got = read(STDIN_FILENO, line, sizeof line - 1);

    if (got <= 0)
        return false;
    line[got] = '\0';
    if (strncmp(line, "start", 5) == 0) {
        crowd->samples.count = 0;
        crowd->is_measuring = true;
    } else if (strncmp(line, "peek", 4) == 0) {
        printf("deliveries=%zu\n", crowd->samples.count);
        fflush(stdout);
    } else if (strncmp(line, "stop", 4) == 0) {
        crowd->is_measuring = false;
        print_figures(crowd);
    }
    return true;
}

static void run(struct crowd *crowd)
{
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event commands = {.events = EPOLLIN, .data.u64 = UINT64_MAX};

    if (epoll_ctl(crowd->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &commands) != 0)
        die("epoll_ctl");
    for (;;) {
        while (crowd->opened < crowd->client_count && crowd->opened - crowd->live < OPENING_MAX)
            open_next(crowd);
        int count = epoll_wait(crowd->epoll, events, EVENTS_MAX, SWEEP_MS);

        for (int i = 0; i < count; i++) {
            uint64_t index = events[i].data.u64;

            if (index == UINT64_MAX) {
                if (!obey(crowd))
                    return;
                continue;
            }
            struct client *c = &crowd->client[index];

            if (c->state == ST_CONNECTING)
                upgrade(crowd, c, index);
            else
                receive(crowd, c);
        }
        send_heartbeats(crowd, bench_now_ns() / 1000000);
    }
}

static void read_tokens(struct crowd *crowd, const char *path)
{
    char line[4096];
    FILE *file = fopen(path, "r");

    if (file == NULL)
        die(path);
    while (crowd->token_count < TOKENS_MAX && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] != '\0')
            crowd->token[crowd->token_count++] = strdup(line);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    static struct crowd crowd; /* zeroed, and too large for the stack */
    long port = argc == 5 ? strtol(argv[1], NULL, 10) : 0;
    long clients = argc == 5 ? strtol(argv[2], NULL, 10) : 0;
    struct rlimit files = {CLIENTS_MAX + 64, CLIENTS_MAX + 64};

    if (port < 1 || port > UINT16_MAX || clients < 1 || clients > CLIENTS_MAX) {
        fprintf(stderr, "usage: bench_fanout_client PORT CLIENTS TOKENS_FILE BINDING\n");
        return 64;
    }
    read_tokens(&crowd, argv[3]);
    if (crowd.token_count == 0 || strlen(argv[4]) > TEXT_MAX / 2) {
        fprintf(stderr, "bench_fanout_client: no tokens, or too long a binding\n");
        return 64;
    }
    if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max; /* as far as we may */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    crowd.where = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    crowd.where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    crowd.binding = argv[4];
    crowd.client_count = (size_t)clients;
    crowd.client = calloc(crowd.client_count, sizeof *crowd.client);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (crowd.client == NULL || crowd.epoll < 0)
        die("start");
    run(&crowd);
    for (size_t i = 0; i < crowd.client_count; i++)
        free(crowd.client[i].rest);
    free(crowd.client);
    for (size_t i = 0; i < crowd.token_count; i++)
        free(crowd.token[i]);
    bench_samples_release(&crowd.samples);
    return 0;
}
