/* scraper/cdp.c - frames messages by NUL, keeps who waits for which id, never blocks: a blocking
 * write while Chromium blocks on its own output would be a deadlock. */
#include "scraper/cdp.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "scraper/cdp_methods.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/json.h"
#include "shared/log.h"

#define READ_BYTES        (64u << 10)
#define ROUND_BYTES       (1u << 20)  /* read in one round of the loop; the rest waits its turn */
#define KEEP_BYTES        (1u << 20)  /* a buffer that grew beyond this is given back when empty */
#define QUEUE_MAX_BYTES   (64u << 20) /* unsent commands; more means that nobody reads */
#define SESSION_MAX_BYTES 63          /* of a session id; the real ones have 32 */

enum { WAITERS_FIRST = 64 };

struct waiter {
    int64_t id;
    int64_t due_ms;
    enum df_code fate;          /* DF_OK: the answer may still come; else what it gets when due */
    const char *method;         /* the table's, or "a command that is not in the table" */
    scr_cdp_reply_fn *on_reply; /* NULL: nobody cares (any more) */
    void *arg;
};

struct scr_cdp {
    struct scr_loop *loop;
    struct scr_cdp_handlers handlers;
    struct scr_watch reader, writer; /* the writer is on only while something is queued */
    struct df_buf in;
    size_t scanned;   /* bytes at the start of `in` that are known to hold no NUL */
    bool is_skipping; /* inside a message over the limit: wait for its NUL */
    struct df_buf out;
    size_t sent;            /* of out */
    struct waiter *waiters; /* by id, rising */
    size_t waiter_count, waiter_capacity;
    int64_t last_id;
    struct scr_timer deadline;
    int64_t deadline_ms; /* what `deadline` is set to */
    const char *broken;  /* why the pipe is of no use any more, or NULL */
    bool is_closed;      /* all that waited was told; on_closed was called, or will never be */
    struct scr_cdp_stats stats;
};

/* --- who waits for what ---------------------------------------------------------------------- */

static void watch_deadline(struct scr_cdp *cdp, int64_t due_ms)
{
    if (scr_timer_is_set(&cdp->deadline) && cdp->deadline_ms <= due_ms)
        return;
    cdp->deadline_ms = due_ms;
    scr_timer_set(cdp->loop, &cdp->deadline, due_ms - df_clock_mono_ms());
}

static void add_waiter(struct scr_cdp *cdp, const struct waiter *waiter)
{
    if (cdp->waiter_count == cdp->waiter_capacity) {
        struct waiter *grown = reallocarray(cdp->waiters, cdp->waiter_capacity * 2, sizeof *grown);
        if (grown == NULL) { /* an answer that never comes would hang its tab for ever */
            df_log(DF_LOG_ERROR, "memory_exhausted", "%s", "where=commands");
            abort();
        }
        cdp->waiters = grown;
        cdp->waiter_capacity *= 2;
    }
    cdp->waiters[cdp->waiter_count++] = *waiter;
    watch_deadline(cdp, waiter->due_ms);
}

static struct waiter take_waiter(struct scr_cdp *cdp, size_t i)
{
    struct waiter waiter = cdp->waiters[i];

    cdp->waiter_count--;
    memmove(&cdp->waiters[i], &cdp->waiters[i + 1],
            (cdp->waiter_count - i) * sizeof cdp->waiters[0]);
    return waiter;
}

static void fail_waiter(const struct waiter *waiter, enum df_code code, const char *why)
{
    struct df_error err = {0};

    (void)df_error_set(&err, code, "%s: %s", waiter->method, why);
    if (waiter->on_reply != NULL)
        waiter->on_reply(waiter->arg, NULL, &err);
}

static void close_down(struct scr_cdp *cdp);

static void on_deadline(void *arg)
{
    struct scr_cdp *cdp = arg;
    const int64_t now_ms = df_clock_mono_ms(), last_id = cdp->last_id;
    int64_t next_ms = INT64_MAX;

    if (cdp->broken != NULL && !cdp->is_closed) {
        close_down(cdp);
        return;
    }
    for (size_t i = 0; i < cdp->waiter_count && cdp->waiters[i].id <= last_id;) {
        if (cdp->waiters[i].due_ms > now_ms) {
            i++;
            continue;
        }
        struct waiter waiter = take_waiter(cdp, i);
        if (waiter.fate == DF_EBUG)
            fail_waiter(&waiter, DF_EBUG, "not one of the methods that may be sent");
        else if (waiter.fate != DF_OK)
            fail_waiter(&waiter, waiter.fate, "the pipe to the browser is closed");
        else
            fail_waiter(&waiter, DF_ETIMEOUT, "the browser did not answer in time");
        i = 0; /* the callback may have sent and forgotten others */
    }
    for (size_t i = 0; i < cdp->waiter_count; i++)
        if (cdp->waiters[i].due_ms < next_ms)
            next_ms = cdp->waiters[i].due_ms;
    if (next_ms != INT64_MAX)
        watch_deadline(cdp, next_ms);
}

