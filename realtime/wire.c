/* realtime/wire.c - frames in and out. Frames are written by hand: one is made for every change and
 * topic, and a partial or invalid one would deafen clients for good. */
#include "realtime/wire.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/json.h"

enum { KIND_USER_PUSH = 3, KIND_USER_BROADCAST = 4, PUSH_HEADER = 7, TEXT_MAX_BYTES = 8 << 20 };

bool rt_vsn_parse(enum rt_vsn *out, const char *text)
{
    if (text == NULL || strcmp(text, "1.0.0") == 0 || strcmp(text, "~> 1.0.0") == 0)
        *out = RT_VSN_1;
    else if (strcmp(text, "2.0.0") == 0 || strcmp(text, "~> 2.0.0") == 0)
        *out = RT_VSN_2;
    else
        return false;
    return true;
}

/* --- in -------------------------------------------------------------------------------------- */

static enum df_code refuse(struct df_error *err, const char *why)
{
    return df_error_set(err, DF_EINPUT, "frame: %s", why);
}

static bool copy_bytes(char *out, size_t out_size, const void *bytes, size_t len)
{
    if (len >= out_size || memchr(bytes, '\0', len) != NULL)
        return false;
    memcpy(out, bytes, len);
    out[len] = '\0';
    return true;
}

static bool read_text(char *out, size_t out_size, const json_t *value)
{
    return json_is_string(value) &&
           copy_bytes(out, out_size, json_string_value(value), json_string_length(value));
}

/* References are strings; some clients send numbers. */
static bool read_ref(char *out, bool *has, const json_t *value)
{
    *has = value != NULL && !json_is_null(value);
    if (!*has)
        return true;
    if (json_is_integer(value)) {
        (void)snprintf(out, RT_REF_MAX_BYTES + 1, "%lld", (long long)json_integer_value(value));
        return true;
    }
    return read_text(out, RT_REF_MAX_BYTES + 1, value);
}

static enum df_code read_parts(struct rt_frame *out, const json_t *join_ref, const json_t *ref,
                               const json_t *topic, const json_t *event, json_t *payload,
                               struct df_error *err)
{
    if (!read_ref(out->join_ref, &out->has_join_ref, join_ref) ||
        !read_ref(out->ref, &out->has_ref, ref))
        return refuse(err, "a reference is no short text");
    if (!read_text(out->topic, sizeof out->topic, topic) ||
        !read_text(out->event, sizeof out->event, event))
        return refuse(err, "topic or event is no text of at most 255 bytes");
    out->payload = json_is_object(payload) ? json_incref(payload) : json_object();
    if (out->payload == NULL)
        return df_error_set(err, DF_ENOMEM, "frame: out of memory");
    return DF_OK;
}

static enum df_code parse_text(struct rt_frame *out, enum rt_vsn vsn, const uint8_t *bytes,
                               size_t len, struct df_error *err)
{
    json_t *root = NULL;

    enum df_code rc = df_json_parse(&root, (const char *)bytes, len, TEXT_MAX_BYTES, err);
    if (rc != DF_OK)
        return rc;
    if (vsn == RT_VSN_1 && json_is_object(root))
        rc = read_parts(out, json_object_get(root, "join_ref"), json_object_get(root, "ref"),
                        json_object_get(root, "topic"), json_object_get(root, "event"),
                        json_object_get(root, "payload"), err);
    else if (vsn == RT_VSN_2 && json_is_array(root) && json_array_size(root) >= 5)
        rc = read_parts(out, json_array_get(root, 0), json_array_get(root, 1),
                        json_array_get(root, 2), json_array_get(root, 3), json_array_get(root, 4),
                        err);
    else
        rc = refuse(err, "not the shape of this serializer");
    json_decref(root);
    return rc;
}

