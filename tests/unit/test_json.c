/* tests/unit/test_json.c - foreign JSON in, numbers and strings out. */
#include "shared/json.h"

#include "tests/unit/failing_alloc.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FFFD "\xEF\xBF\xBD"

static json_t *must_parse(const char *body, size_t len)
{
    struct df_error err = {0};
    json_t *root = NULL;
    /* An exact copy on the heap, without a NUL behind it: ASan sees any read past the end. */
    char *copy = malloc(len + (len == 0));

    assert_non_null(copy);
    memcpy(copy, body, len);
    enum df_code rc = df_json_parse(&root, copy, len, 1 << 20, &err);
    free(copy);
    if (rc != DF_OK)
        fail_msg("%.60s: %s", body, err.msg);
    assert_non_null(root);
    return root;
}

static void takes_values_of_every_type(void **state)
{
    /* clang-format off */
    static const struct { const char *body; json_type type; } rows[] = {
        {"null", JSON_NULL}, {"true", JSON_TRUE}, {"false", JSON_FALSE}, {"5", JSON_INTEGER},
        {"-0.5e1", JSON_REAL}, {"\"x\"", JSON_STRING}, {"[]", JSON_ARRAY}, {"{}", JSON_OBJECT},
        {" \t\r\n{} \t\r\n", JSON_OBJECT}, {"\xEF\xBB\xBF{}", JSON_OBJECT}, {"\xEF\xBB\xBF 1", JSON_INTEGER},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *root = must_parse(rows[i].body, strlen(rows[i].body));
        assert_int_equal(json_typeof(root), rows[i].type);
        json_decref(root);
    }
}

static void takes_the_last_of_duplicate_keys(void **state)
{
    static const char body[] = "{\"a\":1,\"b\":2,\"a\":\"last\"}";
    json_t *root = must_parse(body, sizeof body - 1);

    (void)state;
    assert_string_equal(json_string_value(json_object_get(root, "a")), "last");
    json_decref(root);
}

static void repairs_texts_that_postgres_would_refuse(void **state)
{
    /* clang-format off */
#define ROW(in, out) {"\"" in "\"", sizeof in + 1, out}
    static const struct { const char *body; size_t len; const char *want; } rows[] = {
        ROW("a\\u0000b", "a" FFFD "b"), ROW("a\0b", "a" FFFD "b"),
        ROW("a\\ud83dz", "a" FFFD "z"), ROW("\\ud83d", FFFD), ROW("\\udc00", FFFD),
        ROW("\\ud83d\\ude00", "\xF0\x9F\x98\x80"), ROW("\\uD83D\\uDE00", "\xF0\x9F\x98\x80"),
        ROW("\\ud83d\\ud83d\\ude00", FFFD "\xF0\x9F\x98\x80"), ROW("\\ude00\\ud83d", FFFD FFFD),
        ROW("\\ud83d\\n", FFFD "\n"), ROW("\\ud83d\\u0041", FFFD "A"), ROW("\\\\u0000", "\\u0000"),
        ROW("\\\\\\u0000\\\"", "\\" FFFD "\""),
        ROW("a\xFF\xFE" "b", "a" FFFD FFFD "b"),      /* the case of the contract */
        ROW("\xC3\xA9", "\xC3\xA9"), ROW("\xC3", FFFD), ROW("\xC3(", FFFD "("),
        ROW("\xE2\x82", FFFD), ROW("\xE2\x82x", FFFD "x"), ROW("\xF0\x9F\x98", FFFD),
        ROW("\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"), ROW("\x80\x80", FFFD FFFD),
        ROW("\xC0\x80", FFFD FFFD),                   /* overlong */
        ROW("\xED\xA0\x80", FFFD FFFD FFFD),          /* a surrogate as bytes */
        ROW("\xF4\x90\x80\x80", FFFD FFFD FFFD FFFD), /* beyond U+10FFFF */
        ROW("\xE0\x80\x80", FFFD FFFD FFFD), ROW("\xEF\xBF\xBF", "\xEF\xBF\xBF"),
        ROW("\x7F", "\x7F"), ROW("\\/\\b\\f\\n\\r\\t", "/\b\f\n\r\t"),
    };
#undef ROW
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *root = must_parse(rows[i].body, rows[i].len);
        if (strcmp(json_string_value(root), rows[i].want) != 0)
            fail_msg("row %zu: got %s", i, json_string_value(root));
        assert_int_equal(json_string_length(root), strlen(rows[i].want));
        json_decref(root);
    }
}

