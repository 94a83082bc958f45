/* realtime/guest.c - a socket until it is an upgrade that may come in: reads head and body, writes
 * the answer, gives up on who takes too long. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "realtime/server_private.h"
#include "shared/log.h"

enum { READ_BYTES = 4096, HEAD_WAIT_MS = 10000, LINGER_MS = 1000, LINGER_READS = 16 };

static void on_ready(uv_poll_t *poll, int status, int events);

/* --- life ---------------------------------------------------------------------------------------
 */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void rt_guest_end(struct rt_guest *guest, bool keep_fd)
{
    struct rt_server *server = guest->server;

    if (guest->state == RT_GUEST_WAITING)
        server->waiting_count--;
    server->incoming_bytes -= guest->body_len;
    *guest->link = guest->next;
    if (guest->next != NULL)
        guest->next->link = guest->link;
    server->guest_count--;
    if (guest->in.data != NULL) /* it held a token */
        explicit_bzero(guest->in.data, guest->in.len);
    df_buf_release(&guest->in);
    df_buf_release(&guest->out);
    rt_claims_release(&guest->claims);
    (void)uv_poll_stop(&guest->poll);
    uv_close((uv_handle_t *)&guest->poll, on_closed);
    if (!keep_fd)
        (void)close(guest->fd);
}

/* What to wait for in a state. A guest that is not read from must still be seen to leave. */
static int events_of(enum rt_guest_state state)
{
    switch (state) {
    case RT_GUEST_HEAD:
    case RT_GUEST_BODY:
    case RT_GUEST_LINGER:
        return UV_READABLE;
    case RT_GUEST_ANSWER:
        return UV_WRITABLE;
    default:
        return UV_DISCONNECT;
    }
}

void rt_guest_set_state(struct rt_guest *guest, enum rt_guest_state state, int64_t wait_ms)
{
    if (guest->state == RT_GUEST_WAITING)
        guest->server->waiting_count--;
    if (state == RT_GUEST_WAITING)
        guest->server->waiting_count++;
    guest->state = state;
    guest->due_ms = rt_server_now_ms(guest->server) + wait_ms;
    (void)uv_poll_start(&guest->poll, events_of(state), on_ready);
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* False: nothing more to read now, or the guest has ended. */
static bool read_some(struct rt_guest *guest)
{
    if (!df_buf_reserve(&guest->in, READ_BYTES)) {
        rt_guest_answer(guest, 431, "application/json",
                        "{\"error\":\"the head of the request is over 32 KiB\"}", "");
        return false;
    }
    ssize_t n = recv(guest->fd, guest->in.data + guest->in.len, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        rt_guest_end(guest, false);
        return false;
    }
    guest->in.len += (size_t)n;
    guest->in.data[guest->in.len] = '\0';
    return true;
}

static void read_head(struct rt_guest *guest)
{
    if (!read_some(guest))
        return;
    if (guest->in.data[0] < 'A' || guest->in.data[0] > 'Z') { /* TLS, noise */
        rt_guest_end(guest, false);
        return;
    }
    guest->head_len = rt_head_end(guest->in.data, guest->in.len);
    if (guest->head_len > 0)
        rt_guest_judge(guest);
}

static void read_body(struct rt_guest *guest)
{
    while (guest->in.len < guest->head_len + guest->body_len)
        if (!read_some(guest))
            return;
    rt_guest_take_body(guest);
}

/* The answer is out and the peer was told so; what it still sends has no meaning. */
static void linger(struct rt_guest *guest)
{
    char gone[READ_BYTES];
    ssize_t n = 1;

    for (int i = 0; i < LINGER_READS && n > 0; i++)
        n = recv(guest->fd, gone, sizeof gone, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        rt_guest_end(guest, false);
}

/* --- writing ------------------------------------------------------------------------------------
 */

void rt_guest_write(struct rt_guest *guest)
{
    ssize_t n =
        send(guest->fd, guest->out.data + guest->sent, guest->out.len - guest->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        rt_guest_end(guest, false);
        return;
    }
    if (n > 0)
        guest->sent += (size_t)n;
    if (guest->sent < guest->out.len) {
        if (guest->state != RT_GUEST_ANSWER)
            rt_guest_set_state(guest, RT_GUEST_ANSWER, HEAD_WAIT_MS);
        return;
    }
    (void)shutdown(guest->fd, SHUT_WR);
    rt_guest_set_state(guest, RT_GUEST_LINGER, LINGER_MS);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct rt_guest *guest = poll->data;

    (void)events;
    if (status < 0) {
        rt_guest_end(guest, false);
        return;
    }
    switch (guest->state) {
    case RT_GUEST_HEAD:
        read_head(guest);
        break;
    case RT_GUEST_BODY:
        read_body(guest);
        break;
    case RT_GUEST_ANSWER:
        rt_guest_write(guest);
        break;
    case RT_GUEST_LINGER:
        linger(guest);
        break;
    default: /* it left */
        rt_guest_end(guest, false);
    }
}

void rt_guest_new(struct rt_server *server, int fd, bool is_admin)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Connection: close\r\nRetry-After: 1\r\n\r\n";
    struct rt_guest *guest = NULL;

    if (server->guest_count - server->waiting_count < RT_GUESTS_MAX)
        guest = calloc(1, sizeof *guest);
    if (guest == NULL || uv_poll_init(&server->loop, &guest->poll, fd) != 0) {
        server->stats.refused++;
        (void)send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)close(fd);
        free(guest);
        return;
    }
    guest->server = server;
    guest->poll.data = guest;
    guest->fd = fd;
    guest->id = ++server->next_id;
    guest->is_admin = is_admin;
    df_buf_init(&guest->in, RT_HEAD_MAX_BYTES);
    df_buf_init(&guest->out, SIZE_MAX / 4);
    guest->next = server->guests;
    guest->link = &server->guests;
    if (guest->next != NULL)
        guest->next->link = &guest->next;
    server->guests = guest;
    server->guest_count++;
    rt_guest_set_state(guest, RT_GUEST_HEAD, HEAD_WAIT_MS);
    read_head(guest); /* mostly it is there already */
}

static void look_at(struct rt_guest *guest)
{
    switch (guest->state) {
    case RT_GUEST_WAITING:
        rt_guest_write(guest);
        break;
    case RT_GUEST_HEAD:
    case RT_GUEST_BODY:
        if (guest->in.len == 0)
            rt_guest_end(guest, false);
        else
            rt_guest_answer(guest, 408, "application/json",
                            "{\"error\":\"the request did not come in time\"}", "");
        break;
    case RT_GUEST_ASKED:
        rt_guest_answer(guest, 504, "application/json", "{\"error\":\"no answer in time\"}", "");
        break;
    default:
        rt_guest_end(guest, false);
    }
}

void rt_guest_sweep(struct rt_server *server)
{
    int64_t now_ms = rt_server_now_ms(server);

    for (struct rt_guest *guest = server->guests, *next; guest != NULL; guest = next) {
        next = guest->next;
        if (guest->due_ms <= now_ms)
            look_at(guest);
    }
}

void rt_guest_end_all(struct rt_server *server)
{
    while (server->guests != NULL)
        rt_guest_end(server->guests, false);
}
