/* fcgi/rest/sql_write.c - insert, upsert, update, delete. The rows travel as one JSON parameter. */
#include <string.h>

#include "fcgi/rest/sql_parts.h"

#define BODY "_dealflow_body"

/* Columns that the request writes: those it names, else the keys of its first object. */
static const struct rst_name *written(const struct rst_builder *b)
{
    return b->query->columns != NULL ? b->query->columns : b->body->keys;
}

static const struct rst_column *find_written(struct rst_builder *b, const char *name)
{
    const struct rst_column *column = rst_table_column(b->table, name);
    if (column == NULL)
        (void)rst_fail(b->err, 400, "PGRST204",
                       "Could not find the '%s' column of '%s' in the schema cache", name,
                       b->table->name);
    return column;
}

static bool check_written(struct rst_builder *b)
{
    for (const struct rst_name *each = written(b); each != NULL; each = each->next) {
        if (find_written(b, each->name) == NULL)
            return false;
    }
    return true;
}

/* One name after the other, each through `put`. */
static void put_columns(struct rst_builder *b,
                        void (*put)(struct rst_builder *b, const struct rst_column *column))
{
    for (const struct rst_name *each = written(b); each != NULL; each = each->next) {
        put(b, rst_table_column(b->table, each->name));
        if (each->next != NULL)
            rst_put(b, ", ");
    }
}

static void put_plain(struct rst_builder *b, const struct rst_column *column)
{
    rst_put(b, column->sql_name);
}

static void put_from_body(struct rst_builder *b, const struct rst_column *column)
{
    rst_put(b, BODY ".");
    rst_put(b, column->sql_name);
}

static void put_typed(struct rst_builder *b, const struct rst_column *column)
{
    rst_put(b, column->sql_name);
    rst_put(b, " ");
    rst_put(b, column->sql_type);
}

static void put_set(struct rst_builder *b, const struct rst_column *column)
{
    rst_put(b, column->sql_name);
    rst_put(b, " = ");
    put_from_body(b, column);
}

static void put_excluded(struct rst_builder *b, const struct rst_column *column)
{
    rst_put(b, column->sql_name);
    rst_put(b, " = EXCLUDED.");
    rst_put(b, column->sql_name);
}

/* Prefer: missing=default - each object is laid over one that holds the defaults. */
static bool put_body_over_defaults(struct rst_builder *b)
{
    bool is_first = true;

    rst_put(b, "pg_catalog.jsonb_to_recordset((SELECT pg_catalog.jsonb_agg("
               "pg_catalog.jsonb_build_object(");
    for (const struct rst_name *each = written(b); each != NULL; each = each->next) {
        const struct rst_column *column = rst_table_column(b->table, each->name);
        if (column->default_value == NULL)
            continue;
        rst_put(b, is_first ? "" : ", ");
        if (!rst_put_param(b, column->name))
            return false;
        rst_put(b, "::pg_catalog.text, ");
        rst_put(b, column->default_value);
        is_first = false;
    }
    rst_put(b, ") || _dealflow_each) FROM pg_catalog.jsonb_array_elements(");
    if (!b->body->is_array)
        rst_put(b, "pg_catalog.jsonb_build_array(");
    if (!rst_put_param(b, b->body->text))
        return false;
    rst_put(b, b->body->is_array ? "::pg_catalog.jsonb" : "::pg_catalog.jsonb)");
    rst_put(b, ") AS _dealflow_each))");
    return true;
}

/* FROM the body's rows, with the columns' types. */
static bool put_body(struct rst_builder *b, bool over_defaults)
{
    rst_put(b, " FROM ");
    if (over_defaults) {
        if (!put_body_over_defaults(b))
            return false;
    } else {
        rst_put(b,
                b->body->is_array ? "pg_catalog.json_to_recordset(" : "pg_catalog.json_to_record(");
        if (!rst_put_param(b, b->body->text))
            return false;
        rst_put(b, "::pg_catalog.json)");
    }
    rst_put(b, " AS " BODY "(");
    put_columns(b, put_typed);
    rst_put(b, ")");
    return true;
}

/* --- insert ---------------------------------------------------------------------------------- */

static bool put_conflict_target(struct rst_builder *b, bool *has_target)
{
    *has_target = b->query->on_conflict != NULL;
    for (const struct rst_name *each = b->query->on_conflict; each != NULL; each = each->next) {
        const struct rst_column *column = rst_find_column(b, each->name);
        if (column == NULL)
            return false;
        rst_put(b, each == b->query->on_conflict ? " ON CONFLICT (" : ", ");
        rst_put(b, column->sql_name);
    }
    for (int position = 1; b->query->on_conflict == NULL; position++) {
        const struct rst_column *found = NULL;
        for (size_t i = 0; i < b->table->column_count; i++) {
            if (b->table->columns[i].key_position == position)
                found = &b->table->columns[i];
        }
        if (found == NULL)
            break;
        rst_put(b, position == 1 ? " ON CONFLICT (" : ", ");
        rst_put(b, found->sql_name);
        *has_target = true;
    }
    if (*has_target)
        rst_put(b, ")");
    return true;
}

