/* shared/intent/normalise.c - one spelling for all messages that mean the same. */
#include "shared/intent.h"

#include "shared/intent/text.h"

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

size_t df_intent_normalise(const char *text, size_t text_len, char *out, size_t out_max)
{
    struct df_text read;
    size_t n = 0;

    df_text_read(&read, text, text_len);
    if (read.cut)
        return 0;
    for (size_t t = 0; t < read.token_count; t++) {
        const struct df_token *token = &read.tokens[t];
        if (t > 0 && !token->glued) {
            if (n == out_max)
                return 0;
            out[n++] = ' ';
        }
        for (size_t i = token->start; i < token->end; i++) {
            char bytes[4];
            size_t len = put_utf8(read.chars[i], bytes);
            if (len > out_max - n)
                return 0;
            for (size_t k = 0; k < len; k++)
                out[n++] = bytes[k];
        }
    }
    return n;
}
