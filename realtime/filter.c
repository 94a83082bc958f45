/* realtime/filter.c - filter texts: conditions "column=op.value" joined by commas, all must hold. Here
 * only their form is judged; columns, types and patterns are Postgres's business. */
#include <stdio.h>
#include <string.h>

#include "realtime/join.h"
#include "shared/json.h"

#define PREFIX "Error parsing `filter` params: "

struct span {
    const char *at;
    size_t len;
};

static const char *const scalar_ops[] = {"eq",   "neq",   "lt",    "lte",    "gt",        "gte",
                                         "like", "ilike", "match", "imatch", "isdistinct"};

static bool span_is(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static struct span trim(struct span span)
{
    while (span.len > 0 && (span.at[0] == ' ' || span.at[0] == '\t')) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && (span.at[span.len - 1] == ' ' || span.at[span.len - 1] == '\t'))
        span.len--;
    return span;
}

/* Cuts the text before the next `stop` that stands outside quotes and parentheses; *rest is what
 * follows it. False when there is none (then the whole text is the part). */
static bool cut(struct span text, char stop, struct span *part, struct span *rest)
{
    bool in_quotes = false;
    int depth = 0;

    *part = text;
    *rest = (struct span){text.at + text.len, 0};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (in_quotes && c == '\\') {
            i++;
        } else if (c == '"') {
            in_quotes = !in_quotes;
        } else if (!in_quotes && c == '(') {
            depth++;
        } else if (!in_quotes && c == ')' && depth > 0) {
            depth--;
        } else if (!in_quotes && depth == 0 && c == stop) {
            part->len = i;
            *rest = (struct span){text.at + i + 1, text.len - i - 1};
            return true;
        }
    }
    return false;
}

/* Column and operator end at the first '=' and '.', whatever stands around them. */
static bool cut_first(struct span text, char stop, struct span *part, struct span *rest)
{
    const char *at = text.len == 0 ? NULL : memchr(text.at, stop, text.len);

    *part = text;
    *rest = (struct span){text.at + text.len, 0};
    if (at == NULL)
        return false;
    part->len = (size_t)(at - text.at);
    *rest = (struct span){at + 1, text.len - part->len - 1};
    return true;
}

/* --- values ---------------------------------------------------------------------------------- */

/* A value without its quotes and escapes, as a JSON string. */
static void put_value(struct df_buf *out, struct span value)
{
    char plain[1024];
    struct df_buf longer;
    size_t n = 0;

    if (value.len < 2 || value.at[0] != '"' || value.at[value.len - 1] != '"') {
        (void)df_json_append_string(out, value.at, value.len);
        return;
    }
    df_buf_init(&longer, out->max);
    for (size_t i = 1; i + 1 < value.len; i++) {
        if (value.at[i] == '\\' && i + 2 < value.len &&
            (value.at[i + 1] == '"' || value.at[i + 1] == '\\'))
            i++;
        plain[n++] = value.at[i];
        if (n == sizeof plain) {
            out->failed |= !df_buf_append(&longer, plain, n);
            n = 0;
        }
    }
    out->failed |= !df_buf_append(&longer, plain, n);
    if (longer.data != NULL)
        (void)df_json_append_string(out, longer.data, longer.len);
    df_buf_release(&longer);
}

static void put_values(struct df_buf *out, struct span list)
{
    struct span item, rest = list;
    bool is_first = true, has_more = list.len > 0;

    (void)df_buf_append_str(out, ",\"values\":[");
    while (has_more) {
        has_more = cut(rest, ',', &item, &rest);
        if (!is_first)
            (void)df_buf_append_char(out, ',');
        put_value(out, trim(item));
        is_first = false;
    }
    (void)df_buf_append_char(out, ']');
}

/* --- one condition --------------------------------------------------------------------------- */

/* As Elixir prints a list of texts: ["foo", "hey"]. */
static bool refuse_pair(char *error, size_t error_size, struct span op, struct span value)
{
    (void)snprintf(error, error_size, PREFIX "[\"%.*s\", \"%.*s\"]",
                   (int)(op.len > 200 ? 200 : op.len), op.at,
                   (int)(value.len > 200 ? 200 : value.len), value.at);
    return false;
}

