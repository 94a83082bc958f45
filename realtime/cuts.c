/* realtime/cuts.c - the snapshots between which the change log was read. */
#include "realtime/cuts.h"

#include <stdlib.h>
#include <string.h>

enum { CUTS_MAX = 65536 };
#define CUTS_MAX_BYTES ((size_t)8 << 20)

static size_t bytes_of(const struct rt_cut *cut)
{
    return sizeof *cut + strlen(cut->snapshot) + 1;
}

static void drop_oldest(struct rt_cuts *cuts)
{
    struct rt_cut *cut = &cuts->at[cuts->first++];

    cuts->bytes -= bytes_of(cut);
    free(cut->snapshot);
    cuts->base++;
}

static bool make_room(struct rt_cuts *cuts)
{
    if (cuts->end < cuts->cap)
        return true;
    if (cuts->first > 0 && cuts->first >= cuts->cap / 2) {
        memmove(cuts->at, cuts->at + cuts->first, (cuts->end - cuts->first) * sizeof *cuts->at);
        cuts->end -= cuts->first;
        cuts->first = 0;
        return true;
    }
    size_t cap = cuts->cap == 0 ? 64 : 2 * cuts->cap;
    struct rt_cut *grown = reallocarray(cuts->at, cap, sizeof *grown);
    if (grown == NULL)
        return false;
    cuts->at = grown;
    cuts->cap = cap;
    return true;
}

uint64_t rt_cuts_add(struct rt_cuts *cuts, const char *snapshot, uint32_t entries)
{
    struct rt_cut cut = {.snapshot = strdup(snapshot), .entries = entries};

    if (cut.snapshot == NULL || !make_room(cuts)) {
        free(cut.snapshot);
        return 0;
    }
    if (cuts->base == 0)
        cuts->base = 1;
    cuts->at[cuts->end++] = cut;
    cuts->bytes += bytes_of(&cut);
    while (cuts->end - cuts->first > 1 &&
           (cuts->end - cuts->first > CUTS_MAX || cuts->bytes > CUTS_MAX_BYTES))
        drop_oldest(cuts);
    return rt_cuts_newest(cuts);
}

void rt_cuts_add_entries(struct rt_cuts *cuts, uint32_t entries)
{
    struct rt_cut *cut = &cuts->at[cuts->end - 1];
    cut->entries =
        entries > RT_CUT_UNKNOWN - cut->entries ? RT_CUT_UNKNOWN : cut->entries + entries;
}

void rt_cuts_replace(struct rt_cuts *cuts, const char *snapshot)
{
    struct rt_cut *cut = &cuts->at[cuts->end - 1];
    char *copy = strdup(snapshot);

    if (copy == NULL)
        return; /* the old one says the same */
    cuts->bytes -= bytes_of(cut);
    free(cut->snapshot);
    cut->snapshot = copy;
    cuts->bytes += bytes_of(cut);
}

void rt_cuts_release(struct rt_cuts *cuts)
{
    for (size_t i = cuts->first; i < cuts->end; i++)
        free(cuts->at[i].snapshot);
    free(cuts->at);
    *cuts = (struct rt_cuts){0};
}

uint64_t rt_cuts_newest(const struct rt_cuts *cuts)
{
    return cuts->end == cuts->first ? 0 : cuts->base + (cuts->end - cuts->first) - 1;
}

const struct rt_cut *rt_cuts_get(const struct rt_cuts *cuts, uint64_t number)
{
    if (cuts->end == cuts->first || number < cuts->base || number > rt_cuts_newest(cuts))
        return NULL;
    return &cuts->at[cuts->first + (size_t)(number - cuts->base)];
}

uint64_t rt_cuts_find(const struct rt_cuts *cuts, uint64_t xid)
{
    size_t low = cuts->first, high = cuts->end;

    /* What one snapshot sees, all later ones see. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rt_snapshot_sees(cuts->at[middle].snapshot, xid))
            high = middle;
        else
            low = middle + 1;
    }
    return cuts->base + (low - cuts->first);
}

bool rt_snapshot_sees(const char *snapshot, uint64_t xid)
{
    char *at = NULL;
    uint64_t xmin = strtoull(snapshot, &at, 10);

    if (xid < xmin)
        return true;
    uint64_t xmax = *at == ':' ? strtoull(at + 1, &at, 10) : 0;
    if (xid >= xmax)
        return false;
    while (*at == ':' || *at == ',') {
        const char *number = at + 1;
        uint64_t running = strtoull(number, &at, 10);
        if (at == number)
            break; /* none is running */
        if (running == xid)
            return false;
    }
    return true;
}
