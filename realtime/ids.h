/* realtime/ids.h - a growing list of small numbers. */
#ifndef REALTIME_IDS_H
#define REALTIME_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rt_ids {
    uint32_t *at;
    size_t count, cap;
};

bool rt_ids_add(struct rt_ids *ids, uint32_t id);       /* false: no memory */
void rt_ids_sort(struct rt_ids *ids);                   /* each once, ascending */
bool rt_ids_has(const struct rt_ids *ids, uint32_t id); /* of a sorted list */
/* Adds the numbers of an array of Postgres, {1,2}. */
bool rt_ids_parse(struct rt_ids *ids, const char *array);
void rt_ids_release(struct rt_ids *ids);

#endif