/* --- the end of the pipe --------------------------------------------------------------------- */

/* Noticed anywhere, acted upon in a round of its own: the owner's callbacks must not run inside one
 * of its calls. */
static void break_pipe(struct scr_cdp *cdp, const char *why)
{
    if (cdp->broken != NULL)
        return;
    cdp->broken = why;
    scr_loop_unwatch(cdp->loop, &cdp->reader);
    scr_loop_unwatch(cdp->loop, &cdp->writer);
    watch_deadline(cdp, df_clock_mono_ms());
}

static void answer_all(struct scr_cdp *cdp)
{
    const int64_t last_id = cdp->last_id; /* who sends more now is told in the next round */

    cdp->is_closed = true;
    while (cdp->waiter_count > 0 && cdp->waiters[0].id <= last_id) {
        struct waiter waiter = take_waiter(cdp, 0);
        if (waiter.fate == DF_OK)
            waiter.fate = DF_EUPSTREAM;
        fail_waiter(&waiter, waiter.fate, cdp->broken);
    }
}

static void close_down(struct scr_cdp *cdp)
{
    answer_all(cdp);
    if (cdp->handlers.on_closed != NULL)
        cdp->handlers.on_closed(cdp->handlers.arg, cdp->broken);
}

/* --- messages from the browser --------------------------------------------------------------- */

static void handle_reply(struct scr_cdp *cdp, const json_t *root, json_int_t id)
{
    const json_t *result = json_object_get(root, "result");
    const char *why = json_string_value(json_object_get(json_object_get(root, "error"), "message"));
    size_t low = 0, high = cdp->waiter_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cdp->waiters[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == cdp->waiter_count || cdp->waiters[low].id != id || cdp->waiters[low].fate != DF_OK) {
        cdp->stats.late_replies++;
        return;
    }
    struct waiter waiter = take_waiter(cdp, low);
    if (!json_is_object(result)) {
        fail_waiter(&waiter, DF_EUPSTREAM, why != NULL ? why : "an answer without a result");
        return;
    }
    if (waiter.on_reply != NULL)
        waiter.on_reply(waiter.arg, result, NULL);
}

static void handle_event(struct scr_cdp *cdp, const json_t *root, const char *method)
{
    const json_t *session = json_object_get(root, "sessionId");
    json_t *params = json_object_get(root, "params");

    if (json_string_length(session) > SESSION_MAX_BYTES ||
        (params != NULL && !json_is_object(params))) {
        cdp->stats.malformed++;
        return;
    }
    params = params != NULL ? json_incref(params) : json_object();
    if (params != NULL && cdp->handlers.on_event != NULL)
        cdp->handlers.on_event(cdp->handlers.arg,
                               json_is_string(session) ? json_string_value(session) : "", method,
                               params);
    json_decref(params);
}

/* Most of what an enabled domain tells is of no interest. Chromium puts the method first, so those
 * events cost a look at their first bytes; the order is not promised, hence the second look at what
 * was parsed. */
static bool is_of_interest(const char *message, size_t len)
{
    static const char start[] = "{\"method\":\"";
    const size_t start_len = sizeof start - 1;

    if (len <= start_len || memcmp(message, start, start_len) != 0)
        return true;
    const char *name = message + start_len;
    const char *end = memchr(name, '"', len - start_len);
    return end == NULL || scr_cdp_event(name, (size_t)(end - name)) != NULL;
}

static void handle_message(struct scr_cdp *cdp, const char *message, size_t len)
{
    json_t *root = NULL;

    cdp->stats.messages_in++;
    if (!is_of_interest(message, len)) {
        cdp->stats.events_ignored++;
        return;
    }
    if (df_json_parse(&root, message, len, SCR_CDP_MESSAGE_MAX_BYTES, NULL) != DF_OK ||
        !json_is_object(root)) {
        cdp->stats.malformed++;
        json_decref(root);
        return;
    }
    const json_t *id = json_object_get(root, "id");
    const json_t *name = json_object_get(root, "method");
    if (json_is_integer(id)) {
        handle_reply(cdp, root, json_integer_value(id));
    } else if (json_is_string(name)) {
        const char *method = scr_cdp_event(json_string_value(name), json_string_length(name));
        if (method != NULL)
            handle_event(cdp, root, method);
        else
            cdp->stats.events_ignored++;
    } else {
        cdp->stats.malformed++;
    }
    json_decref(root);
}

