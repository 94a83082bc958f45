/* realtime/remote_send.c - what we tell other gateways; remote.c says in which words. */
#include <stdlib.h>
#include <string.h>

#include "realtime/base64.h"
#include "realtime/remote_private.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { HELLO_MS = 10000, ASK_AGAIN_MS = 2000, PART_BYTES = 256 * 1024 };

/* Takes the message over. */
static void send_json(struct rt_hub *hub, json_t *message)
{
    char *text = message == NULL ? NULL : json_dumps(message, JSON_COMPACT);

    if (text != NULL)
        rt_changes_send(hub->changes, text, strlen(text));
    free(text);
    json_decref(message);
}

void rt_remote_hello(struct rt_hub *hub, bool is_new)
{
    hub->remote->hello_ms = df_clock_mono_ms() + HELLO_MS;
    send_json(hub, json_pack("{s:s,s:s,s:I,s:b}", "k", "hello", "from", hub->gateway, "n",
                             hub->remote->n, "new", is_new ? 1 : 0));
}

void rt_remote_broadcast(struct rt_hub *hub, const struct rt_broadcast *broadcast)
{
    struct df_buf out;

    if (hub->remote->gateway_count == 0)
        return; /* nobody is there to hear it, and a commit has its price */
    df_buf_init(&out, RT_REMOTE_TEXT_MAX_BYTES);
    (void)df_buf_printf(&out, "{\"k\":\"cast\",\"from\":\"%s\",\"topic\":", hub->gateway);
    (void)df_json_append_string(&out, broadcast->topic, strlen(broadcast->topic));
    (void)df_buf_printf(&out, ",\"private\":%s", broadcast->is_private ? "true" : "false");
    if (broadcast->payload != NULL) {
        (void)df_buf_append_str(&out, ",\"payload\":");
        (void)df_buf_append(&out, broadcast->payload, broadcast->payload_len);
    } else {
        (void)df_buf_append_str(&out, ",\"event\":");
        (void)df_json_append_string(&out, broadcast->event, strlen(broadcast->event));
        (void)df_buf_append_str(&out, broadcast->is_json ? ",\"json\":true,\"data\":"
                                                         : ",\"json\":false,\"base64\":\"");
        if (broadcast->is_json)
            (void)df_buf_append(&out, broadcast->bytes, broadcast->bytes_len);
        else
            (void)rt_base64_append(&out, broadcast->bytes, broadcast->bytes_len);
        if (!broadcast->is_json)
            (void)df_buf_append_char(&out, '"');
    }
    (void)df_buf_append_char(&out, '}');
    if (!out.failed)
        rt_changes_send(hub->changes, out.data, out.len);
    df_buf_release(&out);
}

static json_t *describe(const struct rt_channel *channel)
{
    char source[RT_SOURCE_BYTES];
    json_t *payload = NULL;

    rt_people_source(channel, source);
    if (df_json_parse(&payload, channel->tracked, strlen(channel->tracked),
                      RT_REMOTE_TEXT_MAX_BYTES, NULL) != DF_OK)
        return NULL;
    return json_pack("{s:s,s:b,s:s,s:s,s:s,s:o}", "topic", channel->topic->name, "private",
                     channel->topic->is_private ? 1 : 0, "source", source, "key",
                     channel->presence_key, "ref", channel->tracked_ref, "payload", payload);
}

void rt_remote_tracked(struct rt_hub *hub, const struct rt_channel *channel)
{
    json_t *message = NULL;

    hub->remote->n++;
    if (hub->remote->gateway_count == 0)
        return; /* whoever comes later asks */
    message = describe(channel);
    if (message == NULL)
        return;
    (void)json_object_set_new(message, "k", json_string("track"));
    (void)json_object_set_new(message, "from", json_string(hub->gateway));
    (void)json_object_set_new(message, "n", json_integer(hub->remote->n));
    send_json(hub, message);
}

void rt_remote_untracked(struct rt_hub *hub, const struct rt_channel *channel)
{
    char source[RT_SOURCE_BYTES];

    hub->remote->n++;
    if (hub->remote->gateway_count == 0)
        return;
    rt_people_source(channel, source);
    send_json(hub, json_pack("{s:s,s:s,s:I,s:s,s:b,s:s}", "k", "untrack", "from", hub->gateway, "n",
                             hub->remote->n, "topic", channel->topic->name, "private",
                             channel->topic->is_private ? 1 : 0, "source", source));
}

static void send_part(struct rt_hub *hub, int part, bool is_last, json_t *people)
{
    send_json(hub,
              json_pack("{s:s,s:s,s:I,s:i,s:b,s:o}", "k", "all", "from", hub->gateway, "n",
                        hub->remote->n, "part", part, "last", is_last ? 1 : 0, "people", people));
}

/* Everybody of ours, in parts that are no burden. */
void rt_remote_say_all(struct rt_hub *hub)
{
    struct rt_map_cursor cursor = {0};
    struct rt_topic *topic = NULL;
    json_t *people = json_array();
    size_t bytes = 0;
    int part = 0;

    while ((topic = rt_map_next(&hub->topics, &cursor)) != NULL) {
        for (size_t i = 0; i < topic->channel_count; i++) {
            const struct rt_channel *channel = topic->channel[i];
            if (channel->tracked == NULL || channel->is_doomed)
                continue;
            (void)json_array_append_new(people, describe(channel));
            bytes += strlen(channel->tracked) + strlen(topic->name) + 200;
            if (bytes > PART_BYTES) {
                send_part(hub, part++, false, people);
                people = json_array();
                bytes = 0;
            }
        }
    }
    send_part(hub, part, true, people);
}

void rt_remote_ask(struct rt_hub *hub, struct rt_gateway *gateway)
{
    int64_t now_ms = df_clock_mono_ms();

    if (gateway->asked_ms != 0 && now_ms - gateway->asked_ms < ASK_AGAIN_MS)
        return;
    gateway->asked_ms = now_ms;
    send_json(hub, json_pack("{s:s,s:s,s:s}", "k", "ask", "from", hub->gateway, "to", gateway->id));
}
