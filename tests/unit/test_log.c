/* tests/unit/test_log.c - the line that reaches stderr, read back through a pipe. */
#include "shared/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char captured[8192];

/* Points stderr at a pipe for the time of one df_log call and keeps what arrives. */
#define CAPTURE(call)                                                                              \
    do {                                                                                           \
        int fds_[2], saved_ = dup(STDERR_FILENO);                                                  \
        assert_int_equal(pipe(fds_), 0);                                                           \
        assert_true(dup2(fds_[1], STDERR_FILENO) >= 0);                                            \
        call;                                                                                      \
        assert_true(dup2(saved_, STDERR_FILENO) >= 0);                                             \
        (void)close(saved_);                                                                       \
        (void)close(fds_[1]);                                                                      \
        ssize_t n_ = read(fds_[0], captured, sizeof captured - 1);                                 \
        captured[n_ > 0 ? n_ : 0] = '\0';                                                          \
        (void)close(fds_[0]);                                                                      \
    } while (0)

static void writes_one_logfmt_line(void **state)
{
    (void)state;
    df_log_init("tester", DF_LOG_INFO);
    CAPTURE(df_log(DF_LOG_WARN, "sale_captured", "req=%s ms=%d", "7f3a", 412));
    /* ts=2026-11-22T20:52:30.114Z and so on */
    assert_memory_equal(captured, "ts=20", 5);
    assert_int_equal(captured[13], 'T');
    assert_int_equal(captured[26], 'Z');
    assert_string_equal(captured + 27,
                        " level=warn prog=tester event=sale_captured req=7f3a ms=412\n");
    CAPTURE(df_log(DF_LOG_INFO, "start", "%s", ""));
    assert_non_null(strstr(captured, "event=start"));
    assert_int_equal(captured[strlen(captured) - 1], '\n');
}

static void keeps_quiet_below_its_level(void **state)
{
    (void)state;
    df_log_init("tester", DF_LOG_WARN);
    CAPTURE(df_log(DF_LOG_INFO, "x", "a=1"));
    assert_string_equal(captured, "");
    df_log_set_level(DF_LOG_DEBUG);
    CAPTURE(df_log(DF_LOG_DEBUG, "x", "a=1"));
    assert_non_null(strstr(captured, "level=debug"));
}

static void cuts_a_long_line_and_still_ends_it(void **state)
{
    char text[3000];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    df_log_init("tester", DF_LOG_INFO);
    CAPTURE(df_log(DF_LOG_INFO, "long", "text=%s", text));
    assert_true(strlen(captured) <= 1024);
    assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
}

static void never_writes_a_second_line(void **state)
{
    (void)state;
    df_log_init("tester", DF_LOG_INFO);
    CAPTURE(df_log(DF_LOG_INFO, "x", "a=%s", "1\nts=forged"));
    assert_ptr_equal(strchr(captured, '\n'), captured + strlen(captured) - 1);
}

static void quotes_what_is_hostile(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *want; } rows[] = {
        {"", "\"\""}, {"plain", "\"plain\""}, {"a \"b\" \\c", "\"a \\\"b\\\" \\\\c\""},
        {"x\ny\tz\x7f", "\"x?y?z?\""}, {"caf\xC3\xA9", "\"caf\xC3\xA9\""},
    };
    /* clang-format on */
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(df_log_quote(out, sizeof out, rows[i].text), rows[i].want);
}

static void quotes_into_any_size(void **state)
{
    char out[32];

    (void)state;
    for (size_t size = 0; size <= 24; size++) {
        memset(out, '#', sizeof out);
        df_log_quote(out, size, "\"\"\"\"\"\"\"\"abc");
        assert_int_equal(out[size], '#'); /* nothing behind the end */
        if (size > 0)
            assert_true(strlen(out) < size);
        if (size >= 3)
            assert_int_equal(out[strlen(out) - 1], '"');
    }
}

static void knows_the_names_of_levels(void **state)
{
    enum df_log_level level = DF_LOG_ERROR;

    (void)state;
    assert_true(df_log_level_parse("debug", &level));
    assert_int_equal(level, DF_LOG_DEBUG);
    assert_true(df_log_level_parse("error", &level));
    assert_int_equal(level, DF_LOG_ERROR);
    assert_false(df_log_level_parse("WARN", &level));
    assert_false(df_log_level_parse("", &level));
    assert_int_equal(level, DF_LOG_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_one_logfmt_line),
        cmocka_unit_test(keeps_quiet_below_its_level),
        cmocka_unit_test(cuts_a_long_line_and_still_ends_it),
        cmocka_unit_test(never_writes_a_second_line),
        cmocka_unit_test(quotes_what_is_hostile),
        cmocka_unit_test(quotes_into_any_size),
        cmocka_unit_test(knows_the_names_of_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
