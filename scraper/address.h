/* scraper/address.h - which addresses the browser may open. Parsed by libcurl's URL parser, judged by
 * host, never by a piece of text. Pure (no look-ups); any thread; fuzzed. */
#ifndef SCRAPER_ADDRESS_H
#define SCRAPER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

struct scr_address_policy {
    const char *allowed_hosts; /* SCRAPER_ALLOWED_HOSTS: comma list; "whatnot.com" covers its
                                  subdomains; an entry with a port ("127.0.0.1:8099") only
                                  that, one without only 443 (any where private is allowed) */
    bool allow_private;        /* SCRAPER_ALLOW_PRIVATE: private and loopback addresses, and http */
    const char *local_page;    /* SCRAPER_LOCAL_PAGE: the one page that is allowed whatever the two
                                  above say; normalised as scr_address.url is; NULL: none */
};

struct scr_address {
    char url[2048];   /* normalised: lower-case scheme and host, no user info, no fragment */
    char host[256];
    char path[1024];
    char show_id[128]; /* what follows /live/ (also behind a locale: /de-DE/live/X), else "" */
    int port;
    bool is_local_page; /* it is policy->local_page, perhaps with a query */
};

/* DF_EINPUT: not an address, other scheme than https (or http where private ones are allowed), user
 * info, a host with other letters than ASCII (punycode is taken), control bytes, host not in the list, IP literal that is private (any spelling: decimal,
 * octal, hex, IPv4-mapped IPv6 ...). err->msg says which, for people ("... is not one of the allowed
 * hosts: whatnot.com"). */
enum df_code scr_address_parse(struct scr_address *out, const char *url, size_t url_len,
                               const struct scr_address_policy *policy,
                               struct df_error *err) DF_MUST_USE;

/* Is SCRAPER_LOCAL_PAGE one that policy->local_page may hold: http or https, a host that is an IP
 * address, a path, no query, spelled as scr_address.url is? DF_EINPUT says what is wrong. */
enum df_code scr_address_check_local_page(const char *url, struct df_error *err) DF_MUST_USE;

/* Is it the address of policy->local_page, query and fragment aside? */
bool scr_address_is_local_page(const char *url, const struct scr_address_policy *policy);

/* May a page be loaded from this resolved address (text as Chromium reports remoteIPAddress: with or
 * without brackets)? False for loopback, private, link-local, unique-local, CGNAT, multicast,
 * unspecified, documentation and metadata ranges, unless policy->allow_private; false for what is no
 * address. */
bool scr_address_ip_allowed(const char *ip, const struct scr_address_policy *policy);

#endif
