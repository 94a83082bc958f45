/* tests/unit/test_rt_hub_people.c - broadcast and presence, here and with other gateways. */
#include "hub_fakes.h"

#define CAST        "{\"broadcast\":{\"ack\":false,\"self\":false},\"presence\":{\"enabled\":false}}"
#define ACK         "{\"broadcast\":{\"ack\":true,\"self\":true},\"presence\":{\"enabled\":false}}"
#define PEOPLE(key) "{\"presence\":{\"key\":\"" key "\",\"enabled\":true}}"
#define TYPING      "{\"type\":\"broadcast\",\"event\":\"typing\",\"payload\":{\"u\":1}}"
#define ADDRESS     "0190d2b4-0000-7000-8000-000000000001" /* another gateway */
#define TRACK(n, ref)                                                                              \
    "{\"k\":\"track\",\"from\":\"" ADDRESS "\",\"n\":" n ",\"topic\":\"realtime:room\","           \
    "\"private\":false,\"source\":\"" ADDRESS "/1/1\",\"key\":\"eve\",\"ref\":\"" ref              \
    "\",\"payload\":{\"a\":1}}"

static struct rt_connection *join_as(enum rt_vsn vsn, const char *settings)
{
    struct rt_connection *client = open_client(vsn);
    char frame[512];
    if (vsn == RT_VSN_2) {
        join(client, "room", settings);
    } else {
        (void)snprintf(
            frame, sizeof frame,
            "{\"topic\":\"realtime:room\",\"event\":\"phx_join\",\"payload\":{\"config\":%s},"
            "\"ref\":\"1\",\"join_ref\":\"1\"}",
            settings);
        say(client, frame);
    }
    hear_all(client);
    return client;
}

static void push_binary(struct rt_connection *client, uint8_t encoding, const char *payload,
                        size_t len)
{
    uint8_t frame[256] = {3, 1, 1, 13, 6, 0, encoding};
    assert_true(len < 200);
    memcpy(frame + 7, "12realtime:roomtyping", 21);
    memcpy(frame + 28, payload, len);
    handlers.on_message(handlers.arg, client->state, true, frame, 28 + len);
    run();
}

static void from_gateway(const char *text)
{
    put_event(RT_EVENT_BROADCAST)->text = strdup(text);
    run();
}

static const char *sent_last(void)
{
    return sent_text_count == 0 ? "" : sent_text[sent_text_count - 1];
}

/* --- broadcast ----------------------------------------------------------------------------------
 */

static void text_goes_to_the_others(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, CAST), *b = join_as(RT_VSN_2, CAST),
                         *c = join_as(RT_VSN_1, CAST);
    (void)state;
    say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "");
    assert_string_equal(hear(b), "[null,null,\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(c),
                        "{\"topic\":\"realtime:room\",\"event\":\"broadcast\",\"payload\":" TYPING
                        ",\"ref\":null}");
    assert_int_equal(sent_text_count, 0); /* no other gateway is known */
    close_client(a);
    close_client(b);
    close_client(c);
}

static void self_and_ack(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, ACK);
    char big[1300];
    (void)state;
    say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "[null,null,\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "[\"1\",\"2\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\","
                                 "\"response\":{}}]");
    (void)snprintf(big, sizeof big,
                   "[\"1\",\"3\",\"realtime:room\",\"broadcast\",{\"payload\":\"%01000d\"}]", 1);
    say(a, big);
    assert_string_equal(hear(a),
                        "[\"1\",\"3\",\"realtime:room\",\"phx_reply\",{\"status\":\"error\","
                        "\"response\":{\"error\":\"payload_size_exceeded\"}}]");
    assert_string_equal(hear(a), "");
    close_client(a);
}

