/* realtime/hub.c - what comes from the sockets and from the database, given to those concerned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/uuid.h"

enum {
    FRAME_MAX_BYTES = 64 << 20, /* a row may be large */
    REPUBLISH_MS = 5000,        /* a plan that was never confirmed */
    BURST_S = 5,
    FRAMES_FACTOR = 10, /* of any kind, for each message allowed */
    CLOSE_FLOOD = 1008,
    TURN_CHANNELS = 4000, /* deliveries before the sockets have their turn */
    TURN_MS = 10,
    KEPT_BYTES = 4 << 20, /* of scratch memory */
};

/* --- helpers ------------------------------------------------------------------------------------
 */

bool rt_rate_take(struct rt_rate *rate, double per_second, double burst, int64_t now_ms)
{
    if (rate->at_ms == 0)
        rate->tokens = burst;
    else
        rate->tokens += (double)(now_ms - rate->at_ms) / 1000.0 * per_second;
    rate->at_ms = now_ms;
    if (rate->tokens > burst)
        rate->tokens = burst;
    if (rate->tokens < 1.0)
        return false;
    rate->tokens -= 1.0;
    return true;
}

uint64_t rt_hub_ask(struct rt_hub *hub, enum rt_asker_type type, enum rt_extension extension,
                    void *who)
{
    struct rt_asker *asker = malloc(sizeof *asker);
    uint64_t token = hub->last_token + 1;

    if (asker == NULL || !rt_map_put(&hub->askers, &token, sizeof token, asker)) {
        free(asker);
        return 0;
    }
    *asker = (struct rt_asker){type, extension, who};
    return hub->last_token = token;
}

void rt_hub_forget(struct rt_hub *hub, uint64_t token)
{
    if (token != 0)
        free(rt_map_take(&hub->askers, &token, sizeof token));
}

void rt_hub_wake(struct rt_hub *hub)
{
    if (hub->is_wake_due || hub->server == NULL)
        return;
    hub->is_wake_due = true;
    rt_server_wake(hub->server);
}

void rt_hub_sweep(struct rt_hub *hub)
{
    while (hub->doomed != NULL) { /* telling others that one left may doom more */
        struct rt_channel *channel = hub->doomed;
        hub->doomed = channel->next_doomed;
        rt_channel_free(hub, channel);
    }
}

/* --- the plan -----------------------------------------------------------------------------------
 */

/* One plan is on its way at a time: what changes meanwhile goes into the next, all together. */
static void publish(struct rt_hub *hub)
{
    int64_t now_ms = df_clock_mono_ms();
    bool is_open = rt_registry_published(hub->registry) != rt_registry_acknowledged(hub->registry);

    if (!rt_registry_is_changed(hub->registry) ||
        (is_open && now_ms - hub->published_ms < REPUBLISH_MS))
        return;
    struct rt_plan *plan = rt_registry_plan(hub->registry);
    if (plan == NULL)
        return; /* the next round tries again */
    hub->published_ms = now_ms;
    rt_changes_publish(hub->changes, plan);
}

/* --- what the database says ---------------------------------------------------------------------
 */

static void go_on(struct rt_hub *hub, int64_t now_ms)
{
    for (struct rt_channel *channel = hub->unsettled, *next = NULL; channel != NULL;
         channel = next) {
        next = channel->next;
        rt_channel_go_on(channel, now_ms);
    }
}

static void on_answer(struct rt_hub *hub, const struct rt_changes_event *event)
{
    struct rt_asker *asker = rt_map_get(&hub->askers, &event->token, sizeof event->token);

    if (asker == NULL)
        return; /* gone meanwhile */
    struct rt_asker told = *asker;
    if (event->type != RT_EVENT_CATCH_UP || event->is_last)
        rt_hub_forget(hub, event->token);
    switch (told.type) {
    case RT_ASKER_CHECK:
        rt_check_on_answer(hub, told.who, event);
        break;
    case RT_ASKER_CHANNEL:
        rt_channel_on_policy(told.who, told.extension, event);
        break;
    case RT_ASKER_MISSED:
        rt_missed_on_rows(hub, told.who, event);
        break;
    case RT_ASKER_POST:
        rt_post_on_policy(hub, told.who, event);
        break;
    }
}

