/* fcgi/batch.c - many jobs in one statement, and its answer back into outcomes. */
#include "fcgi/batch.h"

#include <stdlib.h>
#include <string.h>

#include "fcgi/metrics.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { CAREFUL_MS = 1000 };

enum df_code mrs_batch_init(struct mrs_batch *batch, struct df_pg *pg, size_t batch_max,
                            struct df_error *err)
{
    *batch = (struct mrs_batch){.pg = pg};
    for (size_t i = 0; i < MRS_BATCH_PARAMS; i++)
        df_pg_array_init(&batch->params[i], (size_t)64 << 20);
    batch->missed = calloc(batch_max, sizeof *batch->missed);
    batch->sessions = calloc(batch_max, sizeof *batch->sessions);
    if (batch->missed == NULL || batch->sessions == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    return mrs_ignored_new(&batch->ignored, pg, err);
}

void mrs_batch_release(struct mrs_batch *batch)
{
    for (size_t i = 0; i < MRS_BATCH_PARAMS; i++)
        df_pg_array_release(&batch->params[i]);
    free(batch->missed);
    free(batch->sessions);
    mrs_ignored_free(batch->ignored);
}

/* --- parameters ------------------------------------------------------------------------------ */

static void begin_all(struct df_pg_array *params, const enum df_pg_type *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        df_pg_array_begin(&params[i], types[i]);
}

static void add_optional_text(struct df_pg_array *array, const char *text)
{
    if (text == NULL || text[0] == '\0')
        df_pg_array_add_null(array);
    else
        df_pg_array_add_text(array, text, strlen(text));
}

static void add_message(struct df_pg_array *p, const struct mrs_job *job)
{
    const struct df_message *m = job->message;
    df_pg_array_add_uuid(&p[0], &job->id);
    df_pg_array_add_uuid(&p[1], &m->session);
    if (job->has_owner)
        df_pg_array_add_uuid(&p[2], &job->owner);
    else
        df_pg_array_add_null(&p[2]);
    df_pg_array_add_text(&p[3], m->username, m->username_len);
    df_pg_array_add_text(&p[4], m->message, m->message_len);
    df_pg_array_add_text(&p[5], m->platform, m->platform_len);
}

static void add_judgement(struct df_pg_array *p, const struct mrs_judgement *j)
{
    const struct df_verdict *v = &j->verdict;
    const char *type = df_message_type_name(v->type);
    df_pg_array_add_bool(&p[0], v->is_buyer);
    df_pg_array_add_float8(&p[1], v->confidence);
    df_pg_array_add_text(&p[2], type, strlen(type));
    add_optional_text(&p[3], v->item);
    if (v->value_cents == DF_VALUE_NONE)
        df_pg_array_add_null(&p[4]);
    else
        df_pg_array_add_int8(&p[4], v->value_cents);
    add_optional_text(&p[5], j->analyzer);
    add_optional_text(&p[6], j->model);
    df_pg_array_add_bool(&p[7], j->capture);
}

/* The same without the owner, which moves the rest one place up. */
static void add_unowned_message(struct df_pg_array *p, const struct mrs_job *job)
{
    const struct df_message *m = job->message;
    df_pg_array_add_uuid(&p[0], &job->id);
    df_pg_array_add_uuid(&p[1], &m->session);
    df_pg_array_add_text(&p[2], m->username, m->username_len);
    df_pg_array_add_text(&p[3], m->message, m->message_len);
    df_pg_array_add_text(&p[4], m->platform, m->platform_len);
}

static const enum df_pg_type message_types[] = {DF_PG_UUID, DF_PG_UUID, DF_PG_UUID,
                                                DF_PG_TEXT, DF_PG_TEXT, DF_PG_TEXT};
static const enum df_pg_type judgement_types[] = {DF_PG_BOOL, DF_PG_FLOAT8, DF_PG_TEXT, DF_PG_TEXT,
                                                  DF_PG_INT8, DF_PG_TEXT,   DF_PG_TEXT, DF_PG_BOOL};

static enum df_code run(struct mrs_batch *batch, const char *statement, int param_count,
                        int64_t deadline_ms, struct pg_result **out, struct df_error *err)
{
    const struct df_pg_array *params[MRS_BATCH_PARAMS];
    for (int i = 0; i < param_count; i++)
        params[i] = &batch->params[i];
    return df_pg_execute(batch->pg, statement, params, param_count, deadline_ms, out, err);
}

/* --- answers --------------------------------------------------------------------------------- */

static int compare_ids(const void *a, const void *b)
{
    const struct mrs_job *const *x = a;
    const struct mrs_job *const *y = b;
    return memcmp((*x)->id.bytes, (*y)->id.bytes, sizeof(*x)->id.bytes);
}

static struct mrs_job *find_job(struct mrs_job **sorted, size_t count, const struct df_uuid *id)
{
    struct mrs_job probe = {.id = *id};
    struct mrs_job *key = &probe;
    struct mrs_job **hit = bsearch(&key, sorted, count, sizeof key, compare_ids);
    return hit == NULL ? NULL : *hit;
}

/* Marks jobs whose rows the answer names; 'm' message (or verdict) written, 's' sale written. */
static void mark_written(const struct pg_result *result, struct mrs_job **sorted, size_t count)
{
    for (int row = 0; row < df_pg_rows(result); row++) {
        size_t kind_len;
        const char *kind = df_pg_get_text(result, row, 0, &kind_len);
        struct df_uuid id;
        if (kind_len != 1 || kind[0] == 't' || !df_pg_get_uuid(result, row, 1, &id))
            continue;
        struct mrs_job *job = find_job(sorted, count, &id);
        if (job == NULL)
            continue;
        job->outcome = MRS_STORED;
        if (kind[0] == 's')
            job->captured = true;
    }
}

/* Why a row was not inserted: the session is unknown or somebody else's. True when that settled it;
 * false when the id was there before. */
static bool refuse_by_session(const struct pg_result *result, struct mrs_job *job)
{
    for (int row = 0; row < df_pg_rows(result); row++) {
        size_t kind_len;
        const char *kind = df_pg_get_text(result, row, 0, &kind_len);
        struct df_uuid session, owner;
        if (kind_len != 1 || kind[0] != 't' || !df_pg_get_uuid(result, row, 1, &session) ||
            !df_uuid_equal(&session, &job->message->session))
            continue;
        if (job->has_owner &&
            (!df_pg_get_uuid(result, row, 2, &owner) || !df_uuid_equal(&owner, &job->owner))) {
            df_error_set(&job->error, DF_EDENIED, "This session belongs to another user");
            return true;
        }
        return false;
    }
    df_error_set(&job->error, DF_ENOTFOUND, "Unknown streamSessionId: no such stream session");
    return true;
}

static bool same_text(const struct pg_result *result, int row, int column, const char *text,
                      size_t text_len)
{
    size_t len;
    const char *stored = df_pg_get_text(result, row, column, &len);
    return len == text_len && memcmp(stored, text, len) == 0;
}

static void compare_with_stored(const struct pg_result *result, int row, struct mrs_job *job)
{
    const struct df_message *m = job->message;
    struct df_uuid session;
    if (!df_pg_get_uuid(result, row, 1, &session) || !df_uuid_equal(&session, &m->session) ||
        !same_text(result, row, 2, m->username, m->username_len) ||
        !same_text(result, row, 3, m->message, m->message_len) ||
        !same_text(result, row, 4, m->platform, m->platform_len)) {
        df_error_set(&job->error, DF_ECONFLICT,
                     "messageId was used before for another message: send a new UUID");
        return;
    }
    job->outcome = MRS_REPEATED;
    job->has_earlier = !df_pg_is_null(result, row, 5);
    if (!job->has_earlier)
        return;
    size_t type_len;
    const char *type = df_pg_get_text(result, row, 7, &type_len);
    job->earlier = (struct df_verdict){.is_buyer = df_pg_get_bool(result, row, 5),
                                       .confidence = df_pg_get_float8(result, row, 6),
                                       .value_cents = DF_VALUE_NONE};
    (void)df_message_type_parse(&job->earlier.type, type, type_len);
    job->earlier_captured = df_pg_get_bool(result, row, 8);
}

/* Looks up rows that were there before and compares them with the deliveries. */
static enum df_code answer_repeated(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                                    int64_t deadline_ms, struct df_error *err)
{
    struct pg_result *result = NULL;

