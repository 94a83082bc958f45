/* tests/unit/test_scr_request.c - the pure parts of reading a request: head, route, origin, and
 * what a WebSocket client says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/client_message.h"
#include "scraper/cors.h"
#include "scraper/head.h"
#include "scraper/route.h"

static void finds_the_end_of_a_head(void **state)
{
    /* clang-format off */
    static const struct { const char *text; size_t want; } rows[] = {
        {"", 0}, {"GET / HTTP/1.1\r\n", 0}, {"GET / HTTP/1.1\r\n\r", 0},
        {"GET / HTTP/1.1\r\n\r\n", 18}, {"GET / HTTP/1.1\r\n\r\nbody\r\n\r\n", 18},
        {"GET /\n\n", 7}, {"GET /\nA: b\n\r\nx", 13}, {"\r\n\r\n", 4}, {"\n", 0},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (scr_head_end(rows[i].text, strlen(rows[i].text)) != rows[i].want)
            fail_msg("row %zu: %zu", i, scr_head_end(rows[i].text, strlen(rows[i].text)));
}

static void judges_the_first_line(void **state)
{
    /* clang-format off */
    static const struct { const char *head; bool is_known, has_control; } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", true, false}, {"DELETE /x HTTP/1.1\r\n\r\n", true, false},
        {"GETS / HTTP/1.1\r\n\r\n", false, false}, {"get / HTTP/1.1\r\n\r\n", false, false},
        {"TRACE / HTTP/1.1\r\n\r\n", false, false}, {"GET", false, false},
        {"GET /%0a HTTP/1.1\r\n\r\n", true, true}, {"GET /a%1Fb HTTP/1.1\r\n\r\n", true, true},
        {"GET /%7F HTTP/1.1\r\n\r\n", true, true}, {"GET /%20%7e%70 HTTP/1.1\r\n\r\n", true, false},
        {"GET /\t HTTP/1.1\r\n\r\n", true, true}, {"GET /\r/ HTTP/1.1\r\n\r\n", true, true},
        {"GET / HTTP/1.1\r\nA: %00\r\n\r\n", true, false}, {"GET /%0", true, false},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].head);
        if (scr_head_has_known_method(rows[i].head, len) != rows[i].is_known ||
            scr_head_has_control_bytes(rows[i].head, len) != rows[i].has_control)
            fail_msg("row %zu: %s", i, rows[i].head);
    }
}

static void hides_what_libwebsockets_must_not_see(void **state)
{
    /* clang-format off */
    static const struct { const char *before, *after; } rows[] = {
        {"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: bearer.x, y\r\n\r\n",
         "GET / HTTP/1.1\r\nx-auth-token:           bearer.x, y\r\n\r\n"},
        {"GET / HTTP/1.1\nSEC-WEBSOCKET-PROTOCOL:a\nA: b\nsec-websocket-protocol:b\n\n",
         "GET / HTTP/1.1\nx-auth-token:          a\nA: b\nx-auth-token:          b\n\n"},
        {"GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n", "GET / HTTP/1.1\r\nxpgrade: h2c\r\n\r\n"},
        {"GET / HTTP/1.1\r\nupgrade:\r\n\r\n", "GET / HTTP/1.1\r\nxpgrade:\r\n\r\n"},
        {"GET / HTTP/1.1\r\nUpgrade:  WebSocket \r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nSec-WebSocket-Protocols: x\r\nX-Sec-WebSocket-Protocol: y\r\n\r\n", NULL},
        {"POST / HTTP/1.1\r\nSec-WebSocket-Protocol: x\r\n\r\n", NULL},
        {"GET / HTTP/1.1\r\nSec-WebSocket-Protocol\r\n\r\n", NULL},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        size_t len = strlen(rows[i].before);
        memcpy(text, rows[i].before, len + 1);
        assert_int_equal(scr_head_prepare(text, len), rows[i].after != NULL);
        assert_string_equal(text, rows[i].after == NULL ? rows[i].before : rows[i].after);
    }
}

static void picks_token_and_answer_from_an_offer(void **state)
{
    /* clang-format off */
    static const struct { const char *list, *token, *answer; } rows[] = {
        {"bearer.a.b.c", "a.b.c", "bearer.a.b.c"},
        {"bearer.t, dealflow", "t", "dealflow"},
        {"dealflow , bearer.t", "t", "dealflow"},
        {"dealflow", NULL, "dealflow"},
        {"chat, superchat", NULL, NULL},
        {"bearer.", NULL, NULL},
        {"bearer.one,bearer.two", "one", "bearer.one"},
        {" , ,\tbearer.t\t,", "t", "bearer.t"},
        {"", NULL, NULL},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_offer offer;
        scr_head_offer(&offer, rows[i].list, strlen(rows[i].list));
        assert_int_equal(offer.token != NULL, rows[i].token != NULL);
        assert_int_equal(offer.answer != NULL, rows[i].answer != NULL);
        if (rows[i].token != NULL) {
            assert_int_equal(offer.token_len, strlen(rows[i].token));
            assert_memory_equal(offer.token, rows[i].token, offer.token_len);
        }
        if (rows[i].answer != NULL) {
            assert_int_equal(offer.answer_len, strlen(rows[i].answer));
            assert_memory_equal(offer.answer, rows[i].answer, offer.answer_len);
        }
    }
}

