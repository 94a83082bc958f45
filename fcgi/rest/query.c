/* fcgi/rest/query.c - splits the query string into its parameters; names, order, limits. */
#include "fcgi/rest/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rest/query_parts.h"

/* --- bytes ----------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *rst_url_decode(const char *text, size_t len, struct rst_arena *arena, struct rst_error *err)
{
    char *out = rst_alloc(arena, len + 1);
    size_t used = 0;

    if (out == NULL) {
        (void)rst_no_memory(err);
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        int high = i + 2 < len && text[i] == '%' ? hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text[i + 2]) : -1;
        if (low >= 0) {
            out[used++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[used++] = text[i] == '+' ? ' ' : text[i];
        }
        if (out[used - 1] == '\0') { /* as Postgres would say about it */
            (void)rst_fail(err, 400, "22021", "invalid byte sequence for encoding \"UTF8\": 0x00");
            return NULL;
        }
    }
    return out;
}

bool rst_unexpected(struct rst_reader *reader, const char *expected)
{
    (void)rst_fail(reader->err, 400, "PGRST100",
                   "\"failed to parse %s (%.400s)\" (line 1, column %zu)", reader->what,
                   reader->text, (size_t)(reader->at - reader->text) + 1);
    if (*reader->at == '\0')
        return rst_details(reader->err, "unexpected end of input expecting %s", expected);
    /* A whole character, so that it can be shown. */
    int len = 1;
    while (len < 4 && ((unsigned char)reader->at[len] & 0xc0) == 0x80)
        len++;
    return rst_details(reader->err, "unexpected \"%.*s\" expecting %s", len, reader->at, expected);
}

/* --- names ----------------------------------------------------------------------------------- */

char *rst_read_quoted(struct rst_reader *reader)
{
    char *out = rst_alloc(reader->arena, strlen(reader->at) + 1);
    size_t used = 0;

    if (out == NULL) {
        (void)rst_no_memory(reader->err);
        return NULL;
    }
    for (reader->at++; *reader->at != '"'; reader->at++) {
        if (*reader->at == '\\' && reader->at[1] != '\0')
            reader->at++;
        if (*reader->at == '\0') {
            (void)rst_unexpected(reader, "a closing quote");
            return NULL;
        }
        out[used++] = *reader->at;
    }
    reader->at++;
    return out;
}

static bool read_step(struct rst_reader *reader, const char *stops, struct rst_step *out)
{
    reader->at += 2;
    if (*reader->at == '>') {
        out->is_text = true;
        reader->at++;
    }
    const char *begin = reader->at;
    if (*begin == '"')
        return (out->key = rst_read_quoted(reader)) != NULL;
    while (*reader->at != '\0' && strchr(stops, *reader->at) == NULL &&
           !(reader->at[0] == '-' && reader->at[1] == '>'))
        reader->at++;
    size_t len = (size_t)(reader->at - begin);
    if (len == 0)
        return rst_unexpected(reader, "a key or an index");
    out->key = rst_copy(reader->arena, begin, len);
    if (out->key == NULL)
        return rst_no_memory(reader->err);
    const char *digits = out->key + (out->key[0] == '-');
    out->is_index =
        digits[0] != '\0' && strlen(digits) <= 9 && strspn(digits, "0123456789") == strlen(digits);
    return true;
}

bool rst_read_field(struct rst_reader *reader, const char *stops, struct rst_field *out)
{
    const char *begin = reader->at;

    *out = (struct rst_field){0};
    if (*begin == '"') {
        out->name = rst_read_quoted(reader);
        if (out->name == NULL)
            return false;
    } else {
        while (*reader->at != '\0' && strchr(stops, *reader->at) == NULL &&
               !(reader->at[0] == '-' && reader->at[1] == '>'))
            reader->at++;
        if (reader->at == begin)
            return rst_unexpected(reader, "field name (* or [a..z0..9_$])");
        out->name = rst_copy(reader->arena, begin, (size_t)(reader->at - begin));
        if (out->name == NULL)
            return rst_no_memory(reader->err);
    }
    for (struct rst_step **tail = &out->path; reader->at[0] == '-' && reader->at[1] == '>';
         tail = &(*tail)->next) {
        *tail = rst_alloc(reader->arena, sizeof **tail);
        if (*tail == NULL)
            return rst_no_memory(reader->err);
        if (!read_step(reader, stops, *tail))
            return false;
    }
    return true;
}

