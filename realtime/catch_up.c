/* realtime/catch_up.c - finds where a client is, then resolves what follows like live changes. */
#include "realtime/catch_up.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "realtime/join.h"
#include "realtime/plan.h"
#include "realtime/resolve.h"
#include "realtime/stretch.h"

#define PAGE_ROWS "1000" /* of which RT_BATCH_ROWS are resolved at once */

const struct rt_db_statement rt_catch_up_statements[] = {
    {"position", "select place, seen, xid, seq, had, made_at, key, reason"
                 " from dealflow.realtime_position($1, $2, $3::text[], $4::uuid, $5)"},
    {"missed",
     "select cut, seq, stream_session_id, table_schema, table_name, op, at, age_ms, ids,"
     " keys, old_rows from dealflow.realtime_missed($1, $2, $3::text[], $4::uuid,"
     " $5::pg_snapshot, $6::xid8, $7::bigint, $8::int, $9::pg_snapshot, $10::pg_snapshot[],"
     " $11::bigint, $12::int, $13::bigint, " PAGE_ROWS ")"},
    {"made",
     "select made_at, key, stream_session_id, table_schema, table_name, op, at, age_ms, ids,"
     " keys, old_rows from dealflow.realtime_made($1, $2, $3::uuid, $4::timestamptz, $5::jsonb,"
     " $6::pg_snapshot, $7::pg_snapshot, $8::bigint, " PAGE_ROWS ")"},
};
const size_t rt_catch_up_statement_count =
    sizeof rt_catch_up_statements / sizeof rt_catch_up_statements[0];

/* Columns of position. */
enum { PLACE, SEEN, XID, SEQ, HAD, MADE_AT, KEY, REASON, POSITION_COLUMNS };

struct rt_catch_up {
    struct rt_changes *changes;
    struct rt_question *question;
    struct rt_index *index;           /* of the one interest */
    struct rt_place until;            /* last is NULL before it is known */
    char *position[POSITION_COLUMNS]; /* heap; place is NULL before it is known */
    struct rt_stretch stretch;        /* of the change log */
    int64_t row_count;
    char *session; /* borrowed from the question, NULL when any */
    char ops[32];  /* {INSERT,UPDATE} */
};

/* --- making one ----------------------------------------------------------------------------------
 */

static bool copy_name(char *out, size_t size, const char *name)
{
    size_t len = strlen(name);
    if (len >= size)
        return false;
    memcpy(out, name, len + 1);
    return true;
}

/* The resolver works by a plan; this one has a single interest. */
static struct rt_plan *plan_of(const struct rt_question *question)
{
    struct rt_plan *plan = calloc(1, sizeof *plan);

    if (plan == NULL)
        return NULL;
    plan->interest = calloc(1, sizeof *plan->interest);
    plan->filter = calloc(1, sizeof *plan->filter);
    plan->claims = calloc(1, sizeof *plan->claims);
    if (plan->interest == NULL || plan->filter == NULL || plan->claims == NULL)
        goto failed;
    plan->interest_count = plan->filter_count = plan->claims_count = 1;
    plan->filter[0] = strdup(question->filter);
    plan->claims[0] = strdup(question->claims);
    struct rt_interest *interest = &plan->interest[0];
    interest->events = question->events;
    if (plan->filter[0] == NULL || plan->claims[0] == NULL ||
        !copy_name(interest->schema, sizeof interest->schema, question->schema) ||
        !copy_name(interest->table, sizeof interest->table, question->table) ||
        !copy_name(interest->session, sizeof interest->session, question->session))
        goto failed;
    return plan;
failed:
    rt_plan_free(plan);
    return NULL;
}

struct rt_catch_up *rt_catch_up_new(struct rt_changes *changes, struct rt_question *question)
{
    struct rt_catch_up *catch_up = calloc(1, sizeof *catch_up);
    struct rt_plan *plan = plan_of(question);

