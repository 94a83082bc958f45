/* tests/unit/test_rt_hub.c - channels: joins, rows, tokens, leaving. */
#include "hub_fakes.h"

#define ONE                                                                                        \
    "{\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":"                \
    "\"chat_messages\"}],\"presence\":{\"enabled\":false}}"
#define NONE "{\"presence\":{\"enabled\":false}}"
#define SUBSCRIBED                                                                                 \
    "[\"1\",null,\"realtime:room\",\"system\",{\"extension\":\"postgres_changes\","                \
    "\"status\":\"ok\",\"message\":\"Subscribed to PostgreSQL\",\"channel\":\"room\"}]"
#define OK_ONE                                                                                     \
    "[\"1\",\"1\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\",\"response\":"                \
    "{\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":"                \
    "\"chat_messages\",\"id\":1}]}}]"
#define ROW(ids, id)                                                                               \
    "[null,null,\"realtime:room\",\"postgres_changes\",{\"ids\":[" ids "],\"data\":"               \
    "{\"schema\":\"public\",\"table\":\"chat_messages\",\"type\":\"INSERT\","                      \
    "\"commit_timestamp\":\"2026-11-22T10:00:00.123Z\",\"errors\":null,"                           \
    "\"columns\":[{\"name\": \"id\", \"type\": \"int8\"}, {\"name\": \"body\", "                   \
    "\"type\": \"text\"}],\"record\":{\"id\": " id ", \"body\": \"hello\"}}}]"
#define REFUSED(text)                                                                              \
    "[\"1\",\"1\",\"realtime:room\",\"phx_reply\",{\"status\":\"error\",\"response\""              \
    ":{\"reason\":\"" text "\"}}]"
#define SYSTEM_ERROR(extension, text)                                                              \
    "[\"1\",null,\"realtime:room\",\"system\",{\"extension\":\"" extension                         \
    "\",\"status\":\"error\",\"message\":\"" text "\",\"channel\":\"room\"}]"
#define CLOSED "[\"1\",\"1\",\"realtime:room\",\"phx_close\",{}]"
#define BROKEN "[\"1\",\"1\",\"realtime:room\",\"phx_error\",{}]"

static struct rt_hub_stats stats(void)
{
    struct rt_hub_stats out;
    rt_hub_stats_get(hub, &out);
    return out;
}

static void token(struct rt_connection *client, const char *text)
{
    char frame[256];
    (void)snprintf(frame, sizeof frame,
                   "[\"1\",\"5\",\"realtime:room\",\"access_token\",{\"access_token\":\"%s\"}]",
                   text);
    say(client, frame);
}

/* --- joining ------------------------------------------------------------------------------------
 */

static void joins_get_ids_and_rows(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    assert_string_equal(hear(client), OK_ONE);
    assert_string_equal(hear(client), SUBSCRIBED);
    assert_string_equal(hear(client), "");
    assert_int_equal(last_plan->interest_count, 1);
    assert_string_equal(last_plan->interest[0].table, "chat_messages");
    put_row("INSERT", "7");
    run();
    assert_string_equal(hear(client), ROW("1", "7"));
    assert_string_equal(hear(client), "");
    close_client(client);
    assert_int_equal(last_plan->interest_count, 0);
}

static void old_serializer_gets_objects(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_1);
    (void)state;
    say(client,
        "{\"topic\":\"realtime:room\",\"event\":\"phx_join\",\"payload\":{\"config\":" NONE "},"
        "\"ref\":\"6\",\"join_ref\":\"6\"}");
    assert_string_equal(hear(client),
                        "{\"topic\":\"realtime:room\",\"event\":\"phx_reply\",\"payload\":"
                        "{\"status\":\"ok\",\"response\":{\"postgres_changes\":[]}},"
                        "\"ref\":\"6\"}");
    assert_string_equal(hear(client), "");
    say(client, "{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"7\"}");
    assert_string_equal(hear(client), "{\"topic\":\"phoenix\",\"event\":\"phx_reply\",\"payload\":"
                                      "{\"status\":\"ok\",\"response\":{}},\"ref\":\"7\"}");
    say(client, "{\"topic\":\"realtime:room\",\"event\":\"phx_leave\",\"payload\":{},\"ref\":\"9\","
                "\"join_ref\":\"6\"}");
    assert_string_equal(hear(client),
                        "{\"topic\":\"realtime:room\",\"event\":\"phx_reply\",\"payload\":"
                        "{\"status\":\"ok\",\"response\":{}},\"ref\":\"9\"}");
    assert_string_equal(hear(client),
                        "{\"topic\":\"realtime:room\",\"event\":\"phx_close\",\"payload\":"
                        "{},\"ref\":\"6\"}");
    close_client(client);
}

