/* scraper/delivery_write.c - captured lines into the outbox, many in one transaction; and what
 * happens to them while it cannot take any. */
#include "scraper/delivery_state.h"
#include "shared/clock.h"
#include "shared/log.h"

#define BATCH_MAX      512 /* orders in one transaction: bounds how long the next one waits */
#define HELD_MAX_LINES 10000
#define HELD_MAX_BYTES ((size_t)16 << 20)
#define RETRY_MS       1000
#define BOUND_RETRY_MS 20
#define GIVE_UP_LINES  1024 /* in one step */
#define GIVE_UP_STEPS  20   /* at one go */

static struct scr_capture_order *capture_of(struct scr_order *order)
{
    return order->type == SCR_ORDER_CAPTURE ? (struct scr_capture_order *)order : NULL;
}

/* --- room ---------------------------------------------------------------------------------------
 */

static bool is_too_big(struct scr_delivery *delivery)
{
    scr_outbox_usage(delivery->outbox, &delivery->used_bytes, &delivery->stats.database_bytes);
    return delivery->used_bytes >= delivery->config->outbox_max_mb << 20;
}

/* Gives up what is not owed to anybody: delivered lines, then old dead letters. On a full disk that
 * works only in small steps, as deleting takes room in the log until the log is written back. */
static void relieve(struct scr_delivery *delivery)
{
    struct df_error err = {0};
    uint64_t count = 1, letters = 0;
    int limit = GIVE_UP_LINES;

    scr_outbox_tidy(delivery->outbox, true);
    if (scr_sender_is_dirty(delivery->sender))
        (void)scr_sender_save(delivery->sender);
    for (int step = 0; step < GIVE_UP_STEPS && count > 0 && limit > 0; step++) {
        if (scr_outbox_give_up(delivery->outbox, limit, &count, &err) != DF_OK) {
            limit /= 4;
            count = 1;
        } else if (count > 0) {
            scr_outbox_shrink(delivery->outbox, 0);
        }
        scr_outbox_tidy(delivery->outbox, true);
    }
    if (is_too_big(delivery) &&
        scr_outbox_drop_letters(delivery->outbox, &letters, &err) == DF_OK && letters > 0)
        df_log(DF_LOG_ERROR, "dead_letters_dropped", "count=%llu reason=\"OUTBOX_MAX_MB reached\"",
               (unsigned long long)letters);
}

/* How many orders may be written now; 0: err says why none. */
static uint64_t room_for(struct scr_delivery *delivery, struct df_error *err)
{
    uint64_t rows_max = (uint64_t)delivery->config->outbox_max_rows;
    uint64_t pending = scr_sender_pending(delivery->sender);

    if (pending >= rows_max) {
        delivery->retry_after_ms = BOUND_RETRY_MS; /* a delivery is enough to go on */
        (void)df_error_set(err, DF_EUNAVAILABLE, "outbox: OUTBOX_MAX_ROWS reached (%llu)",
                           (unsigned long long)rows_max);
        return 0;
    }
    delivery->retry_after_ms = RETRY_MS;
    if (!scr_outbox_reserve_make(delivery->outbox)) {
        relieve(delivery);
        if (!scr_outbox_reserve_make(delivery->outbox)) {
            (void)df_error_set(err, DF_EUNAVAILABLE, "outbox: no room on the disk");
            return 0;
        }
    }
    if (is_too_big(delivery)) {
        relieve(delivery);
        if (is_too_big(delivery)) {
            (void)df_error_set(err, DF_EUNAVAILABLE, "outbox: OUTBOX_MAX_MB reached (%lld)",
                               (long long)delivery->config->outbox_max_mb);
            return 0;
        }
    }
    return rows_max - pending;
}

/* --- transactions -------------------------------------------------------------------------------
 */

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

/* Writes the first orders of the list in one transaction, and takes them. On failure all stay where
 * they are. */
static enum df_code write_batch(struct scr_delivery *delivery, struct scr_order_list *list,
                                uint64_t count_max, struct df_error *err)
{
    uint64_t count = 0;
    enum df_code rc = scr_outbox_begin(delivery->outbox, err);

    for (struct scr_order *order = list->first; rc == DF_OK && order != NULL && count < count_max;
         order = order->next) {
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

/* Writes as much of the list as the outbox takes. */
static enum df_code write_all(struct scr_delivery *delivery, struct scr_order_list *list,
                              struct df_error *err)
{
    uint64_t count_max = BATCH_MAX;
    bool is_relieved = false;

    while (list->first != NULL) {
        uint64_t room = room_for(delivery, err);
        if (room == 0)
            return DF_EUNAVAILABLE;
        enum df_code rc = write_batch(delivery, list, room < count_max ? room : count_max, err);
        if (rc == DF_OK) {
            if (list->first != NULL) /* a long list must not let the log outgrow the reserve */
                scr_outbox_tidy(delivery->outbox, false);
        } else if (!is_relieved) {
            scr_outbox_reserve_drop(delivery->outbox); /* room_for makes it again, or holds */
            relieve(delivery);
            is_relieved = true;
        } else if (count_max > 1) {
            count_max = count_max > 4 ? count_max / 4 : 1; /* a nearly full disk may take a few */
        } else {
            return rc;
        }
    }
    return DF_OK;
}

/* --- holding ------------------------------------------------------------------------------------
 */

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
    scr_alarm_set(&delivery->alarms, SCR_TROUBLE_OUTBOX, "%.100s; lines are held in memory only",
                  err->msg);
    delivery->retry_ms = now_ms + delivery->retry_after_ms;
}

void scr_delivery_write(struct scr_delivery *delivery, int64_t now_ms)
{
    struct df_error err = {0};

    if (delivery->held.first != NULL && now_ms >= delivery->retry_ms) {
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
