/* realtime/registry.c - filters, claim sets and wants by key. */
#include "realtime/registry.h"

#include <stdlib.h>
#include <string.h>

#include "realtime/map.h"
#include "realtime/slots.h"
#include "shared/buf.h"

enum { KEY_MAX_BYTES = 1 << 20 };

struct filter {
    char schema[64], table[64], session[37];
    char *json, *key;
    size_t key_len;
    bool is_failed;
    struct rt_want **want; /* all that have it */
    size_t want_count, want_cap;
};

struct claims {
    char *json;
    bool is_failed;
    size_t uses; /* wants */
};

struct rt_registry {
    struct rt_slots filters, claims;
    struct rt_map filter_by_key, claims_by_json, want_by_key;
    uint64_t published, acknowledged;
    bool is_changed;
};

struct want_key {
    uint32_t filter_id, claims_id, events;
};

/* --- filters and claim sets --------------------------------------------------------------------
 */

static void free_filter(struct filter *filter)
{
    if (filter == NULL)
        return;
    free(filter->json);
    free(filter->key);
    free(filter->want);
    free(filter);
}

static void free_claims(struct claims *claims)
{
    if (claims == NULL)
        return;
    free(claims->json);
    free(claims);
}

static void copy_name(char *out, size_t size, const char *name)
{
    size_t len = strnlen(name, size - 1);
    memcpy(out, name, len);
    out[len] = '\0';
}

/* The key: all of it, with the ends of the texts. */
static bool put_key(struct df_buf *out, const char *schema, const char *table, const char *session,
                    const char *json)
{
    (void)df_buf_append(out, schema, strlen(schema) + 1);
    (void)df_buf_append(out, table, strlen(table) + 1);
    (void)df_buf_append(out, session, strlen(session) + 1);
    (void)df_buf_append(out, json, strlen(json) + 1);
    return !out->failed;
}

static struct filter *filter_new(const char *schema, const char *table, const char *session,
                                 const char *json, const struct df_buf *key)
{
    struct filter *filter = calloc(1, sizeof *filter);

    if (filter == NULL)
        return NULL;
    copy_name(filter->schema, sizeof filter->schema, schema);
    copy_name(filter->table, sizeof filter->table, table);
    copy_name(filter->session, sizeof filter->session, session);
    filter->json = strdup(json);
    filter->key = malloc(key->len);
    filter->key_len = key->len;
    if (filter->json == NULL || filter->key == NULL) {
        free_filter(filter);
        return NULL;
    }
    memcpy(filter->key, key->data, key->len);
    return filter;
}

/* Ids are kept in the maps as one more, because no value is NULL. */
static void *as_value(uint32_t id)
{
    return (void *)((uintptr_t)id + 1);
}

static bool as_id(void *value, uint32_t *id)
{
    if (value != NULL)
        *id = (uint32_t)((uintptr_t)value - 1);
    return value != NULL;
}

static bool find_filter(struct rt_registry *registry, const char *schema, const char *table,
                        const char *session, const char *json, uint32_t *id)
{
    struct df_buf key;
    struct filter *filter = NULL;

    df_buf_init(&key, KEY_MAX_BYTES);
    bool is_found = put_key(&key, schema, table, session, json) &&
                    as_id(rt_map_get(&registry->filter_by_key, key.data, key.len), id);
    if (!is_found && !key.failed) {
        filter = filter_new(schema, table, session, json, &key);
        is_found =
            filter != NULL && rt_slots_add(&registry->filters, filter, registry->acknowledged, id);
        if (!is_found) {
            free_filter(filter);
        } else if (!rt_map_put(&registry->filter_by_key, key.data, key.len, as_value(*id))) {
            rt_slots_retire(&registry->filters, *id, 0);
            free_filter(filter);
            is_found = false;
        }
    }
    df_buf_release(&key);
    return is_found;
}

static bool find_claims(struct rt_registry *registry, const char *json, uint32_t *id)
{
    size_t len = strlen(json);

    if (as_id(rt_map_get(&registry->claims_by_json, json, len), id))
        return true;
    struct claims *claims = calloc(1, sizeof *claims);
    if (claims != NULL)
        claims->json = strdup(json);
    if (claims == NULL || claims->json == NULL ||
        !rt_slots_add(&registry->claims, claims, registry->acknowledged, id)) {
        free_claims(claims);
        return false;
    }
    if (rt_map_put(&registry->claims_by_json, json, len, as_value(*id)))
        return true;
    rt_slots_retire(&registry->claims, *id, 0);
    free_claims(claims);
    return false;
}

/* Without wants they go; `version` is the first plan without them. */
static void drop_unused_filter(struct rt_registry *registry, uint32_t id, uint64_t version)
{
    struct filter *filter = registry->filters.item[id];

    if (filter->want_count > 0)
        return;
    if (!filter->is_failed)
        (void)rt_map_take(&registry->filter_by_key, filter->key, filter->key_len);
    rt_slots_retire(&registry->filters, id, version);
    free_filter(filter);
}

