/* realtime/slots.h - things by small ids, which are given anew only when nobody can mean the old thing
 * any more. Pure. */
#ifndef REALTIME_SLOTS_H
#define REALTIME_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rt_slots { /* all zero: empty */
    void **item;    /* by id, NULL: free, or retired */
    uint64_t *gone; /* by id: the first version without it */
    size_t count, cap, used;
    size_t lowest; /* nothing below is free */
};

/* Takes the lowest id that is free now that `version` was acknowledged. False: no memory. */
bool rt_slots_add(struct rt_slots *slots, void *item, uint64_t version, uint32_t *id);
/* The item is gone from this version on; its id is free once that is acknowledged. */
void rt_slots_retire(struct rt_slots *slots, uint32_t id, uint64_t version);
void rt_slots_look_again(struct rt_slots *slots); /* more was acknowledged */
void rt_slots_release(struct rt_slots *slots);    /* the items are the caller's */

#endif
