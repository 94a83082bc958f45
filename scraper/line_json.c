/* scraper/line_json.c - texts of a chat line out of a parsed JSON tree. */
#include "scraper/line_json.h"

#include <jansson.h>
#include <string.h>

/* The longest start of text that fits max_bytes and ends with a whole character; text is valid
 * UTF-8, so stepping back over continuation bytes is enough. */
static size_t cut_length(const char *text, size_t text_len, size_t max_bytes)
{
    if (text_len <= max_bytes)
        return text_len;
    size_t len = max_bytes;
    while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
        len--;
    return len;
}

bool scr_json_text(json_t *value, size_t max_bytes, const char **text, size_t *text_len,
                   bool *is_cut)
{
    if (!json_is_string(value))
        return false;
    size_t len = json_string_length(value);
    if (len > max_bytes) {
        len = cut_length(json_string_value(value), len, max_bytes);
        /* copies before it frees the old text */
        if (json_string_setn_nocheck(value, json_string_value(value), len) != 0)
            return false;
        *is_cut = true;
    }
    *text = json_string_value(value);
    *text_len = len;
    return true;
}

void scr_json_copy(char *out, size_t size, const json_t *value)
{
    size_t len = 0;

    if (json_is_string(value)) {
        len = cut_length(json_string_value(value), json_string_length(value), size - 1);
        memcpy(out, json_string_value(value), len);
    }
    out[len] = '\0';
}

int64_t scr_json_count(const json_t *value)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0)
        return json_integer_value(value);
    if (json_is_real(value)) {
        double real = json_real_value(value);
        if (real >= 0.0 && real < 9007199254740992.0)
            return (int64_t)real;
    }
    return -1;
}

bool scr_text_is_join(const char *text, size_t text_len)
{
    static const char join[] = "joined \xF0\x9F\x91\x8B";
    return text_len == sizeof join - 1 && memcmp(text, join, text_len) == 0;
}
