/* realtime/stretch.c - which cuts of the change log a client is given next. */
#include "realtime/stretch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Cuts that are asked for together: of few entries, or one of many. */
enum { STRETCH_CUTS = 64, STRETCH_ENTRIES = 1000, STRETCH_BYTES = 4 << 20 };

void rt_stretch_init(struct rt_stretch *stretch)
{
    *stretch = (struct rt_stretch){0};
    df_buf_init(&stretch->cuts, STRETCH_BYTES);
}

void rt_stretch_release(struct rt_stretch *stretch)
{
    free(stretch->last);
    free(stretch->newest);
    df_buf_release(&stretch->cuts);
}

/* --- the beginning -------------------------------------------------------------------------------
 */

static void set_after(struct rt_stretch *stretch, int cut, int64_t seq)
{
    (void)snprintf(stretch->after_cut, sizeof stretch->after_cut, "%d", cut);
    (void)snprintf(stretch->after_seq, sizeof stretch->after_seq, "%lld", (long long)seq);
}

/* The cut is behind the base. */
static bool begin_with(struct rt_stretch *stretch, const struct rt_cuts *cuts, uint64_t cut)
{
    char *last = strdup(rt_cuts_get(cuts, cut - 1)->snapshot);

    if (last == NULL)
        return false;
    free(stretch->last);
    stretch->last = last;
    stretch->first = stretch->end = cut;
    return true;
}

bool rt_stretch_begin_at_spot(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                              const struct rt_spot *spot)
{
    uint64_t newest = rt_cuts_newest(cuts);

    if (spot->cut == 0 || spot->cut > newest || (spot->cut <= cuts->base && !spot->is_live))
        return false;
    if (spot->cut > cuts->base) {
        set_after(stretch, 1, spot->seq - 1);
        return begin_with(stretch, cuts, spot->cut);
    }
    /* Nothing came live since then, or the spot would be newer. */
    set_after(stretch, 0, -1);
    if (cuts->base < newest)
        return begin_with(stretch, cuts, cuts->base + 1);
    stretch->last = strdup(rt_cuts_get(cuts, cuts->base)->snapshot);
    stretch->first = stretch->end = cuts->base + 1;
    return stretch->last != NULL;
}

bool rt_stretch_begin_at_entry(struct rt_stretch *stretch, const struct rt_cuts *cuts, uint64_t xid,
                               int64_t seq)
{
    uint64_t cut = rt_cuts_find(cuts, xid);

    if (cut <= cuts->base || cut > rt_cuts_newest(cuts))
        return false;
    set_after(stretch, 1, seq - 1);
    return begin_with(stretch, cuts, cut);
}

void rt_stretch_begin(struct rt_stretch *stretch, const struct rt_cuts *cuts)
{
    set_after(stretch, 0, -1);
    stretch->first = stretch->end = cuts->base;
}

/* --- on and on -----------------------------------------------------------------------------------
 */

static const char *snapshot_of(const struct rt_cuts *cuts, const struct rt_place *until,
                               uint64_t number)
{
    const struct rt_cut *cut = rt_cuts_get(cuts, number);

    if (number > until->cut)
        return until->upto;
    return cut == NULL ? until->last
                       : cut->snapshot; /* forgotten: what came before is in it, too */
}

/* From `first` on as many as are asked for together; the number after. */
static uint64_t add_cuts(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                         const struct rt_place *until, uint64_t last)
{
    size_t entries = 0;
    uint64_t at = stretch->first;

    while (at <= last && at - stretch->first < STRETCH_CUTS) {
        const struct rt_cut *cut = rt_cuts_get(cuts, at);
        size_t count = cut == NULL || at == cuts->base ? RT_CUT_UNKNOWN : cut->entries;
        if (at > stretch->first && entries + count > STRETCH_ENTRIES)
            break;
        entries += count;
        const char *snapshot = snapshot_of(cuts, until, at++);
        rt_db_array_add(&stretch->cuts, snapshot, strlen(snapshot));
    }
    return at;
}

enum df_code rt_stretch_next(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                             const struct rt_place *until, bool *is_over, struct df_error *err)
{
    uint64_t last = until->cut + (until->upto[0] != '\0' ? 1 : 0), first = stretch->end;

    *is_over = first > last;
    if (*is_over)
        return DF_OK;
    if (first < cuts->base && first < until->cut) { /* forgotten meanwhile */
        first = cuts->base < until->cut ? cuts->base : until->cut;
        set_after(stretch, 0, -1);
    }
    if (stretch->newest != NULL) {
        free(stretch->last);
        stretch->last = stretch->newest;
        stretch->newest = NULL;
        set_after(stretch, 0, -1);
    }
    stretch->first = first;
    stretch->is_known = first > cuts->base;
    rt_db_array_begin(&stretch->cuts);
    stretch->end = add_cuts(stretch, cuts, until, last);
    rt_db_array_end(&stretch->cuts);
    stretch->newest = strdup(snapshot_of(cuts, until, stretch->end - 1));
    (void)snprintf(stretch->upto_seq, sizeof stretch->upto_seq, "%lld",
                   (long long)(stretch->end - 1 > until->cut ? until->seq : INT64_MAX));
    if (stretch->newest != NULL && !stretch->cuts.failed)
        return DF_OK;
    free(stretch->newest);
    stretch->newest = NULL;
    stretch->end = stretch->first;
    df_buf_reset(&stretch->cuts);
    return df_error_set(err, DF_ENOMEM, "out of memory");
}