/* u8 3 | lengths of join_ref, ref, topic, event, metadata | encoding | these | payload */
static enum df_code parse_push(struct rt_frame *out, const uint8_t *bytes, size_t len,
                               struct df_error *err)
{
    if (len < PUSH_HEADER || bytes[0] != KIND_USER_PUSH || bytes[6] > 1)
        return refuse(err, "not a binary frame of a client");
    const size_t join_len = bytes[1], ref_len = bytes[2], topic_len = bytes[3],
                 event_len = bytes[4], metadata_len = bytes[5];
    size_t head = PUSH_HEADER + join_len + ref_len + topic_len + event_len + metadata_len;
    if (len < head)
        return refuse(err, "a binary frame is cut short");
    const uint8_t *at = bytes + PUSH_HEADER;
    out->has_join_ref = join_len > 0;
    out->has_ref = ref_len > 0;
    if (!copy_bytes(out->join_ref, sizeof out->join_ref, at, join_len) ||
        !copy_bytes(out->ref, sizeof out->ref, at + join_len, ref_len) ||
        !copy_bytes(out->topic, sizeof out->topic, at + join_len + ref_len, topic_len) ||
        !copy_bytes(out->broadcast_event, sizeof out->broadcast_event,
                    at + join_len + ref_len + topic_len, event_len))
        return refuse(err, "a text of a binary frame is too long");
    memcpy(out->event, "broadcast", sizeof "broadcast");
    out->is_binary = true;
    out->is_json = bytes[6] == 1;
    out->metadata = bytes + head - metadata_len;
    out->metadata_len = metadata_len;
    out->bytes = bytes + head;
    out->bytes_len = len - head;
    return DF_OK;
}

enum df_code rt_frame_parse(struct rt_frame *out, enum rt_vsn vsn, bool is_binary,
                            const uint8_t *bytes, size_t len, struct df_error *err)
{
    memset(out, 0, sizeof *out);
    enum df_code rc;
    if (is_binary)
        rc = vsn == RT_VSN_2 ? parse_push(out, bytes, len, err)
                             : refuse(err, "binary frames belong to serializer 2.0.0");
    else
        rc = parse_text(out, vsn, bytes, len, err);
    if (rc != DF_OK)
        rt_frame_release(out);
    return rc;
}

void rt_frame_release(struct rt_frame *frame)
{
    json_decref(frame->payload);
    memset(frame, 0, sizeof *frame);
}

/* --- out ------------------------------------------------------------------------------------- */

/* A frame is appended whole or not at all. */
static bool commit(struct df_buf *out, size_t before)
{
    if (!out->failed)
        return true;
    out->failed = false; /* what was there before is whole */
    out->len = before;
    if (out->data != NULL)
        out->data[before] = '\0';
    return false;
}

static void put_text(struct df_buf *out, const char *text)
{
    (void)df_json_append_string(out, text, strlen(text));
}

static void put_ref(struct df_buf *out, const char *ref)
{
    if (ref == NULL)
        (void)df_buf_append_str(out, "null");
    else
        put_text(out, ref);
}

/* Everything up to the payload. */
static void open_frame(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *ref,
                       const char *topic, const char *event)
{
    if (vsn == RT_VSN_1) {
        (void)df_buf_append_str(out, "{\"topic\":");
        put_text(out, topic);
        (void)df_buf_append_str(out, ",\"event\":");
        put_text(out, event);
        (void)df_buf_append_str(out, ",\"payload\":");
        return;
    }
    (void)df_buf_append_char(out, '[');
    put_ref(out, join_ref);
    (void)df_buf_append_char(out, ',');
    put_ref(out, ref);
    (void)df_buf_append_char(out, ',');
    put_text(out, topic);
    (void)df_buf_append_char(out, ',');
    put_text(out, event);
    (void)df_buf_append_char(out, ',');
}

static void close_frame(struct df_buf *out, enum rt_vsn vsn, const char *ref)
{
    if (vsn == RT_VSN_2) {
        (void)df_buf_append_char(out, ']');
        return;
    }
    (void)df_buf_append_str(out, ",\"ref\":");
    put_ref(out, ref);
    (void)df_buf_append_char(out, '}');
}

