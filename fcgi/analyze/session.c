/* fcgi/analyze/session.c - takes part after part of a run, one transaction each. */
#include "fcgi/analyze/session.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/analyze/print.h"
#include "fcgi/analyze/session_sql.h"
#include "shared/clock.h"

enum {
    STATEMENT_MS = 30000, /* a part is small; the first look at a long session is not */
    PATIENCE_MS = 60000,  /* a database that is away longer ends the work */
    RETRY_FIRST_MS = 50,
    RETRY_MAX_MS = 1000,
    OTHERS_EVERY_MS = 200, /* the last parts are with other workers: look again */
    PARAMS = 9,
};

struct totals {
    int64_t lines, done, judged, unanswered, buyers, new_sales, kept_sales, open_parts;
};

struct run {
    struct an_session *session;
    struct df_uuid id;
    struct an_lines lines;
    struct df_pg_array params[PARAMS];
    struct an_progress progress;
    bool is_careful; /* Postgres refused a line of the part: one by one */
    int64_t retry_ms, down_since_ms;
};

static int64_t deadline(void)
{
    return df_clock_mono_ms() + STATEMENT_MS;
}

static enum df_code execute(struct run *r, const char *statement, int count, struct pg_result **out,
                            struct df_error *err)
{
    const struct df_pg_array *params[PARAMS];
    for (int i = 0; i < count; i++)
        params[i] = &r->params[i];
    return df_pg_execute(r->session->pg, statement, params, count, deadline(), out, err);
}

static void set_uuid(struct run *r, int param, const struct df_uuid *id)
{
    df_pg_array_begin(&r->params[param], DF_PG_UUID);
    df_pg_array_add_uuid(&r->params[param], id);
}

static void set_int(struct run *r, int param, int64_t value)
{
    df_pg_array_begin(&r->params[param], DF_PG_INT8);
    df_pg_array_add_int8(&r->params[param], value);
}

static void set_types(struct df_pg_array *array, unsigned mask)
{
    df_pg_array_begin(array, DF_PG_TEXT);
    for (int t = 0; t < DF_MESSAGE_TYPE_COUNT; t++) {
        const char *name = df_message_type_name((enum df_message_type)t);
        if ((mask >> t & 1U) != 0)
            df_pg_array_add_text(array, name, strlen(name));
    }
}

static bool text_is(const struct pg_result *result, int column, const char *wanted)
{
    size_t len;
    const char *text = df_pg_get_text(result, 0, column, &len);
    return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

/* --- begin ----------------------------------------------------------------------------------- */

static bool has_same_types(const struct pg_result *result, unsigned mask)
{
    char names[256] = "";
    for (int t = 0; t < DF_MESSAGE_TYPE_COUNT; t++) {
        size_t len = strlen(names);
        if ((mask >> t & 1U) != 0)
            (void)snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? "," : "",
                           df_message_type_name((enum df_message_type)t));
    }
    return text_is(result, 3, names);
}

static enum df_code begin(struct run *r, struct df_error *err)
{
    const struct an_session *s = r->session;
    struct pg_result *result = NULL;

    set_uuid(r, 0, &s->options->session);
    df_pg_array_begin(&r->params[1], DF_PG_TEXT);
    df_pg_array_add_text(&r->params[1], s->analyzer_name, strlen(s->analyzer_name));
    df_pg_array_begin(&r->params[2], DF_PG_FLOAT8);
    df_pg_array_add_float8(&r->params[2], s->rule.threshold);
    set_types(&r->params[3], s->rule.type_mask);
    set_int(r, 4, s->options->part_lines);
    df_pg_array_begin(&r->params[5], DF_PG_BOOL);
    df_pg_array_add_bool(&r->params[5], s->options->restart);
    enum df_code rc = execute(r, "begin_run", 6, &result, err);
    if (rc != DF_OK)
        return rc;
    if (df_pg_rows(result) == 0 || !df_pg_get_uuid(result, 0, 0, &r->id))
        rc = df_error_set(err, DF_ENOTFOUND, "no such session");
    else if (!text_is(result, 1, s->analyzer_name) ||
             df_pg_get_float8(result, 0, 2) != s->rule.threshold ||
             !has_same_types(result, s->rule.type_mask))
        rc = df_error_set(
            err, DF_ECONFLICT,
            "this session is being judged with other settings (analyzer %s, threshold "
            "%.2f): use those to join in, or --restart to begin anew",
            df_pg_get_text(result, 0, 1, &(size_t){0}), df_pg_get_float8(result, 0, 2));
    df_pg_result_free(result);
    return rc;
}