bool rst_read_names(struct rst_reader *reader, struct rst_name **out)
{
    struct rst_name **tail = out;

    *out = NULL;
    if (*reader->at == '\0')
        return true;
    for (;; reader->at++) {
        struct rst_field field;
        if (!rst_read_field(reader, ",", &field))
            return false;
        if (field.path != NULL || (*reader->at != ',' && *reader->at != '\0'))
            return rst_unexpected(reader, "\",\" or end of input");
        *tail = rst_alloc(reader->arena, sizeof **tail);
        if (*tail == NULL)
            return rst_no_memory(reader->err);
        (*tail)->name = field.name;
        tail = &(*tail)->next;
        if (*reader->at == '\0')
            return true;
    }
}

/* --- order, limit, offset -------------------------------------------------------------------- */

static bool take_word(struct rst_reader *reader, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(reader->at, word, len) != 0 ||
        (reader->at[len] != '.' && reader->at[len] != ',' && reader->at[len] != '\0'))
        return false;
    reader->at += len;
    return true;
}

static bool read_order(struct rst_reader *reader, struct rst_order **out)
{
    struct rst_order **tail = out;

    *out = NULL;
    for (;; reader->at++) {
        struct rst_order *order = *tail = rst_alloc(reader->arena, sizeof *order);
        if (order == NULL)
            return rst_no_memory(reader->err);
        tail = &order->next;
        if (!rst_read_field(reader, ".,()", &order->field))
            return false;
        bool has_nulls = false;
        while (*reader->at == '.') {
            reader->at++;
            bool may_direct = !order->has_direction && !has_nulls;
            if (may_direct && (take_word(reader, "asc") || take_word(reader, "desc"))) {
                order->is_descending =
                    reader->at[-1] == 'c' && reader->at[-2] == 's' && reader->at[-3] == 'e';
                order->has_direction = true;
            } else if (!has_nulls &&
                       (take_word(reader, "nullsfirst") || take_word(reader, "nullslast"))) {
                /* ...first and ...last end in the same two letters */
                order->nulls = reader->at[-3] == 'r' ? RST_NULLS_FIRST : RST_NULLS_LAST;
                has_nulls = true;
            } else {
                return rst_unexpected(reader, has_nulls ? "\",\" or end of input"
                                              : order->has_direction
                                                  ? "nulls order (nullsfirst or nullslast)"
                                                  : "\"asc\", \"desc\", \"nullsfirst\" or "
                                                    "\"nullslast\"");
            }
        }
        if (*reader->at == '(') { /* of an embedded resource */
            (void)rst_fail(reader->err, 400, "PGRST108",
                           "'%s' is not an embedded resource in this request", order->field.name);
            return rst_hint(reader->err,
                            "Verify that '%s' is included in the 'select' query parameter.",
                            order->field.name);
        }
        if (*reader->at == '\0')
            return true;
        if (*reader->at != ',')
            return rst_unexpected(reader, "\",\" or end of input");
    }
}

static bool read_number(struct rst_reader *reader, bool is_limit, int64_t *out)
{
    char *end;

    if (*reader->at == '-' && strspn(reader->at + 1, "0123456789") > 0) {
        (void)rst_fail(reader->err, 416, "PGRST103", "Requested range not satisfiable");
        return rst_details(reader->err, "%s should be greater than or equal to zero.",
                           is_limit ? "Limit" : "Offset");
    }
    if (*reader->at < '0' || *reader->at > '9')
        return rst_unexpected(reader, "a number");
    errno = 0;
    long long value = strtoll(reader->at, &end, 10);
    reader->at = end;
    if (*end != '\0')
        return rst_unexpected(reader, "a digit or end of input");
    *out = errno == ERANGE ? INT64_MAX : value;
    return true;
}

