/* realtime/resolve.c - reads the rows of a batch and which filters they pass. When a filter fails,
 * or takes too long, the batch is read without filters and these are asked by halves, so that only
 * the one at fault is left out. */
#include "realtime/resolve.h"

#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "realtime/resolve_private.h"
#include "shared/clock.h"
#include "shared/log.h"

#define PARAMETER_MAX ((size_t)64 << 20)

const struct rt_db_statement rt_resolve_statements[] = {
    {"rows", "select n, role, is_visible, key, shown_columns, new_record, old_record, passed"
             " from dealflow.realtime_rows($1, $2, $3, $4::uuid[], $5::jsonb, $6::jsonb,"
             " $7::text[], $8::jsonb)"},
    {"visible", "select claims, seen, error"
                " from dealflow.realtime_visible($1, $2, $3::text[], $4::text[])"},
};
const size_t rt_resolve_statement_count =
    sizeof rt_resolve_statements / sizeof rt_resolve_statements[0];

void rt_row_release(struct rt_row *row)
{
    free(row->id);
    free(row->columns);
    free(row->record);
    free(row->old_record);
    free(row->filter_ids);
    free(row->claims_ids);
}

void rt_row_list_release(struct rt_row_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        rt_row_release(&list->at[i]);
    free(list->at);
    *list = (struct rt_row_list){0};
}

enum df_code rt_batch_ask(struct rt_batch *batch, const char *statement, int param_count,
                          const char *const *params, struct pg_result **out, struct df_error *err)
{
    struct rt_resolver *resolver = batch->resolver;
    int64_t began_ns = df_clock_mono_ns();
    enum df_code rc = rt_db_execute(resolver->db, statement, param_count, params, out, err);

    if (rc == DF_OK)
        resolver->on_query(resolver->arg, (df_clock_mono_ns() - began_ns) / 1000);
    return rc;
}

enum df_code rt_batch_hurry(struct rt_batch *batch, bool is_hurried, struct df_error *err)
{
    return rt_db_run(batch->resolver->db,
                     is_hurried ? "set statement_timeout = 500" : "set statement_timeout = 3000",
                     err);
}

/* --- parameters ---------------------------------------------------------------------------------
 */

/* Joins "{a}" and "{b}", or "[a]" and "[b]". */
static void join_lists(struct df_buf *out, const char *list)
{
    size_t len = strlen(list);

    if (out->len == 0) {
        (void)df_buf_append(out, list, len);
        return;
    }
    out->data[out->len - 1] = ','; /* the closing bracket of what is there */
    (void)df_buf_append(out, list + 1, len - 1);
}

static bool add_roles(struct rt_batch *batch)
{
    struct rt_resolver *resolver = batch->resolver;
    struct rt_ids claims = {0};
    const char *last = "";
    bool is_good = true;

    for (size_t e = 0; e < batch->entry_count; e++) {
        const struct rt_matches *matches = &batch->entries[e]->matches;
        for (size_t i = 0; i < matches->count && is_good; i++)
            is_good = rt_ids_add(&claims, matches->at[i]->claims_id);
    }
    rt_ids_sort(&claims);
    rt_db_array_begin(&batch->roles);
    for (size_t i = 0; i < claims.count; i++) {
        const char *role = rt_index_role(resolver->index, claims.at[i]);
        /* Most have the role of the one before; one named twice does no harm. */
        if (strcmp(role, last) != 0)
            rt_db_array_add(&batch->roles, role, strlen(role));
        last = role;
    }
    rt_db_array_end(&batch->roles);
    rt_ids_release(&claims);
    return is_good;
}

/* True when the change log itself tells that the filter passes: there is nothing to ask, or the
 * interest was found by the session of the entry. */
static bool is_decided(const struct rt_entry *entry, const struct rt_interest *interest,
                       const struct rt_filter_form *form)
{
    return form->form == RT_FORM_ALL || (form->form == RT_FORM_SESSION &&
                                         entry->session[0] != '\0' && interest->session[0] != '\0');
}

static bool add_filters(struct rt_batch *batch)
{
    struct rt_plan *plan = batch->resolver->index->plan;

    for (size_t e = 0; e < batch->entry_count; e++) {
        const struct rt_entry *entry = batch->entries[e];
        for (size_t i = 0; i < entry->matches.count; i++) {
            const struct rt_interest *interest = entry->matches.at[i];
            struct rt_filter_form form = rt_filter_form(plan->filter[interest->filter_id]);
            if (!is_decided(entry, interest, &form) &&
                !rt_ids_add(&batch->filters, interest->filter_id))
                return false;
        }
    }
    rt_ids_sort(&batch->filters);
    return true;
}

