/* fcgi/rest/sql_parts.h - between sql.c, sql_where.c and sql_write.c only. */
#ifndef FCGI_REST_SQL_PARTS_H
#define FCGI_REST_SQL_PARTS_H

#include "fcgi/rest/sql.h"

struct rst_builder {
    struct rst_statement *out;
    struct df_buf *sql; /* where text goes now */
    const struct rst_head *head;
    const struct rst_query *query;
    const struct rst_body *body;
    const struct rst_catalog *catalog;
    const struct rst_table *table;
    struct rst_arena *arena;
    struct rst_error *err;
};

void rst_put(struct rst_builder *b, const char *text);
/* Appends $n and remembers the value. */
bool rst_put_param(struct rst_builder *b, const char *value);
void rst_put_table(struct rst_builder *b); /* "schema"."table" */
/* 42703 when there is no such column. */
const struct rst_column *rst_find_column(struct rst_builder *b, const char *name);
bool rst_put_field(struct rst_builder *b, const struct rst_field *field);
bool rst_put_items(struct rst_builder *b);
/* " WHERE ..." or nothing. */
bool rst_put_where(struct rst_builder *b);
/* The whole statement of POST, PATCH, DELETE. */
bool rst_put_write(struct rst_builder *b);

/* How the rows become JSON; they are called ROWS. */
#define RST_ROWS "_dealflow_row"
void rst_put_rows_as_json(struct rst_builder *b);

#endif
