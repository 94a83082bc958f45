/* scraper/outbox.c - opens the file, holds its lock, runs transactions, keeps its size in bounds.
 */
#include "scraper/outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "scraper/outbox_db.h"
#include "shared/log.h"

#define APPLICATION_ID 0x44464f42 /* "DFOB", also for file(1) */
#define SCHEMA_VERSION 1
#define LOCK_WAIT_MS   2000 /* a predecessor that is just ending gets that long */
#define WAL_PAGES_MAX  1000 /* 4 MB, then it is written back */

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

/* --- errors -------------------------------------------------------------------------------------
 */

enum df_code scr_outbox_fail(struct scr_outbox *outbox, struct df_error *err)
{
    const char *why = sqlite3_errmsg(outbox->db);

    switch (sqlite3_errcode(outbox->db)) { /* without the extended part */
    case SQLITE_NOTADB:
        return df_error_set(err, DF_EINPUT, "outbox: the file is something else (%s)", why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return df_error_set(err, DF_EUNAVAILABLE,
                            "outbox: in use by another process; one daemon"
                            " per file: set OUTBOX_PATH, or stop the other");
    case SQLITE_FULL:
        return df_error_set(err, DF_EUNAVAILABLE, "outbox: no room on the disk");
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return df_error_set(err, DF_EUNAVAILABLE, "outbox: %s (%s)", why,
                            strerror(sqlite3_system_errno(outbox->db)));
    case SQLITE_CORRUPT:
        return df_error_set(err, DF_EUNAVAILABLE,
                            "outbox: the file is damaged; move it away to"
                            " start with an empty one");
    case SQLITE_NOMEM:
        return df_error_set(err, DF_ENOMEM, "outbox: out of memory");
    default:
        return df_error_set(err, DF_EBUG, "outbox: %s", why);
    }
}

sqlite3_stmt *scr_outbox_stmt(struct scr_outbox *outbox, enum scr_sql which)
{
    return outbox->stmt[which];
}

enum df_code scr_outbox_run(struct scr_outbox *outbox, sqlite3_stmt *stmt, struct df_error *err)
{
    int rc = sqlite3_step(stmt);

    while (rc == SQLITE_ROW) /* incremental_vacuum says one row a page */
        rc = sqlite3_step(stmt);
    enum df_code code = rc == SQLITE_DONE ? DF_OK : scr_outbox_fail(outbox, err);
    (void)sqlite3_reset(stmt); /* repeats the error of the step */
    return code;
}

static int64_t number_of(struct scr_outbox *outbox, enum scr_sql which)
{
    sqlite3_stmt *stmt = scr_outbox_stmt(outbox, which);
    int64_t value = sqlite3_step(stmt) == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    (void)sqlite3_reset(stmt);
    return value;
}

/* --- opening ------------------------------------------------------------------------------------
 */

/* Makes the folders above path, as mkdir -p does. */
static enum df_code make_folders(const char *path, struct df_error *err)
{
    char *copy = strdup(path);
    enum df_code rc = DF_OK;

    if (copy == NULL)
        return df_error_set(err, DF_ENOMEM, "outbox: out of memory");
    for (char *at = strchr(copy + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST) {
            rc = df_error_set(err, DF_EUNAVAILABLE, "outbox: cannot make the folder %s: %s", copy,
                              strerror(errno));
            break;
        }
        *at = '/';
    }
    free(copy);
    return rc;
}

/* SQLite would make it readable by all; the WAL inherits the mode. */
static enum df_code make_file(const char *path, struct df_error *err)
{
    enum df_code rc = make_folders(path, err);
    if (rc != DF_OK)
        return rc;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "outbox: cannot open %s: %s", path,
                            strerror(errno));
    (void)close(fd);
    return DF_OK;
}

