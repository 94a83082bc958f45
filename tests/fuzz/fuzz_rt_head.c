/* tests/fuzz/fuzz_rt_head.c - what comes over a socket before anybody is known: the head of a
 * request, its query string, its path. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static bool is_inside(struct rt_slice slice, const char *bytes, size_t len)
{
    return slice.text == NULL || (slice.text >= bytes && slice.text + slice.len <= bytes + len);
}

static void read_target(struct rt_slice path)
{
    struct rt_target target;

    rt_target_parse(&target, path);
    MUST((target.route == RT_ROUTE_BROADCAST) ==
             (target.topic[0] != '\0' && target.event[0] != '\0') ||
         target.route == RT_ROUTE_NONE);
    for (const char *c = target.topic; target.route == RT_ROUTE_BROADCAST && *c != '\0'; c++)
        MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *bytes = malloc(size + 1); /* exactly as long, so that a step beyond is seen */
    char token[64], value[16];
    struct rt_head head;

    MUST(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    size_t end = rt_head_end(bytes, size);
    MUST(end <= size);
    char *exact = malloc(end == 0 ? 1 : end);
    MUST(exact != NULL);
    memcpy(exact, bytes, end);
    if (end > 0 && rt_head_parse(&head, exact, end, NULL) == DF_OK) {
        MUST(head.path.len > 0 && head.path.text[0] == '/');
        MUST(is_inside(head.path, exact, end) && is_inside(head.query, exact, end));
        for (int i = 0; i < RT_HEADER_COUNT; i++) {
            MUST(is_inside(head.header[i], exact, end));
            MUST(head.header[i].len == 0 ||
                 memchr(head.header[i].text, '\n', head.header[i].len) == NULL);
        }
        for (int with = 0; with < 2; with++) {
            size_t n = rt_head_token(&head, with != 0, token, sizeof token);
            MUST(n < sizeof token && (n == 0 || strlen(token) == n));
        }
        int n = rt_query_get(head.query, "vsn", value, sizeof value);
        MUST(n < (int)sizeof value && (n < 0 || strlen(value) == (size_t)n));
        (void)rt_slice_number(head.header[RT_HEADER_CONTENT_LENGTH]);
        read_target(head.path);
    }
    read_target((struct rt_slice){bytes, size});
    free(exact);
    free(bytes);
    return 0;
}
