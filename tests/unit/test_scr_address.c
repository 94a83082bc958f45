/* tests/unit/test_scr_address.c - which addresses the browser may open. */
#include "scraper/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct scr_address_policy real = {"whatnot.com", false, NULL};

static enum df_code parse(struct scr_address *out, const char *url,
                          const struct scr_address_policy *policy, struct df_error *err)
{
    return scr_address_parse(out, url, strlen(url), policy, err);
}

static void takes_shows_and_brings_them_into_one_spelling(void **state)
{
    /* clang-format off */
    static const struct { const char *url, *want, *host, *show_id; } rows[] = {
        {"https://www.whatnot.com/live/4f1d", "https://www.whatnot.com/live/4f1d", "www.whatnot.com", "4f1d"},
        {"https://whatnot.com", "https://whatnot.com/", "whatnot.com", ""},
        {"  https://whatnot.com/live/a-b_C9 \n", "https://whatnot.com/live/a-b_C9", "whatnot.com", "a-b_C9"},
        {"HTTPS://WWW.WhatNot.COM:443/de-DE/live/x1/?a=b#chat", "https://www.whatnot.com/de-DE/live/x1/?a=b", "www.whatnot.com", "x1"},
        {"https://www.whatnot.com./en/live/x", "https://www.whatnot.com/en/live/x", "www.whatnot.com", "x"},
        {"https://whatnot.com/a/../live/x", "https://whatnot.com/live/x", "whatnot.com", "x"},
        {"https://whatnot.com/live/%2e%2e", "https://whatnot.com/live/%2e%2e", "whatnot.com", ""},
        {"https://whatnot.com/user/live/x", "https://whatnot.com/user/live/x", "whatnot.com", ""},
        {"https://whatnot.com/lives/x", "https://whatnot.com/lives/x", "whatnot.com", ""},
        {"https://whatnot.com/live/", "https://whatnot.com/live/", "whatnot.com", ""},
        {"https://whatnot.com/?q=http://evil@x/", "https://whatnot.com/?q=http://evil@x/", "whatnot.com", ""},
        {"https://what%6eot.com/", "https://whatnot.com/", "whatnot.com", ""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_address address;
        struct df_error err = {0};
        if (parse(&address, rows[i].url, &real, &err) != DF_OK)
            fail_msg("%s: %s", rows[i].url, err.msg);
        assert_string_equal(address.url, rows[i].want);
        assert_string_equal(address.host, rows[i].host);
        assert_string_equal(address.show_id, rows[i].show_id);
        assert_int_equal(address.port, 443);
    }
}

static void refuses_what_is_no_page_of_an_allowed_host(void **state)
{
    /* clang-format off */
    static const struct { const char *url, *why; } rows[] = {
        {"", "empty"},
        {"   ", "empty"},
        {"www.whatnot.com/live/x", "not an address"},
        {"http://www.whatnot.com/", "must begin with https"},
        {"javascript:alert(1)", "not an address"},
        {"file:///etc/passwd", "must begin with https"},
        {"ftp://whatnot.com/", "must begin with https"},
        {"chrome://version", "must begin with https"},
        {"view-source:https://whatnot.com/", "not an address"},
        {"blob:https://whatnot.com/1", "not an address"},
        {"https://", "not an address"},
        {"https:///live/x", "live:443 is not one of"}, /* as browsers read it */
        {"https://whatnot.com.evil.com/", "not one of the allowed hosts: whatnot.com"},
        {"https://evilwhatnot.com/", "not one of the allowed hosts"},
        {"https://evil.com/whatnot.com", "not one of the allowed hosts"},
        {"https://evil.com?whatnot.com", "not one of the allowed hosts"},
        {"https://evil.com#@whatnot.com", "not one of the allowed hosts"},
        {"https://whatnot.com@evil.com/", "user name"},
        {"https://user:pw@whatnot.com/", "user name"},
        {"https://@whatnot.com/", "user name"},
        {"https://evil.com\\@whatnot.com/", "backslash"},
        {"https:\\\\whatnot.com/", "backslash"},
        {"https://whatnot.com/a b", "blank"},
        {"https://what\tnot.com/", "blank"},
        {"https://whatnot.com\r\nX: y/", "blank"},
        {"https://whatnot.com:8443/", "whatnot.com:8443 is not one of"},
        {"https://whatnot.com:0/", ""},
        {"https://whatnot.com:99999/", "not an address"},
        {"https://whatnot.com:x/", "not an address"},
        {"https://wh\xd0\xb0tnot.com/", "punycode"}, /* Cyrillic a */
        {"https://xn--whtnot-2nf.com/", "not one of"}, /* the same */
        {"https://w\xef\xbd\x88""atnot.com/", "punycode"}, /* wide h */
        {"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", "punycode"}, /* digits in rings */
        {"https://whatnot\xe2\x80\xae.com/", ""}, /* right-to-left override */
        {"https://whatnot..com/", "host"},
        {"https://.whatnot.com/", ""},
        {"https://what_not%00.com/", ""},
        {"https://whatnot.com%2f.evil.com/", ""},
        {"https://[::1%25eth0]/", ""},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_address address;
        struct df_error err = {0};
        if (parse(&address, rows[i].url, &real, &err) != DF_EINPUT)
            fail_msg("%s became %s", rows[i].url, address.url);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].url, err.msg, rows[i].why);
        assert_string_equal(address.url, "");
    }
    struct scr_address address;
    assert_int_equal(scr_address_parse(&address, "https://whatnot.com/\0x", 22, &real, NULL),
                     DF_EINPUT);
}