/* --- one part -------------------------------------------------------------------------------- */

static void add_line(struct run *r, size_t i)
{
    const struct an_judged *j = &r->lines.judged[i];
    const struct df_verdict *v = &j->verdict;
    const char *type = df_message_type_name(v->type);

    df_pg_array_add_uuid(&r->params[0], &r->lines.ids[i]);
    df_pg_array_add_bool(&r->params[1], v->is_buyer);
    df_pg_array_add_float8(&r->params[2], v->confidence);
    df_pg_array_add_text(&r->params[3], type, strlen(type));
    if (v->item[0] == '\0')
        df_pg_array_add_null(&r->params[4]);
    else
        df_pg_array_add_text(&r->params[4], v->item, strlen(v->item));
    if (v->value_cents == DF_VALUE_NONE)
        df_pg_array_add_null(&r->params[5]);
    else
        df_pg_array_add_int8(&r->params[5], v->value_cents);
    df_pg_array_add_text(&r->params[6], j->analyzer, strlen(j->analyzer));
    df_pg_array_add_text(&r->params[7], j->model, strlen(j->model));
    df_pg_array_add_bool(&r->params[8], r->lines.would_capture[i]);
}

/* Writes lines from..to; *sold grows by the sales that were made. */
static enum df_code write_lines(struct run *r, size_t from, size_t to, int64_t *sold,
                                struct df_error *err)
{
    static const enum df_pg_type types[PARAMS] = {DF_PG_UUID, DF_PG_BOOL, DF_PG_FLOAT8,
                                                  DF_PG_TEXT, DF_PG_TEXT, DF_PG_INT8,
                                                  DF_PG_TEXT, DF_PG_TEXT, DF_PG_BOOL};
    struct pg_result *result = NULL;

    for (int i = 0; i < PARAMS; i++)
        df_pg_array_begin(&r->params[i], types[i]);
    for (size_t i = from; i < to; i++) {
        if (r->lines.judged[i].is_answered)
            add_line(r, i);
    }
    enum df_code rc = execute(r, "write_lines", PARAMS, &result, err);
    if (rc == DF_OK)
        *sold += df_pg_rows(result);
    df_pg_result_free(result);
    return rc;
}

/* A line that Postgres refuses (a constraint or trigger of somebody's own) keeps its old verdict.
 */
static enum df_code write_one_by_one(struct run *r, int64_t *sold, struct df_error *err)
{
    for (size_t i = 0; i < r->lines.count; i++) {
        enum df_code rc = df_pg_run(r->session->pg, "savepoint line", deadline(), err);
        if (rc == DF_OK)
            rc = write_lines(r, i, i + 1, sold, err);
        if (rc == DF_EINPUT) {
            (void)fprintf(stderr, "dealflow-analyze: a line was refused: %s\n", err->msg);
            r->lines.judged[i].is_answered = r->lines.would_capture[i] = false;
            rc = df_pg_run(r->session->pg, "rollback to savepoint line", deadline(), err);
        }
        if (rc != DF_OK)
            return rc;
    }
    return DF_OK;
}

static enum df_code mark_done(struct run *r, int64_t part, int64_t sold, struct df_error *err)
{
    const struct an_lines *lines = &r->lines;
    struct pg_result *result = NULL;
    int64_t answered = 0, buyers = 0, kept = 0;

    for (size_t i = 0; i < lines->count; i++) {
        const struct an_judged *j = &lines->judged[i];
        answered += j->is_answered;
        buyers += j->is_answered && j->verdict.is_buyer;
        kept += j->is_answered && lines->has_sale[i] && !lines->would_capture[i];
    }
    set_uuid(r, 0, &r->id);
    set_int(r, 1, part);
    set_int(r, 2, answered);
    df_pg_array_add_int8(&r->params[2], (int64_t)lines->count - answered);
    df_pg_array_add_int8(&r->params[2], buyers);
    df_pg_array_add_int8(&r->params[2], sold);
    df_pg_array_add_int8(&r->params[2], kept);
    enum df_code rc = execute(r, "part_done", 3, &result, err);
    df_pg_result_free(result);
    return rc;
}

