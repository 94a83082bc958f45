/* realtime/channel.c - a channel's life, from its making to the sweep. */
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"

struct rt_channel *rt_channel_find(const struct rt_client *client, const char *topic)
{
    for (size_t i = 0; i < client->channel_count; i++) {
        struct rt_channel *channel = client->channel[i];
        if (!channel->is_doomed && strcmp(channel->topic->name, topic) == 0)
            return channel;
    }
    return NULL;
}

size_t rt_channel_live_count(const struct rt_client *client)
{
    size_t count = 0;

    for (size_t i = 0; i < client->channel_count; i++)
        count += client->channel[i]->is_doomed ? 0 : 1;
    return count;
}

static bool add_to_client(struct rt_client *client, struct rt_channel *channel)
{
    if (client->channel_count == client->channel_cap) {
        size_t cap = client->channel_cap == 0 ? 2 : 2 * client->channel_cap;
        struct rt_channel **grown = reallocarray(client->channel, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        client->channel = grown;
        client->channel_cap = cap;
    }
    client->channel[client->channel_count++] = channel;
    return true;
}

static void remove_from_client(struct rt_channel *channel)
{
    struct rt_client *client = channel->client;

    for (size_t i = 0; i < client->channel_count; i++) {
        if (client->channel[i] != channel)
            continue;
        client->channel[i] = client->channel[--client->channel_count];
        return;
    }
}

struct rt_channel *rt_channel_new(struct rt_client *client, const char *topic, bool is_private)
{
    struct rt_hub *hub = client->hub;
    struct rt_channel *channel = calloc(1, sizeof *channel);
    struct rt_topic *shared = rt_topic_get(hub, topic, is_private);

    if (channel == NULL || shared == NULL || !rt_topic_add(shared, channel)) {
        free(channel);
        if (shared != NULL)
            rt_topic_drop_unused(hub, shared);
        return NULL;
    }
    channel->client = client;
    channel->number = ++hub->last_channel;
    if (!add_to_client(client, channel)) {
        rt_topic_remove(hub, channel);
        free(channel);
        return NULL;
    }
    hub->channel_count++;
    return channel;
}

void rt_channel_free(struct rt_hub *hub, struct rt_channel *channel)
{
    rt_channel_settle(channel);
    for (int i = 0; i < RT_EXTENSIONS; i++)
        rt_hub_forget(hub, channel->question[i]);
    rt_people_on_left(hub, channel);
    rt_bindings_free(hub, channel);
    rt_topic_remove(hub, channel);
    remove_from_client(channel);
    rt_claims_release(&channel->claims);
    free(channel->response);
    free(channel->presence_key);
    free(channel->tracked);
    free(channel);
    hub->channel_count--;
}

void rt_channel_doom(struct rt_channel *channel)
{
    struct rt_hub *hub = channel->client->hub;

    if (channel->is_doomed)
        return;
    channel->is_doomed = true;
    channel->next_doomed = hub->doomed;
    hub->doomed = channel;
}

void rt_channel_close(struct rt_channel *channel)
{
    rt_say_push(channel, "phx_close", "{}", 2);
    rt_channel_doom(channel);
}

void rt_channel_break(struct rt_channel *channel)
{
    rt_say_push(channel, "phx_error", "{}", 2);
    rt_channel_doom(channel);
}

bool rt_channel_is_expired(const struct rt_channel *channel, int64_t now_s)
{
    return channel->claims.expires_at_s <= now_s;
}

void rt_channel_unsettle(struct rt_channel *channel)
{
    struct rt_hub *hub = channel->client->hub;

    if (channel->is_unsettled)
        return;
    channel->is_unsettled = true;
    channel->previous = NULL;
    channel->next = hub->unsettled;
    if (hub->unsettled != NULL)
        hub->unsettled->previous = channel;
    hub->unsettled = channel;
}

void rt_channel_settle(struct rt_channel *channel)
{
    struct rt_hub *hub = channel->client->hub;

    if (!channel->is_unsettled)
        return;
    channel->is_unsettled = false;
    if (channel->previous != NULL)
        channel->previous->next = channel->next;
    else
        hub->unsettled = channel->next;
    if (channel->next != NULL)
        channel->next->previous = channel->previous;
    channel->previous = channel->next = NULL;
}
