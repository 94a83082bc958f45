/* realtime/registry.h - who wants what: each distinct filter of a table, claim set, and pair of them
 * ("want") exists once, counted by its users, and is published to the reader as a plan. Pure; loop
 * thread.
 *
 * Ids name filters and claim sets in plans and in the rows that come back. One is given to something
 * else only after the reader confirmed a plan without it, so a row that is still on its way never
 * meets a stranger. */
#ifndef REALTIME_REGISTRY_H
#define REALTIME_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "realtime/changes.h"

struct rt_registry;
struct rt_binding; /* opaque here */

/* What one or more bindings want to hear. */
struct rt_want {
    unsigned events;
    uint32_t filter_id, claims_id;
    /* Who gets the rows; the hub's to fill, freed with the want. */
    struct rt_binding **binding;
    size_t binding_count, binding_cap;
    bool is_failed; /* Postgres cannot evaluate it: no rows come */
    /* private */
    size_t users;
    uint64_t version; /* the first plan that holds it; 0: none yet */
    size_t place;     /* in its filter's list */
};

struct rt_wants {
    struct rt_want *const *at;
    size_t count;
};

enum df_code rt_registry_new(struct rt_registry **out, struct df_error *err) DF_MUST_USE;
void rt_registry_free(struct rt_registry *registry);

/* Counts one more user; the want lives until as many releases and the next plan. NULL: no memory. */
struct rt_want *rt_registry_acquire(struct rt_registry *registry, const char *schema,
                                    const char *table, unsigned events, const char *session,
                                    const char *filter_json, const char *claims_json);
void rt_registry_release(struct rt_registry *registry, struct rt_want *want);

/* Asks for a new version even if nothing changed, and tells which it will be at the latest. */
uint64_t rt_registry_touch(struct rt_registry *registry);
bool rt_registry_is_changed(const struct rt_registry *registry);
/* The plan of all that is wanted, as the next version; the caller owns it. NULL: no memory. */
struct rt_plan *rt_registry_plan(struct rt_registry *registry);
void rt_registry_acknowledge(struct rt_registry *registry, uint64_t version);
uint64_t rt_registry_published(const struct rt_registry *registry);
uint64_t rt_registry_acknowledged(const struct rt_registry *registry);
/* The reader delivers what it wants. */
bool rt_registry_is_live(const struct rt_registry *registry, const struct rt_want *want);

/* The wants with this filter; empty for ids that are free. Valid until the next call but _of_filter. */
struct rt_wants rt_registry_of_filter(const struct rt_registry *registry, uint32_t filter_id);
/* Postgres cannot evaluate it: later users get another id, and with it another try. on_want is called
 * for the wants that have it. */
void rt_registry_fail(struct rt_registry *registry, bool is_filter, uint32_t id,
                      void (*on_want)(void *arg, struct rt_want *want), void *arg);

size_t rt_registry_filter_count(const struct rt_registry *registry);
size_t rt_registry_claims_count(const struct rt_registry *registry);
/* One more than the largest claims id. */
size_t rt_registry_claims_end(const struct rt_registry *registry);

#endif
