/* realtime/reader.c - the reader thread: woken by NOTIFY, reads what became visible in the change
 * log since its last snapshot, and tells the loop which rows of it are wanted. After a lost
 * connection it goes on with the same snapshot: what was committed meanwhile comes then, once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>
#include <poll.h>

#include "realtime/changes_private.h"
#include "realtime/plan.h"
#include "realtime/resolve.h"
#include "realtime/window.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { WINDOW_ROWS = 400 };
/* Entries in a page. Each page looks at all that is unread, so that many are read in large ones. */
enum { PAGE_ENTRIES = 1000, LARGE_PAGE_ENTRIES = 8000 };
#define POLL_MS 5000 /* a notification that never came costs no more than this */

static const struct rt_db_statement own_statements[] = {
    {"log",
     "select snapshot, seq, stream_session_id, table_schema, table_name, op, at, age_ms, ids,"
     " keys, old_rows from dealflow.realtime_log($1::pg_snapshot, $2::pg_snapshot, $3::bigint,"
     " $4::int)"},
    {"message", "select dealflow.realtime_message($1::bigint)"},
};
enum { OWN_STATEMENTS = sizeof own_statements / sizeof own_statements[0], STATEMENTS_MAX = 8 };

struct reader {
    struct rt_changes *changes;
    struct rt_db listen, work;
    struct rt_db_statement statement[STATEMENTS_MAX];
    struct rt_resolver resolver;
    struct rt_index *index; /* the plan in force; NULL before the first */
    struct rt_place place;  /* read up to here; last is NULL while nobody wants anything */
    bool is_due;            /* there may be something to read */
    bool is_up, was_up;
};

/* --- connections ---------------------------------------------------------------------------------
 */

static void tell_state(struct reader *reader, bool is_up)
{
    struct rt_changes *changes = reader->changes;
    struct rt_changes_event *event = NULL;

    if (reader->is_up == is_up)
        return;
    reader->is_up = is_up;
    (void)pthread_mutex_lock(&changes->lock);
    changes->stats.is_up = is_up;
    changes->stats.reconnects += is_up && reader->was_up ? 1 : 0;
    (void)pthread_mutex_unlock(&changes->lock);
    reader->was_up |= is_up;
    event = rt_event_new(RT_EVENT_STATE);
    if (event == NULL)
        return;
    event->is_up = is_up;
    (void)rt_event_push(changes, event);
}

static void disconnect(struct reader *reader)
{
    rt_db_disconnect(&reader->listen);
    rt_db_disconnect(&reader->work);
    tell_state(reader, false);
}

/* Listens before it reads: what is committed in between is read or announced, or both. */
static enum df_code connect_both(struct reader *reader, struct df_error *err)
{
    enum df_code rc = rt_db_connect(&reader->listen, err);
    if (rc == DF_OK)
        rc = rt_db_run(&reader->listen, "listen dealflow", err);
    if (rc == DF_OK)
        rc = rt_db_run(&reader->listen, "listen dealflow_realtime", err);
    if (rc == DF_OK)
        rc = rt_db_connect(&reader->work, err);
    if (rc != DF_OK) {
        rt_db_disconnect(&reader->listen);
        return DF_EUNAVAILABLE;
    }
    reader->is_due = true;
    tell_state(reader, true);
    return DF_OK;
}

/* --- plans ---------------------------------------------------------------------------------------
 */

static void record_milestone(struct reader *reader, uint64_t version)
{
    struct rt_changes *changes = reader->changes;
    struct rt_place place;

    if (!rt_place_copy(&place, &reader->place))
        return; /* a catch-up for it waits for the next plan */
    (void)pthread_mutex_lock(&changes->lock);
    struct rt_milestone *milestone =
        &changes->milestone[changes->milestone_count++ % RT_MILESTONES];
    struct rt_place old = milestone->place;
    *milestone = (struct rt_milestone){.version = version, .place = place};
    (void)pthread_mutex_unlock(&changes->lock);
    rt_place_release(&old);
    rt_fd_raise(changes->control_fd);
}

/* The number of a cut that was added; 0: no memory. */
static uint64_t add_cut(struct reader *reader, const char *snapshot, uint32_t entries)
{
    struct rt_changes *changes = reader->changes;

    (void)pthread_mutex_lock(&changes->lock);
    uint64_t number = rt_cuts_add(&changes->cuts, snapshot, entries);
    (void)pthread_mutex_unlock(&changes->lock);
    return number;
}

