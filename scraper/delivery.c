/* scraper/delivery.c - the loop thread's side of the delivery: starts the thread, hands it orders,
 * takes its events. */
#include "scraper/delivery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <curl/curl.h>

#include "scraper/delivery_state.h"
#include "shared/clock.h"
#include "shared/log.h"

#define THREAD_STACK_BYTES ((size_t)256 << 10)

/* --- life ---------------------------------------------------------------------------------------
 */

static enum df_code open_parts(struct scr_delivery *delivery, struct df_error *err)
{
    const struct scr_config *config = delivery->config;

    delivery->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (delivery->event_fd < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "delivery: eventfd: %s", strerror(errno));
    delivery->multi = curl_multi_init();
    if (delivery->multi == NULL)
        return df_error_set(err, DF_ENOMEM, "delivery: libcurl would not start");
    (void)curl_multi_setopt(delivery->multi, CURLMOPT_MAXCONNECTS, (long)config->delivery_parallel);
    enum df_code rc = scr_outbox_open(&delivery->outbox, config->outbox_path, err);
    if (rc == DF_OK)
        rc = scr_outbox_watches(delivery->outbox, &delivery->watches, &delivery->watch_count, err);
    if (rc == DF_OK)
        rc = scr_sender_new(&delivery->sender, config, delivery->multi, delivery->outbox,
                            &delivery->alarms, err);
    if (rc != DF_OK)
        return rc;
    delivery->desk = scr_delivery_desk(delivery);
    return delivery->desk != NULL ? DF_OK : df_error_set(err, DF_ENOMEM, "delivery: out of memory");
}

static enum df_code start_thread(struct scr_delivery *delivery, struct df_error *err)
{
    pthread_attr_t attr;

    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    int rc = pthread_create(&delivery->thread, &attr, scr_delivery_main, delivery);
    (void)pthread_attr_destroy(&attr);
    return rc == 0 ? DF_OK
                   : df_error_set(err, DF_EUNAVAILABLE, "delivery: no thread: %s", strerror(rc));
}

static void free_watches(struct scr_delivery *delivery)
{
    for (size_t i = 0; i < delivery->watch_count; i++)
        free(delivery->watches[i].request_json);
    free(delivery->watches);
}

/* The thread has ended, or never began. */
static void release(struct scr_delivery *delivery)
{
    scr_owner_free(delivery->desk);
    scr_sender_free(delivery->sender);
    if (delivery->multi != NULL)
        (void)curl_multi_cleanup(delivery->multi);
    scr_outbox_close(delivery->outbox);
    if (delivery->event_fd >= 0)
        (void)close(delivery->event_fd);
    scr_order_list_free(&delivery->arrivals);
    scr_order_list_free(&delivery->fresh);
    scr_order_list_free(&delivery->held);
    scr_event_list_free(&delivery->ready);
    scr_event_list_free(&delivery->events);
    free_watches(delivery);
    (void)pthread_mutex_destroy(&delivery->lock);
    free(delivery);
}

enum df_code scr_delivery_new(struct scr_delivery **out, const struct scr_config *config,
                              struct df_error *err)
{
    struct scr_delivery *delivery = calloc(1, sizeof *delivery);

    *out = NULL;
    if (delivery == NULL)
        return df_error_set(err, DF_ENOMEM, "delivery: out of memory");
    delivery->config = config;
    delivery->event_fd = -1;
    delivery->stats.is_claiming = delivery->shared.is_claiming = true;
    (void)pthread_mutex_init(&delivery->lock, NULL);
    enum df_code rc = open_parts(delivery, err);
    if (rc == DF_OK)
        rc = start_thread(delivery, err);
    if (rc != DF_OK) {
        release(delivery);
        return rc;
    }
    *out = delivery;
    return DF_OK;
}

static void wake(struct scr_delivery *delivery)
{
    (void)curl_multi_wakeup(delivery->multi);
}

void scr_delivery_free(struct scr_delivery *delivery, int64_t drain_ms)
{
    if (delivery == NULL)
        return;
    (void)pthread_mutex_lock(&delivery->lock);
    delivery->is_stopping = true;
    delivery->drain_until_ms = df_clock_mono_ms() + drain_ms;
    (void)pthread_mutex_unlock(&delivery->lock);
    wake(delivery);
    (void)pthread_join(delivery->thread, NULL);
    release(delivery);
}

