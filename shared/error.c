/* shared/error.c - error codes, their texts and their HTTP statuses. */
#include "shared/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int http_status;
    const char *name;
} codes[] = {
    [DF_OK] = {200, "OK"},
    [DF_EINPUT] = {400, "INVALID_INPUT"},
    [DF_EAUTH] = {401, "UNAUTHORIZED"},
    [DF_EDENIED] = {403, "FORBIDDEN"},
    [DF_ENOTFOUND] = {404, "NOT_FOUND"},
    [DF_EMETHOD] = {405, "METHOD_NOT_ALLOWED"},
    [DF_ECONFLICT] = {409, "CONFLICT"},
    [DF_ETOOBIG] = {413, "TOO_LARGE"},
    [DF_EBUSY] = {429, "RATE_LIMITED"},
    [DF_EPAYMENT] = {402, "AI_PAYMENT_REQUIRED"},
    [DF_EUPSTREAM] = {502, "AI_FAILED"},
    [DF_ETIMEOUT] = {504, "AI_TIMEOUT"},
    [DF_EUNAVAILABLE] = {503, "UNAVAILABLE"},
    [DF_ENOMEM] = {503, "OUT_OF_MEMORY"},
    [DF_EBUG] = {500, "INTERNAL_ERROR"},
};

static void flatten_control_bytes(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* Takes away a UTF-8 character that a cut left incomplete at the end: messages become JSON. */
static void drop_cut_character(char *text)
{
    size_t len = strlen(text), tail = 0;

    while (tail < 3 && tail < len && ((unsigned char)text[len - 1 - tail] & 0xC0) == 0x80)
        tail++;
    if (tail == len)
        return;
    unsigned char lead = (unsigned char)text[len - 1 - tail];
    size_t need = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (tail < need)
        text[len - 1 - tail] = '\0';
}

enum df_code df_error_set(struct df_error *err, enum df_code code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    if (n >= (int)sizeof err->msg)
        drop_cut_character(err->msg);
    flatten_control_bytes(err->msg);
    err->code = code;
    err->sqlstate[0] = '\0';
    return code;
}

enum df_code df_error_wrap(struct df_error *err, const char *context)
{
    if (err == NULL)
        return DF_EBUG;
    char before[sizeof err->msg];
    memcpy(before, err->msg, sizeof before);
    size_t used = strlen(context);
    if (used > sizeof err->msg - 3)
        used = sizeof err->msg - 3;
    memcpy(err->msg, context, used);
    memcpy(err->msg + used, ": ", 3);
    used += 2;
    size_t room = sizeof err->msg - 1 - used;
    size_t old_len = strnlen(before, sizeof before - 1);
    if (old_len > room)
        old_len = room;
    memcpy(err->msg + used, before, old_len);
    err->msg[used + old_len] = '\0';
    drop_cut_character(err->msg);
    return err->code;
}

int df_error_http_status(enum df_code code)
{
    if ((size_t)code >= sizeof codes / sizeof codes[0])
        return 500;
    return codes[code].http_status;
}

const char *df_error_name(enum df_code code)
{
    if ((size_t)code >= sizeof codes / sizeof codes[0])
        return "INTERNAL_ERROR";
    return codes[code].name;
}
