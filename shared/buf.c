/* shared/buf.c - doubling growth up to the owner's maximum. */
#include "shared/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void df_buf_init(struct df_buf *buf, size_t max_bytes)
{
    *buf = (struct df_buf){.max = max_bytes};
}

void df_buf_release(struct df_buf *buf)
{
    free(buf->data);
    *buf = (struct df_buf){.max = buf->max};
}

void df_buf_reset(struct df_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data != NULL)
        buf->data[0] = '\0';
}

bool df_buf_reserve(struct df_buf *buf, size_t more)
{
    if (more > buf->max || buf->len > buf->max - more) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + more + 1; /* and the NUL */
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need)
        cap *= 2; /* cannot overflow: need <= max + 1, and max is far below SIZE_MAX / 2 */
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

bool df_buf_append(struct df_buf *buf, const void *bytes, size_t len)
{
    if (!df_buf_reserve(buf, len))
        return false;
    if (len > 0)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool df_buf_append_str(struct df_buf *buf, const char *text)
{
    return df_buf_append(buf, text, strlen(text));
}

bool df_buf_append_char(struct df_buf *buf, char c)
{
    return df_buf_append(buf, &c, 1);
}

bool df_buf_printf(struct df_buf *buf, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && df_buf_reserve(buf, (size_t)n);
    if (ok) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    return ok;
}
