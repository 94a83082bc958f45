/* tests/unit/test_scr_outbox.c - lines on disk: kept, known again, buried, trimmed, never mixed up. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "scraper/capture.h"
#include "scraper/lane.h"
#include "scraper/outbox.h"

#define SESSION "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c"

struct fixture {
    char dir[64];
    char path[96];
    struct scr_outbox *outbox;
};

static struct fixture fixture;
static struct df_error err;

static int setup(void **state)
{
    struct fixture *f = &fixture;
    (void)state;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/df-outbox-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    if (snprintf(f->path, sizeof f->path, "%s/a/b/outbox.db", f->dir) >= (int)sizeof f->path)
        return -1;
    return scr_outbox_open(&f->outbox, f->path, &err) == DF_OK ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    scr_outbox_close(fixture.outbox);
    fixture.outbox = NULL;
    (void)snprintf(command, sizeof command, "rm -rf %s", fixture.dir);
    return system(command);
}

static void reopen(void)
{
    scr_outbox_close(fixture.outbox);
    assert_int_equal(scr_outbox_open(&fixture.outbox, fixture.path, &err), DF_OK);
}

static struct scr_capture *capture(const char *line_id, const char *text)
{
    struct scr_line line = {.id = line_id,
                            .id_len = strlen(line_id),
                            .username = "buyer_1",
                            .username_len = 7,
                            .text = text,
                            .text_len = strlen(text)};
    struct scr_capture *made = scr_capture_new(SESSION, &line);
    assert_non_null(made);
    made->should_deliver = true;
    return made;
}

/* Stores a line in a transaction of its own; returns its session as it is then. */
static struct scr_outbox_session store(int64_t seq, struct scr_capture *line, bool *is_duplicate)
{
    struct scr_outbox_session session;
    bool ignored = false;

    assert_int_equal(scr_outbox_begin(fixture.outbox, &err), DF_OK);
    assert_int_equal(scr_outbox_session(fixture.outbox, line->session, &session, &err), DF_OK);
    assert_int_equal(scr_outbox_add(fixture.outbox, session.id, seq, line,
                                    is_duplicate != NULL ? is_duplicate : &ignored, &err),
                     DF_OK);
    assert_int_equal(scr_outbox_commit(fixture.outbox, &err), DF_OK);
    assert_int_equal(scr_outbox_session(fixture.outbox, line->session, &session, &err), DF_OK);
    return session;
}

static void store_many(int64_t from, int64_t to)
{
    char text[32];

    for (int64_t seq = from; seq <= to; seq++) {
        (void)snprintf(text, sizeof text, "line %lld", (long long)seq);
        struct scr_capture *line = capture(text, text);
        line->captured_ms = seq * 1000;
        (void)store(seq, line, NULL);
        scr_capture_free(line);
    }
}

struct seen {
    int count;
    int64_t first_seq, last_seq;
    struct df_uuid id;
    char text[64], username[64], line_id[64];
    enum scr_kind kind;
    enum scr_role role;
    enum scr_source source;
    bool is_cut, is_backlog, is_highlighted;
};

static bool note(void *arg, const struct scr_outbox_line *line)
{
    struct seen *seen = arg;
    if (seen->count++ == 0)
        seen->first_seq = line->seq;
    seen->last_seq = line->seq;
    seen->id = line->id;
    seen->kind = line->kind;
    seen->role = line->role;
    seen->source = line->source;
    seen->is_cut = line->is_cut;
    seen->is_backlog = line->is_backlog;
    seen->is_highlighted = line->is_highlighted;
    (void)snprintf(seen->text, sizeof seen->text, "%s", line->text);
    (void)snprintf(seen->username, sizeof seen->username, "%s", line->username);
    (void)snprintf(seen->line_id, sizeof seen->line_id, "%s", line->line_id);
    return true;
}

static struct seen pending_after(int64_t session, int64_t seq)
{
    struct seen seen = {0};
    assert_int_equal(scr_outbox_pending(fixture.outbox, session, seq, 1000, note, &seen, &err),
                     DF_OK);
    return seen;
}

static void done(int64_t session, int64_t seq)
{
    assert_int_equal(scr_outbox_begin(fixture.outbox, &err), DF_OK);
    assert_int_equal(scr_outbox_done(fixture.outbox, session, seq, &err), DF_OK);
    assert_int_equal(scr_outbox_commit(fixture.outbox, &err), DF_OK);
}

