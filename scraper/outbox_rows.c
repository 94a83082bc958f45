/* scraper/outbox_rows.c - what is written to the outbox and read from it. */
#include "scraper/outbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "scraper/outbox_db.h"
#include "shared/clock.h"

#define BURY_MAX   5000 /* lines moved to the dead letters in one transaction */
#define FORGET_MAX 20   /* sessions forgotten in one transaction */

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
    (void)sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC); /* bound anew before each use */
}

static void bind_id(sqlite3_stmt *stmt, int at, const struct df_uuid *id)
{
    (void)sqlite3_bind_blob(stmt, at, id->bytes, sizeof id->bytes, SQLITE_STATIC);
}

static void read_id(sqlite3_stmt *stmt, int at, struct df_uuid *out)
{
    const void *bytes = sqlite3_column_blob(stmt, at);
    if (bytes != NULL && sqlite3_column_bytes(stmt, at) == (int)sizeof out->bytes)
        memcpy(out->bytes, bytes, sizeof out->bytes);
}

static const char *read_text(sqlite3_stmt *stmt, int at)
{
    const char *text = (const char *)sqlite3_column_text(stmt, at);
    return text != NULL ? text : "";
}

/* Ends a loop over rows: rc is what the last step said. */
static enum df_code end_rows(struct scr_outbox *outbox, sqlite3_stmt *stmt, int rc,
                             struct df_error *err)
{
    enum df_code code =
        rc == SQLITE_DONE || rc == SQLITE_ROW ? DF_OK : scr_outbox_fail(outbox, err);
    (void)sqlite3_reset(stmt);
    return code;
}

/* --- sessions and lines -------------------------------------------------------------------------
 */

static void read_session(sqlite3_stmt *stmt, struct scr_outbox_session *out)
{
    out->id = sqlite3_column_int64(stmt, 0);
    out->done_seq = sqlite3_column_int64(stmt, 1);
    out->last_seq = sqlite3_column_int64(stmt, 2);
    out->pending = (uint64_t)sqlite3_column_int64(stmt, 3);
    out->name = read_text(stmt, 4);
}

enum df_code scr_outbox_session(struct scr_outbox *outbox, const char *name,
                                struct scr_outbox_session *out, struct df_error *err)
{
    sqlite3_stmt *find = scr_outbox_stmt(outbox, SCR_SQL_SESSION);
    sqlite3_stmt *add = scr_outbox_stmt(outbox, SCR_SQL_SESSION_ADD);

    *out = (struct scr_outbox_session){0};
    bind_text(find, 1, name);
    int step = sqlite3_step(find);
    if (step == SQLITE_ROW)
        read_session(find, out);
    enum df_code rc = end_rows(outbox, find, step, err);
    out->name = NULL;
    if (rc != DF_OK || step == SQLITE_ROW)
        return rc;
    bind_text(add, 1, name);
    rc = scr_outbox_run(outbox, add, err);
    if (rc == DF_OK)
        out->id = sqlite3_last_insert_rowid(outbox->db);
    return rc;
}

static int pack_flags(const struct scr_capture *capture)
{
    return (int)capture->kind | (int)capture->role << 2 | (int)capture->source << 4 |
           capture->is_backlog << 6 | capture->is_cut << 7 | capture->is_highlighted << 8;
}

static void unpack_flags(struct scr_outbox_line *line, int flags)
{
    int kind = flags & 3, role = flags >> 2 & 3;

    line->kind = kind <= SCR_ANNOUNCEMENT ? (enum scr_kind)kind : SCR_CHAT;
    line->role = role <= SCR_HOST ? (enum scr_role)role : SCR_VIEWER;
    line->source = (enum scr_source)(flags >> 4 & 3);
    line->is_backlog = (flags >> 6 & 1) != 0;
    line->is_cut = (flags >> 7 & 1) != 0;
    line->is_highlighted = (flags >> 8 & 1) != 0;
}

/* Claims the identity; when somebody has it already, *is_duplicate and the id that it got. */
static enum df_code claim_identity(struct scr_outbox *outbox, int64_t session, int64_t seq,
                                   struct scr_capture *capture, bool *is_duplicate,
                                   struct df_error *err)
{
    sqlite3_stmt *add = scr_outbox_stmt(outbox, SCR_SQL_IDENTITY_ADD);
    sqlite3_stmt *find = scr_outbox_stmt(outbox, SCR_SQL_IDENTITY);

