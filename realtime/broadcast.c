/* realtime/broadcast.c - messages from client to client. Encoded once for each serializer, whoever
 * listens. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { JSON_MAX_BYTES = 16 << 20 };

/* --- payloads -----------------------------------------------------------------------------------
 */

/* The length of the UTF-8 character that begins here, 0 when there is none. */
static size_t character_len(const uint8_t *at, size_t left)
{
    static const struct {
        uint8_t first, last, second_min, second_max;
        size_t len;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last)
            continue;
        if (forms[i].len > left)
            return 0;
        for (size_t k = 1; k < forms[i].len; k++) {
            uint8_t min = k == 1 ? forms[i].second_min : 0x80;
            uint8_t max = k == 1 ? forms[i].second_max : 0xbf;
            if (at[k] < min || at[k] > max)
                return 0;
        }
        return forms[i].len;
    }
    return 0;
}

/* UTF-8 without U+0000 and without a mark in front. */
static bool is_plain(const uint8_t *bytes, size_t len)
{
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        return false;
    for (size_t i = 0; i < len;) {
        size_t n = character_len(bytes + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

bool rt_broadcast_clean(struct df_buf *out, const uint8_t *bytes, size_t len)
{
    json_t *value = NULL;
    char *text = NULL;
    bool is_good = false;

    /* A frame that is no JSON would end the receiver's ability to hear anything. */
    if (df_json_parse(&value, (const char *)bytes, len, JSON_MAX_BYTES, NULL) != DF_OK)
        return false;
    if (is_plain(bytes, len)) {
        is_good = df_buf_append(out, bytes, len); /* numbers stay as they were written */
    } else {
        text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        is_good = text != NULL && df_buf_append_str(out, text);
    }
    free(text);
    json_decref(value);
    return is_good;
}

/* --- to those who are here ----------------------------------------------------------------------
 */

/* NULL: this serializer cannot show it. */
static struct rt_blob *encode(struct rt_hub *hub, const struct rt_broadcast *broadcast,
                              enum rt_vsn vsn)
{
    struct df_buf *frame = &hub->frame;
    bool is_binary = false, is_complete = false;

    df_buf_reset(frame);
    if (broadcast->payload != NULL) {
        is_complete = rt_wire_push(frame, vsn, NULL, NULL, broadcast->topic, "broadcast",
                                   broadcast->payload, broadcast->payload_len);
    } else if (vsn == RT_VSN_2) {
        is_binary = true;
        is_complete =
            rt_wire_broadcast_binary(frame, broadcast->topic, broadcast->event, broadcast->is_json,
                                     broadcast->bytes, broadcast->bytes_len);
    } else if (broadcast->is_json) {
        is_complete =
            rt_wire_broadcast_text(frame, vsn, broadcast->topic, broadcast->event,
                                   (const char *)broadcast->bytes, broadcast->bytes_len, NULL);
    }
    return is_complete ? rt_blob_new(frame->data, frame->len, is_binary) : NULL;
}

void rt_broadcast_deliver(struct rt_hub *hub, const struct rt_broadcast *broadcast)
{
    struct rt_topic *topic = rt_topic_find(hub, broadcast->topic, broadcast->is_private);
    struct rt_blob *blob[2] = {NULL, NULL};
    bool is_encoded[2] = {false, false};
    int64_t now_s = df_clock_wall_ms() / 1000;

    for (size_t i = 0; topic != NULL && i < topic->channel_count; i++) {
        struct rt_channel *channel = topic->channel[i];
        int which = channel->client->vsn == RT_VSN_2 ? 1 : 0;
        if (channel->is_doomed || !channel->is_joined || rt_channel_is_expired(channel, now_s) ||
            (channel == broadcast->sender && !channel->wants_self))
            continue;
        if (!is_encoded[which])
            blob[which] = encode(hub, broadcast, channel->client->vsn);
        is_encoded[which] = true;
        if (blob[which] != NULL)
            (void)rt_say_message(channel, blob[which]);
    }
    rt_blob_drop(blob[0]);
    rt_blob_drop(blob[1]);
}

void rt_broadcast_send(struct rt_hub *hub, const struct rt_broadcast *broadcast)
{
    hub->stats.broadcasts++;
    rt_broadcast_deliver(hub, broadcast);
    rt_remote_broadcast(hub, broadcast);
}

/* --- from a client ------------------------------------------------------------------------------
 */

static void acknowledge(struct rt_channel *channel, const struct rt_frame *frame, bool is_ok)
{
    if (channel->wants_ack && frame->has_ref)
        rt_say_reply_to(channel, frame, is_ok,
                        is_ok ? "{}" : "{\"error\":\"payload_size_exceeded\"}");
}

void rt_broadcast_handle(struct rt_channel *channel, const struct rt_frame *frame)
{
    struct rt_hub *hub = channel->client->hub;
    struct rt_broadcast broadcast = {
        .topic = channel->topic->name, .is_private = channel->topic->is_private, .sender = channel};
    size_t most = (size_t)hub->config->broadcast_max_bytes;
    char *text = NULL;

    if (!channel->is_joined || !channel->can_write[RT_BROADCAST] ||
        rt_channel_is_expired(channel, df_clock_wall_ms() / 1000))
        return; /* in silence, as Supabase does */
    df_buf_reset(&hub->payload);
    if (!frame->is_binary) {
        text = json_dumps(frame->payload, JSON_COMPACT);
        if (text == NULL)
            return;
        broadcast.payload = text;
        broadcast.payload_len = strlen(text);
    } else if (frame->is_json && frame->bytes_len <= most) {
        if (!rt_broadcast_clean(&hub->payload, frame->bytes, frame->bytes_len)) {
            hub->stats.malformed++;
            return;
        }
        broadcast.bytes = (const uint8_t *)hub->payload.data;
        broadcast.bytes_len = hub->payload.len;
    } else {
        broadcast.bytes = frame->bytes;
        broadcast.bytes_len = frame->bytes_len;
    }
    broadcast.event = frame->broadcast_event;
    broadcast.is_json = frame->is_json;
    bool is_small = broadcast.payload_len <= most && broadcast.bytes_len <= most;
    if (is_small)
        rt_broadcast_send(hub, &broadcast);
    acknowledge(channel, frame, is_small);
    free(text);
}