/* Where reading begins: now. What was committed since reading ended is a cut like any other. */
static enum df_code find_place(struct reader *reader, struct df_error *err)
{
    const char *const params[] = {NULL, NULL, "0", "1"};
    PGresult *result = NULL;
    enum df_code rc = rt_db_execute(&reader->work, "log", 4, params, &result, err);

    if (rc != DF_OK)
        return rc;
    reader->place = (struct rt_place){.last = strdup(PQgetvalue(result, 0, 0)), .upto = strdup("")};
    PQclear(result);
    if (reader->place.last != NULL)
        reader->place.cut = add_cut(reader, reader->place.last, RT_CUT_UNKNOWN);
    if (reader->place.cut == 0 || reader->place.upto == NULL) {
        rt_place_release(&reader->place);
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    return DF_OK;
}

/* Puts a published plan into force between two entries of the log. */
static enum df_code take_plan(struct reader *reader, struct df_error *err)
{
    struct rt_changes *changes = reader->changes;

    (void)pthread_mutex_lock(&changes->lock);
    bool has_plan = changes->plan != NULL;
    (void)pthread_mutex_unlock(&changes->lock);
    if (!has_plan)
        return DF_OK;
    if (reader->place.last == NULL) {
        enum df_code rc = find_place(reader, err);
        if (rc != DF_OK)
            return rc; /* the plan waits where it is */
    }
    (void)pthread_mutex_lock(&changes->lock);
    struct rt_plan *plan = changes->plan;
    changes->plan = NULL;
    (void)pthread_mutex_unlock(&changes->lock);
    uint64_t version = plan->version;
    struct rt_index *index = rt_index_new(plan, reader->index);
    struct rt_changes_event *event = rt_event_new(RT_EVENT_PLAN);
    if (index == NULL || event == NULL) {
        rt_index_free(index);
        rt_changes_event_free(event);
        /* Its version never comes into force; whoever waits for it hears of the next. */
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    rt_index_free(reader->index);
    reader->index = index;
    reader->resolver.index = index;
    record_milestone(reader, version);
    event->plan_version = version;
    (void)rt_event_push(changes, event);
    if (index->plan->interest_count == 0)
        rt_place_release(&reader->place); /* nothing to read until somebody comes */
    return DF_OK;
}

/* --- entries -------------------------------------------------------------------------------------
 */

static void on_failed(void *arg, bool is_filter, uint32_t id, const char *why)
{
    struct reader *reader = arg;
    struct rt_changes_event *event = rt_event_new(RT_EVENT_FAILED);
    char quoted[300];

    df_log(DF_LOG_WARN, "subscription_failed", "what=%s reason=%s", is_filter ? "filter" : "policy",
           df_log_quote(quoted, sizeof quoted, why));
    if (event == NULL)
        return;
    event->is_filter = is_filter;
    event->failed_id = id;
    event->plan_version = reader->index->plan->version;
    (void)snprintf(event->error, sizeof event->error, "%s", why);
    (void)rt_event_push(reader->changes, event);
}

static void on_query(void *arg, int64_t us)
{
    struct reader *reader = arg;
    rt_count_query(reader->changes, us);
}

/* Goes through a page by windows. Between them a new plan may come into force, and a failure
 * repeats only the window it happened in. */
static enum df_code run_page(struct reader *reader, const PGresult *result, struct df_error *err)
{
    size_t total = rt_entry_count(result), first = 0;
    struct rt_entry *entries = calloc(total + 1, sizeof *entries);
    enum df_code rc = DF_OK;

    if (entries == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t i = 0; i < total; i++) {
        rt_entry_read(&entries[i], result, i);
        entries[i].cut = reader->place.cut + 1;
    }
    while (rc == DF_OK && first < total && reader->place.last != NULL) {
        size_t end = first, row_count = 0;
        while (end < total && (end == first || row_count + entries[end].row_count <= WINDOW_ROWS))
            row_count += entries[end++].row_count;
        rc = rt_window_run(reader->changes, &reader->resolver, entries + first, end - first, err);
        if (rc == DF_OK) {
            reader->place.seq = entries[end - 1].seq;
            first = end;
            rc = rt_is_stopping(reader->changes) ? DF_EUNAVAILABLE : take_plan(reader, err);
        }
    }
    free(entries);
    return rc;
}

/* Asks for a page. A very long backlog may take longer than other statements are given. */
static enum df_code ask_page(struct reader *reader, const char *const *params, PGresult **out,
                             struct df_error *err)
{
    struct df_error ignored = {0};
    enum df_code rc = rt_db_execute(&reader->work, "log", 4, params, out, err);

