/* scraper/sender.c - keeps posts going: one at a time for each session while that is enough, a few
 * when it lags, one in all while the other end is down. */
#include "scraper/sender.h"

#include <stdlib.h>

#include <curl/curl.h>

#include "scraper/sender_state.h"
#include "shared/clock.h"

#define SUSPECT_AFTER_MS 60000 /* down that long: perhaps it is only one line that it cannot take  \
                                */
#define SUSPECT_EVERY 4
#define DOWN_LOOK_MS  1000
#define NEVER         INT64_MAX

/* --- posts --------------------------------------------------------------------------------------
 */

static struct scr_post *take_post(struct scr_sender *sender)
{
    struct scr_post *post = sender->idle;

    if (post == NULL)
        return scr_post_new(&sender->settings);
    sender->idle = post->next;
    sender->idle_count--;
    return post;
}

static bool start(struct scr_sender *sender, struct scr_lane *lane, struct scr_item *item,
                  bool is_behind)
{
    struct scr_post *post = take_post(sender);

    if (post == NULL)
        return false;
    post->transfer.user = sender;
    post->transfer.on_done = scr_sender_on_done;
    if (!scr_post_prepare(post, &sender->settings, lane, item) ||
        curl_multi_add_handle(sender->multi, post->transfer.easy) != CURLM_OK) {
        scr_post_free(post);
        return false;
    }
    post->is_behind = is_behind;
    sender->active[sender->flying++] = post;
    scr_lane_started(lane, item);
    sender->cursor = lane->next;
    return true;
}

/* Lanes in turn, beginning behind the one that was served last. */
static struct scr_lane *next_lane(const struct scr_sender *sender, const struct scr_lane *lane)
{
    return lane != NULL && lane->next != NULL ? lane->next : sender->lanes;
}

static void probe(struct scr_sender *sender, int64_t now_ms)
{
    const struct scr_endpoint *endpoint = &sender->endpoint;
    bool suspect_first = now_ms - endpoint->down_since_ms > SUSPECT_AFTER_MS &&
                         endpoint->status >= 500 && endpoint->status != 503 &&
                         sender->probes % SUSPECT_EVERY == SUSPECT_EVERY - 1;
    struct scr_lane *lane = sender->cursor != NULL ? sender->cursor : sender->lanes;

    for (const struct scr_lane *first = NULL; lane != NULL && lane != first;
         lane = next_lane(sender, lane)) {
        struct scr_item *item = scr_lane_probe(lane, suspect_first, now_ms);
        if (first == NULL)
            first = lane;
        if (item == NULL)
            continue;
        sender->probes++;
        (void)start(sender, lane, item, item != lane->first);
        return;
    }
}

/* One round over the lanes; true when something started. */
static bool start_round(struct scr_sender *sender, int64_t now_ms)
{
    struct scr_lane *lane = sender->cursor != NULL ? sender->cursor : sender->lanes;
    bool is_moving = false;

    for (const struct scr_lane *first = NULL; lane != NULL && lane != first;
         lane = next_lane(sender, lane)) {
        if (first == NULL)
            first = lane;
        if (sender->flying >= sender->parallel_max)
            return false;
        struct scr_item *item =
            scr_lane_next(lane, sender->per_lane_max, sender->post_ms, now_ms, &sender->due_ms);
        if (item == NULL)
            continue;
        if (!start(sender, lane, item, false)) {
            sender->due_ms = now_ms + 1000;
            return false;
        }
        is_moving = true;
    }
    return is_moving;
}

int64_t scr_sender_pump(struct scr_sender *sender, int64_t now_ms)
{
    struct scr_endpoint *endpoint = &sender->endpoint;

    sender->due_ms = NEVER;
    if (!scr_sender_refill(sender))
        sender->due_ms = now_ms + SCR_OUTBOX_RETRY_MS;
    if (sender->settings.url == NULL)
        return sender->due_ms;
    if (!endpoint->is_down) {
        while (start_round(sender, now_ms))
            continue;
        return sender->due_ms;
    }
    scr_sender_tell(sender, now_ms);
    sender->due_ms = now_ms + DOWN_LOOK_MS; /* for the alarm, which comes after a while */
    if (sender->flying > 0)
        return sender->due_ms;
    if (now_ms >= endpoint->next_try_ms)
        probe(sender, now_ms);
    else if (endpoint->next_try_ms < sender->due_ms)
        sender->due_ms = endpoint->next_try_ms;
    return sender->due_ms;
}

bool scr_sender_is_idle(struct scr_sender *sender, int64_t now_ms)
{
    (void)scr_sender_pump(sender, now_ms);
    return sender->flying == 0;
}

/* --- life ---------------------------------------------------------------------------------------
 */

enum df_code scr_sender_new(struct scr_sender **out, const struct scr_config *config, void *multi,
                            struct scr_outbox *outbox, struct scr_alarms *alarms,
                            struct df_error *err)
{
    struct scr_sender *sender = calloc(1, sizeof *sender);

    *out = NULL;
    if (sender == NULL)
        return df_error_set(err, DF_ENOMEM, "delivery: out of memory");
    sender->multi = multi;
    sender->outbox = outbox;
    sender->alarms = alarms;
    sender->parallel_max = (unsigned)config->delivery_parallel;
    sender->per_lane_max = (unsigned)config->delivery_per_stream;
    sender->identities_keep = config->dedup_max;
    sender->random = (uint64_t)df_clock_mono_ns();
    sender->post_ms = 5;
    sender->active = calloc(sender->parallel_max, sizeof(struct scr_post *));
    enum df_code rc = sender->active != NULL
                          ? scr_endpoint_settings_init(&sender->settings, config, err)
                          : df_error_set(err, DF_ENOMEM, "delivery: out of memory");
    if (rc == DF_ENOTFOUND) {
        scr_alarm_set(alarms, SCR_TROUBLE_UNSET, "%s: lines are kept and not delivered", err->msg);
        rc = DF_OK;
    }
    if (rc == DF_OK)
        rc = scr_sender_load(sender, err);
    if (rc != DF_OK) {
        scr_sender_free(sender);
        return rc;
    }
    *out = sender;
    return DF_OK;
}

void scr_sender_free(struct scr_sender *sender)
{
    if (sender == NULL)
        return;
    for (unsigned i = 0; i < sender->flying; i++) {
        (void)curl_multi_remove_handle(sender->multi, sender->active[i]->transfer.easy);
        scr_post_free(sender->active[i]);
    }
    free(sender->active);
    while (sender->idle != NULL) {
        struct scr_post *post = sender->idle;
        sender->idle = post->next;
        scr_post_free(post);
    }
    while (sender->lanes != NULL) {
        struct scr_lane *lane = sender->lanes;
        sender->lanes = lane->next;
        scr_lane_free(lane);
    }
    scr_endpoint_settings_release(&sender->settings);
    free(sender);
}
