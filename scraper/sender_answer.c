/* scraper/sender_answer.c - what becomes of a line after its post, and of those behind it. */
#include <curl/curl.h>

#include "scraper/sender_state.h"
#include "shared/clock.h"
#include "shared/log.h"

#define LINE_FIRST_MS  250
#define LINE_MAX_MS    30000
#define PARK_FIRST_MS  30000
#define PARK_MAX_MS    300000
#define DOWN_ALARM_MS  10000
#define POSTS_IDLE_MAX 4

static double jitter(struct scr_sender *sender)
{
    sender->random = sender->random * 6364136223846793005u + 1442695040888963407u;
    return (double)(sender->random >> 40) / (double)(1u << 24);
}

/* --- alarms -------------------------------------------------------------------------------------
 */

static void tell_parked(struct scr_sender *sender)
{
    for (const struct scr_lane *lane = sender->lanes; lane != NULL; lane = lane->next) {
        if (lane->park_status != 0) {
            scr_alarm_set(sender->alarms, SCR_TROUBLE_PARKED,
                          "the function refuses session %.60s (status %d); its lines are kept and"
                          " tried again",
                          lane->name, lane->park_status);
            return;
        }
    }
    scr_alarm_clear(sender->alarms, SCR_TROUBLE_PARKED);
}

