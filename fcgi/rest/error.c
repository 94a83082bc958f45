/* fcgi/rest/error.c - PostgREST's error bodies, and its table from SQLSTATE to HTTP status. */
#include "fcgi/rest/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/json.h"

bool rst_fail(struct rst_error *err, int status, const char *code, const char *fmt, ...)
{
    va_list args;
    err->status = status;
    err->has_details = err->has_hint = false;
    (void)snprintf(err->code, sizeof err->code, "%s", code);
    va_start(args, fmt);
    (void)vsnprintf(err->message, sizeof err->message, fmt, args);
    va_end(args);
    return false;
}

bool rst_details(struct rst_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->details, sizeof err->details, fmt, args);
    va_end(args);
    err->has_details = true;
    return false;
}

bool rst_hint(struct rst_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
    err->has_hint = true;
    return false;
}

bool rst_no_memory(struct rst_error *err)
{
    return rst_fail(err, 503, "53200", "out of memory");
}

static bool ends_with(const char *text, const char *end)
{
    size_t text_len = strlen(text), end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

int rst_status_of(const char *sqlstate, const char *message, bool is_anon)
{
    /* Whole states before their classes. */
    static const struct {
        const char *state;
        int status;
    } rows[] = {
        {"23503", 409}, {"23505", 409}, {"25006", 405}, {"42883", 404}, {"42P01", 404},
        {"42P17", 500}, {"53400", 500}, {"57P01", 503}, {"P0001", 400}, {"08", 503},
        {"09", 500},    {"0L", 403},    {"0P", 403},    {"25", 500},    {"28", 403},
        {"2D", 500},    {"38", 500},    {"39", 500},    {"3B", 500},    {"40", 500},
        {"53", 503},    {"54", 500},    {"55", 500},    {"57", 500},    {"58", 500},
        {"F0", 500},    {"HV", 500},    {"P0", 500},    {"XX", 500},
    };
    if (strcmp(sqlstate, "42501") == 0)
        return is_anon ? 401 : 403;
    if (strcmp(sqlstate, "21000") == 0)
        return ends_with(message, "requires a WHERE clause") ? 400 : 500;
    if (strcmp(sqlstate, "22023") == 0) /* the role of the token */
        return strncmp(message, "role ", 5) == 0 && ends_with(message, "does not exist") ? 401
                                                                                         : 400;
    if (strncmp(sqlstate, "PT", 2) == 0) { /* raise with a status of one's own */
        int status = atoi(sqlstate + 2);
        return status >= 200 && status < 600 ? status : 500;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strncmp(rows[i].state, sqlstate, strlen(rows[i].state)) == 0)
            return rows[i].status;
    }
    return 400;
}

static void print_text(struct df_buf *out, bool is_there, const char *text)
{
    if (is_there)
        df_json_append_string(out, text, strlen(text));
    else
        df_buf_append_str(out, "null");
}

void rst_error_print(const struct rst_error *err, struct df_buf *out)
{
    df_buf_append_str(out, "{\"code\":");
    print_text(out, true, err->code);
    df_buf_append_str(out, ",\"details\":");
    print_text(out, err->has_details, err->details);
    df_buf_append_str(out, ",\"hint\":");
    print_text(out, err->has_hint, err->hint);
    df_buf_append_str(out, ",\"message\":");
    print_text(out, true, err->message);
    df_buf_append_char(out, '}');
}
