/* realtime/select.c - a walk over the members of one JSON text. */
#include "realtime/select.h"

#include <string.h>

struct span {
    const char *at;
    size_t len;
};

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')
        at++;
    return at;
}

/* The end of the string literal that begins here. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++)
        if (*at == '\\' && at[1] != '\0')
            at++;
    return *at == '"' ? at + 1 : at;
}

/* The end of the value that begins here. */
static const char *skip_value(const char *at)
{
    int depth = 0;

    for (;;) {
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0)
                return at;
            depth--;
            at++;
        } else if (*at == '\0' || (depth == 0 && (*at == ',' || *at == ' '))) {
            return at;
        } else {
            at++;
            continue;
        }
        if (depth == 0)
            return at;
    }
}

/* The next member of an object, or element of a list (then without a name); *at stands behind the
 * opening bracket or the one before. */
static bool next_member(const char **at, bool is_object, struct span *name, struct span *value)
{
    const char *here = skip_space(*at);

    if (*here == ',')
        here = skip_space(here + 1);
    if (*here == '\0' || *here == '}' || *here == ']' || (is_object && *here != '"'))
        return false;
    *name = (struct span){here, 0};
    if (is_object) {
        const char *end = skip_string(here);
        name->len = (size_t)(end - here);
        here = skip_space(end);
        if (*here != ':')
            return false;
        here = skip_space(here + 1);
    }
    value->at = here;
    *at = skip_value(here);
    value->len = (size_t)(*at - here);
    return value->len > 0;
}

static bool is_same(struct span a, struct span b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static bool is_selected(const char *select, struct span name)
{
    const char *at = skip_space(select);
    struct span none, one;

    if (*at++ != '[')
        return false;
    while (next_member(&at, false, &none, &one))
        if (is_same(one, name))
            return true;
    return false;
}

/* A key of several columns is an object of them; one column is known by its value, and should
 * another column have the same, it is shown as well. */
static bool is_key(const char *key, struct span name, struct span value)
{
    const char *at = skip_space(key);
    struct span one_name, one_value;

    if (*at != '{')
        return value.len == strlen(key) && memcmp(value.at, key, value.len) == 0;
    at++;
    while (next_member(&at, true, &one_name, &one_value))
        if (is_same(one_name, name))
            return true;
    return false;
}

bool rt_select_record(struct df_buf *out, const char *object, const char *select, const char *key)
{
    const char *at = skip_space(object);
    struct span name, value;
    bool is_first = true;

    if (*at++ != '{')
        return df_buf_append_str(out, object);
    (void)df_buf_append_char(out, '{');
    while (next_member(&at, true, &name, &value)) {
        if (!is_selected(select, name) && !is_key(key, name, value))
            continue;
        if (!is_first)
            (void)df_buf_append_char(out, ',');
        is_first = false;
        (void)df_buf_append(out, name.at, name.len);
        (void)df_buf_append_char(out, ':');
        (void)df_buf_append(out, value.at, value.len);
    }
    return df_buf_append_char(out, '}') && !out->failed;
}

/* Is it a column of the key, going by the record? */
static bool holds_key(const char *record, const char *key, struct span column)
{
    const char *at = record == NULL ? "" : skip_space(record);
    struct span name, value;

    if (*at++ != '{')
        return false;
    while (next_member(&at, true, &name, &value))
        if (is_same(name, column))
            return is_key(key, name, value);
    return false;
}

bool rt_select_columns(struct df_buf *out, const char *columns, const char *record,
                       const char *select, const char *key)
{
    static const struct span name_of_column = {"\"name\"", 6};
    const char *at = skip_space(columns), *inner = NULL;
    struct span none, column, name, value;
    bool is_first = true;

    if (*at++ != '[')
        return df_buf_append_str(out, columns);
    (void)df_buf_append_char(out, '[');
    while (next_member(&at, false, &none, &column)) {
        bool is_wanted = false;
        inner = column.at + (column.at[0] == '{' ? 1 : 0);
        while (inner > column.at && next_member(&inner, true, &name, &value))
            if (is_same(name, name_of_column))
                is_wanted = is_selected(select, value) || holds_key(record, key, value);
        if (!is_wanted)
            continue;
        if (!is_first)
            (void)df_buf_append_char(out, ',');
        is_first = false;
        (void)df_buf_append(out, column.at, column.len);
    }
    return df_buf_append_char(out, ']') && !out->failed;
}
