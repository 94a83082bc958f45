/* tests/fuzz/fuzz_message.c - whatever body arrives, a message that is taken keeps its promises. */
#include "shared/message.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

/* Another reading of UTF-8 than the one in json.c: decode, then check the value. */
static void check_text(const char *text, size_t len, size_t max)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

    MUST(text != NULL && strlen(text) == len && len <= max);
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i++];
        int more = c < 0x80 ? 0 : c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : -1;
        MUST(more >= 0 && c < 0xF8);
        uint32_t point = more == 0 ? c : c & (0x3Fu >> more);
        for (int k = 0; k < more; k++) {
            MUST(i < len && ((unsigned char)text[i] & 0xC0) == 0x80);
            point = point << 6 | ((unsigned char)text[i++] & 0x3Fu);
        }
        MUST(point >= least[more + 1] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct df_message_limits limits = {
        .body_max_bytes = 4096, .message_max_bytes = 500, .username_max_bytes = 100};
    struct df_message message;
    struct df_error err = {0};
    enum df_code rc = df_message_parse(&message, (const char *)data, size, &limits, &err);

    if (rc == DF_OK) {
        check_text(message.message, message.message_len, limits.message_max_bytes);
        check_text(message.username, message.username_len, limits.username_max_bytes);
        check_text(message.platform, message.platform_len, 64);
        MUST(message.message_len > 0 && message.username_len > 0);
        MUST(size <= limits.body_max_bytes);
        df_message_release(&message);
    } else {
        MUST(rc == DF_EINPUT || rc == DF_ETOOBIG);
        MUST(err.code == rc && err.msg[0] != '\0');
    }
    MUST(message.root == NULL && message.message == NULL);
    return 0;
}