static enum df_code execute(struct scr_outbox *outbox, const char *sql, struct df_error *err)
{
    if (sqlite3_exec(outbox->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return scr_outbox_fail(outbox, err);
    return DF_OK;
}

/* A number that a pragma or select returns. */
static enum df_code ask(struct scr_outbox *outbox, const char *sql, int64_t *out,
                        struct df_error *err)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(outbox->db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return scr_outbox_fail(outbox, err);
    int rc = sqlite3_step(stmt);
    enum df_code code = rc == SQLITE_ROW ? DF_OK : scr_outbox_fail(outbox, err);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return code;
}

static enum df_code use_wal(struct scr_outbox *outbox, const char *path, struct df_error *err)
{
    sqlite3_stmt *stmt = NULL;

    if (sqlite3_prepare_v2(outbox->db, "pragma journal_mode = wal", -1, &stmt, NULL) != SQLITE_OK)
        return scr_outbox_fail(outbox, err);
    int rc = sqlite3_step(stmt);
    const char *mode = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    enum df_code code = rc == SQLITE_ROW ? DF_OK : scr_outbox_fail(outbox, err);
    if (code == DF_OK && (mode == NULL || strcmp(mode, "wal") != 0))
        code = df_error_set(err, DF_EUNAVAILABLE, "outbox: %s cannot have a write-ahead log", path);
    (void)sqlite3_finalize(stmt);
    return code;
}

/* Is the file new, ours, or what else? Making the tables is one transaction. */
static enum df_code check_schema(struct scr_outbox *outbox, const char *path, struct df_error *err)
{
    int64_t application = 0, version = 0, tables = 0;
    enum df_code rc = ask(outbox, "pragma application_id", &application, err);

    if (rc == DF_OK)
        rc = ask(outbox, "pragma user_version", &version, err);
    if (rc == DF_OK)
        rc = ask(outbox, "select count(*) from sqlite_master", &tables, err);
    if (rc != DF_OK)
        return rc;
    if (application == 0 && version == 0 && tables == 0) {
        rc = execute(outbox, "begin exclusive", err);
        if (rc == DF_OK)
            rc = execute(outbox, scr_outbox_schema, err);
        if (rc == DF_OK)
            rc = execute(
                outbox,
                "pragma application_id = " TEXT(APPLICATION_ID) ";"
                                                                "pragma user_version = " TEXT(
                                                                    SCHEMA_VERSION) "; commit",
                err);
        return rc;
    }
    if (application != APPLICATION_ID)
        return df_error_set(err, DF_EINPUT,
                            "outbox: %s is a database of another program; set"
                            " OUTBOX_PATH",
                            path);
    if (version != SCHEMA_VERSION)
        return df_error_set(err, DF_EINPUT,
                            "outbox: %s has version %lld, this program reads %d;"
                            " move it away, or use the program that wrote it",
                            path, (long long)version, SCHEMA_VERSION);
    /* Reading alone would not keep others out for good. */
    return execute(outbox, "begin exclusive; commit", err);
}

static int on_commit(void *user, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct scr_outbox *)user)->wal_pages = pages;
    return SQLITE_OK;
}

static enum df_code set_up(struct scr_outbox *outbox, const char *path, struct df_error *err)
{
    /* locking_mode before the WAL is first looked at: then it needs no shared memory file, and the
     * lock is held as long as the file is open. auto_vacuum must come before the first table. */
    static const char first[] =
        "pragma locking_mode = exclusive; pragma auto_vacuum = incremental;";
    static const char later[] = "pragma synchronous = normal; pragma secure_delete = fast;"
                                "pragma cache_size = -512; pragma temp_store = memory;"
                                "pragma journal_size_limit = 4194304;"
                                "pragma trusted_schema = off;";
    enum df_code rc = DF_OK;

