/* scraper/sender_rows.c - the sender's lanes and what of them is in the outbox. */
#include <string.h>

#include "scraper/sender_state.h"
#include "shared/log.h"

#define TRIM_EVERY 512 /* settled lines */

/* --- lanes --------------------------------------------------------------------------------------
 */

static void use_row(struct scr_lane *lane, const struct scr_outbox_session *row)
{
    lane->session = row->id;
    lane->last_seq = lane->stored_seq = row->last_seq;
    lane->done_seq = lane->saved_seq = lane->tidied_seq = row->done_seq;
    lane->seen_seq = row->pending > 0 ? row->done_seq : row->last_seq;
    lane->pending = row->pending;
    lane->has_more = row->pending > 0;
}

static struct scr_lane *add_lane(struct scr_sender *sender, const char *name)
{
    struct scr_lane *lane = scr_lane_new(name);
    if (lane != NULL) {
        lane->next = sender->lanes;
        sender->lanes = lane;
    }
    return lane;
}

struct load {
    struct scr_sender *sender;
    bool is_short;
};

static bool on_backlog(void *arg, const struct scr_outbox_session *row)
{
    struct load *load = arg;
    struct scr_lane *lane = add_lane(load->sender, row->name);

    load->is_short = lane == NULL;
    if (lane != NULL)
        use_row(lane, row);
    return lane != NULL;
}

enum df_code scr_sender_load(struct scr_sender *sender, struct df_error *err)
{
    struct load load = {.sender = sender};
    enum df_code rc = scr_outbox_backlog(sender->outbox, on_backlog, &load, err);
    if (rc == DF_OK && load.is_short)
        rc = df_error_set(err, DF_ENOMEM, "delivery: out of memory");
    return rc;
}

enum df_code scr_sender_lane(struct scr_sender *sender, const char *session, struct scr_lane **out,
                             struct df_error *err)
{
    struct scr_outbox_session row;
    struct scr_lane *lane = sender->lanes;

    while (lane != NULL && strcmp(lane->name, session) != 0)
        lane = lane->next;
    if (lane == NULL && (lane = add_lane(sender, session)) == NULL)
        return df_error_set(err, DF_ENOMEM, "delivery: out of memory");
    *out = lane;
    if (lane->session != 0)
        return DF_OK;
    enum df_code rc = scr_outbox_session(sender->outbox, session, &row, err);
    if (rc != DF_OK)
        return rc;
    use_row(lane, &row);
    lane->is_new = true;
    return DF_OK;
}

void scr_sender_committed(struct scr_sender *sender)
{
    for (struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next)
        lane->is_new = false;
}

void scr_sender_rolled_back(struct scr_sender *sender)
{
    for (struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->is_new)
            lane->session = 0;
        lane->is_new = false;
    }
}

void scr_sender_shed(struct scr_sender *sender)
{
    struct scr_lane **at = &sender->lanes;

    while (*at != NULL) {
        struct scr_lane *lane = *at;
        if (lane->pending == 0 && lane->flying == 0 && lane->saved_seq == lane->done_seq) {
            if (sender->cursor == lane)
                sender->cursor = NULL;
            *at = lane->next;
            scr_lane_free(lane);
        } else {
            at = &lane->next;
        }
    }
}

bool scr_sender_refill(struct scr_sender *sender)
{
    struct df_error err = {0};

    for (struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (scr_lane_refill(lane, sender->outbox, &err) != DF_OK) {
            df_log(DF_LOG_ERROR, "outbox_read_failed", "reason=\"%s\"", err.msg);
            return false;
        }
    }
    return true;
}

/* --- saving -------------------------------------------------------------------------------------
 */

bool scr_sender_is_dirty(const struct scr_sender *sender)
{
    for (const struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->done_seq != lane->saved_seq)
            return true;
    }
    return false;
}

static enum df_code save_lane(struct scr_sender *sender, struct scr_lane *lane,
                              struct df_error *err)
{
    struct scr_outbox_session row = {
        .id = lane->session, .done_seq = lane->done_seq, .last_seq = lane->stored_seq};
    enum df_code rc = scr_outbox_done(sender->outbox, lane->session, lane->done_seq, err);

