/* scraper/address.c - parsed by libcurl, then judged by host. What is handed on is put together
 * anew from the judged parts, so that the browser cannot read the text in another way. */
#include "scraper/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/netaddr.h"

/* --- numeric addresses ----------------------------------------------------------------------- */

bool scr_address_ip_allowed(const char *ip, const struct scr_address_policy *policy)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = ip == NULL ? 0 : strlen(ip);

    if (len >= 2 && ip[0] == '[' && ip[len - 1] == ']') {
        ip++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof text)
        return false;
    memcpy(text, ip, len);
    text[len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return policy->allow_private || df_netaddr_is_public4(ntohl(v4.s_addr));
    if (inet_pton(AF_INET6, text, &v6) == 1)
        return policy->allow_private || df_netaddr_is_public6(v6.s6_addr);
    return false;
}

/* --- hosts ----------------------------------------------------------------------------------- */

/* Browsers read a name whose last label is a number as an IPv4 address, whatever its spelling. */
static bool ends_in_number(const char *host)
{
    const char *dot = strrchr(host, '.');
    const char *label = dot == NULL ? host : dot + 1;

    if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return label[2 + strspn(label + 2, "0123456789abcdefABCDEF")] == '\0';
    return label[0] != '\0' && label[strspn(label, "0123456789")] == '\0';
}

/* Brings a host into its one spelling: lower case, no dot at the end, plain dotted quad, shortest
 * IPv6 in brackets. *is_literal tells an IP address from a name. International names are taken as
 * punycode only: what other letters become depends on the mapping, and ours need not be Chromium's.
 */
static bool normalise_host(char *host, size_t host_size, bool *is_literal)
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t len = strlen(host);

    *is_literal = false;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        char text[INET6_ADDRSTRLEN];
        host[len - 1] = '\0';
        if (inet_pton(AF_INET6, host + 1, &v6) != 1 ||
            inet_ntop(AF_INET6, &v6, text, sizeof text) == NULL)
            return false; /* a zone ("%25eth0") ends here too */
        *is_literal = true;
        return snprintf(host, host_size, "[%s]", text) > 0;
    }
    for (size_t i = 0; i < len; i++) {
        host[i] = (char)tolower((unsigned char)host[i]);
        if (!isalnum((unsigned char)host[i]) && strchr("-._", host[i]) == NULL)
            return false;
    }
    if (len > 0 && host[len - 1] == '.')
        host[--len] = '\0';
    if (len == 0 || len > 253 || host[0] == '.' || host[len - 1] == '.' ||
        strstr(host, "..") != NULL)
        return false;
    if (!ends_in_number(host))
        return true;
    *is_literal = true;
    return inet_aton(host, &v4) == 1 && inet_ntop(AF_INET, &v4, host, (socklen_t)host_size) != NULL;
}

/* Does one entry of the list cover the host? "whatnot.com" and "*.whatnot.com" cover it and its
 * subdomains, an IP address only itself; without a port the usual one is meant. */
static bool entry_covers(const char *entry, size_t entry_len, const struct scr_address *address,
                         bool is_literal, bool any_port)
{
    const char *colon = memrchr(entry, ':', entry_len);
    size_t host_len = entry_len, have = strlen(address->host);

    if (colon != NULL && memchr(colon, ']', (size_t)(entry + entry_len - colon)) == NULL) {
        char port[8];
        (void)snprintf(port, sizeof port, "%d", address->port);
        host_len = (size_t)(colon - entry);
        if (strlen(port) != entry_len - host_len - 1 ||
            memcmp(port, colon + 1, entry_len - host_len - 1) != 0)
            return false;
    } else if (address->port != 443 && !any_port) {
        return false;
    }
    if (host_len > 2 && entry[0] == '*' && entry[1] == '.') {
        entry += 2;
        host_len -= 2;
    }
    if (host_len == 0 || host_len > have ||
        strncasecmp(address->host + have - host_len, entry, host_len) != 0)
        return false;
    return host_len == have || (!is_literal && address->host[have - host_len - 1] == '.');
}

