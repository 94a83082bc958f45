/* tests/unit/test_message.c - the rules of the public body, row by row from the edge contract. */
#include "shared/message.h"

#include "tests/unit/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SESSION "ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c"
#define ID      "01890a5d-ac96-774b-bcce-b302099a8057"
#define FFFD    "\xEF\xBF\xBD"
#define MISSING "Missing required fields: message, username, streamSessionId"

static const struct df_message_limits limits = {
    .body_max_bytes = 2000, .message_max_bytes = 100, .username_max_bytes = 50};

static enum df_code parse(struct df_message *message, const char *body, size_t len,
                          struct df_error *err)
{
    char *copy = malloc(len + (len == 0)); /* exact: ASan sees a read past the end */

    assert_non_null(copy);
    memcpy(copy, body, len);
    enum df_code rc = df_message_parse(message, copy, len, &limits, err);
    free(copy); /* the message must not need the body any more */
    return rc;
}

static void knows_the_staff_of_a_show(void **state)
{
    static const struct {
        const char *role;
        bool want;
    } rows[] = {{"\"host\"", true}, {"\"moderator\"", true}, {"\"viewer\"", false}, {"\"Host\"", false},
                {"null", false},     {"1", false},            {"[\"host\"]", false}};
    char body[300];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct df_message message;
        int len = snprintf(body, sizeof body,
                           "{\"message\":\"who wants it\",\"username\":\"a\","
                           "\"streamSessionId\":\"" SESSION "\",\"role\":%s}",
                           rows[i].role);
        assert_int_equal(parse(&message, body, (size_t)len, NULL), DF_OK);
        assert_int_equal(message.is_staff, rows[i].want);
        df_message_release(&message);
    }
}

static void takes_a_message_as_it_is(void **state)
{
    static const char body[] =
        "{\"message\":\"I\\u2019ll take it "
        "\xF0\x9F\x94\xA5\",\"username\":\"\xE7\x94\xA8\xE6\x88\xB7\","
        "\"streamSessionId\":\"" SESSION "\",\"platform\":\"tiktok\",\"messageId\":\"" ID
        "\",\"extra\":{\"a\":[1e999]}}";
    struct df_message message;
    struct df_error err;
    char text[DF_UUID_TEXT_SIZE];

    (void)state;
    assert_int_equal(parse(&message, body, sizeof body - 1, &err), DF_OK);
    assert_string_equal(message.message, "I\xE2\x80\x99ll take it \xF0\x9F\x94\xA5");
    assert_int_equal(message.message_len, strlen(message.message));
    assert_string_equal(message.username, "\xE7\x94\xA8\xE6\x88\xB7");
    assert_int_equal(message.username_len, 6);
    assert_string_equal(message.platform, "tiktok");
    assert_int_equal(message.platform_len, 6);
    df_uuid_format(text, &message.session);
    assert_string_equal(text, SESSION);
    assert_true(message.has_id);
    df_uuid_format(text, &message.id);
    assert_string_equal(text, ID);
    df_message_release(&message);
    df_message_release(&message); /* twice is harmless */
}

/* One row: three values as JSON, NULL for an absent key. */
static size_t build(char *body, size_t size, const char *message, const char *username,
                    const char *session, const char *more)
{
    int n =
        snprintf(body, size, "{\"x\":0%s%s%s%s%s%s%s}", message ? ",\"message\":" : "",
                 message ? message : "", username ? ",\"username\":" : "", username ? username : "",
                 session ? ",\"streamSessionId\":" : "", session ? session : "", more);
    assert_true(n > 0 && (size_t)n < size);
    return (size_t)n;
}

static void names_the_missing_fields_exactly(void **state)
{
    static const char *const missing[] = {NULL,
                                          "null",
                                          "\"\"",
                                          "0",
                                          "0.0",
                                          "-0",
                                          "0e5",
                                          "false",
                                          "\"   \"",
                                          "\"\\t\\n\\r\\u000b\\f\"",
                                          "\"\xC2\xA0\xE2\x80\x83\xE3\x80\x80\xEF\xBB\xBF\"",
                                          "\"\\u1680\\u2028\\u2029\\u202f\\u205f\"",
                                          "1e-999"};
    static const char *const bodies[] = {
        "{}",
        "[]",
        "\"hi\"",
        "5",
        "true",
        "false",
        "[{\"message\":\"a\",\"username\":\"b\",\"streamSessionId\":\"" SESSION "\"}]",
        "{\"__proto__\":{\"message\":\"p\"},\"username\":\"u\",\"streamSessionId\":\"" SESSION
        "\"}",
        "{\"message\":\"x\",\"username\":\"y\",\"stream_session_id\":\"" SESSION "\"}",
        "{\"message\":[],\"username\":\"y\"}",
        "{\"message\":\"x\",\"message\":\"\",\"username\":\"y\",\"streamSessionId\":\"" SESSION
        "\"}"};
    struct df_message message;
    struct df_error err;
    char body[400];

    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        for (int field = 0; field < 3; field++) {
            size_t len = build(body, sizeof body, field == 0 ? missing[i] : "\"m\"",
                               field == 1 ? missing[i] : "\"u\"",
                               field == 2 ? missing[i] : "\"" SESSION "\"", "");
            assert_int_equal(parse(&message, body, len, &err), DF_EINPUT);
            assert_string_equal(err.msg, MISSING);
            assert_null(message.root);
        }
    }
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(parse(&message, bodies[i], strlen(bodies[i]), &err), DF_EINPUT);
        assert_string_equal(err.msg, MISSING);
    }
}