    (void)sqlite3_bind_int64(add, 1, session);
    bind_text(add, 2, capture->line_id);
    (void)sqlite3_bind_int64(add, 3, seq);
    bind_id(add, 4, &capture->id);
    enum df_code rc = scr_outbox_run(outbox, add, err);
    if (rc != DF_OK || sqlite3_changes(outbox->db) == 1)
        return rc;
    (void)sqlite3_bind_int64(find, 1, session);
    bind_text(find, 2, capture->line_id);
    int step = sqlite3_step(find);
    if (step == SQLITE_ROW)
        read_id(find, 0, &capture->id);
    *is_duplicate = true;
    return end_rows(outbox, find, step, err);
}

static enum df_code count_for_watch(struct scr_outbox *outbox, const struct scr_capture *capture,
                                    struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_WATCH_COUNT);

    bind_text(stmt, 1, capture->session);
    (void)sqlite3_bind_int(stmt, 2, capture->is_buyer);
    (void)sqlite3_bind_int64(stmt, 3, capture->value_cents > 0 ? capture->value_cents : 0);
    return scr_outbox_run(outbox, stmt, err);
}

enum df_code scr_outbox_add(struct scr_outbox *outbox, int64_t session, int64_t seq,
                            struct scr_capture *capture, bool *is_duplicate, struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_LINE_ADD);
    enum df_code rc = DF_OK;

    *is_duplicate = false;
    if (capture->line_id[0] != '\0')
        rc = claim_identity(outbox, session, seq, capture, is_duplicate, err);
    if (rc != DF_OK || *is_duplicate)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, session);
    (void)sqlite3_bind_int64(stmt, 2, seq);
    (void)sqlite3_bind_int(stmt, 3, capture->should_deliver);
    (void)sqlite3_bind_int64(stmt, 4, capture->captured_ms);
    bind_id(stmt, 5, &capture->id);
    (void)sqlite3_bind_int(stmt, 6, pack_flags(capture));
    bind_text(stmt, 7, capture->line_id);
    bind_text(stmt, 8, capture->username);
    bind_text(stmt, 9, capture->text);
    rc = scr_outbox_run(outbox, stmt, err);
    if (rc == DF_OK && capture->kind == SCR_CHAT)
        rc = count_for_watch(outbox, capture, err);
    return rc;
}

enum df_code scr_outbox_done(struct scr_outbox *outbox, int64_t session, int64_t done_seq,
                             struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_DONE);
    (void)sqlite3_bind_int64(stmt, 1, session);
    (void)sqlite3_bind_int64(stmt, 2, done_seq);
    return scr_outbox_run(outbox, stmt, err);
}

/* --- dead letters -------------------------------------------------------------------------------
 */

enum df_code scr_outbox_bury(struct scr_outbox *outbox, int64_t session, int64_t seq, int status,
                             const char *reason, struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_BURY);
    (void)sqlite3_bind_int64(stmt, 1, session);
    (void)sqlite3_bind_int64(stmt, 2, seq);
    (void)sqlite3_bind_int64(stmt, 3, df_clock_wall_ms());
    (void)sqlite3_bind_int(stmt, 4, status);
    bind_text(stmt, 5, reason);
    return scr_outbox_run(outbox, stmt, err);
}

enum df_code scr_outbox_bury_old(struct scr_outbox *outbox, int64_t session, int64_t before_ms,
                                 int64_t *done_seq, uint64_t *count, struct df_error *err)
{
    sqlite3_stmt *young = scr_outbox_stmt(outbox, SCR_SQL_FIRST_YOUNG);
    sqlite3_stmt *bury = scr_outbox_stmt(outbox, SCR_SQL_BURY_RANGE);
    int64_t end_seq = *done_seq + 1 + BURY_MAX;

    *count = 0;
    (void)sqlite3_bind_int64(young, 1, session);
    (void)sqlite3_bind_int64(young, 2, *done_seq);
    (void)sqlite3_bind_int64(young, 3, before_ms);
    int step = sqlite3_step(young);
    if (step == SQLITE_ROW && sqlite3_column_int64(young, 0) < end_seq)
        end_seq = sqlite3_column_int64(young, 0);
    enum df_code rc = end_rows(outbox, young, step, err);
    if (rc != DF_OK)
        return rc;
    (void)sqlite3_bind_int64(bury, 1, session);
    (void)sqlite3_bind_int64(bury, 2, *done_seq);
    (void)sqlite3_bind_int64(bury, 3, end_seq);
    (void)sqlite3_bind_int64(bury, 4, df_clock_wall_ms());
    bind_text(bury, 5, "older than OUTBOX_MAX_AGE_H");
    rc = scr_outbox_run(outbox, bury, err);
    if (rc != DF_OK)
        return rc;
    *count = (uint64_t)sqlite3_changes(outbox->db);
    if (*count > 0)
        *done_seq = end_seq - 1;
    return *count > 0 ? scr_outbox_done(outbox, session, *done_seq, err) : DF_OK;
}

/* --- making room --------------------------------------------------------------------------------
 */