    if (sqlite3_open_v2(path, &outbox->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        return outbox->db == NULL ? df_error_set(err, DF_ENOMEM, "outbox: out of memory")
                                  : scr_outbox_fail(outbox, err);
    (void)sqlite3_busy_timeout(outbox->db, LOCK_WAIT_MS);
    rc = execute(outbox, first, err);
    if (rc == DF_OK)
        rc = use_wal(outbox, path, err);
    if (rc == DF_OK)
        rc = check_schema(outbox, path, err);
    if (rc == DF_OK)
        rc = execute(outbox, later, err);
    if (rc == DF_OK)
        rc = ask(outbox, "pragma page_size", &outbox->page_bytes, err);
    for (int i = 0; rc == DF_OK && i < SCR_SQL_COUNT; i++) {
        if (sqlite3_prepare_v3(outbox->db, scr_outbox_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &outbox->stmt[i], NULL) != SQLITE_OK)
            rc = scr_outbox_fail(outbox, err);
    }
    if (rc == DF_OK)
        (void)sqlite3_wal_hook(outbox->db, on_commit,
                               outbox); /* replaces the automatic write-back */
    return rc;
}

static void close_file(struct scr_outbox *outbox)
{
    for (int i = 0; i < SCR_SQL_COUNT; i++) {
        (void)sqlite3_finalize(outbox->stmt[i]);
        outbox->stmt[i] = NULL;
    }
    (void)sqlite3_close(outbox->db);
    outbox->db = NULL;
}

enum df_code scr_outbox_open(struct scr_outbox **out, const char *path, struct df_error *err)
{
    *out = NULL;
    enum df_code rc = make_file(path, err);
    if (rc != DF_OK)
        return rc;
    struct scr_outbox *outbox = calloc(1, sizeof *outbox);
    if (outbox == NULL || asprintf(&outbox->reserve_path, "%s-reserve", path) < 0) {
        free(outbox);
        return df_error_set(err, DF_ENOMEM, "outbox: out of memory");
    }
    rc = set_up(outbox, path, err);
    if (rc != DF_OK && sqlite3_errcode(outbox->db) == SQLITE_FULL) {
        close_file(outbox); /* reading a log that a crash left may need some room */
        scr_outbox_reserve_drop(outbox);
        rc = set_up(outbox, path, err);
    }
    if (rc != DF_OK) {
        scr_outbox_close(outbox);
        return rc;
    }
    *out = outbox;
    return DF_OK;
}

void scr_outbox_close(struct scr_outbox *outbox)
{
    if (outbox == NULL)
        return;
    close_file(outbox);
    free(outbox->reserve_path);
    free(outbox);
}

/* --- transactions -------------------------------------------------------------------------------
 */

enum df_code scr_outbox_begin(struct scr_outbox *outbox, struct df_error *err)
{
    return scr_outbox_run(outbox, scr_outbox_stmt(outbox, SCR_SQL_BEGIN), err);
}

enum df_code scr_outbox_commit(struct scr_outbox *outbox, struct df_error *err)
{
    return scr_outbox_run(outbox, scr_outbox_stmt(outbox, SCR_SQL_COMMIT), err);
}

void scr_outbox_rollback(struct scr_outbox *outbox)
{
    struct df_error err = {0};

    if (sqlite3_get_autocommit(outbox->db)) /* a full disk may have rolled back already */
        return;
    if (scr_outbox_run(outbox, scr_outbox_stmt(outbox, SCR_SQL_ROLLBACK), &err) != DF_OK)
        df_log(DF_LOG_ERROR, "outbox_rollback_failed", "reason=\"%s\"", err.msg);
}

/* --- size ---------------------------------------------------------------------------------------
 */

void scr_outbox_usage(struct scr_outbox *outbox, int64_t *used_bytes, int64_t *file_bytes)
{
    int64_t pages = number_of(outbox, SCR_SQL_PAGE_COUNT);
    int64_t unused = number_of(outbox, SCR_SQL_FREE_COUNT);

    *used_bytes = (pages - unused) * outbox->page_bytes;
    *file_bytes = pages * outbox->page_bytes;
}

void scr_outbox_tidy(struct scr_outbox *outbox, bool force)
{
    int log_pages = 0, moved_pages = 0;

    if (outbox->wal_pages < WAL_PAGES_MAX && !force)
        return;
    /* Forced: its room is wanted back. Else the log is used again from its beginning, as it is. */
    int rc = sqlite3_wal_checkpoint_v2(
        outbox->db, NULL, force ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE,
        &log_pages, &moved_pages);
    if (rc == SQLITE_OK)
        outbox->wal_pages = 0;
    else if (!outbox->has_tidy_failed) /* a full disk: what is in the WAL stays valid */
        df_log(DF_LOG_WARN, "outbox_checkpoint_failed", "reason=\"%s\"",
               sqlite3_errmsg(outbox->db));
    outbox->has_tidy_failed = rc != SQLITE_OK;
}

void scr_outbox_shrink(struct scr_outbox *outbox, int64_t keep_pages)
{
    struct df_error err = {0};

    if (number_of(outbox, SCR_SQL_FREE_COUNT) > keep_pages &&
        scr_outbox_run(outbox, scr_outbox_stmt(outbox, SCR_SQL_VACUUM), &err) != DF_OK)
        df_log(DF_LOG_WARN, "outbox_vacuum_failed", "reason=\"%s\"", err.msg);
}

/* --- reserve ------------------------------------------------------------------------------------
 */

bool scr_outbox_reserve_make(struct scr_outbox *outbox)
{
    if (outbox->has_reserve)
        return true;
    int fd = open(outbox->reserve_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return false;
    outbox->has_reserve = posix_fallocate(fd, 0, SCR_OUTBOX_RESERVE_BYTES) == 0;
    (void)close(fd);
    if (!outbox->has_reserve)
        (void)unlink(outbox->reserve_path);
    return outbox->has_reserve;
}

void scr_outbox_reserve_drop(struct scr_outbox *outbox)
{
    (void)unlink(outbox->reserve_path);
    outbox->has_reserve = false;
}