static void binary_is_shown_as_each_can_read_it(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, CAST), *b = join_as(RT_VSN_2, CAST),
                         *c = join_as(RT_VSN_1, CAST);
    (void)state;
    push_binary(a, 1, "{\"u\":0.7}", 9);
    assert_true(b->sent[b->count - 1]->is_binary);
    assert_memory_equal(hear(b), "\4\15\6\0\1realtime:roomtyping{\"u\":0.7}", 33);
    assert_string_equal(hear(c),
                        "{\"topic\":\"realtime:room\",\"event\":\"broadcast\",\"payload\":"
                        "{\"type\":\"broadcast\",\"event\":\"typing\",\"payload\":{\"u\":0.7}},"
                        "\"ref\":null}");
    push_binary(a, 0, "\xff\0", 2);
    assert_memory_equal(hear(b), "\4\15\6\0\0realtime:roomtyping\xff\0", 26);
    assert_string_equal(hear(c), "");
    push_binary(a, 1, "{\"u\":", 5); /* would deafen whoever decodes it */
    assert_string_equal(hear(b), "");
    push_binary(a, 1, "\"\xff\"", 3);
    assert_memory_equal(hear(b), "\4\15\6\0\1realtime:roomtyping\"\xef\xbf\xbd\"", 29);
    assert_string_equal(
        hear(c), "{\"topic\":\"realtime:room\",\"event\":\"broadcast\",\"payload\":"
                 "{\"type\":\"broadcast\",\"event\":\"typing\",\"payload\":\"\xef\xbf\xbd\"},"
                 "\"ref\":null}");
    close_client(a);
    close_client(b);
    close_client(c);
}

static void writing_needs_permission(void **state)
{
    struct rt_connection *a = NULL, *b = NULL, *other = NULL;
    (void)state;
    b = join_as(RT_VSN_2, "{\"private\":true,\"presence\":{\"enabled\":false}}");
    other = join_as(RT_VSN_2, CAST); /* public, of the same name */
    policy_write = false;
    a = join_as(RT_VSN_2,
                "{\"private\":true,\"broadcast\":{\"ack\":true},\"presence\":{\"enabled\":false}}");
    say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "");
    assert_string_equal(hear(b), "");
    say(b, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "[null,null,\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(other), "");
    close_client(a);
    close_client(b);
    close_client(other);
}

static void floods_end_the_channel(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, CAST), *b = join_as(RT_VSN_2, CAST);
    (void)state;
    config.messages_per_s = 10;
    for (int i = 0; i < 50; i++)
        say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_string_equal(hear(a), "");
    say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_non_null(strstr(hear(a), "Too many messages per second"));
    assert_string_equal(hear(a), "[\"1\",\"1\",\"realtime:room\",\"phx_close\",{}]");
    for (int i = 0; i < 500; i++)
        say(a, "[null,\"2\",\"phoenix\",\"heartbeat\",{}]");
    assert_int_equal(a->close_code, 1008);
    assert_int_equal(b->close_code, 0);
    close_client(a);
    close_client(b);
}

static void by_http(void **state)
{
    static const struct {
        const char *body;
        int status;
    } rows[] = {
        {"{\"messages\":[{\"topic\":\"room\",\"event\":\"e\",\"payload\":{\"a\":1}}]}", 202},
        {"{\"messages\":[{\"topic\":\"room\",\"event\":\"e\",\"payload\":{\"a\":1},\"private\":"
         "true}]}",
         202},
        {"{\"messages\":[]}", 422},
        {"{\"messages\":[{\"topic\":\"\",\"event\":\"e\",\"payload\":{}}]}", 422},
        {"{\"messages\":[{\"topic\":\"room\",\"event\":\"e\",\"payload\":{}},{\"topic\":\"room\"}]"
         "}",
         422},
        {"{\"messages\":[{\"topic\":\"room\",\"event\":\"e\"}]}", 422},
        {"[]", 422},
        {"", 422},
    };
    struct rt_connection *client = join_as(RT_VSN_2, CAST);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        handlers.on_broadcast(handlers.arg, 100 + i, &key_claims, NULL, NULL, false, true,
                              (const uint8_t *)rows[i].body, strlen(rows[i].body));
        run();
        assert_int_equal(fake_server.replied, 100 + i);
        assert_int_equal(fake_server.status, rows[i].status);
    }
    assert_int_equal(last_policy.count, 1);
    assert_string_equal(hear(client),
                        "[null,null,\"realtime:room\",\"broadcast\",{\"type\":\"broadcast\","
                        "\"event\":\"e\",\"payload\":{\"a\":1}}]");
    assert_string_equal(hear(client), "");
    handlers.on_broadcast(handlers.arg, 1, &key_claims, "room", "e", false, true,
                          (const uint8_t *)"{\"a\":0.7}", 9);
    assert_non_null(strstr(hear(client), "\"payload\":{\"a\":0.7}}]"));
    handlers.on_broadcast(handlers.arg, 1, &key_claims, "room", "e", false, false,
                          (const uint8_t *)"\1\2", 2);
    assert_memory_equal(hear(client), "\4\15\1\0\0realtime:roome\1\2", 21);
    close_client(client);
}