static void does_not_call_visible_text_missing(void **state)
{
    static const char *const present[] = {
        "\" . \"",   "\"\\u200b\"", "\"\\u180e\"", "\"\\u0001\"",  "\"\xE2\x80\x8D\"", "\"0\"",
        "\"false\"", "\"null\"",    "\"\\u0000\"", "\"\xC2\xA1\"", "\"\xE3\x81\x82\""};
    struct df_message message;
    char body[400];

    (void)state;
    for (size_t i = 0; i < sizeof present / sizeof present[0]; i++) {
        size_t len = build(body, sizeof body, present[i], present[i], "\"" SESSION "\"", "");
        if (parse(&message, body, len, NULL) != DF_OK)
            fail_msg("refused %s", present[i]);
        df_message_release(&message);
    }
}

static void prints_numbers_and_true_as_javascript_does(void **state)
{
    /* clang-format off */
    static const struct { const char *json, *text; } rows[] = {
        {"5", "5"}, {"42", "42"}, {"true", "true"}, {"1.0", "1"}, {"7e-1", "0.7"}, {"1e2", "100"},
        {"-3.50", "-3.5"}, {"1e21", "1e+21"}, {"1e-7", "1e-7"},
        {"9007199254740993", "9007199254740992"}, {"123456789012345678901234", "1.2345678901234569e+23"},
        {"1e999", "1.7976931348623157e+308"},
    };
    /* clang-format on */
    struct df_message message;
    char body[400];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = build(body, sizeof body, rows[i].json, rows[i].json, "\"" SESSION "\"", "");
        assert_int_equal(parse(&message, body, len, NULL), DF_OK);
        assert_string_equal(message.message, rows[i].text);
        assert_string_equal(message.username, rows[i].text);
        assert_int_equal(message.username_len, strlen(rows[i].text));
        df_message_release(&message);
    }
}

static void refuses_what_is_no_text_and_names_the_field(void **state)
{
    /* clang-format off */
    static const struct { const char *message, *username, *session, *more, *want; } rows[] = {
        {"[]", "\"u\"", "\"" SESSION "\"", "", "message"},
        {"[\"a\",\"b\"]", "\"u\"", "\"" SESSION "\"", "", "message"},
        {"{\"a\":1}", "\"u\"", "\"" SESSION "\"", "", "message"},
        {"\"m\"", "{}", "\"" SESSION "\"", "", "username"},
        {"\"m\"", "\"u\"", "123", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "true", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "[]", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "\"test-123\"", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "\" " SESSION " \"", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\\u0000\"", "", "streamSessionId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"messageId\":\"x\"", "messageId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"messageId\":\"\"", "messageId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"messageId\":5", "messageId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"messageId\":false", "messageId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"messageId\":{}", "messageId"},
        {"\"m\"", "\"u\"", "\"" SESSION "\"", ",\"platform\":\"0123456789012345678901234567890123456789"
                                              "0123456789012345678901234\"", "platform"},
    };
    /* clang-format on */
    struct df_message message;
    struct df_error err;
    char body[400], want[40];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = build(body, sizeof body, rows[i].message, rows[i].username, rows[i].session,
                           rows[i].more);
        assert_int_equal(parse(&message, body, len, &err), DF_EINPUT);
        (void)snprintf(want, sizeof want, "Invalid %s: ", rows[i].want);
        assert_memory_equal(err.msg, want, strlen(want));
        assert_null(message.root);
        assert_false(message.has_id);
    }
    assert_int_equal(parse(&message, "null", 4, &err), DF_EINPUT);
    assert_true(strlen(err.msg) > 0);
}

static void falls_back_to_whatnot(void **state)
{
    /* clang-format off */
    static const struct { const char *more, *want; } rows[] = {
        {"", "whatnot"}, {",\"platform\":null", "whatnot"}, {",\"platform\":5", "whatnot"},
        {",\"platform\":false", "whatnot"}, {",\"platform\":[\"x\"]", "whatnot"},
        {",\"platform\":\"\"", ""}, {",\"platform\":\"twitch\"", "twitch"},
        {",\"platform\":\"0123456789012345678901234567890123456789012345678901234567890123\"",
         "0123456789012345678901234567890123456789012345678901234567890123"},
        {",\"platform\":\"a\",\"platform\":\"b\",\"messageId\":null", "b"},
    };
    /* clang-format on */
    struct df_message message;
    char body[400];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = build(body, sizeof body, "\"m\"", "\"u\"", "\"{" SESSION "}\"", rows[i].more);
        assert_int_equal(parse(&message, body, len, NULL), DF_OK);
        assert_string_equal(message.platform, rows[i].want);
        assert_int_equal(message.platform_len, strlen(rows[i].want));
        assert_false(message.has_id);
        df_message_release(&message);
    }
}