/* The list allows them here, so that only the address itself can be the reason. */
static void refuses_private_addresses_in_every_spelling(void **state)
{
    static const struct scr_address_policy lax = {
        "127.0.0.1,10.0.0.1,192.168.1.1,169.254.169.254,0.0.0.0,localhost,[::1],[::],"
        "[::ffff:127.0.0.1],[fc00::1],[fe80::1],[64:ff9b::7f00:1],[2002:7f00:1::]",
        false, NULL};
    static const char *const urls[] = {
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://192.168.257/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0.0.0.0/",
        "https://0/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://a.localhost/",
        "https://[::1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fc00::1]/",
        "https://[fe80::1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://%31%32%37.0.0.1/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct scr_address address;
        struct df_error err = {0};
        if (parse(&address, urls[i], &lax, &err) != DF_EINPUT)
            fail_msg("%s became %s", urls[i], address.url);
        if (strstr(err.msg, "is a private address") == NULL)
            fail_msg("%s: %s", urls[i], err.msg);
    }
}

static void judges_by_the_list_and_its_ports(void **state)
{
    static const struct scr_address_policy list = {" example.org:8443, *.shows.example ,", false, NULL};
    static const struct scr_address_policy test = {"127.0.0.1:8099,[::1],stream.test", true, NULL};
    /* clang-format off */
    static const struct { const char *url; const struct scr_address_policy *policy; const char *want; } rows[] = {
        {"https://example.org:8443/", &list, "https://example.org:8443/"},
        {"https://a.example.org:8443/", &list, "https://a.example.org:8443/"},
        {"https://example.org/", &list, NULL},
        {"https://example.org:84430/", &list, NULL},
        {"https://example.org:844/", &list, NULL},
        {"https://shows.example/", &list, "https://shows.example/"},
        {"https://x.shows.example/", &list, "https://x.shows.example/"},
        {"https://whatnot.com/", &list, NULL},
        {"http://127.0.0.1:8099/live/abc", &test, "http://127.0.0.1:8099/live/abc"},
        {"http://127.1:8099/", &test, "http://127.0.0.1:8099/"},
        {"http://127.0.0.1:8098/", &test, NULL},
        {"http://x.127.0.0.1:8099/", &test, NULL},
        {"http://[::1]:5/", &test, "http://[::1]:5/"},
        {"http://stream.test:81/", &test, "http://stream.test:81/"},
        {"http://stream.test:80/", &test, "http://stream.test/"},
        {"https://stream.test:80/", &test, "https://stream.test:80/"},
        {"ws://stream.test/", &test, NULL},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_address address;
        struct df_error err = {0};
        enum df_code rc = parse(&address, rows[i].url, rows[i].policy, &err);
        if ((rc == DF_OK) != (rows[i].want != NULL))
            fail_msg("%s: %s", rows[i].url, rc == DF_OK ? "taken" : err.msg);
        if (rc == DF_OK)
            assert_string_equal(address.url, rows[i].want);
    }
    const struct scr_address_policy nothing = {"", false, NULL};
    struct scr_address address;
    assert_int_equal(parse(&address, "https://whatnot.com/", &nothing, NULL), DF_EINPUT);
}

static void opens_one_local_page_and_nothing_beside_it(void **state)
{
    static const struct scr_address_policy demo = {"whatnot.com", false,
                                                   "http://127.0.0.1:8080/demo/"};
    /* clang-format off */
    static const struct { const char *url; bool is_local; } rows[] = {
        {"http://127.0.0.1:8080/demo/", true},
        {"http://127.1:8080/demo/", true},
        {"http://127.0.0.1:8080/x/../demo/?show=2#chat", true},
        {"https://whatnot.com/live/x", false},
    };
    static const char *const refused[] = {
        "http://127.0.0.1:8080/", "http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo/x",
        "http://127.0.0.1:8080/demo/../", "http://127.0.0.1:8080/demo/%2e%2e/", "http://127.0.0.1:8081/demo/",
        "https://127.0.0.1:8080/demo/", "http://127.0.0.2:8080/demo/", "http://localhost:8080/demo/",
        "http://x@127.0.0.1:8080/demo/", "http://[::1]:8080/demo/", "http://whatnot.com/demo/",
        "http://127.0.0.1:80/demo/",
    };
    /* clang-format on */
    struct scr_address address;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(&address, rows[i].url, &demo, NULL), DF_OK);
        assert_int_equal(address.is_local_page, rows[i].is_local);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (parse(&address, refused[i], &demo, NULL) != DF_EINPUT)
            fail_msg("%s became %s", refused[i], address.url);
    assert_true(scr_address_is_local_page("http://127.0.0.1:8080/demo/?a", &demo));
    assert_false(scr_address_is_local_page("http://127.0.0.1:8080/demo/a", &demo));
    assert_false(scr_address_is_local_page("http://127.0.0.1:8080/demo/", &real));
    assert_false(scr_address_ip_allowed("127.0.0.1", &demo));
}