/* Inside a transaction. *is_claimed false: every part that is left is with another worker. */
static enum df_code work_on_part(struct run *r, bool *is_claimed, struct df_error *err)
{
    struct pg_result *result = NULL;
    int64_t sold = 0;

    set_uuid(r, 0, &r->id);
    enum df_code rc = execute(r, "claim_part", 1, &result, err);
    if (rc != DF_OK)
        return rc;
    *is_claimed = df_pg_rows(result) > 0;
    if (*is_claimed) {
        int64_t part = df_pg_get_int8(result, 0, AN_COL_PART);
        rc = an_lines_judge(&r->lines, r->session, result, deadline(), err);
        if (rc == DF_OK)
            rc = r->is_careful ? write_one_by_one(r, &sold, err)
                               : write_lines(r, 0, r->lines.count, &sold, err);
        if (rc == DF_OK)
            rc = mark_done(r, part, sold, err);
    }
    df_pg_result_free(result);
    return rc;
}

static enum df_code do_part(struct run *r, bool *is_claimed, struct df_error *err)
{
    struct df_error second = {0};

    *is_claimed = false;
    enum df_code rc = df_pg_run(r->session->pg, "begin", deadline(), err);
    if (rc == DF_OK)
        rc = work_on_part(r, is_claimed, err);
    if (rc == DF_OK)
        rc = df_pg_run(r->session->pg, "commit", deadline(), err);
    if (rc == DF_OK) {
        r->is_careful = false;
        return DF_OK;
    }
    if (df_pg_run(r->session->pg, "rollback", deadline(), &second) != DF_OK)
        df_pg_disconnect(r->session->pg);
    return rc;
}

/* --- the run --------------------------------------------------------------------------------- */

static enum df_code read_totals(struct run *r, struct totals *t, struct df_error *err)
{
    struct pg_result *result = NULL;

    set_uuid(r, 0, &r->id);
    enum df_code rc = execute(r, "run_totals", 1, &result, err);
    if (rc != DF_OK)
        return rc;
    int64_t *const fields[] = {&t->lines,  &t->done,      &t->judged,     &t->unanswered,
                               &t->buyers, &t->new_sales, &t->kept_sales, &t->open_parts};
    for (int i = 0; i < (int)(sizeof fields / sizeof fields[0]); i++)
        *fields[i] = df_pg_get_int8(result, 0, i);
    df_pg_result_free(result);
    return DF_OK;
}

static enum df_code check_not_abandoned(struct run *r, struct df_error *err)
{
    struct pg_result *result = NULL;

    set_uuid(r, 0, &r->id);
    enum df_code rc = execute(r, "is_abandoned", 1, &result, err);
    if (rc == DF_OK && (df_pg_rows(result) == 0 || df_pg_get_bool(result, 0, 0)))
        rc = df_error_set(err, DF_ECONFLICT, "somebody began this session anew (--restart)");
    df_pg_result_free(result);
    return rc;
}

/* The database is away: waits a little longer each time. False: too long. */
static bool wait_for_database(struct run *r)
{
    int64_t now = df_clock_mono_ms();

    if (r->down_since_ms == 0)
        r->down_since_ms = now;
    if (now - r->down_since_ms > PATIENCE_MS)
        return false;
    (void)poll(NULL, 0, (int)r->retry_ms);
    r->retry_ms = r->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : r->retry_ms * 2;
    return true;
}

static void note_database_up(struct run *r)
{
    r->retry_ms = RETRY_FIRST_MS;
    r->down_since_ms = 0;
}

/* One step: a part, or a look at how far the others are. *is_over: every part is done. */
static enum df_code step(struct run *r, bool *is_over, struct df_error *err)
{
    struct totals totals;
    bool is_claimed;

    enum df_code rc = df_pg_connect(r->session->pg, err);
    if (rc == DF_OK && r->session->judge.gateway != NULL)
        mrs_spend_tend(&r->session->spend, r->session->judge.gateway, r->session->pg);
    if (rc == DF_OK)
        rc = do_part(r, &is_claimed, err);
    if (rc != DF_OK)
        return rc;
    if (is_claimed && !an_progress_is_due(&r->progress))
        return DF_OK;
    rc = check_not_abandoned(r, err);
    if (rc == DF_OK)
        rc = read_totals(r, &totals, err);
    if (rc != DF_OK)
        return rc;
    *is_over = totals.open_parts == 0;
    if (*is_over || an_progress_is_due(&r->progress))
        an_progress_show(&r->progress, totals.done, totals.lines, totals.new_sales);
    if (!is_claimed && !*is_over)
        (void)poll(NULL, 0, OTHERS_EVERY_MS);
    return DF_OK;
}