    df_pg_array_begin(&batch->params[0], DF_PG_UUID);
    for (size_t i = 0; i < count; i++)
        df_pg_array_add_uuid(&batch->params[0], &jobs[i]->id);
    enum df_code rc = run(batch, "find_messages", 1, deadline_ms, &result, err);
    if (rc != DF_OK)
        return DF_EUNAVAILABLE; /* the messages are there; saying so has to wait */
    for (int row = 0; row < df_pg_rows(result); row++) {
        struct df_uuid id;
        struct mrs_job *job = NULL;
        if (df_pg_get_uuid(result, row, 0, &id))
            job = find_job(jobs, count, &id);
        if (job != NULL)
            compare_with_stored(result, row, job);
    }
    df_pg_result_free(result);
    for (size_t i = 0; i < count; i++) {
        /* Deleted between the two statements: rare, and safe to send again. */
        if (jobs[i]->outcome == MRS_UNANSWERED && jobs[i]->error.code == DF_OK)
            df_error_set(&jobs[i]->error, DF_EUNAVAILABLE, "The message was just deleted");
    }
    return DF_OK;
}

/* --- one statement --------------------------------------------------------------------------- */

static bool can_go_fast(const struct mrs_batch *batch, struct mrs_job **jobs, size_t count)
{
    if (df_clock_mono_ms() < batch->careful_until_ms)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->has_owner)
            return false;
    }
    return true;
}

