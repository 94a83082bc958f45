/* tests/fuzz/fuzz_scr_discover.c - any bytes as the list that an index page's script returned. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/discover.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

enum { SHOWS = 5 };

/* Cut text must not end inside a character. */
static void check_text(const char *text, size_t room)
{
    const unsigned char *at = (const unsigned char *)text;

    MUST(strlen(text) < room);
    while (*at != '\0') {
        size_t more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
        MUST(*at < 0x80 || (*at >= 0xc2 && *at <= 0xf4));
        for (at++; more > 0; more--, at++)
            MUST((*at & 0xc0) == 0x80);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char hosts[] = "whatnot.com,127.0.0.1:8099";
    const struct scr_config config = {.allowed_hosts = hosts};
    struct scr_show shows[SHOWS];
    size_t count = scr_discover_parse(shows, SHOWS, (const char *)data, size, &config);

    MUST(count <= SHOWS);
    for (size_t i = 0; i < count; i++) {
        MUST(strncmp(shows[i].url, "https://", 8) == 0);
        MUST(strstr(shows[i].url, "/live/") != NULL);
        MUST(shows[i].viewers >= -1 && shows[i].viewers <= 1000000000);
        MUST(i == 0 || shows[i - 1].viewers >= shows[i].viewers);
        for (size_t k = 0; k < i; k++)
            MUST(strcmp(shows[k].url, shows[i].url) != 0);
        check_text(shows[i].title, sizeof shows[i].title);
        check_text(shows[i].host, sizeof shows[i].host);
    }
    return 0;
}