static void private_posts_ask_the_policies(void **state)
{
    struct rt_connection *client =
        join_as(RT_VSN_2, "{\"private\":true,\"presence\":{\"enabled\":false}}");
    (void)state;
    handlers.on_broadcast(handlers.arg, 1, &key_claims, "room", "e", true, true,
                          (const uint8_t *)"{}", 2);
    run();
    assert_non_null(strstr(hear(client), "\"event\":\"e\""));
    policy_write = false;
    handlers.on_broadcast(handlers.arg, 1, &key_claims, "room", "e", true, true,
                          (const uint8_t *)"{}", 2);
    run();
    assert_int_equal(fake_server.status, 202);
    assert_string_equal(hear(client), "");
    close_client(client);
}

static void from_sql(void **state)
{
    struct rt_connection *client = join_as(RT_VSN_2, CAST);
    (void)state;
    from_gateway(
        "{\"sql\":true,\"id\":\"i\",\"topic\":\"room\",\"event\":\"e\",\"payload\":{\"a\":1},"
        "\"private\":false}");
    assert_string_equal(hear(client),
                        "[null,null,\"realtime:room\",\"broadcast\",{\"type\":\"broadcast\","
                        "\"event\":\"e\",\"payload\":{\"a\":1},\"meta\":{\"id\":\"i\"}}]");
    from_gateway("{\"sql\":true,\"id\":\"i\",\"topic\":\"room\",\"event\":\"e\",\"payload\":{},"
                 "\"private\":true}");
    assert_string_equal(hear(client), "");
    close_client(client);
}

/* --- presence -----------------------------------------------------------------------------------
 */

static void track_and_untrack(void **state)
{
    struct rt_connection *a = open_client(RT_VSN_2), *b = open_client(RT_VSN_2);
    (void)state;
    join(a, "room", PEOPLE("ann"));
    assert_non_null(strstr(hear(a), "phx_reply"));
    assert_string_equal(hear(a), "[\"1\",null,\"realtime:room\",\"presence_state\",{}]");
    say(a, "[\"1\",\"2\",\"realtime:room\",\"presence\",{\"type\":\"presence\",\"event\":\"track\","
           "\"payload\":{\"mood\":1}}]");
    const char *diff = hear(a);
    assert_non_null(strstr(diff,
                           "[null,null,\"realtime:room\",\"presence_diff\",{\"joins\":{\"ann\":"
                           "{\"metas\":[{\"phx_ref\":\""));
    assert_non_null(strstr(diff, "\"mood\":1}]}},\"leaves\":{}}]"));
    assert_string_equal(hear(a), "[\"1\",\"2\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\","
                                 "\"response\":{}}]");
    join(b, "room", PEOPLE(""));
    assert_non_null(strstr(hear(b), "phx_reply"));
    assert_non_null(strstr(hear(b), "presence_state\",{\"ann\":{\"metas\":[{\"phx_ref\":"));
    say(a, "[\"1\",\"3\",\"realtime:room\",\"presence\",{\"event\":\"untrack\"}]");
    assert_non_null(strstr(hear(b), "\"joins\":{},\"leaves\":{\"ann\":"));
    hear_all(a);
    say(b, "[\"1\",\"2\",\"realtime:room\",\"presence\",{\"event\":\"track\"}]");
    assert_non_null(strstr(hear(a), "\"joins\":{\"")); /* under a key of its own */
    close_client(b);
    assert_non_null(strstr(hear(a), "\"joins\":{},\"leaves\":{\""));
    assert_string_equal(hear(a), "");
    close_client(a);
}

static void tracking_has_limits(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, PEOPLE("ann"));
    (void)state;
    config.presence_per_s = 1;
    for (int i = 0; i < 6; i++) {
        hear_all(a);
        say(a, "[\"1\",\"2\",\"realtime:room\",\"presence\",{\"event\":\"track\"}]");
    }
    assert_non_null(strstr(hear(a), "Too many presence messages per second"));
    assert_string_equal(hear(a), "[\"1\",\"1\",\"realtime:room\",\"phx_close\",{}]");
    close_client(a);
}

static void old_clients_hear_of_people(void **state)
{
    struct rt_connection *a = open_client(RT_VSN_2);
    (void)state;
    join(a, "room", "{\"presence\":{\"key\":\"\"}}"); /* before 2.15 nobody said enabled */
    assert_non_null(strstr(hear(a), "phx_reply"));
    assert_non_null(strstr(hear(a), "presence_state"));
    close_client(a);
}

