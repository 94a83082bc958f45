/* shared/buf.h - a growing byte buffer with a maximum. One owner, no locking. */
#ifndef SHARED_BUF_H
#define SHARED_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct df_buf {
    char *data; /* always NUL-terminated once something was appended; NULL before */
    size_t len;
    size_t cap;
    size_t max;
    bool failed; /* an append did not fit (or memory ran out); len is what did fit */
};

/* Makes an empty buffer of at most max_bytes; allocates nothing yet. End with df_buf_release. */
void df_buf_init(struct df_buf *buf, size_t max_bytes);
void df_buf_release(struct df_buf *buf);
void df_buf_reset(struct df_buf *buf); /* empties it, keeps the memory, clears failed */

/* Append; false (and buf->failed) when the maximum is hit or memory ran out: nothing is appended
 * then. A run of appends may be checked once at the end through buf->failed. */
bool df_buf_append(struct df_buf *buf, const void *bytes, size_t len);
bool df_buf_append_str(struct df_buf *buf, const char *text);
bool df_buf_append_char(struct df_buf *buf, char c);
bool df_buf_printf(struct df_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for `more` further bytes and a NUL, so that they can be written at data + len. */
bool df_buf_reserve(struct df_buf *buf, size_t more);

#endif