    if (rc != DF_ETIMEOUT)
        return rc;
    rc = rt_db_run(&reader->work, "set statement_timeout = 25000", err);
    if (rc != DF_OK)
        return rc;
    rc = rt_db_execute(&reader->work, "log", 4, params, out, err);
    enum df_code back =
        rt_db_run(&reader->work, "set statement_timeout = 3000", rc == DF_OK ? err : &ignored);
    if (rc == DF_OK && back != DF_OK) {
        PQclear(*out);
        return back;
    }
    return rc;
}

/* A page was found; the first one says up to where this read goes. */
static enum df_code note_page(struct reader *reader, const PGresult *result, struct df_error *err)
{
    struct rt_changes *changes = reader->changes;
    struct rt_place *place = &reader->place;
    const char *snapshot = PQgetvalue(result, 0, 0);
    size_t found = rt_entry_count(result);

    if (place->upto[0] != '\0') {
        (void)pthread_mutex_lock(&changes->lock);
        rt_cuts_add_entries(&changes->cuts, (uint32_t)found);
        (void)pthread_mutex_unlock(&changes->lock);
        return DF_OK;
    }
    char *upto = strdup(snapshot);
    if (upto == NULL || (found > 0 && add_cut(reader, snapshot, (uint32_t)found) == 0)) {
        free(upto);
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    free(place->upto);
    place->upto = upto;
    place->is_empty = found == 0;
    return DF_OK;
}

/* The read is complete: the next one begins where it ended. */
static enum df_code end_read(struct reader *reader, struct df_error *err)
{
    struct rt_changes *changes = reader->changes;
    struct rt_place *place = &reader->place;
    char *none = strdup("");

    if (none == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    free(place->last);
    place->last = place->upto;
    place->upto = none;
    place->seq = 0;
    if (!place->is_empty) {
        place->cut++;
        return DF_OK;
    }
    (void)pthread_mutex_lock(&changes->lock);
    rt_cuts_replace(&changes->cuts, place->last);
    (void)pthread_mutex_unlock(&changes->lock);
    return DF_OK;
}

/* Reads one page; *is_more when there is another one. */
static enum df_code read_page(struct reader *reader, bool *is_more, struct df_error *err)
{
    struct rt_place *place = &reader->place;
    bool is_first = place->upto[0] == '\0';
    size_t limit = is_first ? PAGE_ENTRIES : LARGE_PAGE_ENTRIES;
    char seq[24], limit_text[24];
    PGresult *result = NULL;

    (void)snprintf(seq, sizeof seq, "%lld", (long long)place->seq);
    (void)snprintf(limit_text, sizeof limit_text, "%zu", limit);
    const char *const params[] = {place->last, is_first ? NULL : place->upto, seq, limit_text};
    enum df_code rc = ask_page(reader, params, &result, err);
    if (rc != DF_OK)
        return rc;
    *is_more = rt_entry_count(result) == limit;
    rc = note_page(reader, result, err);
    if (rc == DF_OK)
        rc = run_page(reader, result, err);
    PQclear(result);
    return rc == DF_OK && !*is_more && place->last != NULL ? end_read(reader, err) : rc;
}

static enum df_code read_on(struct reader *reader, struct df_error *err)
{
    bool is_more = true;
    enum df_code rc = take_plan(reader, err);

