/* tests/unit/test_error.c - codes, messages and statuses. */
#include "shared/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void returns_and_stores_the_code(void **state)
{
    struct df_error err = {.sqlstate = "23505"};

    (void)state;
    assert_int_equal(df_error_set(&err, DF_ETOOBIG, "message has %d bytes", 9000), DF_ETOOBIG);
    assert_int_equal(err.code, DF_ETOOBIG);
    assert_string_equal(err.msg, "message has 9000 bytes");
    assert_string_equal(err.sqlstate, ""); /* of the error before */
}

static void takes_no_error_struct(void **state)
{
    (void)state;
    assert_int_equal(df_error_set(NULL, DF_EINPUT, "x"), DF_EINPUT);
    assert_int_equal(df_error_wrap(NULL, "store"), DF_EBUG);
}

static void flattens_control_bytes_and_cuts_long_text(void **state)
{
    struct df_error err;
    char text[400];

    (void)state;
    (void)df_error_set(&err, DF_EINPUT, "a\nb\rc\x1b[0m\x7f \xC3\xA9");
    assert_string_equal(err.msg, "a?b?c?[0m? \xC3\xA9");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)df_error_set(&err, DF_EINPUT, "%s", text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
}

static void never_cuts_a_character_in_half(void **state)
{
    struct df_error err;
    char text[260];

    /* The message ends up in a JSON answer: 198 bytes, then a character of three. */
    (void)state;
    memset(text, 'x', 198);
    (void)strcpy(text + 198, "\xE2\x82\xAC and more");
    (void)df_error_set(&err, DF_EINPUT, "%s", text);
    assert_int_equal(strlen(err.msg), 198);
}

static void puts_context_in_front(void **state)
{
    struct df_error err;
    char text[300];

    (void)state;
    (void)df_error_set(&err, DF_EUNAVAILABLE, "no connection");
    assert_int_equal(df_error_wrap(&err, "store"), DF_EUNAVAILABLE);
    assert_string_equal(err.msg, "store: no connection");

    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)df_error_wrap(&err, text);
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_string_equal(err.msg + sizeof err.msg - 3, ": ");
    (void)df_error_set(&err, DF_EINPUT, "%s", text);
    (void)df_error_wrap(&err, "context");
    assert_int_equal(strlen(err.msg), sizeof err.msg - 1);
    assert_memory_equal(err.msg, "context: yyy", 12);
}

static void has_a_status_and_a_name_for_every_code(void **state)
{
    /* clang-format off */
    static const struct { enum df_code code; int status; const char *name; } rows[] = {
        {DF_OK, 200, "OK"}, {DF_EINPUT, 400, "INVALID_INPUT"}, {DF_EAUTH, 401, "UNAUTHORIZED"},
        {DF_EDENIED, 403, "FORBIDDEN"}, {DF_ENOTFOUND, 404, "NOT_FOUND"},
        {DF_EMETHOD, 405, "METHOD_NOT_ALLOWED"}, {DF_ECONFLICT, 409, "CONFLICT"},
        {DF_ETOOBIG, 413, "TOO_LARGE"}, {DF_EBUSY, 429, "RATE_LIMITED"},
        {DF_EPAYMENT, 402, "AI_PAYMENT_REQUIRED"}, {DF_EUPSTREAM, 502, "AI_FAILED"},
        {DF_ETIMEOUT, 504, "AI_TIMEOUT"}, {DF_EUNAVAILABLE, 503, "UNAVAILABLE"},
        {DF_ENOMEM, 503, "OUT_OF_MEMORY"}, {DF_EBUG, 500, "INTERNAL_ERROR"},
        {(enum df_code)99, 500, "INTERNAL_ERROR"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(df_error_http_status(rows[i].code), rows[i].status);
        assert_string_equal(df_error_name(rows[i].code), rows[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returns_and_stores_the_code),
        cmocka_unit_test(takes_no_error_struct),
        cmocka_unit_test(flattens_control_bytes_and_cuts_long_text),
        cmocka_unit_test(never_cuts_a_character_in_half),
        cmocka_unit_test(puts_context_in_front),
        cmocka_unit_test(has_a_status_and_a_name_for_every_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