static bool prepare(struct rt_batch *batch)
{
    size_t n = 0;

    for (size_t e = 0; e < batch->entry_count; e++)
        batch->row_count += batch->entries[e]->row_count;
    batch->entry_of = calloc(batch->row_count + 1, sizeof *batch->entry_of);
    batch->passed = calloc(batch->row_count + 1, sizeof *batch->passed);
    if (batch->entry_of == NULL || batch->passed == NULL)
        return false;
    for (size_t e = 0; e < batch->entry_count; e++) {
        struct rt_entry *entry = batch->entries[e];
        entry->first_row = n;
        for (size_t i = 0; i < entry->row_count; i++)
            batch->entry_of[n++] = (uint32_t)e;
        if (entry->ids != NULL)
            join_lists(&batch->ids, entry->ids);
        else if (entry->keys != NULL)
            join_lists(&batch->keys, entry->keys);
        if (entry->old_rows != NULL)
            join_lists(&batch->old_rows, entry->old_rows);
    }
    return add_roles(batch) && add_filters(batch) && !batch->ids.failed && !batch->keys.failed &&
           !batch->old_rows.failed && !batch->roles.failed;
}

/* --- filters as a question -----------------------------------------------------------------------
 */

struct equal {
    struct rt_filter_form form;
    uint32_t id;
};

static int compare_equals(const void *left, const void *right)
{
    const struct equal *a = left, *b = right;
    size_t len = a->form.column_len < b->form.column_len ? a->form.column_len : b->form.column_len;
    int order = memcmp(a->form.column, b->form.column, len);
    return order != 0 ? order
                      : (a->form.column_len > b->form.column_len) -
                            (a->form.column_len < b->form.column_len);
}

/* {"column":"user_id","ids":[8,9],"values":["a","b"]} for those that ask the same column. */
static void put_equals(struct df_buf *out, struct equal *equals, size_t count)
{
    qsort(equals, count, sizeof *equals, compare_equals);
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && compare_equals(&equals[i], &equals[end]) == 0)
            end++;
        (void)df_buf_append_str(out, out->len > 1 ? ",{\"column\":" : "{\"column\":");
        (void)df_buf_append(out, equals[i].form.column, equals[i].form.column_len);
        (void)df_buf_append_str(out, ",\"ids\":");
        for (size_t k = i; k < end; k++)
            (void)df_buf_printf(out, "%c%u", k == i ? '[' : ',', equals[k].id);
        (void)df_buf_append_str(out, "],\"values\":");
        for (size_t k = i; k < end; k++) {
            (void)df_buf_append_char(out, k == i ? '[' : ',');
            (void)df_buf_append(out, equals[k].form.value, equals[k].form.value_len);
        }
        (void)df_buf_append_str(out, "]}");
        i = end;
    }
}

static bool put_question(struct rt_batch *batch, const uint32_t *filters, size_t count)
{
    struct rt_plan *plan = batch->resolver->index->plan;
    struct df_buf *out = &batch->question;
    struct equal *equals = calloc(count + 1, sizeof *equals);
    size_t equal_count = 0;

    df_buf_reset(out);
    if (equals == NULL)
        return false;
    (void)df_buf_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        const char *filter = plan->filter[filters[i]];
        struct rt_filter_form form = rt_filter_form(filter);
        if (form.form == RT_FORM_GENERAL)
            (void)df_buf_printf(out, "%s{\"id\":%u,\"conditions\":%s}", out->len > 1 ? "," : "",
                                filters[i], filter);
        else
            equals[equal_count++] = (struct equal){form, filters[i]};
    }
    put_equals(out, equals, equal_count);
    (void)df_buf_append_char(out, ']');
    free(equals);
    return !out->failed;
}

/* Reads the rows with the filters asked for; the result is the caller's. */
static enum df_code read_rows(struct rt_batch *batch, const uint32_t *filters, size_t count,
                              PGresult **out, struct df_error *err)
{
    const struct rt_entry *first = batch->entries[0];

    *out = NULL;
    if (count > 0 && !put_question(batch, filters, count))
        return df_error_set(err, DF_ENOMEM, "out of memory");
    const char *const params[] = {
        first->schema,
        first->table,
        first->op,
        batch->ids.len > 0 ? batch->ids.data : NULL,
        batch->keys.len > 0 ? batch->keys.data : NULL,
        batch->old_rows.len > 0 ? batch->old_rows.data : NULL,
        batch->roles.data,
        count > 0 ? batch->question.data : NULL,
    };
    return rt_batch_ask(batch, "rows", 8, params, out, err);
}

