/* shared/message.c - from a request body to a chat line, or to the reason why not. */
#include "shared/message.h"

#include "shared/json.h"

#include <jansson.h>
#include <string.h>

#define PLATFORM_DEFAULT   "whatnot"
#define PLATFORM_MAX_BYTES 64

static const char missing_fields[] = "Missing required fields: message, username, streamSessionId";

/* The length of the white space character at p, 0 when it is none: what JavaScript's trim() takes,
 * beyond ASCII U+00A0, U+1680, U+2000..200A, 2028, 2029, 202F, 205F, 3000 and FEFF. */
static size_t space_length(const unsigned char *p)
{
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (p[0] == 0xC2)
        return p[1] == 0xA0 ? 2 : 0;
    if (p[0] != 0xE1 && p[0] != 0xE2 && p[0] != 0xE3 && p[0] != 0xEF)
        return 0;
    unsigned point = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    bool is_space = point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
                    point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000 ||
                    point == 0xFEFF;
    return is_space ? 3 : 0;
}

/* `text` is valid UTF-8 and ends in NUL, so that no sequence is read beyond its end. */
static bool is_blank(const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p != '\0') {
        size_t len = space_length(p);
        if (len == 0)
            return false;
        p += len;
    }
    return true;
}

/* What JavaScript calls falsy, and text of white space alone. */
static bool is_missing(const json_t *value)
{
    switch (value == NULL ? JSON_NULL : json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE:
        return true;
    case JSON_STRING:
        return is_blank(json_string_value(value));
    case JSON_INTEGER:
    case JSON_REAL:
        return json_number_value(value) == 0;
    default:
        return false;
    }
}

/* Borrows a text from the document, or prints a number or `true` into `number` (32 bytes). */
static enum df_code take_text(const char **text, size_t *text_len, char number[32],
                              const json_t *value, const char *name, size_t max_bytes,
                              struct df_error *err)
{
    if (json_is_string(value)) {
        *text = json_string_value(value);
        *text_len = json_string_length(value);
    } else if (json_is_number(value) || json_is_true(value)) {
        struct df_buf buf;
        df_buf_init(&buf, 31);
        bool ok = json_is_true(value) ? df_buf_append_str(&buf, "true")
                                      : df_json_append_number(&buf, json_number_value(value));
        if (ok)
            memcpy(number, buf.data, buf.len + 1);
        *text = number;
        *text_len = buf.len;
        df_buf_release(&buf);
        if (!ok)
            return df_error_set(err, DF_ENOMEM, "out of memory");
    } else {
        return df_error_set(err, DF_EINPUT, "Invalid %s: must be a text", name);
    }
    if (*text_len > max_bytes)
        return df_error_set(err, DF_ETOOBIG, "%s is larger than %zu bytes", name, max_bytes);
    return DF_OK;
}

static enum df_code take_uuid(struct df_uuid *uuid, const json_t *value, const char *name,
                              struct df_error *err)
{
    if (!json_is_string(value) ||
        !df_uuid_parse(uuid, json_string_value(value), json_string_length(value)))
        return df_error_set(err, DF_EINPUT, "Invalid %s: must be a UUID", name);
    return DF_OK;
}

static enum df_code take_platform(struct df_message *message, const json_t *value,
                                  struct df_error *err)
{
    message->platform = PLATFORM_DEFAULT;
    message->platform_len = sizeof PLATFORM_DEFAULT - 1;
    if (!json_is_string(value))
        return DF_OK;
    if (json_string_length(value) > PLATFORM_MAX_BYTES)
        return df_error_set(err, DF_EINPUT, "Invalid platform: at most %d bytes",
                            PLATFORM_MAX_BYTES);
    message->platform = json_string_value(value);
    message->platform_len = json_string_length(value);
    return DF_OK;
}

static enum df_code take_fields(struct df_message *message, const struct df_message_limits *limits,
                                struct df_error *err)
{
    const json_t *root = message->root;

    if (json_is_null(root))
        return df_error_set(err, DF_EINPUT, "Body must be a JSON object, not null");
    /* Of an array, a number or a text json_object_get finds nothing: the fields are missing. */
    const json_t *text = json_object_get(root, "message");
    const json_t *username = json_object_get(root, "username");
    const json_t *session = json_object_get(root, "streamSessionId");
    const json_t *id = json_object_get(root, "messageId");
    enum df_code rc;

    if (is_missing(text) || is_missing(username) || is_missing(session))
        return df_error_set(err, DF_EINPUT, "%s", missing_fields);
    rc = take_text(&message->message, &message->message_len, message->message_number, text,
                   "message", limits->message_max_bytes, err);
    if (rc == DF_OK)
        rc = take_text(&message->username, &message->username_len, message->username_number,
                       username, "username", limits->username_max_bytes, err);
    if (rc == DF_OK)
        rc = take_uuid(&message->session, session, "streamSessionId", err);
    if (rc == DF_OK && id != NULL && !json_is_null(id)) {
        rc = take_uuid(&message->id, id, "messageId", err);
        message->has_id = rc == DF_OK;
    }
    if (rc == DF_OK)
        rc = take_platform(message, json_object_get(root, "platform"), err);
    const char *role = json_string_value(json_object_get(root, "role"));
    message->is_staff =
        role != NULL && (strcmp(role, "host") == 0 || strcmp(role, "moderator") == 0);
    return rc;
}

enum df_code df_message_parse(struct df_message *out, const char *body, size_t body_len,
                              const struct df_message_limits *limits, struct df_error *err)
{
    *out = (struct df_message){0};
    enum df_code rc = df_json_parse(&out->root, body, body_len, limits->body_max_bytes, err);
    if (rc == DF_OK)
        rc = take_fields(out, limits, err);
    if (rc != DF_OK)
        df_message_release(out);
    return rc;
}

void df_message_release(struct df_message *message)
{
    json_decref(message->root);
    *message = (struct df_message){0};
}
