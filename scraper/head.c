/* scraper/head.c - a look at header lines; libwebsockets does the real parsing. */
#include "scraper/head.h"

#include <string.h>
#include <strings.h>

#define PROTOCOL "sec-websocket-protocol:"
/* As long as the header it replaces; blanks before a value have no meaning. */
#define HIDING "x-auth-token:          "
_Static_assert(sizeof PROTOCOL == sizeof HIDING, "a header is renamed in place");

size_t scr_head_end(const char *bytes, size_t len)
{
    for (const char *at = bytes, *end = bytes + len; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL)
            break;
        at = newline + 1;
        if (at < end && *at == '\n')
            return (size_t)(at - bytes) + 1;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            return (size_t)(at - bytes) + 2;
    }
    return 0;
}

bool scr_head_has_known_method(const char *bytes, size_t len)
{
    static const char *const known[] = {"GET ", "POST ",  "OPTIONS ", "HEAD ",
                                        "PUT ", "PATCH ", "DELETE "};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t word = strlen(known[i]);
        if (len >= word && memcmp(bytes, known[i], word) == 0)
            return true;
    }
    return false;
}

bool scr_head_has_control_bytes(const char *bytes, size_t len)
{
    const char *end = memchr(bytes, '\n', len);
    size_t line = end == NULL ? len : (size_t)(end - bytes);

    if (line > 0 && bytes[line - 1] == '\r')
        line--;
    for (size_t i = 0; i < line; i++) {
        if ((unsigned char)bytes[i] < 0x20 || bytes[i] == 0x7f)
            return true;
        if (bytes[i] == '%' && line - i >= 3 &&
            (bytes[i + 1] == '0' || bytes[i + 1] == '1' ||
             (bytes[i + 1] == '7' && (bytes[i + 2] | 0x20) == 'f')))
            return true;
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool prepare_line(char *line, size_t len)
{
    static const char upgrade[] = "upgrade:", websocket[] = "websocket";

    if (len >= sizeof PROTOCOL - 1 && strncasecmp(line, PROTOCOL, sizeof PROTOCOL - 1) == 0) {
        memcpy(line, HIDING, sizeof HIDING - 1);
        return true;
    }
    if (len < sizeof upgrade - 1 || strncasecmp(line, upgrade, sizeof upgrade - 1) != 0)
        return false;
    const char *value = line + sizeof upgrade - 1, *end = line + len;
    while (value < end && is_blank(*value))
        value++;
    while (end > value && is_blank(end[-1]))
        end--;
    if ((size_t)(end - value) == sizeof websocket - 1 &&
        strncasecmp(value, websocket, sizeof websocket - 1) == 0)
        return false;
    line[0] = 'x';
    return true;
}

bool scr_head_prepare(char *bytes, size_t head_len)
{
    bool is_changed = false;

    if (head_len < 4 || memcmp(bytes, "GET ", 4) != 0)
        return false;
    for (char *at = bytes, *end = bytes + head_len; at < end;) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        char *stop = newline == NULL ? end : newline;
        if (prepare_line(at, (size_t)(stop - at)))
            is_changed = true;
        at = stop + 1;
    }
    return is_changed;
}

void scr_head_offer(struct scr_offer *out, const char *list, size_t list_len)
{
    static const char bearer[] = "bearer.", dealflow[] = "dealflow";
    bool has_dealflow = false;

    *out = (struct scr_offer){0};
    for (const char *at = list, *end = list + list_len; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma == NULL ? end : comma;
        const char *next = stop + 1;
        while (at < stop && is_blank(*at))
            at++;
        while (stop > at && is_blank(stop[-1]))
            stop--;
        size_t len = (size_t)(stop - at);
        if (len == sizeof dealflow - 1 && memcmp(at, dealflow, len) == 0) {
            out->answer = at;
            out->answer_len = len;
            has_dealflow = true;
        } else if (len > sizeof bearer - 1 && memcmp(at, bearer, sizeof bearer - 1) == 0 &&
                   out->token == NULL) {
            out->token = at + sizeof bearer - 1;
            out->token_len = len - (sizeof bearer - 1);
            if (!has_dealflow) {
                out->answer = at;
                out->answer_len = len;
            }
        }
        at = next;
    }
}