static bool has_known_ids(struct mrs_job **jobs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->id_from_caller || jobs[i]->may_be_stored)
            return true;
    }
    return false;
}

static enum df_code insert_fast(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                                int64_t deadline_ms, struct df_error *err)
{
    static const enum df_pg_type types[] = {DF_PG_UUID, DF_PG_UUID, DF_PG_TEXT, DF_PG_TEXT,
                                            DF_PG_TEXT};
    static const char *const statements[2][2] = {{"fast_message", "fast_message_ids"},
                                                 {"fast_judged", "fast_judged_ids"}};
    bool judged = jobs[0]->judgement.analyzer != NULL;
    bool known_ids = has_known_ids(jobs, count);
    struct pg_result *result = NULL;

    begin_all(batch->params, types, 5);
    if (judged)
        begin_all(batch->params + 5, judgement_types, 8);
    for (size_t i = 0; i < count; i++) {
        add_unowned_message(batch->params, jobs[i]);
        if (judged)
            add_judgement(batch->params + 5, &jobs[i]->judgement);
    }
    const char *statement = statements[judged][known_ids];
    if (count == 1 && !judged && !known_ids)
        statement = "fast_message_one";
    enum df_code rc = run(batch, statement, judged ? 13 : 5, deadline_ms, &result, err);
    if (rc == DF_EINPUT || rc == DF_EBUSY) {
        batch->careful_until_ms = df_clock_mono_ms() + CAREFUL_MS;
        return DF_EBUSY; /* once more, the careful way */
    }
    if (rc != DF_OK)
        return rc;
    if (!known_ids) {
        for (size_t i = 0; i < count; i++)
            jobs[i]->outcome = MRS_STORED;
    }
    qsort(jobs, count, sizeof *jobs, compare_ids);
    mark_written(result, jobs, count);
    df_pg_result_free(result);
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->outcome != MRS_STORED)
            batch->missed[missed++] = jobs[i];
    }
    return missed == 0 ? DF_OK : answer_repeated(batch, batch->missed, missed, deadline_ms, err);
}

static enum df_code insert_messages(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                                    int64_t deadline_ms, struct df_error *err)
{
    bool judged = jobs[0]->judgement.analyzer != NULL;
    struct pg_result *result = NULL;

    if (can_go_fast(batch, jobs, count))
        return insert_fast(batch, jobs, count, deadline_ms, err);
    begin_all(batch->params, message_types, 6);
    begin_all(batch->params + 6, judgement_types, 8);
    for (size_t i = 0; i < count; i++) {
        add_message(batch->params, jobs[i]);
        if (judged)
            add_judgement(batch->params + 6, &jobs[i]->judgement);
    }
    enum df_code rc = run(batch, judged ? "store_judged" : "store_message", judged ? 14 : 6,
                          deadline_ms, &result, err);
    if (rc != DF_OK)
        return rc;
    qsort(jobs, count, sizeof *jobs, compare_ids);
    mark_written(result, jobs, count);
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->outcome != MRS_STORED && !refuse_by_session(result, jobs[i]))
            batch->missed[missed++] = jobs[i]; /* still in order of their ids */
    }
    df_pg_result_free(result);
    if (missed > 0)
        rc = answer_repeated(batch, batch->missed, missed, deadline_ms, err);
    return rc;
}

