/* shared/uuid.c - parse, print, and make version 7 ids. */
#include "shared/uuid.h"

#include "shared/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool df_uuid_parse(struct df_uuid *out, const char *text, size_t text_len)
{
    struct df_uuid uuid;
    size_t digits = 0;

    if (text_len >= 2 && text[0] == '{' && text[text_len - 1] == '}') {
        text++;
        text_len -= 2;
    }
    bool dashed = text_len == 36;
    if (!dashed && text_len != 32)
        return false;
    for (size_t i = 0; i < text_len; i++) {
        if (dashed && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (text[i] != '-')
                return false;
            continue;
        }
        int v = hex_value(text[i]);
        if (v < 0)
            return false;
        uint8_t *byte = &uuid.bytes[digits / 2];
        *byte = (uint8_t)(digits % 2 == 0 ? v << 4 : *byte | v);
        digits++;
    }
    *out = uuid;
    return true;
}

void df_uuid_format(char out[DF_UUID_TEXT_SIZE], const struct df_uuid *uuid)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < sizeof uuid->bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[used++] = '-';
        out[used++] = hex[uuid->bytes[i] >> 4];
        out[used++] = hex[uuid->bytes[i] & 15];
    }
    out[used] = '\0';
}

void df_uuid_new_v7(struct df_uuid *out)
{
    /* 48 bits of milliseconds and 12 of sequence, as one counter that only ever grows: RFC 9562
     * 6.2, method 1 with the counter spilling into the clock when a millisecond holds over 4096. */
    static _Atomic uint64_t last;
    /* Random bytes come from the kernel 32 ids at a time: one getrandom per id is measurable. */
    static _Thread_local uint8_t pool[256]; /* getrandom never cuts this short */
    static _Thread_local size_t pool_left;

    uint64_t now = (uint64_t)df_clock_wall_ms() << 12;
    uint64_t before = atomic_load_explicit(&last, memory_order_relaxed);
    uint64_t stamp;
    do {
        stamp = now > before ? now : before + 1;
    } while (!atomic_compare_exchange_weak_explicit(&last, &before, stamp, memory_order_relaxed,
                                                    memory_order_relaxed));
    if (pool_left == 0) {
        if (getrandom(pool, sizeof pool, 0) != (ssize_t)sizeof pool) {
            /* Not on Linux since boot; the counter alone still keeps ids of this process apart. */
            memset(pool, 0, sizeof pool);
        }
        pool_left = sizeof pool;
    }
    memcpy(out->bytes + 8, pool + sizeof pool - pool_left, 8);
    pool_left -= 8;
    for (int i = 0; i < 6; i++)
        out->bytes[i] = (uint8_t)(stamp >> (52 - 8 * i));
    out->bytes[6] = (uint8_t)(0x70 | ((stamp >> 8) & 0x0f));
    out->bytes[7] = (uint8_t)stamp;
    out->bytes[8] = (uint8_t)(0x80 | (out->bytes[8] & 0x3f));
}

bool df_uuid_equal(const struct df_uuid *a, const struct df_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