/* --- other gateways -----------------------------------------------------------------------------
 */

static void gateways_greet(void **state)
{
    (void)state;
    put_event(RT_EVENT_STATE)->is_up = true;
    run();
    assert_int_equal(sent_text_count, 1);
    assert_non_null(strstr(sent_last(), "{\"k\":\"hello\",\"from\":\""));
    assert_non_null(strstr(sent_last(), "\"n\":0,\"new\":true}"));
    tick(9000);
    assert_int_equal(sent_text_count, 1);
    tick(1500);
    assert_int_equal(sent_text_count, 2);
    assert_non_null(strstr(sent_last(), "\"new\":false}"));
}

static void broadcasts_reach_other_gateways(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, CAST);
    (void)state;
    from_gateway("{\"k\":\"hello\",\"from\":\"" ADDRESS "\",\"n\":0,\"new\":false}");
    forget_texts();
    say(a, "[\"1\",\"2\",\"realtime:room\",\"broadcast\"," TYPING "]");
    assert_non_null(strstr(sent_last(), "{\"k\":\"cast\",\"from\":\""));
    assert_non_null(strstr(
        sent_last(), ",\"topic\":\"realtime:room\",\"private\":false,\"payload\":" TYPING "}"));
    push_binary(a, 0, "\xff\xfe", 2);
    assert_non_null(
        strstr(sent_last(), "\"event\":\"typing\",\"json\":false,\"base64\":\"//4=\"}"));
    push_binary(a, 1, "[0.7]", 5);
    assert_non_null(strstr(sent_last(), "\"event\":\"typing\",\"json\":true,\"data\":[0.7]}"));
    close_client(a);
}

static void broadcasts_come_from_other_gateways(void **state)
{
#define FROM                                                                                       \
    "{\"k\":\"cast\",\"from\":\"" ADDRESS "\",\"topic\":\"realtime:room\",\"private\":false,"
    struct rt_connection *a = join_as(RT_VSN_2, CAST);
    (void)state;
    from_gateway(FROM "\"payload\":" TYPING "}");
    assert_string_equal(hear(a), "[null,null,\"realtime:room\",\"broadcast\"," TYPING "]");
    from_gateway(FROM "\"event\":\"typing\",\"json\":false,\"base64\":\"//4=\"}");
    assert_memory_equal(hear(a), "\4\15\6\0\0realtime:roomtyping\xff\xfe", 26);
    from_gateway(FROM "\"event\":\"typing\",\"json\":true,\"data\":[1]}");
    assert_memory_equal(hear(a), "\4\15\6\0\1realtime:roomtyping[1]", 27);
    from_gateway(FROM "\"payload\":1}");
    from_gateway(FROM "\"payload\":{},\"more\":1}");
    from_gateway(FROM "\"event\":\"typing\",\"json\":false,\"base64\":\"//4\"}");
    from_gateway("{\"k\":\"cast\",\"from\":\"me\",\"topic\":\"realtime:room\",\"private\":false,"
                 "\"payload\":{}}");
    from_gateway("nonsense");
    assert_string_equal(hear(a), "");
    close_client(a);
}

static void people_of_other_gateways(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, PEOPLE("ann"));
    (void)state;
    put_event(RT_EVENT_STATE)->is_up = true;
    run();
    from_gateway(TRACK("1", "r1"));
    assert_non_null(
        strstr(hear(a), "{\"joins\":{\"eve\":{\"metas\":[{\"phx_ref\":\"r1\",\"a\":1}]}}"));
    from_gateway("{\"k\":\"untrack\",\"from\":\"" ADDRESS "\",\"n\":2,\"topic\":\"realtime:room\","
                 "\"private\":false,\"source\":\"" ADDRESS "/1/1\"}");
    assert_non_null(strstr(hear(a), "\"leaves\":{\"eve\":"));
    from_gateway(TRACK("3", "r3"));
    hear_all(a);
    tick(29000);
    assert_string_equal(hear(a), "");
    tick(2000); /* it was not heard for too long */
    assert_non_null(strstr(hear(a), "\"leaves\":{\"eve\":"));
    close_client(a);
}

static void only_a_gateways_own_people(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, PEOPLE("ann"));
    (void)state;
    from_gateway(
        "{\"k\":\"track\",\"from\":\"0190d2b4-0000-7000-8000-000000000002\",\"n\":1,\"topic\":"
        "\"realtime:room\",\"private\":false,\"source\":\"" ADDRESS "/1/1\",\"key\":\"eve\","
        "\"ref\":\"r\",\"payload\":{}}");
    assert_string_equal(hear(a), "");
    close_client(a);
}

