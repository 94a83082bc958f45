/* realtime/fanout.c - from a row to the channels that want it. The work goes with the channels that
 * get something: wants are found by the filter ids of the row, and a frame is encoded once for all
 * channels of a topic that get the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "realtime/select.h"
#include "shared/clock.h"
#include "shared/json.h"

/* --- frames -------------------------------------------------------------------------------------
 */

static void put_member(struct df_buf *out, const char *name, const char *text)
{
    (void)df_buf_append_str(out, name);
    (void)df_json_append_string(out, text, strlen(text));
}

/* The `data` of the push, up to the columns. */
static void put_head(struct df_buf *out, const struct rt_changes_event *event)
{
    df_buf_reset(out);
    put_member(out, "{\"schema\":", event->schema);
    put_member(out, ",\"table\":", event->table);
    put_member(out, ",\"type\":", event->op);
    put_member(out, ",\"commit_timestamp\":", event->commit_timestamp);
    (void)df_buf_append_str(out, ",\"errors\":null,\"columns\":");
}

void rt_fanout_begin(struct rt_hub *hub, const struct rt_changes_event *event,
                     const struct rt_row *row)
{
    struct df_buf *out = &hub->data;

    put_head(out, event);
    hub->data_head_len = out->len;
    (void)df_buf_append_str(out, row->columns == NULL ? "[]" : row->columns);
    if (row->record != NULL) {
        (void)df_buf_append_str(out, ",\"record\":");
        (void)df_buf_append_str(out, row->record);
    }
    if (row->old_record != NULL) {
        (void)df_buf_append_str(out, ",\"old_record\":");
        (void)df_buf_append_str(out, row->old_record);
    }
    (void)df_buf_append_char(out, '}');
    hub->selected_for = NULL;
    hub->last_stamp++;
}

/* The same with chosen columns; kept until another choice. */
static const struct df_buf *select_data(struct rt_hub *hub, const char *select,
                                        const struct rt_row *row)
{
    struct df_buf *out = &hub->selected;
    const char *key = row->id == NULL ? "" : row->id;
    const char *record = row->record != NULL ? row->record : row->old_record;

    if (hub->selected_for != NULL && strcmp(hub->selected_for, select) == 0)
        return out;
    df_buf_reset(out);
    (void)df_buf_append(out, hub->data.data, hub->data_head_len);
    (void)rt_select_columns(out, row->columns == NULL ? "[]" : row->columns, record, select, key);
    if (row->record != NULL) {
        (void)df_buf_append_str(out, ",\"record\":");
        (void)rt_select_record(out, row->record, select, key);
    }
    if (row->old_record != NULL) { /* the key, and only that */
        (void)df_buf_append_str(out, ",\"old_record\":");
        (void)df_buf_append_str(out, row->old_record);
    }
    (void)df_buf_append_char(out, '}');
    hub->selected_for = select;
    return out;
}

static struct rt_blob *encode(struct rt_hub *hub, const struct rt_channel *channel, const char *ids,
                              const char *select, const struct rt_row *row)
{
    const struct df_buf *data = select == NULL ? &hub->data : select_data(hub, select, row);
    struct df_buf *frame = &hub->frame;

    df_buf_reset(frame);
    if (data->failed || !rt_wire_change(frame, channel->client->vsn, channel->topic->name, ids,
                                        data->data, data->len))
        return NULL;
    return rt_blob_new(frame->data, frame->len, false);
}

static bool is_like(const struct rt_encoded *one, enum rt_vsn vsn, const char *ids,
                    const char *select)
{
    if (one->blob == NULL || one->vsn != vsn || strcmp(one->ids, ids) != 0)
        return false;
    return one->select == select ||
           (one->select != NULL && select != NULL && strcmp(one->select, select) == 0);
}

static void remember(struct rt_hub *hub, struct rt_topic *topic, struct rt_blob *blob,
                     enum rt_vsn vsn, const char *ids, const char *select)
{
    size_t len = strlen(ids);

