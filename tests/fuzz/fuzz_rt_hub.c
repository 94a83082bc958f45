/* tests/fuzz/fuzz_rt_hub.c - what clients and other gateways say, to the whole hub. The input is
 * lines; the first byte tells who speaks: 1, 2 a text frame of a client with that serializer, 3 a
 * binary frame in hex, g another gateway, h the body of an HTTP broadcast, + time passes, - the
 * clients go and come back. Sockets and database are played: the database says yes to everything,
 * and each plan is followed by a row. */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/hub.h"
#include "shared/json.h"

enum { LINES_MAX = 64, EVENTS_MAX = 4096 };

/* --- sockets ------------------------------------------------------------------------------------
 */

struct rt_blob {
    int refs;
};
struct rt_connection {
    void *state;
};
struct rt_server {
    bool is_woken;
};

static struct rt_server server;
static size_t blobs;

/* A frame that is not whole would deafen a client for good. */
static void check_frame(const char *bytes, size_t len, bool is_binary)
{
    json_t *frame = NULL;

    if (is_binary) {
        assert(len >= 5 && bytes[0] == 4);
        return;
    }
    assert(df_json_parse(&frame, bytes, len, len, NULL) == DF_OK);
    assert(json_is_array(frame) ? json_array_size(frame) == 5 : json_object_size(frame) == 4);
    json_decref(frame);
}

struct rt_blob *rt_blob_new(const void *bytes, size_t len, bool is_binary)
{
    struct rt_blob *blob = calloc(1, sizeof *blob);

    assert(blob != NULL);
    check_frame(bytes, len, is_binary);
    blob->refs = 1;
    blobs++;
    return blob;
}

struct rt_blob *rt_blob_keep(struct rt_blob *blob)
{
    blob->refs++;
    return blob;
}

void rt_blob_drop(struct rt_blob *blob)
{
    if (blob == NULL || --blob->refs > 0)
        return;
    free(blob);
    blobs--;
}

bool rt_connection_send(struct rt_connection *connection, struct rt_blob *blob, bool is_control)
{
    (void)connection;
    (void)blob;
    (void)is_control;
    return true;
}

void rt_connection_close(struct rt_connection *connection, int code, const char *reason)
{
    (void)connection;
    (void)code;
    (void)reason;
}

size_t rt_connection_queued_bytes(const struct rt_connection *connection)
{
    (void)connection;
    return 0;
}

void rt_server_wake(struct rt_server *woken)
{
    woken->is_woken = true;
}

void rt_server_reply_http(struct rt_server *replied, uint64_t request, int status, const char *text)
{
    (void)replied;
    (void)request;
    (void)text;
    assert(status == 202 || status == 422);
}

bool rt_access_check(struct rt_access *access, const char *token, size_t token_len, int64_t now_s,
                     struct rt_claims *claims, char *reason, size_t reason_size)
{
    (void)access;
    *claims = (struct rt_claims){.role = "anon", .expires_at_s = INT64_MAX};
    if (token_len == 0 || token[0] != 't') {
        (void)snprintf(reason, reason_size, "MalformedJWT: no token");
        return false;
    }
    if (token_len > 1)
        claims->expires_at_s = now_s + token[1] - '0';
    claims->json =
        strdup(token_len > 2 ? "{\"role\":\"anon\",\"sub\":\"x\"}" : "{\"role\":\"anon\"}");
    return claims->json != NULL;
}

void rt_claims_release(struct rt_claims *claims)
{
    free(claims->json);
    *claims = (struct rt_claims){0};
}

/* --- the database -------------------------------------------------------------------------------
 */

static struct rt_changes_event *events[EVENTS_MAX];
static size_t event_first, event_end;

static struct rt_changes_event *put_event(enum rt_changes_event_type type, uint64_t token)
{
    struct rt_changes_event *event = calloc(1, sizeof *event);

    assert(event != NULL && event_end < EVENTS_MAX);
    event->type = type;
    event->token = token;
    event->is_ok = event->is_last = event->can_read = event->can_write = event->is_up = true;
    events[event_end++] = event;
    server.is_woken = true;
    return event;
}

void rt_changes_event_free(struct rt_changes_event *event)
{
    if (event == NULL)
        return;
    if (event->row != NULL) {
        free(event->row->filter_ids);
        free(event->row->claims_ids);
    }
    free(event->row);
    free(event->text);
    free(event);
}

struct rt_changes_event *rt_changes_take(struct rt_changes *changes)
{
    (void)changes;
    if (event_first < event_end)
        return events[event_first++];
    event_first = event_end = 0;
    return NULL;
}

void rt_changes_publish(struct rt_changes *changes, struct rt_plan *plan)
{
    static char id[] = "7", columns[] = "[{\"name\": \"id\", \"type\": \"int8\"}]",
                record[] = "{\"id\": 7}";

    (void)changes;
    put_event(RT_EVENT_PLAN, 0)->plan_version = plan->version;
    struct rt_changes_event *event = put_event(RT_EVENT_CHANGES, 0);
    memcpy(event->op, "INSERT", sizeof "INSERT");
    event->row = calloc(1, sizeof *event->row);
    assert(event->row != NULL);
    event->row_count = 1;
    event->row->id = id;
    event->row->columns = columns;
    event->row->record = record;
    event->row->filter_ids = calloc(plan->filter_count + 1, sizeof(uint32_t));
    event->row->claims_ids = calloc(plan->claims_count + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i < plan->filter_count; i++)
        event->row->filter_ids[event->row->filter_count++] = i;
    for (uint32_t i = 0; i < plan->claims_count; i++)
        event->row->claims_ids[event->row->claims_count++] = i;
    rt_plan_free(plan);
}

