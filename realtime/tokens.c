/* realtime/tokens.c - whose rights a channel has: newer tokens, and tokens that expire. Nothing is
 * delivered after a token's end. Its client then has the time between two heartbeats to send a new
 * one; after that it gets phx_error, on which it joins anew with its newest token (phx_close would end
 * the channel for good). */
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

/* --- access_token ------------------------------------------------------------------------------- */

static void refuse(struct rt_channel *channel, const char *reason)
{
    rt_say_system(channel, "system", false, rt_access_http_text(reason));
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

    if (channel->topic->is_private) {
        rt_channel_ask_policies(channel);
        return;
    }
    if (channel->binding_count == 0)
        return;
    rt_channel_unsettle(channel);
    for (size_t i = 0; i < channel->binding_count; i++)
        rt_binding_set_up(hub, &channel->binding[i]);
    rt_channel_go_on(channel, df_clock_mono_ms());
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
    rt_tokens_note(hub, &claims);
    if (channel->skipped_rows) {
        rt_channel_break(channel); /* it came too late: rows were left out meanwhile */
        return;
    }
    if (!is_same)
        move(channel);
}

/* --- the end of tokens -------------------------------------------------------------------------- */

static int64_t end_of(const struct rt_hub *hub, const struct rt_claims *claims)
{
    if (claims->expires_at_s >= INT64_MAX / 1000 - hub->config->expiry_grace_ms)
        return INT64_MAX;
    return claims->expires_at_s * 1000 + hub->config->expiry_grace_ms;
}

void rt_tokens_note(struct rt_hub *hub, const struct rt_claims *claims)
{
    int64_t end_ms = end_of(hub, claims);
    if (end_ms < hub->expiry_due_ms)
        hub->expiry_due_ms = end_ms;
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
            if (channel->is_doomed)
                continue;
            if (end_of(hub, &channel->claims) > now_wall_ms) {
                rt_tokens_note(hub, &channel->claims);
                continue;
            }
            hub->stats.expired++;
            rt_channel_break(channel);
        }
    }
}
