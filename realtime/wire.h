/* realtime/wire.h - Phoenix frames as Supabase Realtime speaks them: serializers 1.0.0 (objects) and
 * 2.0.0 (arrays, and binary broadcasts). Pure; foreign bytes (fuzzed). */
#ifndef REALTIME_WIRE_H
#define REALTIME_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/error.h"

struct json_t;

enum rt_vsn { RT_VSN_1, RT_VSN_2 };
/* "1.0.0", "2.0.0", "~> 2.0.0"-like spellings, NULL (1.0.0). False: unsupported. */
bool rt_vsn_parse(enum rt_vsn *out, const char *text);

enum { RT_TOPIC_MAX_BYTES = 255, RT_REF_MAX_BYTES = 64, RT_EVENT_MAX_BYTES = 255 };

/* A frame from a client. Texts are copied, NUL-terminated; has_* false for JSON null or absent. */
struct rt_frame {
    char topic[RT_TOPIC_MAX_BYTES + 1], event[RT_EVENT_MAX_BYTES + 1];
    char ref[RT_REF_MAX_BYTES + 1], join_ref[RT_REF_MAX_BYTES + 1];
    bool has_ref, has_join_ref;
    struct json_t *payload;  /* owned; an object for text frames (NULL for kind 3) */
    bool is_binary;          /* kind 3: event is "broadcast", the rest is below */
    char broadcast_event[RT_EVENT_MAX_BYTES + 1];
    bool is_json;            /* encoding 1; else raw bytes */
    const uint8_t *bytes;    /* borrowed from the input: the user's payload */
    size_t bytes_len;
    const uint8_t *metadata; /* borrowed: JSON or empty */
    size_t metadata_len;
};

/* DF_EINPUT: to be ignored and counted (not JSON, wrong shape, unknown binary kind). References may
 * come as strings or numbers. On DF_OK end with rt_frame_release. */
enum df_code rt_frame_parse(struct rt_frame *out, enum rt_vsn vsn, bool is_binary,
                            const uint8_t *bytes, size_t len, struct df_error *err) DF_MUST_USE;
void rt_frame_release(struct rt_frame *frame);

/* Appends one whole text frame. join_ref and ref may be NULL (null). payload is JSON text that is put in
 * as it is. False: out of room (see df_buf). In 1.0.0 there is no join_ref. */
bool rt_wire_push(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *ref,
                  const char *topic, const char *event, const char *payload, size_t payload_len);
/* phx_reply with {"status":..,"response":<response>}; response is JSON text. */
bool rt_wire_reply(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *ref,
                   const char *topic, bool is_ok, const char *response, size_t response_len);
/* A system message; channel is the sub-topic. */
bool rt_wire_system(struct df_buf *out, enum rt_vsn vsn, const char *join_ref, const char *topic,
                    const char *extension, bool is_ok, const char *message);
/* A broadcast for a 2.0.0 client as kind 4 (is_binary of the message then), or as text for both.
 * Raw bytes cannot be shown to 1.0.0: false with nothing appended. */
bool rt_wire_broadcast_binary(struct df_buf *out, const char *topic, const char *event, bool is_json,
                              const uint8_t *bytes, size_t len);
bool rt_wire_broadcast_text(struct df_buf *out, enum rt_vsn vsn, const char *topic,
                            const char *event, const char *payload_json, size_t payload_len,
                            const char *message_id);
/* The postgres_changes push: ids is "1,2"; data is the JSON object text. */
bool rt_wire_change(struct df_buf *out, enum rt_vsn vsn, const char *topic, const char *ids,
                    const char *data, size_t data_len);

#endif
