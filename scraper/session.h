/* scraper/session.h - one watched session (private to the monitor's files: monitor.c, session.c,
 * rotate.c, events.c, metrics.c). Loop thread only. */
#ifndef SCRAPER_SESSION_H
#define SCRAPER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/delivery.h"
#include "scraper/discover.h"
#include "scraper/history.h"
#include "scraper/monitor.h"
#include "scraper/shots.h"
#include "scraper/tab.h"
#include "scraper/verdict.h"

struct json_t;
struct scr_session;

enum {
    SCR_BUYERS_KEPT = 50,      /* newest alerts of a session, for the summary */
    SCR_RATE_SECONDS = 60,     /* window of messagesPerMinute */
    SCR_FINISHED_KEPT = 20,    /* summaries of sessions that are over */
    SCR_CANDIDATES_MAX = 32,   /* shows to choose from when rotating */
};

/* Why a page was opened. Clients see it as stream.source. */
enum scr_purpose { SCR_FOR_START, SCR_FOR_FALLBACK, SCR_FOR_DISCOVERY, SCR_FOR_RECYCLE };

/* One page of a session. Freed a round later than it is dropped, because a tab must not be freed
 * from inside its own callback. */
struct scr_slot {
    struct scr_session *session;
    struct scr_tab *tab;
    enum scr_purpose purpose;
    enum scr_purpose chosen_by; /* the purpose of the page that this one recycles, else the same */
    bool is_dropped, was_live;
    struct scr_timer free_timer;
    struct scr_timer deadline; /* of a candidate */
};

struct scr_buyer {
    char username[SCR_NAME_MAX_BYTES + 1];
    char text[300];
    char reason[200];
    double confidence;
    int64_t value_cents, captured_ms;
    uint64_t number;
};

struct scr_totals { /* what a summary is made of; outlives the session */
    char session[SCR_SESSION_MAX_BYTES + 1];
    char stream_id[64];
    char owner[128];
    char url[2048], title[256], host[128];
    int64_t viewers;
    uint64_t messages, buyers;
    int64_t value_cents;
    int64_t started_ms, ended_ms; /* wall clock; ended 0 while it runs */
    enum scr_state state;
    struct scr_buyer buyer[SCR_BUYERS_KEPT]; /* ring: number % SCR_BUYERS_KEPT */
};

struct scr_candidate {
    char url[2048];
    enum scr_purpose purpose;
};

struct scr_session {
    struct scr_session *next;
    struct scr_monitor *monitor;
    uint64_t token;
    bool is_uuid; /* else watched and broadcast, but not delivered */
    bool is_closing;
    struct scr_totals *totals;
    struct json_t *request; /* what it was started with; owned */

    struct scr_slot *current, *candidate;
    struct scr_address address; /* to open first, once the history is there */
    struct scr_history *history;
    bool has_first_snapshot;
    size_t in_flight;       /* lines given to the outbox that have not come back */
    int64_t ended_since_ms; /* the show is over, but its last lines are in flight; 0: no */
    uint64_t gaps;

    uint64_t start_request; /* waiting for its answer, 0 when none */
    struct scr_timer start_timer;

    /* rotation (rotate.c) */
    struct scr_timer rotate_timer, close_timer, retry_timer;
    struct scr_discover *discover;
    struct scr_candidate *candidates; /* heap, while it is rotating */
    size_t candidate_count, candidate_next;
    bool is_rotating, has_discovered;
    unsigned rotations_failed;

    struct scr_shots shots;
    uint32_t rate[SCR_RATE_SECONDS]; /* live lines (no backlog) by second */
    int64_t rate_second, rate_since_ms;
    uint64_t said_messages; /* at the last debug_stats */
    int64_t last_report_ms; /* wall clock: a source said something */
    int64_t facts_said_ms, recycled_ms; /* monotonic */
    struct scr_timer facts_timer;
};

