/* scraper/delivery_thread.c - the delivery thread: orders in, lines to the outbox, posts out,
 * events back; and what has to be done now and then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "scraper/delivery_state.h"
#include "shared/clock.h"
#include "shared/log.h"

#define SAVE_EVERY_MS   1000
#define CHORES_EVERY_MS 60000
#define CHORES_AGAIN_MS 500
#define SPARE_PAGES     1024 /* free ones kept in the file for the next backlog */
#define SLEEP_MAX_MS    60000
#define ALARM_STAYS_MS  600000 /* of what has happened, as opposed to what is so */
#define STOP_LOOK_MS    50

/* --- orders and events --------------------------------------------------------------------------
 */

static bool on_tail_line(void *user, const struct scr_outbox_line *line)
{
    struct scr_event_list *list = user;
    struct scr_capture *capture = scr_capture_make("", line->line_id, line->username, line->text);

    if (capture == NULL)
        return false;
    capture->id = line->id;
    capture->kind = line->kind;
    capture->role = line->role;
    capture->source = line->source;
    capture->is_backlog = line->is_backlog;
    capture->is_cut = line->is_cut;
    capture->is_highlighted = line->is_highlighted;
    capture->should_deliver = line->should_deliver;
    capture->captured_ms = line->captured_ms;
    return scr_event_add(list, SCR_EVENT_HISTORY, capture) != NULL;
}

static void tell_history(struct scr_delivery *delivery, struct scr_question_order *question)
{
    struct df_error err = {0};
    struct scr_event_list list = {0};

    if (scr_outbox_tail(delivery->outbox, question->session, on_tail_line, &list, &err) != DF_OK)
        df_log(DF_LOG_ERROR, "outbox_read_failed", "what=history reason=\"%s\"", err.msg);
    struct scr_delivery_event *end = scr_event_add(&list, SCR_EVENT_HISTORY, NULL);
    if (end != NULL)
        end->is_last = true;
    for (struct scr_delivery_event *event = list.first; event != NULL; event = event->next)
        event->token = question->token;
    if (delivery->events.last != NULL)
        delivery->events.last->next = list.first;
    else
        delivery->events.first = list.first;
    if (list.last != NULL)
        delivery->events.last = list.last;
    scr_order_free(&question->order);
}

static void on_owner(void *user, uint64_t token, bool is_owner, int status)
{
    struct scr_delivery *delivery = user;
    struct scr_delivery_event *event = scr_event_add(&delivery->events, SCR_EVENT_OWNER, NULL);

    if (event == NULL)
        return;
    event->token = token;
    event->is_owner = is_owner;
    event->http_status = status;
}

struct scr_owner_desk *scr_delivery_desk(struct scr_delivery *delivery)
{
    return scr_owner_new(delivery->config->supabase_url, delivery->multi, on_owner, delivery);
}

static bool take_orders(struct scr_delivery *delivery, int64_t now_ms)
{
    struct scr_order_list arrivals;
    struct scr_order *order = NULL;
    bool is_stopping = false;

    (void)pthread_mutex_lock(&delivery->lock);
    arrivals = delivery->arrivals;
    delivery->arrivals = (struct scr_order_list){0};
    is_stopping = delivery->is_stopping;
    (void)pthread_mutex_unlock(&delivery->lock);
    while ((order = scr_order_take(&arrivals)) != NULL) {
        if (order->type == SCR_ORDER_HISTORY) {
            scr_delivery_write(delivery, now_ms); /* what came before the question */
            tell_history(delivery, (struct scr_question_order *)order);
        } else if (order->type == SCR_ORDER_OWNER) {
            scr_owner_ask(delivery->desk, (struct scr_question_order *)order);
        } else {
            scr_order_append(&delivery->fresh, order);
        }
    }
    scr_delivery_write(delivery, now_ms);
    return !is_stopping;
}