bool rt_wire_push(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *ref,
                  const char *topic, const char *event, const char *payload, size_t payload_len)
{
    size_t before = out->len;

    open_frame(out, vsn, join_ref, ref, topic, event);
    (void)df_buf_append(out, payload, payload_len);
    close_frame(out, vsn, ref);
    return commit(out, before);
}

bool rt_wire_reply(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *ref,
                   const char *topic, bool is_ok, const char *response, size_t response_len)
{
    size_t before = out->len;

    open_frame(out, vsn, join_ref, ref, topic, "phx_reply");
    (void)df_buf_append_str(out, is_ok ? "{\"status\":\"ok\",\"response\":"
                                       : "{\"status\":\"error\",\"response\":");
    (void)df_buf_append(out, response, response_len);
    (void)df_buf_append_char(out, '}');
    close_frame(out, vsn, ref);
    return commit(out, before);
}

static const char *sub_topic(const char *topic)
{
    return strncmp(topic, "realtime:", 9) == 0 ? topic + 9 : topic;
}

bool rt_wire_system(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *topic,
                    const char *extension, bool is_ok, const char *message)
{
    size_t before = out->len;

    open_frame(out, vsn, join_ref, NULL, topic, "system");
    (void)df_buf_append_str(out, "{\"extension\":");
    put_text(out, extension);
    (void)df_buf_append_str(out, is_ok ? ",\"status\":\"ok\",\"message\":"
                                       : ",\"status\":\"error\",\"message\":");
    put_text(out, message);
    (void)df_buf_append_str(out, ",\"channel\":");
    put_text(out, sub_topic(topic));
    (void)df_buf_append_char(out, '}');
    close_frame(out, vsn, NULL);
    return commit(out, before);
}

/* u8 4 | lengths of topic, event, metadata | encoding | topic | event | metadata | payload */
bool rt_wire_broadcast_binary(struct df_buf *out, const char *topic, const char *event, bool is_json,
                              const uint8_t *bytes, size_t len)
{
    size_t before = out->len, topic_len = strlen(topic), event_len = strlen(event);

    if (topic_len > 255 || event_len > 255)
        return false;
    const uint8_t head[5] = {KIND_USER_BROADCAST, (uint8_t)topic_len, (uint8_t)event_len, 0,
                             is_json ? 1 : 0};
    (void)df_buf_append(out, head, sizeof head);
    (void)df_buf_append(out, topic, topic_len);
    (void)df_buf_append(out, event, event_len);
    (void)df_buf_append(out, bytes, len);
    return commit(out, before);
}

bool rt_wire_broadcast_text(struct df_buf *out, enum rt_vsn vsn, const char *topic,
                            const char *event, const char *payload_json, size_t payload_len,
                            const char *message_id)
{
    size_t before = out->len;

    open_frame(out, vsn, NULL, NULL, topic, "broadcast");
    (void)df_buf_append_str(out, "{\"type\":\"broadcast\",\"event\":");
    put_text(out, event);
    (void)df_buf_append_str(out, ",\"payload\":");
    (void)df_buf_append(out, payload_json, payload_len);
    if (message_id != NULL) {
        (void)df_buf_append_str(out, ",\"meta\":{\"id\":");
        put_text(out, message_id);
        (void)df_buf_append_char(out, '}');
    }
    (void)df_buf_append_char(out, '}');
    close_frame(out, vsn, NULL);
    return commit(out, before);
}

bool rt_wire_change(struct df_buf *out, enum rt_vsn vsn, const char *topic, const char *ids,
                    const char *data, size_t data_len)
{
    size_t before = out->len;

    open_frame(out, vsn, NULL, NULL, topic, "postgres_changes");
    (void)df_buf_append_str(out, "{\"ids\":[");
    (void)df_buf_append_str(out, ids);
    (void)df_buf_append_str(out, "],\"data\":");
    (void)df_buf_append(out, data, data_len);
    (void)df_buf_append_char(out, '}');
    close_frame(out, vsn, NULL);
    return commit(out, before);
}
