/* fcgi/rest/db.c - who waits for a connection, and the catalogue of the loop. */
#include "fcgi/rest/db.h"

#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rest/db_parts.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    CATALOG_PAUSE_MS = 1000,
    AWAY_MS = 1000, /* a restart may take so long unnoticed; after that nobody is made to wait */
};

/* --- the queue ------------------------------------------------------------------------------- */

static struct rst_job *take_waiting(struct rst_db *db)
{
    struct rst_job *job = db->first_waiting;
    if (job == NULL)
        return NULL;
    db->first_waiting = job->next;
    if (db->first_waiting == NULL)
        db->last_waiting = NULL;
    db->waiting--;
    atomic_fetch_sub_explicit(&db->figures->waiting, 1, memory_order_relaxed);
    return job;
}

static void put_waiting(struct rst_db *db, struct rst_job *job)
{
    job->next = NULL;
    if (db->last_waiting != NULL)
        db->last_waiting->next = job;
    else
        db->first_waiting = job;
    db->last_waiting = job;
    db->waiting++;
    atomic_fetch_add_explicit(&db->figures->waiting, 1, memory_order_relaxed);
}

static void end_waiting(struct rst_job *job, enum rst_outcome outcome)
{
    job->outcome = outcome;
    job->result = NULL;
    job->on_done(job);
}

static struct rst_slot *find_idle(struct rst_db *db)
{
    for (int64_t i = 0; i < db->options.connections; i++) {
        if (db->slots[i].state == RST_SLOT_IDLE)
            return &db->slots[i];
    }
    return NULL;
}

static bool is_away(const struct rst_db *db, int64_t now_ms)
{
    return db->away_since_ms > 0 && now_ms >= db->away_since_ms + AWAY_MS;
}

bool rst_db_submit(struct rst_db *db, struct rst_job *job)
{
    bool away = is_away(db, df_clock_mono_ms());

    job->is_internal = false;
    if (away || db->waiting >= db->options.queue_max) {
        job->outcome = away ? RST_LOST : RST_FULL;
        job->result = NULL;
        return false;
    }
    job->deadline_ms = df_clock_mono_ms() + db->options.wait_ms;
    struct rst_slot *slot = find_idle(db);
    if (slot != NULL)
        rst_slot_run(slot, job);
    else
        put_waiting(db, job);
    return true;
}

/* --- the catalogue --------------------------------------------------------------------------- */

static struct rst_catalog_row row_of(void *ctx, size_t i)
{
    const PGresult *result = ctx;
    int row = (int)i;
    return (struct rst_catalog_row){
        .table = PQgetvalue(result, row, 0),
        .sql_table = PQgetvalue(result, row, 1),
        .column = PQgetvalue(result, row, 2),
        .sql_column = PQgetvalue(result, row, 3),
        .sql_type = PQgetvalue(result, row, 4),
        .default_value = PQgetisnull(result, row, 5) ? NULL : PQgetvalue(result, row, 5),
        .key_position = PQgetvalue(result, row, 6),
    };
}

static void on_catalog_read(struct rst_job *job)
{
    struct rst_db *db = (struct rst_db *)((char *)job - offsetof(struct rst_db, catalog_job));
    struct rst_catalog *next = NULL;
    struct df_error err = {0};
    const PGresult *result = job->result;
    char quoted[256];

    db->is_reading_catalog = false;
    if (job->outcome != RST_DONE) {
        db->wants_catalog = db->catalog == NULL;
        db->catalog_read_ms = df_clock_mono_ms();
        df_log(DF_LOG_WARN, "catalog_failed", "error=%s",
               df_log_quote(quoted, sizeof quoted,
                            result == NULL ? "connection lost" : PQresultErrorMessage(result)));
        return;
    }
    size_t count = (size_t)PQntuples(result);
    const char *sql_schema = count > 0 ? PQgetvalue(result, 0, 7) : "";
    if (rst_catalog_new(&next, db->options.schema, sql_schema, count, row_of, (void *)result,
                        &err) != DF_OK) {
        df_log(DF_LOG_WARN, "catalog_failed", "error=\"%s\"", err.msg);
        return;
    }
    if (db->catalog == NULL)
        atomic_fetch_add(&db->figures->catalogs, 1);
    if (db->catalog == NULL || rst_catalog_size(next) != rst_catalog_size(db->catalog))
        df_log(DF_LOG_INFO, "catalog_read", "tables=%zu", rst_catalog_size(next));
    rst_catalog_free(db->catalog);
    db->catalog = next;
}

