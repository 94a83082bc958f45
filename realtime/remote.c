/* realtime/remote.c - other gateways on the same database: what one client sends reaches the
 * clients of all. They talk in small JSON objects over a channel on which anybody with a login may
 * NOTIFY, so these are read strictly.
 *
 *   {"k":"hello","from":G,"n":N,"new":bool}   every ten seconds; new: please answer
 *   {"k":"cast","from":G,"topic","private","payload":{..}}          a text broadcast, or with
 *        "event","json":true,"data":..  or  "event","json":false,"base64":".."   a binary one
 *   {"k":"track","from":G,"n":N,"topic","private","source","key","ref","payload":{..}}
 *   {"k":"untrack","from":G,"n":N,"topic","private","source"}
 *   {"k":"ask","from":G,"to":H}               tell me everybody of yours
 *   {"k":"all","from":G,"n":N,"part":0..,"last":bool,"people":[{as of track}..]}
 *   {"sql":true,"id","topic","event","payload","private"}           of realtime.send()
 *
 * N counts a gateway's track and untrack messages: a gap, and everybody is asked for anew. Who is
 * not heard for half a minute is gone, and its people with it. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/base64.h"
#include "realtime/remote_private.h"
#include "shared/clock.h"
#include "shared/json.h"

enum { GONE_MS = 30000 };

/* Somebody who is in a channel of another gateway. */
struct person {
    char *source, *topic;
    char ref[64];
    bool is_private, is_marked;
    const struct rt_gateway *gateway;
};

/* --- gateways -----------------------------------------------------------------------------------
 */

static void free_person(struct person *person)
{
    free(person->source);
    free(person->topic);
    free(person);
}

/* Takes the person out of the topic, and us, who keep the entry, out of the map. */
static void drop_person(struct rt_hub *hub, struct person *person)
{
    struct rt_topic *topic = rt_topic_find(hub, person->topic, person->is_private);

    (void)rt_map_take(&hub->remote->people, person->source, strlen(person->source));
    if (topic != NULL) {
        rt_people_take(hub, topic, person->source);
        rt_topic_drop_unused(hub, topic);
    }
    free_person(person);
}

/* All of a gateway, or only those that its list did not name. */
static void drop_people(struct rt_hub *hub, const struct rt_gateway *gateway, bool only_unmarked)
{
    struct rt_map_cursor cursor = {0};
    struct person *person = NULL;

    while ((person = rt_map_next(&hub->remote->people, &cursor)) != NULL)
        if (person->gateway == gateway && !(only_unmarked && person->is_marked))
            drop_person(hub, person);
}

/* NULL: that is no gateway's name, or there are too many. */
static struct rt_gateway *find_gateway(struct rt_hub *hub, const char *id)
{
    struct rt_remote *remote = hub->remote;
    struct df_uuid uuid;
    struct rt_gateway *gateway = NULL;

    if (strlen(id) != DF_UUID_TEXT_SIZE - 1 || !df_uuid_parse(&uuid, id, strlen(id)))
        return NULL;
    for (size_t i = 0; i < remote->gateway_count; i++)
        if (strcmp(remote->gateway[i]->id, id) == 0)
            gateway = remote->gateway[i];
    if (gateway == NULL) {
        if (remote->gateway_count == RT_GATEWAYS_MAX ||
            (gateway = calloc(1, sizeof *gateway)) == NULL)
            return NULL;
        memcpy(gateway->id, id, DF_UUID_TEXT_SIZE);
        remote->gateway[remote->gateway_count++] = gateway;
        remote->hello_ms = 0; /* it does not know us either */
    }
    gateway->heard_ms = df_clock_mono_ms();
    return gateway;
}

/* --- in: people ---------------------------------------------------------------------------------
 */

/* One item, all of it checked. False: not ours to believe. */
static bool read_person(const struct rt_gateway *gateway, const char *topic, const char *source,
                        const char *key, const char *ref, const json_t *payload)
{
    size_t len = strlen(gateway->id);

    return strncmp(topic, "realtime:", 9) == 0 && strlen(topic) <= RT_TOPIC_MAX_BYTES &&
           strncmp(source, gateway->id, len) == 0 && source[len] == '/' &&
           strlen(source) < RT_SOURCE_BYTES && strlen(key) < 256 && strlen(ref) < 64 &&
           json_is_object(payload);
}

