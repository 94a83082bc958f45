/* tests/unit/test_rt_head.c - request heads, query strings and routes. */
#include "realtime/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rt_slice slice(const char *text)
{
    return (struct rt_slice){text, strlen(text)};
}

static void finds_the_end_of_a_head(void **state)
{
    /* clang-format off */
    static const struct { const char *text; size_t want; } rows[] = {
        {"", 0}, {"GET / HTTP/1.1\r\n", 0}, {"GET / HTTP/1.1\r\nA: b\r\n\r", 0},
        {"GET / HTTP/1.1\r\n\r\n", 18}, {"GET / HTTP/1.1\n\n", 16}, {"A\r\n\r\nbody", 5}, {"A\n\r\nbody", 4},
        {"A\r\nb\r\n\r\n\r\n", 8},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rt_head_end(rows[i].text, strlen(rows[i].text)) != rows[i].want)
            fail_msg("row %zu", i);
}

static void reads_an_upgrade(void **state)
{
    static const char text[] =
        "GET /realtime/v1/websocket?apikey=a.b.c&vsn=2.0.0 HTTP/1.1\r\nHost: h\r\n"
        "UPGRADE:\t WebSocket \r\nSec-WebSocket-Key:k\r\nSec-WebSocket-Version: 13\r\n"
        "X-Api-Key: from header\r\nUpgrade: second\r\n\r\nrest";
    struct rt_head head;
    struct df_error err = {0};
    char out[32];

    (void)state;
    assert_int_equal(rt_head_parse(&head, text, rt_head_end(text, sizeof text - 1), &err), DF_OK);
    assert_int_equal(head.method, RT_METHOD_GET);
    assert_true(rt_slice_is(head.path, "/realtime/v1/websocket"));
    assert_true(rt_slice_is(head.header[RT_HEADER_UPGRADE], "websocket"));
    assert_true(rt_slice_is(head.header[RT_HEADER_WEBSOCKET_KEY], "k"));
    assert_int_equal(rt_slice_number(head.header[RT_HEADER_WEBSOCKET_VERSION]), 13);
    assert_int_equal(rt_query_get(head.query, "vsn", out, sizeof out), 5);
    assert_string_equal(out, "2.0.0");
    assert_int_equal(rt_head_token(&head, true, out, sizeof out), 11);
    assert_string_equal(out, "from header"); /* wins over the parameter */
    assert_null(head.header[RT_HEADER_AUTHORIZATION].text);
}

static void refuses_what_is_no_request(void **state)
{
    /* clang-format off */
    static const char *const rows[] = {
        "", "\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.15\r\n\r\n",
        " / HTTP/1.1\r\n\r\n", "GET http://x/ HTTP/1.1\r\n\r\n", "GET /a\001b HTTP/1.1\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n",
        "GET ?a HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA\r\n\r\n", "GET / HTTP/1.1\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "GET / HTTP/1.1\r\nA: b\001\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 1\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n",
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_head head;
        if (rt_head_parse(&head, rows[i], strlen(rows[i]), NULL) != DF_EINPUT)
            fail_msg("row %zu was taken", i);
    }
}

static void knows_methods_by_case(void **state)
{
    /* clang-format off */
    static const struct { const char *text; enum rt_method want; } rows[] = {
        {"HEAD / HTTP/1.1\r\n\r\n", RT_METHOD_HEAD}, {"POST / HTTP/1.0\r\n\r\n", RT_METHOD_POST},
        {"OPTIONS / HTTP/1.1\r\n\r\n", RT_METHOD_OPTIONS}, {"get / HTTP/1.1\r\n\r\n", RT_METHOD_OTHER},
        {"BREW / HTTP/1.1\r\n\r\n", RT_METHOD_OTHER},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_head head;
        assert_int_equal(rt_head_parse(&head, rows[i].text, strlen(rows[i].text), NULL), DF_OK);
        assert_int_equal(head.method, rows[i].want);
    }
}

static void decodes_parameters(void **state)
{
    /* clang-format off */
    static const struct { const char *query, *name, *want; } rows[] = {
        {"a=1&b=2", "a", "1"}, {"a=1&b=2", "b", "2"}, {"a=1&a=2", "a", "1"}, {"vsn=~%3E+1.0.0", "vsn", "~> 1.0.0"},
        {"a=", "a", ""}, {"a", "a", NULL}, {"", "a", NULL}, {"ab=1", "a", NULL}, {"b=a=1", "a", NULL}, {"&&a=1&", "a", "1"},
        {"a=%4", "a", NULL}, {"a=%4g", "a", NULL}, {"a=%00", "a", NULL}, {"a=%c3%a9", "a", "\xc3\xa9"},
        {"a=12345678", "a", NULL}, {"a=1234567", "a", "1234567"}, {"a=b=c", "a", "b=c"},
    };
    /* clang-format on */
    char out[8], long_out[16];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool is_vsn = strcmp(rows[i].name, "vsn") == 0;
        char *to = is_vsn ? long_out : out;
        int n = rt_query_get(slice(rows[i].query), rows[i].name, to,
                             is_vsn ? sizeof long_out : sizeof out);
        if ((n < 0) != (rows[i].want == NULL) ||
            (n >= 0 && (strcmp(to, rows[i].want) != 0 || (size_t)n != strlen(to))))
            fail_msg("row %zu: %d", i, n);
    }
    assert_int_equal(rt_query_get((struct rt_slice){NULL, 0}, "a", out, sizeof out), -1);
}