/* Before any request: those that wait may need the new one. */
static bool read_catalog(struct rst_slot *slot)
{
    struct rst_db *db = slot->db;
    if (!db->wants_catalog || db->is_reading_catalog ||
        (db->catalog == NULL && df_clock_mono_ms() < db->catalog_read_ms + CATALOG_PAUSE_MS))
        return false;
    db->wants_catalog = false;
    db->is_reading_catalog = true;
    db->catalog_read_ms = df_clock_mono_ms();
    db->catalog_params[0] = db->options.schema;
    db->catalog_job = (struct rst_job){.is_internal = true,
                                       .sql = rst_catalog_sql,
                                       .params = db->catalog_params,
                                       .param_count = 1,
                                       .on_done = on_catalog_read};
    rst_slot_run(slot, &db->catalog_job);
    return true;
}

void rst_db_go_on(struct rst_slot *slot)
{
    if (slot->state != RST_SLOT_IDLE || read_catalog(slot))
        return;
    struct rst_job *job = take_waiting(slot->db);
    if (job != NULL)
        rst_slot_run(slot, job);
}

void rst_db_want_catalog(struct rst_db *db)
{
    db->wants_catalog = true;
    struct rst_slot *slot = find_idle(db);
    if (slot != NULL)
        rst_db_go_on(slot);
}

void rst_db_doubt_catalog(struct rst_db *db)
{
    if (df_clock_mono_ms() >= db->catalog_read_ms + CATALOG_PAUSE_MS)
        rst_db_want_catalog(db);
}

const struct rst_catalog *rst_db_catalog(const struct rst_db *db)
{
    return db->catalog;
}

/* --- time ------------------------------------------------------------------------------------ */

static void expire_waiting(struct rst_db *db, int64_t now_ms)
{
    bool away = is_away(db, now_ms);
    /* In order of arrival, and all may wait equally long: the first is due first. */
    while (db->first_waiting != NULL && (away || db->first_waiting->deadline_ms <= now_ms))
        end_waiting(take_waiting(db), away ? RST_LOST : RST_LATE);
}

int rst_db_tick(struct rst_db *db)
{
    int64_t now_ms = df_clock_mono_ms();
    int64_t due_ms = INT64_MAX;

    for (int64_t i = 0; i < db->options.connections; i++) {
        int64_t slot_due_ms = rst_slot_tick(&db->slots[i], now_ms);
        if (slot_due_ms < due_ms)
            due_ms = slot_due_ms;
    }
    expire_waiting(db, now_ms);
    if (db->first_waiting != NULL && db->first_waiting->deadline_ms < due_ms)
        due_ms = db->first_waiting->deadline_ms;
    if (db->wants_catalog && !db->is_reading_catalog) {
        struct rst_slot *slot = find_idle(db);
        if (slot != NULL)
            rst_db_go_on(slot);
        if (db->catalog_read_ms + CATALOG_PAUSE_MS < due_ms)
            due_ms = db->catalog_read_ms + CATALOG_PAUSE_MS;
    }
    if (due_ms == INT64_MAX)
        return -1;
    now_ms = df_clock_mono_ms();
    return due_ms <= now_ms ? 1 : due_ms - now_ms > 60000 ? 60000 : (int)(due_ms - now_ms);
}

/* --- life ------------------------------------------------------------------------------------ */

enum df_code rst_db_new(struct rst_db **out, const struct rst_db_options *options,
                        struct rst_db_figures *figures, struct mrs_loop *loop, struct df_error *err)
{
    *out = NULL;
    struct rst_db *db = calloc(1, sizeof *db);
    if (db == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    db->options = *options;
    db->figures = figures;
    db->loop = loop;
    db->wants_catalog = true;
    db->away_since_ms = df_clock_mono_ms();
    db->catalog_read_ms = -CATALOG_PAUSE_MS;
    db->slots = calloc((size_t)options->connections, sizeof *db->slots);
    if (db->slots == NULL) {
        free(db);
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    for (int64_t i = 0; i < options->connections; i++)
        rst_slot_init(&db->slots[i], db, i == 0);
    *out = db;
    return DF_OK;
}

void rst_db_free(struct rst_db *db)
{
    if (db == NULL)
        return;
    for (int64_t i = 0; i < db->options.connections; i++)
        rst_slot_release(&db->slots[i]);
    free(db->slots);
    rst_catalog_free(db->catalog);
    free(db);
}
