/* scraper/browser_listeners.c - a list of listeners, and which session belongs to whom. */
#include "scraper/browser_listeners.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"

struct scr_claim {
    char session_id[64];
    struct scr_browser_listener *listener;
};

void scr_listeners_add(struct scr_listeners *all, struct scr_browser_listener *listener)
{
    struct scr_browser_listener **last = &all->first;

    while (*last != NULL)
        last = &(*last)->next;
    listener->next = NULL;
    listener->is_told = false;
    *last = listener;
}

void scr_listeners_remove(struct scr_listeners *all, struct scr_browser_listener *listener)
{
    struct scr_browser_listener **at = &all->first;

    while (*at != NULL && *at != listener)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    if (all->cursor == listener)
        all->cursor = listener->next;
    *at = listener->next;
    for (size_t i = all->claim_count; i-- > 0;)
        if (all->claims[i].listener == listener)
            all->claims[i] = all->claims[--all->claim_count];
}

void scr_listeners_claim(struct scr_listeners *all, struct scr_browser_listener *listener,
                         const char *session_id)
{
    if (all->claim_count == all->claim_capacity) {
        size_t capacity = all->claim_capacity == 0 ? 16 : all->claim_capacity * 2;
        struct scr_claim *grown = reallocarray(all->claims, capacity, sizeof *grown);
        if (grown == NULL) { /* the frame stays unread; its page is still watched */
            df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=claims");
            return;
        }
        all->claims = grown;
        all->claim_capacity = capacity;
    }
    struct scr_claim *claim = &all->claims[all->claim_count++];
    claim->listener = listener;
    (void)snprintf(claim->session_id, sizeof claim->session_id, "%s", session_id);
}

void scr_listeners_release(struct scr_listeners *all)
{
    free(all->claims);
    *all = (struct scr_listeners){0};
}

void scr_listeners_up(struct scr_listeners *all)
{
    struct scr_browser_listener *listener;

    all->cursor = all->first;
    while ((listener = all->cursor) != NULL) {
        all->cursor = listener->next;
        if (listener->is_told)
            continue;
        listener->is_told = true;
        if (listener->on_up != NULL)
            listener->on_up(listener->arg);
    }
}

void scr_listeners_down(struct scr_listeners *all, const char *reason)
{
    struct scr_browser_listener *listener;

    all->claim_count = 0;
    all->cursor = all->first;
    while ((listener = all->cursor) != NULL) {
        all->cursor = listener->next;
        listener->target_id[0] = '\0';
        listener->session_id[0] = '\0';
        if (!listener->is_told)
            continue;
        listener->is_told = false;
        if (listener->on_down != NULL)
            listener->on_down(listener->arg, reason);
    }
}

static struct scr_browser_listener *of_target(const struct scr_listeners *all,
                                              const char *target_id)
{
    struct scr_browser_listener *at = all->first;

    while (at != NULL && (target_id[0] == '\0' || strcmp(at->target_id, target_id) != 0))
        at = at->next;
    return at;
}

static struct scr_browser_listener *of_session(const struct scr_listeners *all,
                                               const char *session_id)
{
    for (struct scr_browser_listener *at = all->first; at != NULL; at = at->next)
        if (strcmp(at->session_id, session_id) == 0)
            return at;
    for (size_t i = 0; i < all->claim_count; i++)
        if (strcmp(all->claims[i].session_id, session_id) == 0)
            return all->claims[i].listener;
    return NULL;
}

static void drop_claim(struct scr_listeners *all, const char *session_id)
{
    for (size_t i = all->claim_count; i-- > 0;)
        if (strcmp(all->claims[i].session_id, session_id) == 0)
            all->claims[i] = all->claims[--all->claim_count];
}

void scr_listeners_event(struct scr_listeners *all, const char *session_id, const char *method,
                         const struct json_t *params)
{
    const char *target_id = json_string_value(json_object_get(params, "targetId"));
    const char *ended = NULL;
    struct scr_browser_listener *listener;

    if (target_id == NULL) /* Target.targetCreated and the like */
        target_id =
            json_string_value(json_object_get(json_object_get(params, "targetInfo"), "targetId"));
    if (strcmp(method, "Target.detachedFromTarget") == 0)
        ended = json_string_value(json_object_get(params, "sessionId"));
    if (session_id[0] != '\0')
        listener = of_session(all, session_id);
    else
        listener = target_id != NULL ? of_target(all, target_id) : NULL;
    if (listener != NULL && listener->on_event != NULL)
        listener->on_event(listener->arg, session_id, method, params);
    if (ended != NULL)
        drop_claim(all, ended);
}

bool scr_listeners_know(const struct scr_listeners *all, const char *target_id)
{
    return of_target(all, target_id) != NULL;
}
