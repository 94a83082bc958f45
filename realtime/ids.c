/* realtime/ids.c - a growing list of small numbers. */
#include "realtime/ids.h"

#include <stdlib.h>

bool rt_ids_add(struct rt_ids *ids, uint32_t id)
{
    if (ids->count == ids->cap) {
        size_t cap = ids->cap == 0 ? 8 : 2 * ids->cap;
        uint32_t *at = realloc(ids->at, cap * sizeof *at);
        if (at == NULL)
            return false;
        ids->at = at;
        ids->cap = cap;
    }
    ids->at[ids->count++] = id;
    return true;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

void rt_ids_sort(struct rt_ids *ids)
{
    size_t kept = 0;

    if (ids->count < 2)
        return;
    qsort(ids->at, ids->count, sizeof *ids->at, compare);
    for (size_t i = 0; i < ids->count; i++)
        if (i == 0 || ids->at[i] != ids->at[i - 1])
            ids->at[kept++] = ids->at[i];
    ids->count = kept;
}

bool rt_ids_has(const struct rt_ids *ids, uint32_t id)
{
    return ids->count > 0 && bsearch(&id, ids->at, ids->count, sizeof id, compare) != NULL;
}

bool rt_ids_parse(struct rt_ids *ids, const char *array)
{
    const char *at = array;

    while (*at != '\0') {
        char *end = NULL;
        unsigned long number = strtoul(at, &end, 10);
        if (end == at) {
            at++;
            continue;
        }
        if (!rt_ids_add(ids, (uint32_t)number))
            return false;
        at = end;
    }
    return true;
}

void rt_ids_release(struct rt_ids *ids)
{
    free(ids->at);
    *ids = (struct rt_ids){0};
}