    if (catch_up != NULL && plan != NULL)
        catch_up->index = rt_index_new(plan, NULL);
    else
        rt_plan_free(plan);
    if (catch_up == NULL || catch_up->index == NULL) {
        free(catch_up);
        return NULL;
    }
    catch_up->changes = changes;
    catch_up->question = question;
    catch_up->session = question->session[0] == '\0' ? NULL : question->session;
    rt_stretch_init(&catch_up->stretch);
    (void)snprintf(catch_up->ops, sizeof catch_up->ops, "{%s%s%s",
                   (question->events & RT_INSERT) != 0 ? "INSERT," : "",
                   (question->events & RT_UPDATE) != 0 ? "UPDATE," : "",
                   (question->events & RT_DELETE) != 0 ? "DELETE," : "");
    size_t len = strlen(catch_up->ops);
    catch_up->ops[len > 1 ? len - 1 : len] = '}'; /* over the last comma */
    return catch_up;
}

void rt_catch_up_free(struct rt_catch_up *catch_up)
{
    if (catch_up == NULL)
        return;
    for (size_t i = 0; i < POSITION_COLUMNS; i++)
        free(catch_up->position[i]);
    rt_stretch_release(&catch_up->stretch);
    rt_place_release(&catch_up->until);
    rt_index_free(catch_up->index);
    rt_question_free(catch_up->question);
    free(catch_up);
}

uint64_t rt_catch_up_token(const struct rt_catch_up *catch_up)
{
    return catch_up->question->token;
}

/* --- one page ------------------------------------------------------------------------------------
 */

/* Where live delivery begins: the first plan of at least that version that came into force. */
static bool find_until(struct rt_catch_up *catch_up)
{
    struct rt_changes *changes = catch_up->changes;
    const struct rt_milestone *best = NULL;
    bool is_found = false;

    (void)pthread_mutex_lock(&changes->lock);
    for (size_t i = 0; i < RT_MILESTONES; i++) {
        const struct rt_milestone *at = &changes->milestone[i];
        if (at->place.last != NULL && at->version >= catch_up->question->until_version &&
            (best == NULL || at->version < best->version))
            best = at;
    }
    if (best != NULL)
        is_found = rt_place_copy(&catch_up->until, &best->place);
    (void)pthread_mutex_unlock(&changes->lock);
    return is_found;
}

static bool set_position(struct rt_catch_up *catch_up, int column, const char *text)
{
    char *copy = strdup(text);

    free(catch_up->position[column]);
    catch_up->position[column] = copy;
    return copy != NULL;
}

static enum df_code ask_position(struct rt_catch_up *catch_up, struct rt_db *db,
                                 struct df_error *err)
{
    const struct rt_question *question = catch_up->question;
    const char *const params[] = {question->schema, question->table, catch_up->ops,
                                  catch_up->session, question->x_after};
    PGresult *result = NULL;
    enum df_code rc = rt_db_execute(db, "position", 5, params, &result, err);

    if (rc != DF_OK)
        return rc;
    for (int i = POSITION_COLUMNS - 1; i >= 0; i--) /* place last: it tells that all is there */
        if (!PQgetisnull(result, 0, i) && !set_position(catch_up, i, PQgetvalue(result, 0, i)))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
    PQclear(result);
    return rc;
}

static bool is_from_log(const struct rt_catch_up *catch_up)
{
    return strcmp(catch_up->position[PLACE], "log") == 0 ||
           strcmp(catch_up->position[PLACE], "time") == 0;
}

static enum df_code find_position(struct rt_catch_up *catch_up, struct rt_db *db,
                                  struct df_error *err)
{
    struct rt_changes *changes = catch_up->changes;
    const struct rt_spot *spot = &catch_up->question->spot;
    char *const *position = catch_up->position;
    char seq[24], had[24];

