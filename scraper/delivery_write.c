/* scraper/delivery_write.c - captured lines into the outbox, many in one transaction; and what happens
 * to them while it cannot take any. */
#include "scraper/delivery_state.h"
#include "shared/clock.h"
#include "shared/log.h"

#define BATCH_MAX 512 /* orders in one transaction: bounds how long the next one waits */
#define HELD_MAX_LINES 10000
#define HELD_MAX_BYTES ((size_t)16 << 20)
#define RETRY_MS 1000

static struct scr_capture_order *capture_of(struct scr_order *order)
{
    return order->type == SCR_ORDER_CAPTURE ? (struct scr_capture_order *)order : NULL;
}

/* --- room --------------------------------------------------------------------------------------- */

/* How many lines may be written now. Delivered ones go first when there is no room, then the oldest
 * dead letters; what is owed stays. */
static uint64_t make_room(struct scr_delivery *delivery, struct df_error *err)
{
    uint64_t rows_max = (uint64_t)delivery->config->outbox_max_rows;
    uint64_t pending = scr_sender_pending(delivery->sender);
    int64_t bytes_max = delivery->config->outbox_max_mb << 20;
    uint64_t letters = 0;

    if (pending >= rows_max) {
        (void)df_error_set(err, DF_EUNAVAILABLE, "outbox: OUTBOX_MAX_ROWS reached (%lld)",
                           (long long)rows_max);
        return 0;
    }
    scr_outbox_usage(delivery->outbox, &delivery->used_bytes, &delivery->stats.database_bytes);
    if (delivery->used_bytes < bytes_max)
        return rows_max - pending;
    if (scr_sender_is_dirty(delivery->sender))
        (void)scr_sender_save(delivery->sender);
    if (scr_outbox_drop_letters(delivery->outbox, &letters, err) == DF_OK && letters > 0)
        df_log(DF_LOG_ERROR, "dead_letters_dropped", "count=%llu reason=\"OUTBOX_MAX_MB reached\"",
               (unsigned long long)letters);
    scr_outbox_usage(delivery->outbox, &delivery->used_bytes, &delivery->stats.database_bytes);
    if (delivery->used_bytes < bytes_max)
        return rows_max - pending;
    (void)df_error_set(err, DF_EUNAVAILABLE, "outbox: OUTBOX_MAX_MB reached (%lld)",
                       (long long)delivery->config->outbox_max_mb);
    return 0;
}

/* --- transactions ------------------------------------------------------------------------------- */

static enum df_code write_line(struct scr_delivery *delivery, struct scr_capture_order *order,
                               struct df_error *err)
{
    struct scr_capture *capture = &order->capture;
    enum df_code rc = scr_sender_lane(delivery->sender, capture->session, &order->lane, err);

    if (rc != DF_OK)
        return rc;
    order->seq = ++order->lane->last_seq;
    return scr_outbox_add(delivery->outbox, order->lane->session, order->seq, capture,
                          &order->is_duplicate, err);
}

static enum df_code write_one(struct scr_delivery *delivery, struct scr_order *order,
                              struct df_error *err)
{
    const struct scr_watch_row *row = &((struct scr_watch_order *)order)->row;

    switch (order->type) {
    case SCR_ORDER_CAPTURE:
        return write_line(delivery, (struct scr_capture_order *)order, err);
    case SCR_ORDER_WATCH_PUT:
        return scr_outbox_watch_put(delivery->outbox, row, err);
    case SCR_ORDER_WATCH_REMOVE:
        return scr_outbox_watch_remove(delivery->outbox, row->session, err);
    default:
        return df_error_set(err, DF_EBUG, "outbox: an order that is not written");
    }
}

/* The line is safe: it may be told and posted. Takes the order. */
static void settle(struct scr_delivery *delivery, struct scr_capture_order *order)
{
    struct scr_capture *capture = &order->capture;

    if (order->is_duplicate) {
        delivery->stats.duplicates++;
        (void)scr_event_add(&delivery->events, SCR_EVENT_DUPLICATE, capture);
        return;
    }
    delivery->stats.captured++;
    if (capture->should_deliver)
        scr_lane_added(order->lane, order->seq, capture);
    else
        scr_lane_kept(order->lane, order->seq);
    (void)scr_event_add(&delivery->events, SCR_EVENT_COMMITTED, capture);
}

/* Writes the first orders of the list, at most BATCH_MAX, in one transaction, and takes them. On
 * failure all stay where they are. */
static enum df_code write_batch(struct scr_delivery *delivery, struct scr_order_list *list,
                                struct df_error *err)
{
    uint64_t room = make_room(delivery, err);
    size_t count = 0;