static void repairs_keys_too(void **state)
{
    static const char body[] = "{\"a\\u0000\":1,\"b\xFF\":2}";
    json_t *root = must_parse(body, sizeof body - 1);

    (void)state;
    assert_int_equal(json_integer_value(json_object_get(root, "a" FFFD)), 1);
    assert_int_equal(json_integer_value(json_object_get(root, "b" FFFD)), 2);
    json_decref(root);
}

static void tolerates_numbers_jansson_refuses(void **state)
{
    /* clang-format off */
    static const struct { const char *body; double want; bool is_int; } rows[] = {
        {"9223372036854775807", 9223372036854775807.0, true},
        {"9223372036854775808", 9223372036854775808.0, false},
        {"-9223372036854775808", -9223372036854775808.0, true},
        {"-9223372036854775809", -9223372036854775808.0, false},
        {"123456789012345678901234567890", 123456789012345678901234567890.0, false},
        {"1e308", 1e308, false}, {"1e309", DBL_MAX, false}, {"-1e309", -DBL_MAX, false},
        {"1e400", DBL_MAX, false}, {"1E+400", DBL_MAX, false}, {"1.5e999999999999999999", DBL_MAX, false},
        {"1.7976931348623157e308", DBL_MAX, false}, {"1.7976931348623158e308", DBL_MAX, false},
        {"1.79769313486231580794e308", DBL_MAX, false}, {"1.8e308", DBL_MAX, false},
        {"1.7976931348623156e308", 1.7976931348623156e308, false},
        {"17976931348623157.0e292", DBL_MAX, false}, {"179769313486231580.0e291", DBL_MAX, false},
        {"0.00000000000000000001e329", DBL_MAX, false}, {"0.0001e312", 1e308, false},
        {"0e999", 0, false}, {"0.000e999", 0, false}, {"-0e400", 0, false},
        {"1e-400", 0, false}, {"1e-999999999999999999999", 0, false}, {"5e-324", 5e-324, false},
    };
    /* clang-format on */
    char text[600];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *root = must_parse(rows[i].body, strlen(rows[i].body));
        if (json_number_value(root) != rows[i].want)
            fail_msg("%s became %.17g", rows[i].body, json_number_value(root));
        assert_int_equal(json_is_integer(root), rows[i].is_int);
        json_decref(root);
        (void)snprintf(text, sizeof text, "{\"x\":[%s],\"k\":\"v\"}", rows[i].body);
        root = must_parse(text, strlen(text));
        assert_string_equal(json_string_value(json_object_get(root, "k")), "v");
        json_decref(root);
    }
    memset(text, '9', 500);
    text[500] = '\0';
    json_t *root = must_parse(text, 500);
    assert_true(json_number_value(root) == DBL_MAX);
    json_decref(root);
}

static void limits_the_nesting(void **state)
{
    char text[4 * DF_JSON_DEPTH_MAX];
    struct df_error err;
    json_t *root;

    (void)state;
    for (size_t depth = DF_JSON_DEPTH_MAX; depth <= DF_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        enum df_code rc = df_json_parse(&root, text, 2 * depth, sizeof text, &err);
        assert_int_equal(rc, depth <= DF_JSON_DEPTH_MAX ? DF_OK : DF_EINPUT);
        json_decref(root);
    }
    /* Brackets in strings and brackets that were closed do not count. */
    char wide[2048] =
        "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"";
    for (int i = 0; i < 200; i++)
        strcat(wide, ",[{}]");
    strcat(wide, "]");
    json_decref(must_parse(wide, strlen(wide)));
}

static void *parse_bombs(void *result)
{
    static char bomb[1 << 20];
    bool *ok = result;
    json_t *root;

    memset(bomb, '[', sizeof bomb);
    *ok = df_json_parse(&root, bomb, sizeof bomb, sizeof bomb, NULL) == DF_EINPUT;
    char text[20 * DF_JSON_DEPTH_MAX] = "";
    for (int i = 0; i < DF_JSON_DEPTH_MAX; i++)
        strcat(text, "{\"key\":");
    strcat(text, "1");
    for (int i = 0; i < DF_JSON_DEPTH_MAX; i++)
        strcat(text, "}");
    *ok = *ok && df_json_parse(&root, text, strlen(text), sizeof text, NULL) == DF_OK;
    json_decref(root);
    return NULL;
}

