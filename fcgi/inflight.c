/* fcgi/inflight.c - a hash set of ids with one lock: it is entered once per paid call only. */
#include "fcgi/inflight.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 256 };

struct mrs_inflight {
    pthread_mutex_t lock;
    pthread_cond_t left;
    struct mrs_inflight_entry *slots[SLOTS];
};

enum df_code mrs_inflight_new(struct mrs_inflight **out, struct df_error *err)
{
    struct mrs_inflight *set = calloc(1, sizeof *set);
    *out = set;
    if (set == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    pthread_mutex_init(&set->lock, NULL);
    pthread_cond_init(&set->left, NULL);
    return DF_OK;
}

void mrs_inflight_free(struct mrs_inflight *set)
{
    if (set == NULL)
        return;
    pthread_cond_destroy(&set->left);
    pthread_mutex_destroy(&set->lock);
    free(set);
}

static struct mrs_inflight_entry **slot_of(struct mrs_inflight *set, const struct df_uuid *id)
{
    return &set->slots[id->bytes[15]]; /* the random end of a UUID, whatever its version */
}

static bool contains(const struct mrs_inflight_entry *entry, const struct df_uuid *id)
{
    for (; entry != NULL; entry = entry->next) {
        if (df_uuid_equal(&entry->id, id))
            return true;
    }
    return false;
}

void mrs_inflight_enter(struct mrs_inflight *set, struct mrs_inflight_entry *entry,
                        const struct df_uuid *id)
{
    struct mrs_inflight_entry **slot = slot_of(set, id);
    pthread_mutex_lock(&set->lock);
    while (contains(*slot, id))
        pthread_cond_wait(&set->left, &set->lock);
    entry->id = *id;
    entry->next = *slot;
    *slot = entry;
    pthread_mutex_unlock(&set->lock);
}

void mrs_inflight_leave(struct mrs_inflight *set, struct mrs_inflight_entry *entry)
{
    struct mrs_inflight_entry **link = slot_of(set, &entry->id);
    pthread_mutex_lock(&set->lock);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    pthread_cond_broadcast(&set->left);
    pthread_mutex_unlock(&set->lock);
}
