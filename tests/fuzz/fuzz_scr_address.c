/* tests/fuzz/fuzz_scr_address.c - whatever is accepted is https on an allowed host and port,
 * without user name, and reads the same when parsed again. The first byte chooses the policy. */
#include "scraper/address.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LOCAL_PAGE "http://127.0.0.1:8080/demo/"

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0 &&
           (len == end_len || text[len - end_len - 1] == '.');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct scr_address_policy real = {"whatnot.com", false, NULL},
                                           test = {"127.0.0.1:8099,stream.test", true, NULL},
                                           demo = {"whatnot.com", false, LOCAL_PAGE};
    struct scr_address address, again;

    if (size == 0)
        return 0;
    const struct scr_address_policy *policy = data[0] % 3 == 2   ? &demo
                                              : data[0] % 2 == 0 ? &real
                                                                 : &test;
    const char *url = (const char *)data + 1;
    if (scr_address_parse(&address, url, size - 1, policy, NULL) != DF_OK) {
        MUST(address.url[0] == '\0');
        return 0;
    }
    for (const char *c = address.url; *c != '\0'; c++)
        MUST(*c > ' ' && *c < 0x7f && *c != '\\' && *c != '#');
    if (policy == &demo && address.is_local_page) {
        size_t len = strlen(LOCAL_PAGE);
        MUST(strncmp(address.url, LOCAL_PAGE, len) == 0);
        MUST(address.url[len] == '\0' || address.url[len] == '?');
        return 0;
    }
    MUST(!address.is_local_page);
    MUST(strncmp(address.url, "https://", 8) == 0 ||
         (policy == &test && strncmp(address.url, "http://", 7) == 0));
    const char *authority = strstr(address.url, "://") + 3;
    MUST(memchr(authority, '@', strcspn(authority, "/?")) == NULL);
    MUST(strncmp(authority, address.host, strlen(address.host)) == 0);
    if (policy != &test)
        MUST(ends_in(address.host, "whatnot.com") && address.port == 443);
    else
        MUST((strcmp(address.host, "127.0.0.1") == 0 && address.port == 8099) ||
             ends_in(address.host, "stream.test"));
    MUST(scr_address_parse(&again, address.url, strlen(address.url), policy, NULL) == DF_OK);
    MUST(strcmp(again.url, address.url) == 0 && strcmp(again.show_id, address.show_id) == 0);
    return 0;
}