static bool is_listed(const struct scr_address *address, bool is_literal,
                      const struct scr_address_policy *policy)
{
    for (const char *entry = policy->allowed_hosts; entry != NULL;) {
        const char *end = strchrnul(entry, ',');
        const char *next = *end == ',' ? end + 1 : NULL;
        while (entry < end && *entry == ' ')
            entry++;
        while (end > entry && end[-1] == ' ')
            end--;
        if (entry_covers(entry, (size_t)(end - entry), address, is_literal, policy->allow_private))
            return true;
        entry = next;
    }
    return false;
}

static bool is_loopback_name(const char *host)
{
    size_t len = strlen(host), name_len = strlen("localhost");

    return len >= name_len && strcmp(host + len - name_len, "localhost") == 0 &&
           (len == name_len || host[len - name_len - 1] == '.');
}

/* --- the whole address ----------------------------------------------------------------------- */

/* Bytes that a browser would drop or turn into others, so that it would read another address. */
static enum df_code check_bytes(const char *url, size_t url_len, struct df_error *err)
{
    for (size_t i = 0; i < url_len; i++) {
        unsigned char c = (unsigned char)url[i];
        if (c <= ' ' || c == 0x7f || c == '\\')
            return df_error_set(err, DF_EINPUT,
                                "the address has a blank, control or backslash byte in it");
    }
    return DF_OK;
}

static enum df_code check_authority(const char *url, struct df_error *err)
{
    const char *begin = strstr(url, "://");
    if (begin == NULL)
        return df_error_set(err, DF_EINPUT, "not an address: it must begin with https://");
    begin += 3;
    if (memchr(begin, '@', strcspn(begin, "/?#")) != NULL)
        return df_error_set(err, DF_EINPUT, "the address must not hold a user name");
    return DF_OK;
}

/* Compares what is before the query: the path is part of it, so nothing else of that server is meant. */
bool scr_address_is_local_page(const char *url, const struct scr_address_policy *policy)
{
    size_t len = policy->local_page == NULL ? 0 : strlen(policy->local_page);

    return len > 0 && strncmp(url, policy->local_page, len) == 0 &&
           (url[len] == '\0' || url[len] == '?' || url[len] == '#');
}

/* One part, copied; false when it is missing or too long. */
static bool get_part(CURLU *parsed, CURLUPart part, unsigned flags, char *out, size_t out_size)
{
    char *text = NULL;
    bool ok = curl_url_get(parsed, part, &text, flags) == CURLUE_OK && strlen(text) < out_size;

    if (ok)
        (void)snprintf(out, out_size, "%s", text);
    curl_free(text);
    return ok;
}

/* What follows /live/, perhaps behind a locale such as /de-DE; "" when it is no show. */
static void find_show(struct scr_address *address)
{
    const char *at = address->path + 1;
    size_t len = strcspn(at, "/");

    address->show_id[0] = '\0';
    if ((len == 2 || (len == 5 && at[2] == '-')) && at[len] == '/')
        at += len + 1;
    if (strncmp(at, "live/", 5) != 0)
        return;
    at += 5;
    len = strcspn(at, "/");
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)at[i]) && at[i] != '-' && at[i] != '_')
            return;
    if (len < sizeof address->show_id) {
        memcpy(address->show_id, at, len);
        address->show_id[len] = '\0';
    }
}

static enum df_code take_apart(struct scr_address *out, CURLU *parsed, char *query,
                               size_t query_size, const struct scr_address_policy *policy,
                               struct df_error *err)
{
    char scheme[32], port[8];
    bool is_literal;