static void a_reply_waits_for_the_plan_but_not_for_ever(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    hold_plans = true;
    join(client, "room", ONE);
    tick(900);
    assert_string_equal(hear(client), "");
    tick(200);
    assert_string_equal(hear(client), OK_ONE);
    assert_string_equal(hear(client), "");
    hold_plans = false;
    run();
    assert_string_equal(hear(client), SUBSCRIBED);
    close_client(client);
}

static void what_is_in_force_is_answered_at_once(void **state)
{
    struct rt_connection *a = open_client(RT_VSN_2), *b = open_client(RT_VSN_2);
    (void)state;
    join(a, "room", ONE);
    hold_plans = hold_checks = true;
    join(b, "room", ONE);
    assert_string_equal(hear(b), OK_ONE);
    assert_string_equal(hear(b), SUBSCRIBED);
    assert_int_equal(last_check.count, 1);
    close_client(a);
    close_client(b);
}

static void many_joins_ask_once(void **state)
{
    struct rt_connection *client[20];
    (void)state;
    hold_checks = true;
    for (size_t i = 0; i < 20; i++) {
        client[i] = open_client(RT_VSN_2);
        join(client[i], "room", ONE);
    }
    assert_int_equal(last_check.count, 1);
    struct rt_changes_event *event = put_event(RT_EVENT_CHECKED);
    event->token = last_check.token;
    event->is_ok = true;
    run();
    assert_int_equal(plans_published, 1);
    for (size_t i = 0; i < 20; i++) {
        assert_string_equal(hear(client[i]), OK_ONE);
        close_client(client[i]);
    }
}

static void wait_holds_the_reply(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    hold_plans = true;
    join(client, "room",
         "{\"postgres_changes\":[{\"event\":\"*\",\"table\":\"a\"}],"
         "\"postgres_changes_options\":{\"wait\":true,\"timeout\":3000}}");
    tick(2900);
    assert_string_equal(hear(client), "");
    tick(200);
    assert_string_equal(hear(client),
                        REFUSED("PostgresChangesSubscribeTimeout: Timed out after "
                                "3000ms waiting for the postgres_changes subscription"));
    assert_int_equal(stats().channels, 0);
    close_client(client);
}

static void bad_filters_are_told_after_the_reply(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room",
         "{\"postgres_changes\":[{\"event\":\"*\",\"schema\":\"public\",\"table\":\"a\","
         "\"filter\":\"x=foo.hey\"}],\"presence\":{\"enabled\":false}}");
    assert_non_null(strstr(hear(client), "\"filter\":\"x=foo.hey\",\"id\":1}]}"));
    assert_string_equal(hear(client),
                        SYSTEM_ERROR("postgres_changes", "Error parsing `filter` params: "
                                                         "[\\\"foo\\\", \\\"hey\\\"]"));
    assert_string_equal(hear(client), "");
    assert_int_equal(plans_published, 0);
    close_client(client);
}

static void checks_of_postgres_are_told_with_the_event(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    check_error = "Unable: [schema: public, table: a]";
    join(client, "room", ONE);
    assert_string_equal(hear(client), OK_ONE);
    assert_string_equal(
        hear(client),
        SYSTEM_ERROR("postgres_changes", "Unable: [event: INSERT, schema: public, table: a]"));
    hear_all(client);
    join(client, "room",
         "{\"postgres_changes\":[{\"event\":\"*\",\"table\":\"a\"}],"
         "\"postgres_changes_options\":{\"wait\":true}}");
    assert_string_equal(hear(client), CLOSED);
    assert_string_equal(hear(client), REFUSED("RealtimeDisabledForConfiguration: Unable: "
                                              "[event: *, schema: public, table: a]"));
    close_client(client);
}

