/* tests/unit/test_rt_base64.c - RFC 4648's own examples, and what is none of ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/base64.h"

static void there_and_back(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xff\xfe\xfb", "//77"}};
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        df_buf_reset(&out);
        assert_true(rt_base64_append(&out, (const uint8_t *)rows[i][0], strlen(rows[i][0])));
        assert_string_equal(out.data, rows[i][1]);
        df_buf_reset(&out);
        assert_true(rt_base64_decode(&out, rows[i][1], strlen(rows[i][1])));
        assert_int_equal(out.len, strlen(rows[i][0]));
        assert_memory_equal(out.data, rows[i][0], out.len);
    }
    df_buf_release(&out);
}

static void refuses_anything_else(void **state)
{
    static const char *const rows[] = {
        "Z", "Zg=", "Zg==Zg==", "Z===", "====", "Zm 8", "Zm9-", "Zm9vY"};
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 64);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_false(rt_base64_decode(&out, rows[i], strlen(rows[i])));
    df_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(refuses_anything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
