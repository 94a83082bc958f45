/* shared/netaddr.h - is a numeric address one of the public internet? Pure; any thread. */
#ifndef SHARED_NETADDR_H
#define SHARED_NETADDR_H

#include <stdbool.h>
#include <stdint.h>

/* False for loopback, private, link-local (cloud metadata), carrier-grade NAT, multicast,
 * documentation, reserved and unspecified addresses, and for IPv6 addresses that carry such an IPv4
 * one (mapped, NAT64, 6to4) or lie outside 2000::/3. Source: IANA special-purpose registries.
 * `ip` is in host byte order; `bytes` are the sixteen of in6_addr. */
bool df_netaddr_is_public4(uint32_t ip);
bool df_netaddr_is_public6(const uint8_t bytes[16]);

#endif