static enum df_code work(struct run *r, struct df_error *err)
{
    bool is_over = false;

    while (!is_over) {
        enum df_code rc = step(r, &is_over, err);
        if (rc == DF_OK)
            note_database_up(r);
        else if (rc == DF_EINPUT && !r->is_careful)
            r->is_careful = true;
        else if (rc == DF_EUNAVAILABLE && !df_pg_is_connected(r->session->pg)) {
            if (!wait_for_database(r))
                return rc;
        } else if (rc != DF_EBUSY || err->sqlstate[0] == '\0') /* 40001, 40P01: once more */
            return rc;
        *err = (struct df_error){0};
    }
    return DF_OK;
}

static enum df_code print_kept(struct run *r, struct df_error *err)
{
    struct pg_result *result = NULL;
    FILE *out = r->session->out;

    set_uuid(r, 0, &r->session->options->session);
    df_pg_array_begin(&r->params[1], DF_PG_FLOAT8);
    df_pg_array_add_float8(&r->params[1], r->session->rule.threshold);
    set_types(&r->params[2], r->session->rule.type_mask);
    enum df_code rc = execute(r, "kept_sales", 3, &result, err);
    for (int row = 0; row < df_pg_rows(result); row++) {
        struct df_uuid id;
        char id_text[DF_UUID_TEXT_SIZE] = "";
        size_t len;
        if (df_pg_get_uuid(result, row, 0, &id))
            df_uuid_format(id_text, &id);
        (void)fprintf(out, "  kept  %s  %.2f  ", id_text, df_pg_get_float8(result, row, 1));
        const char *name = df_pg_get_text(result, row, 2, &len);
        an_print_safely(out, name, len);
        (void)fputs(": ", out);
        const char *text = df_pg_get_text(result, row, 3, &len);
        an_print_safely(out, text, len);
        (void)fputc('\n', out);
    }
    df_pg_result_free(result);
    return rc;
}

static enum df_code report(struct run *r, struct df_error *err)
{
    const struct an_session *s = r->session;
    struct totals t;
    char id[DF_UUID_TEXT_SIZE];

    enum df_code rc = read_totals(r, &t, err);
    if (rc != DF_OK)
        return rc;
    df_uuid_format(id, &s->options->session);
    (void)fprintf(
        s->out,
        "session %s judged again: analyzer %s, threshold %.2f\n"
        "  lines       %" PRId64 "\n  judged      %" PRId64 "\n  unanswered  %" PRId64
        "\n  buyers      %" PRId64 "\n  new sales   %" PRId64 "\n  kept sales  %" PRId64 "%s\n",
        id, s->analyzer_name, s->rule.threshold, t.lines, t.judged, t.unanswered, t.buyers,
        t.new_sales, t.kept_sales,
        t.kept_sales > 0 ? "  (the new verdict would not make them; no sale is deleted)" : "");
    return t.kept_sales > 0 ? print_kept(r, err) : DF_OK;
}

enum df_code an_session_run(struct an_session *session, struct df_error *err)
{
    struct run r = {.session = session, .retry_ms = RETRY_FIRST_MS};
    struct pg_result *result = NULL;

    for (int i = 0; i < PARAMS; i++)
        df_pg_array_init(&r.params[i], (size_t)64 << 20);
    enum df_code rc = an_lines_init(&r.lines, AN_LINES_MAX, err);
    if (rc == DF_OK)
        rc = df_pg_connect(session->pg, err);
    if (rc == DF_OK)
        rc = begin(&r, err);
    if (rc == DF_OK) {
        an_progress_begin(&r.progress, stderr);
        rc = work(&r, err);
        an_progress_end(&r.progress);
    }
    if (rc == DF_OK) {
        set_uuid(&r, 0, &r.id);
        rc = execute(&r, "finish_run", 1, &result, err);
        df_pg_result_free(result);
    }
    if (rc == DF_OK)
        rc = report(&r, err);
    an_lines_release(&r.lines);
    for (int i = 0; i < PARAMS; i++)
        df_pg_array_release(&r.params[i]);
    return rc;
}
