/* shared/netaddr.c - the special ranges of IPv4 and IPv6. */
#include "shared/netaddr.h"

#include <stddef.h>
#include <string.h>

struct range4 {
    uint32_t net;
    int bits;
};

/* What is not for the public: IANA's special-purpose registry, multicast, reserved. */
bool df_netaddr_is_public4(uint32_t ip)
{
    /* clang-format off */
    static const struct range4 closed[] = {
        {0x00000000,  8}, /* 0.0.0.0/8: this host */
        {0x0a000000,  8}, /* 10/8: private */
        {0x64400000, 10}, /* 100.64/10: carrier-grade NAT */
        {0x7f000000,  8}, /* 127/8: loopback */
        {0xa9fe0000, 16}, /* 169.254/16: link-local, cloud metadata */
        {0xac100000, 12}, /* 172.16/12: private */
        {0xc0000000, 24}, /* 192.0.0/24: protocol assignments */
        {0xc0000200, 24}, /* 192.0.2/24: documentation */
        {0xc0586300, 24}, /* 192.88.99/24: 6to4 relays */
        {0xc0a80000, 16}, /* 192.168/16: private */
        {0xc6120000, 15}, /* 198.18/15: benchmarks */
        {0xc6336400, 24}, /* 198.51.100/24: documentation */
        {0xcb007100, 24}, /* 203.0.113/24: documentation */
        {0xe0000000,  3}, /* 224/3: multicast, reserved, broadcast */
    };
    /* clang-format on */
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++)
        if ((ip ^ closed[i].net) >> (32 - closed[i].bits) == 0)
            return false;
    /* 168.63.129.16 lies in a public range, but is a cloud's way to its own host. */
    return ip != 0xa83f8110;
}

static uint32_t embedded4(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

bool df_netaddr_is_public6(const uint8_t b[16])
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (memcmp(b, mapped, sizeof mapped) == 0)
        return df_netaddr_is_public4(embedded4(b + 12));
    if (memcmp(b, nat64, sizeof nat64) == 0)
        return df_netaddr_is_public4(embedded4(b + 12));
    if ((b[0] & 0xe0) != 0x20)
        return false; /* only 2000::/3 is global: no ::1, fc00::/7, fe80::/10, ff00::/8 ... */
    if (b[0] == 0x20 && b[1] == 0x02)
        return df_netaddr_is_public4(embedded4(b + 2)); /* 6to4 */
    if (b[0] == 0x20 && b[1] == 0x01 && (b[2] < 0x02 || (b[2] == 0x0d && b[3] == 0xb8)))
        return false; /* 2001::/23: Teredo and protocol assignments; 2001:db8::/32: documentation */
    return !(b[0] == 0x3f && b[1] == 0xff && b[2] < 0x10); /* 3fff::/20: documentation */
}
