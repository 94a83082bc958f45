/* realtime/post.c - broadcasts by HTTP: POST /api/broadcast with a list of messages, and
 * POST /api/broadcast/<topic>/events/<event> with one payload. 202 means taken, not delivered: what
 * the policies of a private topic do not allow vanishes, as on Supabase. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/json.h"

enum { BODY_MAX_BYTES = 16 << 20, MESSAGES_MAX = 1000 };

struct post {
    char topic[RT_TOPIC_MAX_BYTES + 1], event[RT_EVENT_MAX_BYTES + 1];
    bool is_private, is_json;
    char *payload; /* heap; or */
    uint8_t *bytes;
    size_t len;
};

void rt_post_free(void *arg)
{
    struct post *post = arg;

    if (post == NULL)
        return;
    free(post->payload);
    free(post->bytes);
    free(post);
}

static void send_out(struct rt_hub *hub, const struct post *post)
{
    const struct rt_broadcast broadcast = {
        .topic = post->topic,
        .is_private = post->is_private,
        .payload = post->payload,
        .payload_len = post->payload == NULL ? 0 : post->len,
        .event = post->event,
        .bytes = post->bytes,
        .bytes_len = post->bytes == NULL ? 0 : post->len,
        .is_json = post->is_json,
    };
    rt_broadcast_send(hub, &broadcast);
}

void rt_post_on_policy(struct rt_hub *hub, void *arg, const struct rt_changes_event *event)
{
    if (event->is_ok && event->can_write)
        send_out(hub, arg);
    rt_post_free(arg);
}

/* Takes the post over. */
static void take(struct rt_hub *hub, const struct rt_claims *claims, struct post *post)
{
    if (!post->is_private) {
        send_out(hub, post);
        rt_post_free(post);
        return;
    }
    uint64_t token = hub->config->private_channels == RT_PRIVATE_REFUSE
                         ? 0
                         : rt_hub_ask(hub, RT_ASKER_POST, RT_BROADCAST, post);
    if (token == 0) {
        rt_post_free(post);
        return;
    }
    rt_changes_policy(hub->changes, token, claims->json, rt_sub_topic(post->topic), "broadcast");
}

/* --- the body -----------------------------------------------------------------------------------
 */

static struct post *post_new(const char *topic, const char *event, bool is_private)
{
    struct post *post = NULL;

    if (topic == NULL || event == NULL || topic[0] == '\0' || event[0] == '\0' ||
        strlen(topic) + sizeof "realtime:" > sizeof post->topic ||
        strlen(event) >= sizeof post->event)
        return NULL;
    post = calloc(1, sizeof *post);
    if (post == NULL)
        return NULL;
    (void)snprintf(post->topic, sizeof post->topic, "realtime:%s", topic);
    (void)snprintf(post->event, sizeof post->event, "%s", event);
    post->is_private = is_private;
    return post;
}

/* {"type":"broadcast","event":..,"payload":..}; payload is JSON text. */
static bool put_payload(struct post *post, const char *payload, size_t payload_len)
{
    struct df_buf out;

    df_buf_init(&out, BODY_MAX_BYTES);
    (void)df_buf_append_str(&out, "{\"type\":\"broadcast\",\"event\":");
    (void)df_json_append_string(&out, post->event, strlen(post->event));
    (void)df_buf_append_str(&out, ",\"payload\":");
    (void)df_buf_append(&out, payload, payload_len);
    (void)df_buf_append_char(&out, '}');
    if (out.failed)
        df_buf_release(&out);
    post->payload = out.data;
    post->len = out.len;
    return post->payload != NULL;
}

static struct post *read_message(const struct rt_hub *hub, const json_t *message)
{
    const json_t *payload = json_object_get(message, "payload");
    struct post *post = NULL;
    char *text = NULL;

    if (json_is_object(payload))
        text = json_dumps(payload, JSON_COMPACT);
    if (text != NULL && strlen(text) <= (size_t)hub->config->broadcast_max_bytes)
        post = post_new(json_string_value(json_object_get(message, "topic")),
                        json_string_value(json_object_get(message, "event")),
                        json_is_true(json_object_get(message, "private")));
    if (post != NULL && !put_payload(post, text, strlen(text))) {
        rt_post_free(post);
        post = NULL;
    }
    free(text);
    return post;
}

/* All or nothing: a list with one bad message is refused. */
static bool take_list(struct rt_hub *hub, const struct rt_claims *claims, const uint8_t *body,
                      size_t body_len)
{
    json_t *root = NULL;
    struct post **posts = NULL;
    size_t count = 0;

    if (df_json_parse(&root, (const char *)body, body_len, BODY_MAX_BYTES, NULL) != DF_OK)
        return false;
    const json_t *list = json_object_get(root, "messages");
    size_t wanted = json_array_size(list);
    if (wanted > 0 && wanted <= MESSAGES_MAX)
        posts = calloc(wanted, sizeof(struct post *));
    while (posts != NULL && count < wanted &&
           (posts[count] = read_message(hub, json_array_get(list, count))) != NULL)
        count++;
    bool is_good = posts != NULL && count == wanted;
    for (size_t i = 0; i < count; i++) {
        if (is_good)
            take(hub, claims, posts[i]);
        else
            rt_post_free(posts[i]);
    }
    free(posts);
    json_decref(root);
    return is_good;
}

static bool take_one(struct rt_hub *hub, const struct rt_claims *claims, struct post *post,
                     bool is_json, const uint8_t *body, size_t body_len)
{
    bool is_good = post != NULL && body_len <= (size_t)hub->config->broadcast_max_bytes;

    if (is_good && is_json) {
        df_buf_reset(&hub->payload);
        is_good = rt_broadcast_clean(&hub->payload, body, body_len) &&
                  put_payload(post, hub->payload.data, hub->payload.len);
    } else if (is_good) {
        post->bytes = malloc(body_len + 1);
        post->len = body_len;
        is_good = post->bytes != NULL;
        if (is_good && body_len > 0)
            memcpy(post->bytes, body, body_len);
    }
    if (is_good)
        take(hub, claims, post);
    else
        rt_post_free(post);
    return is_good;
}

void rt_post_handle(struct rt_hub *hub, uint64_t request, const struct rt_claims *claims,
                    const char *topic, const char *event, bool is_private, bool is_json,
                    const uint8_t *body, size_t body_len)
{
    bool is_taken = topic == NULL ? take_list(hub, claims, body, body_len)
                                  : take_one(hub, claims, post_new(topic, event, is_private),
                                             is_json, body, body_len);

    rt_server_reply_http(hub->server, request, is_taken ? 202 : 422,
                         is_taken ? ""
                                  : "{\"message\":\"Unprocessable Entity: expected messages "
                                    "with topic, event and payload within the size limit\"}");
}