static void on_event(struct rt_hub *hub, const struct rt_changes_event *event)
{
    switch (event->type) {
    case RT_EVENT_CHANGES:
        break; /* give_out */
    case RT_EVENT_PLAN:
        rt_registry_acknowledge(hub->registry, event->plan_version);
        rt_missed_on_plan(hub);
        go_on(hub, df_clock_mono_ms());
        break;
    case RT_EVENT_CHECKED:
    case RT_EVENT_POLICY:
    case RT_EVENT_CATCH_UP:
        on_answer(hub, event);
        break;
    case RT_EVENT_BROADCAST:
        rt_remote_on_text(hub, event->text);
        break;
    case RT_EVENT_STATE:
        hub->is_up = event->is_up;
        rt_checks_forget(hub);
        if (event->is_up)
            rt_remote_on_up(hub);
        break;
    case RT_EVENT_FAILED:
        rt_bindings_on_failed(hub, event);
        break;
    }
}

/* Rows of the event that was taken last. False: its turn is over before its rows are. */
static bool give_out(struct rt_hub *hub, size_t *channels_left)
{
    struct rt_changes_event *event = hub->event;

    while (event->type == RT_EVENT_CHANGES && hub->next_row < event->row_count) {
        if (*channels_left == 0)
            return false;
        size_t count = rt_fanout(hub, event, hub->next_row++);
        rt_hub_sweep(hub);
        *channels_left -= count < *channels_left ? count : *channels_left;
    }
    return true;
}

/* In turns: a statement that inserts ten thousand rows must not fill the queue of every client
 * before the sockets were written to once, nor hold a heartbeat up. */
static void drain(struct rt_hub *hub)
{
    int64_t end_ms = df_clock_mono_ms() + TURN_MS;
    size_t channels_left = TURN_CHANNELS;

    while (hub->event != NULL || (hub->event = rt_changes_take(hub->changes)) != NULL) {
        if (!give_out(hub, &channels_left) || df_clock_mono_ms() >= end_ms) {
            rt_hub_wake(hub);
            return;
        }
        on_event(hub, hub->event);
        rt_hub_sweep(hub);
        rt_changes_event_free(hub->event);
        hub->event = NULL;
        hub->next_row = 0;
    }
}

/* --- what the sockets say -----------------------------------------------------------------------
 */

static void *on_open(void *arg, struct rt_connection *connection, enum rt_vsn vsn,
                     const struct rt_claims *claims)
{
    struct rt_hub *hub = arg;
    struct rt_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return NULL;
    client->hub = hub;
    client->connection = connection;
    client->vsn = vsn;
    client->claims = claims;
    client->number = ++hub->last_client;
    return client;
}

static bool is_flood(struct rt_client *client)
{
    double most = (double)client->hub->config->messages_per_s * FRAMES_FACTOR;

    if (most == 0 || rt_rate_take(&client->frames, most, most * BURST_S, df_clock_mono_ms()))
        return false;
    client->is_ending = true;
    rt_connection_close(client->connection, CLOSE_FLOOD, "too many frames");
    return true;
}

static void on_leave(struct rt_client *client, struct rt_channel *channel,
                     const struct rt_frame *frame)
{
    rt_say_reply(client, frame->has_join_ref ? frame->join_ref : NULL,
                 frame->has_ref ? frame->ref : NULL, frame->topic, true, "{}");
    if (channel != NULL)
        rt_channel_close(channel);
}