    if (room == 0)
        return DF_EUNAVAILABLE;
    enum df_code rc = scr_outbox_begin(delivery->outbox, err);
    for (struct scr_order *order = list->first;
         rc == DF_OK && order != NULL && count < BATCH_MAX && count < room; order = order->next) {
        rc = write_one(delivery, order, err);
        count++;
    }
    if (rc == DF_OK)
        rc = scr_outbox_commit(delivery->outbox, err);
    if (rc != DF_OK) {
        scr_outbox_rollback(delivery->outbox);
        scr_sender_rolled_back(delivery->sender);
        return rc;
    }
    scr_sender_committed(delivery->sender);
    while (count-- > 0) {
        struct scr_order *order = scr_order_take(list);
        struct scr_capture_order *capture = capture_of(order);
        if (capture != NULL)
            settle(delivery, capture);
        else
            scr_order_free(order);
    }
    return DF_OK;
}

/* --- holding ------------------------------------------------------------------------------------ */

static void drop(struct scr_delivery *delivery, struct scr_capture_order *order, int64_t now_ms)
{
    if (delivery->dropped_ms == 0)
        df_log(DF_LOG_ERROR, "line_dropped", "session=%s reason=\"outbox and memory are full\"",
               order->capture.session);
    delivery->dropped_ms = now_ms;
    delivery->stats.dropped++;
    scr_alarm_set(&delivery->alarms, SCR_TROUBLE_DROPPED,
                  "LINES ARE LOST: the outbox takes none and memory for them is full; make room on"
                  " its disk");
    (void)scr_event_add(&delivery->events, SCR_EVENT_DROPPED, &order->capture);
}

static void hold(struct scr_delivery *delivery, int64_t now_ms)
{
    struct scr_order *order = NULL;

    while ((order = scr_order_take(&delivery->fresh)) != NULL) {
        struct scr_capture_order *line = capture_of(order);
        if (line != NULL && (delivery->held_lines >= HELD_MAX_LINES ||
                             delivery->held_bytes + line->bytes > HELD_MAX_BYTES)) {
            drop(delivery, line, now_ms);
            continue;
        }
        if (line != NULL) {
            struct scr_capture *copy = scr_capture_copy(&line->capture);
            if (copy != NULL)
                (void)scr_event_add(&delivery->events, SCR_EVENT_HELD, copy);
            delivery->held_lines++;
            delivery->held_bytes += line->bytes;
        }
        scr_order_append(&delivery->held, order);
    }
}

static void count_held(struct scr_delivery *delivery)
{
    delivery->held_lines = delivery->held_bytes = 0;
    for (struct scr_order *order = delivery->held.first; order != NULL; order = order->next) {
        const struct scr_capture_order *line = capture_of(order);
        if (line != NULL) {
            delivery->held_lines++;
            delivery->held_bytes += line->bytes;
        }
    }
}

static void complain(struct scr_delivery *delivery, const struct df_error *err, int64_t now_ms)
{
    if (delivery->alarms.text[SCR_TROUBLE_OUTBOX][0] == '\0')
        df_log(DF_LOG_ERROR, "outbox_blocked", "reason=\"%s\"", err->msg);
    scr_alarm_set(&delivery->alarms, SCR_TROUBLE_OUTBOX,
                  "%.100s; lines are held in memory only", err->msg);
    delivery->retry_ms = now_ms + RETRY_MS;
}

static enum df_code write_all(struct scr_delivery *delivery, struct scr_order_list *list,
                              struct df_error *err)
{
    enum df_code rc = DF_OK;
    while (rc == DF_OK && list->first != NULL)
        rc = write_batch(delivery, list, err);
    return rc;
}

void scr_delivery_write(struct scr_delivery *delivery, int64_t now_ms)
{
    struct df_error err = {0};

    if (delivery->held.first != NULL && now_ms >= delivery->retry_ms) {
        scr_outbox_tidy(delivery->outbox, true); /* an emptied log is room */
        enum df_code rc = write_all(delivery, &delivery->held, &err);
        count_held(delivery);
        if (rc != DF_OK) {
            complain(delivery, &err, now_ms);
        } else {
            df_log(DF_LOG_INFO, "outbox_unblocked", "captured=%llu",
                   (unsigned long long)delivery->stats.captured);
            scr_alarm_clear(&delivery->alarms, SCR_TROUBLE_OUTBOX);
        }
    }
    if (delivery->held.first == NULL && write_all(delivery, &delivery->fresh, &err) != DF_OK)
        complain(delivery, &err, now_ms);
    if (delivery->fresh.first != NULL)
        hold(delivery, now_ms);
}
