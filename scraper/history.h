/* scraper/history.h - which chat lines of one stream are new. A line is known by what it is (the
 * frame's id, its place in the sequence), never by what it says: ten times "W" by one buyer are ten
 * messages, and a list drawn anew holds none. Pure, one per session, loop thread; time passed in. */
#ifndef SCRAPER_HISTORY_H
#define SCRAPER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/line.h"
#include "shared/error.h"

#define SCR_HISTORY_TAIL 200 /* newest (user, text) pairs that snapshots are aligned with */
#define SCR_HISTORY_KEEP 1000 /* newest identities that the time limit never takes */

struct scr_history;

/* capacity: DEDUP_MAX identities (>= SCR_HISTORY_KEEP is not required; then capacity rules);
 * ttl_ms: DEDUP_TTL_MS. Memory stays below ~1 MB at 10,000: digests, not texts. DF_ENOMEM. */
enum df_code scr_history_new(struct scr_history **out, size_t capacity, int64_t ttl_ms,
                             struct df_error *err) DF_MUST_USE;
void scr_history_free(struct scr_history *history);

/* A line that was captured before a restart, oldest first; id may be "". */
void scr_history_seed(struct scr_history *history, const struct scr_line *line, int64_t now_ms);

/* Judges a report: is_new[i] tells for each line; new ones are remembered at once. *is_gap is set when a
 * snapshot did not overlap with anything known although the history was not empty (lines may have
 * been missed). Rules:
 * - frame with id: new unless the id is known. A frame line that the document reported first (the
 *   sources race while one takes over from the other) claims that line instead of being new.
 * - additions by the document: new, unless they are lines that frames reported just before.
 * - snapshots: the longest overlap of the end of what is known with a run of the snapshot is
 *   history, what follows it is new. Known ids anchor it. Lists that run newest first are turned by the
 *   source before. Without overlap: all new.
 * Never allocates after _new. */
void scr_history_judge(struct scr_history *history, const struct scr_lines *lines, bool *is_new,
                       bool *is_gap, int64_t now_ms);

/* Memory held, for /metrics; and how many identities. */
size_t scr_history_bytes(const struct scr_history *history);
size_t scr_history_count(const struct scr_history *history);

#endif