void rt_changes_check(struct rt_changes *changes, uint64_t token, const char *role,
                      const char *schema, const char *table, const char *filter_json,
                      const char *select_json)
{
    (void)changes;
    (void)role;
    (void)schema;
    (void)table;
    (void)filter_json;
    (void)select_json;
    put_event(RT_EVENT_CHECKED, token);
}

void rt_changes_policy(struct rt_changes *changes, uint64_t token, const char *claims_json,
                       const char *topic, const char *extension)
{
    (void)changes;
    (void)claims_json;
    (void)topic;
    (void)extension;
    put_event(RT_EVENT_POLICY, token);
}

void rt_changes_catch_up(struct rt_changes *changes, uint64_t token, const char *schema,
                         const char *table, unsigned event_mask, const char *filter_json,
                         const char *session, const char *claims_json, const char *x_after,
                         const struct rt_spot *spot, uint64_t until_version)
{
    (void)changes;
    (void)schema;
    (void)table;
    (void)event_mask;
    (void)filter_json;
    (void)session;
    (void)claims_json;
    (void)x_after;
    (void)spot;
    (void)until_version;
    put_event(RT_EVENT_CATCH_UP, token);
}

void rt_changes_cancel(struct rt_changes *changes, uint64_t token)
{
    (void)changes;
    (void)token;
}

void rt_changes_send(struct rt_changes *changes, const char *text, size_t text_len)
{
    (void)changes;
    assert(text[0] == '{' && text[text_len - 1] == '}');
}

void rt_changes_stats_get(struct rt_changes *changes, struct rt_changes_stats *out)
{
    (void)changes;
    *out = (struct rt_changes_stats){0};
}

/* --- the target ---------------------------------------------------------------------------------
 */

static struct rt_server_handlers handlers;
static struct rt_connection clients[3];
static const struct rt_claims key = {
    .role = "anon", .json = "{\"role\":\"anon\"}", .expires_at_s = INT64_MAX};
static int64_t now_ms;

static void run(void)
{
    while (server.is_woken) {
        server.is_woken = false;
        handlers.on_wake(handlers.arg);
    }
}

static void open_clients(void)
{
    for (size_t i = 0; i < 3; i++) {
        clients[i].state =
            handlers.on_open(handlers.arg, &clients[i], i == 0 ? RT_VSN_1 : RT_VSN_2, &key);
        assert(clients[i].state != NULL);
    }
}

static void close_clients(void)
{
    for (size_t i = 0; i < 3; i++)
        handlers.on_close(handlers.arg, clients[i].state);
    run();
}

static size_t read_hex(uint8_t *out, const char *text, size_t len)
{
    size_t count = 0;
    unsigned byte = 0;

    for (size_t i = 0; i + 1 < len; i += 2) {
        const char pair[3] = {text[i], text[i + 1], '\0'};
        if (sscanf(pair, "%2x", &byte) == 1)
            out[count++] = (uint8_t)byte;
    }
    return count;
}

static void speak(char who, char *text, size_t len)
{
    uint8_t *bytes = NULL;

    switch (who) {
    case '1':
    case '2':
        handlers.on_message(handlers.arg, clients[who - '1'].state, false, (uint8_t *)text, len);
        break;
    case '3':
        bytes = malloc(len + 1);
        assert(bytes != NULL);
        handlers.on_message(handlers.arg, clients[2].state, true, bytes,
                            read_hex(bytes, text, len));
        free(bytes);
        break;
    case '4': /* the neighbour with the same serializer */
        handlers.on_message(handlers.arg, clients[2].state, false, (uint8_t *)text, len);
        break;
    case 'g':
        put_event(RT_EVENT_BROADCAST, 0)->text = strndup(text, len);
        break;
    case 'h':
        handlers.on_broadcast(handlers.arg, 1, &key, len % 2 == 0 ? NULL : "room", "e",
                              len % 3 == 0, len % 5 != 0, (uint8_t *)text, len);
        break;
    case '+':
        now_ms += 700;
        handlers.on_tick(handlers.arg, now_ms);
        break;
    case '-':
        close_clients();
        open_clients();
        break;
    default:
        break;
    }
    run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct rt_config config = {.channels_max = 10,
                                            .joins_per_10s = 1000,
                                            .broadcast_max_bytes = 1000,
                                            .queue_max_bytes = 100000,
                                            .wait_default_ms = 1000};
    struct rt_hub *hub = NULL;
    const uint8_t *at = data, *end = data + size;

    server.is_woken = false;
    if (rt_hub_new(&hub, &config, NULL, NULL, NULL) != DF_OK)
        return 0;
    rt_hub_set_server(hub, &server);
    rt_hub_handlers(hub, &handlers);
    put_event(RT_EVENT_STATE, 0);
    open_clients();
    for (int i = 0; i < LINES_MAX && at < end; i++) {
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop == NULL ? end : stop) - at);
        /* A copy of its own, so that a read past the end is noticed. */
        char *text = malloc(len + 1);
        assert(text != NULL);
        memcpy(text, at, len);
        if (len > 0)
            speak(text[0], text + 1, len - 1);
        free(text);
        at += len + 1;
    }
    close_clients();
    rt_hub_free(hub);
    while (event_first < event_end)
        rt_changes_event_free(events[event_first++]);
    event_first = event_end = 0;
    assert(blobs == 0);
    return 0;
}
