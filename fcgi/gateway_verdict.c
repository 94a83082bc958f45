/* fcgi/gateway_verdict.c - one cleaning rule per field of a verdict. */
#include "fcgi/gateway_verdict.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#define NUMBER_TEXT_MAX 48
#define VALUE_LIMIT 1e8 /* numeric(10,2) holds less than this */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_space(**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len > 0 && is_space((*text)[*len - 1]))
        (*len)--;
}

/* A plain decimal number and nothing else: strtod alone would take "nan", "inf" and "0x1p3". */
static bool parse_decimal(double *out, const char *text, size_t len)
{
    char copy[NUMBER_TEXT_MAX];
    char *end = NULL;

    if (len == 0 || len >= sizeof copy)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!isdigit((unsigned char)text[i]) && memchr("+-.eE", text[i], 5) == NULL)
            return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    *out = strtod(copy, &end);
    return *end == '\0' && isfinite(*out);
}

static bool read_is_buyer(const json_t *value)
{
    if (json_is_boolean(value))
        return json_is_true(value);
    if (json_is_number(value))
        return json_number_value(value) == 1.0;
    if (!json_is_string(value))
        return false;
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    trim(&text, &len);
    return (len == 4 && strncasecmp(text, "true", 4) == 0) ||
           (len == 3 && strncasecmp(text, "yes", 3) == 0) || (len == 1 && text[0] == '1');
}

static double read_confidence(const json_t *value)
{
    double number = 0;
    bool is_percent = false;

    if (json_is_number(value)) {
        number = json_number_value(value);
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t len = json_string_length(value);
        trim(&text, &len);
        if (len > 0 && text[len - 1] == '%') {
            is_percent = true;
            len--;
            trim(&text, &len);
        }
        if (!parse_decimal(&number, text, len))
            return 0;
    }
    if (!(number > 0)) /* written this way to catch NaN too */
        return 0;
    if (is_percent || (number > 1 && number <= 100))
        number /= 100;
    return number > 1 ? 1 : number;
}

static enum df_message_type read_type(const json_t *value)
{
    enum df_message_type type = DF_GENERAL;

    if (!json_is_string(value))
        return DF_GENERAL;
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    trim(&text, &len);
    if (!df_message_type_parse(&type, text, len))
        return DF_GENERAL;
    return type;
}

/* Control bytes become spaces (a log or a page shows the item one day); a cut falls between
 * characters. */
static void read_item(char out[DF_ITEM_MAX_BYTES + 1], const json_t *value)
{
    char digits[32];
    const char *text = "";
    size_t len = 0;

    if (json_is_string(value)) {
        text = json_string_value(value);
        len = json_string_length(value);
    } else if (json_is_integer(value) && json_integer_value(value) > 0) { /* item number 22 */
        len = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
        text = digits;
    }
    trim(&text, &len);
    if (len > DF_ITEM_MAX_BYTES) {
        len = DF_ITEM_MAX_BYTES;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
        trim(&text, &len);
    }
    for (size_t i = 0; i < len; i++)
        out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    out[len] = '\0';
}

/* Rounds half away from zero on the decimal digits, as numeric(10,2) does with the text "45.555";
 * the double itself lies below 45.555 and would round down. */
static int64_t to_cents(double value)
{
    char text[NUMBER_TEXT_MAX];
    int64_t cents = 0;
    int decimals = -1;

    if (!(value >= 0.001) || value >= VALUE_LIMIT) /* below 0.005 it is 0.00, which means none */
        return DF_VALUE_NONE;
    (void)snprintf(text, sizeof text, "%.15g", value); /* no exponent within these bounds */
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '.') {
            decimals = 0;
        } else if (decimals < 2) {
            cents = cents * 10 + (*c - '0');
            decimals += decimals >= 0;
        } else {
            cents += *c >= '5';
            break;
        }
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 2; i++)
        cents *= 10;
    return cents >= 1 && cents <= DF_VALUE_CENTS_MAX ? cents : DF_VALUE_NONE;
}