static void needs_only_a_small_stack(void **state)
{
    pthread_attr_t attr;
    pthread_t thread;
    bool ok = false;

    (void)state;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 128 * 1024), 0);
    assert_int_equal(pthread_create(&thread, &attr, parse_bombs, &ok), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_attr_destroy(&attr), 0);
    assert_true(ok);
}

static void says_where_and_why_without_quoting(void **state)
{
    /* clang-format off */
    static const struct { const char *body, *want; } rows[] = {
        {"", "Unexpected end of JSON input"}, {" \r\n\t", "Unexpected end of JSON input"},
        {"\xEF\xBB\xBF", "Unexpected end of JSON input"},
        {"secret", "Invalid JSON: invalid token at byte 6"},
        {"{\"message\":\"a\",}", "Invalid JSON: string or '}' expected at byte 16"},
        {"{'secret':1}", "Invalid JSON: string or '}' expected at byte 2"},
        {"{} secret", "Invalid JSON: end of file expected at byte 9"},
        {"\"\xFF\xFF\\u0000\" x", "Invalid JSON: end of file expected at byte 12"},
        {"\xEF\xBB\xBF[1e999,\"\\ud800\",secret]", "Invalid JSON: invalid token at byte 25"},
    };
    static const char *const bad[] = {
        "{", "[", "\"secret", "{\"a\":1", "[1,]", "nul", "01", "1.", ".5", "+1", "-", "1e", "1e+",
        "0x10", "NaN", "Infinity", "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "\"\\", "\"a\nb\"", "\"\x01\"",
        "\xFF", "{\"a\":\xC3\xA9}", "[1 2]", "{\"a\" 1}", "1e999.5", "099999999999999999999", "]", "}",
        "--1", "\xEF\xBB\xBF\xEF\xBB\xBF{}", "/**/{}", "{\"a\":1}{", "\"\\ud800\\u\"",
    };
    /* clang-format on */
    struct df_error err;
    json_t *root;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        root = (json_t *)&err;
        assert_int_equal(df_json_parse(&root, rows[i].body, strlen(rows[i].body), 100, &err),
                         DF_EINPUT);
        assert_null(root);
        assert_string_equal(err.msg, rows[i].want);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (df_json_parse(&root, bad[i], strlen(bad[i]), 100, &err) != DF_EINPUT)
            fail_msg("took %s", bad[i]);
        assert_null(root);
        if (strncmp(err.msg, "Invalid JSON: ", 14) != 0 || strstr(err.msg, " at byte ") == NULL ||
            strstr(err.msg, "secret") != NULL)
            fail_msg("%s: %s", bad[i], err.msg);
    }
    assert_int_equal(df_json_parse(&root, "{}\0", 3, 100, &err), DF_EINPUT);
    assert_int_equal(df_json_parse(&root, "{", 1, 100, NULL), DF_EINPUT);
}

static void refuses_a_body_over_the_limit(void **state)
{
    struct df_error err;
    json_t *root;

    (void)state;
    assert_int_equal(df_json_parse(&root, "[1,2]", 5, 4, &err), DF_ETOOBIG);
    assert_null(root);
    assert_int_equal(df_json_parse(&root, "[1,2]", 5, 5, &err), DF_OK);
    json_decref(root);
}

static void survives_any_failed_allocation(void **state)
{
    static const char body[] =
        "{\"message\":\"a text that is longer than one first "
        "buffer\",\"big\":1e999,\"n\":[1,2.5,true],"
        "\"a key that is longer than sixteen bytes\":\"\\ud83d\\ude00\xFF\",\"c\":null}";
    int failures = 0;

    (void)state;
    for (int n = 0;; n++) {
        struct df_error err = {0};
        json_t *root = NULL;
        fail_alloc_after(n);
        enum df_code rc = df_json_parse(&root, body, sizeof body - 1, sizeof body, &err);
        bool failed = stop_failing();
        if (!failed) {
            assert_int_equal(rc, DF_OK);
            json_decref(root);
            break;
        }
        assert_int_equal(rc, DF_ENOMEM);
        assert_null(root);
        failures++;
    }
    assert_true(failures > 20);
}