    if (!get_part(parsed, CURLUPART_SCHEME, 0, scheme, sizeof scheme))
        return df_error_set(err, DF_EINPUT, "not an address");
    if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        return df_error_set(err, DF_EINPUT, "the address must begin with https://");
    if (!get_part(parsed, CURLUPART_HOST, 0, out->host, sizeof out->host) ||
        !normalise_host(out->host, sizeof out->host, &is_literal))
        return df_error_set(err, DF_EINPUT,
                            "the address has no valid host (other letters than "
                            "a to z must be written as punycode)");
    if (!get_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof port))
        return df_error_set(err, DF_EINPUT, "the address has no valid port");
    out->port = (int)strtol(port, NULL, 10);
    if (!get_part(parsed, CURLUPART_PATH, 0, out->path, sizeof out->path) || out->path[0] != '/')
        return df_error_set(err, DF_EINPUT, "the path of the address is too long");
    query[0] = '\0';
    char *text = NULL;
    if (curl_url_get(parsed, CURLUPART_QUERY, &text, 0) == CURLUE_OK) {
        curl_free(text);
        if (!get_part(parsed, CURLUPART_QUERY, 0, query, query_size))
            return df_error_set(err, DF_EINPUT, "the address is too long");
    }
    bool is_default = out->port == (strcmp(scheme, "https") == 0 ? 443 : 80);
    int n = snprintf(out->url, sizeof out->url, "%s://%s%s%s%s%s%s", scheme, out->host,
                     is_default ? "" : ":", is_default ? "" : port, out->path,
                     query[0] == '\0' ? "" : "?", query);
    if (n < 0 || (size_t)n >= sizeof out->url)
        return df_error_set(err, DF_EINPUT, "the address is too long");
    find_show(out);
    out->is_local_page = scr_address_is_local_page(out->url, policy);
    if (out->is_local_page)
        return DF_OK;
    if (strcmp(scheme, "https") != 0 && !policy->allow_private)
        return df_error_set(err, DF_EINPUT, "the address must begin with https://");
    if (!policy->allow_private &&
        ((is_literal && !scr_address_ip_allowed(out->host, policy)) || is_loopback_name(out->host)))
        return df_error_set(err, DF_EINPUT, "%s is a private address", out->host);
    if (!is_listed(out, is_literal, policy))
        return df_error_set(err, DF_EINPUT, "%.60s:%d is not one of the allowed hosts: %s",
                            out->host, out->port, policy->allowed_hosts);
    return DF_OK;
}

enum df_code scr_address_parse(struct scr_address *out, const char *url, size_t url_len,
                               const struct scr_address_policy *policy, struct df_error *err)
{
    char text[sizeof out->url], query[sizeof out->url];

    memset(out, 0, sizeof *out);
    while (url_len > 0 && isspace((unsigned char)url[0])) { /* pasted with blanks around it */
        url++;
        url_len--;
    }
    while (url_len > 0 && isspace((unsigned char)url[url_len - 1]))
        url_len--;
    if (url_len == 0)
        return df_error_set(err, DF_EINPUT, "the address is empty");
    if (url_len >= sizeof text)
        return df_error_set(err, DF_EINPUT, "the address is too long");
    if (check_bytes(url, url_len, err) != DF_OK)
        return DF_EINPUT;
    memcpy(text, url, url_len);
    text[url_len] = '\0';
    if (check_authority(text, err) != DF_OK)
        return DF_EINPUT;
    CURLU *parsed = curl_url();
    if (parsed == NULL)
        return df_error_set(err, DF_ENOMEM, "address: out of memory");
    enum df_code rc;
    CURLUcode result =
        curl_url_set(parsed, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
    if (result == CURLUE_OUT_OF_MEMORY)
        rc = df_error_set(err, DF_ENOMEM, "address: out of memory");
    else if (result != CURLUE_OK)
        rc = df_error_set(err, DF_EINPUT, "not an address: %s", curl_url_strerror(result));
    else
        rc = take_apart(out, parsed, query, sizeof query, policy, err);
    curl_url_cleanup(parsed);
    if (rc != DF_OK)
        memset(out, 0, sizeof *out);
    return rc;
}

enum df_code scr_address_check_local_page(const char *url, struct df_error *err)
{
    const struct scr_address_policy policy = {.local_page = url};
    struct scr_address address;
    size_t len = strlen(url);

    if (len == 0 || strpbrk(url, "?#") != NULL)
        return df_error_set(err, DF_EINPUT, "the address must have no query");
    enum df_code rc = scr_address_parse(&address, url, len, &policy, err);
    if (rc == DF_ENOMEM)
        return rc;
    /* Spelled in another way it is not recognised, and so judged as any other address. */
    if (rc != DF_OK || !address.is_local_page)
        return df_error_set(err, DF_EINPUT,
                            "must be written as http://127.0.0.1:8080/demo/ is: lower case, a path, "
                            "no needless port");
    bool is_ip = address.host[0] == '[' || ends_in_number(address.host);
    if (!is_ip) /* what a name leads to is somebody else's choice */
        return df_error_set(err, DF_EINPUT, "the host must be an IP address");
    return DF_OK;
}
