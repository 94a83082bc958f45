/* tests/unit/test_rt_filter.c - filter texts, good and bad. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/join.h"

static char session[37], error[512];

static const char *parse(struct df_buf *out, const char *text)
{
    df_buf_reset(out);
    return rt_filter_parse(out, text, strlen(text), session, error, sizeof error) ? out->data : NULL;
}

static void reads_conditions(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *want; } rows[] = {
        {"", "[]"},
        {"  ", "[]"},
        {"a=eq.1", "[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"1\"}]"},
        {"a=not.is.null", "[{\"column\":\"a\",\"op\":\"is\",\"not\":true,\"value\":\"null\"}]"},
        {"a=eq.x=y.z", "[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"x=y.z\"}]"},
        {"a=eq.", "[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"\"}]"},
        {"a=eq.\"b,\\\"c\\\\\"", "[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"b,\\\"c\\\\\"}]"},
        {"a=in.(b,\"c,d\", e )", "[{\"column\":\"a\",\"op\":\"in\",\"not\":false,\"values\":[\"b\",\"c,d\",\"e\"]}]"},
        {"a=in.()", "[{\"column\":\"a\",\"op\":\"in\",\"not\":false,\"values\":[]}]"},
        {"a=gt.1,b=like.x%", "[{\"column\":\"a\",\"op\":\"gt\",\"not\":false,\"value\":\"1\"},"
                             "{\"column\":\"b\",\"op\":\"like\",\"not\":false,\"value\":\"x%\"}]"},
    };
    /* clang-format on */
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = parse(&out, rows[i].text);
        if (got == NULL)
            fail_msg("%s: %s", rows[i].text, error);
        assert_string_equal(got, rows[i].want);
    }
    df_buf_release(&out);
}

static void refuses_in_the_words_of_supabase(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *want; } rows[] = {
        {"a=foo.hey", "Error parsing `filter` params: [\"foo\", \"hey\"]"},
        {"undefined", "Error parsing `filter` params: [\"undefined\"]"},
        {"a=in.b", "Error parsing `filter` params: `in` filter value must be wrapped by parentheses"},
        {"a=eq.1,,b=eq.2", "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)"},
        {"a=eq.1,", "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)"},
        {"a=is.maybe", "Error parsing `filter` params: [\"is\", \"maybe\"]"},
    };
    /* clang-format on */
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_null(parse(&out, rows[i].text));
        assert_string_equal(error, rows[i].want);
        assert_int_equal(out.len, 0);
    }
    df_buf_release(&out);
}

static void finds_the_session(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    assert_non_null(parse(&out, "stream_session_id=eq.11111111-2222-3333-4444-55555555555A"));
    assert_string_equal(session, "11111111-2222-3333-4444-55555555555a");
    assert_non_null(parse(&out, "stream_session_id=not.eq.11111111-2222-3333-4444-555555555555"));
    assert_string_equal(session, "");
    assert_non_null(parse(&out, "stream_session_id=eq.no-uuid"));
    assert_string_equal(session, "");
    df_buf_release(&out);
}

static void refuses_what_no_text_of_postgres_holds(void **state)
{
    static const char text[] = "a=eq.b\0c";
    struct df_buf out;

    (void)state;
    df_buf_init(&out, 4096);
    assert_false(rt_filter_parse(&out, text, sizeof text - 1, session, error, sizeof error));
    assert_string_equal(error, "Error parsing `filter` params: filter must not contain null characters");
    assert_int_equal(out.len, 0);
    df_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_conditions),
        cmocka_unit_test(refuses_in_the_words_of_supabase),
        cmocka_unit_test(refuses_what_no_text_of_postgres_holds),
        cmocka_unit_test(finds_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