struct scr_monitor {
    struct scr_monitor_parts parts;
    struct scr_server *server;
    struct df_capture_rule rule;
    struct scr_session *sessions;
    struct scr_totals *finished[SCR_FINISHED_KEPT];
    size_t finished_next;
    uint64_t next_token;
    struct scr_watch delivery_watch;
    struct scr_timer tick;
    int64_t started_ms;
    struct scr_owner_ask *asks;
    struct df_uuid *held; /* reported as not captured yet */
    size_t held_count, held_capacity;
    char alarm[160];
    uint64_t lines[3], lines_new, backlog_lines; /* by kind */
    uint64_t commit_ns_sum, commit_count;        /* seen -> broadcast */
    uint64_t buyers;
};

/* --- session.c ------------------------------------------------------------------------------- */
/* Makes a session and asks for its history; the page is opened when that is there. request is
 * borrowed (copied). NULL: out of memory. */
struct scr_session *scr_session_new(struct scr_monitor *monitor, const char *id, const char *owner,
                                    const struct scr_address *address, const struct json_t *request);
/* History of earlier runs has been read: open the page, or look for one. */
void scr_session_begin(struct scr_session *session);
/* Opens a page beside the current one; it takes over when it is live. False: no memory, or another
 * candidate is being tried. */
bool scr_session_try(struct scr_session *session, const struct scr_address *address,
                     enum scr_purpose purpose);
/* Closes its pages and forgets it; reason goes to the clients. Deferred to the next round. */
void scr_session_close(struct scr_session *session, enum scr_state final, const char *reason);
void scr_session_free(struct scr_session *session); /* at once; not from a tab's callback */
void scr_session_drop_candidate(struct scr_session *session);
void scr_session_answer(struct scr_session *session, int status, const char *message);
void scr_session_save(struct scr_session *session);
/* The outbox answered for one line of the session. */
void scr_session_landed(struct scr_session *session);
/* Every second: an end that waits for lines does not wait for ever. */
void scr_session_tick(struct scr_session *session, int64_t now_ms);
unsigned scr_session_per_minute(const struct scr_session *session);
enum scr_state scr_session_state(const struct scr_session *session);
const struct scr_tab_facts *scr_session_facts(const struct scr_session *session); /* or NULL */

/* --- rotate.c -------------------------------------------------------------------------------- */
bool scr_rotate_is_wanted(const struct scr_session *session); /* has it anywhere else to go? */
/* Looks for another show: the fallback addresses first, then discovery. Ends by scr_session_try,
 * or by trying again later. */
void scr_rotate_begin(struct scr_session *session, const char *why);
void scr_rotate_failed(struct scr_session *session); /* the candidate was no good: the next one */
void scr_rotate_done(struct scr_session *session);
void scr_rotate_watch(struct scr_session *session); /* (re)sets the timer for a quiet show */
void scr_rotate_release(struct scr_session *session);

/* --- events.c -------------------------------------------------------------------------------- */
struct json_t *scr_events_stream(const struct scr_session *session); /* new reference */
struct json_t *scr_events_session(const struct scr_session *session, bool is_full);
struct json_t *scr_events_summary(const struct scr_totals *totals);
void scr_events_state(struct scr_session *session, const char *state, const char *reason);
void scr_events_selected(struct scr_session *session);
void scr_events_started(struct scr_session *session);
void scr_events_update(struct scr_session *session);
void scr_events_stats(struct scr_session *session);
void scr_events_error(struct scr_monitor *monitor, const struct scr_session *session,
                      const char *code, const char *text);
void scr_events_line(struct scr_session *session, const struct scr_capture *capture,
                     const struct scr_verdict *verdict, bool is_captured);
void scr_events_buyer(struct scr_session *session, const struct scr_capture *capture,
                      const struct scr_verdict *verdict, const struct scr_buyer *buyer);
void scr_events_captured_late(struct scr_session *session, const struct scr_capture *capture);
/* "2026-11-22T20:52:30.114Z"; returns out. */
const char *scr_events_time(char out[32], int64_t wall_ms);

/* --- metrics.c ------------------------------------------------------------------------------- */
char *scr_metrics_text(void *monitor); /* heap */

/* --- monitor.c ------------------------------------------------------------------------------- */
void scr_monitor_forget(struct scr_monitor *monitor, struct scr_session *session);
bool scr_monitor_watches_show(const struct scr_monitor *monitor, const char *url);

#endif
