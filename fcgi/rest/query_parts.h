/* fcgi/rest/query_parts.h - between query.c, query_filter.c and query_select.c only. */
#ifndef FCGI_REST_QUERY_PARTS_H
#define FCGI_REST_QUERY_PARTS_H

#include "fcgi/rest/query.h"

/* A text being read, and what to call it in an error. */
struct rst_reader {
    const char *what; /* "filter", "logic tree", ... */
    const char *text, *at;
    struct rst_arena *arena;
    struct rst_error *err;
};

/* PGRST100 at the place where the reader stands; returns false. */
bool rst_unexpected(struct rst_reader *reader, const char *expected);

/* A name, quoted or not, and a path into JSON behind it. stops: further bytes that end a name. */
bool rst_read_field(struct rst_reader *reader, const char *stops, struct rst_field *out);
/* A double-quoted text with \" and \\; the reader stands at the quote. NULL: *err is set. */
char *rst_read_quoted(struct rst_reader *reader);
bool rst_read_names(struct rst_reader *reader, struct rst_name **out);

/* The value of a filter parameter: [not.]operator.value to its end. */
bool rst_read_condition(struct rst_reader *reader, struct rst_filter *out);
/* The value of and=, or=: a list in brackets. */
bool rst_read_tree(struct rst_reader *reader, struct rst_filter *out);

bool rst_read_select(struct rst_reader *reader, struct rst_item **out);

#endif