static void trouble_that_passes_is_asked_about_again(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    check_error = "Too many database timeouts";
    join(client, "room", ONE);
    tick(1000);
    assert_string_equal(hear(client), OK_ONE);
    check_error = NULL;
    tick(4250);
    assert_string_equal(hear(client), SUBSCRIBED);
    close_client(client);
}

static void a_live_topic_is_joined_anew(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    hear_all(client);
    say(client, "[\"2\",\"2\",\"realtime:room\",\"phx_join\",{\"config\":" ONE "}]");
    assert_string_equal(hear(client), CLOSED);
    assert_non_null(
        strstr(hear(client), "[\"2\",\"2\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\""));
    hear_all(client);
    say(client, "[\"1\",\"3\",\"realtime:room\",\"phx_leave\",{}]"); /* of the one that is gone */
    assert_string_equal(hear(client), "");
    put_row("INSERT", "7");
    run();
    assert_string_equal(hear(client), ROW("2", "7"));
    assert_string_equal(hear(client), "");
    close_client(client);
}

static void joins_that_cannot_be(void **state)
{
    static const struct {
        const char *topic, *want;
    } rows[] = {
        {"phoenix", "unmatched topic"},
        {"realtime:", "TopicNameRequired: You must provide a topic name"},
        {"realtime:four", "ChannelRateLimitReached: Too many channels"},
    };
    struct rt_connection *client = open_client(RT_VSN_2);
    char frame[256];
    (void)state;
    join(client, "one", NONE);
    join(client, "two", NONE);
    join(client, "three", NONE);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        hear_all(client);
        (void)snprintf(frame, sizeof frame, "[\"1\",\"1\",\"%s\",\"phx_join\",{}]", rows[i].topic);
        say(client, frame);
        assert_non_null(strstr(hear(client), rows[i].want));
    }
    assert_int_equal(stats().channels, 3);
    assert_int_equal(stats().joins_refused, 3);
    close_client(client);
}

static void refusals_are_slow(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2), *gone = open_client(RT_VSN_2);
    (void)state;
    config.refuse_delay_ms = 1000;
    say(client, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"x\"}]");
    say(gone, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"x\"}]");
    close_client(gone);
    tick(900);
    assert_string_equal(hear(client), "");
    tick(200);
    assert_string_equal(hear(client),
                        REFUSED("MalformedJWT: The token provided is not a valid JWT"));
    close_client(client);
}

static void too_many_joins_end_the_connection(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    config.joins_per_10s = 5;
    for (int i = 0; i < 5; i++)
        join(client, "room", NONE);
    assert_int_equal(client->close_code, 0);
    hear_all(client);
    join(client, "room", NONE);
    assert_string_equal(hear(client), CLOSED);
    assert_string_equal(hear(client),
                        REFUSED("ClientJoinRateLimitReached: Too many joins per second"));
    assert_int_equal(client->close_code, 1001);
    close_client(client);
}

/* --- frames that fit nowhere --------------------------------------------------------------------
 */

static void strangers_are_answered(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    say(client, "[\"9\",\"1\",\"realtime:room\",\"broadcast\",{}]");
    assert_string_equal(hear(client),
                        "[\"9\",\"1\",\"realtime:room\",\"phx_reply\",{\"status\":\"error\","
                        "\"response\":{\"reason\":\"unmatched topic\"}}]");
    say(client, "[\"9\",\"2\",\"realtime:room\",\"phx_leave\",{}]");
    assert_string_equal(hear(client),
                        "[\"9\",\"2\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\","
                        "\"response\":{}}]");
    join(client, "room", NONE);
    hear_all(client);
    say(client, "[\"1\",\"3\",\"realtime:room\",\"whatever\",{}]");
    say(client, "not json");
    assert_string_equal(hear(client), "");
    assert_int_equal(stats().malformed, 1);
    close_client(client);
}

