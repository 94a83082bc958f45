/* realtime/presence.c - a list of metas. Topics hold tens of people, rarely thousands, so a walk is
 * cheaper than an index. */
#include "realtime/presence.h"

#include <stdlib.h>
#include <string.h>

#include "shared/json.h"

struct meta {
    char *source, *key;
    char *json; /* {"phx_ref":"..",<payload's members>} */
};

struct rt_presence {
    struct meta *meta;
    size_t count, capacity;
};

enum { META_MAX_BYTES = 256 * 1024 };

enum df_code rt_presence_new(struct rt_presence **out, struct df_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out == NULL ? df_error_set(err, DF_ENOMEM, "presence: out of memory") : DF_OK;
}

static void release(struct meta *meta)
{
    free(meta->source);
    free(meta->key);
    free(meta->json);
}

void rt_presence_free(struct rt_presence *presence)
{
    if (presence == NULL)
        return;
    for (size_t i = 0; i < presence->count; i++)
        release(&presence->meta[i]);
    free(presence->meta);
    free(presence);
}

static struct meta *find(const struct rt_presence *presence, const char *source)
{
    for (size_t i = 0; i < presence->count; i++)
        if (strcmp(presence->meta[i].source, source) == 0)
            return &presence->meta[i];
    return NULL;
}

/* The payload's members follow phx_ref; an empty payload has none. */
static char *make_json(const char *phx_ref, const char *payload, size_t payload_len)
{
    struct df_buf out;

    df_buf_init(&out, META_MAX_BYTES);
    (void)df_buf_append_str(&out, "{\"phx_ref\":");
    (void)df_json_append_string(&out, phx_ref, strlen(phx_ref));
    if (payload_len > 2) {
        (void)df_buf_append_char(&out, ',');
        (void)df_buf_append(&out, payload + 1, payload_len - 1);
    } else {
        (void)df_buf_append_char(&out, '}');
    }
    if (out.failed)
        df_buf_release(&out);
    return out.data;
}

/* {"key":{"metas":[..]}} of all metas of that key in the list. */
static void put_keys(struct df_buf *out, const struct meta *list, size_t count)
{
    bool is_first = true;

    (void)df_buf_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        bool is_told = false;
        for (size_t j = 0; j < i && !is_told; j++)
            is_told = strcmp(list[j].key, list[i].key) == 0;
        if (is_told)
            continue;
        if (!is_first)
            (void)df_buf_append_char(out, ',');
        is_first = false;
        (void)df_json_append_string(out, list[i].key, strlen(list[i].key));
        (void)df_buf_append_str(out, ":{\"metas\":[");
        for (size_t j = i; j < count; j++) {
            if (strcmp(list[j].key, list[i].key) != 0)
                continue;
            if (j > i)
                (void)df_buf_append_char(out, ',');
            (void)df_buf_append_str(out, list[j].json);
        }
        (void)df_buf_append_str(out, "]}");
    }
    (void)df_buf_append_char(out, '}');
}

static bool put_diff(struct df_buf *out, const struct meta *joins, size_t join_count,
                     const struct meta *leaves, size_t leave_count)
{
    (void)df_buf_append_str(out, "{\"joins\":");
    put_keys(out, joins, join_count);
    (void)df_buf_append_str(out, ",\"leaves\":");
    put_keys(out, leaves, leave_count);
    (void)df_buf_append_char(out, '}');
    return !out->failed;
}

static struct meta *make_room(struct rt_presence *presence)
{
    if (presence->count == presence->capacity) {
        size_t capacity = presence->capacity == 0 ? 8 : presence->capacity * 2;
        struct meta *grown = reallocarray(presence->meta, capacity, sizeof *grown);
        if (grown == NULL)
            return NULL;
        presence->meta = grown;
        presence->capacity = capacity;
    }
    return &presence->meta[presence->count];
}

bool rt_presence_track(struct rt_presence *presence, const char *source, const char *key,
                       const char *phx_ref, const char *payload, size_t payload_len,
                       struct df_buf *diff)
{
    struct meta fresh = {.source = strdup(source),
                         .key = strdup(key),
                         .json = make_json(phx_ref, payload, payload_len)};
    struct meta *place = find(presence, source);
    bool is_update = place != NULL;

    if (!is_update)
        place = make_room(presence);
    if (fresh.source == NULL || fresh.key == NULL || fresh.json == NULL || place == NULL) {
        release(&fresh);
        return false;
    }
    bool is_told = put_diff(diff, &fresh, 1, place, is_update ? 1 : 0);
    if (is_update)
        release(place);
    else
        presence->count++;
    *place = fresh;
    return is_told;
}

/* Order of arrival is kept: clients show people in it. */
static void remove_at(struct rt_presence *presence, size_t i)
{
    release(&presence->meta[i]);
    presence->count--;
    memmove(&presence->meta[i], &presence->meta[i + 1],
            (presence->count - i) * sizeof presence->meta[0]);
}

bool rt_presence_untrack(struct rt_presence *presence, const char *source, struct df_buf *diff)
{
    struct meta *meta = find(presence, source);

    if (meta == NULL)
        return false;
    bool is_told = put_diff(diff, NULL, 0, meta, 1);
    remove_at(presence, (size_t)(meta - presence->meta));
    return is_told;
}

bool rt_presence_forget_gateway(struct rt_presence *presence, const char *gateway,
                                struct df_buf *diff)
{
    size_t len = strlen(gateway), gone_count = 0, kept = 0;
    struct meta *gone = calloc(presence->count + 1, sizeof *gone);

    if (gone == NULL)
        return false;
    for (size_t i = 0; i < presence->count; i++) {
        const char *source = presence->meta[i].source;
        if (strncmp(source, gateway, len) == 0 && source[len] == '/')
            gone[gone_count++] = presence->meta[i];
        else
            presence->meta[kept++] = presence->meta[i];
    }
    presence->count = kept;
    bool is_told = gone_count > 0 && put_diff(diff, NULL, 0, gone, gone_count);
    for (size_t i = 0; i < gone_count; i++)
        release(&gone[i]);
    free(gone);
    return is_told;
}

bool rt_presence_state(const struct rt_presence *presence, struct df_buf *out)
{
    put_keys(out, presence->meta, presence->count);
    return !out->failed;
}

size_t rt_presence_count(const struct rt_presence *presence)
{
    return presence->count;
}