/* A statement with a session and a number, or a number alone. */
static enum df_code delete_by(struct scr_outbox *outbox, enum scr_sql which, int64_t first,
                              int64_t second, struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, which);
    (void)sqlite3_bind_int64(stmt, 1, first);
    if (sqlite3_bind_parameter_count(stmt) > 1)
        (void)sqlite3_bind_int64(stmt, 2, second);
    return scr_outbox_run(outbox, stmt, err);
}

enum df_code scr_outbox_trim(struct scr_outbox *outbox, const struct scr_outbox_session *session,
                             int64_t identities_keep, struct df_error *err)
{
    int64_t upto = session->last_seq - SCR_OUTBOX_TAIL;
    enum df_code rc = DF_OK;

    if (upto > session->done_seq)
        upto = session->done_seq;
    if (upto > 0)
        rc = delete_by(outbox, SCR_SQL_TRIM_LINES, session->id, upto, err);
    if (rc == DF_OK && session->last_seq > identities_keep)
        rc = delete_by(outbox, SCR_SQL_TRIM_IDENTITIES, session->id,
                       session->last_seq - identities_keep, err);
    return rc;
}

enum df_code scr_outbox_give_up(struct scr_outbox *outbox, int limit, uint64_t *count,
                                struct df_error *err)
{
    sqlite3_stmt *sessions = scr_outbox_stmt(outbox, SCR_SQL_SESSIONS);
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_GIVE_UP);
    enum df_code rc = scr_outbox_begin(outbox, err);

    *count = 0;
    while (rc == DF_OK && *count < (uint64_t)limit && sqlite3_step(sessions) == SQLITE_ROW) {
        (void)sqlite3_bind_int64(stmt, 1, sqlite3_column_int64(sessions, 0));
        (void)sqlite3_bind_int64(stmt, 2, sqlite3_column_int64(sessions, 1));
        (void)sqlite3_bind_int(stmt, 3, limit);
        rc = scr_outbox_run(outbox, stmt, err);
        *count += rc == DF_OK ? (uint64_t)sqlite3_changes(outbox->db) : 0;
    }
    (void)sqlite3_reset(sessions);
    if (rc == DF_OK)
        rc = scr_outbox_commit(outbox, err);
    if (rc != DF_OK)
        scr_outbox_rollback(outbox);
    return rc;
}

enum df_code scr_outbox_forget(struct scr_outbox *outbox, int64_t before_ms,
                               uint64_t *letters_forgotten, struct df_error *err)
{
    static const enum scr_sql steps[] = {SCR_SQL_FORGET_LINES, SCR_SQL_FORGET_IDENTITIES,
                                         SCR_SQL_FORGET_SESSION};
    sqlite3_stmt *find = scr_outbox_stmt(outbox, SCR_SQL_FORGETTABLE);
    enum df_code rc = DF_OK;

    for (int n = 0; rc == DF_OK && n < FORGET_MAX; n++) {
        (void)sqlite3_bind_int64(find, 1, before_ms);
        int step = sqlite3_step(find);
        int64_t session = step == SQLITE_ROW ? sqlite3_column_int64(find, 0) : 0;
        rc = end_rows(outbox, find, step, err);
        if (step != SQLITE_ROW)
            break;
        for (size_t i = 0; rc == DF_OK && i < sizeof steps / sizeof steps[0]; i++)
            rc = delete_by(outbox, steps[i], session, 0, err);
    }
    *letters_forgotten = 0;
    if (rc == DF_OK)
        rc = delete_by(outbox, SCR_SQL_FORGET_LETTERS, before_ms, 0, err);
    if (rc == DF_OK)
        *letters_forgotten = (uint64_t)sqlite3_changes(outbox->db);
    return rc;
}

enum df_code scr_outbox_drop_letters(struct scr_outbox *outbox, uint64_t *count,
                                     struct df_error *err)
{
    enum df_code rc = scr_outbox_run(outbox, scr_outbox_stmt(outbox, SCR_SQL_DROP_LETTERS), err);
    *count = rc == DF_OK ? (uint64_t)sqlite3_changes(outbox->db) : 0;
    return rc;
}

/* --- watches ------------------------------------------------------------------------------------
 */

enum df_code scr_outbox_watch_put(struct scr_outbox *outbox, const struct scr_watch_row *row,
                                  struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_WATCH_PUT);
    bind_text(stmt, 1, row->session);
    bind_text(stmt, 2, row->stream_id);
    bind_text(stmt, 3, row->url);
    bind_text(stmt, 4, row->owner);
    bind_text(stmt, 5, row->request_json != NULL ? row->request_json : "");
    (void)sqlite3_bind_int64(stmt, 6, (sqlite3_int64)row->messages);
    (void)sqlite3_bind_int64(stmt, 7, (sqlite3_int64)row->buyers);
    (void)sqlite3_bind_int64(stmt, 8, row->value_cents);
    (void)sqlite3_bind_int64(stmt, 9, row->started_ms);
    return scr_outbox_run(outbox, stmt, err);
}