    (void)pthread_mutex_lock(&changes->lock);
    bool is_at_spot = rt_stretch_begin_at_spot(&catch_up->stretch, &changes->cuts, spot);
    (void)pthread_mutex_unlock(&changes->lock);
    if (is_at_spot) { /* x_after need not be looked for */
        (void)snprintf(seq, sizeof seq, "%lld", (long long)spot->seq);
        (void)snprintf(had, sizeof had, "%u", spot->n);
        return set_position(catch_up, SEQ, seq) && set_position(catch_up, HAD, had) &&
                       set_position(catch_up, PLACE, "log")
                   ? DF_OK
                   : df_error_set(err, DF_ENOMEM, "out of memory");
    }
    enum df_code rc = ask_position(catch_up, db, err);
    if (rc != DF_OK || !is_from_log(catch_up))
        return rc;
    (void)pthread_mutex_lock(&changes->lock);
    bool is_exact = strcmp(position[PLACE], "log") == 0 &&
                    rt_stretch_begin_at_entry(&catch_up->stretch, &changes->cuts,
                                              strtoull(position[XID], NULL, 10),
                                              strtoll(position[SEQ], NULL, 10));
    if (!is_exact)
        rt_stretch_begin(&catch_up->stretch, &changes->cuts);
    (void)pthread_mutex_unlock(&changes->lock);
    if (is_exact) { /* what its entry saw is known better */
        free(catch_up->position[SEEN]);
        catch_up->position[SEEN] = NULL;
    }
    return DF_OK;
}

static enum df_code read_page(struct rt_catch_up *catch_up, struct rt_db *db, PGresult **out,
                              struct df_error *err)
{
    const struct rt_question *question = catch_up->question;
    const struct rt_place *until = &catch_up->until;
    const struct rt_stretch *stretch = &catch_up->stretch;
    char *const *position = catch_up->position;
    char seq[24];

    if (is_from_log(catch_up)) {
        const char *const params[] = {
            question->schema,   question->table,   catch_up->ops,
            catch_up->session,  position[SEEN],    position[XID] == NULL ? "0" : position[XID],
            position[SEQ],      position[HAD],     stretch->last,
            stretch->cuts.data, stretch->upto_seq, stretch->after_cut,
            stretch->after_seq};
        return rt_db_execute(db, "missed", 13, params, out, err);
    }
    (void)snprintf(seq, sizeof seq, "%lld", (long long)until->seq);
    const char *const params[] = {question->schema,
                                  question->table,
                                  catch_up->session,
                                  position[MADE_AT],
                                  position[KEY],
                                  until->last,
                                  until->upto[0] == '\0' ? until->last : until->upto,
                                  seq};
    return rt_db_execute(db, "made", 8, params, out, err);
}

static bool push_entry(struct rt_catch_up *catch_up, const struct rt_entry *entry,
                       struct rt_row_list *rows)
{
    struct rt_changes_event *event = NULL;

    if (rows->count == 0)
        return true;
    event = rt_event_of_entry(RT_EVENT_CATCH_UP, entry, rows->at, rows->count);
    if (event == NULL)
        return false;
    for (size_t i = 0; i < rows->count; i++)
        rows->at[i].filter_count = rows->at[i].claims_count = 0; /* ids of a plan nobody knows */
    catch_up->row_count += (int64_t)rows->count;
    *rows = (struct rt_row_list){0};
    event->token = catch_up->question->token;
    event->is_ok = true;
    return rt_event_push(catch_up->changes, event);
}

/* Entries of one operation and with room for their rows, resolved and sent. */
static enum df_code send_batch(struct rt_catch_up *catch_up, struct rt_resolver *resolver,
                               struct rt_entry **entries, size_t count, struct df_error *err)
{
    struct rt_row_list *rows = calloc(count, sizeof *rows);

