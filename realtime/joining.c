/* realtime/joining.c - phx_join, from the frame to the ok reply. The reply waits until rows can
 * flow, which takes two short questions to the database; without an answer to them it waits a
 * second, or as long as the app said. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"
#include "shared/uuid.h"

enum {
    REPLY_WITHIN_MS = 1000,
    WAIT_MOST_MS = 20000,
    JOIN_WINDOW_S = 10,
    CLOSE_GOING_AWAY = 1001,
    RESPONSE_MAX_BYTES = 8 << 20,
};

static const char *ref_of(const struct rt_frame *frame)
{
    return frame->has_ref ? frame->ref : NULL;
}

static const char *join_ref_of(const struct rt_frame *frame)
{
    return frame->has_join_ref ? frame->join_ref : NULL;
}

static void refuse_frame(struct rt_client *client, const struct rt_frame *frame, const char *reason)
{
    rt_say_refusal(client, join_ref_of(frame), ref_of(frame), frame->topic, reason);
}

static void refuse(struct rt_channel *channel, const char *reason)
{
    rt_say_refusal(channel->client, channel->has_join_ref ? channel->join_ref : NULL,
                   channel->has_ref ? channel->ref : NULL, channel->topic->name, reason);
    rt_channel_doom(channel);
}

/* --- the reply ----------------------------------------------------------------------------------
 */

