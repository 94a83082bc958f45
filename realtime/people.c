/* realtime/people.c - presence: who is in a topic, told to those who asked. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"
#include "shared/uuid.h"

enum { TRACK_MAX_BYTES = 128 * 1024, STATE_MAX_BYTES = 64 << 20 };

void rt_people_source(const struct rt_channel *channel, char out[RT_SOURCE_BYTES])
{
    (void)snprintf(out, RT_SOURCE_BYTES, "%s/%llu/%llu", channel->client->hub->gateway,
                   (unsigned long long)channel->client->number,
                   (unsigned long long)channel->number);
}

static bool hears(const struct rt_channel *channel, int64_t now_s)
{
    return !channel->is_doomed && channel->is_joined && channel->wants_presence &&
           channel->can_read[RT_PRESENCE] && !rt_channel_is_expired(channel, now_s);
}

static void tell(struct rt_hub *hub, struct rt_topic *topic, const struct df_buf *diff)
{
    struct rt_blob *blob[2] = {NULL, NULL};
    int64_t now_s = df_clock_wall_ms() / 1000;

    for (size_t i = 0; i < topic->channel_count; i++) {
        struct rt_channel *channel = topic->channel[i];
        int which = channel->client->vsn == RT_VSN_2 ? 1 : 0;
        if (!hears(channel, now_s))
            continue;
        if (blob[which] == NULL) {
            df_buf_reset(&hub->frame);
            if (rt_wire_push(&hub->frame, channel->client->vsn, NULL, NULL, topic->name,
                             "presence_diff", diff->data, diff->len))
                blob[which] = rt_blob_new(hub->frame.data, hub->frame.len, false);
        }
        if (blob[which] != NULL)
            (void)rt_say_message(channel, blob[which]);
    }
    rt_blob_drop(blob[0]);
    rt_blob_drop(blob[1]);
}

bool rt_people_put(struct rt_hub *hub, struct rt_topic *topic, const struct rt_person *person)
{
    struct df_buf diff;

    if (topic->presence == NULL && rt_presence_new(&topic->presence, NULL) != DF_OK)
        return false;
    df_buf_init(&diff, STATE_MAX_BYTES);
    bool is_there = rt_presence_track(topic->presence, person->source, person->key, person->phx_ref,
                                      person->payload, strlen(person->payload), &diff);
    if (is_there)
        tell(hub, topic, &diff);
    df_buf_release(&diff);
    return is_there;
}

void rt_people_take(struct rt_hub *hub, struct rt_topic *topic, const char *source)
{
    struct df_buf diff;

    if (topic->presence == NULL)
        return;
    df_buf_init(&diff, STATE_MAX_BYTES);
    if (rt_presence_untrack(topic->presence, source, &diff))
        tell(hub, topic, &diff);
    df_buf_release(&diff);
}

void rt_people_on_joined(struct rt_channel *channel)
{
    struct df_buf state;

    if (!hears(channel, df_clock_wall_ms() / 1000))
        return;
    df_buf_init(&state, STATE_MAX_BYTES);
    if (channel->topic->presence == NULL)
        (void)df_buf_append_str(&state, "{}");
    else
        (void)rt_presence_state(channel->topic->presence, &state);
    if (state.failed)
        rt_channel_break(channel);
    else
        rt_say_push(channel, "presence_state", state.data, state.len);
    df_buf_release(&state);
}

static void forget(struct rt_hub *hub, struct rt_channel *channel)
{
    char source[RT_SOURCE_BYTES];

    if (channel->tracked == NULL)
        return;
    free(channel->tracked);
    channel->tracked = NULL;
    rt_people_source(channel, source);
    rt_people_take(hub, channel->topic, source);
    rt_remote_untracked(hub, channel);
}

void rt_people_on_left(struct rt_hub *hub, struct rt_channel *channel)
{
    forget(hub, channel);
}

/* --- from a client ------------------------------------------------------------------------------
 */

static bool has_key(struct rt_channel *channel)
{
    struct df_uuid uuid;

    if (channel->presence_key != NULL)
        return true;
    channel->presence_key = malloc(DF_UUID_TEXT_SIZE);
    if (channel->presence_key == NULL)
        return false;
    df_uuid_new_v7(&uuid);
    df_uuid_format(channel->presence_key, &uuid);
    return true;
}

static void track(struct rt_channel *channel, const struct rt_frame *frame)
{
    struct rt_hub *hub = channel->client->hub;
    const json_t *given = json_object_get(frame->payload, "payload");
    char source[RT_SOURCE_BYTES];
    char *text = json_is_object(given) ? json_dumps(given, JSON_COMPACT) : strdup("{}");

    if (text != NULL && strlen(text) > TRACK_MAX_BYTES) {
        free(text);
        rt_say_system(channel, "system", false, "Track message size exceeded");
        rt_channel_close(channel);
        return;
    }
    rt_people_source(channel, source);
    (void)snprintf(channel->tracked_ref, sizeof channel->tracked_ref, "%s%llx", hub->gateway + 24,
                   (unsigned long long)++hub->last_person);
    if (text == NULL || !has_key(channel) ||
        !rt_people_put(
            hub, channel->topic,
            &(struct rt_person){source, channel->presence_key, channel->tracked_ref, text})) {
        free(text);
        rt_say_reply_to(channel, frame, false, "{\"reason\":\"Unknown Error on Channel\"}");
        return;
    }
    free(channel->tracked);
    channel->tracked = text;
    rt_remote_tracked(hub, channel);
    rt_say_reply_to(channel, frame, true, "{}");
}

void rt_people_handle(struct rt_channel *channel, const struct rt_frame *frame)
{
    struct rt_hub *hub = channel->client->hub;
    const char *event = json_string_value(json_object_get(frame->payload, "event"));

    hub->stats.presences++;
    if (!channel->is_joined || rt_channel_is_expired(channel, df_clock_wall_ms() / 1000) ||
        !channel->can_write[RT_PRESENCE]) {
        rt_say_reply_to(channel, frame, false,
                        "{\"reason\":\"Unauthorized: You do not have permissions to write to this "
                        "Channel topic\"}");
        return;
    }
    if (event != NULL && strcasecmp(event, "track") == 0) {
        track(channel, frame);
        return;
    }
    if (event != NULL && strcasecmp(event, "untrack") == 0)
        forget(hub, channel);
    rt_say_reply_to(channel, frame, true, "{}");
}