static uint32_t row_of(const PGresult *result, int line)
{
    return (uint32_t)strtoul(PQgetvalue(result, line, RT_ROWS_N), NULL, 10) - 1;
}

static bool take_passed(struct rt_batch *batch, const PGresult *result)
{
    for (int line = 0; line < PQntuples(result); line++) {
        uint32_t n = row_of(result, line);
        /* Lines of other roles repeat it; sorting drops the doubles. */
        if (n < batch->row_count &&
            !rt_ids_parse(&batch->passed[n], PQgetvalue(result, line, RT_ROWS_PASSED)))
            return false;
    }
    return true;
}

/* Asks these filters; if Postgres cannot, each half of them, down to the one at fault. */
static enum df_code ask_filters(struct rt_batch *batch, const uint32_t *filters, size_t count,
                                struct df_error *err)
{
    struct rt_resolver *resolver = batch->resolver;
    PGresult *result = NULL;
    enum df_code rc = read_rows(batch, filters, count, &result, err);

    if (rc == DF_OK) {
        if (!take_passed(batch, result))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
        PQclear(result);
        return rc;
    }
    if (rc != DF_EINPUT && rc != DF_ETIMEOUT)
        return rc;
    if (count == 1) {
        resolver->index->is_broken_filter[filters[0]] = true;
        resolver->on_failed(resolver->arg, true, filters[0], err->msg);
        return DF_OK;
    }
    rc = ask_filters(batch, filters, count / 2, err);
    return rc != DF_OK ? rc : ask_filters(batch, filters + count / 2, count - count / 2, err);
}

static enum df_code isolate_filters(struct rt_batch *batch, struct df_error *err)
{
    struct df_error ignored = {0};
    enum df_code rc = read_rows(batch, NULL, 0, &batch->result, err);

    if (rc != DF_OK)
        return rc;
    rc = rt_batch_hurry(batch, true, err);
    if (rc == DF_OK)
        rc = ask_filters(batch, batch->filters.at, batch->filters.count, err);
    enum df_code back = rt_batch_hurry(batch, false, rc == DF_OK ? err : &ignored);
    return rc != DF_OK ? rc : back;
}

/* --- rows ----------------------------------------------------------------------------------------
 */

static bool collect_seen(struct rt_batch *batch)
{
    struct rt_index *index = batch->resolver->index;
    int lines = PQntuples(batch->result);

    batch->seen = calloc((size_t)lines + 1, sizeof *batch->seen);
    if (batch->seen == NULL)
        return false;
    for (int line = 0; line < lines; line++) {
        struct rt_seen_row *seen = &batch->seen[batch->seen_count++];
        const char *role = PQgetvalue(batch->result, line, RT_ROWS_ROLE);
        seen->n = row_of(batch->result, line);
        seen->line = line;
        seen->is_visible = PQgetvalue(batch->result, line, RT_ROWS_VISIBLE)[0] == 't';
        const struct rt_entry *entry = batch->entries[batch->entry_of[seen->n]];
        for (size_t i = 0; i < entry->matches.count; i++) {
            const struct rt_interest *interest = entry->matches.at[i];
            if (rt_ids_has(&batch->passed[seen->n], interest->filter_id) &&
                strcmp(rt_index_role(index, interest->claims_id), role) == 0 &&
                !rt_ids_add(&seen->wanted, interest->claims_id))
                return false;
        }
        rt_ids_sort(&seen->wanted);
    }
    return true;
}

/* What the log decided joins what Postgres said. */
static bool complete_passed(struct rt_batch *batch)
{
    struct rt_plan *plan = batch->resolver->index->plan;

    for (size_t n = 0; n < batch->row_count; n++) {
        const struct rt_entry *entry = batch->entries[batch->entry_of[n]];
        for (size_t i = 0; i < entry->matches.count; i++) {
            const struct rt_interest *interest = entry->matches.at[i];
            struct rt_filter_form form = rt_filter_form(plan->filter[interest->filter_id]);
            if (is_decided(entry, interest, &form) &&
                !rt_ids_add(&batch->passed[n], interest->filter_id))
                return false;
        }
        rt_ids_sort(&batch->passed[n]);
    }
    return true;
}

static bool copy_text(char **out, const PGresult *result, int line, int column)
{
    if (PQgetisnull(result, line, column))
        return true;
    *out = strdup(PQgetvalue(result, line, column));
    return *out != NULL;
}

static bool copy_ids(uint32_t **out, size_t *out_count, const struct rt_ids *ids)
{
    *out = malloc((ids->count + 1) * sizeof **out);
    if (*out == NULL)
        return false;
    memcpy(*out, ids->at == NULL ? *out : ids->at, ids->count * sizeof **out);
    *out_count = ids->count;
    return true;
}