    if (topic->encoded == NULL)
        topic->encoded = calloc(RT_ENCODED, sizeof *topic->encoded);
    if (topic->encoded == NULL || len >= sizeof topic->encoded->ids)
        return; /* then it is encoded again */
    struct rt_encoded *one = &topic->encoded[topic->encoded_next++ % RT_ENCODED];
    rt_blob_drop(one->blob);
    *one = (struct rt_encoded){.blob = rt_blob_keep(blob), .vsn = vsn, .select = select};
    memcpy(one->ids, ids, len + 1);
    if (!topic->is_used) {
        topic->is_used = true;
        topic->next_used = hub->used_topics;
        hub->used_topics = topic;
    }
}

struct rt_blob *rt_fanout_frame(struct rt_hub *hub, struct rt_channel *channel, const char *ids,
                                const char *select, const struct rt_row *row)
{
    struct rt_topic *topic = channel->topic;

    for (size_t i = 0; topic->is_used && i < RT_ENCODED; i++)
        if (is_like(&topic->encoded[i], channel->client->vsn, ids, select))
            return rt_blob_keep(topic->encoded[i].blob);
    struct rt_blob *blob = encode(hub, channel, ids, select, row);
    if (blob != NULL && topic->channel_count > 1)
        remember(hub, topic, blob, channel->client->vsn, ids, select);
    return blob;
}

void rt_fanout_end(struct rt_hub *hub)
{
    while (hub->used_topics != NULL) {
        struct rt_topic *topic = hub->used_topics;
        hub->used_topics = topic->next_used;
        topic->is_used = false;
        for (size_t i = 0; i < RT_ENCODED; i++) {
            rt_blob_drop(topic->encoded[i].blob);
            topic->encoded[i].blob = NULL;
        }
    }
    hub->selected_for = NULL;
}

/* --- who gets it --------------------------------------------------------------------------------
 */

