/* tests/unit/test_scr_discover.c - the list of shows that an index page's script returns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/discover.h"

static char hosts[] = "whatnot.com";
static const struct scr_config config = {.allowed_hosts = hosts};
static struct scr_show shows[8];

static size_t parse(const char *json, size_t max)
{
    return scr_discover_parse(shows, max, json, strlen(json), &config);
}

static void viewers_are_read_as_people_write_them(void **state)
{
    /* clang-format off */
    static const struct { const char *json; int64_t want; } rows[] = {
        {"1963", 1963}, {"0", 0}, {"12.4", 12}, {"-1", -1}, {"1e30", -1}, {"null", -1}, {"[]", -1},
        {"\"9\"", 9}, {"\"1.2K\"", 1200}, {"\"1.2k watching\"", 1200}, {"\"1,2 K\"", 1200},
        {"\"1,963\"", 1963}, {"\"1.963\"", 1963}, {"\"1,234,567\"", 1234567}, {"\"2M\"", 2000000},
        {"\"2.345M\"", 2345000}, {"\"1.5\"", 2}, {"\"\"", -1}, {"\"many\"", -1}, {"\"-5\"", -1},
        {"\"1,23,4\"", -1}, {"\"1.2.3K\"", -1}, {"\"999999999999999\"", -1}, {"\"5,\"", 5},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char json[200];
        (void)snprintf(json, sizeof json,
                       "[{\"url\":\"https://www.whatnot.com/live/a\",\"viewers\":%s}]",
                       rows[i].json);
        assert_int_equal(parse(json, 8), 1);
        if (shows[0].viewers != rows[i].want)
            fail_msg("%s: %lld", rows[i].json, (long long)shows[0].viewers);
    }
}

static void most_viewers_come_first_and_none_twice(void **state)
{
    (void)state;
    assert_int_equal(
        parse("[{\"url\":\"https://www.whatnot.com/live/a\",\"viewers\":5,\"title\":\"A\","
              "\"host\":\"ann\"},"
              "{\"url\":\"https://www.whatnot.com/live/b\",\"viewers\":\"1.2K\"},"
              "{\"url\":\"https://WWW.whatnot.com/live/a#x\",\"viewers\":9000},"
              "{\"url\":\"https://www.whatnot.com/live/c\"},"
              "{\"url\":\"https://www.whatnot.com/live/d\",\"viewers\":5}]",
              8),
        4);
    assert_string_equal(shows[0].url, "https://www.whatnot.com/live/b");
    assert_int_equal(shows[0].viewers, 1200);
    assert_string_equal(shows[1].url, "https://www.whatnot.com/live/a"); /* the page's order */
    assert_string_equal(shows[1].title, "A");
    assert_string_equal(shows[1].host, "ann");
    assert_string_equal(shows[2].url, "https://www.whatnot.com/live/d");
    assert_string_equal(shows[2].title, "");
    assert_int_equal(shows[3].viewers, -1);
}

static void only_allowed_addresses_of_shows_count(void **state)
{
    (void)state;
    assert_int_equal(parse("[{\"url\":\"https://whatnot.com.evil.test/live/a\"},"
                           "{\"url\":\"http://www.whatnot.com/live/a\"},"
                           "{\"url\":\"https://u:p@www.whatnot.com/live/a\"},"
                           "{\"url\":\"javascript:alert(1)\"},"
                           "{\"url\":\"https://www.whatnot.com/user/a\"},"
                           "{\"url\":\"https://127.0.0.1/live/a\"},"
                           "{\"url\":5},{},7,null,[],\"x\"]",
                           8),
                     0);
}

static void what_is_no_list_is_empty(void **state)
{
    static const char *const texts[] = {"", "null", "{}", "5", "[", "\"[]\"", "[[[[", "{\"0\":{}}"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(parse(texts[i], 8), 0);
}

static void the_smallest_are_left_out_when_there_is_no_room(void **state)
{
    char json[2000] = "[";
    size_t len = 1;

    (void)state;
    for (int i = 0; i < 12; i++)
        len += (size_t)snprintf(json + len, sizeof json - len,
                                "%s{\"url\":\"https://www.whatnot.com/live/s%d\",\"viewers\":%d}",
                                i == 0 ? "" : ",", i, (i * 7) % 12);
    (void)snprintf(json + len, sizeof json - len, "]");
    assert_int_equal(parse(json, 3), 3);
    assert_int_equal(shows[0].viewers, 11);
    assert_int_equal(shows[1].viewers, 10);
    assert_int_equal(shows[2].viewers, 9);
    assert_int_equal(parse(json, 0), 0);
}

static void long_titles_are_cut_at_a_character(void **state)
{
    char json[2000];
    size_t len = (size_t)snprintf(json, sizeof json,
                                  "[{\"url\":\"https://www.whatnot.com/live/a\",\"title\":\"");

    (void)state;
    for (int i = 0; i < 200; i++) { /* three bytes each: 85 of them fit exactly */
        memcpy(json + len, "\xE2\x82\xAC", 3);
        len += 3;
    }
    memcpy(json + len, "\",\"host\":\"x", 11);
    len += 11;
    for (int i = 0; i < 100; i++) {
        memcpy(json + len, "\xE2\x82\xAC", 3);
        len += 3;
    }
    memcpy(json + len, "\"}]", 4);
    assert_int_equal(parse(json, 8), 1);
    assert_int_equal(strlen(shows[0].title), 255);
    assert_int_equal(strlen(shows[0].host), 127);
    assert_memory_equal(shows[0].host + 124, "\xE2\x82\xAC", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(viewers_are_read_as_people_write_them),
        cmocka_unit_test(most_viewers_come_first_and_none_twice),
        cmocka_unit_test(only_allowed_addresses_of_shows_count),
        cmocka_unit_test(what_is_no_list_is_empty),
        cmocka_unit_test(the_smallest_are_left_out_when_there_is_no_room),
        cmocka_unit_test(long_titles_are_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
