/* scraper/cdp.h - the Chrome DevTools Protocol over --remote-debugging-pipe: JSON messages, each
 * ended by one NUL byte, commands with ids and deadlines, events by flat session.
 * Loop thread only. Source: chromedevtools.github.io/devtools-protocol; flat sessions as
 * Target.attachToTarget{flatten:true} makes them. */
#ifndef SCRAPER_CDP_H
#define SCRAPER_CDP_H

#include <stddef.h>
#include <stdint.h>

#include "scraper/loop.h"
#include "shared/error.h"

struct json_t; /* jansson's */
struct scr_cdp;

#define SCR_CDP_MESSAGE_MAX_BYTES (64u << 20)
#define SCR_CDP_DEADLINE_MS 5000 /* default for commands; navigation has its own */

struct scr_cdp_handlers {
    void *arg;
    /* An event of a wanted method (see cdp_methods.c; others are dropped before they are parsed).
     * session_id is "" for the browser itself. params is borrowed, an object, never NULL. */
    void (*on_event)(void *arg, const char *session_id, const char *method,
                     const struct json_t *params);
    /* The pipe ended or broke; called once, from scr_cdp's own stack: do not free it here. All
     * waiting commands have been answered with DF_EUPSTREAM before. */
    void (*on_closed)(void *arg, const char *reason);
};

/* The answer to a command: err is NULL and result an object (borrowed), or err says
 * DF_ETIMEOUT (deadline), DF_EUPSTREAM (the browser's error or the pipe's end) and result is NULL. */
typedef void scr_cdp_reply_fn(void *arg, const struct json_t *result, const struct df_error *err);

struct scr_cdp_stats {
    uint64_t bytes_in, messages_in, events_ignored, oversized, malformed, commands, late_replies;
};

/* Takes both descriptors (closed by _free, also on failure); makes them non-blocking. read_fd is the
 * browser's fd 4, write_fd its fd 3. The program must ignore SIGPIPE.
 * The caller owns *out. DF_ENOMEM, DF_EUNAVAILABLE. */
enum df_code scr_cdp_new(struct scr_cdp **out, struct scr_loop *loop, int read_fd, int write_fd,
                         const struct scr_cdp_handlers *handlers, struct df_error *err) DF_MUST_USE;
void scr_cdp_free(struct scr_cdp *cdp); /* waiting commands are forgotten, not answered */
/* Ends it as if the pipe had broken, but on_closed is not called: waiting commands are answered with
 * DF_EUPSTREAM and `reason` (borrowed until _free), nothing is read or sent any more. When the pipe had
 * ended already, those are answered who sent since. May be called from a callback. */
void scr_cdp_abandon(struct scr_cdp *cdp, const char *reason);

/* Sends a command; params (may be NULL) is stolen, also on failure. on_reply (may be NULL) is called
 * exactly once, later, never from inside this call, unless scr_cdp_forget(arg) came first. Only
 * methods of the table in cdp_methods.c are sent: it is the proof that we read and never act; another
 * one is DF_EBUG. Output is queued and never blocks; a queue over 64 MB counts as a broken pipe. */
void scr_cdp_send(struct scr_cdp *cdp, const char *session_id, const char *method,
                  struct json_t *params, int64_t deadline_ms, scr_cdp_reply_fn *on_reply, void *arg);
/* Waiting commands of this arg are not reported any more: call it before freeing what arg points to. */
void scr_cdp_forget(struct scr_cdp *cdp, const void *arg);

void scr_cdp_stats_get(const struct scr_cdp *cdp, struct scr_cdp_stats *out);

#endif
