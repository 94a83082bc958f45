/* fcgi/rest/sql.h - one SQL statement for a request. Names come out of the catalogue, already
 * quoted by Postgres; values are parameters; an alias, the only text that a caller chooses,
 * consists of letters, digits and "_$- " only. Pure. */
#ifndef FCGI_REST_SQL_H
#define FCGI_REST_SQL_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/rest/body.h"
#include "fcgi/rest/catalog.h"
#include "fcgi/rest/head.h"
#include "fcgi/rest/query.h"
#include "shared/buf.h"

enum { RST_PARAMS_MAX = 4096, RST_SQL_MAX_BYTES = 1 << 20 };

/* With has_result its one row is: how many rows, their JSON (""  where none is wanted), then either
 * the count of all rows (NULL unless asked for), or, with returns=headers-only, the values of the
 * primary key. Without, the command tag tells how many rows. */
struct rst_statement {
    struct df_buf sql; /* owned; rst_statement_release */
    const char **params;
    int param_count;
    bool has_result;
    int64_t offset; /* of the first row returned */
    const struct rst_table *table;
};

/* Needs head->table in the catalogue. body: for POST and PATCH, else NULL. False: *err says what
 * PostgREST or Postgres would; PGRST204, PGRST205 and 42703 mean that the catalogue may be old.
 * *out is to be released in any case. */
bool rst_sql_build(struct rst_statement *out, const struct rst_head *head,
                   const struct rst_query *query, const struct rst_body *body,
                   const struct rst_catalog *catalog, int64_t max_rows, struct rst_arena *arena,
                   struct rst_error *err);
void rst_statement_release(struct rst_statement *statement);

#endif
