/* fcgi/rest/sql.c - reads, and what reads and writes have in common. */
#include "fcgi/rest/sql.h"

#include <stdio.h>
#include <string.h>

#include "fcgi/rest/sql_parts.h"

void rst_put(struct rst_builder *b, const char *text)
{
    df_buf_append_str(b->sql, text); /* failed is looked at once, at the end */
}

bool rst_put_param(struct rst_builder *b, const char *value)
{
    struct rst_statement *out = b->out;

    if (out->params == NULL)
        out->params = rst_alloc(b->arena, RST_PARAMS_MAX * sizeof *out->params);
    if (out->params == NULL)
        return rst_no_memory(b->err);
    if (out->param_count == RST_PARAMS_MAX)
        return rst_fail(b->err, 400, "PGRST100", "more than %d values in one request",
                        RST_PARAMS_MAX);
    out->params[out->param_count++] = value;
    df_buf_printf(b->sql, "$%d", out->param_count);
    return true;
}

void rst_put_table(struct rst_builder *b)
{
    rst_put(b, rst_catalog_sql_schema(b->catalog));
    rst_put(b, ".");
    rst_put(b, b->table->sql_name);
}

const struct rst_column *rst_find_column(struct rst_builder *b, const char *name)
{
    const struct rst_column *column = rst_table_column(b->table, name);
    if (column == NULL)
        (void)rst_fail(b->err, 400, "42703", "column %s.%s does not exist", b->table->name, name);
    return column;
}

/* Keys of a path are values, not names. */
static bool put_path(struct rst_builder *b, const struct rst_step *step)
{
    for (; step != NULL; step = step->next) {
        rst_put(b, step->is_text ? " ->> " : " -> ");
        if (!rst_put_param(b, step->key))
            return false;
        rst_put(b, step->is_index ? "::pg_catalog.int4" : "::pg_catalog.text");
    }
    return true;
}

bool rst_put_field(struct rst_builder *b, const struct rst_field *field)
{
    const struct rst_column *column = rst_find_column(b, field->name);
    if (column == NULL)
        return false;
    bool needs_json = field->path != NULL && !column->is_json;
    if (field->path != NULL)
        rst_put(b, needs_json ? "(pg_catalog.to_jsonb(" : "(");
    rst_put(b, b->table->sql_name);
    rst_put(b, ".");
    rst_put(b, column->sql_name);
    if (field->path == NULL)
        return true;
    if (needs_json)
        rst_put(b, ")");
    if (!put_path(b, field->path))
        return false;
    rst_put(b, ")");
    return true;
}

/* --- select ---------------------------------------------------------------------------------- */

/* Types that a select may cast to, under the names that clients use. */
static const char *sql_cast(const char *name)
{
    static const char *const types[] = {
        "text",
        "varchar",
        "bpchar",
        "name",
        "bool",
        "boolean",
        "int2",
        "int4",
        "int8",
        "int",
        "integer",
        "smallint",
        "bigint",
        "numeric",
        "decimal",
        "real",
        "float4",
        "float8",
        "double precision",
        "uuid",
        "json",
        "jsonb",
        "date",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "interval",
        "bytea",
        "inet",
        "money",
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i], name) == 0)
            return types[i];
    }
    return NULL;
}

/* The name of a value out of a path is its last key, as PostgREST has it. */
static const char *name_of(const struct rst_item *item)
{
    const char *name = item->alias != NULL ? item->alias : item->field.name;
    if (item->alias != NULL)
        return name;
    for (const struct rst_step *step = item->field.path; step != NULL; step = step->next)
        name = step->is_index ? name : step->key;
    return name;
}

static bool put_name(struct rst_builder *b, const char *name)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$ -";
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x80 && strchr(plain, *c) == NULL) {
            (void)rst_fail(b->err, 400, "PGRST100",
                           "\"failed to parse select parameter\" (line 1, "
                           "column 1)");
            return rst_details(b->err, "'%s' cannot be the name of a value: give it an alias",
                               name);
        }
    }
    rst_put(b, " AS \"");
    rst_put(b, name);
    rst_put(b, "\"");
    return true;
}

static bool put_item(struct rst_builder *b, const struct rst_item *item)
{
    if (item->is_star) {
        rst_put(b, b->table->sql_name);
        rst_put(b, ".*");
        return true;
    }
    const char *cast = item->cast == NULL ? NULL : sql_cast(item->cast);
    if (item->cast != NULL && cast == NULL)
        return rst_fail(b->err, 400, "42704", "type \"%s\" does not exist", item->cast);
    if (cast != NULL)
        rst_put(b, "CAST(");
    if (!rst_put_field(b, &item->field))
        return false;
    if (cast != NULL) {
        rst_put(b, " AS ");
        rst_put(b, cast);
        rst_put(b, ")");
    }
    /* A column under its own name has that name already, with whatever letters it has. */
    if (item->alias == NULL && item->field.path == NULL) {
        if (cast == NULL)
            return true;
        rst_put(b, " AS ");
        rst_put(b, rst_table_column(b->table, item->field.name)->sql_name);
        return true;
    }
    return put_name(b, name_of(item));
}

