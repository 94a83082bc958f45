/* scraper/outbox.h - captured lines on disk: a SQLite file in WAL mode, owned by one process (an
 * exclusive lock on the file) and, once it runs, by its delivery thread alone.
 *
 * A line gets the next number of its session. What is settled (delivered, buried, or never to be
 * delivered) is one number per session, "done up to here", so that delivering costs no write per
 * line: what was delivered after the last write of it is posted again after a crash, under the same
 * id, which changes nothing. */
#ifndef SCRAPER_OUTBOX_H
#define SCRAPER_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/delivery.h"

#define SCR_OUTBOX_TAIL 200 /* settled lines kept of each session: what a restart aligns with */

struct scr_outbox;

struct scr_outbox_session {
    int64_t id;
    int64_t done_seq;  /* settled up to here */
    int64_t last_seq;  /* number of the newest line */
    uint64_t pending;  /* lines to deliver behind done_seq */
    const char *name;  /* borrowed for the call */
};

/* A line as it was stored; texts are borrowed for the call. */
struct scr_outbox_line {
    int64_t seq;
    int64_t captured_ms;
    struct df_uuid id;
    const char *line_id, *username, *text;
    enum scr_kind kind;
    enum scr_role role;
    enum scr_source source;
    bool is_backlog, is_cut, is_highlighted, should_deliver;
};

/* Return false to stop. */
typedef bool scr_outbox_line_fn(void *arg, const struct scr_outbox_line *line);
typedef bool scr_outbox_session_fn(void *arg, const struct scr_outbox_session *session);

/* Opens or makes the file (mode 0600; missing folders are made), takes the lock, recovers the WAL.
 * The caller owns *out. DF_EINPUT: no outbox, or of another version. DF_EUNAVAILABLE: in use by
 * another process, or cannot be opened or written. */
enum df_code scr_outbox_open(struct scr_outbox **out, const char *path,
                             struct df_error *err) DF_MUST_USE;
void scr_outbox_close(struct scr_outbox *outbox); /* writes the WAL back; NULL is fine */

/* Everything that writes happens between _begin and _commit. When something in between fails, or
 * the commit itself, call _rollback: nothing of it has happened.
 * All: DF_EUNAVAILABLE disk full or not writable, DF_EBUG what else SQLite says. */
enum df_code scr_outbox_begin(struct scr_outbox *outbox, struct df_error *err) DF_MUST_USE;
enum df_code scr_outbox_commit(struct scr_outbox *outbox, struct df_error *err) DF_MUST_USE;
void scr_outbox_rollback(struct scr_outbox *outbox);

/* Finds a session, or makes it. out->name is not set. */
enum df_code scr_outbox_session(struct scr_outbox *outbox, const char *name,
                                struct scr_outbox_session *out, struct df_error *err) DF_MUST_USE;
/* Stores a line under the number seq and counts it for the session's watch. When its line_id is
 * known: *is_duplicate, the known id goes into capture->id, nothing is stored. */
enum df_code scr_outbox_add(struct scr_outbox *outbox, int64_t session, int64_t seq,
                            struct scr_capture *capture, bool *is_duplicate,
                            struct df_error *err) DF_MUST_USE;
enum df_code scr_outbox_done(struct scr_outbox *outbox, int64_t session, int64_t done_seq,
                             struct df_error *err) DF_MUST_USE;
/* Copies a line to the dead letters. */
enum df_code scr_outbox_bury(struct scr_outbox *outbox, int64_t session, int64_t seq, int status,
                             const char *reason, struct df_error *err) DF_MUST_USE;
/* Buries the undelivered lines behind done_seq that were captured before that time, up to the first
 * one that was not, and at most some thousands at once. *done_seq moves on over them. */
enum df_code scr_outbox_bury_old(struct scr_outbox *outbox, int64_t session, int64_t before_ms,
                                 int64_t *done_seq, uint64_t *count,
                                 struct df_error *err) DF_MUST_USE;
/* Deletes settled lines but for the newest SCR_OUTBOX_TAIL, and identities but for the newest keep. */
enum df_code scr_outbox_trim(struct scr_outbox *outbox, const struct scr_outbox_session *session,
                             int64_t identities_keep, struct df_error *err) DF_MUST_USE;
/* Deletes settled lines of any session, tail included, oldest first and about `limit` of them, in a
 * transaction of its own: what can be given up first. *count: how many. */
enum df_code scr_outbox_give_up(struct scr_outbox *outbox, int limit, uint64_t *count,
                                struct df_error *err) DF_MUST_USE;
/* Forgets sessions that nobody watches, that owe nothing, and whose last line is older than that;
 * and dead letters that were buried before it. */
enum df_code scr_outbox_forget(struct scr_outbox *outbox, int64_t before_ms,
                               uint64_t *letters_forgotten, struct df_error *err) DF_MUST_USE;
/* Gives up the oldest dead letters to make room; *count says how many. */
enum df_code scr_outbox_drop_letters(struct scr_outbox *outbox, uint64_t *count,
                                     struct df_error *err) DF_MUST_USE;

enum df_code scr_outbox_watch_put(struct scr_outbox *outbox, const struct scr_watch_row *row,
                                  struct df_error *err) DF_MUST_USE;
enum df_code scr_outbox_watch_remove(struct scr_outbox *outbox, const char *session,
                                     struct df_error *err) DF_MUST_USE;

/* Reading. */
enum df_code scr_outbox_watches(struct scr_outbox *outbox, struct scr_watch_row **out,
                                size_t *count, struct df_error *err) DF_MUST_USE;
/* Sessions that owe lines. */
enum df_code scr_outbox_backlog(struct scr_outbox *outbox, scr_outbox_session_fn *each, void *arg,
                                struct df_error *err) DF_MUST_USE;
/* Lines to deliver with a number above after_seq, in order, at most limit. */
enum df_code scr_outbox_pending(struct scr_outbox *outbox, int64_t session, int64_t after_seq,
                                int limit, scr_outbox_line_fn *each, void *arg,
                                struct df_error *err) DF_MUST_USE;
/* The newest SCR_OUTBOX_TAIL lines of a session, oldest first. */
enum df_code scr_outbox_tail(struct scr_outbox *outbox, const char *session,
                             scr_outbox_line_fn *each, void *arg, struct df_error *err) DF_MUST_USE;

/* Bytes that rows take, and bytes of the file. */
void scr_outbox_usage(struct scr_outbox *outbox, int64_t *used_bytes, int64_t *file_bytes);
/* Brings the WAL back into the file when it has grown (force: in any case). Between transactions. Costs
 * two fsync when it does something: call it when idle. */
void scr_outbox_tidy(struct scr_outbox *outbox, bool force);
/* Returns free pages to the file system, some at a time, when there are more than keep_pages. Between
 * transactions. */
void scr_outbox_shrink(struct scr_outbox *outbox, int64_t keep_pages);

/* A file of SCR_OUTBOX_RESERVE_BYTES beside the outbox. A full disk would otherwise stop even the
 * deleting of delivered lines, which needs room in the log, and the log's being written back, which
 * needs room in the file. _drop makes that room; new lines may come only when _make has it again. */
#define SCR_OUTBOX_RESERVE_BYTES ((int64_t)8 << 20)
bool scr_outbox_reserve_make(struct scr_outbox *outbox); /* true: it is there */
void scr_outbox_reserve_drop(struct scr_outbox *outbox);

#endif