static void start_skipping(struct scr_cdp *cdp)
{
    cdp->stats.oversized++;
    cdp->is_skipping = true;
    df_log(DF_LOG_WARN, "cdp_oversized", "limit=%u", SCR_CDP_MESSAGE_MAX_BYTES);
}

/* Handles the complete messages in `in` and moves the rest to its start. */
static void split_messages(struct scr_cdp *cdp)
{
    size_t start = 0;

    while (cdp->broken == NULL) {
        char *nul = memchr(cdp->in.data + cdp->scanned, '\0', cdp->in.len - cdp->scanned);
        if (nul == NULL)
            break;
        size_t end = (size_t)(nul - cdp->in.data);
        if (!cdp->is_skipping && end - start > SCR_CDP_MESSAGE_MAX_BYTES)
            start_skipping(cdp);
        if (cdp->is_skipping)
            cdp->is_skipping = false;
        else
            handle_message(cdp, cdp->in.data + start, end - start);
        start = end + 1;
        cdp->scanned = start;
    }
    size_t left = cdp->in.len - start;
    if (!cdp->is_skipping && left > SCR_CDP_MESSAGE_MAX_BYTES)
        start_skipping(cdp);
    if (cdp->is_skipping)
        left = 0;
    if (left > 0 && start > 0)
        memmove(cdp->in.data, cdp->in.data + start, left);
    cdp->in.len = left;
    cdp->scanned = left;
    if (left == 0 && cdp->in.cap > KEEP_BYTES)
        df_buf_release(&cdp->in);
}

static void on_readable(void *arg, uint32_t epoll_events)
{
    struct scr_cdp *cdp = arg;

    (void)epoll_events;
    for (size_t round = 0; round < ROUND_BYTES && cdp->broken == NULL;) {
        if (!df_buf_reserve(&cdp->in, READ_BYTES)) {
            /* No memory for a message of this size: it is lost, those after it need not be. */
            start_skipping(cdp);
            df_buf_release(&cdp->in);
            cdp->scanned = 0;
            if (!df_buf_reserve(&cdp->in, READ_BYTES)) {
                break_pipe(cdp, "out of memory");
                return;
            }
        }
        ssize_t n = read(cdp->reader.fd, cdp->in.data + cdp->in.len, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            break_pipe(cdp, n == 0 ? "the browser closed its pipe" : "the pipe cannot be read");
            return;
        }
        cdp->in.len += (size_t)n;
        cdp->stats.bytes_in += (uint64_t)n;
        round += (size_t)n;
        split_messages(cdp);
        if ((size_t)n < READ_BYTES)
            return; /* most likely all there was; what came since starts another round */
    }
}

/* --- commands to the browser ----------------------------------------------------------------- */

static void flush(struct scr_cdp *cdp)
{
    while (cdp->sent < cdp->out.len) {
        ssize_t n = write(cdp->writer.fd, cdp->out.data + cdp->sent, cdp->out.len - cdp->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            break_pipe(cdp, "the browser does not take commands any more");
            return;
        }
        cdp->sent += (size_t)n;
    }
    if (cdp->sent < cdp->out.len) {
        if (!cdp->writer.is_on && scr_loop_watch(cdp->loop, &cdp->writer, EPOLLOUT, NULL) != DF_OK)
            break_pipe(cdp, "the pipe cannot be watched");
        return;
    }
    scr_loop_unwatch(cdp->loop, &cdp->writer);
    cdp->sent = 0;
    df_buf_reset(&cdp->out);
    if (cdp->out.cap > KEEP_BYTES)
        df_buf_release(&cdp->out);
}

static void on_writable(void *arg, uint32_t epoll_events)
{
    (void)epoll_events;
    flush(arg);
}

/* Writes {"id":..,"method":..,"params":..,"sessionId":..} and the NUL to the queue. Steals params.
 */
static bool queue_command(struct scr_cdp *cdp, int64_t id, const char *session_id,
                          const char *method, json_t *params)
{
    json_t *root = json_pack("{s:I,s:s}", "id", (json_int_t)id, "method", method);
    bool ok = root != NULL;

    if (params != NULL && json_object_set_new(root, "params", params) != 0) /* takes NULL, too */
        ok = false;
    if (ok && session_id != NULL && session_id[0] != '\0')
        ok = json_object_set_new(root, "sessionId", json_string(session_id)) == 0;
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    /* What went out already makes room first, or a busy queue would only ever grow. */
    if (cdp->sent > 0) {
        cdp->out.len -= cdp->sent;
        memmove(cdp->out.data, cdp->out.data + cdp->sent, cdp->out.len);
        cdp->sent = 0;
    }
    ok = text != NULL && df_buf_append(&cdp->out, text, strlen(text) + 1);
    free(text);
    return ok;
}

