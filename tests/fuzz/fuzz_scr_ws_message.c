/* tests/fuzz/fuzz_scr_ws_message.c - what callers send before anybody knows them. The first byte
 * chooses: a WebSocket message, the head of a request, a list of subprotocols, a path. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/client_message.h"
#include "scraper/head.h"
#include "scraper/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void read_message(const char *text, size_t len)
{
    struct scr_client_message message;
    struct df_error err = {0};

    enum scr_client_verb verb = scr_client_message_parse(&message, text, len, &err);
    MUST(verb == message.verb && message.token != NULL);
    MUST((verb == SCR_CLIENT_BAD) == (err.msg[0] != '\0'));
    MUST(verb == SCR_CLIENT_AUTH || message.token[0] == '\0');
    scr_client_message_release(&message);
}

static void read_head(const char *bytes, size_t len)
{
    size_t end = scr_head_end(bytes, len);
    char *copy = malloc(len + 1);

    MUST(end <= len && copy != NULL);
    if (end > 0) {
        MUST(bytes[end - 1] == '\n');
        MUST(scr_head_end(bytes, end) == end);
        memcpy(copy, bytes, len);
        (void)scr_head_has_known_method(copy, end);
        (void)scr_head_has_control_bytes(copy, end);
        bool is_changed = scr_head_prepare(copy, end);
        MUST(is_changed == (memcmp(copy, bytes, end) != 0));
        MUST(memcmp(copy + end, bytes + end, len - end) == 0); /* not a byte of the body */
        MUST(scr_head_end(copy, len) == end);
        MUST(!scr_head_prepare(copy, end)); /* nothing is left to be hidden */
    }
    free(copy);
}

static void read_offer(const char *list, size_t len)
{
    struct scr_offer offer;

    scr_head_offer(&offer, list, len);
    if (offer.token != NULL)
        MUST(offer.token_len > 0 && offer.token >= list && offer.answer != NULL &&
             offer.token + offer.token_len <= list + len);
    if (offer.answer != NULL) {
        MUST(offer.answer_len > 0 && offer.answer >= list &&
             offer.answer + offer.answer_len <= list + len);
        MUST(memchr(offer.answer, ',', offer.answer_len) == NULL);
    }
}

static void read_path(const char *bytes, size_t len)
{
    char id[SCR_ROUTE_ID_MAX];
    char *path = strndup(bytes, len);

    MUST(path != NULL);
    enum scr_route route = scr_route_find(path, id);
    MUST(strlen(id) < sizeof id && strchr(id, '/') == NULL);
    MUST((id[0] != '\0') == (route == SCR_ROUTE_SUMMARY || route == SCR_ROUTE_SCREENSHOT));
    (void)scr_route_find_admin(path);
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    switch (data[0] % 4) {
    case 0:
        read_message(bytes, size - 1);
        break;
    case 1:
        read_head(bytes, size - 1);
        break;
    case 2:
        read_offer(bytes, size - 1);
        break;
    default:
        read_path(bytes, size - 1);
    }
    return 0;
}