static bool make_row(struct rt_batch *batch, const struct rt_seen_row *seen,
                     struct rt_row_list *list)
{
    const PGresult *result = batch->result;

    if (list->count == list->cap) {
        size_t cap = list->cap == 0 ? 4 : 2 * list->cap;
        struct rt_row *at = realloc(list->at, cap * sizeof *at);
        if (at == NULL)
            return false;
        list->at = at;
        list->cap = cap;
    }
    struct rt_row *row = &list->at[list->count++];
    const struct rt_entry *entry = batch->entries[batch->entry_of[seen->n]];
    *row = (struct rt_row){.n = entry->had + (uint32_t)(seen->n - entry->first_row) + 1};
    const char *role = PQgetvalue(result, seen->line, RT_ROWS_ROLE);
    size_t len = strnlen(role, sizeof row->role - 1);
    memcpy(row->role, role, len);
    return copy_text(&row->id, result, seen->line, RT_ROWS_KEY) &&
           copy_text(&row->columns, result, seen->line, RT_ROWS_COLUMNS) &&
           copy_text(&row->record, result, seen->line, RT_ROWS_NEW) &&
           copy_text(&row->old_record, result, seen->line, RT_ROWS_OLD) &&
           copy_ids(&row->filter_ids, &row->filter_count, &batch->passed[seen->n]) &&
           copy_ids(&row->claims_ids, &row->claims_count, &seen->claims);
}

static void release(struct rt_batch *batch)
{
    for (size_t n = 0; batch->passed != NULL && n < batch->row_count; n++)
        rt_ids_release(&batch->passed[n]);
    for (size_t i = 0; i < batch->seen_count; i++) {
        rt_ids_release(&batch->seen[i].wanted);
        rt_ids_release(&batch->seen[i].claims);
    }
    free(batch->entry_of);
    free(batch->passed);
    free(batch->seen);
    rt_ids_release(&batch->filters);
    PQclear(batch->result);
    df_buf_release(&batch->roles);
    df_buf_release(&batch->ids);
    df_buf_release(&batch->keys);
    df_buf_release(&batch->old_rows);
    df_buf_release(&batch->question);
}

static enum df_code resolve(struct rt_batch *batch, struct rt_row_list *rows, struct df_error *err)
{
    if (!prepare(batch))
        return df_error_set(err, DF_ENOMEM, "out of memory");
    if (batch->row_count == 0)
        return DF_OK;
    enum df_code rc =
        read_rows(batch, batch->filters.at, batch->filters.count, &batch->result, err);
    if (rc == DF_OK && !take_passed(batch, batch->result))
        return df_error_set(err, DF_ENOMEM, "out of memory");
    if ((rc == DF_EINPUT || rc == DF_ETIMEOUT) && batch->filters.count > 0)
        rc = isolate_filters(batch, err);
    if (rc != DF_OK)
        return rc;
    if (!complete_passed(batch) || !collect_seen(batch))
        return df_error_set(err, DF_ENOMEM, "out of memory");
    rc = rt_batch_claims(batch, err);
    for (size_t i = 0; rc == DF_OK && i < batch->seen_count; i++) {
        const struct rt_seen_row *seen = &batch->seen[i];
        if (seen->claims.count > 0 && !make_row(batch, seen, &rows[batch->entry_of[seen->n]]))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
    }
    return rc;
}

enum df_code rt_resolve(struct rt_resolver *resolver, struct rt_entry *const *entries, size_t count,
                        struct rt_row_list *rows, struct df_error *err)
{
    struct rt_batch batch = {.resolver = resolver, .entries = entries, .entry_count = count};
    char quoted[300];

    df_buf_init(&batch.roles, PARAMETER_MAX);
    df_buf_init(&batch.ids, PARAMETER_MAX);
    df_buf_init(&batch.keys, PARAMETER_MAX);
    df_buf_init(&batch.old_rows, PARAMETER_MAX);
    df_buf_init(&batch.question, PARAMETER_MAX);
    enum df_code rc = resolve(&batch, rows, err);
    release(&batch);
    if (rc == DF_OK)
        return DF_OK;
    for (size_t i = 0; i < count; i++)
        rt_row_list_release(&rows[i]);
    if (rc == DF_ETIMEOUT)
        return DF_EBUSY;
    if (rc != DF_EINPUT)
        return rc;
    df_log(DF_LOG_ERROR, "rows_unreadable", "table=%s.%s entries=%zu sqlstate=%s reason=%s",
           entries[0]->schema, entries[0]->table, count, err->sqlstate,
           df_log_quote(quoted, sizeof quoted, err->msg));
    return DF_OK;
}
