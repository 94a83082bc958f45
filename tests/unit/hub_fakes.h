/* tests/unit/hub_fakes.h - sockets, database and clock of the hub's tests: what the hub sends is kept as
 * text, what it asks is answered by the test. Include it once, in the test's .c file. */
#ifndef TESTS_UNIT_HUB_FAKES_H
#define TESTS_UNIT_HUB_FAKES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/hub.h"
#include "shared/clock.h"

/* --- the clock ---------------------------------------------------------------------------------- */

static int64_t now_ms = 1000000;
static const int64_t wall_minus_mono_ms = 1790000000000;

int64_t df_clock_mono_ns(void)
{
    return now_ms * 1000000;
}

int64_t df_clock_mono_ms(void)
{
    return now_ms;
}

int64_t df_clock_wall_ms(void)
{
    return now_ms + wall_minus_mono_ms;
}

/* --- sockets ------------------------------------------------------------------------------------ */

struct rt_blob {
    int refs;
    bool is_binary;
    size_t len;
    char bytes[];
};

struct rt_connection {
    struct rt_blob *sent[4096];
    size_t count, seen;
    size_t queued_bytes, room; /* queued: since the test last let it read */
    int close_code;
    void *state;
};

struct rt_server {
    bool is_woken;
    uint64_t replied;
    int status;
};

static struct rt_server fake_server;
static size_t blobs_alive, blobs_made;

struct rt_blob *rt_blob_new(const void *bytes, size_t len, bool is_binary)
{
    struct rt_blob *blob = malloc(sizeof *blob + len + 1);
    assert_non_null(blob);
    blob->refs = 1;
    blob->is_binary = is_binary;
    blob->len = len;
    memcpy(blob->bytes, bytes, len);
    blob->bytes[len] = '\0';
    blobs_alive++;
    blobs_made++;
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
    blobs_alive--;
    free(blob);
}

bool rt_connection_send(struct rt_connection *connection, struct rt_blob *blob, bool is_control)
{
    size_t room = connection->room + (is_control ? 2000 : 0);

    if (connection->queued_bytes + blob->len > room)
        return false;
    connection->queued_bytes += blob->len;
    assert_true(connection->count < sizeof connection->sent / sizeof connection->sent[0]);
    connection->sent[connection->count++] = rt_blob_keep(blob);
    return true;
}

void rt_connection_close(struct rt_connection *connection, int code, const char *reason)
{
    (void)reason;
    connection->close_code = code;
}

size_t rt_connection_queued_bytes(const struct rt_connection *connection)
{
    return connection->queued_bytes;
}

void rt_server_wake(struct rt_server *server)
{
    server->is_woken = true;
}

void rt_server_reply_http(struct rt_server *server, uint64_t request, int status,
                          const char *json_or_empty)
{
    (void)json_or_empty;
    server->replied = request;
    server->status = status;
}

/* --- tokens: "<role> <sub> <seconds left>" ------------------------------------------------------ */

bool rt_access_check(struct rt_access *access, const char *token, size_t token_len,
                     int64_t at_s, struct rt_claims *claims, char *reason, size_t reason_size)
{
    char role[64] = "", sub[64] = "", json[256];
    long long left = 0;

    (void)access;
    (void)token_len;
    *claims = (struct rt_claims){0};
    if (sscanf(token, "%63s %63s %lld", role, sub, &left) != 3) {
        (void)snprintf(reason, reason_size, "MalformedJWT: The token provided is not a valid JWT");
        return false;
    }
    if (left <= 0) {
        (void)snprintf(reason, reason_size, "InvalidJWTToken: Token has expired %lld seconds ago",
                       -left);
        return false;
    }
    (void)snprintf(json, sizeof json, "{\"role\":\"%s\",\"sub\":\"%s\"}", role, sub);
    memcpy(claims->role, role, sizeof claims->role);
    memcpy(claims->sub, sub, sizeof sub);
    claims->expires_at_s = at_s + left;
    claims->json = strdup(json);
    return claims->json != NULL;
}

void rt_claims_release(struct rt_claims *claims)
{
    free(claims->json);
    *claims = (struct rt_claims){0};
}

/* --- the database ------------------------------------------------------------------------------- */

struct ask { /* the last of its kind */
    uint64_t token;
    char role[64], what[512], more[128];
    uint64_t version;
    size_t count;
};

static struct ask last_check, last_policy, last_catch_up, last_cancel;
static struct rt_spot last_spot; /* of last_catch_up */
static struct rt_plan *last_plan;
static size_t plans_published;
static char *sent_text[64]; /* to other gateways */
static size_t sent_text_count;
static struct rt_changes_event *event_first, *event_last;
static bool hold_checks, hold_plans; /* the database is slow, or away */
static const char *check_error, *policy_error;
static bool policy_read = true, policy_write = true;

