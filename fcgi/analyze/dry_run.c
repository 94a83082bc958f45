/* fcgi/analyze/dry_run.c - what judging a session again would change. Reads only. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/analyze/print.h"
#include "fcgi/analyze/session.h"
#include "fcgi/analyze/session_sql.h"
#include "shared/clock.h"

enum { STATEMENT_MS = 60000, EXAMPLES_MAX = 20, THRESHOLDS = 6 };

struct row {
    double threshold;
    int64_t sales, gained, lost;
};

struct dry_run {
    struct an_session *session;
    struct an_lines lines;
    struct df_pg_array ids;
    struct row rows[THRESHOLDS]; /* the wanted one first */
    int64_t judged, unanswered, ignored, sales_now, examples;
};

static int64_t deadline(void)
{
    return df_clock_mono_ms() + STATEMENT_MS;
}

static void print_example(struct dry_run *d, size_t i, char sign)
{
    const struct df_chat_line *chat = &d->lines.chat[i];
    FILE *out = d->session->out;

    if (d->examples++ >= EXAMPLES_MAX)
        return;
    (void)fprintf(out, "  %c %.2f  ", sign, d->lines.judged[i].verdict.confidence);
    an_print_safely(out, chat->username, chat->username_len);
    (void)fputs(": ", out);
    an_print_safely(out, chat->message, chat->message_len);
    (void)fputc('\n', out);
}

static void count_line(struct dry_run *d, size_t i)
{
    const struct an_judged *j = &d->lines.judged[i];
    struct df_capture_rule rule = d->session->rule;

    d->sales_now += d->lines.has_sale[i];
    d->judged += j->is_answered;
    d->unanswered += !j->is_answered;
    if (!j->is_answered)
        return;
    bool is_ignored = d->lines.is_ignored[i];
    d->ignored += is_ignored;
    for (int t = 0; t < THRESHOLDS; t++) {
        struct row *row = &d->rows[t];
        rule.threshold = row->threshold;
        bool would = !is_ignored && df_intent_should_capture(&j->verdict, &rule);
        bool gained = would && !d->lines.has_sale[i] && !d->lines.was_captured[i];
        bool lost = !would && d->lines.has_sale[i];
        row->sales += would;
        row->gained += gained;
        row->lost += lost;
        if (t == 0 && (gained || lost))
            print_example(d, i, gained ? '+' : '-');
    }
}

static enum df_code judge_some(struct dry_run *d, struct df_error *err)
{
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&d->ids};

    if (d->session->judge.gateway != NULL) /* what is asked is paid for, dry run or not */
        mrs_spend_tend(&d->session->spend, d->session->judge.gateway, d->session->pg);
    enum df_code rc = df_pg_run(d->session->pg, "begin transaction read only", deadline(), err);
    if (rc == DF_OK)
        rc = df_pg_execute(d->session->pg, "read_lines", params, 1, deadline(), &result, err);
    if (rc == DF_OK)
        rc = an_lines_judge(&d->lines, d->session, result, deadline(), err);
    for (size_t i = 0; rc == DF_OK && i < d->lines.count; i++)
        count_line(d, i);
    df_pg_result_free(result);
    return rc == DF_OK ? df_pg_run(d->session->pg, "commit", deadline(), err) : rc;
}

static enum df_code judge_all(struct dry_run *d, const struct pg_result *ids, struct df_error *err)
{
    struct an_progress progress;
    enum df_code rc = DF_OK;
    int count = df_pg_rows(ids);

    an_progress_begin(&progress, stderr);
    for (int row = 0; rc == DF_OK && row < count;) {
        df_pg_array_begin(&d->ids, DF_PG_UUID);
        for (int64_t n = 0; n < d->session->options->part_lines && row < count; n++, row++) {
            struct df_uuid id;
            if (!df_pg_is_null(ids, row, 0) && df_pg_get_uuid(ids, row, 0, &id))
                df_pg_array_add_uuid(&d->ids, &id);
        }
        rc = judge_some(d, err);
        if (rc == DF_OK && !progress.is_terminal && an_progress_is_due(&progress))
            an_progress_show(&progress, row, count, d->rows[0].gained);
    }
    an_progress_end(&progress);
    return rc;
}

static int by_threshold(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return (x->threshold > y->threshold) - (x->threshold < y->threshold);
}

static void report(struct dry_run *d)
{
    FILE *out = d->session->out;
    double wanted = d->rows[0].threshold;

    if (d->examples > EXAMPLES_MAX)
        (void)fprintf(out, "  and %" PRId64 " more\n", d->examples - EXAMPLES_MAX);
    (void)fprintf(out,
                  "nothing was changed: %" PRId64 " lines judged, %" PRId64 " unanswered, %" PRId64
                  " sales today, %" PRId64 " buyers with ignored phrases\n"
                  "  threshold    buyers   new sales   no longer supported\n",
                  d->judged, d->unanswered, d->sales_now, d->ignored);
    qsort(d->rows, THRESHOLDS, sizeof d->rows[0], by_threshold);
    for (int t = 0; t < THRESHOLDS; t++) {
        const struct row *row = &d->rows[t];
        if (t > 0 && row->threshold == d->rows[t - 1].threshold)
            continue;
        (void)fprintf(out, "  %c %.2f  %10" PRId64 "  %10" PRId64 "  %20" PRId64 "\n",
                      row->threshold == wanted ? '*' : ' ', row->threshold, row->sales, row->gained,
                      row->lost);
    }
}

enum df_code an_session_dry_run(struct an_session *session, struct df_error *err)
{
    static const double others[THRESHOLDS - 1] = {0.5, 0.6, 0.7, 0.8, 0.9};
    struct dry_run d = {.session = session};
    struct pg_result *ids = NULL;
    const struct df_pg_array *params[] = {&d.ids};

    d.rows[0].threshold = session->rule.threshold;
    for (int t = 1; t < THRESHOLDS; t++)
        d.rows[t].threshold = others[t - 1];
    df_pg_array_init(&d.ids, (size_t)1 << 20);
    enum df_code rc = an_lines_init(&d.lines, AN_LINES_MAX, err);
    if (rc == DF_OK)
        rc = df_pg_connect(session->pg, err);
    if (rc == DF_OK) {
        df_pg_array_begin(&d.ids, DF_PG_UUID);
        df_pg_array_add_uuid(&d.ids, &session->options->session);
        rc = df_pg_execute(session->pg, "session_ids", params, 1, deadline(), &ids, err);
    }
    if (rc == DF_OK && df_pg_rows(ids) == 0)
        rc = df_error_set(err, DF_ENOTFOUND, "no such session");
    if (rc == DF_OK)
        rc = judge_all(&d, ids, err);
    if (rc == DF_OK)
        report(&d);
    df_pg_result_free(ids);
    an_lines_release(&d.lines);
    df_pg_array_release(&d.ids);
    return rc;
}