static void gaps_are_asked_about(void **state)
{
#define ALL(n, list)                                                                               \
    "{\"k\":\"all\",\"from\":\"" ADDRESS "\",\"n\":" n ",\"part\":0,\"last\":true,"                \
    "\"people\":[" list "]}"
#define ITEM(who, ref)                                                                             \
    "{\"topic\":\"realtime:room\",\"private\":false,\"source\":\"" ADDRESS "/" who                 \
    "/1\",\"key\":\"" who "\",\"ref\":\"" ref "\",\"payload\":{}}"
    struct rt_connection *a = join_as(RT_VSN_2, PEOPLE("ann"));
    (void)state;
    from_gateway(TRACK("1", "r1"));
    forget_texts();
    from_gateway("{\"k\":\"hello\",\"from\":\"" ADDRESS "\",\"n\":5,\"new\":false}");
    assert_non_null(strstr(sent_last(), "{\"k\":\"ask\",\"from\":\""));
    assert_non_null(strstr(sent_last(), "\"to\":\"" ADDRESS "\"}"));
    hear_all(a);
    from_gateway(ALL("5", ITEM("7", "x") "," ITEM("8", "y")));
    assert_non_null(strstr(hear(a), "\"joins\":{\"7\":"));
    assert_non_null(strstr(hear(a), "\"joins\":{\"8\":"));
    assert_non_null(strstr(hear(a), "\"leaves\":{\"eve\":"));
    assert_string_equal(hear(a), "");
    from_gateway(ALL("5", ITEM("7", "x"))); /* the same says nothing new */
    assert_non_null(strstr(hear(a), "\"leaves\":{\"8\":"));
    assert_string_equal(hear(a), "");
    forget_texts();
    from_gateway("{\"k\":\"hello\",\"from\":\"" ADDRESS "\",\"n\":5,\"new\":false}");
    assert_int_equal(sent_text_count, 0);
    close_client(a);
}

static void tells_everybody_when_asked(void **state)
{
    struct rt_connection *a = join_as(RT_VSN_2, PEOPLE("ann"));
    char question[256], own[37];
    (void)state;
    put_event(RT_EVENT_STATE)->is_up = true;
    run();
    (void)snprintf(own, sizeof own, "%s", strstr(sent_last(), "\"from\":\"") + 8);
    say(a,
        "[\"1\",\"2\",\"realtime:room\",\"presence\",{\"event\":\"track\",\"payload\":{\"m\":1}}]");
    assert_int_equal(sent_text_count, 1); /* alone, it tells nobody */
    (void)snprintf(question, sizeof question,
                   "{\"k\":\"ask\",\"from\":\"" ADDRESS "\",\"to\":\"%s\"}", own);
    from_gateway(question);
    assert_non_null(strstr(sent_last(), "\"n\":1,\"part\":0,\"last\":true,\"people\":[{\"topic\":"
                                        "\"realtime:room\",\"private\":false,\"source\":\""));
    assert_non_null(strstr(sent_last(), "\"key\":\"ann\",\"ref\":\""));
    assert_non_null(strstr(sent_last(), "\"payload\":{\"m\":1}}]}"));
    say(a, "[\"1\",\"3\",\"realtime:room\",\"presence\",{\"event\":\"untrack\"}]");
    assert_non_null(strstr(sent_last(), "{\"k\":\"untrack\",\"from\":\""));
    assert_non_null(strstr(sent_last(), "\"n\":2,"));
    close_client(a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_hub, tear_down_hub)
    const struct CMUnitTest tests[] = {
        TEST(text_goes_to_the_others),
        TEST(self_and_ack),
        TEST(binary_is_shown_as_each_can_read_it),
        TEST(writing_needs_permission),
        TEST(floods_end_the_channel),
        TEST(by_http),
        TEST(private_posts_ask_the_policies),
        TEST(from_sql),
        TEST(track_and_untrack),
        TEST(tracking_has_limits),
        TEST(old_clients_hear_of_people),
        TEST(gateways_greet),
        TEST(broadcasts_reach_other_gateways),
        TEST(broadcasts_come_from_other_gateways),
        TEST(people_of_other_gateways),
        TEST(only_a_gateways_own_people),
        TEST(gaps_are_asked_about),
        TEST(tells_everybody_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