static void replaces_what_cannot_be_stored(void **state)
{
    static const char body[] = "{\"message\":\"a\xFF\xFE"
                               "b\\u0000\\ud83dz\",\"username\":\"u\\udc00\","
                               "\"streamSessionId\":\"" SESSION "\",\"platform\":\"p\\u0000\"}";
    struct df_message message;

    (void)state;
    assert_int_equal(parse(&message, body, sizeof body - 1, NULL), DF_OK);
    assert_string_equal(message.message, "a" FFFD FFFD "b" FFFD FFFD "z");
    assert_string_equal(message.username, "u" FFFD);
    assert_string_equal(message.platform, "p" FFFD);
    df_message_release(&message);
}

static void counts_limits_in_bytes(void **state)
{
    struct df_message message;
    struct df_error err;
    char body[2100], text[160];

    (void)state;
    for (int over = 0; over <= 1; over++) {
        memset(text, 'x', sizeof text);
        text[0] = text[101 + over] = '"';
        text[102 + over] = '\0';
        size_t len = build(body, sizeof body, text, "\"u\"", "\"" SESSION "\"", "");
        assert_int_equal(parse(&message, body, len, &err), over ? DF_ETOOBIG : DF_OK);
        if (over)
            assert_string_equal(err.msg, "message is larger than 100 bytes");
        df_message_release(&message);

        /* a character of three bytes each: the limit is bytes of the text, not characters */
        strcpy(text, "\"");
        for (int i = 0; i < 16 + over; i++)
            strcat(text, "\\u20ac");
        strcat(text, "xx\"");
        len = build(body, sizeof body, "\"m\"", text, "\"" SESSION "\"", "");
        assert_int_equal(parse(&message, body, len, &err), over ? DF_ETOOBIG : DF_OK);
        if (over)
            assert_string_equal(err.msg, "username is larger than 50 bytes");
        df_message_release(&message);
    }
    memset(body, ' ', sizeof body);
    size_t len = build(body, sizeof body, "\"m\"", "\"u\"", "\"" SESSION "\"", "");
    body[len] = ' ';
    assert_int_equal(parse(&message, body, 2000, &err), DF_OK);
    df_message_release(&message);
    assert_int_equal(parse(&message, body, 2001, &err), DF_ETOOBIG);
}

static void passes_on_what_is_wrong_with_the_json(void **state)
{
    struct df_message message;
    struct df_error err;

    (void)state;
    assert_int_equal(parse(&message, "", 0, &err), DF_EINPUT);
    assert_string_equal(err.msg, "Unexpected end of JSON input");
    assert_int_equal(parse(&message, "{} x", 4, &err), DF_EINPUT);
    assert_int_equal(parse(&message, "{\"message\":\"abc", 15, &err), DF_EINPUT);
    assert_null(strstr(err.msg, "abc"));
}

static void survives_any_failed_allocation(void **state)
{
    static const char *const bodies[] = {
        "{\"message\":\"a line of chat that is not so short\",\"username\":\"some_buyer_name\","
        "\"streamSessionId\":\"" SESSION "\",\"platform\":\"whatnot\",\"messageId\":\"" ID "\"}",
        "{\"message\":5,\"username\":true,\"streamSessionId\":\"" SESSION "\",\"a\\ud800\":1e999}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        for (int n = 0;; n++) {
            struct df_message message;
            struct df_error err = {0};
            fail_alloc_after(n);
            enum df_code rc =
                df_message_parse(&message, bodies[i], strlen(bodies[i]), &limits, &err);
            if (!stop_failing()) {
                assert_int_equal(rc, DF_OK);
                df_message_release(&message);
                assert_true(n > 15);
                break;
            }
            assert_int_equal(rc, DF_ENOMEM);
            assert_null(message.root);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_staff_of_a_show),
        cmocka_unit_test(takes_a_message_as_it_is),
        cmocka_unit_test(names_the_missing_fields_exactly),
        cmocka_unit_test(does_not_call_visible_text_missing),
        cmocka_unit_test(prints_numbers_and_true_as_javascript_does),
        cmocka_unit_test(refuses_what_is_no_text_and_names_the_field),
        cmocka_unit_test(falls_back_to_whatnot),
        cmocka_unit_test(replaces_what_cannot_be_stored),
        cmocka_unit_test(counts_limits_in_bytes),
        cmocka_unit_test(passes_on_what_is_wrong_with_the_json),
        cmocka_unit_test(survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
