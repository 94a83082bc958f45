/* fcgi/rest/catalog.h - the tables and views of the schema that is served, as Postgres' own
 * catalogue names them ("schema cache"). Whatever a request calls a table or a column is looked up
 * here, and only what was found here is written into SQL. Pure. */
#ifndef FCGI_REST_CATALOG_H
#define FCGI_REST_CATALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

struct rst_column {
    char *name;
    char *sql_name;      /* quoted, as format('%I') writes it */
    char *sql_type;      /* as format_type() writes it */
    char *default_value; /* SQL expression, or NULL */
    bool is_json;        /* json or jsonb */
    int key_position;    /* in the primary key from 1 on, or 0 */
};

struct rst_table {
    char *name;
    char *sql_name; /* quoted, without the schema */
    struct rst_column *columns;
    size_t column_count;
};

struct rst_catalog; /* immutable once built */

/* The query that lists columns, one a row, ordered by table; $1 is the schema. Its result columns
 * are the fields of struct rst_catalog_row, in their order. */
extern const char rst_catalog_sql[];

struct rst_catalog_row { /* all text, borrowed */
    const char *table, *sql_table, *column, *sql_column, *sql_type, *default_value, *key_position;
};

/* Builds a catalogue from `count` rows that row(ctx, i) returns. Columns of a table come one after
 * the other. The caller owns *out. DF_ENOMEM. */
enum df_code rst_catalog_new(struct rst_catalog **out, const char *schema, const char *sql_schema,
                             size_t count, struct rst_catalog_row (*row)(void *ctx, size_t i),
                             void *ctx, struct df_error *err) DF_MUST_USE;
void rst_catalog_free(struct rst_catalog *catalog); /* NULL is fine */

const char *rst_catalog_schema(const struct rst_catalog *catalog);     /* its name */
const char *rst_catalog_sql_schema(const struct rst_catalog *catalog); /* quoted */
size_t rst_catalog_size(const struct rst_catalog *catalog);            /* tables */

/* NULL: there is none of that name. Borrowed from the catalogue. */
const struct rst_table *rst_catalog_table(const struct rst_catalog *catalog, const char *name);
const struct rst_column *rst_table_column(const struct rst_table *table, const char *name);

#endif
