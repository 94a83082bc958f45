/* scraper/delivery.h - the outbox and the thread that empties it. A captured line is committed to
 * SQLite (WAL) first, then reported as captured, then posted to the function until it answers; a
 * UUIDv7 made at capture is its messageId, so that a second delivery changes nothing.
 * One delivery thread owns the database and all transfers; the functions here are called from the
 * loop thread unless they say otherwise, and events come back through scr_delivery_take. */
#ifndef SCRAPER_DELIVERY_H
#define SCRAPER_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/config.h"
#include "scraper/line.h"
#include "shared/error.h"
#include "shared/uuid.h"

#define SCR_SESSION_MAX_BYTES 200

/* A captured line on its way. One allocation; free with scr_capture_free. */
struct scr_capture {
    struct scr_capture *next;
    struct df_uuid id;      /* messageId; replaced by the stored one when the identity was known */
    uint64_t session_token; /* the caller's handle; comes back untouched */
    const char *session;    /* sessionId as text */
    const char *username, *text;
    const char *line_id;    /* identity at the source (frame id), "" when it has none */
    enum scr_kind kind;
    enum scr_role role;
    enum scr_source source;
    bool is_backlog, is_cut, is_highlighted;
    bool should_deliver;    /* false: session id is no UUID, or kind is not chat */
    bool is_buyer;          /* verdict and offer, for the counters that survive a restart */
    double confidence;
    int64_t value_cents;    /* -1 none */
    int64_t captured_ms;    /* wall clock */
    int64_t seen_ns;        /* monotonic, for latency figures */
};
/* Copies the texts. NULL: out of memory. */
struct scr_capture *scr_capture_new(const char *session, const struct scr_line *line);
void scr_capture_free(struct scr_capture *capture);

/* A session that is being watched: kept over restarts. */
struct scr_watch_row {
    char session[SCR_SESSION_MAX_BYTES + 1];
    char stream_id[64];
    char url[2048];         /* current page */
    char owner[128];        /* sub of the user who started it, "" for the service */
    char *request_json;     /* the start request (fallbackUrls, autoDiscover); heap */
    uint64_t messages, buyers;
    int64_t value_cents, started_ms;
};

enum scr_delivery_event_type {
    SCR_EVENT_COMMITTED, /* in the outbox: report it as captured */
    SCR_EVENT_DUPLICATE, /* its identity was captured before (a restart): say nothing */
    SCR_EVENT_HELD,      /* the outbox cannot take it now (disk full, bound reached): kept in memory,
                            COMMITTED (or DUPLICATE) follows when there is room again */
    SCR_EVENT_DROPPED,   /* the ring in memory overflowed: lost, with an alarm */
    SCR_EVENT_ALARM,     /* alarm changed: see `alarm` */
    SCR_EVENT_HISTORY,   /* answer to _load_history: one per line, oldest first, then one without
                            capture that is_last */
    SCR_EVENT_OWNER,     /* answer to _ask_owner */
};

struct scr_delivery_event {
    struct scr_delivery_event *next;
    enum scr_delivery_event_type type;
    struct scr_capture *capture; /* COMMITTED.. DROPPED, HISTORY (texts, line_id, ...); owned */
    uint64_t token;              /* HISTORY, OWNER: the caller's */
    bool is_last;                /* HISTORY */
    bool is_owner;               /* OWNER */
    int http_status;             /* OWNER: of the answer, 0 when none came */
    char alarm[160];             /* ALARM: "" when it is over, else what is wrong and what to do */
};
void scr_delivery_event_free(struct scr_delivery_event *event);

struct scr_delivery_stats { /* snapshot, any thread */
    uint64_t captured, delivered, retried, parked, dead, dropped, duplicates;
    uint64_t pending;           /* undelivered rows, parked ones included */
    uint64_t held;              /* in memory only */
    int64_t oldest_pending_ms;  /* age of the oldest, 0 when none */
    int64_t database_bytes;
    bool is_claiming;           /* false: the outbox cannot take messages now */
    char alarm[160];
    int64_t post_p50_ms, post_p99_ms; /* of the last 1,000 answers */
};

struct scr_delivery;

/* curl_global_init must have been called. Opens the outbox (creates file and tables, checks that it is ours, recovers the WAL) and starts the
 * thread. With SUPABASE_URL or key unset nothing is posted: lines are kept up to the bounds and an
 * alarm says so. The caller owns *out; config is borrowed. Beside the file lie its log (-wal) and a
 * reserve of 8 MB (-reserve) that is given up when the disk is full.
 * DF_EINPUT: the file is no outbox of this version; DF_EUNAVAILABLE: cannot be opened or is in use by
 * another daemon (the message says what to do). */
enum df_code scr_delivery_new(struct scr_delivery **out, const struct scr_config *config,
                              struct df_error *err) DF_MUST_USE;
/* Stops: commits what was submitted, posts until drain_ms are over, saves the rest. */
void scr_delivery_free(struct scr_delivery *delivery, int64_t drain_ms);

/* Readable when _take has events; for the loop. */
int scr_delivery_fd(const struct scr_delivery *delivery);
/* All events so far, oldest first, or NULL; the caller owns them. Never blocks. */
struct scr_delivery_event *scr_delivery_take(struct scr_delivery *delivery);

/* Gives captures (a list, oldest first) to the thread. Order is kept within a session. Never
 * blocks, never refuses: what does not fit comes back as HELD or DROPPED. */
void scr_delivery_submit(struct scr_delivery *delivery, struct scr_capture *first);

/* Sessions. _put replaces by session; both are done in order with submits. */
void scr_delivery_watch_put(struct scr_delivery *delivery, const struct scr_watch_row *row);
void scr_delivery_watch_remove(struct scr_delivery *delivery, const char *session);
/* Before the loop runs: the watches that were there at the last stop. Returns how many (heap array,
 * free each request_json and the array). */
size_t scr_delivery_watches(struct scr_delivery *delivery, struct scr_watch_row **out);

/* The newest SCR_HISTORY_TAIL captured lines of a session, as HISTORY events with this token. */
void scr_delivery_load_history(struct scr_delivery *delivery, const char *session, uint64_t token);
/* Is the session the caller's own? Asks SUPABASE_URL/rest/v1/stream_sessions with this token. */
void scr_delivery_ask_owner(struct scr_delivery *delivery, const char *session, const char *jwt,
                            uint64_t token);

void scr_delivery_stats_get(struct scr_delivery *delivery, struct scr_delivery_stats *out);

#endif