static void chooses_the_token_that_counts(void **state)
{
    /* clang-format off */
    static const struct { const char *head; bool with_authorization; const char *want; } rows[] = {
        {"GET /?apikey=q HTTP/1.1\r\nAuthorization: Bearer a\r\napikey: h\r\nx-api-key: x\r\n\r\n", true, "a"},
        {"GET /?apikey=q HTTP/1.1\r\nAuthorization: Bearer a\r\napikey: h\r\nx-api-key: x\r\n\r\n", false, "x"},
        {"GET /?apikey=q HTTP/1.1\r\nAuthorization: Basic a\r\napikey: h\r\n\r\n", true, "h"},
        {"GET /?apikey=q HTTP/1.1\r\nauthorization: bearer  a \r\n\r\n", true, "a"},
        {"GET /?apikey=q HTTP/1.1\r\napikey:\r\n\r\n", true, "q"},
        {"GET /?apikey= HTTP/1.1\r\n\r\n", true, ""},
        {"GET / HTTP/1.1\r\n\r\n", true, ""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_head head;
        char out[8];
        assert_int_equal(rt_head_parse(&head, rows[i].head, strlen(rows[i].head), NULL), DF_OK);
        size_t n = rt_head_token(&head, rows[i].with_authorization, out, sizeof out);
        if (n != strlen(rows[i].want) || (n > 0 && strcmp(out, rows[i].want) != 0))
            fail_msg("row %zu: \"%s\"", i, n > 0 ? out : "");
    }
}

static void knows_its_routes(void **state)
{
    char too_long[400];
    /* clang-format off */
    const struct { const char *path; enum rt_route want; const char *topic, *event; } rows[] = {
        {"/websocket", RT_ROUTE_SOCKET, "", ""}, {"/socket/websocket", RT_ROUTE_SOCKET, "", ""},
        {"/realtime/v1/websocket", RT_ROUTE_SOCKET, "", ""}, {"/realtime/v1/socket/websocket", RT_ROUTE_SOCKET, "", ""},
        {"/realtime/v1", RT_ROUTE_NONE, "", ""}, {"/", RT_ROUTE_NONE, "", ""}, {"/websocket/", RT_ROUTE_NONE, "", ""},
        {"//websocket", RT_ROUTE_NONE, "", ""}, {"/realtime/v1/realtime/v1/websocket", RT_ROUTE_NONE, "", ""},
        {"/healthz", RT_ROUTE_HEALTH, "", ""}, {"/readyz", RT_ROUTE_READY, "", ""}, {"/metrics", RT_ROUTE_METRICS, "", ""},
        {"/api/broadcast", RT_ROUTE_BATCH, "", ""}, {"/realtime/v1/api/broadcast", RT_ROUTE_BATCH, "", ""},
        {"/api/broadcast/room%3A1/events/my%20ev", RT_ROUTE_BROADCAST, "room:1", "my ev"},
        {"/api/broadcast/a%2Fb/events/e+f", RT_ROUTE_BROADCAST, "a/b", "e+f"},
        {"/api/broadcast/%F0%9F%98%80/events/%c3%a9", RT_ROUTE_BROADCAST, "\xf0\x9f\x98\x80", "\xc3\xa9"},
        {"/api/broadcast/a/events/", RT_ROUTE_NONE, NULL, NULL}, {"/api/broadcast//events/e", RT_ROUTE_NONE, NULL, NULL},
        {"/api/broadcast/a/event/e", RT_ROUTE_NONE, NULL, NULL}, {"/api/broadcast/a/events/e/f", RT_ROUTE_NONE, NULL, NULL},
        {"/api/broadcast/a", RT_ROUTE_NONE, NULL, NULL}, {"/api/broadcast/a/events/%0a", RT_ROUTE_NONE, NULL, NULL},
        {"/api/broadcast/%ff/events/e", RT_ROUTE_NONE, NULL, NULL}, {"/api/broadcast/%c0%80/events/e", RT_ROUTE_NONE, NULL, NULL},
        {"/api/broadcast/%ed%a0%80/events/e", RT_ROUTE_NONE, NULL, NULL}, {"/api/broadcast/%f4%90%80%80/events/e", RT_ROUTE_NONE, NULL, NULL},
        {"/api/broadcast/%c3/events/e", RT_ROUTE_NONE, NULL, NULL}, {too_long, RT_ROUTE_NONE, NULL, NULL},
    };
    /* clang-format on */
    (void)state;
    (void)snprintf(too_long, sizeof too_long, "/api/broadcast/%0256d/events/e", 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_target target;
        rt_target_parse(&target, slice(rows[i].path));
        if (target.route != rows[i].want)
            fail_msg("row %zu: route %d", i, target.route);
        if (rows[i].topic == NULL)
            continue;
        assert_string_equal(target.topic, rows[i].topic);
        assert_string_equal(target.event, rows[i].event);
    }
}

static void reads_lengths_it_can_rely_on(void **state)
{
    (void)state;
    assert_int_equal(rt_slice_number(slice("0")), 0);
    assert_int_equal(rt_slice_number(slice("123456789012345")), 123456789012345);
    assert_int_equal(rt_slice_number(slice("1234567890123456")), -1);
    assert_int_equal(rt_slice_number(slice("")), -1);
    assert_int_equal(rt_slice_number(slice("-1")), -1);
    assert_int_equal(rt_slice_number(slice("+1")), -1);
    assert_int_equal(rt_slice_number(slice("1, 1")), -1);
    assert_int_equal(rt_slice_number((struct rt_slice){NULL, 0}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_end_of_a_head),
        cmocka_unit_test(reads_an_upgrade),
        cmocka_unit_test(refuses_what_is_no_request),
        cmocka_unit_test(knows_methods_by_case),
        cmocka_unit_test(decodes_parameters),
        cmocka_unit_test(chooses_the_token_that_counts),
        cmocka_unit_test(knows_its_routes),
        cmocka_unit_test(reads_lengths_it_can_rely_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
