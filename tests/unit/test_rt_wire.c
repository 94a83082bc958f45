/* tests/unit/test_rt_wire.c - frames of both serializers, as recorded from the client library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "realtime/wire.h"

static enum df_code parse(struct rt_frame *out, enum rt_vsn vsn, const char *text)
{
    return rt_frame_parse(out, vsn, false, (const uint8_t *)text, strlen(text), NULL);
}

static void reads_versions(void **state)
{
    enum rt_vsn vsn;
    (void)state;
    assert_true(rt_vsn_parse(&vsn, NULL) && vsn == RT_VSN_1);
    assert_true(rt_vsn_parse(&vsn, "1.0.0") && vsn == RT_VSN_1);
    assert_true(rt_vsn_parse(&vsn, "2.0.0") && vsn == RT_VSN_2);
    assert_false(rt_vsn_parse(&vsn, "9.9.9"));
    assert_false(rt_vsn_parse(&vsn, ""));
}

static void reads_an_array_frame(void **state)
{
    struct rt_frame frame;
    (void)state;
    assert_int_equal(parse(&frame, RT_VSN_2,
                           "[\"6\",\"8\",\"realtime:chat-room\",\"access_token\",{\"a\":1},7]"),
                     DF_OK);
    assert_string_equal(frame.join_ref, "6");
    assert_string_equal(frame.ref, "8");
    assert_string_equal(frame.topic, "realtime:chat-room");
    assert_string_equal(frame.event, "access_token");
    assert_int_equal(json_integer_value(json_object_get(frame.payload, "a")), 1);
    rt_frame_release(&frame);
}

static void reads_an_object_frame(void **state)
{
    struct rt_frame frame;
    (void)state;
    assert_int_equal(
        parse(&frame, RT_VSN_1,
              "{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"7\"}"),
        DF_OK);
    assert_false(frame.has_join_ref);
    assert_true(frame.has_ref);
    assert_string_equal(frame.ref, "7");
    rt_frame_release(&frame);
}

static void a_number_is_a_reference_and_null_is_none(void **state)
{
    struct rt_frame frame;
    (void)state;
    assert_int_equal(parse(&frame, RT_VSN_2, "[null,12,\"phoenix\",\"heartbeat\",null]"), DF_OK);
    assert_false(frame.has_join_ref);
    assert_string_equal(frame.ref, "12");
    assert_non_null(frame.payload); /* an object, whatever came */
    rt_frame_release(&frame);
}

static void refuses_what_is_no_frame(void **state)
{
    static const char *const bad[] = {"", "{", "7", "[]", "[null,null,\"t\",\"e\"]",
                                      "{\"topic\":\"t\"}", "[null,null,7,\"e\",{}]",
                                      "[{},null,\"t\",\"e\",{}]"};
    struct rt_frame frame;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(&frame, RT_VSN_2, bad[i]), DF_EINPUT);
        assert_int_equal(parse(&frame, RT_VSN_1, bad[i]), DF_EINPUT);
    }
    assert_int_equal(parse(&frame, RT_VSN_1, "[\"1\",\"1\",\"t\",\"e\",{}]"), DF_EINPUT);
}

/* The frame that the library sent for {"u":"é"}. */
static const uint8_t recorded[] = "\x03\x01\x01\x12\x06\x00\x01"
                                  "67realtime:chat-roomtyping{\"u\":\"\xc3\xa9\"}";

static void reads_a_binary_broadcast(void **state)
{
    struct rt_frame frame;
    (void)state;
    assert_int_equal(
        rt_frame_parse(&frame, RT_VSN_2, true, recorded, sizeof recorded - 1, NULL), DF_OK);
    assert_string_equal(frame.join_ref, "6");
    assert_string_equal(frame.ref, "7");
    assert_string_equal(frame.topic, "realtime:chat-room");
    assert_string_equal(frame.event, "broadcast");
    assert_string_equal(frame.broadcast_event, "typing");
    assert_true(frame.is_json);
    assert_int_equal(frame.bytes_len, 10);
    assert_memory_equal(frame.bytes, "{\"u\":\"\xc3\xa9\"}", 10);
    rt_frame_release(&frame);
}