static void tell_alarm(struct scr_delivery *delivery)
{
    const char *worst = scr_alarm_worst(&delivery->alarms);

    if (strcmp(worst, delivery->told) == 0)
        return;
    (void)snprintf(delivery->told, sizeof delivery->told, "%s", worst);
    if (worst[0] != '\0')
        df_log(DF_LOG_ERROR, "delivery_alarm", "text=\"%s\"", worst);
    else
        df_log(DF_LOG_INFO, "delivery_alarm_over", "pending=%llu",
               (unsigned long long)scr_sender_pending(delivery->sender));
    struct scr_delivery_event *event = scr_event_add(&delivery->events, SCR_EVENT_ALARM, NULL);
    if (event != NULL)
        (void)snprintf(event->alarm, sizeof event->alarm, "%s", worst);
}

/* Hands events and figures to the others. */
static void publish(struct scr_delivery *delivery)
{
    struct scr_delivery_stats *stats = &delivery->stats;
    struct scr_sender_stats sent;
    bool has_events = false;

    tell_alarm(delivery);
    scr_sender_stats_get(delivery->sender, &sent);
    stats->delivered = sent.delivered;
    stats->retried = sent.retried;
    stats->parked = sent.parked;
    stats->dead = sent.dead;
    stats->pending = sent.pending;
    stats->oldest_pending_ms = sent.oldest_captured_ms;
    stats->held = delivery->held_lines;
    stats->is_claiming = delivery->held.first == NULL;
    (void)snprintf(stats->alarm, sizeof stats->alarm, "%s", delivery->told);
    (void)pthread_mutex_lock(&delivery->lock);
    delivery->shared = *stats;
    if (delivery->events.first != NULL) {
        has_events = delivery->ready.first == NULL; /* else the loop was told already */
        if (delivery->ready.last != NULL)
            delivery->ready.last->next = delivery->events.first;
        else
            delivery->ready.first = delivery->events.first;
        delivery->ready.last = delivery->events.last;
    }
    (void)pthread_mutex_unlock(&delivery->lock);
    delivery->events = (struct scr_event_list){0};
    if (has_events) {
        uint64_t one = 1;
        while (write(delivery->event_fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
    }
}

/* --- now and then -------------------------------------------------------------------------------
 */

static void end_old_alarms(struct scr_delivery *delivery, int64_t now_ms)
{
    if (delivery->dropped_ms != 0 && now_ms - delivery->dropped_ms > ALARM_STAYS_MS) {
        delivery->dropped_ms = 0;
        scr_alarm_clear(&delivery->alarms, SCR_TROUBLE_DROPPED);
    }
    if (delivery->buried_ms != 0 && now_ms - delivery->buried_ms > ALARM_STAYS_MS) {
        delivery->buried_ms = 0;
        scr_alarm_clear(&delivery->alarms, SCR_TROUBLE_BURIED);
    }
}

static void do_chores(struct scr_delivery *delivery, int64_t now_ms)
{
    int64_t max_age_h = delivery->config->outbox_max_age_h;
    int64_t before_ms = df_clock_wall_ms() - max_age_h * 3600000;
    struct df_error err = {0};
    bool is_busy = false;
    uint64_t letters = 0, buried = scr_sender_bury_old(delivery->sender, before_ms, &is_busy);

    end_old_alarms(delivery, now_ms);
    if (buried > 0) {
        delivery->buried_ms = now_ms;
        df_log(DF_LOG_ERROR, "lines_buried", "count=%llu max_age_h=%lld",
               (unsigned long long)buried, (long long)max_age_h);
        scr_alarm_set(&delivery->alarms, SCR_TROUBLE_BURIED,
                      "lines older than OUTBOX_MAX_AGE_H were not delivered and went to the dead"
                      " letters");
    }
    scr_sender_shed(delivery->sender);
    enum df_code rc = scr_outbox_begin(delivery->outbox, &err);
    if (rc == DF_OK)
        rc = scr_outbox_forget(delivery->outbox, before_ms, &letters, &err);
    if (rc == DF_OK)
        rc = scr_outbox_commit(delivery->outbox, &err);
    if (rc != DF_OK) {
        scr_outbox_rollback(delivery->outbox);
        df_log(DF_LOG_WARN, "outbox_write_failed", "what=chores reason=\"%s\"", err.msg);
    } else if (letters > 0) {
        df_log(DF_LOG_WARN, "dead_letters_dropped", "count=%llu reason=age",
               (unsigned long long)letters);
    }
    scr_outbox_usage(delivery->outbox, &delivery->used_bytes, &delivery->stats.database_bytes);
    scr_outbox_shrink(delivery->outbox, SPARE_PAGES);
    delivery->chores_ms = now_ms + (is_busy ? CHORES_AGAIN_MS : CHORES_EVERY_MS);
}

static void do_what_is_due(struct scr_delivery *delivery, int64_t now_ms)
{
    if (delivery->save_ms == 0 && scr_sender_is_dirty(delivery->sender))
        delivery->save_ms = now_ms + SAVE_EVERY_MS;
    if (delivery->save_ms != 0 && now_ms >= delivery->save_ms) {
        bool is_saved = scr_sender_save(delivery->sender);
        delivery->save_ms = is_saved ? 0 : now_ms + SAVE_EVERY_MS;
        scr_outbox_shrink(delivery->outbox, SPARE_PAGES);
        scr_sender_latency_get(delivery->sender, &delivery->stats.post_p50_ms,
                               &delivery->stats.post_p99_ms);
    }
    if (now_ms >= delivery->chores_ms)
        do_chores(delivery, now_ms);
    scr_outbox_tidy(delivery->outbox, false);
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static void collect(struct scr_delivery *delivery)
{
    CURLMsg *message = NULL;
    int left = 0;

    while ((message = curl_multi_info_read(delivery->multi, &left)) != NULL) {
        char *private = NULL;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* the message dies with the handle's removal */
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
        struct scr_transfer *transfer = (struct scr_transfer *)(void *)private;
        (void)curl_multi_remove_handle(delivery->multi, easy);
        transfer->on_done(transfer->user, transfer, (int)result);
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int sleep_ms(const struct scr_delivery *delivery, int64_t due_ms, int64_t now_ms)
{
    due_ms = earlier(due_ms, delivery->chores_ms);
    due_ms = earlier(due_ms, now_ms + SLEEP_MAX_MS);
    if (delivery->save_ms != 0)
        due_ms = earlier(due_ms, delivery->save_ms);
    if (delivery->held.first != NULL)
        due_ms = earlier(due_ms, delivery->retry_ms);
    return due_ms <= now_ms ? 0 : (int)(due_ms - now_ms);
}

static bool has_drained(struct scr_delivery *delivery, int64_t now_ms)
{
    int64_t until_ms = 0;

    (void)pthread_mutex_lock(&delivery->lock);
    until_ms = delivery->drain_until_ms;
    (void)pthread_mutex_unlock(&delivery->lock);
    return now_ms >= until_ms || scr_sender_is_idle(delivery->sender, now_ms);
}

static void finish(struct scr_delivery *delivery)
{
    delivery->retry_ms = 0;
    scr_delivery_write(delivery, df_clock_mono_ms());
    if (delivery->held.first != NULL)
        df_log(DF_LOG_ERROR, "lines_lost", "count=%zu reason=\"the outbox takes none\"",
               delivery->held_lines);
    if (scr_sender_is_dirty(delivery->sender))
        (void)scr_sender_save(delivery->sender);
    publish(delivery);
}

void *scr_delivery_main(void *user)
{
    struct scr_delivery *delivery = user;
    int running = 0;

    for (;;) {
        int64_t now_ms = df_clock_mono_ms();
        bool is_stopping = !take_orders(delivery, now_ms);
        publish(delivery); /* told first, posted then */
        (void)curl_multi_perform(delivery->multi, &running);
        collect(delivery);
        now_ms = df_clock_mono_ms();
        int64_t due_ms = scr_sender_pump(delivery->sender, now_ms);
        if (is_stopping) {
            if (has_drained(delivery, now_ms))
                break;
            due_ms = earlier(due_ms, now_ms + STOP_LOOK_MS);
        }
        do_what_is_due(delivery, now_ms);
        publish(delivery);
        (void)curl_multi_poll(delivery->multi, NULL, 0, sleep_ms(delivery, due_ms, now_ms), NULL);
    }
    finish(delivery);
    return NULL;
}
