/* scraper/sender_state.h - the inside of the sender. For sender*.c only. */
#ifndef SCRAPER_SENDER_STATE_H
#define SCRAPER_SENDER_STATE_H

#include "scraper/latency.h"
#include "scraper/sender.h"

#define SCR_OUTBOX_RETRY_MS 5000 /* after the outbox failed */

struct scr_sender {
    void *multi; /* CURLM */
    struct scr_outbox *outbox;
    struct scr_alarms *alarms;
    struct scr_endpoint_settings settings;
    struct scr_endpoint endpoint;
    struct scr_lane *lanes, *cursor; /* cursor: whose turn it is */
    struct scr_post *idle;
    struct scr_post **active; /* parallel_max of them */
    unsigned idle_count, flying, parallel_max, per_lane_max, probes;
    int64_t identities_keep, due_ms;
    double post_ms; /* moving average */
    bool has_save_failed; /* and was told */
    uint64_t random;
    struct scr_sender_stats stats;
    struct scr_latency latency;
};

/* What the other end does, as an alarm. */
void scr_sender_tell(struct scr_sender *sender, int64_t now_ms);
/* on_done of a post. */
void scr_sender_on_done(void *user, struct scr_transfer *transfer, int curl_result);
/* Makes the lanes that owe something. */
enum df_code scr_sender_load(struct scr_sender *sender, struct df_error *err) DF_MUST_USE;
/* Fills the windows that run low. False: the outbox failed. */
bool scr_sender_refill(struct scr_sender *sender);

#endif
