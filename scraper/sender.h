/* scraper/sender.h - posts what the outbox holds: which line goes next, how many at once, what becomes
 * of it. Belongs to the delivery thread. */
#ifndef SCRAPER_SENDER_H
#define SCRAPER_SENDER_H

#include "scraper/alarm.h"
#include "scraper/endpoint.h"
#include "scraper/lane.h"
#include "scraper/post.h"

struct scr_sender_stats {
    uint64_t delivered, retried, dead, parked, pending;
    int64_t oldest_captured_ms; /* wall clock, 0 when nothing is owed */
};

struct scr_sender;

/* Reads what is owed. All arguments are borrowed; multi is a CURLM. The caller owns *out.
 * DF_EINPUT: SUPABASE_URL or the key cannot be used. */
enum df_code scr_sender_new(struct scr_sender **out, const struct scr_config *config, void *multi,
                            struct scr_outbox *outbox, struct scr_alarms *alarms,
                            struct df_error *err) DF_MUST_USE;
void scr_sender_free(struct scr_sender *sender); /* breaks off what is under way; NULL is fine */

/* The lane of a session, inside a transaction. */
enum df_code scr_sender_lane(struct scr_sender *sender, const char *session, struct scr_lane **out,
                             struct df_error *err) DF_MUST_USE;
void scr_sender_committed(struct scr_sender *sender);
void scr_sender_rolled_back(struct scr_sender *sender);

/* Starts what may start. Returns the monotonic time at which to call again at the latest. */
int64_t scr_sender_pump(struct scr_sender *sender, int64_t now_ms);
/* Nothing flies and nothing could start soon. */
bool scr_sender_is_idle(struct scr_sender *sender, int64_t now_ms);

/* Is there something that _save would write? */
bool scr_sender_is_dirty(const struct scr_sender *sender);
/* Writes what was settled and trims, in a transaction of its own. False: it failed, try later. */
bool scr_sender_save(struct scr_sender *sender);
/* Buries what was captured before that time (wall clock). Returns how many; *is_busy: not all, as
 * some of it is just being posted. */
uint64_t scr_sender_bury_old(struct scr_sender *sender, int64_t before_ms, bool *is_busy);
/* Forgets lanes that owe nothing: they are read again when needed. */
void scr_sender_shed(struct scr_sender *sender);

uint64_t scr_sender_pending(const struct scr_sender *sender);
void scr_sender_stats_get(const struct scr_sender *sender, struct scr_sender_stats *out);
/* Of the last thousand answers; sorts them. */
void scr_sender_latency_get(const struct scr_sender *sender, int64_t *p50_ms, int64_t *p99_ms);

#endif