static void put_person(struct rt_hub *hub, const struct rt_gateway *gateway, const char *topic_name,
                       bool is_private, const char *source, const char *key, const char *ref,
                       const json_t *payload)
{
    struct rt_remote *remote = hub->remote;
    struct person *person = rt_map_get(&remote->people, source, strlen(source));
    char *text = NULL;

    if (person != NULL && strcmp(person->ref, ref) == 0 && strcmp(person->topic, topic_name) == 0 &&
        person->is_private == is_private) {
        person->is_marked = true; /* nothing new */
        return;
    }
    if (person != NULL &&
        (strcmp(person->topic, topic_name) != 0 || person->is_private != is_private)) {
        drop_person(hub, person);
        person = NULL;
    }
    if (person == NULL) {
        person = calloc(1, sizeof *person);
        if (person == NULL)
            return;
        person->source = strdup(source);
        person->topic = strdup(topic_name);
        if (person->source == NULL || person->topic == NULL ||
            !rt_map_put(&remote->people, source, strlen(source), person)) {
            free_person(person);
            return;
        }
        person->is_private = is_private;
        person->gateway = gateway;
    }
    person->is_marked = true;
    (void)snprintf(person->ref, sizeof person->ref, "%s", ref);
    struct rt_topic *topic = rt_topic_get(hub, topic_name, is_private);
    text = json_dumps(payload, JSON_COMPACT);
    if (topic == NULL || text == NULL ||
        !rt_people_put(hub, topic, &(struct rt_person){source, key, ref, text}))
        drop_person(hub, person);
    free(text);
}

/* In order, or everybody is asked for. */
static void count_message(struct rt_hub *hub, struct rt_gateway *gateway, json_int_t n)
{
    if (n != gateway->n + 1)
        rt_remote_ask(hub, gateway);
    else
        gateway->n = n;
}

static void on_track(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    const char *kind = NULL, *from = NULL, *topic = NULL, *source = NULL, *key = NULL, *ref = NULL;
    json_t *payload = NULL;
    json_int_t n = 0;
    int is_private = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:I,s:s,s:b,s:s,s:s,s:s,s:o}", "k",
                       &kind, "from", &from, "n", &n, "topic", &topic, "private", &is_private,
                       "source", &source, "key", &key, "ref", &ref, "payload", &payload) != 0 ||
        !read_person(gateway, topic, source, key, ref, payload))
        return;
    put_person(hub, gateway, topic, is_private != 0, source, key, ref, payload);
    count_message(hub, gateway, n);
}

static void on_untrack(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    const char *kind = NULL, *from = NULL, *topic = NULL, *source = NULL;
    struct person *person = NULL;
    json_int_t n = 0;
    int is_private = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:I,s:s,s:b,s:s}", "k", &kind, "from",
                       &from, "n", &n, "topic", &topic, "private", &is_private, "source",
                       &source) != 0)
        return;
    person = rt_map_get(&hub->remote->people, source, strlen(source));
    if (person != NULL && person->gateway == gateway)
        drop_person(hub, person);
    count_message(hub, gateway, n);
}

static void mark(struct rt_hub *hub, const struct rt_gateway *gateway, bool is_marked)
{
    struct rt_map_cursor cursor = {0};
    struct person *person = NULL;

    while ((person = rt_map_next(&hub->remote->people, &cursor)) != NULL)
        if (person->gateway == gateway)
            person->is_marked = is_marked;
}