    if (rows == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    enum df_code rc = rt_resolve(resolver, entries, count, rows, err);
    for (size_t i = 0; i < count; i++) {
        if (rc == DF_OK && !push_entry(catch_up, entries[i], &rows[i]))
            rc = df_error_set(err, DF_EUNAVAILABLE, "out of memory, or stopping");
        rt_row_list_release(&rows[i]);
    }
    free(rows);
    return rc;
}

/* Remembers how far the client is, so that a repetition after a failure repeats nothing. */
static bool advance(struct rt_catch_up *catch_up, const PGresult *result, size_t sent)
{
    int last = (int)sent - 1;

    if (is_from_log(catch_up)) {
        struct rt_stretch *stretch = &catch_up->stretch;
        (void)snprintf(stretch->after_cut, sizeof stretch->after_cut, "%s",
                       PQgetvalue(result, last, 0));
        (void)snprintf(stretch->after_seq, sizeof stretch->after_seq, "%s",
                       PQgetvalue(result, last, 1));
        return true;
    }
    char *made_at = strdup(PQgetvalue(result, last, 0)), *key = strdup(PQgetvalue(result, last, 1));
    if (made_at == NULL || key == NULL) {
        free(made_at);
        free(key);
        return false;
    }
    free(catch_up->position[MADE_AT]);
    free(catch_up->position[KEY]);
    catch_up->position[MADE_AT] = made_at;
    catch_up->position[KEY] = key;
    return true;
}

static void on_failed(void *arg, bool is_filter, uint32_t id, const char *why)
{
    struct rt_catch_up *catch_up = arg;
    char *reason = strdup(why);

    (void)is_filter;
    (void)id;
    free(catch_up->position[REASON]);
    catch_up->position[REASON] = reason;
}

static void on_query(void *arg, int64_t us)
{
    rt_count_query(((struct rt_catch_up *)arg)->changes, us);
}

static enum df_code send_page(struct rt_catch_up *catch_up, struct rt_db *db,
                              struct rt_entry *entries, size_t total, const PGresult *result,
                              struct df_error *err)
{
    struct rt_resolver resolver = {.db = db,
                                   .index = catch_up->index,
                                   .on_failed = on_failed,
                                   .on_query = on_query,
                                   .arg = catch_up};
    struct rt_entry **batch = calloc(total + 1, sizeof *batch);
    enum df_code rc = DF_OK;

    if (batch == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t first = 0; rc == DF_OK && first < total;) {
        size_t end = first, row_count = 0;
        while (end < total &&
               (end == first || row_count + entries[end].row_count <= RT_BATCH_ROWS) &&
               strcmp(entries[end].op, entries[first].op) == 0 &&
               (entries[end].ids == NULL) == (entries[first].ids == NULL)) {
            row_count += entries[end].row_count;
            batch[end - first] = &entries[end];
            end++;
        }
        rc = send_batch(catch_up, &resolver, batch, end - first, err);
        first = end;
        if (rc == DF_OK && !advance(catch_up, result, first))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
    }
    free(batch);
    return rc;
}

static enum df_code next_stretch(struct rt_catch_up *catch_up, bool *is_over, struct df_error *err)
{
    struct rt_changes *changes = catch_up->changes;

    (void)pthread_mutex_lock(&changes->lock);
    enum df_code rc =
        rt_stretch_next(&catch_up->stretch, &changes->cuts, &catch_up->until, is_over, err);
    (void)pthread_mutex_unlock(&changes->lock);
    return rc;
}

/* Where in the order of delivery an entry of the page is. */
static void place_entry(const struct rt_catch_up *catch_up, struct rt_entry *entry,
                        const PGresult *result, size_t row)
{
    const struct rt_stretch *stretch = &catch_up->stretch;

    if (!is_from_log(catch_up))
        return;
    if (stretch->is_known)
        entry->cut = stretch->first - 1 + strtoull(PQgetvalue(result, (int)row, 0), NULL, 10);
    if (entry->seq == strtoll(catch_up->position[SEQ], NULL, 10))
        entry->had = (uint32_t)strtoul(catch_up->position[HAD], NULL, 10);
}

static enum df_code run_page(struct rt_catch_up *catch_up, struct rt_db *db, bool *is_more,
                             struct df_error *err)
{
    PGresult *result = NULL;
    enum df_code rc = DF_OK;
    bool is_over = false;