/* Room for all channels and claim sets there are. */
static bool reserve(struct rt_hub *hub)
{
    size_t claims_end = rt_registry_claims_end(hub->registry);

    if (hub->channel_count > hub->found_cap) {
        size_t cap = 2 * hub->channel_count;
        struct rt_channel **grown = reallocarray(hub->found, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        hub->found = grown;
        hub->found_cap = cap;
    }
    if (claims_end > hub->claims_cap) {
        uint64_t *grown = reallocarray(hub->claims_stamp, claims_end, sizeof *grown);
        if (grown == NULL)
            return false;
        memset(grown + hub->claims_cap, 0, (claims_end - hub->claims_cap) * sizeof *grown);
        hub->claims_stamp = grown;
        hub->claims_cap = claims_end;
    }
    return true;
}

static void find_channel(struct rt_hub *hub, struct rt_binding *binding)
{
    struct rt_channel *channel = binding->channel;

    if (channel->stamp != hub->last_stamp) {
        channel->stamp = hub->last_stamp;
        channel->hit = NULL;
        hub->found[hub->found_count++] = channel;
    }
    /* By their ids, as the join reply has them. */
    struct rt_binding **at = &channel->hit;
    while (*at != NULL && (*at)->id < binding->id)
        at = &(*at)->next_hit;
    binding->next_hit = *at;
    *at = binding;
}

static void find_channels(struct rt_hub *hub, const struct rt_row *row, unsigned event)
{
    hub->found_count = 0;
    for (size_t i = 0; i < row->claims_count; i++)
        if (row->claims_ids[i] < hub->claims_cap)
            hub->claims_stamp[row->claims_ids[i]] = hub->last_stamp;
    for (size_t i = 0; i < row->filter_count; i++) {
        struct rt_wants wants = rt_registry_of_filter(hub->registry, row->filter_ids[i]);
        for (size_t k = 0; k < wants.count; k++) {
            const struct rt_want *want = wants.at[k];
            if ((want->events & event) == 0 ||
                hub->claims_stamp[want->claims_id] != hub->last_stamp)
                continue;
            for (size_t b = 0; b < want->binding_count; b++)
                find_channel(hub, want->binding[b]);
        }
    }
}

/* --- giving it to them --------------------------------------------------------------------------
 */

static bool is_same_choice(const struct rt_binding *a, const struct rt_binding *b)
{
    return a->select == b->select ||
           (a->select != NULL && b->select != NULL && strcmp(a->select, b->select) == 0);
}

/* One frame for all hits of the channel that show the same columns as the first; these leave the
 * list. */
static void deliver_some(struct rt_hub *hub, struct rt_channel *channel,
                         const struct rt_changes_event *event, const struct rt_row *row)
{
    struct rt_binding *first = channel->hit;
    char ids[RT_BINDINGS_MAX * 11 + 1];
    size_t len = 0;

    for (struct rt_binding **at = &channel->hit; *at != NULL;) {
        struct rt_binding *binding = *at;
        if (!is_same_choice(first, binding)) {
            at = &binding->next_hit;
            continue;
        }
        *at = binding->next_hit;
        int n = snprintf(ids + len, sizeof ids - len, "%s%u", len == 0 ? "" : ",", binding->id);
        len += (size_t)n;
        if (binding->position != NULL)
            rt_missed_note_live(binding, event, row);
    }
    struct rt_blob *blob = rt_fanout_frame(hub, channel, ids, first->select, row);
    if (blob == NULL) {
        rt_channel_break(channel); /* not a gap that nobody hears of */
        return;
    }
    if (rt_say_message(channel, blob))
        hub->stats.deliveries++;
    rt_blob_drop(blob);
}

static void deliver(struct rt_hub *hub, struct rt_channel *channel,
                    const struct rt_changes_event *event, const struct rt_row *row, int64_t now_s)
{
    if (channel->is_doomed)
        return;
    if (rt_channel_is_expired(channel, now_s)) {
        channel->skipped_rows = true;
        for (struct rt_binding *binding = channel->hit; binding != NULL;
             binding = binding->next_hit)
            binding->spot.is_live = false; /* x_after, if it is forgotten before the new token */
        return;
    }
    /* Bindings that are being given missed rows get this one after those. */
    for (struct rt_binding **at = &channel->hit; *at != NULL;) {
        struct rt_binding *binding = *at;
        if (binding->missed == NULL) {
            at = &binding->next_hit;
            continue;
        }
        *at = binding->next_hit;
        rt_missed_hold(hub, binding, event, row);
    }
    while (channel->hit != NULL && !channel->is_doomed)
        deliver_some(hub, channel, event, row);
}

static unsigned event_of(const char *op)
{
    return op[0] == 'I' ? RT_INSERT : op[0] == 'U' ? RT_UPDATE : RT_DELETE;
}

/* Without memory to tell who gets the row, nobody may believe that he has them all. */
static void break_all(struct rt_hub *hub)
{
    struct rt_map_cursor cursor = {0};
    struct rt_topic *topic = NULL;

    while ((topic = rt_map_next(&hub->topics, &cursor)) != NULL)
        for (size_t i = 0; i < topic->channel_count; i++)
            if (topic->channel[i]->binding_count > 0)
                rt_channel_break(topic->channel[i]);
}

size_t rt_fanout(struct rt_hub *hub, const struct rt_changes_event *event, size_t row_index)
{
    const struct rt_row *row = &event->row[row_index];
    int64_t now_s = df_clock_wall_ms() / 1000;

    hub->stats.changes++;
    if (!reserve(hub)) {
        break_all(hub);
        return hub->channel_count;
    }
    rt_fanout_begin(hub, event, row);
    find_channels(hub, row, event_of(event->op));
    for (size_t i = 0; i < hub->found_count; i++)
        deliver(hub, hub->found[i], event, row, now_s);
    rt_fanout_end(hub);
    return hub->found_count;
}
