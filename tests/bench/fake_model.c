/* tests/bench/fake_model.c - a model server that takes a fixed time: answers every chat completion
 * after DELAY_MS with a verdict, every fifth one a buyer. One thread, epoll, so that it is never
 * the limit of what is measured. No pipelining: a client has one request open per connection.
 * usage: bench_fake_model PORT DELAY_MS   (listens on 127.0.0.1, ends with SIGTERM) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX  4096
#define REQUEST_MAX  16384
#define EVENTS_MAX   256
#define DELAY_MAX_MS 60000

#define ARGUMENTS(buyer, confidence, type, item)                                                   \
    "{\\\"is_buyer\\\":" buyer ",\\\"confidence\\\":" confidence                                   \
    ",\\\"item_description\\\":\\\"" item                                                          \
    "\\\",\\\"estimated_value\\\":0,\\\"message_type\\\":\\\"" type "\\\"}"
#define ANSWER(arguments)                                                                          \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{"         \
    "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\"," \
    "\"function\":{\"name\":\"detect_purchase\",\"arguments\":\"" arguments "\"}}]},"              \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":410,\"completion_tokens\":36}}"

static const char *const answers[] = {
    ANSWER(ARGUMENTS("true", "0.95", "direct_purchase", "blue hoodie")),
    ANSWER(ARGUMENTS("false", "0.9", "general", "")),
};

struct client {
    int fd;
    unsigned turn; /* tells a late timer that the descriptor now belongs to somebody else */
    bool is_waiting;
    size_t have;
    char request[REQUEST_MAX];
};

struct timer {
    int64_t due_ms;
    int fd;
    unsigned turn;
};

static struct client *clients[CLIENTS_MAX]; /* by descriptor */
/* The delay is constant, so timers fall due in the order they were set: a ring is enough. */
static struct timer timers[CLIENTS_MAX];
static size_t timer_first, timer_count;
static int64_t delay_ms;
static int epoll_fd;
static uint64_t answered;
static unsigned next_turn;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void client_drop(struct client *c)
{
    clients[c->fd] = NULL;
    close(c->fd);
    free(c);
}

static void client_accept(int listen_fd)
{
    int fd;

    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        struct client *c = fd < CLIENTS_MAX ? calloc(1, sizeof *c) : NULL;
        int on = 1;

        if (c == NULL) {
            close(fd);
            continue;
        }
        c->fd = fd;
        c->turn = ++next_turn;
        clients[fd] = c;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

/* Length of the first complete request in the buffer, 0 while it is incomplete. */
static size_t request_length(const struct client *c)
{
    const char *end = memmem(c->request, c->have, "\r\n\r\n", 4);
    const char *line = c->request;
    size_t head, body = 0;

    if (end == NULL)
        return 0;
    head = (size_t)(end - c->request) + 4;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if (strncasecmp(line, "content-length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
    }
    return c->have >= head + body ? head + body : 0;
}

/* False when the connection is over. */
static bool client_read(struct client *c)
{
    size_t length;
    ssize_t got = recv(c->fd, c->request + c->have, sizeof c->request - 1 - c->have, 0);

    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    c->have += (size_t)got;
    c->request[c->have] = '\0'; /* strtoul stops here at the latest */
    length = request_length(c);
    if (length == 0)
        return c->have < sizeof c->request - 1;
    if (c->is_waiting || timer_count == CLIENTS_MAX)
        return false; /* a pipelined request: not what we are for */
    c->is_waiting = true;
    c->have = 0;
    timers[(timer_first + timer_count++) % CLIENTS_MAX] =
        (struct timer){now_ms() + delay_ms, c->fd, c->turn};
    return true;
}

static void client_answer(struct client *c)
{
    char reply[2048];
    const char *body = answers[answered++ % 5 == 0 ? 0 : 1];
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          strlen(body), body);

    c->is_waiting = false;
    if (send(c->fd, reply, (size_t)length, MSG_NOSIGNAL) != length)
        client_drop(c); /* the socket buffer is empty between answers, so it always fits */
}

/* Answers what is due; returns how long to sleep, -1 when nothing is waiting. */
static int fire_timers(void)
{
    while (timer_count > 0) {
        struct timer t = timers[timer_first];
        int64_t left_ms = t.due_ms - now_ms();

        if (left_ms > 0)
            return (int)left_ms;
        timer_first = (timer_first + 1) % CLIENTS_MAX;
        timer_count--;
        if (clients[t.fd] != NULL && clients[t.fd]->turn == t.turn)
            client_answer(clients[t.fd]);
    }
    return -1;
}

static int open_listener(uint16_t port)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) != 0 || listen(fd, 1024) != 0)
        return -1;
    return fd;
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN}, ready[EVENTS_MAX];
    long port = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    int listen_fd;

    delay_ms = argc == 3 ? strtol(argv[2], NULL, 10) : -1;
    if (port < 1 || port > UINT16_MAX || delay_ms < 0 || delay_ms > DELAY_MAX_MS) {
        fprintf(stderr, "usage: bench_fake_model PORT DELAY_MS\n");
        return 64;
    }
    listen_fd = open_listener((uint16_t)port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    event.data.fd = listen_fd;
    if (listen_fd < 0 || epoll_fd < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) != 0) {
        perror("bench_fake_model");
        return 71;
    }
    for (;;) {
        int count = epoll_wait(epoll_fd, ready, EVENTS_MAX, fire_timers());

        for (int i = 0; i < count; i++) {
            struct client *c = clients[ready[i].data.fd];

            if (ready[i].data.fd == listen_fd)
                client_accept(listen_fd);
            else if (c != NULL && !client_read(c))
                client_drop(c);
        }
    }
}