static bool put_conflict(struct rst_builder *b)
{
    bool has_target;

    if (b->head->resolution == RST_NO_RESOLUTION)
        return true;
    if (!put_conflict_target(b, &has_target))
        return false;
    if (!has_target)
        return true;
    if (b->head->resolution == RST_IGNORE || written(b) == NULL) {
        rst_put(b, " DO NOTHING");
    } else {
        rst_put(b, " DO UPDATE SET ");
        put_columns(b, put_excluded);
    }
    return true;
}

static bool put_insert(struct rst_builder *b)
{
    rst_put(b, "INSERT INTO ");
    rst_put_table(b);
    if (written(b) == NULL) { /* {} */
        rst_put(b, " DEFAULT VALUES");
    } else {
        rst_put(b, "(");
        put_columns(b, put_plain);
        rst_put(b, ") SELECT ");
        put_columns(b, put_from_body);
        if (!put_body(b, b->head->missing_is_default))
            return false;
    }
    return put_conflict(b);
}

/* --- update, delete -------------------------------------------------------------------------- */

/* What Supabase's databases refuse too (pg-safeupdate): a forgotten filter. */
static bool check_filtered(struct rst_builder *b, const char *verb)
{
    return b->query->filters != NULL ||
           rst_fail(b->err, 400, "21000", "%s requires a WHERE clause", verb);
}

static bool put_update(struct rst_builder *b)
{
    if (!check_filtered(b, "UPDATE"))
        return false;
    if (b->body->row_count != 1)
        return rst_fail(b->err, 400, "PGRST102", "An update takes one object");
    rst_put(b, "UPDATE ");
    rst_put_table(b);
    rst_put(b, " SET ");
    put_columns(b, put_set);
    return put_body(b, false) && rst_put_where(b);
}

static bool put_delete(struct rst_builder *b)
{
    if (!check_filtered(b, "DELETE"))
        return false;
    rst_put(b, "DELETE FROM ");
    rst_put_table(b);
    return rst_put_where(b);
}

/* Nothing to write: no row, but still only for who may see the table. */
static bool put_nothing(struct rst_builder *b)
{
    rst_put(b, "SELECT ");
    if (!rst_put_items(b))
        return false;
    rst_put(b, " FROM ");
    rst_put_table(b);
    rst_put(b, " WHERE false");
    return true;
}

static bool put_returning(struct rst_builder *b)
{
    if (b->head->returns == RST_RETURN_ROWS) {
        rst_put(b, " RETURNING ");
        return rst_put_items(b);
    }
    const char *between = " RETURNING ";
    for (size_t i = 0; i < b->table->column_count; i++) {
        if (b->table->columns[i].key_position == 0)
            continue;
        rst_put(b, between);
        rst_put(b, b->table->sql_name);
        rst_put(b, ".");
        rst_put(b, b->table->columns[i].sql_name);
        between = ", ";
    }
    return true;
}

static bool has_key(const struct rst_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].key_position > 0)
            return true;
    }
    return false;
}

static void put_result(struct rst_builder *b)
{
    rst_put(b, ") SELECT pg_catalog.count(*), ");
    if (b->head->returns == RST_RETURN_ROWS) {
        rst_put_rows_as_json(b);
        rst_put(b, ", NULL");
    } else {
        rst_put(b, "''");
        for (size_t i = 0; i < b->table->column_count; i++) {
            if (b->table->columns[i].key_position == 0)
                continue;
            rst_put(b, ", pg_catalog.min(" RST_ROWS ".");
            rst_put(b, b->table->columns[i].sql_name);
            rst_put(b, "::pg_catalog.text)");
        }
    }
    rst_put(b, " FROM " RST_ROWS);
}

bool rst_put_write(struct rst_builder *b)
{
    enum rst_method method = b->head->method;
    bool is_empty = method != RST_DELETE &&
                    (b->body->row_count == 0 || (method == RST_PATCH && written(b) == NULL));
    bool has_result = b->head->returns == RST_RETURN_ROWS ||
                      (b->head->returns == RST_RETURN_HEADERS && method == RST_POST && !is_empty &&
                       has_key(b->table));

    if (b->body != NULL && !check_written(b))
        return false;
    b->out->has_result = has_result;
    if (has_result)
        rst_put(b, "WITH " RST_ROWS " AS (");
    bool ok = is_empty              ? put_nothing(b)
              : method == RST_POST  ? put_insert(b)
              : method == RST_PATCH ? put_update(b)
                                    : put_delete(b);
    if (ok && has_result && !is_empty)
        ok = put_returning(b);
    if (ok && has_result)
        put_result(b);
    return ok;
}
