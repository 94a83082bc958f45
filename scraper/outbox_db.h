/* scraper/outbox_db.h - the inside of the outbox: its statements. For outbox*.c only. */
#ifndef SCRAPER_OUTBOX_DB_H
#define SCRAPER_OUTBOX_DB_H

#include "scraper/outbox.h"

struct sqlite3;
struct sqlite3_stmt;

enum scr_sql {
    SCR_SQL_BEGIN,
    SCR_SQL_COMMIT,
    SCR_SQL_ROLLBACK,
    SCR_SQL_PAGE_COUNT,
    SCR_SQL_FREE_COUNT,
    SCR_SQL_VACUUM,
    SCR_SQL_SESSION,
    SCR_SQL_SESSION_ADD,
    SCR_SQL_IDENTITY_ADD,
    SCR_SQL_IDENTITY,
    SCR_SQL_LINE_ADD,
    SCR_SQL_WATCH_COUNT,
    SCR_SQL_WATCH_PUT,
    SCR_SQL_WATCH_REMOVE,
    SCR_SQL_WATCHES,
    SCR_SQL_DONE,
    SCR_SQL_BURY,
    SCR_SQL_FIRST_YOUNG,
    SCR_SQL_BURY_RANGE,
    SCR_SQL_TRIM_LINES,
    SCR_SQL_TRIM_IDENTITIES,
    SCR_SQL_GIVE_UP,
    SCR_SQL_SESSIONS,
    SCR_SQL_FORGETTABLE,
    SCR_SQL_FORGET_LINES,
    SCR_SQL_FORGET_IDENTITIES,
    SCR_SQL_FORGET_SESSION,
    SCR_SQL_FORGET_LETTERS,
    SCR_SQL_DROP_LETTERS,
    SCR_SQL_BACKLOG,
    SCR_SQL_PENDING,
    SCR_SQL_TAIL,
    SCR_SQL_COUNT
};

struct scr_outbox {
    struct sqlite3 *db;
    struct sqlite3_stmt *stmt[SCR_SQL_COUNT];
    char *reserve_path;
    int64_t page_bytes;
    int wal_pages; /* in the WAL after the last commit */
    bool has_reserve;
    bool has_tidy_failed; /* and was told */
};

/* Everything the program ever says to the file, but for what opens it. */
extern const char *const scr_outbox_sql[SCR_SQL_COUNT];
extern const char scr_outbox_schema[];

/* The statement, reset, to be bound and stepped. */
struct sqlite3_stmt *scr_outbox_stmt(struct scr_outbox *outbox, enum scr_sql which);
/* Steps a statement that returns no rows and resets it. */
enum df_code scr_outbox_run(struct scr_outbox *outbox, struct sqlite3_stmt *stmt,
                            struct df_error *err) DF_MUST_USE;
/* What SQLite complains about last, as an error of ours. */
enum df_code scr_outbox_fail(struct scr_outbox *outbox, struct df_error *err);

#endif