static void drop_unused_claims(struct rt_registry *registry, uint32_t id, uint64_t version)
{
    struct claims *claims = registry->claims.item[id];

    if (claims->uses > 0)
        return;
    if (!claims->is_failed)
        (void)rt_map_take(&registry->claims_by_json, claims->json, strlen(claims->json));
    rt_slots_retire(&registry->claims, id, version);
    free_claims(claims);
}

/* --- wants ------------------------------------------------------------------------------------ */

static bool add_to_filter(struct filter *filter, struct rt_want *want)
{
    if (filter->want_count == filter->want_cap) {
        size_t cap = filter->want_cap == 0 ? 4 : 2 * filter->want_cap;
        struct rt_want **grown = reallocarray(filter->want, cap, sizeof *grown);
        if (grown == NULL)
            return false;
        filter->want = grown;
        filter->want_cap = cap;
    }
    want->place = filter->want_count;
    filter->want[filter->want_count++] = want;
    return true;
}

static void free_want(struct rt_want *want)
{
    if (want == NULL)
        return;
    free(want->binding);
    free(want);
}

/* Takes it out of its filter's list and the map. */
static void remove_want(struct rt_registry *registry, struct rt_want *want)
{
    struct filter *filter = registry->filters.item[want->filter_id];
    struct claims *claims = registry->claims.item[want->claims_id];
    struct want_key key = {want->filter_id, want->claims_id, want->events};

    (void)rt_map_take(&registry->want_by_key, &key, sizeof key);
    filter->want[want->place] = filter->want[--filter->want_count];
    filter->want[want->place]->place = want->place;
    claims->uses--;
    free_want(want);
}

struct rt_want *rt_registry_acquire(struct rt_registry *registry, const char *schema,
                                    const char *table, unsigned events, const char *session,
                                    const char *filter_json, const char *claims_json)
{
    struct want_key key = {.events = events};

    if (!find_filter(registry, schema, table, session, filter_json, &key.filter_id))
        return NULL;
    struct filter *filter = registry->filters.item[key.filter_id];
    if (!find_claims(registry, claims_json, &key.claims_id)) {
        drop_unused_filter(registry, key.filter_id, 0);
        return NULL;
    }
    struct rt_want *want = rt_map_get(&registry->want_by_key, &key, sizeof key);
    if (want == NULL) {
        want = calloc(1, sizeof *want);
        if (want == NULL || !rt_map_put(&registry->want_by_key, &key, sizeof key, want) ||
            !add_to_filter(filter, want)) {
            (void)rt_map_take(&registry->want_by_key, &key, sizeof key);
            free_want(want);
            drop_unused_filter(registry, key.filter_id, 0);
            drop_unused_claims(registry, key.claims_id, 0);
            return NULL;
        }
        want->events = events;
        want->filter_id = key.filter_id;
        want->claims_id = key.claims_id;
        ((struct claims *)registry->claims.item[key.claims_id])->uses++;
        registry->is_changed = true;
    }
    want->users++;
    return want;
}

void rt_registry_release(struct rt_registry *registry, struct rt_want *want)
{
    if (want != NULL && --want->users == 0)
        registry->is_changed = true; /* the next plan is without it */
}

/* --- plans ------------------------------------------------------------------------------------ */

uint64_t rt_registry_touch(struct rt_registry *registry)
{
    registry->is_changed = true;
    return registry->published + 1;
}

bool rt_registry_is_changed(const struct rt_registry *registry)
{
    return registry->is_changed;
}

static void drop_released(struct rt_registry *registry, uint64_t version)
{
    for (uint32_t id = 0; id < registry->filters.count; id++) {
        struct filter *filter = registry->filters.item[id];
        for (size_t i = 0; filter != NULL && i < filter->want_count;) {
            uint32_t claims_id = filter->want[i]->claims_id;
            if (filter->want[i]->users > 0) {
                i++;
                continue;
            }
            remove_want(registry, filter->want[i]); /* the last one is in its place now */
            drop_unused_claims(registry, claims_id, version);
        }
        if (filter != NULL)
            drop_unused_filter(registry, id, version);
    }
}

static bool copy_texts(const struct rt_registry *registry, struct rt_plan *plan)
{
    plan->filter = calloc(registry->filters.count + 1, sizeof *plan->filter);
    plan->claims = calloc(registry->claims.count + 1, sizeof *plan->claims);
    if (plan->filter == NULL || plan->claims == NULL)
        return false;
    for (; plan->filter_count < registry->filters.count; plan->filter_count++) {
        const struct filter *filter = registry->filters.item[plan->filter_count];
        if (filter != NULL && (plan->filter[plan->filter_count] = strdup(filter->json)) == NULL)
            return false;
    }
    for (; plan->claims_count < registry->claims.count; plan->claims_count++) {
        const struct claims *claims = registry->claims.item[plan->claims_count];
        if (claims != NULL && (plan->claims[plan->claims_count] = strdup(claims->json)) == NULL)
            return false;
    }
    return true;
}

