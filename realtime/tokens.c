/* realtime/tokens.c - whose rights a channel has: newer tokens, and tokens that expire. Nothing is
 * delivered after a token's end, and the app is told so. Its client then has the time between two
 * heartbeats to send a new one; after that it gets phx_error, on which it joins anew with its
 * newest token (phx_close would end the channel for good). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"

bool rt_claims_copy(struct rt_claims *out, const struct rt_claims *claims)
{
    char *json = strdup(claims->json);

    if (json == NULL)
        return false;
    *out = *claims;
    out->json = json;
    return true;
}

/* Tells tokens apart without keeping them. */
uint64_t rt_token_print(const char *token)
{
    uint64_t print = 0xcbf29ce484222325u;

    for (; *token != '\0'; token++)
        print = (print ^ (unsigned char)*token) * 0x100000001b3u;
    return print | 1;
}

/* --- access_token -------------------------------------------------------------------------------
 */

static void refuse(struct rt_channel *channel, const char *reason)
{
    const char *colon = strstr(reason, ": "); /* after the code */

    rt_say_system(channel, "system", false, colon == NULL ? reason : colon + 2);
    /* An old token is no forgery: the client may well hold a newer one by the time it rejoins. */
    if (strstr(reason, "expired") != NULL)
        rt_channel_break(channel);
    else
        rt_channel_close(channel);
}

/* Every want moves to the new claims; until they are in force, rows come by the old ones. */
static void move(struct rt_channel *channel)
{
    struct rt_hub *hub = channel->client->hub;

    rt_channel_unsettle(channel);
    for (size_t i = 0; i < channel->binding_count; i++)
        rt_binding_set_up(hub, &channel->binding[i]);
}

/* Rows that were left out after the token's end: who has a position gets them now. */
static void recover(struct rt_channel *channel)
{
    for (size_t i = 0; i < channel->binding_count; i++) {
        struct rt_binding *binding = &channel->binding[i];
        if (binding->want != NULL && binding->position != NULL)
            rt_missed_begin(channel->client->hub, binding);
    }
    channel->skipped_rows = false;
}

void rt_token_handle(struct rt_channel *channel, const struct rt_frame *frame)
{
    struct rt_hub *hub = channel->client->hub;
    const char *token = json_string_value(json_object_get(frame->payload, "access_token"));
    struct rt_claims claims = {0};
    char reason[400] = "";

    if (token == NULL || strncmp(token, "sb_", 3) == 0)
        return;
    uint64_t print = rt_token_print(token);
    if (print == channel->token_print)
        return; /* old clients repeat it with each heartbeat */
    if (!rt_access_check(hub->access, token, strlen(token), df_clock_wall_ms() / 1000, &claims,
                         reason, sizeof reason)) {
        refuse(channel, reason);
        return;
    }
    bool is_same = strcmp(claims.json, channel->claims.json) == 0;
    rt_claims_release(&channel->claims);
    channel->claims = claims;
    channel->token_print = print;
    channel->is_expiry_told = false;
    rt_tokens_note(hub, channel);
    if (channel->skipped_rows)
        recover(channel);
    if (channel->topic->is_private) {
        rt_channel_ask_policies(channel);
        return;
    }
    if (!is_same)
        move(channel);
    else if (channel->is_joined)
        rt_channel_unsettle(channel); /* nothing to do, but "Subscribed" is said again */
    rt_channel_go_on(channel, df_clock_mono_ms());
}

/* --- the end of tokens --------------------------------------------------------------------------
 */

static int64_t grace_end_ms(const struct rt_hub *hub, const struct rt_channel *channel)
{
    if (channel->claims.expires_at_s >= INT64_MAX / 1000 - hub->config->expiry_grace_ms)
        return INT64_MAX;
    return channel->claims.expires_at_s * 1000 + hub->config->expiry_grace_ms;
}

/* When there is something to be said to it. */
static int64_t due_ms(const struct rt_hub *hub, const struct rt_channel *channel)
{
    int64_t end_ms = grace_end_ms(hub, channel);

    return end_ms == INT64_MAX || channel->is_expiry_told ? end_ms
                                                          : channel->claims.expires_at_s * 1000;
}

void rt_tokens_note(struct rt_hub *hub, const struct rt_channel *channel)
{
    int64_t at_ms = due_ms(hub, channel);
    if (at_ms < hub->expiry_due_ms)
        hub->expiry_due_ms = at_ms;
}

static void expire(struct rt_hub *hub, struct rt_channel *channel, int64_t now_wall_ms)
{
    char text[80];

    if (channel->is_doomed || due_ms(hub, channel) > now_wall_ms)
        return;
    if (!channel->is_expiry_told) {
        (void)snprintf(text, sizeof text, "Token has expired %lld seconds ago",
                       (long long)(now_wall_ms / 1000 - channel->claims.expires_at_s));
        rt_say_system(channel, "system", false, text);
        channel->is_expiry_told = true;
        hub->stats.expired++;
    }
    if (grace_end_ms(hub, channel) <= now_wall_ms)
        rt_channel_break(channel);
}

void rt_tokens_expire(struct rt_hub *hub, int64_t now_wall_ms)
{
    struct rt_map_cursor cursor = {0};
    struct rt_topic *topic = NULL;

    if (now_wall_ms < hub->expiry_due_ms)
        return;
    hub->expiry_due_ms = INT64_MAX;
    while ((topic = rt_map_next(&hub->topics, &cursor)) != NULL) {
        for (size_t i = 0; i < topic->channel_count; i++) {
            struct rt_channel *channel = topic->channel[i];
            expire(hub, channel, now_wall_ms);
            if (!channel->is_doomed)
                rt_tokens_note(hub, channel);
        }
    }
}