static void finds_routes_and_their_ids(void **state)
{
    /* clang-format off */
    static const struct { const char *path; enum scr_route want; const char *id; } rows[] = {
        {"/", SCR_ROUTE_ROOT, ""}, {"", SCR_ROUTE_ROOT, ""}, {"/ws", SCR_ROUTE_SOCKET, ""},
        {"/ws/", SCR_ROUTE_SOCKET, ""}, {"/wsx", SCR_ROUTE_NONE, ""}, {"/health", SCR_ROUTE_HEALTH, ""},
        {"/api/start-monitoring", SCR_ROUTE_START, ""}, {"/api/stop-monitoring/", SCR_ROUTE_STOP, ""},
        {"/api/streams", SCR_ROUTE_STREAMS, ""}, {"/api/streams/x", SCR_ROUTE_NONE, ""},
        {"/api/stream-summary/a b", SCR_ROUTE_SUMMARY, "a b"}, {"/api/stream-summary/", SCR_ROUTE_NONE, ""},
        {"/api/stream-summary", SCR_ROUTE_NONE, ""}, {"/api/stream-summary/a/b", SCR_ROUTE_NONE, ""},
        {"/api/screenshot/x/", SCR_ROUTE_SCREENSHOT, "x"}, {"/api/screenshot/x\ny", SCR_ROUTE_NONE, ""},
        {"/metrics", SCR_ROUTE_NONE, ""}, {"/API/streams", SCR_ROUTE_NONE, ""}, {"//", SCR_ROUTE_NONE, ""},
    };
    /* clang-format on */
    char id[SCR_ROUTE_ID_MAX], path[400];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (scr_route_find(rows[i].path, id) != rows[i].want)
            fail_msg("%s", rows[i].path);
        assert_string_equal(id, rows[i].id);
    }
    memset(path, 'x', sizeof path);
    memcpy(path, "/api/screenshot/", 16);
    path[16 + SCR_ROUTE_ID_MAX - 1] = '\0';
    assert_int_equal(scr_route_find(path, id), SCR_ROUTE_SCREENSHOT);
    path[16 + SCR_ROUTE_ID_MAX - 1] = 'x';
    path[16 + SCR_ROUTE_ID_MAX] = '\0';
    assert_int_equal(scr_route_find(path, id), SCR_ROUTE_NONE);
    assert_int_equal(scr_route_find_admin("/metrics"), SCR_ROUTE_METRICS);
    assert_int_equal(scr_route_find_admin("/healthz/"), SCR_ROUTE_LIVENESS);
    assert_int_equal(scr_route_find_admin("/health"), SCR_ROUTE_NONE);
    assert_string_equal(scr_route_methods(SCR_ROUTE_STOP), "POST, OPTIONS");
    assert_string_equal(scr_route_methods(SCR_ROUTE_HEALTH), "GET, HEAD, OPTIONS");
}

static void allows_listed_origins(void **state)
{
    static const char list[] = "https://app.example.com, http://localhost:5173/ ,";

    (void)state;
    assert_true(scr_cors_allows("*", "https://anything"));
    assert_string_equal(scr_cors_value("*", NULL), "*");
    assert_true(scr_cors_allows(list, NULL));
    assert_true(scr_cors_allows(list, ""));
    assert_null(scr_cors_value(list, ""));
    assert_string_equal(scr_cors_value(list, "https://app.example.com"), "https://app.example.com");
    assert_true(scr_cors_allows(list, "http://localhost:5173"));
    static const char *const others[] = {"http://app.example.com",
                                         "https://app.example.com.evil.com",
                                         "https://app.example.co", "null", "http://localhost"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(scr_cors_allows(list, others[i]));
        assert_null(scr_cors_value(list, others[i]));
    }
}

static void understands_what_clients_say(void **state)
{
    /* clang-format off */
    static const struct { const char *text; enum scr_client_verb want; const char *token; } rows[] = {
        {"{\"type\":\"auth\",\"token\":\"t\"}", SCR_CLIENT_AUTH, "t"},
        {"{\"action\":\"auth\",\"token\":5}", SCR_CLIENT_AUTH, ""},
        {"{\"action\":\"auth\"}", SCR_CLIENT_AUTH, ""},
        {"{\"action\":\"ping\",\"type\":\"auth\"}", SCR_CLIENT_PING, ""},
        {"{\"action\":\"monitor\",\"url\":\"u\"}", SCR_CLIENT_ACTION, ""},
        {"{\"action\":\"Monitor\"}", SCR_CLIENT_BAD, ""}, {"{\"action\":1}", SCR_CLIENT_BAD, ""},
        {"{}", SCR_CLIENT_BAD, ""}, {"[]", SCR_CLIENT_BAD, ""}, {"", SCR_CLIENT_BAD, ""},
        {"null", SCR_CLIENT_BAD, ""}, {"{\"action\":\"ping\"} x", SCR_CLIENT_BAD, ""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_client_message message;
        struct df_error err = {0};
        enum scr_client_verb verb =
            scr_client_message_parse(&message, rows[i].text, strlen(rows[i].text), &err);
        if (verb != rows[i].want)
            fail_msg("%s: %d", rows[i].text, verb);
        assert_string_equal(message.token, rows[i].token);
        assert_int_equal(verb == SCR_CLIENT_BAD, err.msg[0] != '\0');
        scr_client_message_release(&message);
        scr_client_message_release(&message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_end_of_a_head),
        cmocka_unit_test(judges_the_first_line),
        cmocka_unit_test(hides_what_libwebsockets_must_not_see),
        cmocka_unit_test(picks_token_and_answer_from_an_offer),
        cmocka_unit_test(finds_routes_and_their_ids),
        cmocka_unit_test(allows_listed_origins),
        cmocka_unit_test(understands_what_clients_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