void scr_cdp_send(struct scr_cdp *cdp, const char *session_id, const char *method,
                  struct json_t *params, int64_t deadline_ms, scr_cdp_reply_fn *on_reply, void *arg)
{
    const char *known = scr_cdp_command(method, strlen(method));
    int64_t now_ms = df_clock_mono_ms();
    struct waiter waiter = {
        .id = ++cdp->last_id, .due_ms = now_ms, .on_reply = on_reply, .arg = arg};

    if (known == NULL || cdp->broken != NULL) {
        json_decref(params);
        waiter.method = known != NULL ? known : "a command";
        waiter.fate = known != NULL ? DF_EUPSTREAM : DF_EBUG;
        if (known == NULL) {
            char quoted[128];
            df_log(DF_LOG_ERROR, "cdp_refused", "method=%s",
                   df_log_quote(quoted, sizeof quoted, method));
        }
        add_waiter(cdp, &waiter);
        return;
    }
    df_log(DF_LOG_DEBUG, "cdp_send", "method=%s id=%lld session=%s", known, (long long)waiter.id,
           session_id != NULL && session_id[0] != '\0' ? session_id : "-");
    cdp->stats.commands++;
    waiter.method = known;
    waiter.due_ms = now_ms + (deadline_ms > 0 ? deadline_ms : 1);
    add_waiter(cdp, &waiter);
    if (!queue_command(cdp, waiter.id, session_id, known, params))
        break_pipe(cdp, "commands cannot be queued");
    else if (!cdp->writer.is_on)
        flush(cdp);
}

void scr_cdp_forget(struct scr_cdp *cdp, const void *arg)
{
    for (size_t i = 0; i < cdp->waiter_count; i++)
        if (cdp->waiters[i].arg == arg)
            cdp->waiters[i].on_reply =
                NULL; /* stays, so that its answer is not taken for a late one */
}

/* --- life ------------------------------------------------------------------------------------ */

static bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

enum df_code scr_cdp_new(struct scr_cdp **out, struct scr_loop *loop, int read_fd, int write_fd,
                         const struct scr_cdp_handlers *handlers, struct df_error *err)
{
    struct scr_cdp *cdp = calloc(1, sizeof *cdp);
    struct waiter *waiters = calloc(WAITERS_FIRST, sizeof *waiters);
    enum df_code rc;

    *out = NULL;
    if (cdp == NULL || waiters == NULL) {
        free(cdp);
        free(waiters);
        (void)close(read_fd);
        (void)close(write_fd);
        return df_error_set(err, DF_ENOMEM, "cdp: out of memory");
    }
    cdp->loop = loop;
    cdp->handlers = *handlers;
    cdp->reader = (struct scr_watch){.fd = read_fd, .on_ready = on_readable, .arg = cdp};
    cdp->writer = (struct scr_watch){.fd = write_fd, .on_ready = on_writable, .arg = cdp};
    cdp->deadline = (struct scr_timer){.on_due = on_deadline, .arg = cdp};
    cdp->waiters = waiters;
    cdp->waiter_capacity = WAITERS_FIRST;
    df_buf_init(&cdp->in, SCR_CDP_MESSAGE_MAX_BYTES + 2 * READ_BYTES);
    df_buf_init(&cdp->out, QUEUE_MAX_BYTES);
    rc = set_nonblocking(read_fd) && set_nonblocking(write_fd)
             ? scr_loop_watch(loop, &cdp->reader, EPOLLIN, err)
             : df_error_set(err, DF_EUNAVAILABLE, "cdp: %s", strerror(errno));
    if (rc != DF_OK) {
        scr_cdp_free(cdp);
        return rc;
    }
    *out = cdp;
    return DF_OK;
}

void scr_cdp_free(struct scr_cdp *cdp)
{
    if (cdp == NULL)
        return;
    scr_timer_cancel(cdp->loop, &cdp->deadline);
    scr_loop_unwatch(cdp->loop, &cdp->reader);
    scr_loop_unwatch(cdp->loop, &cdp->writer);
    (void)close(cdp->reader.fd);
    (void)close(cdp->writer.fd);
    df_buf_release(&cdp->in);
    df_buf_release(&cdp->out);
    free(cdp->waiters);
    free(cdp);
}

void scr_cdp_abandon(struct scr_cdp *cdp, const char *reason)
{
    break_pipe(cdp, reason);
    answer_all(cdp);
}

void scr_cdp_stats_get(const struct scr_cdp *cdp, struct scr_cdp_stats *out)
{
    *out = cdp->stats;
}