static const char *number_text(double value)
{
    static char text[64];
    struct df_buf buf;

    df_buf_init(&buf, 60);
    assert_true(df_json_append_number(&buf, value));
    memcpy(text, buf.data, buf.len + 1);
    df_buf_release(&buf);
    return text;
}

static void prints_numbers_as_javascript_does(void **state)
{
    /* clang-format off */
    static const struct { double value; const char *want; } rows[] = { /* from node -p */
        {0, "0"}, {-0.0, "0"}, {1, "1"}, {-1, "-1"}, {100, "100"}, {0.7, "0.7"}, {0.95, "0.95"},
        {0.1 + 0.2, "0.30000000000000004"}, {1.0 / 3, "0.3333333333333333"}, {45.5, "45.5"},
        {123456789012345680000.0, "123456789012345680000"}, {1e20, "100000000000000000000"},
        {1e21, "1e+21"}, {1.5e21, "1.5e+21"}, {-1e21, "-1e+21"}, {1e-6, "0.000001"},
        {1.5e-6, "0.0000015"}, {1e-7, "1e-7"}, {1.25e-7, "1.25e-7"}, {-1e-7, "-1e-7"},
        {5e-324, "5e-324"}, {DBL_MAX, "1.7976931348623157e+308"}, {0.6999, "0.6999"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"}, {9007199254740993.0, "9007199254740992"},
        {4503599627370495.5, "4503599627370495.5"}, {123.456, "123.456"}, {1e-5, "0.00001"},
        {NAN, "null"}, {INFINITY, "null"}, {-INFINITY, "null"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(number_text(rows[i].value), rows[i].want);
}

static void prints_numbers_that_read_back(void **state)
{
    uint64_t bits = 88172645463325252; /* xorshift: the same numbers at each run */
    double value;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value) && strtod(number_text(value), NULL) != value)
            fail_msg("%.17g became %s", value, number_text(value));
    }
}

static void escapes_what_json_must_not_hold(void **state)
{
    /* clang-format off */
    static const struct { const char *text; size_t len; const char *want; } rows[] = {
        {"", 0, "\"\""}, {"a", 1, "\"a\""}, {"\"\\/", 3, "\"\\\"\\\\/\""},
        {"\b\t\n\v\f\r\0\x1f\x7f", 9, "\"\\b\\t\\n\\u000b\\f\\r\\u0000\\u001f\x7f\""},
        {"caf\xC3\xA9 \xF0\x9F\x98\x80", 10, "\"caf\xC3\xA9 \xF0\x9F\x98\x80\""},
        {"a\xFF" "b\xE2\x82", 5, "\"a" FFFD "b" FFFD "\""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct df_buf buf;
        df_buf_init(&buf, 100);
        assert_true(df_json_append_string(&buf, rows[i].text, rows[i].len));
        assert_string_equal(buf.data, rows[i].want);
        json_t *back = must_parse(buf.data, buf.len);
        assert_true(json_is_string(back));
        json_decref(back);
        df_buf_release(&buf);
    }
}

static void leaves_no_half_string_when_out_of_room(void **state)
{
    static const char text[] = "ab\ncd\xFF"
                               "ef\"";

    (void)state;
    for (size_t max = 4; max < 19; max++) {
        struct df_buf buf;
        df_buf_init(&buf, max);
        assert_true(df_buf_append_str(&buf, "head"));
        bool ok = df_json_append_string(&buf, text, sizeof text - 1);
        assert_false(ok);
        assert_true(buf.failed);
        assert_string_equal(buf.data, "head");
        df_buf_release(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_values_of_every_type),
        cmocka_unit_test(takes_the_last_of_duplicate_keys),
        cmocka_unit_test(repairs_texts_that_postgres_would_refuse),
        cmocka_unit_test(repairs_keys_too),
        cmocka_unit_test(tolerates_numbers_jansson_refuses),
        cmocka_unit_test(limits_the_nesting),
        cmocka_unit_test(needs_only_a_small_stack),
        cmocka_unit_test(says_where_and_why_without_quoting),
        cmocka_unit_test(refuses_a_body_over_the_limit),
        cmocka_unit_test(survives_any_failed_allocation),
        cmocka_unit_test(prints_numbers_as_javascript_does),
        cmocka_unit_test(prints_numbers_that_read_back),
        cmocka_unit_test(escapes_what_json_must_not_hold),
        cmocka_unit_test(leaves_no_half_string_when_out_of_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