void rt_changes_event_free(struct rt_changes_event *event)
{
    for (size_t i = 0; event != NULL && i < event->row_count; i++) {
        free(event->row[i].id);
        free(event->row[i].columns);
        free(event->row[i].record);
        free(event->row[i].old_record);
        free(event->row[i].filter_ids);
        free(event->row[i].claims_ids);
    }
    if (event != NULL) {
        free(event->row);
        free(event->text);
    }
    free(event);
}

static struct rt_changes_event *put_event(enum rt_changes_event_type type)
{
    struct rt_changes_event *event = calloc(1, sizeof *event);
    assert_non_null(event);
    event->type = type;
    if (event_first == NULL)
        event_first = event;
    else
        event_last->next = event;
    event_last = event;
    fake_server.is_woken = true;
    return event;
}

struct rt_changes_event *rt_changes_take(struct rt_changes *changes)
{
    struct rt_changes_event *event = event_first;
    (void)changes;
    if (event != NULL)
        event_first = event->next;
    return event;
}

void rt_changes_publish(struct rt_changes *changes, struct rt_plan *plan)
{
    (void)changes;
    rt_plan_free(last_plan);
    last_plan = plan;
    plans_published++;
}

static void note(struct ask *ask, uint64_t token, const char *role, const char *what,
                 const char *more)
{
    ask->token = token;
    (void)snprintf(ask->role, sizeof ask->role, "%s", role);
    (void)snprintf(ask->what, sizeof ask->what, "%s", what);
    (void)snprintf(ask->more, sizeof ask->more, "%s", more);
    ask->count++;
}

void rt_changes_check(struct rt_changes *changes, uint64_t token, const char *role,
                      const char *schema, const char *table, const char *filter_json,
                      const char *select_json)
{
    (void)changes;
    (void)schema;
    (void)table;
    (void)select_json;
    note(&last_check, token, role, filter_json, table);
    if (hold_checks)
        return;
    struct rt_changes_event *event = put_event(RT_EVENT_CHECKED);
    event->token = token;
    event->is_ok = check_error == NULL;
    (void)snprintf(event->error, sizeof event->error, "%s", check_error == NULL ? "" : check_error);
}

void rt_changes_policy(struct rt_changes *changes, uint64_t token, const char *claims_json,
                       const char *topic, const char *extension)
{
    (void)changes;
    note(&last_policy, token, claims_json, topic, extension);
    struct rt_changes_event *event = put_event(RT_EVENT_POLICY);
    event->token = token;
    event->is_ok = policy_error == NULL;
    event->can_read = policy_read;
    event->can_write = policy_write;
    (void)snprintf(event->error, sizeof event->error, "%s",
                   policy_error == NULL ? "" : policy_error);
}

void rt_changes_catch_up(struct rt_changes *changes, uint64_t token, const char *schema,
                         const char *table, unsigned events, const char *filter_json,
                         const char *session, const char *claims_json, const char *x_after,
                         const struct rt_spot *spot, uint64_t until_version)
{
    (void)changes;
    (void)schema;
    (void)table;
    (void)events;
    (void)filter_json;
    (void)session;
    last_spot = *spot;
    note(&last_catch_up, token, claims_json, x_after, "");
    last_catch_up.version = until_version;
}

void rt_changes_cancel(struct rt_changes *changes, uint64_t token)
{
    (void)changes;
    note(&last_cancel, token, "", "", "");
}

void rt_changes_send(struct rt_changes *changes, const char *text, size_t text_len)
{
    (void)changes;
    assert_true(sent_text_count < sizeof sent_text / sizeof sent_text[0]);
    sent_text[sent_text_count++] = strndup(text, text_len);
}

void rt_changes_stats_get(struct rt_changes *changes, struct rt_changes_stats *out)
{
    (void)changes;
    *out = (struct rt_changes_stats){.is_up = true};
}

/* --- a hub with its clients --------------------------------------------------------------------- */

static struct rt_config config;
static struct rt_hub *hub;
static struct rt_server_handlers handlers;
static struct rt_claims key_claims;

static void forget_texts(void)
{
    while (sent_text_count > 0)
        free(sent_text[--sent_text_count]);
}

static int set_up_hub(void **state)
{
    (void)state;
    config = (struct rt_config){.channels_max = 3,
                                .joins_per_10s = 100,
                                .messages_per_s = 100,
                                .presence_per_s = 20,
                                .broadcast_max_bytes = 1000,
                                .queue_max_bytes = 100000,
                                .expiry_grace_ms = 25000,
                                .wait_default_ms = 15000,
                                .refuse_delay_ms = 0};
    key_claims = (struct rt_claims){.role = "anon", .expires_at_s = INT64_MAX};
    key_claims.json = strdup("{\"role\":\"anon\"}");
    fake_server = (struct rt_server){0};
    last_check = last_policy = last_catch_up = last_cancel = (struct ask){0};
    plans_published = 0;
    hold_checks = hold_plans = false;
    check_error = policy_error = NULL;
    policy_read = policy_write = true;
    assert_int_equal(rt_hub_new(&hub, &config, NULL, NULL, NULL), DF_OK);
    rt_hub_set_server(hub, &fake_server);
    rt_hub_handlers(hub, &handlers);
    return 0;
}

