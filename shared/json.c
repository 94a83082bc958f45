/* shared/json.c - one scan over foreign JSON before jansson, and JSON numbers and strings out. */
#include "shared/json.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* --- jansson and memory --- */

/* jansson 2.14 ignores a failed allocation while it collects a string and, if the closing quote was
 * what got lost, reads past its buffer. The allocation that follows the string is checked, so the
 * cure is that once one allocation failed in a parse, all later ones of that parse fail too. */
static _Thread_local enum { NOT_PARSING, PARSING, OUT_OF_MEMORY } parse_state;

static void *guarded_malloc(size_t size)
{
    if (parse_state == OUT_OF_MEMORY)
        return NULL;
    void *memory = malloc(size);
    if (memory == NULL && parse_state == PARSING)
        parse_state = OUT_OF_MEMORY;
    return memory;
}

/* Before main, hence before any thread could be inside jansson. */
static void __attribute__((constructor)) guard_jansson(void)
{
    json_set_alloc_funcs(guarded_malloc, free);
}

/* --- UTF-8 --- */

/* Returns the length of the well-formed sequence at p, or 0. Then *bad_len is how many bytes one
 * U+FFFD stands for: the longest start of a sequence (Unicode 3.9, and what browsers do). */
static size_t utf8_length(const unsigned char *p, size_t left, size_t *bad_len)
{
    unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t need;

    *bad_len = 1;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return 0;
    if (p[0] < 0xE0) {
        need = 2;
    } else if (p[0] < 0xF0) {
        need = 3;
        if (p[0] == 0xE0)
            low = 0xA0; /* overlong below */
        else if (p[0] == 0xED)
            high = 0x9F; /* surrogates above */
    } else {
        need = 4;
        if (p[0] == 0xF0)
            low = 0x90;
        else if (p[0] == 0xF4)
            high = 0x8F; /* beyond U+10FFFF above */
    }
    for (size_t i = 1; i < need; i++) {
        if (i >= left || p[i] < low || p[i] > high) {
            *bad_len = i;
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return need;
}

/* --- the scan --- */

struct scan {
    const char *in;
    size_t in_len;
    size_t copied;     /* input up to here is in `out`; nothing is copied before the first change */
    struct df_buf out; /* the changed text */
    bool changed;
    size_t watch; /* a place in `out`, and how far the input is ahead of it there */
    ptrdiff_t ahead;
};

/* Puts `text` in place of the input bytes from..to. */
static void replace(struct scan *s, size_t from, size_t to, const char *text, size_t text_len)
{
    if (!s->changed)
        (void)df_buf_reserve(&s->out, s->in_len + 64);
    s->changed = true;
    (void)df_buf_append(&s->out, s->in + s->copied, from - s->copied);
    (void)df_buf_append(&s->out, text, text_len);
    s->copied = to;
    if (s->out.len <= s->watch)
        s->ahead = (ptrdiff_t)to - (ptrdiff_t)s->out.len;
}

static int32_t hex4(const char *p, size_t left)
{
    int32_t value = 0;

    if (left < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            value = value * 16 + (c - 'a' + 10);
        else if (c >= 'A' && c <= 'F')
            value = value * 16 + (c - 'A' + 10);
        else
            return -1;
    }
    return value;
}

/* `at` is at a backslash. Returns the place after the escape; malformed ones are jansson's to
 * refuse. */
static size_t scan_escape(struct scan *s, size_t at)
{
    if (at + 1 >= s->in_len || s->in[at + 1] != 'u')
        return at + 2;
    int32_t unit = hex4(s->in + at + 2, s->in_len - at - 2);
    if (unit < 0)
        return at + 2;
    if (unit >= 0xD800 && unit <= 0xDBFF && s->in_len - at >= 12 && s->in[at + 6] == '\\' &&
        s->in[at + 7] == 'u') {
        int32_t second = hex4(s->in + at + 8, s->in_len - at - 8);
        if (second >= 0xDC00 && second <= 0xDFFF)
            return at + 12;
    }
    if (unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF))
        replace(s, at, at + 6, "\\ufffd", 6);
    return at + 6;
}

/* `at` is after the opening quote. Returns the place after the closing one, or in_len. */
static size_t scan_string(struct scan *s, size_t at)
{
    while (at < s->in_len) {
        unsigned char c = (unsigned char)s->in[at];
        size_t bad_len;

        if (c == '"')
            return at + 1;
        if (c == '\\') {
            at = scan_escape(s, at);
        } else if (c == 0) {
            replace(s, at, at + 1, REPLACEMENT, 3);
            at++;
        } else if (c < 0x80) {
            at++;
        } else {
            size_t len = utf8_length((const unsigned char *)s->in + at, s->in_len - at, &bad_len);
            if (len == 0) {
                replace(s, at, at + bad_len, REPLACEMENT, 3);
                len = bad_len;
            }
            at += len;
        }
    }
    return s->in_len;
}

static size_t skip_digits(const struct scan *s, size_t at)
{
    while (at < s->in_len && s->in[at] >= '0' && s->in[at] <= '9')
        at++;
    return at;
}

/* True when the number is beyond double: in[from..digits_end) holds its digits and perhaps a point,
 * `point` is where the point is or would be, `exponent` what follows the E. Exact, because every
 * double below 1.7976931348623158e308 is finite and what rounds to the largest one is saturated to
 * the same. */
static bool overflows(const struct scan *s, size_t from, size_t digits_end, size_t point,
                      int64_t exponent)
{
    static const char limit[] = "17976931348623158";

    while (from < digits_end && (s->in[from] == '0' || s->in[from] == '.'))
        from++;
    if (from == digits_end)
        return false; /* zero, whatever the exponent */
    int64_t magnitude =
        exponent + (from < point ? (int64_t)(point - from) - 1 : -(int64_t)(from - point));
    if (magnitude != 308)
        return magnitude > 308;
    for (size_t i = 0; limit[i] != '\0'; from++) {
        if (from < digits_end && s->in[from] == '.')
            continue;
        char digit = from < digits_end ? s->in[from] : '0';
        if (digit != limit[i])
            return digit > limit[i];
        i++;
    }
    return true;
}

static bool beyond_int64(const char *digits, size_t count, bool negative)
{
    const char *limit = negative ? "9223372036854775808" : "9223372036854775807";
    return count > 19 || (count == 19 && memcmp(digits, limit, 19) > 0);
}

/* `at` is at a minus or a digit. Returns the place after the number. */
static size_t scan_number(struct scan *s, size_t at)
{
    size_t start = at;
    bool negative = s->in[at] == '-';
    size_t digits = at + negative;
    size_t point = skip_digits(s, digits);
    size_t digits_end = point;
    int64_t exponent = 0;

    if (digits == point)
        return point; /* a lone minus */
    if (digits_end < s->in_len && s->in[digits_end] == '.')
        digits_end = skip_digits(s, digits_end + 1);
    at = digits_end;
    if (at < s->in_len && (s->in[at] == 'e' || s->in[at] == 'E')) {
        bool minus = at + 1 < s->in_len && s->in[at + 1] == '-';
        bool sign = minus || (at + 1 < s->in_len && s->in[at + 1] == '+');
        size_t end = skip_digits(s, at + 1 + sign);
        for (size_t i = at + 1 + sign; i < end; i++) {
            if (exponent < INT32_MAX)
                exponent = exponent * 10 + (s->in[i] - '0');
        }
        if (minus)
            exponent = -exponent;
        at = end;
    }
    if (at - start < 5) /* "1e999" is the shortest that can be too large */
        return at;
    if (overflows(s, digits, digits_end, point, exponent)) {
        static const char largest[] = "-1.7976931348623157e308";
        replace(s, start, at, largest + !negative, sizeof largest - 1 - !negative);
    } else if (at == point && beyond_int64(s->in + digits, point - digits, negative)) {
        replace(s, at, at, ".0", 2); /* a real is fine for jansson */
    }
    return at;
}

/* False when nested too deeply. */
static bool scan_text(struct scan *s, size_t at)
{
    size_t depth = 0;

    while (at < s->in_len) {
        switch (s->in[at]) {
        case '"':
            at = scan_string(s, at + 1);
            break;
        case '[':
        case '{':
            if (++depth > DF_JSON_DEPTH_MAX)
                return false;
            at++;
            break;
        case ']':
        case '}':
            if (depth > 0)
                depth--;
            at++;
            break;
        /* clang-format off */
        case '-':
        case '0': case '1': case '2': case '3': case '4':
        case '5': case '6': case '7': case '8': case '9':
            /* clang-format on */
            at = scan_number(s, at);
            break;
        default:
            at++;
            break;
        }
    }
    if (s->changed)
        (void)df_buf_append(&s->out, s->in + s->copied, s->in_len - s->copied);
    return true;
}

static void scan_init(struct scan *s, const char *in, size_t in_len, size_t watch)
{
    *s = (struct scan){.in = in, .in_len = in_len, .watch = watch};
    /* The worst case is "1e999", five bytes that become 22 or 23. */
    df_buf_init(&s->out, in_len * 5 + 64);
}

/* Says why jansson refused, in terms of the caller's bytes and without quoting them. */
static enum df_code explain(const char *body, size_t body_len, size_t bom, bool changed,
                            const json_error_t *why, struct df_error *err)
{
    if (why->text[0] == '\0' || json_error_code(why) == json_error_out_of_memory)
        return df_error_set(err, DF_ENOMEM, "out of memory");

    ptrdiff_t ahead = 0;
    if (changed) { /* jansson saw another text: scan again to learn how far its place was off */
        struct scan s;
        scan_init(&s, body + bom, body_len - bom, (size_t)why->position);
        (void)scan_text(&s, 0);
        ahead = s.ahead;
        df_buf_release(&s.out);
    }
    const char *quote = strstr(why->text, " near ");
    int text_len = quote != NULL ? (int)(quote - why->text) : (int)strlen(why->text);
    return df_error_set(err, DF_EINPUT, "Invalid JSON: %.*s at byte %td", text_len, why->text,
                        why->position + ahead + (ptrdiff_t)bom);
}

enum df_code df_json_parse(json_t **out, const char *body, size_t body_len, size_t max_bytes,
                           struct df_error *err)
{
    *out = NULL;
    if (body_len > max_bytes)
        return df_error_set(err, DF_ETOOBIG, "Body is larger than %zu bytes", max_bytes);

    size_t bom = body_len >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    size_t start = bom;
    while (start < body_len && strchr(" \t\r\n", body[start]) != NULL && body[start] != '\0')
        start++;
    if (start == body_len)
        return df_error_set(err, DF_EINPUT, "Unexpected end of JSON input");

    struct scan s;
    json_error_t why = {0};
    enum df_code rc = DF_OK;

    scan_init(&s, body + bom, body_len - bom, 0);
    if (!scan_text(&s, start - bom)) {
        rc = df_error_set(err, DF_EINPUT, "Invalid JSON: nested deeper than %d levels",
                          DF_JSON_DEPTH_MAX);
    } else if (s.out.failed) {
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    } else {
        parse_state = PARSING;
        *out = json_loadb(s.changed ? s.out.data : s.in, s.changed ? s.out.len : s.in_len,
                          JSON_DECODE_ANY, &why);
        bool failed = parse_state == OUT_OF_MEMORY;
        parse_state = NOT_PARSING;
        if (failed) {
            json_decref(*out);
            *out = NULL;
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
        } else if (*out == NULL) {
            rc = explain(body, body_len, bom, s.changed, &why, err);
        }
    }
    df_buf_release(&s.out);
    return rc;
}

/* --- out --- */

/* Finds the fewest significant digits that read back as the same double: 17 always suffice, and
 * what 15 or fewer can say is what 15 say, less the zeros; but denormal numbers hold fewer. Writes
 * them without point or trailing zeros; the value is 0.DIGITS * 10^result. */
static int shortest_digits(char digits[24], double value)
{
    char text[40];

    for (int precision = value < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        (void)snprintf(text, sizeof text, "%.*e", precision - 1, value);
        if (strtod(text, NULL) == value)
            break;
    }
    size_t used = 0;
    const char *p = text;
    for (; *p != 'e' && *p != '\0'; p++) {
        if (*p >= '0' && *p <= '9' && used < 23)
            digits[used++] = *p;
    }
    while (used > 1 && digits[used - 1] == '0')
        used--;
    digits[used] = '\0';
    return *p == 'e' ? (int)strtol(p + 1, NULL, 10) + 1 : 1;
}

bool df_json_append_number(struct df_buf *buf, double value)
{
    if (!isfinite(value))
        return df_buf_append_str(buf, "null");
    if (value == 0)
        return df_buf_append_char(buf, '0'); /* -0 too */

    char digits[24], text[48];
    const char *sign = value < 0 ? "-" : "";
    int point = shortest_digits(digits, fabs(value));
    int count = (int)strlen(digits);

    /* The four forms of ECMA-262 Number::toString, in its order. */
    if (count <= point && point <= 21)
        (void)snprintf(text, sizeof text, "%s%s%.*s", sign, digits, point - count,
                       "000000000000000000000");
    else if (0 < point && point <= 21)
        (void)snprintf(text, sizeof text, "%s%.*s.%s", sign, point, digits, digits + point);
    else if (-6 < point && point <= 0)
        (void)snprintf(text, sizeof text, "%s0.%.*s%s", sign, -point, "000000", digits);
    else
        (void)snprintf(text, sizeof text, "%s%c%s%se%+d", sign, digits[0], count > 1 ? "." : "",
                       digits + 1, point - 1);
    return df_buf_append_str(buf, text);
}

bool df_json_append_string(struct df_buf *buf, const char *text, size_t text_len)
{
    /* All or nothing: an answer must not end in half a string. */
    size_t before = buf->len;
    size_t plain = 0; /* from here on nothing is appended yet */
    bool ok = df_buf_append_char(buf, '"');

    for (size_t at = 0; ok && at < text_len;) {
        unsigned char c = (unsigned char)text[at];
        size_t bad_len;
        size_t len = utf8_length((const unsigned char *)text + at, text_len - at, &bad_len);

        if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
            at += len;
            continue;
        }
        ok = df_buf_append(buf, text + plain, at - plain);
        if (!ok)
            break;
        static const char short_escapes[] = "btnvfr"; /* for bytes 8 to 13; \v is not JSON */
        if (len == 0)
            ok = df_buf_append(buf, REPLACEMENT, 3);
        else if (c >= 8 && c <= 13 && c != '\v')
            ok = df_buf_printf(buf, "\\%c", short_escapes[c - 8]);
        else if (c < 0x20)
            ok = df_buf_printf(buf, "\\u%04x", c);
        else
            ok = df_buf_printf(buf, "\\%c", c);
        at += len == 0 ? bad_len : len;
        plain = at;
    }
    ok = ok && df_buf_append(buf, text + plain, text_len - plain) && df_buf_append_char(buf, '"');
    if (!ok && buf->data != NULL) {
        buf->len = before;
        buf->data[before] = '\0';
    }
    return ok;
}