    if (is_from_log(catch_up) && catch_up->stretch.cuts.len == 0)
        rc = next_stretch(catch_up, &is_over, err);
    *is_more = !is_over;
    if (rc != DF_OK || is_over)
        return rc;
    rc = read_page(catch_up, db, &result, err);
    if (rc != DF_OK)
        return rc;
    size_t total = (size_t)PQntuples(result);
    struct rt_entry *entries = calloc(total + 1, sizeof *entries);
    if (entries == NULL)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t i = 0; rc == DF_OK && i < total; i++) {
        struct rt_entry *entry = &entries[i];
        rt_entry_read(entry, result, i);
        place_entry(catch_up, entry, result, i);
        if (!rt_index_match(catch_up->index, entry->schema, entry->table, rt_event_of(entry->op),
                            entry->session, &entry->matches))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
    }
    if (total == 0 && is_from_log(catch_up))
        df_buf_reset(&catch_up->stretch.cuts); /* the next one, please */
    else
        *is_more = total > 0;
    if (rc == DF_OK)
        rc = send_page(catch_up, db, entries, total, result, err);
    for (size_t i = 0; entries != NULL && i < total; i++)
        rt_matches_release(&entries[i].matches);
    free(entries);
    PQclear(result);
    return rc;
}

/* --- the end -------------------------------------------------------------------------------------
 */

static enum rt_catch_up_state finish(struct rt_catch_up *catch_up, const char *reason)
{
    struct rt_changes_event *event = rt_event_new(RT_EVENT_CATCH_UP);

    if (event == NULL)
        return RT_CATCH_UP_GOES_ON; /* or its asker would wait for ever */
    (void)snprintf(event->schema, sizeof event->schema, "%s", catch_up->question->schema);
    (void)snprintf(event->table, sizeof event->table, "%s", catch_up->question->table);
    event->token = catch_up->question->token;
    event->is_last = true;
    event->is_ok = reason == NULL;
    (void)snprintf(event->error, sizeof event->error, "%s", reason == NULL ? "" : reason);
    (void)rt_event_push(catch_up->changes, event);
    return RT_CATCH_UP_DONE;
}

static enum df_code step(struct rt_catch_up *catch_up, struct rt_db *db,
                         enum rt_catch_up_state *state, struct df_error *err)
{
    const struct rt_question *question = catch_up->question;
    int64_t rows_max = catch_up->changes->catch_up_max_rows;
    bool is_more = false;
    char text[80];

    *state = RT_CATCH_UP_GOES_ON;
    if (question->x_after[0] == '\0') {
        *state = finish(catch_up, NULL);
        return DF_OK;
    }
    if (strcmp(question->schema, "*") == 0 || strcmp(question->table, "*") == 0) {
        *state = finish(catch_up, "x_after needs both a schema and a table");
        return DF_OK;
    }
    if (catch_up->until.last == NULL && !find_until(catch_up)) {
        *state = RT_CATCH_UP_WAITS;
        return DF_OK;
    }
    if (catch_up->position[PLACE] == NULL) {
        enum df_code rc = find_position(catch_up, db, err);
        if (rc != DF_OK)
            return rc;
    }
    if (strcmp(catch_up->position[PLACE], "error") == 0) {
        *state = finish(catch_up, catch_up->position[REASON]);
        return DF_OK;
    }
    enum df_code rc = run_page(catch_up, db, &is_more, err);
    if (rc != DF_OK)
        return rc;
    if (is_more && catch_up->row_count > rows_max) {
        (void)snprintf(text, sizeof text, "more than %lld rows were missed", (long long)rows_max);
        *state = finish(catch_up, text);
    } else if (!is_more) {
        *state = finish(catch_up, catch_up->position[REASON]);
    }
    return DF_OK;
}

enum df_code rt_catch_up_step(struct rt_catch_up *catch_up, struct rt_db *db,
                              enum rt_catch_up_state *state, struct df_error *err)
{
    enum df_code rc = step(catch_up, db, state, err);

    if (rc == DF_EUNAVAILABLE || rc == DF_EBUSY || rc == DF_ENOMEM || rc == DF_OK)
        return rc;
    /* A position or page that Postgres cannot find, or not in time. */
    *state = finish(catch_up, err->msg);
    return DF_OK;
}
