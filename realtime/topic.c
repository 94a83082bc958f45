/* realtime/topic.c - topics by name: which channels of which clients share one. */
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"

const char *rt_sub_topic(const char *topic)
{
    return strncmp(topic, "realtime:", 9) == 0 ? topic + 9 : topic;
}

static size_t make_key(char out[RT_TOPIC_MAX_BYTES + 2], const char *name, bool is_private)
{
    size_t len = strnlen(name, RT_TOPIC_MAX_BYTES);

    out[0] = is_private ? '+' : '-';
    memcpy(out + 1, name, len);
    return len + 1;
}

struct rt_topic *rt_topic_find(struct rt_hub *hub, const char *name, bool is_private)
{
    char key[RT_TOPIC_MAX_BYTES + 2];
    size_t len = make_key(key, name, is_private);

    return rt_map_get(&hub->topics, key, len);
}

struct rt_topic *rt_topic_get(struct rt_hub *hub, const char *name, bool is_private)
{
    char key[RT_TOPIC_MAX_BYTES + 2];
    size_t len = make_key(key, name, is_private);
    struct rt_topic *topic = rt_map_get(&hub->topics, key, len);

    if (topic != NULL)
        return topic;
    topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return NULL;
    topic->is_private = is_private;
    topic->name = strndup(name, RT_TOPIC_MAX_BYTES);
    if (topic->name == NULL || !rt_map_put(&hub->topics, key, len, topic)) {
        rt_topic_free(topic);
        return NULL;
    }
    return topic;
}

void rt_topic_free(struct rt_topic *topic)
{
    if (topic == NULL)
        return;
    rt_presence_free(topic->presence);
    free(topic->encoded);
    free(topic->channel);
    free(topic->name);
    free(topic);
}

void rt_topic_drop_unused(struct rt_hub *hub, struct rt_topic *topic)
{
    char key[RT_TOPIC_MAX_BYTES + 2];

    if (topic->channel_count > 0 ||
        (topic->presence != NULL && rt_presence_count(topic->presence) > 0))
        return;
    (void)rt_map_take(&hub->topics, key, make_key(key, topic->name, topic->is_private));
    rt_topic_free(topic);
}

bool rt_topic_add(struct rt_topic *topic, struct rt_channel *channel)
{
    if (topic->channel_count == topic->channel_cap) {
        size_t cap = topic->channel_cap == 0 ? 2 : 2 * topic->channel_cap;
        struct rt_channel **grown = reallocarray(topic->channel, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        topic->channel = grown;
        topic->channel_cap = cap;
    }
    channel->topic = topic;
    channel->place = topic->channel_count;
    topic->channel[topic->channel_count++] = channel;
    return true;
}

void rt_topic_remove(struct rt_hub *hub, struct rt_channel *channel)
{
    struct rt_topic *topic = channel->topic;

    topic->channel[channel->place] = topic->channel[--topic->channel_count];
    topic->channel[channel->place]->place = channel->place;
    channel->topic = NULL;
    rt_topic_drop_unused(hub, topic);
}
