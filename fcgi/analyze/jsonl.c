/* fcgi/analyze/jsonl.c - lines in, verdicts out, as fast as they come. */
#include "fcgi/analyze/jsonl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/analyze/line.h"

enum {
    READ_BYTES = 256 * 1024,
    WRITE_BYTES = 64 * 1024,
    REASONS_MAX = 100, /* a file of another kind must not fill a terminal or a disk */
};

struct stream {
    const struct df_intent_model *model;
    int in_fd, out_fd;
    struct an_jsonl_totals *totals;
    char *data;
    size_t cap;
    size_t start;   /* of the line under way */
    size_t scanned; /* no newline before here */
    size_t end;
    bool is_too_long; /* its beginning was thrown away, its end is to come */
    struct df_buf out;
};

static enum df_code flush(struct stream *s, struct df_error *err)
{
    size_t done = 0;

    if (s->out.failed)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    while (done < s->out.len) {
        ssize_t n = write(s->out_fd, s->out.data + done, s->out.len - done);
        if (n < 0 && errno != EINTR)
            return df_error_set(err, DF_EUNAVAILABLE, "cannot write the verdicts: %s",
                                strerror(errno));
        if (n > 0)
            done += (size_t)n;
    }
    df_buf_reset(&s->out);
    return DF_OK;
}

static void complain(const struct stream *s, const char *reason)
{
    if (s->totals->bad <= REASONS_MAX)
        (void)fprintf(stderr, "dealflow-analyze: line %llu: %s%s\n",
                      (unsigned long long)s->totals->lines, reason,
                      s->totals->bad == REASONS_MAX ? " (further reasons are left out)" : "");
}

static void answer_bad(struct stream *s, const char *reason)
{
    s->totals->bad++;
    complain(s, reason);
    (void)an_verdict_append(&s->out, &an_no_verdict);
}

static enum df_code answer(struct stream *s, const char *bytes, size_t len, struct df_error *err)
{
    struct an_line line;
    struct df_verdict verdict;

    s->totals->lines++;
    enum df_code rc = s->is_too_long ? df_error_set(err, DF_ETOOBIG, "longer than %zu MiB",
                                                    AN_JSONL_LINE_MAX_BYTES >> 20)
                                     : an_line_parse(&line, bytes, len, err);
    s->is_too_long = false;
    if (rc == DF_ENOMEM)
        return rc;
    if (rc != DF_OK) {
        answer_bad(s, err->msg);
    } else {
        df_intent_classify(s->model, &line.chat, &verdict);
        an_line_release(&line);
        (void)an_verdict_append(&s->out, &verdict);
    }
    return s->out.len >= WRITE_BYTES ? flush(s, err) : DF_OK;
}

static enum df_code answer_complete_lines(struct stream *s, struct df_error *err)
{
    for (;;) {
        char *newline = memchr(s->data + s->scanned, '\n', s->end - s->scanned);
        if (newline == NULL) {
            s->scanned = s->end;
            return DF_OK;
        }
        const char *line = s->data + s->start;
        s->start = s->scanned = (size_t)(newline - s->data) + 1;
        enum df_code rc = answer(s, line, (size_t)(newline - line), err);
        if (rc != DF_OK)
            return rc;
    }
}

/* Makes READ_BYTES of room behind `end`: moves the line under way to the front, grows. */
static enum df_code make_room(struct stream *s, struct df_error *err)
{
    size_t line_len = s->end - s->start;

    if (line_len > AN_JSONL_LINE_MAX_BYTES) {
        s->is_too_long = true;
        line_len = 0;
        s->start = s->end;
    }
    if (line_len > 0 && s->start > 0)
        memmove(s->data, s->data + s->start, line_len);
    s->start = 0;
    s->scanned = s->end = line_len;
    if (s->cap - s->end >= READ_BYTES)
        return DF_OK;
    size_t cap = s->cap == 0 ? (size_t)2 * READ_BYTES : s->cap * 2;
    char *data = realloc(s->data, cap);
    if (data == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    s->data = data;
    s->cap = cap;
    return DF_OK;
}

/* *is_end is set when there is nothing more to come. */
static enum df_code read_more(struct stream *s, bool *is_end, struct df_error *err)
{
    ssize_t n;

    do
        n = read(s->in_fd, s->data + s->end, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "cannot read standard input: %s",
                            strerror(errno));
    s->end += (size_t)n;
    *is_end = n == 0;
    return DF_OK;
}

static enum df_code run(struct stream *s, struct df_error *err)
{
    bool is_end = false;
    enum df_code rc = DF_OK;

    while (rc == DF_OK && !is_end) {
        rc = flush(s, err); /* the other side may wait for these before it sends more */
        if (rc == DF_OK)
            rc = make_room(s, err);
        if (rc == DF_OK)
            rc = read_more(s, &is_end, err);
        if (rc == DF_OK)
            rc = answer_complete_lines(s, err);
    }
    if (rc == DF_OK && (s->end > s->start || s->is_too_long)) /* a last line without a newline */
        rc = answer(s, s->data + s->start, s->end - s->start, err);
    return rc == DF_OK ? flush(s, err) : rc;
}

enum df_code an_jsonl_run(const struct df_intent_model *model, int in_fd, int out_fd,
                          struct an_jsonl_totals *totals, struct df_error *err)
{
    struct stream s = {.model = model, .in_fd = in_fd, .out_fd = out_fd, .totals = totals};

    *totals = (struct an_jsonl_totals){0};
    df_buf_init(&s.out, (size_t)4 * WRITE_BYTES);
    enum df_code rc = run(&s, err);
    df_buf_release(&s.out);
    free(s.data);
    return rc;
}
