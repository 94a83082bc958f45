/* realtime/say.c - what is sent to a client. Answers may exceed its queue a little; whoever does
 * not even take those is closed. Messages that do not fit end their channel, loudly. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { CLOSE_TOO_SLOW = 1013 }; /* "try again later" */

bool rt_say_blob(struct rt_client *client, struct rt_blob *blob, bool is_control)
{
    if (blob == NULL || client->is_ending)
        return false;
    if (rt_connection_send(client->connection, blob, is_control))
        return true;
    if (is_control) {
        client->is_ending = true;
        rt_connection_close(client->connection, CLOSE_TOO_SLOW, "too slow");
    }
    return false;
}

/* Sends what is in the hub's frame buffer. */
static void say_frame(struct rt_client *client, bool is_complete)
{
    struct df_buf *frame = &client->hub->frame;
    struct rt_blob *blob = is_complete ? rt_blob_new(frame->data, frame->len, false) : NULL;

    (void)rt_say_blob(client, blob, true);
    rt_blob_drop(blob);
}

void rt_say_reply(struct rt_client *client, const char *join_ref, const char *ref,
                  const char *topic, bool is_ok, const char *response)
{
    struct df_buf *frame = &client->hub->frame;

    df_buf_reset(frame);
    say_frame(client, rt_wire_reply(frame, client->vsn, join_ref, ref, topic, is_ok, response,
                                    strlen(response)));
}

void rt_say_reply_to(struct rt_channel *channel, const struct rt_frame *frame, bool is_ok,
                     const char *response)
{
    rt_say_reply(channel->client, channel->has_join_ref ? channel->join_ref : NULL,
                 frame->has_ref ? frame->ref : NULL, channel->topic->name, is_ok, response);
}

void rt_say_system(struct rt_channel *channel, const char *extension, bool is_ok,
                   const char *message)
{
    struct df_buf *frame = &channel->client->hub->frame;

    if (channel->is_doomed)
        return;
    df_buf_reset(frame);
    say_frame(channel->client, rt_wire_system(frame, channel->client->vsn,
                                              channel->has_join_ref ? channel->join_ref : NULL,
                                              channel->topic->name, extension, is_ok, message));
}

void rt_say_push(struct rt_channel *channel, const char *event, const char *payload,
                 size_t payload_len)
{
    struct df_buf *frame = &channel->client->hub->frame;
    const char *join_ref = channel->has_join_ref ? channel->join_ref : NULL;
    /* Clients take these for their channel only with its reference in `ref`, too. */
    bool is_end = strcmp(event, "phx_close") == 0 || strcmp(event, "phx_error") == 0;

    if (channel->is_doomed)
        return;
    df_buf_reset(frame);
    say_frame(channel->client,
              rt_wire_push(frame, channel->client->vsn, join_ref, is_end ? join_ref : NULL,
                           channel->topic->name, event, payload, payload_len));
}

bool rt_say_message(struct rt_channel *channel, struct rt_blob *blob)
{
    if (channel->is_doomed)
        return false;
    if (rt_say_blob(channel->client, blob, false))
        return true;
    channel->client->hub->stats.slow_channels++;
    rt_channel_break(channel);
    return false;
}

/* --- refusals -----------------------------------------------------------------------------------
 */

static void queue_refusal(struct rt_client *client, struct rt_blob *blob)
{
    struct rt_hub *hub = client->hub;
    struct rt_refusal *refusal = calloc(1, sizeof *refusal);

    if (refusal == NULL || blob == NULL) {
        free(refusal);
        rt_blob_drop(blob);
        return; /* the client asks again after its timeout */
    }
    refusal->client = client;
    refusal->blob = blob;
    refusal->due_ms = df_clock_mono_ms() + hub->config->refuse_delay_ms;
    if (hub->last_refusal == NULL)
        hub->refusal = refusal;
    else
        hub->last_refusal->next = refusal;
    hub->last_refusal = refusal;
}

void rt_say_refusal(struct rt_client *client, const char *join_ref, const char *ref,
                    const char *topic, const char *reason)
{
    struct rt_hub *hub = client->hub;
    struct df_buf *frame = &hub->frame, response;

    hub->stats.joins_refused++;
    df_buf_init(&response, 16384);
    (void)df_buf_append_str(&response, "{\"reason\":");
    (void)df_json_append_string(&response, reason, strlen(reason));
    (void)df_buf_append_char(&response, '}');
    df_buf_reset(frame);
    if (!response.failed && rt_wire_reply(frame, client->vsn, join_ref, ref, topic, false,
                                          response.data, response.len)) {
        if (hub->config->refuse_delay_ms == 0)
            say_frame(client, true);
        else
            queue_refusal(client, rt_blob_new(frame->data, frame->len, false));
    }
    df_buf_release(&response);
}

void rt_say_refusals_due(struct rt_hub *hub, int64_t now_ms)
{
    while (hub->refusal != NULL && hub->refusal->due_ms <= now_ms) {
        struct rt_refusal *refusal = hub->refusal;
        hub->refusal = refusal->next;
        if (hub->refusal == NULL)
            hub->last_refusal = NULL;
        (void)rt_say_blob(refusal->client, refusal->blob, true);
        rt_blob_drop(refusal->blob);
        free(refusal);
    }
}

void rt_say_forget_client(struct rt_hub *hub, const struct rt_client *client)
{
    struct rt_refusal **at = &hub->refusal;

    hub->last_refusal = NULL;
    while (*at != NULL) {
        struct rt_refusal *refusal = *at;
        if (refusal->client != client) {
            hub->last_refusal = refusal;
            at = &refusal->next;
            continue;
        }
        *at = refusal->next;
        rt_blob_drop(refusal->blob);
        free(refusal);
    }
}
