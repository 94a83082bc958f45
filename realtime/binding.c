/* realtime/binding.c - from what the app asked for to rows: checked by Postgres, then part of the
 * plan, then in force. The same steps again when the channel's claims change. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"

/* Where Supabase asks again, too. */
#define PASSING_TROUBLE "Too many database timeouts"

enum { AGAIN_MS = 5000, HEAL_AFTER_MS = 60000, ERROR_MAX_BYTES = 800 };

/* --- making -------------------------------------------------------------------------------------
 */

static char *copy_or_null(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

static bool make(struct rt_binding *out, const struct rt_binding_request *request)
{
    out->events = request->events;
    memcpy(out->schema, request->schema, sizeof out->schema);
    memcpy(out->table, request->table, sizeof out->table);
    memcpy(out->session, request->session, sizeof out->session);
    out->filter = strdup(request->filter);
    if (strcmp(request->select, "[]") != 0 && (out->select = strdup(request->select)) == NULL)
        return false;
    if ((out->position = copy_or_null(request->x_after)) == NULL && request->x_after != NULL)
        return false;
    if (request->error[0] != '\0') {
        out->is_faulty = true;
        out->state = RT_BINDING_BAD;
        out->error = strdup(request->error);
        return out->error != NULL && out->filter != NULL;
    }
    return out->filter != NULL;
}

bool rt_bindings_make(struct rt_channel *channel, const struct rt_join *join)
{
    struct rt_client *client = channel->client;

    if (join->binding_count == 0)
        return true;
    channel->binding = calloc(join->binding_count, sizeof *channel->binding);
    if (channel->binding == NULL)
        return false;
    for (size_t i = 0; i < join->binding_count; i++) {
        struct rt_binding *binding = &channel->binding[channel->binding_count++];
        client->hub->binding_count++;
        binding->channel = channel;
        binding->id = ++client->last_binding_id;
        if (!make(binding, &join->binding[i]))
            return false;
    }
    return true;
}

/* --- rows come by a want ------------------------------------------------------------------------
 */

static bool attach(struct rt_binding *binding, struct rt_want *want)
{
    if (want->binding_count == want->binding_cap) {
        size_t cap = want->binding_cap == 0 ? 2 : 2 * want->binding_cap;
        struct rt_binding **grown = reallocarray(want->binding, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        want->binding = grown;
        want->binding_cap = cap;
    }
    binding->want = want;
    binding->place = want->binding_count;
    want->binding[want->binding_count++] = binding;
    return true;
}

static void detach(struct rt_hub *hub, struct rt_binding *binding)
{
    struct rt_want *want = binding->want;

    if (want == NULL)
        return;
    want->binding[binding->place] = want->binding[--want->binding_count];
    want->binding[binding->place]->place = binding->place;
    binding->want = NULL;
    rt_registry_release(hub->registry, want);
    rt_hub_wake(hub);
}

static void drop_next(struct rt_hub *hub, struct rt_binding *binding)
{
    if (binding->next_want == NULL)
        return;
    rt_registry_release(hub->registry, binding->next_want);
    binding->next_want = NULL;
    rt_hub_wake(hub);
}

void rt_bindings_free(struct rt_hub *hub, struct rt_channel *channel)
{
    for (size_t i = 0; i < channel->binding_count; i++) {
        struct rt_binding *binding = &channel->binding[i];
        rt_check_leave(binding);
        rt_missed_end(hub, binding);
        detach(hub, binding);
        drop_next(hub, binding);
        free(binding->filter);
        free(binding->select);
        free(binding->error);
        free(binding->position);
    }
    free(channel->binding);
    hub->binding_count -= channel->binding_count;
    channel->binding = NULL;
    channel->binding_count = 0;
}

/* --- setting up ---------------------------------------------------------------------------------
 */

static void set_error(struct rt_binding *binding, const char *error)
{
    free(binding->error);
    binding->error = strdup(error);
    binding->is_told = binding->error == NULL; /* for lack of memory nothing can be said */
    binding->state = RT_BINDING_BAD;
}

static void plan(struct rt_hub *hub, struct rt_binding *binding)
{
    binding->next_want =
        rt_registry_acquire(hub->registry, binding->schema, binding->table, binding->events,
                            binding->session, binding->filter, binding->channel->claims.json);
    if (binding->next_want == NULL) {
        binding->state = RT_BINDING_AGAIN;
        binding->again_ms = df_clock_mono_ms() + AGAIN_MS;
        return;
    }
    binding->state = RT_BINDING_PLANNED;
    if (!rt_registry_is_live(hub->registry, binding->next_want))
        rt_hub_wake(hub);
}

void rt_binding_set_up(struct rt_hub *hub, struct rt_binding *binding)
{
    if (binding->is_faulty)
        return; /* whoever asks */
    rt_check_leave(binding);
    drop_next(hub, binding);
    binding->state = RT_BINDING_CHECKING;
    if (rt_check_ask(hub, binding))
        plan(hub, binding);
}

/* The check does not know the event, whose place is first in the brackets. */
static void put_event(char *out, size_t size, const struct rt_binding *binding, const char *error)
{
    static const char mark[] = "[schema: ";
    const char *place = strstr(error, mark);
    const char *event = binding->events == RT_INSERT   ? "INSERT"
                        : binding->events == RT_UPDATE ? "UPDATE"
                        : binding->events == RT_DELETE ? "DELETE"
                                                       : "*";

    if (place == NULL)
        (void)snprintf(out, size, "%s", error);
    else
        (void)snprintf(out, size, "%.*s[event: %s, schema: %s", (int)(place - error), error, event,
                       place + sizeof mark - 1);
}

void rt_binding_on_checked(struct rt_hub *hub, struct rt_binding *binding, const char *error)
{
    char text[ERROR_MAX_BYTES];

    if (error == NULL) {
        plan(hub, binding);
    } else if (strcmp(error, PASSING_TROUBLE) == 0) {
        binding->state = RT_BINDING_AGAIN;
        binding->again_ms = df_clock_mono_ms() + AGAIN_MS;
    } else {
        put_event(text, sizeof text, binding, error);
        set_error(binding, text);
    }
}

bool rt_binding_is_settled(struct rt_hub *hub, struct rt_binding *binding, int64_t now_ms)
{
    if (binding->state == RT_BINDING_AGAIN && now_ms >= binding->again_ms)
        rt_binding_set_up(hub, binding);
    if (binding->state == RT_BINDING_PLANNED &&
        rt_registry_is_live(hub->registry, binding->next_want))
        binding->state = RT_BINDING_READY;
    return binding->state == RT_BINDING_READY || binding->state == RT_BINDING_BAD;
}

/* --- failures -----------------------------------------------------------------------------------
 */

/* It gets no rows any more, and is told so. A filter or policy may also have failed because
 * Postgres was busy, so after a while the channel is made to join anew, which tries it afresh. */
static void say_failed(struct rt_hub *hub, struct rt_binding *binding, const char *why)
{
    struct rt_channel *channel = binding->channel;
    char text[ERROR_MAX_BYTES];

    if (channel->is_doomed)
        return;
    (void)snprintf(text, sizeof text, "Unable to deliver changes of %s.%s%s%s", binding->schema,
                   binding->table, why[0] == '\0' ? "" : ": ", why);
    rt_say_system(channel, "postgres_changes", false, text);
    if (channel->healing_ms == 0)
        channel->healing_ms = df_clock_mono_ms() + HEAL_AFTER_MS;
    if (channel->healing_ms < hub->healing_due_ms)
        hub->healing_due_ms = channel->healing_ms;
}

struct failure {
    struct rt_hub *hub;
    const char *why;
};

static void on_want_failed(void *arg, struct rt_want *want)
{
    const struct failure *failure = arg;

    for (size_t i = 0; i < want->binding_count; i++)
        say_failed(failure->hub, want->binding[i], failure->why);
}

void rt_bindings_on_failed(struct rt_hub *hub, const struct rt_changes_event *event)
{
    struct failure failure = {hub, event->error};

    rt_registry_fail(hub->registry, event->is_filter, event->failed_id, on_want_failed, &failure);
}

void rt_bindings_heal(struct rt_hub *hub, int64_t now_ms)
{
    struct rt_map_cursor cursor = {0};
    struct rt_topic *topic = NULL;

    if (now_ms < hub->healing_due_ms)
        return;
    hub->healing_due_ms = INT64_MAX;
    while ((topic = rt_map_next(&hub->topics, &cursor)) != NULL) {
        for (size_t i = 0; i < topic->channel_count; i++) {
            struct rt_channel *channel = topic->channel[i];
            if (channel->is_doomed || channel->healing_ms == 0)
                continue;
            if (channel->healing_ms <= now_ms)
                rt_channel_break(channel);
            else if (channel->healing_ms < hub->healing_due_ms)
                hub->healing_due_ms = channel->healing_ms;
        }
    }
}

/* --- going live ---------------------------------------------------------------------------------
 */

void rt_binding_go_live(struct rt_hub *hub, struct rt_binding *binding)
{
    struct rt_want *want = binding->next_want;

    if (binding->state == RT_BINDING_BAD) {
        rt_missed_end(hub, binding);
        detach(hub, binding);
        return;
    }
    if (want == NULL)
        return;
    bool is_news = want != binding->want;
    detach(hub, binding);
    binding->next_want = NULL;
    if (!attach(binding, want)) {
        rt_registry_release(hub->registry, want);
        rt_channel_break(binding->channel);
        return;
    }
    if (want->is_failed) /* before we were in its list */
        say_failed(hub, binding, "");
    if (is_news && binding->position != NULL)
        rt_missed_begin(hub, binding);
}