/* --- parameters ------------------------------------------------------------------------------ */

static bool add_filter(struct rst_query *query, struct rst_filter *filter)
{
    struct rst_filter **tail = &query->filters;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = filter;
    return true;
}

static bool is_logic(const char *key, struct rst_filter *filter)
{
    const char *word = key;
    if (strncmp(word, "not.", 4) == 0) {
        filter->is_negated = true;
        word += 4;
    }
    filter->kind = strcmp(word, "and") == 0 ? RST_AND : RST_OR;
    return filter->kind == RST_AND || strcmp(word, "or") == 0;
}

static bool read_filter(struct rst_query *query, const char *key, struct rst_reader *reader)
{
    struct rst_filter *filter = rst_alloc(reader->arena, sizeof *filter);

    if (filter == NULL)
        return rst_no_memory(reader->err);
    if (is_logic(key, filter)) {
        reader->what = "logic tree";
        return rst_read_tree(reader, filter) && add_filter(query, filter);
    }
    *filter = (struct rst_filter){.kind = RST_LEAF};
    struct rst_reader name = {
        .what = "tree path", .text = key, .at = key, .arena = reader->arena, .err = reader->err};
    if (!rst_read_field(&name, ".()", &filter->field))
        return false;
    if (*name.at == '.') {
        (void)rst_fail(reader->err, 400, "PGRST108",
                       "'%s' is not an embedded resource in this request", filter->field.name);
        return rst_hint(reader->err,
                        "Verify that '%s' is included in the 'select' query parameter.",
                        filter->field.name);
    }
    if (*name.at != '\0')
        return rst_unexpected(&name, "field name (* or [a..z0..9_$])");
    reader->what = "filter";
    return rst_read_condition(reader, filter) && add_filter(query, filter);
}

static bool read_parameter(struct rst_query *query, const char *key, struct rst_reader *reader)
{
    if (strcmp(key, "select") == 0) {
        reader->what = "select parameter";
        return rst_read_select(reader, &query->items);
    }
    if (strcmp(key, "order") == 0) {
        reader->what = "order";
        return read_order(reader, &query->orders);
    }
    if (strcmp(key, "limit") == 0 || strcmp(key, "offset") == 0) {
        bool is_limit = key[0] == 'l';
        reader->what = is_limit ? "limit" : "offset";
        return read_number(reader, is_limit, is_limit ? &query->limit : &query->offset);
    }
    if (strcmp(key, "columns") == 0) {
        reader->what = "columns parameter";
        query->has_columns = true;
        return rst_read_names(reader, &query->columns);
    }
    if (strcmp(key, "on_conflict") == 0) {
        reader->what = "on_conflict parameter";
        return rst_read_names(reader, &query->on_conflict);
    }
    if (strcmp(key, "apikey") == 0) /* read by fcgi/rest/caller.c */
        return true;
    return read_filter(query, key, reader);
}

bool rst_query_parse(struct rst_query *out, const char *text, size_t len, struct rst_arena *arena,
                     struct rst_error *err)
{
    const char *end = text + len;

    *out = (struct rst_query){.limit = -1};
    while (text < end) {
        const char *next = memchr(text, '&', (size_t)(end - text));
        if (next == NULL)
            next = end;
        const char *equals = memchr(text, '=', (size_t)(next - text));
        const char *key_end = equals == NULL ? next : equals;
        const char *value = equals == NULL ? next : equals + 1;
        if (next > text) {
            char *key = rst_url_decode(text, (size_t)(key_end - text), arena, err);
            struct rst_reader reader = {.arena = arena, .err = err};
            if (key == NULL)
                return false;
            reader.text = reader.at = rst_url_decode(value, (size_t)(next - value), arena, err);
            if (reader.text == NULL || !read_parameter(out, key, &reader))
                return false;
        }
        text = next + (next < end);
    }
    return true;
}