    if (rc == DF_OK && lane->done_seq - lane->tidied_seq >= TRIM_EVERY)
        rc = scr_outbox_trim(sender->outbox, &row, sender->identities_keep, err);
    return rc;
}

bool scr_sender_save(struct scr_sender *sender)
{
    struct df_error err = {0};
    enum df_code rc = scr_outbox_begin(sender->outbox, &err);

    for (struct scr_lane *lane = sender->lanes; rc == DF_OK && lane != NULL; lane = lane->next) {
        if (lane->done_seq != lane->saved_seq)
            rc = save_lane(sender, lane, &err);
    }
    if (rc == DF_OK)
        rc = scr_outbox_commit(sender->outbox, &err);
    if (rc != DF_OK) {
        scr_outbox_rollback(sender->outbox);
        if (!sender->has_save_failed)
            df_log(DF_LOG_WARN, "outbox_write_failed", "what=settled reason=\"%s\"", err.msg);
        sender->has_save_failed = true;
        return false;
    }
    sender->has_save_failed = false;
    for (struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        lane->saved_seq = lane->done_seq;
        if (lane->done_seq - lane->tidied_seq >= TRIM_EVERY)
            lane->tidied_seq = lane->done_seq;
    }
    return true;
}

/* One transaction's worth of a lane; false when there is no more, or it failed. */
static bool bury_some(struct scr_sender *sender, struct scr_lane *lane, int64_t before_ms,
                      uint64_t *total)
{
    struct df_error err = {0};
    int64_t done_seq = lane->done_seq;
    uint64_t count = 0;
    enum df_code rc = scr_outbox_begin(sender->outbox, &err);

    if (rc == DF_OK)
        rc = scr_outbox_bury_old(sender->outbox, lane->session, before_ms, &done_seq, &count, &err);
    if (rc == DF_OK)
        rc = scr_outbox_commit(sender->outbox, &err);
    if (rc != DF_OK) {
        scr_outbox_rollback(sender->outbox);
        df_log(DF_LOG_WARN, "outbox_write_failed", "what=dead_letters reason=\"%s\"", err.msg);
        return false;
    }
    if (count == 0)
        return false;
    scr_lane_rewind(lane, done_seq, count);
    *total += count;
    return true;
}

static bool has_old(const struct scr_lane *lane, int64_t before_ms)
{
    return lane->first != NULL && lane->first->captured_ms < before_ms;
}

uint64_t scr_sender_bury_old(struct scr_sender *sender, int64_t before_ms, bool *is_busy)
{
    uint64_t total = 0;

    *is_busy = false;
    (void)scr_sender_refill(sender);
    for (struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (has_old(lane, before_ms) && lane->flying > 0)
            *is_busy = true;
        while (has_old(lane, before_ms) && lane->flying == 0 &&
               bury_some(sender, lane, before_ms, &total))
            (void)scr_sender_refill(sender);
    }
    sender->stats.dead += total;
    return total;
}

/* --- figures ------------------------------------------------------------------------------------
 */

uint64_t scr_sender_pending(const struct scr_sender *sender)
{
    uint64_t pending = 0;
    for (const struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next)
        pending += lane->pending;
    return pending;
}

void scr_sender_stats_get(const struct scr_sender *sender, struct scr_sender_stats *out)
{
    *out = sender->stats;
    for (const struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        out->pending += lane->pending;
        if (lane->park_status != 0 || sender->endpoint.is_refusing)
            out->parked += lane->pending;
        if (lane->first != NULL &&
            (out->oldest_captured_ms == 0 || lane->first->captured_ms < out->oldest_captured_ms))
            out->oldest_captured_ms = lane->first->captured_ms;
    }
}

void scr_sender_latency_get(const struct scr_sender *sender, int64_t *p50_ms, int64_t *p99_ms)
{
    *p50_ms = scr_latency_share(&sender->latency, 0.50);
    *p99_ms = scr_latency_share(&sender->latency, 0.99);
}
