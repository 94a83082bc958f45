/* fcgi/rest/catalog.c - names, types, defaults and primary keys of one schema. */
#include "fcgi/rest/catalog.h"

#include <stdlib.h>
#include <string.h>

/* Only what a client could use: generated and identity columns are written by Postgres, which says
 * so itself. A view has no primary key; upserts into one need on_conflict. */
const char rst_catalog_sql[] =
    "select c.relname, pg_catalog.quote_ident(c.relname), a.attname, "
    "       pg_catalog.quote_ident(a.attname), "
    "       pg_catalog.format_type(a.atttypid, a.atttypmod), "
    "       case when a.attidentity = '' and a.attgenerated = '' "
    "            then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end, "
    "       coalesce(pg_catalog.array_position(k.conkey, a.attnum), 0), "
    "       pg_catalog.quote_ident($1) "
    "from pg_catalog.pg_class c "
    "join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
    "left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum "
    "left join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'p' "
    "where c.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = $1) "
    "  and c.relkind in ('r', 'p', 'v', 'm', 'f') "
    "order by c.relname, a.attnum";

struct rst_catalog {
    char *schema, *sql_schema;
    struct rst_table *tables; /* sorted by name */
    size_t table_count;
};

static void free_table(struct rst_table *table)
{
    for (size_t i = 0; i < table->column_count; i++) {
        struct rst_column *column = &table->columns[i];
        free(column->name);
        free(column->sql_name);
        free(column->sql_type);
        free(column->default_value);
    }
    free(table->columns);
    free(table->name);
    free(table->sql_name);
}

void rst_catalog_free(struct rst_catalog *catalog)
{
    if (catalog == NULL)
        return;
    for (size_t i = 0; i < catalog->table_count; i++)
        free_table(&catalog->tables[i]);
    free(catalog->tables);
    free(catalog->schema);
    free(catalog->sql_schema);
    free(catalog);
}

static struct rst_table *add_table(struct rst_catalog *catalog, const struct rst_catalog_row *row)
{
    struct rst_table *tables =
        reallocarray(catalog->tables, catalog->table_count + 1, sizeof *tables);
    if (tables == NULL)
        return NULL;
    catalog->tables = tables;
    struct rst_table *table = &tables[catalog->table_count++];
    *table = (struct rst_table){.name = strdup(row->table), .sql_name = strdup(row->sql_table)};
    return table->name == NULL || table->sql_name == NULL ? NULL : table;
}

static bool add_column(struct rst_table *table, const struct rst_catalog_row *row)
{
    struct rst_column *columns =
        reallocarray(table->columns, table->column_count + 1, sizeof *columns);
    if (columns == NULL)
        return false;
    table->columns = columns;
    struct rst_column *column = &columns[table->column_count++];
    *column = (struct rst_column){.name = strdup(row->column),
                                  .sql_name = strdup(row->sql_column),
                                  .sql_type = strdup(row->sql_type),
                                  .key_position = atoi(row->key_position)};
    column->is_json = strcmp(row->sql_type, "json") == 0 || strcmp(row->sql_type, "jsonb") == 0;
    if (row->default_value != NULL) {
        column->default_value = strdup(row->default_value);
        if (column->default_value == NULL)
            return false;
    }
    return column->name != NULL && column->sql_name != NULL && column->sql_type != NULL;
}

static int compare_tables(const void *a, const void *b)
{
    const struct rst_table *left = a, *right = b;
    return strcmp(left->name, right->name);
}

enum df_code rst_catalog_new(struct rst_catalog **out, const char *schema, const char *sql_schema,
                             size_t count, struct rst_catalog_row (*row)(void *ctx, size_t i),
                             void *ctx, struct df_error *err)
{
    *out = NULL;
    struct rst_catalog *catalog = calloc(1, sizeof *catalog);
    if (catalog == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    catalog->schema = strdup(schema);
    catalog->sql_schema = strdup(sql_schema);
    bool ok = catalog->schema != NULL && catalog->sql_schema != NULL;
    struct rst_table *table = NULL;
    for (size_t i = 0; i < count && ok; i++) {
        struct rst_catalog_row each = row(ctx, i);
        if (table == NULL || strcmp(table->name, each.table) != 0)
            table = add_table(catalog, &each);
        ok = table != NULL && add_column(table, &each);
    }
    if (!ok) {
        rst_catalog_free(catalog);
        return df_error_set(err, DF_ENOMEM, "out of memory");
    }
    /* By bytes, whatever the collation of the database is. */
    if (catalog->table_count > 0)
        qsort(catalog->tables, catalog->table_count, sizeof *catalog->tables, compare_tables);
    *out = catalog;
    return DF_OK;
}

const char *rst_catalog_schema(const struct rst_catalog *catalog)
{
    return catalog->schema;
}

const char *rst_catalog_sql_schema(const struct rst_catalog *catalog)
{
    return catalog->sql_schema;
}

size_t rst_catalog_size(const struct rst_catalog *catalog)
{
    return catalog->table_count;
}

const struct rst_table *rst_catalog_table(const struct rst_catalog *catalog, const char *name)
{
    const struct rst_table wanted = {.name = (char *)name};
    return catalog->table_count == 0 ? NULL
                                     : bsearch(&wanted, catalog->tables, catalog->table_count,
                                               sizeof wanted, compare_tables);
}

const struct rst_column *rst_table_column(const struct rst_table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return &table->columns[i];
    }
    return NULL;
}
