/* fcgi/rest/db_parts.h - between db.c and db_slot.c only. */
#ifndef FCGI_REST_DB_PARTS_H
#define FCGI_REST_DB_PARTS_H

#include "fcgi/rest/db.h"

/* Statements that one connection keeps prepared, and steps of one pipeline at most. */
enum { RST_PREPARED_MAX = 100, RST_STEPS_MAX = 8 };

/* clang-format off */
enum rst_slot_state {
    RST_SLOT_AWAY, RST_SLOT_CONNECTING, RST_SLOT_SETTING_UP, RST_SLOT_IDLE, RST_SLOT_BUSY,
};
enum rst_slot_step { RST_STEP_OTHER, RST_STEP_PREPARE, RST_STEP_MAIN, RST_STEP_SYNC };
/* clang-format on */

struct rst_prepared {
    uint64_t print; /* hash of the text */
    char *sql;
    unsigned number; /* its name is s<number> */
    uint64_t used;
    bool is_known; /* Postgres has it */
};

struct rst_slot { /* one connection */
    struct mrs_watch watch;
    struct rst_db *db;
    bool listens; /* for NOTIFY pgrst */
    enum rst_slot_state state;
    struct pg_conn *conn;
    int fd;
    uint32_t watched; /* events */
    int64_t deadline_ms, retry_ms, backoff_ms;
    bool is_failure_told;
    struct rst_job *job;
    struct pg_result *answer, *error;
    enum rst_slot_step steps[RST_STEPS_MAX];
    int step_count, step;
    bool has_result; /* of the current step */
    bool is_held;    /* commit or rollback is still to be sent */
    struct rst_prepared prepared[RST_PREPARED_MAX], *current;
    int prepared_count;
    unsigned last_number;
    uint64_t clock;
};

struct rst_db {
    struct rst_db_options options;
    struct rst_db_figures *figures;
    struct mrs_loop *loop;
    struct rst_slot *slots;
    int64_t connected, away_since_ms; /* since when `connected` is 0, else 0 */
    struct rst_job *first_waiting, *last_waiting;
    int64_t waiting;
    struct rst_catalog *catalog;
    struct rst_job catalog_job;
    const char *catalog_params[1];
    bool wants_catalog, is_reading_catalog;
    int64_t catalog_read_ms;
};

/* db_slot.c */
void rst_slot_init(struct rst_slot *slot, struct rst_db *db, bool listens);
void rst_slot_release(struct rst_slot *slot);
/* The slot is idle. The job's end comes later, by on_done. */
void rst_slot_run(struct rst_slot *slot, struct rst_job *job);
/* Returns when it wants to be called again, INT64_MAX for never. */
int64_t rst_slot_tick(struct rst_slot *slot, int64_t now_ms);

/* db.c: a slot became idle. */
void rst_db_go_on(struct rst_slot *slot);
void rst_db_want_catalog(struct rst_db *db);

#endif