/* Broadcasts and tracking of one client have their limits; who exceeds them loses the channel. */
static bool is_within_limits(struct rt_channel *channel, bool is_presence)
{
    struct rt_client *client = channel->client;
    const struct rt_config *config = client->hub->config;
    double most = (double)(is_presence ? config->presence_per_s : config->messages_per_s);
    struct rt_rate *rate = is_presence ? &client->presences : &client->messages;

    if (most == 0 || rt_rate_take(rate, most, most * BURST_S, df_clock_mono_ms()))
        return true;
    rt_say_system(channel, "system", false,
                  is_presence ? "Too many presence messages per second"
                              : "Too many messages per second");
    rt_channel_close(channel);
    return false;
}

static void on_frame(struct rt_client *client, const struct rt_frame *frame)
{
    if (strcmp(frame->topic, "phoenix") == 0 && strcmp(frame->event, "heartbeat") == 0) {
        rt_say_reply(client, NULL, frame->has_ref ? frame->ref : NULL, "phoenix", true, "{}");
        return;
    }
    if (strcmp(frame->event, "phx_join") == 0) {
        rt_join_handle(client, frame);
        return;
    }
    struct rt_channel *channel = rt_channel_find(client, frame->topic);
    bool is_leave = strcmp(frame->event, "phx_leave") == 0;
    if (channel == NULL && !is_leave) {
        rt_say_reply(client, frame->has_join_ref ? frame->join_ref : NULL,
                     frame->has_ref ? frame->ref : NULL, frame->topic, false,
                     "{\"reason\":\"unmatched topic\"}");
        return;
    }
    if (channel != NULL && frame->has_join_ref && channel->has_join_ref &&
        strcmp(frame->join_ref, channel->join_ref) != 0)
        return; /* of a channel that is gone */
    if (is_leave)
        on_leave(client, channel, frame);
    else if (strcmp(frame->event, "access_token") == 0)
        rt_token_handle(channel, frame);
    else if (strcmp(frame->event, "broadcast") == 0 && is_within_limits(channel, false))
        rt_broadcast_handle(channel, frame);
    else if (strcmp(frame->event, "presence") == 0 && is_within_limits(channel, true))
        rt_people_handle(channel, frame);
}

static void on_message(void *arg, void *state, bool is_binary, const uint8_t *bytes, size_t len)
{
    struct rt_hub *hub = arg;
    struct rt_client *client = state;
    struct rt_frame frame;

    if (client->is_ending || is_flood(client))
        return;
    if (rt_frame_parse(&frame, client->vsn, is_binary, bytes, len, NULL) != DF_OK) {
        hub->stats.malformed++;
        return;
    }
    on_frame(client, &frame);
    rt_frame_release(&frame);
    rt_hub_sweep(hub);
}

static void on_close(void *arg, void *state)
{
    struct rt_hub *hub = arg;
    struct rt_client *client = state;

    client->is_ending = true;
    for (size_t i = 0; i < client->channel_count; i++)
        rt_channel_doom(client->channel[i]);
    rt_hub_sweep(hub);
    rt_say_forget_client(hub, client);
    free(client->channel);
    free(client);
}

static void on_broadcast(void *arg, uint64_t request, const struct rt_claims *claims,
                         const char *topic, const char *event, bool is_private, bool is_json,
                         const uint8_t *body, size_t body_len)
{
    struct rt_hub *hub = arg;

    rt_post_handle(hub, request, claims, topic, event, is_private, is_json, body, body_len);
    rt_hub_sweep(hub);
}

/* Also the end of each round in which something was wanted. */
static void on_wake(void *arg)
{
    struct rt_hub *hub = arg;

    hub->is_wake_due = false;
    drain(hub);
    rt_missed_feed(hub);
    rt_hub_sweep(hub);
    publish(hub);
}

/* One huge row must not be remembered by its room for ever. */
static void trim(struct df_buf *buf)
{
    if (buf->cap > KEPT_BYTES)
        df_buf_release(buf);
}

