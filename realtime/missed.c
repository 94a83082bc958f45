/* realtime/missed.c - a client that was away gets what it missed (x_after): first the missed rows,
 * as the control thread finds them, then the live ones that came meanwhile. Its queue fills only as
 * fast as it reads; when too much waits here, the search is ended and begun again later from the
 * last row that waits, so that nothing is lost and nothing grows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"

struct item {
    struct rt_blob *blob;
    size_t bytes;
};

struct queue {
    struct item *item;
    size_t first, end, cap;
    size_t bytes;
};

enum state {
    PLANNED,  /* for the version from which on rows come live; those of before will be found */
    RUNNING,  /* missed rows come; live ones wait behind */
    DRAINING, /* all were found: what waits goes out, then the binding is like any other */
    PAUSED,   /* as DRAINING, and then the search begins again */
};

struct rt_missed {
    struct rt_missed *previous, *next; /* the hub's list */
    struct rt_binding *binding;
    enum state state;
    uint64_t version, token;
    struct queue rows, live;
};

/* --- queues -------------------------------------------------------------------------------------
 */

static bool queue_put(struct queue *queue, struct rt_blob *blob, size_t bytes)
{
    if (queue->end == queue->cap && queue->first >= queue->cap / 2 && queue->first > 0) {
        memmove(queue->item, queue->item + queue->first,
                (queue->end - queue->first) * sizeof *queue->item);
        queue->end -= queue->first;
        queue->first = 0;
    }
    if (queue->end == queue->cap) {
        size_t cap = queue->cap == 0 ? 64 : 2 * queue->cap;
        struct item *grown = reallocarray(queue->item, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        queue->item = grown;
        queue->cap = cap;
    }
    queue->item[queue->end++] = (struct item){blob, bytes};
    queue->bytes += bytes;
    return true;
}

/* The caller owns it; NULL: empty. */
static struct rt_blob *queue_take(struct queue *queue)
{
    if (queue->first == queue->end)
        return NULL;
    struct item item = queue->item[queue->first++];
    queue->bytes -= item.bytes;
    return item.blob;
}

static void queue_clear(struct queue *queue)
{
    struct rt_blob *blob = NULL;

    while ((blob = queue_take(queue)) != NULL)
        rt_blob_drop(blob);
    free(queue->item);
    *queue = (struct queue){0};
}

/* --- life ---------------------------------------------------------------------------------------
 */

static void cancel(struct rt_hub *hub, struct rt_missed *missed)
{
    if (missed->token == 0)
        return;
    rt_changes_cancel(hub->changes, missed->token);
    rt_hub_forget(hub, missed->token);
    missed->token = 0;
}

void rt_missed_begin(struct rt_hub *hub, struct rt_binding *binding)
{
    struct rt_missed *missed = binding->missed;

    if (missed == NULL) {
        missed = calloc(1, sizeof *missed);
        if (missed == NULL) {
            rt_channel_break(binding->channel);
            return;
        }
        missed->binding = binding;
        missed->next = hub->missed;
        if (hub->missed != NULL)
            hub->missed->previous = missed;
        hub->missed = missed;
        binding->missed = missed;
        hub->stats.catch_ups++;
    }
    cancel(hub, missed);
    queue_clear(&missed->live);
    missed->state = PLANNED;
    missed->version = rt_registry_touch(hub->registry);
    rt_hub_wake(hub);
}

void rt_missed_end(struct rt_hub *hub, struct rt_binding *binding)
{
    struct rt_missed *missed = binding->missed;

    if (missed == NULL)
        return;
    cancel(hub, missed);
    queue_clear(&missed->rows);
    queue_clear(&missed->live);
    if (missed->previous != NULL)
        missed->previous->next = missed->next;
    else
        hub->missed = missed->next;
    if (missed->next != NULL)
        missed->next->previous = missed->previous;
    binding->missed = NULL;
    free(missed);
}

void rt_missed_on_plan(struct rt_hub *hub)
{
    uint64_t acknowledged = rt_registry_acknowledged(hub->registry);

    for (struct rt_missed *missed = hub->missed; missed != NULL; missed = missed->next) {
        struct rt_binding *binding = missed->binding;
        if (missed->state != PLANNED || acknowledged < missed->version ||
            binding->channel->is_doomed)
            continue;
        missed->token = rt_hub_ask(hub, RT_ASKER_MISSED, RT_BROADCAST, missed);
        if (missed->token == 0) {
            rt_channel_break(binding->channel);
            continue;
        }
        missed->state = RUNNING;
        rt_changes_catch_up(hub->changes, missed->token, binding->schema, binding->table,
                            binding->events, binding->filter, binding->session,
                            binding->channel->claims.json, binding->position, &binding->spot,
                            missed->version);
    }
}

/* --- where the client is ------------------------------------------------------------------------
 */

void rt_missed_note_live(struct rt_binding *binding, const struct rt_changes_event *event,
                         const struct rt_row *row)
{
    binding->spot =
        (struct rt_spot){.cut = event->cut, .seq = event->seq, .n = row->n, .is_live = true};
}

/* The same for a row that waits here, and what to look for when its spot is forgotten before it has
 * gone out. A new row is known by its id, a change by its time: an id would lead back to when its
 * row was new. */
static void note(struct rt_binding *binding, const struct rt_changes_event *event,
                 const struct rt_row *row)
{
    const char *text = event->commit_timestamp;
    size_t len = strlen(text);
    bool is_text = row->id != NULL && row->id[0] == '"';

    if (event->op[0] == 'I' && row->id != NULL && row->id[0] != '{' &&
        strchr(row->id, '\\') == NULL) {
        text = row->id + (is_text ? 1 : 0);
        len = strlen(row->id) - (is_text ? 2 : 0);
    }
    binding->spot = (struct rt_spot){.cut = event->cut, .seq = event->seq, .n = row->n};
    char *position = strndup(text, len);
    if (position == NULL)
        return; /* the one before it repeats a row, that is all */
    free(binding->position);
    binding->position = position;
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void pause_search(struct rt_hub *hub, struct rt_missed *missed)
{
    cancel(hub, missed);
    if (missed->state == RUNNING)
        queue_clear(&missed->live); /* they will be found: the last missed row is before them */
    missed->state = PAUSED;
}

static bool is_full(const struct rt_hub *hub, const struct rt_missed *missed)
{
    return missed->rows.bytes + missed->live.bytes > (size_t)hub->config->queue_max_bytes;
}

/* The row's frame, in the queue. */
static bool put_row(struct rt_hub *hub, struct rt_missed *missed, struct queue *queue,
                    const struct rt_row *row)
{
    struct rt_binding *binding = missed->binding;
    char ids[16];

    (void)snprintf(ids, sizeof ids, "%u", binding->id);
    struct rt_blob *blob = rt_fanout_frame(hub, binding->channel, ids, binding->select, row);
    if (blob != NULL && queue_put(queue, blob, hub->data.len))
        return true;
    rt_blob_drop(blob);
    rt_channel_break(binding->channel);
    return false;
}

void rt_missed_hold(struct rt_hub *hub, struct rt_binding *binding,
                    const struct rt_changes_event *event, const struct rt_row *row)
{
    struct rt_missed *missed = binding->missed;

    if (missed->state == PLANNED || missed->state == PAUSED ||
        !put_row(hub, missed, &missed->live, row))
        return;
    if (missed->state == DRAINING)
        note(binding, event, row);
    if (is_full(hub, missed))
        pause_search(hub, missed);
}

/* Sends what fits. False: it does not take more now. */
static bool feed_queue(struct rt_hub *hub, struct rt_channel *channel, struct queue *queue)
{
    size_t most = (size_t)hub->config->queue_max_bytes / 2;
    struct rt_blob *blob = NULL;

    while (queue->bytes > 0) {
        if (channel->is_doomed || channel->client->is_ending ||
            rt_connection_queued_bytes(channel->client->connection) > most)
            return false;
        blob = queue_take(queue);
        if (rt_say_message(channel, blob))
            hub->stats.deliveries++;
        rt_blob_drop(blob);
    }
    queue_clear(queue);
    return true;
}

static void feed(struct rt_hub *hub, struct rt_missed *missed, int64_t now_s)
{
    struct rt_channel *channel = missed->binding->channel;

    if (rt_channel_is_expired(channel, now_s) || !feed_queue(hub, channel, &missed->rows) ||
        missed->state == PLANNED || missed->state == RUNNING ||
        !feed_queue(hub, channel, &missed->live))
        return;
    if (missed->state == PAUSED)
        rt_missed_begin(hub, missed->binding);
    else
        rt_missed_end(hub, missed->binding);
}

void rt_missed_feed(struct rt_hub *hub)
{
    int64_t now_s = df_clock_wall_ms() / 1000;

    for (struct rt_missed *missed = hub->missed, *next = NULL; missed != NULL; missed = next) {
        next = missed->next;
        feed(hub, missed, now_s);
    }
}

void rt_missed_on_rows(struct rt_hub *hub, void *arg, const struct rt_changes_event *event)
{
    struct rt_missed *missed = arg;
    struct rt_channel *channel = missed->binding->channel;

    for (size_t i = 0; i < event->row_count && !channel->is_doomed; i++) {
        rt_fanout_begin(hub, event, &event->row[i]);
        if (put_row(hub, missed, &missed->rows, &event->row[i]))
            note(missed->binding, event, &event->row[i]);
        rt_fanout_end(hub);
    }
    if (channel->is_doomed)
        return;
    if (event->is_last) {
        missed->token = 0; /* whoever called has forgotten it */
        missed->state = DRAINING;
        if (event->error[0] != '\0')
            rt_say_system(channel, "postgres_changes", false, event->error);
    } else if (is_full(hub, missed)) {
        pause_search(hub, missed);
    }
    feed(hub, missed, df_clock_wall_ms() / 1000);
}