void scr_sender_tell(struct scr_sender *sender, int64_t now_ms)
{
    const struct scr_endpoint *endpoint = &sender->endpoint;

    if (endpoint->is_down && endpoint->is_refusing)
        scr_alarm_set(
            sender->alarms, SCR_TROUBLE_REFUSED,
            "the function refuses all lines (status %d): %s; they are kept and tried again",
            endpoint->status,
            endpoint->status == 401   ? "check SUPABASE_SERVICE_ROLE_KEY"
            : endpoint->status == 402 ? "the model has no credit left"
                                      : "check SUPABASE_URL");
    else
        scr_alarm_clear(sender->alarms, SCR_TROUBLE_REFUSED);
    if (endpoint->is_down && !endpoint->is_refusing &&
        now_ms - endpoint->down_since_ms >= DOWN_ALARM_MS)
        scr_alarm_set(
            sender->alarms, SCR_TROUBLE_DOWN,
            "the function does not take lines now; they are kept and posted when it does");
    else
        scr_alarm_clear(sender->alarms, SCR_TROUBLE_DOWN);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void unpark(struct scr_sender *sender, struct scr_lane *lane)
{
    if (lane->park_status == 0)
        return;
    df_log(DF_LOG_INFO, "session_unparked", "session=%s", lane->name);
    lane->park_status = 0;
    lane->park_tries = 0;
    tell_parked(sender);
}

static void on_taken(struct scr_sender *sender, struct scr_lane *lane, struct scr_item *item,
                     bool is_behind)
{
    sender->stats.delivered++;
    unpark(sender, lane);
    /* So it was the first line, not the other end: once more, and then it no longer holds up the
     * others. */
    if (is_behind && lane->first != item && lane->first->failures < SCR_FAILURES_ASIDE - 1)
        lane->first->failures = SCR_FAILURES_ASIDE - 1;
    scr_lane_settled(lane, item);
}

static bool bury(struct scr_sender *sender, const struct scr_lane *lane,
                 const struct scr_item *item, int status)
{
    struct df_error err = {0};
    const char *reason = status == 409   ? "messageId is known with another text"
                         : status == 413 ? "too big"
                                         : "the function calls it wrong";
    enum df_code rc = scr_outbox_begin(sender->outbox, &err);

    if (rc == DF_OK)
        rc = scr_outbox_bury(sender->outbox, lane->session, item->seq, status, reason, &err);
    if (rc == DF_OK)
        rc = scr_outbox_commit(sender->outbox, &err);
    if (rc != DF_OK) {
        scr_outbox_rollback(sender->outbox);
        df_log(DF_LOG_WARN, "outbox_write_failed", "what=dead_letter reason=\"%s\"", err.msg);
    }
    return rc == DF_OK;
}

static void on_wrong(struct scr_sender *sender, struct scr_lane *lane, struct scr_item *item,
                     int status, int64_t now_ms)
{
    char id[DF_UUID_TEXT_SIZE];

    unpark(sender, lane);
    if (!bury(sender, lane, item, status)) { /* it will be called wrong once more */
        item->not_before_ms = now_ms + SCR_OUTBOX_RETRY_MS;
        scr_lane_back(lane, item);
        return;
    }
    df_uuid_format(id, &item->id);
    df_log(DF_LOG_WARN, "line_dead", "session=%s id=%s status=%d", lane->name, id, status);
    sender->stats.dead++;
    scr_lane_settled(lane, item);
}

static void on_refused(struct scr_sender *sender, struct scr_lane *lane, struct scr_item *item,
                       int status, int64_t now_ms)
{
    scr_lane_back(lane, item);
    if (lane->park_status != 0 && now_ms < lane->park_until_ms)
        return; /* one of several that were under way together */
    if (lane->park_status == 0)
        df_log(DF_LOG_WARN, "session_parked", "session=%s status=%d", lane->name, status);
    lane->park_status = status;
    lane->park_until_ms =
        now_ms + scr_backoff_ms(++lane->park_tries, PARK_FIRST_MS, PARK_MAX_MS, jitter(sender));
    tell_parked(sender);
}

/* No answer, or one that may change. Whose fault it is decides who waits: the line's own only when
 * the other end was thought well. */
static void on_failed(struct scr_sender *sender, struct scr_lane *lane, struct scr_item *item,
                      enum scr_verdict verdict, int status, int64_t retry_after_ms, int64_t now_ms)
{
    struct scr_endpoint *endpoint = &sender->endpoint;

    sender->stats.retried++;
    if (!endpoint->is_down) {
        df_log(DF_LOG_WARN, "endpoint_down", "status=%d", status);
        sender->probes = 0;
        if (verdict == SCR_RETRY)
            item->not_before_ms = now_ms + scr_backoff_ms(++item->failures, LINE_FIRST_MS,
                                                          LINE_MAX_MS, jitter(sender));
    }
    scr_endpoint_failed(endpoint, verdict, status, retry_after_ms, now_ms, jitter(sender));
    scr_lane_back(lane, item);
}

static void recycle(struct scr_sender *sender, struct scr_post *post)
{
    for (unsigned i = 0; i < sender->flying; i++) {
        if (sender->active[i] == post) {
            sender->active[i] = sender->active[--sender->flying];
            break;
        }
    }
    if (sender->idle_count >= POSTS_IDLE_MAX) {
        scr_post_free(post);
        return;
    }
    post->next = sender->idle;
    sender->idle = post;
    sender->idle_count++;
}

/* A moving average; one slow post alone does not make a lane rush. */
static void note_pace(struct scr_sender *sender, double took_ms)
{
    double most_ms = sender->post_ms * 4 + 1;
    sender->post_ms += ((took_ms < most_ms ? took_ms : most_ms) - sender->post_ms) / 8;
}

void scr_sender_on_done(void *user, struct scr_transfer *transfer, int curl_result)
{
    struct scr_sender *sender = user;
    struct scr_post *post = (struct scr_post *)transfer;
    struct scr_lane *lane = post->lane;
    struct scr_item *item = post->item;
    bool is_behind = post->is_behind;
    int64_t now_ms = df_clock_mono_ms(), retry_after_ms = 0;
    double took_ms = (double)(df_clock_mono_ns() - post->started_ns) / 1e6;
    int64_t began_ms = post->started_ns / 1000000;
    int status = scr_post_status(post, curl_result, &retry_after_ms);
    enum scr_verdict verdict = scr_verdict_of(status);

    recycle(sender, post);
    if (status != 0)
        scr_latency_add(&sender->latency, took_ms);
    else
        df_log(DF_LOG_DEBUG, "post_failed", "reason=\"%s\"",
               curl_easy_strerror((CURLcode)curl_result));
    if (verdict == SCR_PARK_ALL || verdict == SCR_RETRY) {
        on_failed(sender, lane, item, verdict, status, retry_after_ms, now_ms);
        scr_sender_tell(sender, now_ms);
        return;
    }
    if (scr_endpoint_answered(&sender->endpoint, began_ms)) {
        df_log(DF_LOG_INFO, "endpoint_back", "after_ms=%lld pending=%llu",
               (long long)(now_ms - sender->endpoint.down_since_ms),
               (unsigned long long)scr_sender_pending(sender));
        scr_sender_tell(sender, now_ms);
    }
    if (verdict == SCR_DELIVERED) {
        note_pace(sender, took_ms);
        on_taken(sender, lane, item, is_behind);
    } else if (verdict == SCR_DEAD) {
        on_wrong(sender, lane, item, status, now_ms);
    } else {
        on_refused(sender, lane, item, status, now_ms);
    }
}