/* --- events -------------------------------------------------------------------------------------
 */

int scr_delivery_fd(const struct scr_delivery *delivery)
{
    return delivery->event_fd;
}

struct scr_delivery_event *scr_delivery_take(struct scr_delivery *delivery)
{
    struct scr_delivery_event *first = NULL;
    uint64_t count = 0;

    /* Before the list is emptied: what is added from now on signals anew. */
    while (read(delivery->event_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    (void)pthread_mutex_lock(&delivery->lock);
    first = delivery->ready.first;
    delivery->ready = (struct scr_event_list){0};
    (void)pthread_mutex_unlock(&delivery->lock);
    return first;
}

void scr_delivery_stats_get(struct scr_delivery *delivery, struct scr_delivery_stats *out)
{
    int64_t oldest_ms = 0;

    (void)pthread_mutex_lock(&delivery->lock);
    *out = delivery->shared;
    (void)pthread_mutex_unlock(&delivery->lock);
    oldest_ms = out->oldest_pending_ms;
    out->oldest_pending_ms = 0;
    if (oldest_ms != 0 && df_clock_wall_ms() > oldest_ms)
        out->oldest_pending_ms = df_clock_wall_ms() - oldest_ms;
}

/* --- orders -------------------------------------------------------------------------------------
 */

static void give(struct scr_delivery *delivery, struct scr_order *order)
{
    (void)pthread_mutex_lock(&delivery->lock);
    scr_order_append(&delivery->arrivals, order);
    (void)pthread_mutex_unlock(&delivery->lock);
    wake(delivery);
}

void scr_delivery_submit(struct scr_delivery *delivery, struct scr_capture *first)
{
    if (first == NULL)
        return;
    (void)pthread_mutex_lock(&delivery->lock);
    while (first != NULL) {
        struct scr_capture *next = first->next;
        first->next = NULL;
        scr_order_append(&delivery->arrivals, &scr_capture_order_of(first)->order);
        first = next;
    }
    (void)pthread_mutex_unlock(&delivery->lock);
    wake(delivery);
}

static void complain(const char *what, const char *session)
{
    df_log(DF_LOG_ERROR, "order_lost", "what=%s session=%s reason=\"out of memory\"", what,
           session);
}

void scr_delivery_watch_put(struct scr_delivery *delivery, const struct scr_watch_row *row)
{
    struct scr_watch_order *order = calloc(1, sizeof *order);

    if (order != NULL) {
        order->order.type = SCR_ORDER_WATCH_PUT;
        order->row = *row;
        order->row.request_json = strdup(row->request_json != NULL ? row->request_json : "");
    }
    if (order == NULL || order->row.request_json == NULL) {
        free(order);
        complain("watch_put", row->session);
        return;
    }
    give(delivery, &order->order);
}

void scr_delivery_watch_remove(struct scr_delivery *delivery, const char *session)
{
    struct scr_watch_order *order = calloc(1, sizeof *order);

    if (order == NULL) {
        complain("watch_remove", session);
        return;
    }
    order->order.type = SCR_ORDER_WATCH_REMOVE;
    (void)snprintf(order->row.session, sizeof order->row.session, "%s", session);
    give(delivery, &order->order);
}

size_t scr_delivery_watches(struct scr_delivery *delivery, struct scr_watch_row **out)
{
    size_t count = delivery->watch_count;

    *out = delivery->watches;
    delivery->watches = NULL;
    delivery->watch_count = 0;
    return count;
}

static void ask(struct scr_delivery *delivery, enum scr_order_type type, const char *session,
                const char *jwt, uint64_t token)
{
    struct scr_question_order *order = calloc(1, sizeof *order);

    if (order == NULL) {
        complain("question", session);
        return;
    }
    order->order.type = type;
    order->token = token;
    order->jwt = jwt != NULL ? strdup(jwt) : NULL;
    (void)snprintf(order->session, sizeof order->session, "%s", session);
    give(delivery, &order->order);
}

void scr_delivery_load_history(struct scr_delivery *delivery, const char *session, uint64_t token)
{
    ask(delivery, SCR_ORDER_HISTORY, session, NULL, token);
}

void scr_delivery_ask_owner(struct scr_delivery *delivery, const char *session, const char *jwt,
                            uint64_t token)
{
    ask(delivery, SCR_ORDER_OWNER, session, jwt, token);
}