static void on_tick(void *arg, int64_t now_ms)
{
    struct rt_hub *hub = arg;

    drain(hub); /* a wake may have come before the server ran */
    go_on(hub, now_ms);
    rt_say_refusals_due(hub, now_ms);
    rt_tokens_expire(hub, df_clock_wall_ms());
    rt_bindings_heal(hub, now_ms);
    rt_missed_feed(hub);
    rt_remote_on_tick(hub, now_ms);
    rt_hub_sweep(hub);
    publish(hub);
    trim(&hub->frame);
    trim(&hub->payload);
    trim(&hub->data);
    trim(&hub->selected);
}

static bool is_ready(void *arg)
{
    const struct rt_hub *hub = arg;
    return hub->is_up;
}

/* --- figures ------------------------------------------------------------------------------------
 */

void rt_hub_stats_get(const struct rt_hub *hub, struct rt_hub_stats *out)
{
    *out = hub->stats;
    out->channels = hub->channel_count;
    out->bindings = hub->binding_count;
    out->filters = rt_registry_filter_count(hub->registry);
    out->claim_sets = rt_registry_claims_count(hub->registry);
}

static char *on_metrics(void *arg)
{
    return rt_hub_metrics(arg);
}

/* --- life ---------------------------------------------------------------------------------------
 */

void rt_hub_handlers(struct rt_hub *hub, struct rt_server_handlers *out)
{
    *out = (struct rt_server_handlers){
        .arg = hub,
        .on_open = on_open,
        .on_message = on_message,
        .on_close = on_close,
        .on_broadcast = on_broadcast,
        .on_wake = on_wake,
        .on_tick = on_tick,
        .on_metrics = on_metrics,
        .is_ready = is_ready,
    };
}

void rt_hub_set_server(struct rt_hub *hub, struct rt_server *server)
{
    hub->server = server;
}

void rt_hub_set_access(struct rt_hub *hub, struct rt_access *access)
{
    hub->access = access;
}

enum df_code rt_hub_new(struct rt_hub **out, const struct rt_config *config,
                        struct rt_access *access, struct rt_changes *changes, struct df_error *err)
{
    struct rt_hub *hub = calloc(1, sizeof *hub);
    struct df_uuid gateway;
    enum df_code rc = DF_OK;

    *out = NULL;
    if (hub == NULL)
        return df_error_set(err, DF_ENOMEM, "hub: out of memory");
    hub->config = config;
    hub->access = access;
    hub->changes = changes;
    hub->expiry_due_ms = hub->healing_due_ms = INT64_MAX;
    df_uuid_new_v7(&gateway);
    df_uuid_format(hub->gateway, &gateway);
    df_buf_init(&hub->frame, FRAME_MAX_BYTES);
    df_buf_init(&hub->payload, FRAME_MAX_BYTES);
    df_buf_init(&hub->data, FRAME_MAX_BYTES);
    df_buf_init(&hub->selected, FRAME_MAX_BYTES);
    rc = rt_registry_new(&hub->registry, err);
    if (rc == DF_OK)
        rc = rt_remote_new(hub, err);
    if (rc == DF_OK)
        *out = hub;
    else
        rt_hub_free(hub);
    return rc;
}

/* The server is gone by then, and with it every client. */
void rt_hub_free(struct rt_hub *hub)
{
    struct rt_map_cursor topics = {0}, askers = {0};
    struct rt_topic *topic = NULL;
    struct rt_asker *asker = NULL;

    if (hub == NULL)
        return;
    rt_changes_event_free(hub->event);
    rt_remote_free(hub);
    while ((topic = rt_map_next(&hub->topics, &topics)) != NULL)
        rt_topic_free(topic);
    rt_map_release(&hub->topics);
    while ((asker = rt_map_next(&hub->askers, &askers)) != NULL) {
        if (asker->type == RT_ASKER_POST)
            rt_post_free(asker->who);
        free(asker);
    }
    rt_map_release(&hub->askers);
    rt_checks_free(hub);
    rt_registry_free(hub->registry);
    df_buf_release(&hub->frame);
    df_buf_release(&hub->payload);
    df_buf_release(&hub->data);
    df_buf_release(&hub->selected);
    free(hub->found);
    free(hub->claims_stamp);
    free(hub);
}