static enum df_code add_verdicts(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                                 int64_t deadline_ms, struct df_error *err)
{
    struct pg_result *result = NULL;

    df_pg_array_begin(&batch->params[0], DF_PG_UUID);
    begin_all(batch->params + 1, judgement_types, 8);
    for (size_t i = 0; i < count; i++) {
        df_pg_array_add_uuid(&batch->params[0], &jobs[i]->id);
        add_judgement(batch->params + 1, &jobs[i]->judgement);
    }
    const char *statement = jobs[0]->kind == MRS_JOB_REPLACE ? "replace_verdict" : "add_verdict";
    enum df_code rc = run(batch, statement, 9, deadline_ms, &result, err);
    if (rc != DF_OK)
        return rc;
    qsort(jobs, count, sizeof *jobs, compare_ids);
    mark_written(result, jobs, count);
    df_pg_result_free(result);
    size_t missed = 0;
    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->outcome != MRS_STORED)
            batch->missed[missed++] = jobs[i]; /* somebody else's verdict stands */
    }
    if (missed > 0)
        rc = answer_repeated(batch, batch->missed, missed, deadline_ms, err);
    return rc;
}

/* A job that stands alone and is refused: without its sale it may pass, because the message and its
 * verdict must not be lost for a sale that the database does not want. */
static enum df_code settle_alone(struct mrs_batch *batch, struct mrs_job **job, int64_t deadline_ms,
                                 struct df_error *err)
{
    struct mrs_job *only = job[0];
    if (only->judgement.capture) {
        df_log(DF_LOG_ERROR, "sale_refused", "sqlstate=%s", err->sqlstate);
        only->judgement.capture = false;
        return mrs_batch_commit(batch, job, 1, deadline_ms, err);
    }
    df_log(DF_LOG_ERROR, "row_refused", "sqlstate=%s", err->sqlstate);
    mrs_count(MRS_COUNT_ROWS_REFUSED, 1);
    only->error = *err;
    df_error_set(&only->error, DF_EUNAVAILABLE, "The message could not be stored");
    return DF_OK;
}

/* Lines that the owner of their session wants left alone are stored and judged, never captured. */
static enum df_code spare_ignored(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                                  int64_t deadline_ms, struct df_error *err)
{
    size_t sessions = 0;

    for (size_t i = 0; i < count; i++) {
        if (jobs[i]->judgement.capture)
            batch->sessions[sessions++] = jobs[i]->message->session;
    }
    if (sessions == 0)
        return DF_OK;
    enum df_code rc =
        mrs_ignored_learn(batch->ignored, batch->sessions, sessions, deadline_ms, err);
    if (rc != DF_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        const struct df_message *m = jobs[i]->message;
        if (jobs[i]->judgement.capture &&
            mrs_ignored_match(batch->ignored, &m->session, m->message, m->message_len)) {
            jobs[i]->judgement.capture = false;
            mrs_count(MRS_COUNT_IGNORED, 1);
        }
    }
    return DF_OK;
}

enum df_code mrs_batch_commit(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                              int64_t deadline_ms, struct df_error *err)
{
    if (spare_ignored(batch, jobs, count, deadline_ms, err) != DF_OK)
        return DF_EUNAVAILABLE;
    enum df_code rc = DF_EBUSY;

    /* A deadlock, or a parent row that went away: once more; the fast way may come before. */
    for (int attempt = 0; attempt < 3 && rc == DF_EBUSY; attempt++) {
        rc = jobs[0]->kind == MRS_JOB_MESSAGE
                 ? insert_messages(batch, jobs, count, deadline_ms, err)
                 : add_verdicts(batch, jobs, count, deadline_ms, err);
    }
    if (rc == DF_OK) {
        mrs_count(MRS_COUNT_BATCHES, 1);
        mrs_count(MRS_COUNT_BATCH_ROWS, count);
        return DF_OK;
    }
    if (rc == DF_EUNAVAILABLE || rc == DF_ENOMEM)
        return DF_EUNAVAILABLE;
    if (count == 1)
        return settle_alone(batch, jobs, deadline_ms, err);
    mrs_count(MRS_COUNT_BATCH_SPLITS, 1);
    rc = mrs_batch_commit(batch, jobs, count / 2, deadline_ms, err);
    if (rc == DF_OK)
        rc = mrs_batch_commit(batch, jobs + count / 2, count - count / 2, deadline_ms, err);
    return rc;
}