static int64_t number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    int64_t value = -1;

    scr_outbox_close(fixture.outbox); /* it alone may look while it is open */
    fixture.outbox = NULL;
    assert_int_equal(sqlite3_open_v2(fixture.path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    assert_int_equal(scr_outbox_open(&fixture.outbox, fixture.path, &err), DF_OK);
    return value;
}

/* --- tests -------------------------------------------------------------------------------------- */

static void a_line_comes_back_as_it_was(void **state)
{
    struct scr_capture *line = capture("frame-1", "I'll take \"it\" \xf0\x9f\x91\x8b");
    struct df_uuid id = line->id;
    (void)state;

    line->kind = SCR_ANNOUNCEMENT;
    line->role = SCR_HOST;
    line->source = SCR_SOURCE_POLLING;
    line->is_cut = line->is_backlog = line->is_highlighted = true;
    struct scr_outbox_session session = store(1, line, NULL);
    scr_capture_free(line);
    reopen();
    struct seen seen = pending_after(session.id, 0);
    assert_int_equal(seen.count, 1);
    assert_true(df_uuid_equal(&seen.id, &id));
    assert_string_equal(seen.text, "I'll take \"it\" \xf0\x9f\x91\x8b");
    assert_string_equal(seen.username, "buyer_1");
    assert_string_equal(seen.line_id, "frame-1");
    assert_int_equal(seen.kind, SCR_ANNOUNCEMENT);
    assert_int_equal(seen.role, SCR_HOST);
    assert_int_equal(seen.source, SCR_SOURCE_POLLING);
    assert_true(seen.is_cut && seen.is_backlog && seen.is_highlighted);
}

static void a_known_identity_brings_its_first_id_also_after_a_restart(void **state)
{
    struct scr_capture *first = capture("frame-1", "mine"), *again = capture("frame-1", "mine");
    struct scr_capture *other = capture("frame-2", "mine");
    bool is_duplicate = true;
    (void)state;

    (void)store(1, first, &is_duplicate);
    assert_false(is_duplicate);
    reopen();
    (void)store(2, again, &is_duplicate);
    assert_true(is_duplicate);
    assert_true(df_uuid_equal(&first->id, &again->id));
    struct scr_outbox_session session = store(3, other, &is_duplicate);
    assert_false(is_duplicate);
    assert_int_equal(session.pending, 2);
    scr_capture_free(first);
    scr_capture_free(again);
    scr_capture_free(other);
}

static void lines_without_identity_are_never_duplicates(void **state)
{
    (void)state;
    for (int64_t seq = 1; seq <= 10; seq++) {
        struct scr_capture *line = capture("", "W");
        bool is_duplicate = true;
        (void)store(seq, line, &is_duplicate);
        assert_false(is_duplicate);
        scr_capture_free(line);
    }
}

static void the_same_identity_in_two_sessions_is_two_lines(void **state)
{
    struct scr_capture *here = capture("frame-1", "mine");
    struct scr_capture *there = scr_capture_make("other", "frame-1", "buyer_1", "mine");
    bool is_duplicate = true;
    (void)state;

    (void)store(1, here, NULL);
    (void)store(1, there, &is_duplicate);
    assert_false(is_duplicate);
    scr_capture_free(here);
    scr_capture_free(there);
}

static void what_is_rolled_back_never_was(void **state)
{
    struct scr_outbox_session session;
    struct scr_capture *line = capture("frame-1", "mine");
    bool is_duplicate = false;
    (void)state;

    assert_int_equal(scr_outbox_begin(fixture.outbox, &err), DF_OK);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    assert_int_equal(scr_outbox_add(fixture.outbox, session.id, 1, line, &is_duplicate, &err), DF_OK);
    scr_outbox_rollback(fixture.outbox);
    session = store(1, line, &is_duplicate);
    assert_false(is_duplicate);
    assert_int_equal(session.pending, 1);
    scr_capture_free(line);
}

static void settled_lines_are_not_owed_after_a_restart(void **state)
{
    struct scr_outbox_session session;
    (void)state;

    store_many(1, 5);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    done(session.id, 3);
    reopen();
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    assert_int_equal(session.done_seq, 3);
    assert_int_equal(session.last_seq, 5);
    assert_int_equal(session.pending, 2);
    struct seen seen = pending_after(session.id, session.done_seq);
    assert_int_equal(seen.first_seq, 4);
    assert_int_equal(seen.last_seq, 5);
}

static void trimming_keeps_the_tail_and_all_that_is_owed(void **state)
{
    struct scr_outbox_session session;
    struct seen seen = {0};
    (void)state;

    store_many(1, 300);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    session.done_seq = 50; /* of 300: all others are owed */
    done(session.id, 50);
    assert_int_equal(scr_outbox_trim(fixture.outbox, &session, 100, &err), DF_OK);
    assert_int_equal(pending_after(session.id, 50).count, 250);
    assert_int_equal(number("select count(*) from line"), 250);
    assert_int_equal(number("select count(*) from identity"), 100);
    session.done_seq = 300;
    done(session.id, 300);
    assert_int_equal(scr_outbox_trim(fixture.outbox, &session, 100, &err), DF_OK);
    assert_int_equal(scr_outbox_tail(fixture.outbox, SESSION, note, &seen, &err), DF_OK);
    assert_int_equal(seen.count, SCR_OUTBOX_TAIL);
    assert_int_equal(seen.first_seq, 101);
    assert_int_equal(seen.last_seq, 300);
}

static void a_buried_line_can_be_read_with_its_reason(void **state)
{
    struct scr_outbox_session session;
    (void)state;

    store_many(1, 2);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    assert_int_equal(scr_outbox_bury(fixture.outbox, session.id, 2, 409, "known", &err), DF_OK);
    assert_int_equal(number("select count(*) from dead_letter where text = 'line 2' and status = 409"
                            " and reason = 'known' and session = '" SESSION "'"), 1);
    uint64_t count = 0;
    assert_int_equal(scr_outbox_drop_letters(fixture.outbox, &count, &err), DF_OK);
    assert_int_equal(count, 1);
}

static void only_what_is_old_and_owed_is_buried_for_its_age(void **state)
{
    struct scr_outbox_session session;
    int64_t done_seq = 1;
    uint64_t count = 0;
    (void)state;

    store_many(1, 10); /* captured at 1 s, 2 s, ... */
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    done(session.id, 1);
    assert_int_equal(scr_outbox_bury_old(fixture.outbox, session.id, 5000, &done_seq, &count, &err),
                     DF_OK);
    assert_int_equal(count, 3); /* 2, 3 and 4 */
    assert_int_equal(done_seq, 4);
    assert_int_equal(scr_outbox_bury_old(fixture.outbox, session.id, 5000, &done_seq, &count, &err),
                     DF_OK);
    assert_int_equal(count, 0);
    assert_int_equal(pending_after(session.id, done_seq).count, 6);
    assert_int_equal(number("select done_seq from session"), 4);
}

static void a_session_is_forgotten_only_when_nobody_needs_it(void **state)
{
    struct scr_watch_row row = {.session = SESSION, .url = "u"};
    struct scr_outbox_session session;
    uint64_t letters = 0;
    (void)state;

    store_many(1, 3);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    assert_int_equal(scr_outbox_forget(fixture.outbox, 10000, &letters, &err), DF_OK);
    assert_int_equal(number("select count(*) from session"), 1); /* it owes lines */
    done(session.id, 3);
    assert_int_equal(scr_outbox_watch_put(fixture.outbox, &row, &err), DF_OK);
    assert_int_equal(scr_outbox_forget(fixture.outbox, 10000, &letters, &err), DF_OK);
    assert_int_equal(number("select count(*) from session"), 1); /* it is watched */
    assert_int_equal(scr_outbox_watch_remove(fixture.outbox, SESSION, &err), DF_OK);
    assert_int_equal(scr_outbox_forget(fixture.outbox, 3000, &letters, &err), DF_OK);
    assert_int_equal(number("select count(*) from session"), 1); /* it is young */
    assert_int_equal(scr_outbox_forget(fixture.outbox, 3001, &letters, &err), DF_OK);
    assert_int_equal(number("select (select count(*) from session) + (select count(*) from line)"
                            " + (select count(*) from identity)"), 0);
}

static void a_watch_counts_what_is_captured_once(void **state)
{
    struct scr_watch_row row = {.session = SESSION, .stream_id = "st", .url = "u", .owner = "o",
                                .messages = 10, .buyers = 2, .value_cents = 300, .started_ms = 7};
    struct scr_capture *chat = capture("1", "mine"), *again = capture("1", "mine");
    struct scr_capture *join = capture("2", "joined"), *question = capture("3", "how much");
    struct scr_watch_row *rows = NULL;
    size_t count = 0;
    (void)state;

    row.request_json = (char[]){"{\"a\":1}"};
    assert_int_equal(scr_outbox_watch_put(fixture.outbox, &row, &err), DF_OK);
    chat->is_buyer = again->is_buyer = true;
    chat->value_cents = again->value_cents = 4500;
    join->kind = SCR_JOIN;
    (void)store(1, chat, NULL);
    (void)store(2, again, NULL);
    (void)store(3, join, NULL);
    (void)store(4, question, NULL);
    reopen();
    assert_int_equal(scr_outbox_watches(fixture.outbox, &rows, &count, &err), DF_OK);
    assert_int_equal(count, 1);
    assert_string_equal(rows[0].session, SESSION);
    assert_string_equal(rows[0].request_json, "{\"a\":1}");
    assert_string_equal(rows[0].owner, "o");
    assert_int_equal(rows[0].messages, 12);
    assert_int_equal(rows[0].buyers, 3);
    assert_int_equal(rows[0].value_cents, 4800);
    free(rows[0].request_json);
    free(rows);
    scr_capture_free(chat);
    scr_capture_free(again);
    scr_capture_free(join);
    scr_capture_free(question);
}

static void a_lane_reads_a_long_backlog_piece_by_piece(void **state)
{
    struct scr_lane *lane = scr_lane_new(SESSION);
    struct scr_outbox_session session;
    int64_t due_ms = INT64_MAX;
    (void)state;

    store_many(1, 200);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    lane->session = session.id;
    lane->last_seq = lane->stored_seq = session.last_seq;
    lane->pending = session.pending;
    lane->has_more = true;
    for (int64_t seq = 1; seq <= 200; seq++) {
        assert_int_equal(scr_lane_refill(lane, fixture.outbox, &err), DF_OK);
        struct scr_item *item = scr_lane_next(lane, 4, 1.0, 0, &due_ms);
        assert_non_null(item);
        assert_int_equal(item->seq, seq);
        assert_true(lane->count <= SCR_WINDOW_MAX);
        scr_lane_started(lane, item);
        scr_lane_settled(lane, item);
    }
    assert_int_equal(lane->pending, 0);
    assert_int_equal(lane->done_seq, 200);
    scr_lane_free(lane);
}

static void the_file_is_private_and_its_folders_are_made(void **state)
{
    struct stat info;
    (void)state;
    assert_int_equal(stat(fixture.path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    char wal[128];
    assert_true(snprintf(wal, sizeof wal, "%s-wal", fixture.path) < (int)sizeof wal);
    assert_int_equal(stat(wal, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void a_second_process_is_told_that_the_file_is_in_use(void **state)
{
    (void)state;
    reopen(); /* as a restart finds it: with tables */
    pid_t pid = fork();
    if (pid == 0) {
        struct scr_outbox *second = NULL;
        enum df_code rc = scr_outbox_open(&second, fixture.path, &err);
        _exit(rc == DF_EUNAVAILABLE && strstr(err.msg, "in use") != NULL ? 0 : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void other_files_are_refused_and_left_alone(void **state)
{
    struct scr_outbox *other = NULL;
    char path[96];
    sqlite3 *db = NULL;
    (void)state;

    (void)snprintf(path, sizeof path, "%s/notes.txt", fixture.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        (void)fputs("no database\n", file);
    (void)fclose(file);
    assert_int_equal(scr_outbox_open(&other, path, &err), DF_EINPUT);
    assert_null(other);

    (void)snprintf(path, sizeof path, "%s/foreign.db", fixture.dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "create table t (a)", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    assert_int_equal(scr_outbox_open(&other, path, &err), DF_EINPUT);
    assert_non_null(strstr(err.msg, "another program"));

    scr_outbox_close(fixture.outbox);
    fixture.outbox = NULL;
    assert_int_equal(sqlite3_open(fixture.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "pragma user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
    assert_int_equal(scr_outbox_open(&other, fixture.path, &err), DF_EINPUT);
    assert_non_null(strstr(err.msg, "version 99"));
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
    struct scr_outbox *other = NULL;
    (void)state;
    assert_int_equal(scr_outbox_open(&other, "/proc/nowhere/outbox.db", &err), DF_EUNAVAILABLE);
    assert_non_null(strstr(err.msg, "/proc/nowhere"));
}

static void the_log_is_written_back_and_room_is_given_back(void **state)
{
    int64_t used_before = 0, used_after = 0, file_before = 0, file_after = 0;
    struct scr_outbox_session session;
    char wal[128];
    struct stat info;
    (void)state;

    assert_int_equal(scr_outbox_begin(fixture.outbox, &err), DF_OK);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    for (int64_t seq = 1; seq <= 40000; seq++) {
        struct scr_capture *line = capture("", "a line of chat that takes some room in the file,"
                                               " as the lines of a show do, and then some more");
        bool is_duplicate = false;
        assert_int_equal(
            scr_outbox_add(fixture.outbox, session.id, seq, line, &is_duplicate, &err), DF_OK);
        scr_capture_free(line);
    }
    assert_int_equal(scr_outbox_commit(fixture.outbox, &err), DF_OK);
    assert_true(snprintf(wal, sizeof wal, "%s-wal", fixture.path) < (int)sizeof wal);
    assert_int_equal(stat(wal, &info), 0);
    off_t grown = info.st_size;
    scr_outbox_tidy(fixture.outbox, false); /* from now on it is used anew from its beginning */
    store_many(40001, 40200);
    assert_int_equal(stat(wal, &info), 0);
    assert_true(info.st_size <= grown);
    scr_outbox_tidy(fixture.outbox, true);
    assert_int_equal(stat(wal, &info), 0);
    assert_int_equal(info.st_size, 0);
    scr_outbox_usage(fixture.outbox, &used_before, &file_before);
    done(session.id, 40200);
    session.done_seq = session.last_seq = 40200;
    assert_int_equal(scr_outbox_trim(fixture.outbox, &session, 100, &err), DF_OK);
    scr_outbox_shrink(fixture.outbox, 1024);
    scr_outbox_tidy(fixture.outbox, true);
    scr_outbox_usage(fixture.outbox, &used_after, &file_after);
    assert_true(used_after < used_before / 10);
    assert_true(file_after < file_before);
}

static void the_reserve_is_real_room(void **state)
{
    char path[128];
    struct stat info;
    (void)state;

    assert_true(snprintf(path, sizeof path, "%s-reserve", fixture.path) < (int)sizeof path);
    assert_int_equal(stat(path, &info), -1);
    assert_true(scr_outbox_reserve_make(fixture.outbox));
    assert_true(scr_outbox_reserve_make(fixture.outbox));
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_blocks * 512 >= SCR_OUTBOX_RESERVE_BYTES);
    scr_outbox_reserve_drop(fixture.outbox);
    assert_int_equal(stat(path, &info), -1);
}

static void giving_up_takes_only_what_is_settled(void **state)
{
    struct scr_outbox_session session;
    uint64_t count = 0, total = 0;
    (void)state;

    store_many(1, 100);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    done(session.id, 60);
    do {
        assert_int_equal(scr_outbox_give_up(fixture.outbox, 25, &count, &err), DF_OK);
        total += count;
    } while (count > 0);
    assert_int_equal(total, 60);
    assert_int_equal(pending_after(session.id, 0).count, 40);
    assert_int_equal(scr_outbox_session(fixture.outbox, SESSION, &session, &err), DF_OK);
    assert_int_equal(session.last_seq, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        TEST(a_line_comes_back_as_it_was),
        TEST(a_known_identity_brings_its_first_id_also_after_a_restart),
        TEST(lines_without_identity_are_never_duplicates),
        TEST(the_same_identity_in_two_sessions_is_two_lines),
        TEST(what_is_rolled_back_never_was),
        TEST(settled_lines_are_not_owed_after_a_restart),
        TEST(trimming_keeps_the_tail_and_all_that_is_owed),
        TEST(a_buried_line_can_be_read_with_its_reason),
        TEST(only_what_is_old_and_owed_is_buried_for_its_age),
        TEST(a_session_is_forgotten_only_when_nobody_needs_it),
        TEST(a_watch_counts_what_is_captured_once),
        TEST(a_lane_reads_a_long_backlog_piece_by_piece),
        TEST(the_file_is_private_and_its_folders_are_made),
        TEST(a_second_process_is_told_that_the_file_is_in_use),
        TEST(other_files_are_refused_and_left_alone),
        TEST(a_folder_that_cannot_be_made_is_named),
        TEST(the_reserve_is_real_room),
        TEST(giving_up_takes_only_what_is_settled),
        TEST(the_log_is_written_back_and_room_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