static void refuses_binary_frames_that_are_cut_or_of_another_kind(void **state)
{
    uint8_t other[sizeof recorded];
    struct rt_frame frame;
    (void)state;
    for (size_t len = 0; len < 33; len++) /* up to the end of the texts */
        assert_int_equal(rt_frame_parse(&frame, RT_VSN_2, true, recorded, len, NULL), DF_EINPUT);
    memcpy(other, recorded, sizeof other);
    other[0] = 0;
    assert_int_equal(rt_frame_parse(&frame, RT_VSN_2, true, other, sizeof other - 1, NULL),
                     DF_EINPUT);
    assert_int_equal(
        rt_frame_parse(&frame, RT_VSN_1, true, recorded, sizeof recorded - 1, NULL), DF_EINPUT);
}

static void writes_what_the_library_reads(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    assert_true(rt_wire_reply(&out, RT_VSN_2, "6", "9", "realtime:room", true, "{}", 2));
    assert_string_equal(
        out.data,
        "[\"6\",\"9\",\"realtime:room\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
    df_buf_reset(&out);
    assert_true(rt_wire_reply(&out, RT_VSN_1, "6", "9", "realtime:room", false,
                              "{\"reason\":\"unmatched topic\"}", 28));
    assert_string_equal(out.data,
                        "{\"topic\":\"realtime:room\",\"event\":\"phx_reply\",\"payload\":{"
                        "\"status\":\"error\",\"response\":{\"reason\":\"unmatched topic\"}},"
                        "\"ref\":\"9\"}");
    df_buf_reset(&out);
    assert_true(rt_wire_system(&out, RT_VSN_2, "6", "realtime:chat-room", "postgres_changes", true,
                               "Subscribed to PostgreSQL"));
    assert_string_equal(out.data,
                        "[\"6\",null,\"realtime:chat-room\",\"system\",{\"extension\":"
                        "\"postgres_changes\",\"status\":\"ok\",\"message\":\"Subscribed to "
                        "PostgreSQL\",\"channel\":\"chat-room\"}]");
    df_buf_reset(&out);
    assert_true(rt_wire_change(&out, RT_VSN_1, "realtime:x", "1,2", "{\"a\":1}", 7));
    assert_string_equal(out.data, "{\"topic\":\"realtime:x\",\"event\":\"postgres_changes\","
                                  "\"payload\":{\"ids\":[1,2],\"data\":{\"a\":1}},\"ref\":null}");
    df_buf_reset(&out);
    assert_true(rt_wire_broadcast_binary(&out, "realtime:x", "e", true, (const uint8_t *)"{}", 2));
    assert_int_equal(out.len, 5 + 10 + 1 + 2);
    assert_memory_equal(out.data, "\x04\x0a\x01\x00\x01realtime:xe{}", out.len);
    df_buf_release(&out);
}

static void a_frame_is_whole_or_not_there(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 60);
    assert_true(rt_wire_push(&out, RT_VSN_2, NULL, NULL, "t", "e", "{}", 2));
    size_t before = out.len;
    assert_false(rt_wire_push(&out, RT_VSN_2, NULL, NULL, "realtime:long-topic-name", "e",
                              "{\"a\":\"bcdefghijklmnop\"}", 23));
    assert_int_equal(out.len, before);
    assert_true(rt_wire_push(&out, RT_VSN_2, NULL, NULL, "t", "e", "{}", 2)); /* still usable */
    df_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_versions),
        cmocka_unit_test(reads_an_array_frame),
        cmocka_unit_test(reads_an_object_frame),
        cmocka_unit_test(a_number_is_a_reference_and_null_is_none),
        cmocka_unit_test(refuses_what_is_no_frame),
        cmocka_unit_test(reads_a_binary_broadcast),
        cmocka_unit_test(refuses_binary_frames_that_are_cut_or_of_another_kind),
        cmocka_unit_test(writes_what_the_library_reads),
        cmocka_unit_test(a_frame_is_whole_or_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
