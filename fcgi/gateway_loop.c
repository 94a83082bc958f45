/* fcgi/gateway_loop.c - the gateway's thread: starts calls, watches their sockets, keeps the times.
 *
 * libcurl is driven by its socket interface over epoll and not by curl_multi_poll: with 512 calls
 * open that one builds and scans 512 descriptors for each event, this costs the same for any number. */
#include "fcgi/gateway_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <curl/curl.h>

#include "shared/clock.h"

#define EVENTS_MAX 128
#define IDLE_CALLS_MAX 32 /* easy handles kept for the next burst, about 40 KiB each */
/* Until the server's name was resolved once: each lookup is a thread of libcurl's. */
#define UNRESOLVED_CALLS_MAX 4
#define NEVER INT64_MAX

/* --- libcurl's callbacks ---------------------------------------------------------------------- */

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct mrs_gateway *gateway = user;

    (void)multi;
    gateway->timer_due_ms = timeout_ms < 0 ? -1 : df_clock_mono_ms() + timeout_ms;
    return 0;
}

static int on_watch(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
    struct mrs_gateway *gateway = user;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    (void)socket_user;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(gateway->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if ((what & CURL_POLL_IN) != 0)
        event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        event.events |= EPOLLOUT;
    if (epoll_ctl(gateway->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    return epoll_ctl(gateway->epoll_fd, EPOLL_CTL_ADD, fd, &event); /* -1 fails the transfer */
}

/* --- asks --------------------------------------------------------------------------------------- */

static struct mrs_ask *take_first(struct ask_list *list)
{
    struct mrs_ask *ask = list->first;
    if (ask != NULL) {
        list->first = ask->next;
        if (list->first == NULL)
            list->last = NULL;
    }
    return ask;
}

static void fail_waiting(struct mrs_gateway *gateway, struct mrs_ask *ask, enum df_code code,
                         const char *why)
{
    mrs_ask_finish(gateway, ask, NULL, df_error_set(ask->err, code, "%s", why));
}

/* Walks the waiting asks: what is past its deadline fails, what has waited enough becomes ready. */
static void check_waiting(struct mrs_gateway *gateway, int64_t now_ms)
{
    struct ask_list queue = gateway->queue, delayed = gateway->delayed;
    struct mrs_ask *ask = NULL;

    if (now_ms < gateway->check_ms)
        return;
    gateway->queue = gateway->delayed = (struct ask_list){0};
    gateway->check_ms = NEVER;
    while ((ask = take_first(&queue)) != NULL || (ask = take_first(&delayed)) != NULL) {
        int64_t due_ms = ask->deadline_ms;
        if (now_ms >= ask->deadline_ms) {
            fail_waiting(gateway, ask, DF_ETIMEOUT, MRS_TIMED_OUT);
            continue;
        }
        if (now_ms >= ask->ready_ms) {
            ask->is_collecting = false;
            mrs_ask_append(&gateway->queue, ask);
        } else {
            mrs_ask_append(&gateway->delayed, ask);
            due_ms = ask->ready_ms;
        }
        if (due_ms < gateway->check_ms)
            gateway->check_ms = due_ms;
    }
}

/* --- calls -------------------------------------------------------------------------------------- */

static void recycle(struct mrs_gateway *gateway, struct mrs_call *call)
{
    if (gateway->idle_count >= IDLE_CALLS_MAX) {
        mrs_call_free(call);
        return;
    }
    mrs_call_reset(call);
    call->prev = NULL;
    call->next = gateway->idle;
    gateway->idle = call;
    gateway->idle_count++;
}

static void unlink_active(struct mrs_gateway *gateway, struct mrs_call *call)
{
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        gateway->active = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    gateway->active_count--;
    (void)curl_multi_remove_handle(gateway->multi, call->easy);
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->stats.in_flight--;
    (void)pthread_mutex_unlock(&gateway->lock);
}

static struct mrs_call *take_idle(struct mrs_gateway *gateway, struct df_error *err)
{
    struct mrs_call *call = gateway->idle;

    if (call != NULL) {
        gateway->idle = call->next;
        gateway->idle_count--;
        return call;
    }
    if (mrs_call_new(&call, &gateway->has_address, err) != DF_OK)
        return NULL;
    return call;
}

/* How this ask is to be put, now: what was learnt meanwhile counts for retries too. */
static struct mrs_request_shape shape_for(struct mrs_gateway *gateway, struct mrs_ask *ask)
{
    const struct mrs_settings *settings = gateway->settings;

    if (!ask->is_started || ask->model >= settings->model_count) {
        ask->is_started = true;
        ask->model = mrs_learned_model(&gateway->learned, df_clock_mono_ms());
        ask->mode = gateway->learned.mode;
        ask->modes_tried = 0;
    }
    return (struct mrs_request_shape){
        .model = settings->models[ask->model],
        .mode = ask->mode,
        .send_temperature = settings->send_temperature && !gateway->learned.no_temperature,
        .send_max_tokens = settings->send_max_tokens && !gateway->learned.no_max_tokens,
    };
}

static enum df_code prepare(struct mrs_gateway *gateway, struct mrs_call *call, struct mrs_ask *ask,
                            const struct mrs_request_shape *shape, int64_t left_ms)
{
    const struct df_chat_line *lines[MRS_BATCH_LINES_MAX];
    size_t count = mrs_group_lines(ask, lines);

    gateway->random = gateway->random * 1664525 + 1013904223; /* Numerical Recipes */
    enum df_code rc = mrs_call_prepare(call, gateway->settings, shape, lines, count,
                                       gateway->random >> 8, left_ms, ask->err);
    if (rc != DF_OK)
        return rc;
    /* Three bytes a token is more than any text of ours takes. */
    if (!mrs_group_pay(gateway, ask, (int64_t)call->request.len / 3,
                       mrs_gateway_format_max_tokens(count))) {
        ask->out->over_budget = true;
        return df_error_set(ask->err, DF_EPAYMENT, "AI budget is used up");
    }
    if (curl_multi_add_handle(gateway->multi, call->easy) != CURLM_OK) {
        mrs_group_refund(gateway, ask);
        return df_error_set(ask->err, DF_ENOMEM, "model call: libcurl would not start it");
    }
    return DF_OK;
}

static void start(struct mrs_gateway *gateway, struct mrs_ask *ask)
{
    int64_t left_ms = ask->deadline_ms - df_clock_mono_ms();
    struct mrs_call *call = NULL;

    if (left_ms < 1) {
        fail_waiting(gateway, ask, DF_ETIMEOUT, MRS_TIMED_OUT);
        return;
    }
    call = take_idle(gateway, ask->err);
    if (call == NULL) {
        mrs_ask_finish(gateway, ask, NULL, DF_ENOMEM);
        return;
    }
    struct mrs_request_shape shape = shape_for(gateway, ask);
    enum df_code rc = prepare(gateway, call, ask, &shape, left_ms);
    if (rc != DF_OK) {
        mrs_ask_finish(gateway, ask, NULL, rc);
        recycle(gateway, call);
        return;
    }
    call->ask = ask;
    call->model = ask->model;
    call->mode = ask->mode;
    call->sent_temperature = shape.send_temperature;
    call->sent_max_tokens = shape.send_max_tokens;
    call->prev = NULL;
    call->next = gateway->active;
    if (gateway->active != NULL)
        gateway->active->prev = call;
    gateway->active = call;
    gateway->active_count++;
    (void)pthread_mutex_lock(&gateway->lock);
    gateway->waiting_count -= ask->count;
    gateway->stats.in_flight++;
    gateway->stats.calls++;
    gateway->stats.lines += (uint64_t)ask->count;
    gateway->stats.batches += ask->count > 1;
    (void)pthread_mutex_unlock(&gateway->lock);
}

static bool can_start(const struct mrs_gateway *gateway)
{
    return gateway->queue.first != NULL &&
           gateway->active_count < gateway->settings->in_flight_max &&
           (gateway->has_address || gateway->active_count < UNRESOLVED_CALLS_MAX);
}

/* What waits in the queue while the breaker is open fails like an ask that comes now would. */
static void fail_queue(struct mrs_gateway *gateway)
{
    struct ask_list queue = gateway->queue;
    struct mrs_ask *ask = NULL;
    bool is_open = false;
    int status = 0;

    (void)pthread_mutex_lock(&gateway->lock);
    is_open = gateway->use_breaker && gateway->breaker.is_open;
    status = gateway->breaker.status;
    (void)pthread_mutex_unlock(&gateway->lock);
    if (!is_open)
        return;
    gateway->queue = (struct ask_list){0};
    while ((ask = take_first(&queue)) != NULL) {
        if (ask->is_probe) {
            mrs_ask_append(&gateway->queue, ask);
        } else if (status == 0) {
            fail_waiting(gateway, ask, DF_EUPSTREAM, "AI server unreachable");
        } else {
            ask->out->upstream_status = status;
            mrs_ask_finish(gateway, ask, NULL, mrs_status_error(ask->err, status));
        }
    }
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void fail_all(struct mrs_gateway *gateway)
{
    static const char why[] = "AI gateway is shutting down";
    struct mrs_ask *ask = NULL;

    while ((ask = take_first(&gateway->queue)) != NULL ||
           (ask = take_first(&gateway->delayed)) != NULL)
        fail_waiting(gateway, ask, DF_EUNAVAILABLE, why);
    while (gateway->active != NULL) {
        struct mrs_call *call = gateway->active;
        unlink_active(gateway, call);
        mrs_ask_finish(gateway, call->ask, call, df_error_set(call->ask->err, DF_EUNAVAILABLE, "%s", why));
        mrs_call_free(call);
    }
}

static void use_settings(struct mrs_gateway *gateway, struct mrs_settings *settings)
{
    if (settings == NULL)
        return;
    mrs_settings_drop(gateway->settings);
    gateway->settings = settings;
    gateway->has_address = false;
    mrs_learned_init(&gateway->learned, settings->mode);
    (void)curl_multi_setopt(gateway->multi, CURLMOPT_MAXCONNECTS, (long)settings->in_flight_max);
}

/* Fetches what other threads left for us. False: it is time to end. */
static bool take_arrivals(struct mrs_gateway *gateway)
{
    struct ask_list arrivals;
    struct mrs_settings *pending = NULL;
    struct mrs_ask *ask = NULL;
    bool is_stopping = false;

    (void)pthread_mutex_lock(&gateway->lock);
    arrivals = gateway->arrivals;
    gateway->arrivals = (struct ask_list){0};
    pending = gateway->pending;
    gateway->pending = NULL;
    is_stopping = gateway->is_stopping;
    (void)pthread_mutex_unlock(&gateway->lock);
    use_settings(gateway, pending);
    int64_t now_ms = arrivals.first == NULL ? 0 : df_clock_mono_ms();
    while ((ask = take_first(&arrivals)) != NULL)
        mrs_group_admit(gateway, ask, now_ms);
    return !is_stopping;
}

static void collect(struct mrs_gateway *gateway)
{
    CURLMsg *message = NULL;
    int left = 0;

    while ((message = curl_multi_info_read(gateway->multi, &left)) != NULL) {
        struct mrs_call *call = NULL;
        CURLcode result = message->data.result; /* the message dies with the handle's removal */
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        unlink_active(gateway, call);
        mrs_gateway_settle(gateway, call, (int)result);
        recycle(gateway, call);
    }
}

static void run_timer(struct mrs_gateway *gateway)
{
    int running = 0;

    if (gateway->timer_due_ms < 0 || df_clock_mono_ms() < gateway->timer_due_ms)
        return;
    gateway->timer_due_ms = -1; /* libcurl sets the next one from inside the call */
    (void)curl_multi_socket_action(gateway->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

static void wait_for_events(struct mrs_gateway *gateway)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t due_ms = gateway->check_ms;
    int64_t now_ms = df_clock_mono_ms();
    int running = 0;
    int timeout = -1;

    if (gateway->timer_due_ms >= 0 && gateway->timer_due_ms < due_ms)
        due_ms = gateway->timer_due_ms;
    if (due_ms != NEVER)
        timeout = due_ms <= now_ms ? 0 : due_ms - now_ms > 60000 ? 60000 : (int)(due_ms - now_ms);
    int n = epoll_wait(gateway->epoll_fd, events, EVENTS_MAX, timeout);
    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;
        uint32_t seen = events[i].events;
        if (fd == gateway->wake_fd) {
            uint64_t count = 0;
            if (read(fd, &count, sizeof count) < 0)
                continue; /* EAGAIN: somebody's wake was taken together with another */
            continue;
        }
        int mask = ((seen & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                   ((seen & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((seen & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        (void)curl_multi_socket_action(gateway->multi, fd, mask, &running);
    }
}

void *mrs_gateway_loop(void *user)
{
    struct mrs_gateway *gateway = user;

    while (take_arrivals(gateway)) {
        check_waiting(gateway, df_clock_mono_ms());
        fail_queue(gateway);
        while (can_start(gateway))
            start(gateway, take_first(&gateway->queue));
        run_timer(gateway);
        collect(gateway);
        if (!can_start(gateway))
            wait_for_events(gateway);
        collect(gateway);
    }
    fail_all(gateway);
    return NULL;
}

enum df_code mrs_gateway_loop_init(struct mrs_gateway *gateway, struct df_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = gateway->wake_fd};

    gateway->timer_due_ms = -1;
    gateway->check_ms = NEVER;
    gateway->random = (uint32_t)df_clock_mono_ns();
    gateway->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (gateway->epoll_fd < 0 ||
        epoll_ctl(gateway->epoll_fd, EPOLL_CTL_ADD, gateway->wake_fd, &event) != 0)
        return df_error_set(err, DF_ENOMEM, "gateway: epoll: %s", strerror(errno));
    gateway->multi = curl_multi_init();
    if (gateway->multi == NULL ||
        curl_multi_setopt(gateway->multi, CURLMOPT_SOCKETFUNCTION, on_watch) != CURLM_OK ||
        curl_multi_setopt(gateway->multi, CURLMOPT_SOCKETDATA, gateway) != CURLM_OK ||
        curl_multi_setopt(gateway->multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
        curl_multi_setopt(gateway->multi, CURLMOPT_TIMERDATA, gateway) != CURLM_OK ||
        curl_multi_setopt(gateway->multi, CURLMOPT_MAXCONNECTS,
                          (long)gateway->settings->in_flight_max) != CURLM_OK)
        return df_error_set(err, DF_ENOMEM, "gateway: libcurl would not start");
    return DF_OK;
}

void mrs_gateway_loop_release(struct mrs_gateway *gateway)
{
    while (gateway->idle != NULL) {
        struct mrs_call *call = gateway->idle;
        gateway->idle = call->next;
        mrs_call_free(call);
    }
    if (gateway->multi != NULL)
        (void)curl_multi_cleanup(gateway->multi);
    if (gateway->epoll_fd >= 0)
        (void)close(gateway->epoll_fd);
}