static void on_all(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    const char *kind = NULL, *from = NULL;
    json_t *people = NULL;
    json_int_t n = 0;
    int part = 0, is_last = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:I,s:i,s:b,s:o}", "k", &kind, "from",
                       &from, "n", &n, "part", &part, "last", &is_last, "people", &people) != 0)
        return;
    if (part == 0) {
        mark(hub, gateway, false);
        gateway->part = 0;
    }
    if (part != gateway->part)
        return; /* one was lost: a list with holes would send people away; the next hello asks again
                 */
    gateway->part++;
    for (size_t i = 0; i < json_array_size(people); i++) {
        const char *topic = NULL, *source = NULL, *key = NULL, *ref = NULL;
        json_t *payload = NULL;
        int is_private = 0;
        if (json_unpack_ex(json_array_get(people, i), NULL, JSON_STRICT,
                           "{s:s,s:b,s:s,s:s,s:s,s:o}", "topic", &topic, "private", &is_private,
                           "source", &source, "key", &key, "ref", &ref, "payload", &payload) == 0 &&
            read_person(gateway, topic, source, key, ref, payload))
            put_person(hub, gateway, topic, is_private != 0, source, key, ref, payload);
    }
    if (is_last) {
        drop_people(hub, gateway, true);
        gateway->n = n;
    }
}

static void on_hello(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    const char *kind = NULL, *from = NULL;
    json_int_t n = 0;
    int is_new = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:I,s:b}", "k", &kind, "from", &from,
                       "n", &n, "new", &is_new) != 0)
        return;
    if (is_new)
        hub->remote->hello_ms = 0;
    if (n != gateway->n)
        rt_remote_ask(hub, gateway);
}

static void on_ask(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    const char *kind = NULL, *from = NULL, *to = NULL;

    (void)gateway;
    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:s}", "k", &kind, "from", &from, "to",
                       &to) == 0 &&
        strcmp(to, hub->gateway) == 0)
        rt_remote_say_all(hub);
}

/* --- in: broadcasts -----------------------------------------------------------------------------
 */

static bool is_topic(const char *name)
{
    return strncmp(name, "realtime:", 9) == 0 && strlen(name) <= RT_TOPIC_MAX_BYTES;
}

static void deliver_json(struct rt_hub *hub, struct rt_broadcast *broadcast, const json_t *value,
                         bool is_payload)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text == NULL)
        return;
    if (is_payload) {
        broadcast->payload = text;
        broadcast->payload_len = strlen(text);
    } else {
        broadcast->bytes = (const uint8_t *)text;
        broadcast->bytes_len = strlen(text);
    }
    rt_broadcast_deliver(hub, broadcast);
    free(text);
}

static void deliver_base64(struct rt_hub *hub, struct rt_broadcast *broadcast, const char *text)
{
    df_buf_reset(&hub->payload);
    if (!rt_base64_decode(&hub->payload, text, strlen(text)))
        return;
    broadcast->bytes = (const uint8_t *)(hub->payload.data == NULL ? "" : hub->payload.data);
    broadcast->bytes_len = hub->payload.len;
    rt_broadcast_deliver(hub, broadcast);
}

static void on_cast(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message)
{
    struct rt_broadcast broadcast = {0};
    const char *kind = NULL, *from = NULL, *base64 = NULL;
    json_t *payload = NULL, *data = NULL;
    int is_private = 0, is_json = 0;

    (void)gateway;
    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:s,s:s,s:s,s:b,s?o,s?s,s?b,s?o,s?s}", "k",
                       &kind, "from", &from, "topic", &broadcast.topic, "private", &is_private,
                       "payload", &payload, "event", &broadcast.event, "json", &is_json, "data",
                       &data, "base64", &base64) != 0 ||
        !is_topic(broadcast.topic))
        return;
    broadcast.is_private = is_private != 0;
    broadcast.is_json = is_json != 0;
    if (json_is_object(payload))
        deliver_json(hub, &broadcast, payload, true);
    else if (broadcast.event == NULL || strlen(broadcast.event) > RT_EVENT_MAX_BYTES)
        return;
    else if (broadcast.is_json && data != NULL)
        deliver_json(hub, &broadcast, data, false);
    else if (!broadcast.is_json && base64 != NULL)
        deliver_base64(hub, &broadcast, base64);
}