/* {"postgres_changes":[..]}: each item as it came, with its id. */
static char *make_response(const struct rt_channel *channel, const struct rt_join *join)
{
    json_t *list = json_array(), *response = NULL;
    char *text = NULL;

    for (size_t i = 0; list != NULL && i < join->binding_count; i++) {
        json_t *item =
            json_copy((json_t *)join->binding[i].given); /* shallow: the given one stays */
        if (item == NULL ||
            json_object_set_new(item, "id", json_integer(channel->binding[i].id)) != 0 ||
            json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    response = json_pack("{s:o}", "postgres_changes", list);
    if (response != NULL)
        text = json_dumps(response, JSON_COMPACT);
    json_decref(response);
    return text;
}

static void say_joined(struct rt_channel *channel)
{
    rt_say_reply(channel->client, channel->has_join_ref ? channel->join_ref : NULL,
                 channel->has_ref ? channel->ref : NULL, channel->topic->name, true,
                 channel->response);
    free(channel->response);
    channel->response = NULL;
    channel->is_joined = true;
    channel->client->hub->stats.joins++;
    rt_people_on_joined(channel);
}

/* Everything has an answer: rows flow, and the app is told what it got. */
static void say_settled(struct rt_channel *channel)
{
    struct rt_hub *hub = channel->client->hub;
    bool is_bad = false;

    for (size_t i = 0; i < channel->binding_count; i++) {
        struct rt_binding *binding = &channel->binding[i];
        rt_binding_go_live(hub, binding);
        if (binding->state != RT_BINDING_BAD)
            continue;
        is_bad = true;
        if (!binding->is_told)
            rt_say_system(channel, "postgres_changes", false, binding->error);
        binding->is_told = true;
    }
    if (channel->binding_count > 0 && !is_bad)
        rt_say_system(channel, "postgres_changes", true, "Subscribed to PostgreSQL");
}

static const char *first_error(const struct rt_channel *channel)
{
    for (size_t i = 0; i < channel->binding_count; i++)
        if (channel->binding[i].state == RT_BINDING_BAD)
            return channel->binding[i].error;
    return NULL;
}

static void refuse_late(struct rt_channel *channel)
{
    char reason[160];

    (void)snprintf(reason, sizeof reason,
                   "PostgresChangesSubscribeTimeout: Timed out after %lldms waiting for the "
                   "postgres_changes subscription",
                   (long long)(channel->deadline_ms - channel->began_ms));
    refuse(channel, reason);
}

static void refuse_bad(struct rt_channel *channel)
{
    char reason[1200];

    (void)snprintf(reason, sizeof reason, "RealtimeDisabledForConfiguration: %s",
                   first_error(channel));
    refuse(channel, reason);
}

void rt_channel_go_on(struct rt_channel *channel, int64_t now_ms)
{
    struct rt_hub *hub = channel->client->hub;
    bool is_settled = true;

    if (channel->is_doomed || !channel->is_unsettled)
        return;
    for (int i = 0; i < RT_EXTENSIONS; i++)
        if (channel->question[i] != 0)
            return;
    for (size_t i = 0; i < channel->binding_count; i++)
        is_settled &= rt_binding_is_settled(hub, &channel->binding[i], now_ms);
    if (!channel->is_joined) {
        if (channel->is_waiting && is_settled && first_error(channel) != NULL) {
            refuse_bad(channel);
            return;
        }
        if (!is_settled && now_ms < channel->deadline_ms)
            return;
        if (!is_settled && channel->is_waiting) {
            refuse_late(channel);
            return;
        }
        say_joined(channel);
    }
    if (!is_settled)
        return;
    rt_channel_settle(channel);
    say_settled(channel);
}

/* --- private channels ---------------------------------------------------------------------------
 */

void rt_channel_ask_policies(struct rt_channel *channel)
{
    static const char *const names[RT_EXTENSIONS] = {"broadcast", "presence"};
    struct rt_hub *hub = channel->client->hub;

    rt_channel_unsettle(channel);
    for (int i = 0; i < RT_EXTENSIONS; i++) {
        rt_hub_forget(hub, channel->question[i]);
        channel->question[i] = rt_hub_ask(hub, RT_ASKER_CHANNEL, (enum rt_extension)i, channel);
        if (channel->question[i] == 0) {
            rt_channel_break(channel);
            return;
        }
        rt_changes_policy(hub->changes, channel->question[i], channel->claims.json,
                          rt_sub_topic(channel->topic->name), names[i]);
    }
}

/* False: the channel has ended. */
static bool judge(struct rt_channel *channel, const char *error)
{
    const char *name = rt_sub_topic(channel->topic->name);
    char reason[RT_TOPIC_MAX_BYTES + 700];

    if (error == NULL && channel->can_read[RT_BROADCAST])
        return true;
    if (error != NULL && channel->is_joined) {
        rt_channel_break(channel); /* it cannot be told now: the client asks again by joining */
        return false;
    }
    if (error != NULL) {
        (void)snprintf(
            reason, sizeof reason, "%s%s",
            strncmp(error, "UnableTo", 8) == 0 ? "" : "Unknown Error on Channel: ", error);
        refuse(channel, reason);
        return false;
    }
    if (channel->is_joined) {
        (void)snprintf(reason, sizeof reason,
                       "You no longer have permission to read from this Channel topic: %s", name);
        rt_say_system(channel, "system", false, reason);
        rt_channel_close(channel);
    } else {
        (void)snprintf(reason, sizeof reason,
                       "Unauthorized: You do not have permissions to read from this Channel "
                       "topic: %s",
                       name);
        refuse(channel, reason);
    }
    return false;
}

void rt_channel_on_policy(struct rt_channel *channel, enum rt_extension extension,
                          const struct rt_changes_event *event)
{
    struct rt_hub *hub = channel->client->hub;

    channel->question[extension] = 0;
    if (channel->is_doomed)
        return;
    channel->can_read[extension] = event->is_ok && event->can_read;
    channel->can_write[extension] = event->is_ok && event->can_write;
    if (!event->is_ok) {
        (void)judge(channel, event->error);
        return;
    }
    if (channel->question[RT_BROADCAST] != 0 || channel->question[RT_PRESENCE] != 0 ||
        !judge(channel, NULL))
        return;
    for (size_t i = 0; i < channel->binding_count; i++)
        rt_binding_set_up(hub, &channel->binding[i]);
    rt_channel_go_on(channel, df_clock_mono_ms());
}

/* --- phx_join -----------------------------------------------------------------------------------
 */

/* What can be said without looking into the payload; NULL: nothing. */
static const char *find_fault(struct rt_client *client, const struct rt_frame *frame)
{
    if (strncmp(frame->topic, "realtime:", 9) != 0)
        return "unmatched topic";
    if (frame->topic[9] == '\0')
        return "TopicNameRequired: You must provide a topic name";
    if (rt_channel_live_count(client) >= (size_t)client->hub->config->channels_max)
        return "ChannelRateLimitReached: Too many channels";
    return NULL;
}

static bool is_too_often(struct rt_client *client, const struct rt_frame *frame, int64_t now_ms)
{
    double most = (double)client->hub->config->joins_per_10s;

    if (rt_rate_take(&client->joins, most / JOIN_WINDOW_S, most, now_ms))
        return false;
    rt_say_reply(client, join_ref_of(frame), ref_of(frame), frame->topic, false,
                 "{\"reason\":\"ClientJoinRateLimitReached: Too many joins per second\"}");
    client->hub->stats.joins_refused++;
    client->is_ending = true;
    rt_connection_close(client->connection, CLOSE_GOING_AWAY, "Too many joins per second");
    return true;
}

/* False: reason says why. */
static bool take_claims(struct rt_channel *channel, const struct rt_join *join, char *reason,
                        size_t reason_size)
{
    struct rt_hub *hub = channel->client->hub;
    int64_t now_s = df_clock_wall_ms() / 1000;

    if (join->access_token == NULL) {
        /* A connection outlives its apikey only with tokens of its own. */
        if (channel->client->claims->expires_at_s <= now_s) {
            (void)snprintf(reason, reason_size,
                           "InvalidJWTToken: Token has expired %lld seconds ago",
                           (long long)(now_s - channel->client->claims->expires_at_s));
            return false;
        }
        if (rt_claims_copy(&channel->claims, channel->client->claims))
            return true;
        (void)snprintf(reason, reason_size, "Unknown Error on Channel");
        return false;
    }
    channel->token_print = rt_token_print(join->access_token);
    return rt_access_check(hub->access, join->access_token, strlen(join->access_token), now_s,
                           &channel->claims, reason, reason_size);
}

/* Members that the parser has no word for. */
static bool wants_presence(const json_t *payload, const struct rt_join *join)
{
    const json_t *presence = json_object_get(json_object_get(payload, "config"), "presence");

    /* Clients before 2.15 do not say, and wait for it. */
    return join->presence_enabled ||
           (json_is_object(presence) && json_object_get(presence, "enabled") == NULL);
}

static void take_wishes(struct rt_channel *channel, const struct rt_frame *frame,
                        const struct rt_join *join, int64_t now_ms)
{
    const struct rt_config *config = channel->client->hub->config;
    int64_t wait_ms = REPLY_WITHIN_MS;

    channel->has_join_ref = frame->has_join_ref;
    channel->has_ref = frame->has_ref;
    memcpy(channel->join_ref, frame->join_ref, sizeof channel->join_ref);
    memcpy(channel->ref, frame->ref, sizeof channel->ref);
    channel->wants_ack = join->broadcast_ack;
    channel->wants_self = join->broadcast_self;
    channel->wants_presence = wants_presence(frame->payload, join);
    channel->is_waiting = join->wait && join->binding_count > 0;
    if (channel->is_waiting)
        wait_ms = join->wait_timeout_ms < 0 ? config->wait_default_ms : join->wait_timeout_ms;
    channel->began_ms = now_ms;
    channel->deadline_ms = now_ms + (wait_ms > WAIT_MOST_MS ? WAIT_MOST_MS : wait_ms);
    for (int i = 0; i < RT_EXTENSIONS; i++)
        channel->can_read[i] = channel->can_write[i] = !channel->topic->is_private;
}

static void begin(struct rt_channel *channel, const struct rt_frame *frame,
                  const struct rt_join *join)
{
    struct rt_hub *hub = channel->client->hub;
    char reason[400] = "";

    take_wishes(channel, frame, join, df_clock_mono_ms());
    if (!take_claims(channel, join, reason, sizeof reason)) {
        refuse(channel, reason);
        return;
    }
    rt_tokens_note(hub, channel);
    if (channel->topic->is_private && hub->config->private_channels == RT_PRIVATE_REFUSE) {
        channel->can_read[RT_BROADCAST] = false;
        (void)judge(channel, NULL);
        return;
    }
    if (join->presence_key[0] != '\0')
        channel->presence_key = strdup(join->presence_key);
    if (!rt_bindings_make(channel, join) ||
        (channel->response = make_response(channel, join)) == NULL) {
        refuse(channel, "Unknown Error on Channel");
        return;
    }
    rt_channel_unsettle(channel);
    if (channel->topic->is_private) {
        rt_channel_ask_policies(channel);
        return;
    }
    for (size_t i = 0; i < channel->binding_count; i++)
        rt_binding_set_up(hub, &channel->binding[i]);
    rt_channel_go_on(channel, channel->began_ms);
}

void rt_join_handle(struct rt_client *client, const struct rt_frame *frame)
{
    struct rt_channel *old = rt_channel_find(client, frame->topic), *channel = NULL;
    struct rt_join join;
    struct df_error err = {0};

    if (old != NULL)
        rt_channel_close(old);
    if (is_too_often(client, frame, df_clock_mono_ms()))
        return;
    const char *fault = find_fault(client, frame);
    if (fault != NULL) {
        refuse_frame(client, frame, fault);
        return;
    }
    if (rt_join_parse(&join, frame->payload, &err) != DF_OK) {
        refuse_frame(client, frame, err.code == DF_ETOOBIG ? err.msg : "Unknown Error on Channel");
        return;
    }
    channel = rt_channel_new(client, frame->topic, join.is_private);
    if (channel == NULL)
        refuse_frame(client, frame, "Unknown Error on Channel");
    else
        begin(channel, frame, &join);
    rt_join_release(&join);
}