static void takes_only_a_local_page_of_a_fixed_place(void **state)
{
    static const char *const good[] = {"http://127.0.0.1:8080/demo/", "https://[::1]/x",
                                       "http://192.168.7.7/demo/"};
    static const char *const bad[] = {
        "",          "http://localhost:8080/demo/",   "http://demo.example/",
        "file:///x", "http://127.0.0.1:8080/demo/?a", "http://127.0.0.1:8080/a b",
        "127.0.0.1", "http://127.0.0.1:8080",         "http://127.1:8080/demo/",
        "HTTP://127.0.0.1/", "http://127.0.0.1:80/"};
    struct df_error err;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (scr_address_check_local_page(good[i], &err) != DF_OK)
            fail_msg("%s: %s", good[i], err.msg);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (scr_address_check_local_page(bad[i], &err) != DF_EINPUT)
            fail_msg("%s is taken", bad[i]);
}

static void knows_public_addresses_from_others(void **state)
{
    static const char *const open[] = {
        "8.8.8.8",        "104.18.0.1",  "172.15.255.255",   "172.32.0.1",  "100.63.0.1",
        "100.128.0.1",    "192.0.1.1",   "223.255.255.255",  "2606:4700::", "[2606:4700::1]",
        "::ffff:8.8.8.8", "2002:808::1", "64:ff9b::808:808", "2001:4860::1"};
    static const char *const closed[] = {"",
                                         "x",
                                         "8.8.8.8.8",
                                         "8.8.8.8:443",
                                         "[8.8.8.8",
                                         "127.0.0.1",
                                         "127.255.0.1",
                                         "0.1.2.3",
                                         "10.9.8.7",
                                         "100.64.0.1",
                                         "172.16.0.1",
                                         "172.31.9.9",
                                         "169.254.169.254",
                                         "192.168.0.1",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "198.18.0.1",
                                         "198.51.100.1",
                                         "203.0.113.1",
                                         "224.0.0.1",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "168.63.129.16",
                                         "::",
                                         "::1",
                                         "[::1]",
                                         "fe80::1",
                                         "fd00:ec2::254",
                                         "ff02::1",
                                         "::ffff:10.0.0.1",
                                         "::7f00:1",
                                         "2001:db8::1",
                                         "2001::1",
                                         "64:ff9b::a00:1",
                                         "64:ff9b:1::a00:1",
                                         "2002:a00:1::",
                                         "3fff::1",
                                         "5f00::1",
                                         "fe80::1%eth0",
                                         "100::1"};
    static const struct scr_address_policy lax = {"x", true, NULL};

    (void)state;
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        if (!scr_address_ip_allowed(open[i], &real))
            fail_msg("%s is refused", open[i]);
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if (scr_address_ip_allowed(closed[i], &real))
            fail_msg("%s is allowed", closed[i]);
    assert_false(scr_address_ip_allowed(NULL, &lax));
    assert_false(scr_address_ip_allowed("x", &lax));
    assert_true(scr_address_ip_allowed("127.0.0.1", &lax));
    assert_true(scr_address_ip_allowed("[::1]", &lax));
}

static void takes_addresses_up_to_its_limits(void **state)
{
    char url[2100] = "https://whatnot.com/live/";
    struct scr_address address;
    size_t head = strlen(url);

    (void)state;
    memset(url + head, 'x', 1000 - head);
    assert_int_equal(scr_address_parse(&address, url, 1000, &real, NULL), DF_OK);
    assert_string_equal(address.show_id, ""); /* longer than any id */
    memset(url + head, 'x', sizeof url - head - 1);
    assert_int_equal(parse(&address, url, &real, NULL), DF_EINPUT);
    url[head] = '?';
    url[2047] = '\0';
    assert_int_equal(parse(&address, url, &real, NULL), DF_OK);
    assert_int_equal(strlen(address.url), 2047);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_shows_and_brings_them_into_one_spelling),
        cmocka_unit_test(refuses_what_is_no_page_of_an_allowed_host),
        cmocka_unit_test(refuses_private_addresses_in_every_spelling),
        cmocka_unit_test(judges_by_the_list_and_its_ports),
        cmocka_unit_test(opens_one_local_page_and_nothing_beside_it),
        cmocka_unit_test(takes_only_a_local_page_of_a_fixed_place),
        cmocka_unit_test(knows_public_addresses_from_others),
        cmocka_unit_test(takes_addresses_up_to_its_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