static bool refuse_one(char *error, size_t error_size, struct span text)
{
    (void)snprintf(error, error_size, PREFIX "[\"%.*s\"]",
                   (int)(text.len > 200 ? 200 : text.len), text.at);
    return false;
}

static bool refuse(char *error, size_t error_size, const char *why)
{
    (void)snprintf(error, error_size, PREFIX "%s", why);
    return false;
}

static bool is_scalar_op(struct span op)
{
    for (size_t i = 0; i < sizeof scalar_ops / sizeof scalar_ops[0]; i++)
        if (span_is(op, scalar_ops[i]))
            return true;
    return false;
}

static bool is_uuid_text(struct span value)
{
    if (value.len != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        char c = value.at[i];
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (is_dash ? c != '-' : !is_hex)
            return false;
    }
    return true;
}

/* The gateway compares sessions as text: Postgres prints uuids in lower case. */
static void take_session(char *session, struct span value)
{
    for (size_t i = 0; i < 36; i++)
        session[i] = value.at[i] >= 'A' && value.at[i] <= 'F' ? (char)(value.at[i] + 32)
                                                              : value.at[i];
    session[36] = '\0';
}

static bool read_condition(struct df_buf *out, struct span text, char *session, char *error,
                           size_t error_size)
{
    struct span column, op, value, rest;
    bool is_not = false;

    if (!cut_first(text, '=', &column, &rest))
        return refuse_one(error, error_size, text);
    column = trim(column);
    bool has_value = cut_first(rest, '.', &op, &value);
    if (has_value && span_is(op, "not")) {
        is_not = true;
        rest = value;
        has_value = cut_first(rest, '.', &op, &value);
    }
    if (!has_value || column.len == 0)
        return refuse_one(error, error_size, rest);
    bool is_in = span_is(op, "in"), is_is = span_is(op, "is");
    if (!is_in && !is_is && !is_scalar_op(op))
        return refuse_pair(error, error_size, op, value);
    if (is_is && !span_is(value, "null") && !span_is(value, "true") && !span_is(value, "false") &&
        !span_is(value, "unknown"))
        return refuse_pair(error, error_size, op, value);
    if (is_in && (value.len < 2 || value.at[0] != '(' || value.at[value.len - 1] != ')'))
        return refuse(error, error_size, "`in` filter value must be wrapped by parentheses");
    (void)df_buf_append_str(out, "{\"column\":");
    (void)df_json_append_string(out, column.at, column.len);
    (void)df_buf_append_str(out, ",\"op\":");
    (void)df_json_append_string(out, op.at, op.len);
    (void)df_buf_append_str(out, is_not ? ",\"not\":true" : ",\"not\":false");
    if (is_in) {
        put_values(out, (struct span){value.at + 1, value.len - 2});
    } else {
        (void)df_buf_append_str(out, ",\"value\":");
        put_value(out, value);
    }
    (void)df_buf_append_char(out, '}');
    if (!is_not && span_is(op, "eq") && span_is(column, "stream_session_id") && is_uuid_text(value))
        take_session(session, value);
    return true;
}

bool rt_filter_parse(struct df_buf *out, const char *text, size_t text_len, char *session,
                     char *error, size_t error_size)
{
    struct span part, rest = trim((struct span){text, text_len});
    size_t before = out->len, count = 0;
    bool has_more = rest.len > 0, is_good = true;

    session[0] = error[0] = '\0';
    if (text_len > 0 && memchr(text, '\0', text_len) != NULL) /* no text of Postgres holds one */
        return refuse(error, error_size, "filter must not contain null characters");
    (void)df_buf_append_char(out, '[');
    while (has_more && is_good) {
        has_more = cut(rest, ',', &part, &rest);
        part = trim(part);
        if (part.len == 0)
            is_good = refuse(error, error_size,
                             "filter must not contain empty segments (check for extra commas)");
        else if (++count > RT_CONDITIONS_MAX)
            is_good = refuse(error, error_size, "too many conditions");
        else {
            if (count > 1)
                (void)df_buf_append_char(out, ',');
            is_good = read_condition(out, part, session, error, error_size);
        }
    }
    (void)df_buf_append_char(out, ']');
    if (is_good && out->failed)
        is_good = refuse(error, error_size, "the filter is too long");
    if (!is_good && out->data != NULL) {
        out->len = before;
        out->data[before] = '\0';
    }
    return is_good;
}
