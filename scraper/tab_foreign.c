/* scraper/tab_foreign.c - hosts of frames, base64. */
#include "scraper/tab_foreign.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Copies the host without brackets being lost, without port, user info and the dot of the root. */
static bool host_of(const char *url, char *out, size_t out_size)
{
    const char *start = strstr(url, "://");

    if (start == NULL)
        return false;
    start += 3;
    size_t len = strcspn(start, "/?#\\");
    const char *at = memrchr(start, '@', len);
    if (at != NULL) {
        len -= (size_t)(at + 1 - start);
        start = at + 1;
    }
    const char *end = len > 0 && start[0] == '[' ? memchr(start, ']', len) : NULL;
    const char *colon = end == NULL ? memchr(start, ':', len) : NULL;
    if (end != NULL)
        len = (size_t)(end + 1 - start);
    else if (colon != NULL)
        len = (size_t)(colon - start);
    while (len > 0 && start[len - 1] == '.')
        len--;
    if (len == 0 || len >= out_size)
        return false;
    memcpy(out, start, len);
    out[len] = '\0';
    return true;
}

static bool is_numeric(const char *host)
{
    return host[0] == '[' || strspn(host, "0123456789.") == strlen(host);
}

static bool is_local_name(const char *host)
{
    static const char name[] = "localhost";
    size_t len = strlen(host), name_len = sizeof name - 1;

    return len >= name_len && strcasecmp(host + len - name_len, name) == 0 &&
           (len == name_len || host[len - name_len - 1] == '.');
}

bool scr_frame_may_load(const char *url, const struct scr_address_policy *policy)
{
    char host[256];

    if (!host_of(url, host, sizeof host))
        return false;
    if (policy->allow_private)
        return strncasecmp(url, "https://", 8) == 0 || strncasecmp(url, "http://", 7) == 0;
    return strncasecmp(url, "https://", 8) == 0 && !is_local_name(host) &&
           (!is_numeric(host) || scr_address_ip_allowed(host, policy));
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

unsigned char *scr_base64_decode(const char *text, size_t text_len, size_t *out_len)
{
    unsigned char *out = malloc(text_len / 4 * 3 + 3);
    uint32_t bits = 0;
    unsigned held = 0;

    *out_len = 0;
    while (text_len > 0 && text[text_len - 1] == '=')
        text_len--;
    for (size_t i = 0; out != NULL && i < text_len; i++) {
        int value = sextet(text[i]);
        if (value < 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*out_len)++] = (unsigned char)(bits >> held);
        }
    }
    return out;
}
