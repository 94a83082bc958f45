/* fcgi/inflight.h - message ids that are at the model server right now, so that a repeated delivery
 * waits for the first one's verdict instead of paying for a second. */
#ifndef FCGI_INFLIGHT_H
#define FCGI_INFLIGHT_H

#include <stdbool.h>

#include "shared/error.h"
#include "shared/uuid.h"

struct mrs_inflight;

/* The caller owns *out. DF_ENOMEM. */
enum df_code mrs_inflight_new(struct mrs_inflight **out, struct df_error *err) DF_MUST_USE;
void mrs_inflight_free(struct mrs_inflight *set); /* nobody may be inside; NULL is fine */

struct mrs_inflight_entry { /* owned by the caller, lent until mrs_inflight_leave */
    struct df_uuid id;
    void (*on_turn)(struct mrs_inflight_entry *entry); /* on the thread of whoever left */
    void *context;

    /* private */
    struct mrs_inflight_entry *next;
    struct mrs_inflight_entry *first_waiter, *last_waiter;
};

/* Enters with entry->id. True: inside. False: somebody is inside with that id; on_turn will be
 * called once it is this entry's turn, and then it is inside. Any thread. */
bool mrs_inflight_enter(struct mrs_inflight *set, struct mrs_inflight_entry *entry);
/* Leaves and lets the next one in. */
void mrs_inflight_leave(struct mrs_inflight *set, struct mrs_inflight_entry *entry);

#endif
