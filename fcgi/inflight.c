/* fcgi/inflight.c - a hash set of ids with one lock: it is entered once per paid call only. */
#include "fcgi/inflight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 256 };

struct mrs_inflight {
    pthread_mutex_t lock;
    struct mrs_inflight_entry *slots[SLOTS]; /* those inside; each has its line of waiters */
};

enum df_code mrs_inflight_new(struct mrs_inflight **out, struct df_error *err)
{
    struct mrs_inflight *set = calloc(1, sizeof *set);
    *out = set;
    if (set == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    pthread_mutex_init(&set->lock, NULL);
    return DF_OK;
}

void mrs_inflight_free(struct mrs_inflight *set)
{
    if (set == NULL)
        return;
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static struct mrs_inflight_entry **slot_of(struct mrs_inflight *set, const struct df_uuid *id)
{
    return &set->slots[id->bytes[15]]; /* the random end of a UUID, whatever its version */
}

bool mrs_inflight_enter(struct mrs_inflight *set, struct mrs_inflight_entry *entry)
{
    struct mrs_inflight_entry **slot = slot_of(set, &entry->id);

    entry->next = entry->first_waiter = entry->last_waiter = NULL;
    pthread_mutex_lock(&set->lock);
    struct mrs_inflight_entry *holder = *slot;
    while (holder != NULL && !df_uuid_equal(&holder->id, &entry->id))
        holder = holder->next;
    if (holder == NULL) {
        entry->next = *slot;
        *slot = entry;
    } else if (holder->last_waiter == NULL) {
        holder->first_waiter = holder->last_waiter = entry;
    } else {
        holder->last_waiter->next = entry;
        holder->last_waiter = entry;
    }
    pthread_mutex_unlock(&set->lock);
    return holder == NULL;
}

void mrs_inflight_leave(struct mrs_inflight *set, struct mrs_inflight_entry *entry)
{
    struct mrs_inflight_entry **link = slot_of(set, &entry->id);

    pthread_mutex_lock(&set->lock);
    while (*link != entry)
        link = &(*link)->next;
    struct mrs_inflight_entry *heir = entry->first_waiter;
    if (heir == NULL) {
        *link = entry->next;
    } else { /* takes the place and the rest of the line */
        heir->first_waiter = heir->next;
        heir->last_waiter = heir->first_waiter == NULL ? NULL : entry->last_waiter;
        heir->next = entry->next;
        *link = heir;
    }
    pthread_mutex_unlock(&set->lock);
    if (heir != NULL)
        heir->on_turn(heir);
}