static void put_interests(const struct rt_registry *registry, struct rt_plan *plan)
{
    for (size_t id = 0; id < registry->filters.count; id++) {
        const struct filter *filter = registry->filters.item[id];
        for (size_t i = 0; filter != NULL && i < filter->want_count; i++) {
            struct rt_want *want = filter->want[i];
            struct rt_interest *interest = &plan->interest[plan->interest_count++];
            *interest = (struct rt_interest){
                .events = want->events, .filter_id = want->filter_id, .claims_id = want->claims_id};
            memcpy(interest->schema, filter->schema, sizeof interest->schema);
            memcpy(interest->table, filter->table, sizeof interest->table);
            memcpy(interest->session, filter->session, sizeof interest->session);
            if (want->version == 0)
                want->version = plan->version;
        }
    }
}

struct rt_plan *rt_registry_plan(struct rt_registry *registry)
{
    struct rt_plan *plan = calloc(1, sizeof *plan);

    drop_released(registry, registry->published + 1);
    if (plan != NULL)
        plan->interest = calloc(registry->want_by_key.count + 1, sizeof *plan->interest);
    if (plan == NULL || plan->interest == NULL || !copy_texts(registry, plan)) {
        rt_plan_free(plan);
        return NULL;
    }
    plan->version = ++registry->published;
    put_interests(registry, plan);
    registry->is_changed = false;
    return plan;
}

void rt_registry_acknowledge(struct rt_registry *registry, uint64_t version)
{
    if (version <= registry->acknowledged)
        return;
    registry->acknowledged = version;
    rt_slots_look_again(&registry->filters);
    rt_slots_look_again(&registry->claims);
}

uint64_t rt_registry_published(const struct rt_registry *registry)
{
    return registry->published;
}

uint64_t rt_registry_acknowledged(const struct rt_registry *registry)
{
    return registry->acknowledged;
}

bool rt_registry_is_live(const struct rt_registry *registry, const struct rt_want *want)
{
    return want->version != 0 && want->version <= registry->acknowledged;
}

/* --- rows and failures -------------------------------------------------------------------------
 */

struct rt_wants rt_registry_of_filter(const struct rt_registry *registry, uint32_t filter_id)
{
    const struct filter *filter =
        filter_id < registry->filters.count ? registry->filters.item[filter_id] : NULL;

    if (filter == NULL)
        return (struct rt_wants){0};
    return (struct rt_wants){filter->want, filter->want_count};
}

static void fail_filter(struct rt_registry *registry, uint32_t id)
{
    struct filter *filter = id < registry->filters.count ? registry->filters.item[id] : NULL;

    if (filter == NULL || filter->is_failed)
        return;
    filter->is_failed = true;
    (void)rt_map_take(&registry->filter_by_key, filter->key, filter->key_len);
}

static void fail_claims(struct rt_registry *registry, uint32_t id)
{
    struct claims *claims = id < registry->claims.count ? registry->claims.item[id] : NULL;

    if (claims == NULL || claims->is_failed)
        return;
    claims->is_failed = true;
    (void)rt_map_take(&registry->claims_by_json, claims->json, strlen(claims->json));
}

void rt_registry_fail(struct rt_registry *registry, bool is_filter, uint32_t id,
                      void (*on_want)(void *arg, struct rt_want *want), void *arg)
{
    if (is_filter)
        fail_filter(registry, id);
    else
        fail_claims(registry, id);
    for (size_t f = is_filter ? id : 0; f < registry->filters.count; f++) {
        const struct filter *filter = registry->filters.item[f];
        for (size_t i = 0; filter != NULL && i < filter->want_count; i++) {
            struct rt_want *want = filter->want[i];
            if (!is_filter && want->claims_id != id)
                continue;
            want->is_failed = true;
            on_want(arg, want);
        }
        if (is_filter)
            break;
    }
}

size_t rt_registry_filter_count(const struct rt_registry *registry)
{
    return registry->filters.used;
}

size_t rt_registry_claims_count(const struct rt_registry *registry)
{
    return registry->claims.used;
}

size_t rt_registry_claims_end(const struct rt_registry *registry)
{
    return registry->claims.count;
}

/* --- life ------------------------------------------------------------------------------------- */

enum df_code rt_registry_new(struct rt_registry **out, struct df_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? df_error_set(err, DF_ENOMEM, "registry: out of memory") : DF_OK;
}

void rt_registry_free(struct rt_registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t id = 0; id < registry->filters.count; id++) {
        struct filter *filter = registry->filters.item[id];
        for (size_t i = 0; filter != NULL && i < filter->want_count; i++)
            free_want(filter->want[i]);
        free_filter(filter);
    }
    for (size_t id = 0; id < registry->claims.count; id++)
        free_claims(registry->claims.item[id]);
    rt_slots_release(&registry->filters);
    rt_slots_release(&registry->claims);
    rt_map_release(&registry->filter_by_key);
    rt_map_release(&registry->claims_by_json);
    rt_map_release(&registry->want_by_key);
    free(registry);
}