/* --- rows ---------------------------------------------------------------------------------------
 */

static void one_frame_for_a_channel(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room",
         "{\"presence\":{\"enabled\":false},\"postgres_changes\":["
         "{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":\"chat_messages\"},"
         "{\"event\":\"UPDATE\",\"schema\":\"public\",\"table\":\"chat_messages\"},"
         "{\"event\":\"*\",\"schema\":\"public\"}]}");
    hear_all(client);
    struct rt_row *row = put_row("INSERT", "7");
    row->filter_ids[0] = 1; /* in no order */
    row->filter_ids[1] = 0;
    row->filter_count = 2;
    run();
    assert_string_equal(hear(client), ROW("1,3", "7"));
    assert_string_equal(hear(client), "");
    close_client(client);
}

static void rows_go_to_those_who_may_see_them(void **state)
{
    struct rt_connection *a = open_client(RT_VSN_2), *b = open_client(RT_VSN_2);
    (void)state;
    join(a, "room", ONE);
    say(b, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"authenticated ann 60\","
           "\"config\":" ONE "}]");
    hear_all(a);
    hear_all(b);
    put_row("INSERT", "7")->claims_ids[0] = 1;
    run();
    assert_string_equal(hear(a), "");
    assert_string_equal(hear(b), ROW("1", "7"));
    put_row("UPDATE", "7");
    put_row("INSERT", "8")->filter_ids[0] = 5;
    put_row("INSERT", "8")->claims_ids[0] = 9;
    run();
    assert_string_equal(hear(a), "");
    assert_string_equal(hear(b), "");
    close_client(a);
    close_client(b);
}

static void a_frame_is_encoded_once(void **state)
{
    struct rt_connection *client[10];
    (void)state;
    for (size_t i = 0; i < 10; i++) {
        client[i] = open_client(i < 8 ? RT_VSN_2 : RT_VSN_1);
        if (i < 8)
            join(client[i], "room", ONE);
        else
            say(client[i],
                "{\"topic\":\"realtime:room\",\"event\":\"phx_join\",\"payload\":{\"config\":" ONE
                "},\"ref\":\"1\",\"join_ref\":\"1\"}");
        hear_all(client[i]);
    }
    size_t before = blobs_made;
    put_row("INSERT", "7");
    run();
    assert_int_equal(blobs_made - before, 2); /* one for each serializer */
    assert_int_equal(stats().deliveries, 10);
    for (size_t i = 0; i < 10; i++) {
        assert_non_null(strstr(hear(client[i]), "\"record\":{\"id\": 7,"));
        close_client(client[i]);
    }
}

static void select_leaves_chosen_columns(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room",
         "{\"presence\":{\"enabled\":false},\"postgres_changes\":["
         "{\"event\":\"*\",\"schema\":\"public\",\"table\":\"chat_messages\",\"select\":["
         "\"nothing\"]},"
         "{\"event\":\"*\",\"schema\":\"public\",\"table\":\"chat_messages\"}]}");
    hear_all(client);
    put_row("INSERT", "7");
    run();
    const char *frame = hear(client);
    assert_non_null(strstr(frame, "{\"ids\":[1],"));
    assert_non_null(strstr(frame, "\"columns\":[{\"name\": \"id\", \"type\": \"int8\"}],"
                                  "\"record\":{\"id\":7}}"));
    assert_string_equal(hear(client), ROW("2", "7"));
    assert_string_equal(hear(client), "");
    close_client(client);
}

