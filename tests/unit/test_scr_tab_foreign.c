/* tests/unit/test_scr_tab_foreign.c - where frames inside a page may lead (scraper/tab_foreign.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scraper/tab_foreign.h"

static void frames_come_from_public_places_only(void **state)
{
    static const struct scr_address_policy policy = {.allowed_hosts = "whatnot.com"};
    /* clang-format off */
    static const struct { const char *url; bool may; } rows[] = {
        {"https://ads.example.org/frame?id=1", true},
        {"https://8.8.8.8/", true},
        {"https://[2606:4700::1111]:8443/x", true},
        {"http://ads.example.org/", false},
        {"https://127.0.0.1/", false},
        {"https://127.0.0.1./", false},
        {"https://10.1.2.3:8443/admin", false},
        {"https://user:pw@10.1.2.3/", false},
        {"https://ads.example.org@10.1.2.3/", false},
        {"https://169.254.169.254/latest/meta-data", false},
        {"https://[::1]/", false},
        {"https://[::ffff:192.168.0.1]/", false},
        {"https://[fe80::1", false},
        {"https://localhost/", false},
        {"https://LOCALHOST:1/", false},
        {"https://a.localhost./", false},
        {"https://notlocalhost/", true},
        {"https:///nothing", false},
        {"https://.", false},
        {"file:///etc/passwd", false},
        {"ftp://ads.example.org/", false},
        {"data:text/html,hello", false},
        {"about:blank", false},
        {"", false},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (scr_frame_may_load(rows[i].url, &policy) != rows[i].may)
            fail_msg("%s", rows[i].url);
}

static void private_places_and_http_where_they_are_allowed(void **state)
{
    static const struct scr_address_policy policy = {.allowed_hosts = "", .allow_private = true};

    (void)state;
    assert_true(scr_frame_may_load("http://127.0.0.1:8099/frame", &policy));
    assert_true(scr_frame_may_load("https://localhost/", &policy));
    assert_false(scr_frame_may_load("file:///etc/passwd", &policy));
    assert_false(scr_frame_may_load("chrome://settings", &policy));
}

static void a_host_longer_than_any_is_refused(void **state)
{
    static const struct scr_address_policy policy = {.allowed_hosts = ""};
    char url[400] = "https://";

    (void)state;
    memset(url + 8, 'a', 300);
    assert_false(scr_frame_may_load(url, &policy));
}

static void base64_gives_the_bytes_back(void **state)
{
    /* clang-format off */
    static const struct { const char *text, *want; size_t want_len; } rows[] = {
        {"", "", 0}, {"Zg==", "f", 1}, {"Zm8=", "fo", 2}, {"Zm9v", "foo", 3}, {"Zm9vYg", "foob", 4},
        {"+/8=", "\xfb\xff", 2}, {"AAAA", "\0\0\0", 3},
    };
    /* clang-format on */
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char *bytes = scr_base64_decode(rows[i].text, strlen(rows[i].text), &len);
        assert_non_null(bytes);
        assert_int_equal(len, rows[i].want_len);
        assert_memory_equal(bytes, rows[i].want, len);
        free(bytes);
    }
}

static void what_is_not_base64_gives_nothing(void **state)
{
    size_t len;

    (void)state;
    assert_null(scr_base64_decode("Zm9v\nZm9v", 9, &len));
    assert_null(scr_base64_decode("Zm9v-_", 6, &len));
    assert_null(scr_base64_decode("Z=9v", 4, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_from_public_places_only),
        cmocka_unit_test(private_places_and_http_where_they_are_allowed),
        cmocka_unit_test(a_host_longer_than_any_is_refused),
        cmocka_unit_test(base64_gives_the_bytes_back),
        cmocka_unit_test(what_is_not_base64_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
