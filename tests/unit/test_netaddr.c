/* Unit tests of shared/netaddr.c. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/netaddr.h"

static const struct {
    const char *ip;
    bool want;
} rows[] = {
    {"8.8.8.8", true},          {"1.1.1.1", true},        {"0.0.0.0", false},
    {"10.1.2.3", false},        {"100.64.0.1", false},    {"100.128.0.1", true},
    {"127.0.0.1", false},       {"127.255.0.9", false},   {"169.254.169.254", false},
    {"172.15.255.255", true},   {"172.16.0.1", false},    {"172.31.255.255", false},
    {"172.32.0.1", true},       {"192.168.1.1", false},   {"192.169.0.1", true},
    {"198.18.0.1", false},      {"198.20.0.1", true},     {"224.0.0.1", false},
    {"255.255.255.255", false}, {"168.63.129.16", false}, {"2606:4700::1111", true},
    {"::1", false},             {"::", false},            {"fe80::1", false},
    {"fc00::1", false},         {"fd00:ec2::254", false}, {"ff02::1", false},
    {"2001:db8::1", false},     {"2001::1", false},       {"2001:4860::8888", true},
    {"::ffff:127.0.0.1", false}, {"::ffff:8.8.8.8", true}, {"64:ff9b::a00:1", false},
    {"64:ff9b::808:808", true}, {"2002:7f00:1::", false}, {"2002:808:808::", true},
    {"3fff::1", false},
};

static void tells_public_addresses_from_all_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct in_addr v4;
        struct in6_addr v6;
        bool is_public = inet_pton(AF_INET, rows[i].ip, &v4) == 1
                             ? df_netaddr_is_public4(ntohl(v4.s_addr))
                             : (inet_pton(AF_INET6, rows[i].ip, &v6) == 1 &&
                                df_netaddr_is_public6(v6.s6_addr));
        if (is_public != rows[i].want)
            fail_msg("%s", rows[i].ip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_public_addresses_from_all_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