static void slow_clients_are_told(void **state)
{
    struct rt_connection *slow = open_client(RT_VSN_2), *quick = open_client(RT_VSN_2);
    (void)state;
    join(slow, "room", ONE);
    join(quick, "room", ONE);
    hear_all(slow);
    hear_all(quick);
    slow->room = 500;
    put_row("INSERT", "7");
    put_row("INSERT", "8");
    put_row("INSERT", "9");
    run();
    assert_string_equal(hear(slow), ROW("1", "7"));
    assert_string_equal(hear(slow), BROKEN);
    assert_string_equal(hear(slow), "");
    assert_string_equal(hear(quick), ROW("1", "7"));
    assert_string_equal(hear(quick), ROW("1", "8"));
    assert_string_equal(hear(quick), ROW("1", "9"));
    assert_int_equal(stats().slow_channels, 1);
    assert_int_equal(stats().channels, 1);
    slow->room = 0; /* it does not even take answers */
    slow->queued_bytes = 5000;
    say(slow, "[null,\"7\",\"phoenix\",\"heartbeat\",{}]");
    assert_int_equal(slow->close_code, 1013);
    close_client(slow);
    close_client(quick);
}

static void bursts_are_given_out_in_turns(void **state)
{
    struct rt_connection *client[50];
    (void)state;
    for (size_t i = 0; i < 50; i++) {
        client[i] = open_client(RT_VSN_2);
        join(client[i], "room", ONE);
        hear_all(client[i]);
    }
    for (int i = 0; i < 200; i++)
        put_row("INSERT", "7");
    fake_server.is_woken = false;
    handlers.on_wake(handlers.arg);
    assert_int_equal(stats().deliveries, 4000); /* then the sockets have their turn */
    assert_true(fake_server.is_woken);
    run();
    assert_int_equal(stats().deliveries, 10000);
    for (size_t i = 0; i < 50; i++)
        close_client(client[i]);
}

static void failures_of_filters_are_told_and_healed(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    hear_all(client);
    struct rt_changes_event *event = put_event(RT_EVENT_FAILED);
    event->is_filter = true;
    (void)snprintf(event->error, sizeof event->error, "canceled");
    run();
    assert_string_equal(hear(client),
                        SYSTEM_ERROR("postgres_changes", "Unable to deliver changes of "
                                                         "public.chat_messages: canceled"));
    tick(59000);
    assert_string_equal(hear(client), "");
    tick(2000);
    assert_string_equal(hear(client), BROKEN);
    join(client, "room", ONE);
    hear_all(client);
    put_row("INSERT", "7");
    run();
    assert_string_equal(hear(client), ROW("2", "7"));
    close_client(client);
}

/* --- tokens -------------------------------------------------------------------------------------
 */

static void newer_tokens_move_the_channel(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    hear_all(client);
    token(client, "authenticated ann 60");
    assert_string_equal(hear(client), SUBSCRIBED);
    assert_string_equal(last_check.role, "authenticated");
    put_row("INSERT", "7")->claims_ids[0] = 1;
    put_row("INSERT", "8");
    run();
    assert_string_equal(hear(client), ROW("1", "7"));
    assert_string_equal(hear(client), "");
    token(client, "authenticated ann 60"); /* again, as old clients do */
    say(client, "[\"1\",\"5\",\"realtime:room\",\"access_token\",{\"access_token\":null}]");
    token(client, "sb_publishable_x");
    assert_string_equal(hear(client), "");
    size_t plans = plans_published;
    token(client, "authenticated ann 90"); /* longer, but the same person */
    assert_string_equal(hear(client), SUBSCRIBED);
    assert_int_equal(plans_published, plans);
    close_client(client);
}

static void rows_come_by_the_old_token_until_the_new_is_in_force(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    hear_all(client);
    hold_plans = true;
    token(client, "authenticated ann 60");
    put_row("INSERT", "7");
    run();
    assert_string_equal(hear(client), ROW("1", "7"));
    hold_plans = false;
    run();
    assert_string_equal(hear(client), SUBSCRIBED);
    close_client(client);
}

static void forged_tokens_end_the_channel(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    join(client, "room", ONE);
    hear_all(client);
    token(client, "forged");
    assert_string_equal(hear(client),
                        SYSTEM_ERROR("system", "The token provided is not a valid JWT"));
    assert_string_equal(hear(client), CLOSED);
    assert_int_equal(stats().channels, 0);
    close_client(client);
}

