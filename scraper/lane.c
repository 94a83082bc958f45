/* scraper/lane.c - order and window of one session's lines. */
#include "scraper/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One at a time keeps the order. When what is owed would take longer than this that way, some fly
 * at once until it would not take long any more. */
#define RUSH_OVER_MS  2000.0
#define RUSH_UNTIL_MS 500.0

struct scr_lane *scr_lane_new(const char *name)
{
    struct scr_lane *lane = calloc(1, sizeof *lane);
    if (lane != NULL)
        (void)snprintf(lane->name, sizeof lane->name, "%s", name);
    return lane;
}

static void empty_window(struct scr_lane *lane)
{
    while (lane->first != NULL) {
        struct scr_item *item = lane->first;
        lane->first = item->next;
        free(item);
    }
    lane->last = NULL;
    lane->count = lane->bytes = 0;
}

void scr_lane_free(struct scr_lane *lane)
{
    if (lane == NULL)
        return;
    empty_window(lane);
    free(lane);
}

/* --- window -------------------------------------------------------------------------------------
 */

static bool has_room(const struct scr_lane *lane)
{
    return lane->count < SCR_WINDOW_MAX && lane->bytes < SCR_WINDOW_MAX_BYTES;
}

static bool put(struct scr_lane *lane, int64_t seq, int64_t captured_ms, const struct df_uuid *id,
                enum scr_role role, const char *username, const char *text)
{
    size_t username_len = strlen(username), text_len = strlen(text);
    size_t bytes = sizeof(struct scr_item) + username_len + text_len + 2;
    struct scr_item *item = malloc(bytes);

    if (item == NULL)
        return false;
    *item = (struct scr_item){.seq = seq,
                              .captured_ms = captured_ms,
                              .id = *id,
                              .role = role,
                              .bytes = bytes,
                              .username = item->data,
                              .username_len = username_len,
                              .text = item->data + username_len + 1,
                              .text_len = text_len};
    memcpy(item->data, username, username_len + 1);
    memcpy(item->data + username_len + 1, text, text_len + 1);
    if (lane->last != NULL)
        lane->last->next = item;
    else
        lane->first = item;
    lane->last = item;
    lane->count++;
    lane->bytes += bytes;
    lane->seen_seq = seq;
    return true;
}

/* Nothing open in the window and nothing behind it: all that was stored is settled. */
static void settle_rest(struct scr_lane *lane)
{
    if (lane->first == NULL && !lane->has_more)
        lane->done_seq = lane->seen_seq = lane->stored_seq;
}

void scr_lane_added(struct scr_lane *lane, int64_t seq, const struct scr_capture *capture)
{
    lane->pending++;
    lane->stored_seq = seq;
    if (lane->has_more)
        return;
    if (!has_room(lane) ||
        !put(lane, seq, capture->captured_ms, &capture->id, capture->role, capture->username,
             capture->text))
        lane->has_more = true;
}

void scr_lane_kept(struct scr_lane *lane, int64_t seq)
{
    lane->stored_seq = seq;
    settle_rest(lane);
}

struct refill {
    struct scr_lane *lane;
    bool is_short; /* stopped before the outbox ran out */
    int read;
};

static bool on_line(void *arg, const struct scr_outbox_line *line)
{
    struct refill *refill = arg;

    if (!has_room(refill->lane) ||
        !put(refill->lane, line->seq, line->captured_ms, &line->id, line->role, line->username,
             line->text)) {
        refill->is_short = true;
        return false;
    }
    refill->read++;
    return true;
}

enum df_code scr_lane_refill(struct scr_lane *lane, struct scr_outbox *outbox, struct df_error *err)
{
    struct refill refill = {.lane = lane};

    if (!lane->has_more || lane->count > SCR_WINDOW_LOW)
        return DF_OK;
    enum df_code rc = scr_outbox_pending(outbox, lane->session, lane->seen_seq, SCR_WINDOW_MAX,
                                         on_line, &refill, err);
    if (rc != DF_OK)
        return rc;
    lane->has_more = refill.is_short || refill.read == SCR_WINDOW_MAX;
    settle_rest(lane);
    return DF_OK;
}

void scr_lane_rewind(struct scr_lane *lane, int64_t done_seq, uint64_t settled)
{
    empty_window(lane);
    lane->pending -= settled < lane->pending ? settled : lane->pending;
    lane->done_seq = lane->saved_seq = lane->seen_seq = done_seq;
    lane->has_more = lane->pending > 0;
    settle_rest(lane);
}

/* --- order --------------------------------------------------------------------------------------
 */

static void judge_pace(struct scr_lane *lane, double post_ms)
{
    double owed_ms = (double)lane->pending * post_ms;
    lane->is_rushing = owed_ms > (lane->is_rushing ? RUSH_UNTIL_MS : RUSH_OVER_MS);
}

struct scr_item *scr_lane_next(struct scr_lane *lane, unsigned per_lane_max, double post_ms,
                               int64_t now_ms, int64_t *due_ms)
{
    if (lane->first == NULL)
        return NULL;
    judge_pace(lane, post_ms);
    bool is_parked = lane->park_status != 0;
    if (lane->flying >= (lane->is_rushing && !is_parked ? per_lane_max : 1))
        return NULL;
    if (is_parked && now_ms < lane->park_until_ms) {
        if (lane->park_until_ms < *due_ms)
            *due_ms = lane->park_until_ms;
        return NULL;
    }
    for (struct scr_item *item = lane->first; item != NULL; item = item->next) {
        if (item->is_flying)
            continue;
        if (item->not_before_ms <= now_ms)
            return item;
        if (item->not_before_ms < *due_ms)
            *due_ms = item->not_before_ms;
        if (item->failures < SCR_FAILURES_ASIDE)
            return NULL; /* those behind it wait with it */
    }
    return NULL;
}

struct scr_item *scr_lane_probe(struct scr_lane *lane, bool suspect_first, int64_t now_ms)
{
    struct scr_item *first = NULL;

    if (lane->park_status != 0 && now_ms < lane->park_until_ms)
        return NULL;
    for (struct scr_item *item = lane->first; item != NULL; item = item->next) {
        if (item->is_flying)
            continue;
        if (!suspect_first || first != NULL)
            return item;
        first = item;
    }
    return first;
}

void scr_lane_started(struct scr_lane *lane, struct scr_item *item)
{
    item->is_flying = true;
    lane->flying++;
}

void scr_lane_back(struct scr_lane *lane, struct scr_item *item)
{
    item->is_flying = false;
    lane->flying--;
}

void scr_lane_settled(struct scr_lane *lane, struct scr_item *item)
{
    struct scr_item **at = &lane->first, *before = NULL;

    while (*at != item) {
        before = *at;
        at = &before->next;
    }
    *at = item->next;
    if (lane->last == item)
        lane->last = before;
    lane->flying--;
    lane->pending--;
    lane->count--;
    lane->bytes -= item->bytes;
    free(item);
    /* What is owed below the end of the window is in the window. */
    lane->done_seq = lane->first != NULL ? lane->first->seq - 1 : lane->seen_seq;
    settle_rest(lane);
}
