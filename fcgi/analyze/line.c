/* fcgi/analyze/line.c - the usual line is read in place; whatever is unusual about it goes through
 * the JSON parser of all programs. */
#include "fcgi/analyze/line.h"

#include <jansson.h>
#include <string.h>

#include "shared/json.h"

#define PLATFORM_DEFAULT "whatnot"

const struct df_verdict an_no_verdict = {.type = DF_GENERAL, .value_cents = DF_VALUE_NONE};

/* --- the usual line -------------------------------------------------------------------------- */

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

static bool take(struct cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

/* A literal of printable ASCII without escapes: its value is what stands there. */
static bool take_plain_string(struct cursor *c, const char **text, size_t *len)
{
    if (!take(c, '"'))
        return false;
    const char *start = c->at;
    while (c->at < c->end && *c->at >= ' ' && *c->at != '"' && *c->at != '\\') /* char is signed */
        c->at++;
    if (c->at == c->end || *c->at != '"')
        return false;
    *text = start;
    *len = (size_t)(c->at++ - start);
    return true;
}

static bool is_key(const char *key, size_t key_len, const char *name)
{
    return strlen(name) == key_len && memcmp(key, name, key_len) == 0;
}

/* True when the line is an object of plain strings that has a message, as nine of ten lines of chat
 * are. With the parser below alone 165,000 lines a second become verdicts instead of 205,000; it
 * must agree (tests/fuzz/fuzz_analyze_line.c). */
static bool read_in_place(struct df_chat_line *out, const char *bytes, size_t len)
{
    struct cursor c = {bytes, bytes + len};
    struct df_chat_line line = {
        .platform = PLATFORM_DEFAULT, .platform_len = sizeof PLATFORM_DEFAULT - 1, .username = ""};
    if (!take(&c, '{'))
        return false;
    do {
        const char *key, *text;
        size_t key_len, text_len;
        if (!take_plain_string(&c, &key, &key_len) || !take(&c, ':') ||
            !take_plain_string(&c, &text, &text_len))
            return false;
        if (is_key(key, key_len, "message")) {
            line.message = text;
            line.message_len = text_len;
        } else if (is_key(key, key_len, "username")) {
            line.username = text;
            line.username_len = text_len;
        } else if (is_key(key, key_len, "platform")) {
            line.platform = text;
            line.platform_len = text_len;
        }
    } while (take(&c, ','));
    if (!take(&c, '}') || line.message == NULL)
        return false;
    skip_blanks(&c);
    if (c.at != c.end)
        return false;
    *out = line;
    return true;
}

/* --- any other line -------------------------------------------------------------------------- */

/* A text as it stands, or a number or `true` as JavaScript prints it, as the function takes it. */
static enum df_code take_text(const char **text, size_t *len, char number[32], const json_t *value,
                              const char *name, struct df_error *err)
{
    if (json_is_string(value)) {
        *text = json_string_value(value);
        *len = json_string_length(value);
        return DF_OK;
    }
    if (!json_is_number(value) && !json_is_true(value))
        return df_error_set(err, DF_EINPUT, "%s must be a text", name);
    struct df_buf buf;
    df_buf_init(&buf, 31);
    bool ok = json_is_true(value) ? df_buf_append_str(&buf, "true")
                                  : df_json_append_number(&buf, json_number_value(value));
    if (ok)
        memcpy(number, buf.data, buf.len + 1);
    *text = number;
    *len = buf.len;
    df_buf_release(&buf);
    return ok ? DF_OK : df_error_set(err, DF_ENOMEM, "out of memory");
}

static enum df_code take_fields(struct an_line *line, struct df_error *err)
{
    if (!json_is_object(line->root))
        return df_error_set(err, DF_EINPUT, "not a JSON object");
    const json_t *message = json_object_get(line->root, "message");
    const json_t *username = json_object_get(line->root, "username");
    const json_t *platform = json_object_get(line->root, "platform");

    if (message == NULL || json_is_null(message))
        return df_error_set(err, DF_EINPUT, "message is missing");
    enum df_code rc = take_text(&line->chat.message, &line->chat.message_len, line->message_number,
                                message, "message", err);
    line->chat.username = "";
    if (rc == DF_OK && username != NULL && !json_is_null(username))
        rc = take_text(&line->chat.username, &line->chat.username_len, line->username_number,
                       username, "username", err);
    line->chat.platform = json_is_string(platform) ? json_string_value(platform) : PLATFORM_DEFAULT;
    line->chat.platform_len =
        json_is_string(platform) ? json_string_length(platform) : sizeof PLATFORM_DEFAULT - 1;
    return rc;
}

enum df_code an_line_parse(struct an_line *out, const char *bytes, size_t len, struct df_error *err)
{
    out->root = NULL;
    if (read_in_place(&out->chat, bytes, len))
        return DF_OK;
    *out = (struct an_line){0};
    struct cursor c = {bytes, bytes + len};
    skip_blanks(&c);
    if (c.at == c.end)
        return df_error_set(err, DF_EINPUT, "the line is empty");
    enum df_code rc = df_json_parse(&out->root, bytes, len, len, err);
    if (rc == DF_OK)
        rc = take_fields(out, err);
    if (rc != DF_OK)
        an_line_release(out);
    return rc;
}

void an_line_release(struct an_line *line)
{
    if (line->root != NULL) {
        json_decref(line->root);
        *line = (struct an_line){0};
    }
}

/* --- the answer ------------------------------------------------------------------------------ */

/* `units` of 10^-digits without trailing zeros: (930000, 6) is 0.93. */
static bool append_decimal(struct df_buf *out, int64_t units, int digits)
{
    char text[24];
    size_t at = sizeof text;

    while (digits > 0 && units % 10 == 0) {
        units /= 10;
        digits--;
    }
    do {
        text[--at] = (char)('0' + units % 10);
        units /= 10;
        if (--digits == 0)
            text[--at] = '.';
    } while (units > 0 || digits >= 0);
    return df_buf_append(out, text + at, sizeof text - at);
}

/* The largest number of millionths that is not above `value`, which is 0 to 1. */
static int64_t millionths(double value)
{
    int64_t units = (int64_t)(value * 1e6);
    if ((double)units / 1e6 > value)
        units--;
    if ((double)(units + 1) / 1e6 <= value)
        units++;
    return units;
}

bool an_verdict_append(struct df_buf *out, const struct df_verdict *v)
{
    (void)df_buf_append_str(out, v->is_buyer ? "{\"is_buyer\":true,\"confidence\":"
                                             : "{\"is_buyer\":false,\"confidence\":");
    (void)append_decimal(out, millionths(v->confidence), 6);
    (void)df_buf_append_str(out, ",\"message_type\":\"");
    (void)df_buf_append_str(out, df_message_type_name(v->type));
    (void)df_buf_append_str(out, "\",\"item_description\":");
    (void)df_json_append_string(out, v->item, strlen(v->item));
    (void)df_buf_append_str(out, ",\"estimated_value\":");
    (void)append_decimal(out, v->value_cents == DF_VALUE_NONE ? 0 : v->value_cents, 2);
    (void)df_buf_append_str(out, "}\n");
    return !out->failed;
}