enum df_code scr_outbox_watch_remove(struct scr_outbox *outbox, const char *session,
                                     struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_WATCH_REMOVE);
    bind_text(stmt, 1, session);
    return scr_outbox_run(outbox, stmt, err);
}

static bool read_watch(sqlite3_stmt *stmt, struct scr_watch_row *row)
{
    *row = (struct scr_watch_row){0};
    (void)snprintf(row->session, sizeof row->session, "%s", read_text(stmt, 0));
    (void)snprintf(row->stream_id, sizeof row->stream_id, "%s", read_text(stmt, 1));
    (void)snprintf(row->url, sizeof row->url, "%s", read_text(stmt, 2));
    (void)snprintf(row->owner, sizeof row->owner, "%s", read_text(stmt, 3));
    row->request_json = strdup(read_text(stmt, 4));
    row->messages = (uint64_t)sqlite3_column_int64(stmt, 5);
    row->buyers = (uint64_t)sqlite3_column_int64(stmt, 6);
    row->value_cents = sqlite3_column_int64(stmt, 7);
    row->started_ms = sqlite3_column_int64(stmt, 8);
    return row->request_json != NULL;
}

enum df_code scr_outbox_watches(struct scr_outbox *outbox, struct scr_watch_row **out,
                                size_t *count, struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_WATCHES);
    struct scr_watch_row *rows = NULL;
    size_t n = 0, room = 0;
    enum df_code rc = DF_OK;
    int step = SQLITE_DONE;

    *out = NULL;
    *count = 0;
    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        if (n == room) {
            room = room == 0 ? 8 : room * 2;
            struct scr_watch_row *more = reallocarray(rows, room, sizeof *rows);
            if (more == NULL)
                break;
            rows = more;
        }
        if (!read_watch(stmt, &rows[n]))
            break;
        n++;
    }
    if (step == SQLITE_ROW) { /* left early */
        (void)sqlite3_reset(stmt);
        rc = df_error_set(err, DF_ENOMEM, "outbox: out of memory");
    } else {
        rc = end_rows(outbox, stmt, step, err);
    }
    if (rc != DF_OK) {
        while (n > 0)
            free(rows[--n].request_json);
        free(rows);
        return rc;
    }
    *out = rows;
    *count = n;
    return DF_OK;
}

/* --- reading ------------------------------------------------------------------------------------
 */

enum df_code scr_outbox_backlog(struct scr_outbox *outbox, scr_outbox_session_fn *each, void *arg,
                                struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_BACKLOG);
    int step = SQLITE_DONE;

    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct scr_outbox_session session;
        read_session(stmt, &session);
        if (!each(arg, &session))
            break;
    }
    return end_rows(outbox, stmt, step, err);
}

static enum df_code each_line(struct scr_outbox *outbox, sqlite3_stmt *stmt,
                              scr_outbox_line_fn *each, void *arg, struct df_error *err)
{
    int step = SQLITE_DONE;

    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct scr_outbox_line line = {.seq = sqlite3_column_int64(stmt, 0),
                                       .should_deliver = sqlite3_column_int(stmt, 1) != 0,
                                       .captured_ms = sqlite3_column_int64(stmt, 2),
                                       .line_id = read_text(stmt, 5),
                                       .username = read_text(stmt, 6),
                                       .text = read_text(stmt, 7)};
        read_id(stmt, 3, &line.id);
        unpack_flags(&line, sqlite3_column_int(stmt, 4));
        if (!each(arg, &line))
            break;
    }
    return end_rows(outbox, stmt, step, err);
}

enum df_code scr_outbox_pending(struct scr_outbox *outbox, int64_t session, int64_t after_seq,
                                int limit, scr_outbox_line_fn *each, void *arg,
                                struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_PENDING);
    (void)sqlite3_bind_int64(stmt, 1, session);
    (void)sqlite3_bind_int64(stmt, 2, after_seq);
    (void)sqlite3_bind_int(stmt, 3, limit);
    return each_line(outbox, stmt, each, arg, err);
}

enum df_code scr_outbox_tail(struct scr_outbox *outbox, const char *session,
                             scr_outbox_line_fn *each, void *arg, struct df_error *err)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, SCR_SQL_TAIL);
    bind_text(stmt, 1, session);
    (void)sqlite3_bind_int(stmt, 2, SCR_OUTBOX_TAIL);
    return each_line(outbox, stmt, each, arg, err);
}
