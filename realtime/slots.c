/* realtime/slots.c - a walk from the lowest id that may be free. */
#include "realtime/slots.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

static bool grow(struct rt_slots *slots)
{
    size_t cap = slots->cap == 0 ? FIRST_SLOTS : 2 * slots->cap;
    void **item = reallocarray(slots->item, cap, sizeof(void *));

    if (item == NULL)
        return false;
    slots->item = item;
    uint64_t *gone = reallocarray(slots->gone, cap, sizeof *gone);
    if (gone == NULL)
        return false;
    slots->gone = gone;
    slots->cap = cap;
    return true;
}

bool rt_slots_add(struct rt_slots *slots, void *item, uint64_t version, uint32_t *id)
{
    size_t i = slots->lowest;

    while (i < slots->count && (slots->item[i] != NULL || slots->gone[i] > version))
        i++;
    if (i == slots->cap && !grow(slots))
        return false;
    if (i == slots->count)
        slots->count++;
    slots->item[i] = item;
    slots->gone[i] = 0;
    slots->used++;
    slots->lowest = i + 1;
    *id = (uint32_t)i;
    return true;
}

void rt_slots_retire(struct rt_slots *slots, uint32_t id, uint64_t version)
{
    slots->item[id] = NULL;
    slots->gone[id] = version;
    slots->used--;
}

void rt_slots_look_again(struct rt_slots *slots)
{
    slots->lowest = 0;
    while (slots->lowest < slots->count && slots->item[slots->lowest] != NULL)
        slots->lowest++;
}

void rt_slots_release(struct rt_slots *slots)
{
    free(slots->item);
    free(slots->gone);
    *slots = (struct rt_slots){0};
}