bool rst_put_items(struct rst_builder *b)
{
    static const struct rst_item everything = {.is_star = true};

    for (const struct rst_item *item = b->query->items == NULL ? &everything : b->query->items;
         item != NULL; item = item->next) {
        if (!put_item(b, item))
            return false;
        if (item->next != NULL)
            rst_put(b, ", ");
    }
    return true;
}

void rst_put_rows_as_json(struct rst_builder *b)
{
    const char *row = b->head->strips_nulls
                          ? "pg_catalog.json_strip_nulls(pg_catalog.row_to_json(" RST_ROWS "))"
                          : RST_ROWS;

    rst_put(b, "coalesce(pg_catalog.json_agg(");
    rst_put(b, row);
    rst_put(b, b->head->wants_object ? ") -> 0, 'null')" : "), '[]')");
}

/* --- reading --------------------------------------------------------------------------------- */

static bool put_order(struct rst_builder *b)
{
    for (const struct rst_order *order = b->query->orders; order != NULL; order = order->next) {
        rst_put(b, order == b->query->orders ? " ORDER BY " : ", ");
        if (!rst_put_field(b, &order->field))
            return false;
        if (order->has_direction)
            rst_put(b, order->is_descending ? " DESC" : " ASC");
        if (order->nulls != RST_NULLS_DEFAULT)
            rst_put(b, order->nulls == RST_NULLS_FIRST ? " NULLS FIRST" : " NULLS LAST");
    }
    return true;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What limit, offset and the Range header have in common. */
static int64_t find_window(const struct rst_head *head, const struct rst_query *query,
                           int64_t max_rows, int64_t *offset)
{
    int64_t first = query->offset, end = INT64_MAX; /* end: one behind the last */

    if (query->limit >= 0 && query->limit < INT64_MAX - first)
        end = first + query->limit;
    if (head->range_first > first)
        first = head->range_first;
    if (head->range_first >= 0 && head->range_last < INT64_MAX)
        end = least(end, head->range_last + 1);
    *offset = first;
    return end > first ? least(end - first, max_rows) : 0;
}

/* The limit stands in the text: with a parameter the planner would have to guess it, and would
 * seldom keep a plan. */
static bool put_window(struct rst_builder *b, int64_t max_rows)
{
    char number[24];
    int64_t limit = find_window(b->head, b->query, max_rows, &b->out->offset);

    df_buf_printf(b->sql, " LIMIT %lld", (long long)limit);
    if (b->out->offset == 0)
        return true;
    (void)snprintf(number, sizeof number, "%lld", (long long)b->out->offset);
    const char *value = rst_copy(b->arena, number, strlen(number));
    if (value == NULL)
        return rst_no_memory(b->err);
    rst_put(b, " OFFSET ");
    if (!rst_put_param(b, value))
        return false;
    rst_put(b, "::pg_catalog.int8");
    return true;
}

static bool put_read(struct rst_builder *b, int64_t max_rows)
{
    struct df_buf where;
    bool ok = false;

    df_buf_init(&where, RST_SQL_MAX_BYTES);
    b->sql = &where; /* it may be needed twice, with the same parameters */
    if (!rst_put_where(b))
        goto out;
    b->sql = &b->out->sql;
    rst_put(b, "SELECT pg_catalog.count(*), ");
    if (b->head->method == RST_HEAD)
        rst_put(b, "''");
    else
        rst_put_rows_as_json(b);
    if (b->head->counts) {
        rst_put(b, ", (SELECT pg_catalog.count(*) FROM ");
        rst_put_table(b);
        df_buf_append(b->sql, where.data, where.len);
        rst_put(b, ")");
    } else {
        rst_put(b, ", NULL");
    }
    rst_put(b, " FROM (SELECT ");
    if (!rst_put_items(b))
        goto out;
    rst_put(b, " FROM ");
    rst_put_table(b);
    df_buf_append(b->sql, where.data, where.len);
    if (!put_order(b) || !put_window(b, max_rows))
        goto out;
    rst_put(b, ") " RST_ROWS);
    b->out->has_result = true;
    ok = !where.failed;
    if (!ok)
        (void)rst_no_memory(b->err);
out:
    df_buf_release(&where);
    return ok;
}

bool rst_sql_build(struct rst_statement *out, const struct rst_head *head,
                   const struct rst_query *query, const struct rst_body *body,
                   const struct rst_catalog *catalog, int64_t max_rows, struct rst_arena *arena,
                   struct rst_error *err)
{
    struct rst_builder b = {.out = out,
                            .sql = &out->sql,
                            .head = head,
                            .query = query,
                            .body = body,
                            .catalog = catalog,
                            .table = rst_catalog_table(catalog, head->table),
                            .arena = arena,
                            .err = err};

    *out = (struct rst_statement){.table = b.table};
    df_buf_init(&out->sql, RST_SQL_MAX_BYTES);
    if (b.table == NULL)
        return rst_fail(err, 404, "PGRST205",
                        "Could not find the table '%s.%s' in the schema cache",
                        rst_catalog_schema(catalog), head->table);
    bool reads = head->method == RST_GET || head->method == RST_HEAD;
    if (!(reads ? put_read(&b, max_rows) : rst_put_write(&b)))
        return false;
    return !out->sql.failed || rst_no_memory(err);
}

void rst_statement_release(struct rst_statement *statement)
{
    df_buf_release(&statement->sql);
}
