/* tests/unit/test_rt_select.c - chosen columns of a row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/select.h"

static void records(void **state)
{
    /* clang-format off */
    static const struct { const char *object, *select, *key, *want; } rows[] = {
        {"{\"id\": 7, \"a\": 1, \"b\": 2}", "[\"b\"]", "7", "{\"id\":7,\"b\":2}"},
        {"{\"id\": \"x\", \"a\": \"x,y\", \"b\": {\"id\": [1, \"}\"]}}", "[\"b\"]", "\"x\"",
         "{\"id\":\"x\",\"b\":{\"id\": [1, \"}\"]}}"},
        {"{\"n\": 9007199254740993.50, \"m\": 1e400}", "[\"n\",\"m\"]", "0",
         "{\"n\":9007199254740993.50,\"m\":1e400}"},
        {"{\"p\": 1, \"q\": 2, \"r\": 3}", "[\"r\"]", "{\"p\": 1, \"q\": 2}", "{\"p\":1,\"q\":2,\"r\":3}"},
        {"{\"a\\\"b\": \"\\\\\", \"c\": null}", "[\"a\\\"b\"]", "7", "{\"a\\\"b\":\"\\\\\"}"},
        {"{}", "[\"b\"]", "7", "{}"},
        {"{\"id\": 7}", "[]", "7", "{\"id\":7}"},
        {"null", "[\"b\"]", "7", "null"},
        {"{\"id\": 7, \"a", "[\"a\"]", "7", "{\"id\":7}"},
    };
    /* clang-format on */
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        df_buf_reset(&out);
        assert_true(rt_select_record(&out, rows[i].object, rows[i].select, rows[i].key));
        assert_string_equal(out.data, rows[i].want);
    }
    df_buf_release(&out);
}

static void columns(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    assert_true(
        rt_select_columns(&out,
                          "[{\"name\": \"id\", \"type\": \"int8\"}, {\"name\": \"a\", \"type\": "
                          "\"text\"}, {\"type\": \"b\", \"name\": \"c\"}]",
                          "{\"id\": 7, \"a\": 1, \"c\": 2}", "[\"c\"]", "7"));
    assert_string_equal(
        out.data, "[{\"name\": \"id\", \"type\": \"int8\"},{\"type\": \"b\", \"name\": \"c\"}]");
    df_buf_reset(&out);
    assert_true(rt_select_columns(&out, "[]", NULL, "[\"c\"]", "7"));
    assert_string_equal(out.data, "[]");
    df_buf_release(&out);
}

static void no_room_is_told(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 8);
    assert_false(rt_select_record(&out, "{\"id\": 7, \"a\": 1}", "[\"a\"]", "7"));
    df_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(columns),
        cmocka_unit_test(no_room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
