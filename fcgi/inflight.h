/* fcgi/inflight.h - message ids that are at the model server right now, so that a repeated delivery
 * waits for the first one's verdict instead of paying for a second. */
#ifndef FCGI_INFLIGHT_H
#define FCGI_INFLIGHT_H

#include "shared/error.h"
#include "shared/uuid.h"

struct mrs_inflight;

/* The caller owns *out. DF_ENOMEM. */
enum df_code mrs_inflight_new(struct mrs_inflight **out, struct df_error *err) DF_MUST_USE;
void mrs_inflight_free(struct mrs_inflight *set); /* nobody may be inside; NULL is fine */

struct mrs_inflight_entry { /* on the worker's stack, private */
    struct df_uuid id;
    struct mrs_inflight_entry *next;
};

/* Enters an id; sleeps while somebody else is inside with the same one. Any thread. */
void mrs_inflight_enter(struct mrs_inflight *set, struct mrs_inflight_entry *entry,
                        const struct df_uuid *id);
void mrs_inflight_leave(struct mrs_inflight *set, struct mrs_inflight_entry *entry);

#endif
