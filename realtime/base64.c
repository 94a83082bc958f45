/* realtime/base64.c - three bytes in, four characters out, and back. */
#include "realtime/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool rt_base64_append(struct df_buf *out, const uint8_t *bytes, size_t len)
{
    if (!df_buf_reserve(out, (len + 2) / 3 * 4))
        return false;
    char *at = out->data + out->len;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t word = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                        (left > 2 ? bytes[i + 2] : 0);
        *at++ = alphabet[word >> 18];
        *at++ = alphabet[word >> 12 & 63];
        *at++ = left > 1 ? alphabet[word >> 6 & 63] : '=';
        *at++ = left > 2 ? alphabet[word & 63] : '=';
    }
    *at = '\0';
    out->len = (size_t)(at - out->data);
    return true;
}

static int value_of(char c)
{
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool rt_base64_decode(struct df_buf *out, const char *text, size_t len)
{
    if (len % 4 != 0 || !df_buf_reserve(out, len / 4 * 3))
        return false;
    for (size_t i = 0; i < len; i += 4) {
        bool is_end = i + 4 == len;
        size_t padding = is_end && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - padding ? 0 : value_of(text[i + k]);
            if (value < 0)
                return false;
            word = word << 6 | (uint32_t)value;
        }
        const uint8_t bytes[3] = {(uint8_t)(word >> 16), (uint8_t)(word >> 8), (uint8_t)word};
        if (!df_buf_append(out, bytes, 3 - padding))
            return false;
    }
    return true;
}