static int tear_down_hub(void **state)
{
    struct rt_changes_event *event = NULL;

    (void)state;
    rt_hub_free(hub);
    while ((event = rt_changes_take(NULL)) != NULL)
        rt_changes_event_free(event);
    rt_plan_free(last_plan);
    last_plan = NULL;
    forget_texts();
    rt_claims_release(&key_claims);
    assert_int_equal(blobs_alive, 0);
    return 0;
}

/* Rounds of the loop until nothing is left to do; a published plan is confirmed. */
static void run(void)
{
    static uint64_t confirmed;

    if (plans_published == 0)
        confirmed = 0;
    for (;;) {
        if (last_plan != NULL && last_plan->version > confirmed && !hold_plans) {
            confirmed = last_plan->version;
            put_event(RT_EVENT_PLAN)->plan_version = confirmed;
        }
        if (!fake_server.is_woken)
            return;
        fake_server.is_woken = false;
        handlers.on_wake(handlers.arg);
    }
}

static void tick(int64_t later_ms)
{
    now_ms += later_ms;
    handlers.on_tick(handlers.arg, now_ms);
    run();
}

static struct rt_connection *open_client(enum rt_vsn vsn)
{
    struct rt_connection *client = calloc(1, sizeof *client);
    assert_non_null(client);
    client->room = 1 << 20;
    client->state = handlers.on_open(handlers.arg, client, vsn, &key_claims);
    assert_non_null(client->state);
    return client;
}

static void close_client(struct rt_connection *client)
{
    handlers.on_close(handlers.arg, client->state);
    for (size_t i = 0; i < client->count; i++)
        rt_blob_drop(client->sent[i]);
    free(client);
    run();
}

/* A frame arrives, and all that follows from it. */
static void say(struct rt_connection *client, const char *text)
{
    handlers.on_message(handlers.arg, client->state, false, (const uint8_t *)text, strlen(text));
    run();
}

/* The next thing that the client got; "" when there is nothing. */
static const char *hear(struct rt_connection *client)
{
    return client->seen == client->count ? "" : client->sent[client->seen++]->bytes;
}

static void hear_all(struct rt_connection *client)
{
    client->seen = client->count;
    client->queued_bytes = 0;
}

/* Joins with a config and hears the answers. */
static void join(struct rt_connection *client, const char *topic, const char *settings)
{
    char frame[1024];
    (void)snprintf(frame, sizeof frame, "[\"1\",\"1\",\"realtime:%s\",\"phx_join\",{\"config\":%s}]",
                   topic, settings);
    say(client, frame);
}

/* A row that passes filter 0 for claim set 0; tests change what they need. */
static inline struct rt_row *put_row(const char *op, const char *id)
{
    struct rt_changes_event *event = put_event(RT_EVENT_CHANGES);
    char record[128];

    (void)snprintf(event->schema, sizeof event->schema, "public");
    (void)snprintf(event->table, sizeof event->table, "chat_messages");
    (void)snprintf(event->op, sizeof event->op, "%s", op);
    (void)snprintf(event->commit_timestamp, sizeof event->commit_timestamp,
                   "2026-11-22T10:00:00.123Z");
    event->cut = 7;
    event->seq = atoi(id);
    event->row = calloc(1, sizeof *event->row);
    event->row_count = 1;
    assert_non_null(event->row);
    struct rt_row *row = event->row;
    (void)snprintf(record, sizeof record, "{\"id\": %s, \"body\": \"hello\"}", id);
    (void)snprintf(row->role, sizeof row->role, "anon");
    row->id = strdup(id);
    row->n = 1;
    row->columns = strdup("[{\"name\": \"id\", \"type\": \"int8\"}, "
                          "{\"name\": \"body\", \"type\": \"text\"}]");
    row->record = strcmp(op, "DELETE") == 0 ? NULL : strdup(record);
    (void)snprintf(record, sizeof record, "{\"id\": %s}", id);
    row->old_record = strcmp(op, "INSERT") == 0 ? NULL : strdup(record);
    row->filter_ids = calloc(4, sizeof *row->filter_ids);
    row->filter_count = 1;
    row->claims_ids = calloc(4, sizeof *row->claims_ids);
    row->claims_count = 1;
    assert_true(row->filter_ids != NULL && row->claims_ids != NULL);
    return row;
}

#endif