static const char *const currencies[] = {"US$", "CA$", "A$",  "R$",           "$",
                                         "USD", "EUR", "GBP", "\xe2\x82\xac", "\xc2\xa3",
                                         "\xc2\xa5", "\xe2\x82\xb9", "\xe2\x82\xb1"};

static void strip_currency(const char **text, size_t *len)
{
    for (size_t i = 0; i < sizeof currencies / sizeof currencies[0]; i++) {
        size_t sign_len = strlen(currencies[i]);
        if (*len > sign_len && strncasecmp(*text, currencies[i], sign_len) == 0) {
            *text += sign_len;
            *len -= sign_len;
            break;
        }
    }
    trim(text, len);
    for (size_t i = 0; i < sizeof currencies / sizeof currencies[0]; i++) {
        size_t sign_len = strlen(currencies[i]);
        if (*len > sign_len &&
            strncasecmp(*text + *len - sign_len, currencies[i], sign_len) == 0) {
            *len -= sign_len;
            break;
        }
    }
    trim(text, len);
}

static size_t digits_at(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && isdigit((unsigned char)text[n]))
        n++;
    return n;
}

/* "1,234.50" -> "1234.50", "45,50" -> "45.50"; any other comma makes the text useless. */
static bool resolve_commas(char *out, size_t out_size, const char *text, size_t len)
{
    size_t used = 0;
    bool has_point = memchr(text, '.', len) != NULL;

    if (len >= out_size)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != ',') {
            out[used++] = text[i];
            continue;
        }
        size_t digits = digits_at(text + i + 1, len - i - 1);
        bool is_last = i + 1 + digits == len;
        if (digits == 3 && i > 0)
            continue; /* between thousands */
        if (digits < 1 || digits > 2 || !is_last || has_point)
            return false;
        out[used++] = '.'; /* a decimal comma */
    }
    out[used] = '\0';
    return true;
}

static int64_t read_value(const json_t *value)
{
    char plain[NUMBER_TEXT_MAX];
    double number = 0;

    if (json_is_number(value))
        return to_cents(json_number_value(value));
    if (!json_is_string(value))
        return DF_VALUE_NONE;
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    trim(&text, &len);
    strip_currency(&text, &len);
    if (!resolve_commas(plain, sizeof plain, text, len) ||
        !parse_decimal(&number, plain, strlen(plain)))
        return DF_VALUE_NONE;
    return to_cents(number);
}

/* A batch's answer has short names; models write the long ones too. */
static const json_t *either(const json_t *object, const char *name, const char *other)
{
    const json_t *value = json_object_get(object, name);
    return value != NULL ? value : json_object_get(object, other);
}

bool mrs_verdict_read_listed(struct df_verdict *out, const json_t *object)
{
    const json_t *says = either(object, "b", "is_buyer");

    memset(out, 0, sizeof *out);
    out->value_cents = DF_VALUE_NONE;
    out->type = DF_GENERAL;
    if (!json_is_object(object))
        return false;
    out->is_buyer = says == NULL || read_is_buyer(says); /* being listed is what says yes */
    out->confidence = read_confidence(either(object, "c", "confidence"));
    out->type = read_type(either(object, "t", "message_type"));
    read_item(out->item, either(object, "d", "item_description"));
    out->value_cents = read_value(either(object, "v", "estimated_value"));
    return true;
}

bool mrs_verdict_is_known(const json_t *object)
{
    static const char *const fields[] = {"is_buyer", "confidence", "item_description",
                                         "estimated_value", "message_type"};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (json_object_get(object, fields[i]) != NULL) /* NULL for anything but an object */
            return true;
    }
    return false;
}

void mrs_verdict_read(struct df_verdict *out, const json_t *object)
{
    memset(out, 0, sizeof *out);
    out->is_buyer = read_is_buyer(json_object_get(object, "is_buyer"));
    out->confidence = read_confidence(json_object_get(object, "confidence"));
    out->type = read_type(json_object_get(object, "message_type"));
    read_item(out->item, json_object_get(object, "item_description"));
    out->value_cents = read_value(json_object_get(object, "estimated_value"));
}