/* A message of realtime.send(): to every gateway, so each delivers to its own clients. */
static void on_sql(struct rt_hub *hub, json_t *message)
{
    struct rt_broadcast broadcast = {0};
    const char *id = NULL, *topic = NULL, *event = NULL;
    json_t *payload = NULL, *whole = NULL;
    char name[RT_TOPIC_MAX_BYTES + 1];
    int is_sql = 0, is_private = 0;

    if (json_unpack_ex(message, NULL, JSON_STRICT, "{s:b,s:s,s:s,s:s,s:o,s:b}", "sql", &is_sql,
                       "id", &id, "topic", &topic, "event", &event, "payload", &payload, "private",
                       &is_private) != 0 ||
        strlen(topic) + sizeof "realtime:" > sizeof name)
        return;
    (void)snprintf(name, sizeof name, "realtime:%s", topic);
    broadcast.topic = name;
    broadcast.is_private = is_private != 0;
    whole = json_pack("{s:s,s:s,s:O,s:{s:s}}", "type", "broadcast", "event", event, "payload",
                      payload, "meta", "id", id);
    if (whole != NULL)
        deliver_json(hub, &broadcast, whole, true);
    json_decref(whole);
}

void rt_remote_on_text(struct rt_hub *hub, const char *text)
{
    static const struct {
        const char *kind;
        void (*handle)(struct rt_hub *hub, struct rt_gateway *gateway, json_t *message);
    } kinds[] = {
        {"hello", on_hello},     {"cast", on_cast}, {"track", on_track},
        {"untrack", on_untrack}, {"ask", on_ask},   {"all", on_all},
    };
    json_t *message = NULL;

    if (df_json_parse(&message, text, strlen(text), RT_REMOTE_TEXT_MAX_BYTES, NULL) != DF_OK)
        return;
    const char *kind = json_string_value(json_object_get(message, "k"));
    const char *from = json_string_value(json_object_get(message, "from"));
    if (json_is_true(json_object_get(message, "sql"))) {
        on_sql(hub, message);
    } else if (kind != NULL && from != NULL) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            if (strcmp(kinds[i].kind, kind) != 0)
                continue;
            struct rt_gateway *gateway = find_gateway(hub, from);
            if (gateway != NULL)
                kinds[i].handle(hub, gateway, message);
        }
    }
    json_decref(message);
}

/* --- time ---------------------------------------------------------------------------------------
 */

void rt_remote_on_up(struct rt_hub *hub)
{
    /* Nobody could be heard meanwhile. */
    for (size_t i = 0; i < hub->remote->gateway_count; i++)
        hub->remote->gateway[i]->heard_ms = df_clock_mono_ms();
    rt_remote_hello(hub, true);
}

void rt_remote_on_tick(struct rt_hub *hub, int64_t now_ms)
{
    struct rt_remote *remote = hub->remote;

    if (!hub->is_up)
        return;
    if (now_ms >= remote->hello_ms)
        rt_remote_hello(hub, false);
    for (size_t i = 0; i < remote->gateway_count;) {
        struct rt_gateway *gateway = remote->gateway[i];
        if (now_ms - gateway->heard_ms < GONE_MS) {
            i++;
            continue;
        }
        drop_people(hub, gateway, false);
        remote->gateway[i] = remote->gateway[--remote->gateway_count];
        free(gateway);
    }
}

/* --- life ---------------------------------------------------------------------------------------
 */

enum df_code rt_remote_new(struct rt_hub *hub, struct df_error *err)
{
    hub->remote = calloc(1, sizeof *hub->remote);
    return hub->remote == NULL ? df_error_set(err, DF_ENOMEM, "hub: out of memory") : DF_OK;
}

void rt_remote_free(struct rt_hub *hub)
{
    struct rt_map_cursor cursor = {0};
    struct person *person = NULL;

    if (hub->remote == NULL)
        return;
    while ((person = rt_map_next(&hub->remote->people, &cursor)) != NULL)
        free_person(person);
    rt_map_release(&hub->remote->people);
    for (size_t i = 0; i < hub->remote->gateway_count; i++)
        free(hub->remote->gateway[i]);
    free(hub->remote);
    hub->remote = NULL;
}
