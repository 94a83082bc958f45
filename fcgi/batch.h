/* fcgi/batch.h - turns a list of store jobs into statements and their answers back into outcomes.
 * One batch object per writer thread. */
#ifndef FCGI_BATCH_H
#define FCGI_BATCH_H

#include "fcgi/ignored.h"
#include "fcgi/store.h"
#include "shared/pg.h"

enum { MRS_BATCH_PARAMS = 14 };

struct mrs_batch {
    struct df_pg *pg; /* borrowed */
    struct df_pg_array params[MRS_BATCH_PARAMS];
    struct mrs_job **missed; /* jobs whose row was not inserted; room for batch_max */
    struct mrs_ignored *ignored;
    struct df_uuid *sessions; /* of jobs that may be captured; room for batch_max */
    int64_t careful_until_ms; /* the fast statements failed: not before */
};

extern const struct df_pg_statement mrs_batch_statements[];
extern const size_t mrs_batch_statement_count;

enum df_code mrs_batch_init(struct mrs_batch *batch, struct df_pg *pg, size_t batch_max,
                            struct df_error *err) DF_MUST_USE;
void mrs_batch_release(struct mrs_batch *batch);

/* Commits `count` jobs of one kind (ids distinct) and sets outcome or error of each. A job that
 * Postgres refuses never fails its neighbours: the batch is halved until the culprit stands alone.
 * A line that its session's owner ignores loses judgement.capture first (job->message must be set).
 * DF_OK: every job has its outcome. DF_EUNAVAILABLE: the server as a whole is unable; jobs without
 * an outcome are to be tried again or refused by the caller. */
enum df_code mrs_batch_commit(struct mrs_batch *batch, struct mrs_job **jobs, size_t count,
                              int64_t deadline_ms, struct df_error *err) DF_MUST_USE;

#endif
