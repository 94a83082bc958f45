/* fcgi/rest/db.h - one event loop's connections to Postgres. Each carries one request at a time, as
 * one pipeline: become the caller, run the statement. Nothing here blocks; all functions belong to
 * the loop's thread.
 *
 * A pipeline without BEGIN is one transaction up to its sync (Postgres documentation, 55.2.3), so
 * role and claims, set with set_config(.., true), end with it. */
#ifndef FCGI_REST_DB_H
#define FCGI_REST_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/loop.h"
#include "fcgi/rest/catalog.h"

struct pg_result; /* libpq's PGresult */
struct rst_db;

/* clang-format off */
enum rst_outcome {
    RST_DONE,   /* committed, or rolled back because may_commit said no; result holds the answer */
    RST_FAILED, /* Postgres said no; result holds its error */
    RST_LOST,   /* no connection, or it broke: a write may or may not have happened */
    RST_LATE,   /* no connection became free in time */
    RST_FULL,   /* too many wait already */
};
/* clang-format on */

struct rst_job {
    /* set before rst_db_submit; borrowed until on_done */
    const char *role, *claims, *method, *path;
    bool is_read_only;
    const char *sql;
    const char *const *params; /* text */
    int param_count;
    /* NULL: commit whenever nothing failed. Else asked with the answer before anything is final. */
    bool (*may_commit)(struct rst_job *job, const struct pg_result *result);
    void (*on_done)(
        struct rst_job *job); /* on the loop's thread, never from within rst_db_submit */
    /* set for on_done */
    enum rst_outcome outcome;
    const struct pg_result *result; /* until on_done returns; NULL with RST_LOST and later ones */
    /* private to db.c */
    struct rst_job *next;
    int64_t deadline_ms;
    bool is_internal;
};

struct rst_db_options {
    const char *conninfo; /* borrowed */
    const char *schema;   /* borrowed */
    int64_t connections, queue_max, wait_ms, statement_timeout_ms;
};

/* Figures of all loops together; any thread. */
struct rst_db_figures {
    _Atomic int64_t connected, waiting, catalogs; /* loops that hold a catalogue */
    _Atomic uint64_t statements, connects;
};

/* Begins to connect. figures is borrowed and shared. The caller owns *out. */
enum df_code rst_db_new(struct rst_db **out, const struct rst_db_options *options,
                        struct rst_db_figures *figures, struct mrs_loop *loop,
                        struct df_error *err) DF_MUST_USE;
void rst_db_free(struct rst_db *db); /* jobs that are still there stay unanswered; NULL is fine */

/* NULL until it was read for the first time. Valid until the loop's next event. */
const struct rst_catalog *rst_db_catalog(const struct rst_db *db);
/* Reads it anew, soon, unless that was done within the last second. */
void rst_db_doubt_catalog(struct rst_db *db);

/* True: on_done will come. False: job->outcome is set (RST_FULL; RST_LOST while Postgres is away).
 */
bool rst_db_submit(struct rst_db *db, struct rst_job *job);

/* Lets time pass; returns in how many milliseconds there is something to do, or -1. */
int rst_db_tick(struct rst_db *db);

#endif
