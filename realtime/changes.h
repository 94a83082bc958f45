/* realtime/changes.h - the database side: one thread that LISTENs and reads the change log in order,
 * and one that answers questions (bindings, policies, catch-up), so that a slow answer holds no change
 * up. All functions are called from the loop thread; events come back through rt_changes_take after
 * the wake callback. Source: sql/migrations, dealflow.change_log and dealflow.realtime_*. */
#ifndef REALTIME_CHANGES_H
#define REALTIME_CHANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "realtime/config.h"
#include "shared/error.h"

struct rt_changes;

/* --- what is subscribed to: published as a whole, shared read-only ---------------------------- */

/* One distinct (table, events, filter) with the claim sets that use it. Filters and claim sets have ids
 * given by the hub that are stable while they are in use. */
struct rt_interest {
    char schema[64], table[64]; /* "*" wildcards */
    unsigned events;
    char session[37];   /* pre-filter: only changes of this session, "" for any */
    uint32_t filter_id; /* index into plan->filter */
    uint32_t claims_id; /* index into plan->claims */
};

struct rt_plan { /* heap, one owner: given to the reader by rt_changes_publish, freed by it */
    uint64_t version;
    struct rt_interest *interest;
    size_t interest_count;
    char **filter; /* canonical JSON by filter_id; NULL for ids that are free */
    size_t filter_count;
    char **claims; /* JSON text by claims_id, with "role"; NULL for ids that are free */
    size_t claims_count;
};
void rt_plan_free(struct rt_plan *plan);
void rt_changes_publish(struct rt_changes *changes, struct rt_plan *plan);

/* --- what comes back --------------------------------------------------------------------------- */

/* A place in the order of delivery, of this gateway only: that of the n-th row of an entry of the
 * change log. */
struct rt_spot {
    uint64_t cut; /* see realtime/cuts.h; 0: not known */
    int64_t seq;
    uint32_t n;
    bool is_live; /* all that came after it until now came live */
};

/* One changed row as one role sees it. */
struct rt_row {
    char role[64];
    uint32_t n;         /* which row of the log entry, from 1 */
    char *id;           /* primary key as JSON text: to tell rows apart in catch-up */
    char *columns;      /* JSON array [{"name","type"},..] */
    char *record;       /* JSON object text, NULL for DELETE */
    char *old_record;   /* JSON object text, NULL for INSERT */
    uint32_t *filter_ids; /* filters of the plan this row passes; none in catch-up */
    size_t filter_count;
    uint32_t *claims_ids; /* claim sets of this role that may see it; none in catch-up */
    size_t claims_count;
};

enum rt_changes_event_type {
    RT_EVENT_CHANGES,   /* rows of one log entry, in order */
    RT_EVENT_PLAN,      /* the plan of this version is in force: what commits from now on is seen */
    RT_EVENT_CHECKED,   /* answer to _check */
    RT_EVENT_POLICY,    /* answer to _policy */
    RT_EVENT_CATCH_UP,  /* a page of missed rows; is_last ends it */
    RT_EVENT_BROADCAST, /* a broadcast or presence message of another gateway, or of SQL */
    RT_EVENT_STATE,     /* connection to the database: up or down */
    RT_EVENT_FAILED,    /* a filter or claim set that Postgres cannot evaluate (error says why): it
                           gets no rows any more while the plan holds it; tell its bindings */
};

struct rt_changes_event {
    struct rt_changes_event *next;
    enum rt_changes_event_type type;
    /* CHANGES, CATCH_UP */
    char schema[64], table[64], op[8], session[37];
    char commit_timestamp[32]; /* 2026-11-22T10:00:00.123Z */
    uint64_t cut; /* with seq the place of the rows in the order of delivery; 0: not known */
    int64_t seq;
    struct rt_row *row;
    size_t row_count;
    uint64_t plan_version; /* the plan that filter_ids and claims_ids belong to */
    /* answers */
    uint64_t token;
    bool is_ok, is_last;
    char error[600];    /* CHECKED: Supabase's text, but for the event, which belongs between "[" and
                           "schema:"; CATCH_UP: why it could not be complete; POLICY: why there is no
                           answer */
    bool can_read, can_write; /* POLICY */
    /* BROADCAST */
    char *text; /* what rt_changes_send was given; from SQL {"sql":true,"id","topic","event","payload",
                   "private"} */
    /* STATE */
    bool is_up;
    /* FAILED */
    bool is_filter;
    uint32_t failed_id;
};
void rt_changes_event_free(struct rt_changes_event *event);

/* wake is called from the threads when _take has something (lws_cancel_service). Starts the threads;
 * a database that is away is not an error. The caller owns *out. */
enum df_code rt_changes_new(struct rt_changes **out, const struct rt_config *config,
                            void (*wake)(void *arg), void *arg, struct df_error *err) DF_MUST_USE;
void rt_changes_free(struct rt_changes *changes);
/* Oldest first; the caller owns it. Take until NULL: wake is not called again before. */
struct rt_changes_event *rt_changes_take(struct rt_changes *changes);

/* May this role subscribe so? Texts are borrowed for the call. is_ok or error in Supabase's words. */
void rt_changes_check(struct rt_changes *changes, uint64_t token, const char *role,
                      const char *schema, const char *table, const char *filter_json,
                      const char *select_json);
/* What do the policies on realtime.messages say about this private topic (extension "broadcast" or
 * "presence") under these claims? */
void rt_changes_policy(struct rt_changes *changes, uint64_t token, const char *claims_json,
                       const char *topic, const char *extension);
/* Rows of the table that were committed after `x_after` (the id of the last row the client has, or a
 * timestamp), as INSERT (or as the log says), under these claims and this filter, in the order of
 * delivery, in pages, up to what the plan of version `until` covers live: together they are every row
 * once. A spot that is still remembered is where to begin instead of x_after. So publish a
 * new version for it, even of an unchanged plan, and hold live rows of this binding back until is_last:
 * a client that has a live row is taken to have all that came before. */
void rt_changes_catch_up(struct rt_changes *changes, uint64_t token, const char *schema,
                         const char *table, unsigned events, const char *filter_json,
                         const char *session, const char *claims_json, const char *x_after,
                         const struct rt_spot *spot, uint64_t until_version);
void rt_changes_cancel(struct rt_changes *changes, uint64_t token); /* no more pages, please */

/* Tells the other gateways (and nobody here): text is opaque, up to 3 MB; at most once, unordered with
 * respect to row changes. */
void rt_changes_send(struct rt_changes *changes, const char *text, size_t text_len);

struct rt_changes_stats {
    bool is_up;
    uint64_t log_entries, rows, batches, reconnects, questions;
    int64_t lag_ms; /* age of the last log entry when it was read */
    int64_t query_p50_us, query_p99_us;
};
void rt_changes_stats_get(struct rt_changes *changes, struct rt_changes_stats *out);

#endif
