/* fcgi/rest/query.h - the query string of a request, as PostgREST reads it. Pure.
 * Source: https://docs.postgrest.org/en/v13/references/api/tables_views.html
 *
 * Nothing here is trusted: names are looked up in the catalogue and values become parameters later
 * (fcgi/rest/sql.c). */
#ifndef FCGI_REST_QUERY_H
#define FCGI_REST_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/rest/arena.h"
#include "fcgi/rest/error.h"

enum { RST_DEPTH_MAX = 32 }; /* of and(...)/or(...) trees */

struct rst_step { /* of a path into JSON: ->key, ->>key, ->2 */
    const char *key;
    bool is_index, is_text; /* ->> */
    struct rst_step *next;
};

struct rst_field {
    const char *name;
    struct rst_step *path;
};

struct rst_item { /* of select */
    bool is_star;
    struct rst_field field;
    const char *alias, *cast; /* or NULL */
    struct rst_item *next;
};

struct rst_name { /* of columns and on_conflict */
    const char *name;
    struct rst_name *next;
};

/* clang-format off */
enum rst_op {
    RST_EQ, RST_NEQ, RST_LT, RST_LTE, RST_GT, RST_GTE, RST_LIKE, RST_ILIKE, RST_MATCH, RST_IMATCH,
    RST_IN, RST_IS, RST_ISDISTINCT, RST_CS, RST_CD, RST_OV, RST_SL, RST_SR, RST_NXR, RST_NXL, RST_ADJ,
};
/* clang-format on */
enum rst_any { RST_ONE, RST_ANY, RST_ALL }; /* eq(any).{1,2} */
enum rst_kind { RST_LEAF, RST_AND, RST_OR };

struct rst_filter {
    enum rst_kind kind;
    bool is_negated;
    struct rst_filter *children; /* RST_AND, RST_OR */
    struct rst_field field;      /* RST_LEAF from here on */
    enum rst_op op;
    enum rst_any any;
    const char *value; /* a parameter; RST_IN: an array literal; RST_IS: the SQL word */
    struct rst_filter *next;
};

enum rst_nulls { RST_NULLS_DEFAULT, RST_NULLS_FIRST, RST_NULLS_LAST };

struct rst_order {
    struct rst_field field;
    bool is_descending, has_direction;
    enum rst_nulls nulls;
    struct rst_order *next;
};

struct rst_query {
    struct rst_item *items;     /* NULL: everything */
    struct rst_filter *filters; /* all must hold */
    struct rst_order *orders;
    int64_t limit, offset; /* limit -1: none */
    bool has_columns;
    struct rst_name *columns, *on_conflict;
};

/* Reads everything behind the question mark. What is kept lives in the arena; the text need not.
 * False: *err says what PostgREST would. */
bool rst_query_parse(struct rst_query *out, const char *text, size_t len, struct rst_arena *arena,
                     struct rst_error *err);

/* Decodes %XX and '+' into the arena; other bytes stay. NULL: a NUL byte, or out of memory. */
char *rst_url_decode(const char *text, size_t len, struct rst_arena *arena, struct rst_error *err);

#endif
