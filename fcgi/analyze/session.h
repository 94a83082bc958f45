/* fcgi/analyze/session.h - judges the messages of a session again. */
#ifndef FCGI_ANALYZE_SESSION_H
#define FCGI_ANALYZE_SESSION_H

#include <stdio.h>

#include "fcgi/analyze/judge.h"
#include "fcgi/analyze/options.h"
#include "fcgi/ignored.h"
#include "fcgi/spend.h"
#include "fcgi/store.h"
#include "shared/pg.h"

enum { AN_PART_LINES_LOCAL = 500, AN_PART_LINES_GATEWAY = 64, AN_LINES_MAX = 5000 };

/* What both kinds of run share; main fills it, and owns what it points to. */
struct an_session {
    const struct an_options *options;
    const char *analyzer_name; /* local, gateway or hybrid */
    struct df_capture_rule rule;
    struct an_judge judge;
    struct df_pg *pg; /* with an_session_statements */
    struct mrs_ignored *ignored;
    struct mrs_spend spend; /* the day's budget for the model server */
    FILE *out;              /* the report */
};

/* Lines read from a result, which must outlive them, and their verdicts. */
struct an_lines {
    size_t count;
    struct df_uuid *ids;
    struct df_chat_line *chat;
    bool *was_captured, *has_sale, *is_ignored, *would_capture;
    struct an_judged *judged;
};

enum df_code an_lines_init(struct an_lines *lines, size_t max, struct df_error *err) DF_MUST_USE;
void an_lines_release(struct an_lines *lines);

/* Reads the rows of claim_part or read_lines, judges them, applies the capture rule and the owner's
 * ignored phrases. Errors of an_judge_lines and mrs_ignored_learn. */
enum df_code an_lines_judge(struct an_lines *lines, const struct an_session *session,
                            const struct pg_result *result, int64_t deadline_ms,
                            struct df_error *err) DF_MUST_USE;

/* Takes parts of the run until none is left anywhere, then prints the run's numbers. Any number of
 * programs may do so at once; one that is killed leaves whole parts. A database that goes away is
 * waited for.
 * DF_ENOTFOUND: no such session. DF_ECONFLICT: a run with other settings is under way.
 * DF_EUNAVAILABLE and the gateway's codes: given up; the same command goes on later. DF_ENOMEM. */
enum df_code an_session_run(struct an_session *session, struct df_error *err) DF_MUST_USE;

/* Prints what an_session_run would change, for several thresholds; only reads. Codes as above. */
enum df_code an_session_dry_run(struct an_session *session, struct df_error *err) DF_MUST_USE;

#endif
