/* tests/unit/test_rt_join.c - what apps put into their joins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "realtime/join.h"

static json_t *payload;

static struct rt_join parse(const char *text)
{
    struct rt_join join;
    payload = json_loads(text, 0, NULL);
    assert_non_null(payload);
    assert_int_equal(rt_join_parse(&join, payload, NULL), DF_OK);
    return join;
}

static void release(struct rt_join *join)
{
    rt_join_release(join);
    json_decref(payload);
}

static void reads_the_recorded_join(void **state)
{
    (void)state;
    struct rt_join join = parse(
        "{\"config\":{\"broadcast\":{\"ack\":false,\"self\":true},\"presence\":{\"key\":\"\","
        "\"enabled\":false},\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\","
        "\"table\":\"chat_messages\",\"filter\":\"stream_session_id=eq.11111111-2222-3333-4444-"
        "555555555555\",\"x_after\":\"2026-11-22T10:00:01Z\"}],\"private\":false}}");
    assert_true(join.broadcast_self);
    assert_false(join.broadcast_ack || join.is_private || join.presence_enabled || join.wait);
    assert_int_equal(join.binding_count, 1);
    assert_int_equal(join.binding[0].events, RT_INSERT);
    assert_string_equal(join.binding[0].table, "chat_messages");
    assert_string_equal(join.binding[0].session, "11111111-2222-3333-4444-555555555555");
    assert_string_equal(join.binding[0].x_after, "2026-11-22T10:00:01Z");
    assert_string_equal(join.binding[0].select, "[]");
    assert_string_equal(join.binding[0].error, "");
    release(&join);
}

static void an_empty_payload_gets_defaults(void **state)
{
    (void)state;
    struct rt_join join = parse("{}");
    assert_int_equal(join.binding_count, 0);
    assert_null(join.access_token);
    assert_int_equal(join.wait_timeout_ms, -1);
    release(&join);
    join = parse("{\"config\":7}");
    assert_int_equal(join.binding_count, 0);
    release(&join);
}

static void names_have_their_wildcards(void **state)
{
    (void)state;
    struct rt_join join = parse("{\"config\":{\"postgres_changes\":[null,{\"event\":\"*\","
                                "\"schema\":\"shop\"},{\"event\":\"delete\",\"table\":\"t\"},{}]}}");
    assert_int_equal(join.binding_count, 3);
    assert_string_equal(join.binding[0].table, "*");
    assert_int_equal(join.binding[0].events, RT_ALL);
    assert_string_equal(join.binding[1].schema, "public");
    assert_int_equal(join.binding[1].events, RT_DELETE);
    assert_non_null(strstr(join.binding[2].error, "No subscription params provided"));
    release(&join);
}

static void never_loses_a_filter_that_it_cannot_read(void **state)
{
    (void)state;
    struct rt_join join =
        parse("{\"config\":{\"postgres_changes\":["
              "{\"schema\":\"public\",\"table\":\"t\",\"filter\":\"id=foo.hey\"},"
              "{\"schema\":\"public\",\"table\":\"t\",\"filter\":7},"
              "{\"schema\":\"public\",\"filter\":\"id=eq.1\"},"
              "{\"schema\":\"*\",\"table\":\"t\",\"select\":[\"id\"]},"
              "{\"schema\":\"public\",\"table\":\"t\",\"select\":[\"id\",3]}]}}");
    for (size_t i = 0; i < join.binding_count; i++)
        assert_true(join.binding[i].error[0] != '\0');
    release(&join);
}

static void a_key_is_no_token_and_the_old_name_wins(void **state)
{
    (void)state;
    struct rt_join join = parse("{\"access_token\":\"sb_publishable_x\"}");
    assert_null(join.access_token);
    release(&join);
    join = parse("{\"access_token\":\"new\",\"user_token\":\"old\"}");
    assert_string_equal(join.access_token, "old");
    release(&join);
}

static void booleans_may_be_text(void **state)
{
    (void)state;
    struct rt_join join = parse("{\"config\":{\"private\":\"True\",\"presence\":{\"enabled\":"
                                "\"true\",\"key\":\"me\"},\"postgres_changes_options\":{\"wait\":"
                                "true,\"timeout\":5000},\"broadcast\":{\"replay\":{\"since\":1}}}}");
    assert_true(join.is_private && join.presence_enabled && join.wait && join.replay);
    assert_string_equal(join.presence_key, "me");
    assert_int_equal(join.wait_timeout_ms, 5000);
    release(&join);
}

static void refuses_too_many_bindings(void **state)
{
    struct rt_join join;
    json_t *list = json_array();
    (void)state;
    for (int i = 0; i <= RT_BINDINGS_MAX; i++)
        json_array_append_new(list, json_object());
    payload = json_pack("{s:{s:o}}", "config", "postgres_changes", list);
    assert_int_equal(rt_join_parse(&join, payload, NULL), DF_ETOOBIG);
    json_decref(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_recorded_join),
        cmocka_unit_test(an_empty_payload_gets_defaults),
        cmocka_unit_test(names_have_their_wildcards),
        cmocka_unit_test(never_loses_a_filter_that_it_cannot_read),
        cmocka_unit_test(a_key_is_no_token_and_the_old_name_wins),
        cmocka_unit_test(booleans_may_be_text),
        cmocka_unit_test(refuses_too_many_bindings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