    while (rc == DF_OK && is_more && reader->place.last != NULL)
        rc = read_page(reader, &is_more, err);
    return rc;
}

/* --- messages of other gateways ------------------------------------------------------------------
 */

/* One that is too large for a notification is fetched by its id. */
static char *fetch_message(struct reader *reader, const char *id)
{
    struct df_error err = {0};
    PGresult *result = NULL;
    char *text = NULL;

    if (rt_db_execute(&reader->work, "message", 1, &id, &result, &err) != DF_OK)
        return NULL; /* at most once */
    if (!PQgetisnull(result, 0, 0))
        text = strdup(PQgetvalue(result, 0, 0));
    PQclear(result);
    return text;
}

/* "<gateway> <n> <text>" or "<gateway> #<id>" */
static void on_message(struct reader *reader, const char *payload)
{
    struct rt_changes *changes = reader->changes;
    const char *rest = strchr(payload, ' ');
    char *text = NULL;

    if (rest == NULL || ((size_t)(rest - payload) == strlen(changes->gateway) &&
                         strncmp(payload, changes->gateway, strlen(changes->gateway)) == 0))
        return;
    rest++;
    if (*rest == '#') {
        text = fetch_message(reader, rest + 1);
    } else {
        rest = strchr(rest, ' ');
        text = rest == NULL ? NULL : strdup(rest + 1);
    }
    struct rt_changes_event *event = text == NULL ? NULL : rt_event_new(RT_EVENT_BROADCAST);
    if (event == NULL) {
        free(text);
        return;
    }
    event->text = text;
    (void)rt_event_push(changes, event);
}

static void on_notify(void *arg, const char *channel, const char *payload)
{
    struct reader *reader = arg;

    if (strcmp(channel, "dealflow") == 0)
        reader->is_due = true;
    else
        on_message(reader, payload);
}

/* --- the thread ----------------------------------------------------------------------------------
 */

static void init_reader(struct reader *reader, struct rt_changes *changes)
{
    memcpy(reader->statement, own_statements, sizeof own_statements);
    memcpy(reader->statement + OWN_STATEMENTS, rt_resolve_statements,
           rt_resolve_statement_count * sizeof rt_resolve_statements[0]);
    reader->changes = changes;
    reader->listen = (struct rt_db){
        .url = changes->url, .app_name = "dealflow-realtime listen", .stop_fd = changes->stop_fd};
    reader->work = (struct rt_db){
        .url = changes->url,
        .app_name = "dealflow-realtime",
        .stop_fd = changes->stop_fd,
        .statements = reader->statement,
        .statement_count = OWN_STATEMENTS + rt_resolve_statement_count,
    };
    reader->resolver = (struct rt_resolver){
        .db = &reader->work, .on_failed = on_failed, .on_query = on_query, .arg = reader};
}

static void wait_for_work(struct reader *reader)
{
    struct rt_changes *changes = reader->changes;
    struct pollfd fds[] = {{changes->stop_fd, POLLIN, 0},
                           {changes->reader_fd, POLLIN, 0},
                           {rt_db_socket(&reader->listen), POLLIN, 0}};

    int n = poll(fds, 3, reader->is_due ? 0 : POLL_MS);
    if (n == 0)
        reader->is_due = true;
    if (fds[1].revents != 0) {
        rt_fd_clear(changes->reader_fd);
        reader->is_due = true;
    }
    if (fds[2].revents != 0 && !rt_db_notifications(&reader->listen, on_notify, reader))
        rt_db_disconnect(&reader->listen);
}

/* Reads what there is, and says how long to pause after a failure. */
static int64_t work(struct reader *reader, int64_t pause_ms)
{
    struct df_error err = {0};
    enum df_code rc = DF_OK;
    bool was_up = reader->is_up;
    char quoted[300];

    if (reader->listen.conn == NULL || reader->work.conn == NULL) {
        tell_state(reader, false);
        rc = connect_both(reader, &err);
    }
    if (rc == DF_OK && reader->is_due) {
        reader->is_due = false;
        rc = read_on(reader, &err);
    }
    if (rc == DF_OK)
        return 0;
    reader->is_due = true;
    if (rc != DF_EBUSY && rc != DF_ENOMEM)
        disconnect(reader);
    if (pause_ms == 0 && !rt_is_stopping(reader->changes))
        df_log(DF_LOG_WARN, was_up ? "reading_interrupted" : "database_away", "reason=%s",
               df_log_quote(quoted, sizeof quoted, err.msg));
    return rt_back_off_ms(pause_ms);
}

void *rt_reader_main(void *arg)
{
    struct rt_changes *changes = arg;
    struct reader *reader = calloc(1, sizeof *reader);
    int64_t pause_ms = 0;

    if (reader == NULL) {
        df_log(DF_LOG_ERROR, "reader_failed", "reason=\"out of memory\"");
        return NULL;
    }
    init_reader(reader, changes);
    while (!rt_is_stopping(changes)) {
        int64_t next_ms = work(reader, pause_ms);
        if (next_ms == 0 && pause_ms != 0)
            df_log(DF_LOG_INFO, "reading_again", "plan=%llu",
                   (unsigned long long)(reader->index == NULL ? 0 : reader->index->plan->version));
        pause_ms = next_ms;
        if (pause_ms == 0)
            wait_for_work(reader);
        else if (!rt_sleep(changes, pause_ms))
            break;
    }
    rt_db_disconnect(&reader->listen);
    rt_db_disconnect(&reader->work);
    rt_index_free(reader->index);
    rt_place_release(&reader->place);
    free(reader);
    return NULL;
}
