/* fcgi/store.h - group commit: many workers hand in jobs, writer threads turn whatever queued up
 * while the previous commit ran into one statement and one commit. No waiting when idle. */
#ifndef FCGI_STORE_H
#define FCGI_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/intent.h"
#include "shared/message.h"

/* What decided a verdict; written to message_analysis.analyzer. */
#define MRS_ANALYZER_LOCAL    "local"
#define MRS_ANALYZER_GATEWAY  "gateway"
#define MRS_ANALYZER_FALLBACK "local-fallback" /* to be analysed again */

enum mrs_job_kind {
    MRS_JOB_MESSAGE, /* insert the message, and the verdict when there is one */
    MRS_JOB_VERDICT, /* the message is committed: add verdict, sale and counters to it */
    MRS_JOB_REPLACE, /* the same in place of a fallback verdict */
};

struct mrs_judgement {
    struct df_verdict verdict;
    const char *analyzer; /* one of MRS_ANALYZER_*; NULL: no verdict */
    const char *model;    /* may be NULL; borrowed */
    bool capture;         /* the capture rule said yes */
};

enum mrs_outcome {
    MRS_STORED,    /* committed by this job; job->captured tells whether the sale was, too */
    MRS_REPEATED,  /* the same delivery was committed before: job->earlier holds its verdict */
    MRS_UNANSWERED /* nothing committed as far as we know: job->error says why */
};

/* One delivery. The caller owns it and what it points to; both are lent to the store from
 * mrs_store_submit until on_done. */
struct mrs_job {
    enum mrs_job_kind kind;
    struct df_uuid id;
    bool id_from_caller; /* only such an id can have been stored before */
    bool has_owner;      /* only sessions of `owner` may be written */
    struct df_uuid owner;
    const struct df_message *message;
    struct mrs_judgement judgement;
    void (*on_done)(struct mrs_job *job); /* on the writer's thread: be quick */
    void *context;                        /* for on_done */

    /* out */
    enum mrs_outcome outcome;
    bool captured;
    bool has_earlier; /* MRS_REPEATED: a verdict is stored */
    struct df_verdict earlier;
    bool earlier_captured;
    struct df_error error; /* MRS_UNANSWERED: DF_ENOTFOUND session, DF_EDENIED owner, DF_ECONFLICT
                              same id with other content, DF_EBUSY queue full, DF_EUNAVAILABLE */

    /* private to the store */
    struct mrs_job *next;
    int64_t deadline_ms;
    bool may_be_stored; /* the connection was lost while an attempt was under way */
};

struct mrs_store_options {
    const char *conninfo;
    const char *role;   /* set role after connecting; NULL or "": stay who we are */
    int64_t timeout_ms; /* a job is answered within this time, whatever happens */
    int64_t queue_max;  /* jobs waiting for a writer; one more is refused with DF_EBUSY */
    int64_t batch_max;  /* rows of one statement */
    int64_t writers;    /* threads, each with its own connection */
};

struct mrs_store;

/* Starts the writers; they connect by themselves and reconnect for ever. On DF_OK the caller owns
 * *out. The strings of options are borrowed for its life. */
enum df_code mrs_store_new(struct mrs_store **out, const struct mrs_store_options *options,
                           struct df_error *err) DF_MUST_USE;
/* Commits what is queued (within timeout_ms), joins the writers, frees. NULL is fine. */
void mrs_store_free(struct mrs_store *store);

/* Hands a job in; any thread. True: on_done will be called exactly once, within timeout_ms and a
 * little. False: refused at once, job->error says why, on_done will not be called. */
bool mrs_store_submit(struct mrs_store *store, struct mrs_job *job) DF_MUST_USE;

/* True while at least one writer has a working connection. */
bool mrs_store_is_ready(struct mrs_store *store);
int64_t mrs_store_queue_length(struct mrs_store *store);

enum { MRS_SESSION_SQL_SIZE = 512 };

/* "set role ...; set statement_timeout ..." for a connection of this program; buf is filled.
 * DF_EINPUT: role is no plain identifier. DF_EBUG: buf_size is below MRS_SESSION_SQL_SIZE. */
enum df_code mrs_session_sql(char *buf, size_t buf_size, const char *role, int64_t timeout_ms,
                             struct df_error *err) DF_MUST_USE;

#endif
