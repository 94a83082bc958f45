/* tests/unit/test_buf.c - growth, the maximum, and what a failed append leaves behind. */
#include "shared/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void grows_and_stays_a_string(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 10000);
    assert_null(buf.data);
    for (int i = 0; i < 1000; i++)
        assert_true(df_buf_printf(&buf, "%03d,", i));
    assert_int_equal(buf.len, 4000);
    assert_int_equal(strlen(buf.data), 4000);
    assert_memory_equal(buf.data, "000,001,", 8);
    assert_string_equal(buf.data + 3996, "999,");
    df_buf_release(&buf);
    assert_null(buf.data);
}

static void takes_exactly_its_maximum(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 8);
    assert_true(df_buf_append(&buf, "1234567", 7));
    assert_true(df_buf_append_char(&buf, '8'));
    assert_false(buf.failed);
    assert_false(df_buf_append_char(&buf, '9'));
    assert_true(buf.failed);
    assert_string_equal(buf.data, "12345678");
    df_buf_release(&buf);
}

static void appends_all_or_nothing(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 8);
    assert_true(df_buf_append_str(&buf, "12345"));
    assert_false(df_buf_append_str(&buf, "6789"));
    assert_false(df_buf_printf(&buf, "%s", "6789"));
    assert_string_equal(buf.data, "12345");
    assert_true(df_buf_append_str(&buf, "678")); /* smaller things still fit */
    assert_true(buf.failed);                     /* but the run as a whole failed */
    df_buf_reset(&buf);
    assert_false(buf.failed);
    assert_string_equal(buf.data, "");
    assert_true(df_buf_printf(&buf, "%d", 42));
    assert_string_equal(buf.data, "42");
    df_buf_release(&buf);
}

static void refuses_sizes_that_would_wrap(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 100);
    assert_true(df_buf_append_str(&buf, "abc"));
    assert_false(df_buf_reserve(&buf, SIZE_MAX));
    assert_false(df_buf_reserve(&buf, SIZE_MAX - 2));
    assert_string_equal(buf.data, "abc");
    df_buf_release(&buf);
}

static void lets_the_caller_write_into_reserved_room(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 1000);
    assert_true(df_buf_reserve(&buf, 500));
    memset(buf.data + buf.len, 'z', 500);
    buf.len += 500;
    assert_true(df_buf_append_char(&buf, '!'));
    assert_int_equal(strlen(buf.data), 501);
    df_buf_release(&buf);
}

static void takes_nothing_and_bytes_of_any_value(void **state)
{
    struct df_buf buf;

    (void)state;
    df_buf_init(&buf, 10);
    assert_true(df_buf_append(&buf, NULL, 0));
    assert_string_equal(buf.data, "");
    assert_true(df_buf_append(&buf, "a\0b", 3));
    assert_int_equal(buf.len, 3);
    assert_memory_equal(buf.data, "a\0b", 4);
    df_buf_release(&buf);
    df_buf_release(&buf); /* twice is harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_and_stays_a_string),
        cmocka_unit_test(takes_exactly_its_maximum),
        cmocka_unit_test(appends_all_or_nothing),
        cmocka_unit_test(refuses_sizes_that_would_wrap),
        cmocka_unit_test(lets_the_caller_write_into_reserved_room),
        cmocka_unit_test(takes_nothing_and_bytes_of_any_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