static void nothing_comes_after_expiry(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    say(client, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"anon ann 10\","
                "\"config\":" ONE "}]");
    hear_all(client);
    put_row("INSERT", "7");
    run();
    assert_string_equal(hear(client), ROW("1", "7"));
    tick(11000);
    assert_string_equal(hear(client), SYSTEM_ERROR("system", "Token has expired 1 seconds ago"));
    put_row("INSERT", "8");
    run();
    assert_string_equal(hear(client), "");
    tick(23000);
    assert_string_equal(hear(client), "");
    tick(2000);
    assert_string_equal(hear(client), BROKEN);
    assert_int_equal(stats().expired, 1);
    close_client(client);
}

static void a_fresh_token_in_time_goes_on(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    say(client, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"anon ann 10\","
                "\"config\":" ONE "}]");
    hear_all(client);
    tick(11000);
    put_row("INSERT", "7"); /* left out */
    run();
    hear_all(client);
    token(client, "anon ann 100");
    assert_string_equal(hear(client), SUBSCRIBED);
    put_row("INSERT", "8");
    run();
    assert_string_equal(hear(client), ROW("1", "8"));
    tick(30000);
    assert_string_equal(hear(client), "");
    close_client(client);
}

/* --- private channels ---------------------------------------------------------------------------
 */

#define PRIVATE "{\"private\":true,\"presence\":{\"enabled\":false}}"

static void policies_decide_on_private_channels(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    policy_read = false;
    join(client, "room", PRIVATE);
    assert_string_equal(last_policy.what, "room");
    assert_string_equal(hear(client),
                        REFUSED("Unauthorized: You do not have permissions to read from "
                                "this Channel topic: room"));
    policy_read = true;
    join(client, "room", PRIVATE);
    assert_non_null(strstr(hear(client), "\"status\":\"ok\""));
    policy_read = false;
    token(client, "authenticated ann 60");
    assert_string_equal(hear(client),
                        SYSTEM_ERROR("system", "You no longer have permission to read from "
                                               "this Channel topic: room"));
    assert_string_equal(hear(client), CLOSED);
    policy_error = "UnableToConnectToProject: away";
    join(client, "room", PRIVATE);
    assert_string_equal(hear(client), REFUSED("UnableToConnectToProject: away"));
    close_client(client);
}

static void private_channels_can_be_refused(void **state)
{
    struct rt_connection *client = open_client(RT_VSN_2);
    (void)state;
    config.private_channels = RT_PRIVATE_REFUSE;
    join(client, "room", PRIVATE);
    assert_string_equal(hear(client),
                        REFUSED("Unauthorized: You do not have permissions to read from "
                                "this Channel topic: room"));
    assert_int_equal(last_policy.count, 0);
    close_client(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_hub, tear_down_hub)
    const struct CMUnitTest tests[] = {
        TEST(joins_get_ids_and_rows),
        TEST(old_serializer_gets_objects),
        TEST(a_reply_waits_for_the_plan_but_not_for_ever),
        TEST(what_is_in_force_is_answered_at_once),
        TEST(many_joins_ask_once),
        TEST(wait_holds_the_reply),
        TEST(bad_filters_are_told_after_the_reply),
        TEST(checks_of_postgres_are_told_with_the_event),
        TEST(trouble_that_passes_is_asked_about_again),
        TEST(a_live_topic_is_joined_anew),
        TEST(joins_that_cannot_be),
        TEST(refusals_are_slow),
        TEST(too_many_joins_end_the_connection),
        TEST(strangers_are_answered),
        TEST(one_frame_for_a_channel),
        TEST(rows_go_to_those_who_may_see_them),
        TEST(a_frame_is_encoded_once),
        TEST(select_leaves_chosen_columns),
        TEST(slow_clients_are_told),
        TEST(bursts_are_given_out_in_turns),
        TEST(failures_of_filters_are_told_and_healed),
        TEST(newer_tokens_move_the_channel),
        TEST(rows_come_by_the_old_token_until_the_new_is_in_force),
        TEST(forged_tokens_end_the_channel),
        TEST(nothing_comes_after_expiry),
        TEST(a_fresh_token_in_time_goes_on),
        TEST(policies_decide_on_private_channels),
        TEST(private_channels_can_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
