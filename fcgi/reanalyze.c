/* fcgi/reanalyze.c - fallback verdicts, oldest first, one at a time. */
#include "fcgi/reanalyze.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/batch.h"
#include "fcgi/metrics.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { STATEMENT_MS = 5000, CONNECT_MS = 2000, MAX_STATEMENTS = 12 };

static const char claim_sql[] =
    "select m.id, m.username, m.message, m.platform"
    "  from public.message_analysis a join public.chat_messages m on m.id = a.message_id"
    " where a.analyzer = '" MRS_ANALYZER_FALLBACK "'"
    " order by a.analyzed_at limit 1 for update of a skip locked";

/* An answer that the model gets wrong every time must not block the queue behind it. */
static const char postpone_sql[] =
    "update public.message_analysis set analyzed_at = clock_timestamp()"
    " where message_id = any ($1::uuid[])";

struct mrs_reanalyzer {
    struct mrs_app *app;
    pthread_t thread;
    char session_sql[256];
    struct df_pg_statement statements[MAX_STATEMENTS];
    struct df_pg *pg;
    struct mrs_batch batch;
    struct mrs_runtime *runtime; /* held while a round lasts */
};

static bool is_stopping(struct mrs_app *app, int64_t wait_ms)
{
    struct pollfd stop = {app->stop_fd, POLLIN, 0};
    return poll(&stop, 1, (int)wait_ms) != 0;
}

static int64_t deadline(void)
{
    return df_clock_mono_ms() + STATEMENT_MS;
}

static enum df_code write_verdict(struct mrs_reanalyzer *r, const struct df_uuid *id,
                                  const struct mrs_gateway_answer *answer, struct df_error *err)
{
    struct mrs_job job = {.kind = MRS_JOB_REPLACE, .id = *id};
    struct mrs_job *jobs[] = {&job};
    job.judgement = (struct mrs_judgement){
        .verdict = answer->verdict, .analyzer = MRS_ANALYZER_GATEWAY, .model = answer->model};
    job.judgement.capture =
        df_intent_should_capture(&answer->verdict, &r->runtime->capture_rule);
    job.outcome = MRS_UNANSWERED;
    enum df_code rc = mrs_batch_commit(&r->batch, jobs, 1, deadline(), err);
    if (rc == DF_OK && job.captured) {
        mrs_count(MRS_COUNT_CAPTURED, 1);
        df_log(DF_LOG_INFO, "sale_captured", "late=true confidence=%.2f",
               answer->verdict.confidence);
    }
    return rc;
}

static enum df_code postpone(struct mrs_reanalyzer *r, const struct df_uuid *id,
                             struct df_error *err)
{
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&r->batch.params[0]};
    df_pg_array_begin(&r->batch.params[0], DF_PG_UUID);
    df_pg_array_add_uuid(&r->batch.params[0], id);
    enum df_code rc = df_pg_execute(r->pg, "postpone", params, 1, deadline(), &result, err);
    df_pg_result_free(result);
    return rc;
}

/* Claims and settles one row inside a transaction. DF_ENOTFOUND: none left. DF_EUPSTREAM and
 * friends: the model server still fails, so stop for now. */
static enum df_code settle_one(struct mrs_reanalyzer *r, struct df_error *err)
{
    struct pg_result *result = NULL;
    struct df_chat_line line;
    struct df_uuid id;
    struct mrs_gateway_answer answer = {0};

    enum df_code rc = df_pg_run(r->pg, "begin", deadline(), err);
    if (rc == DF_OK)
        rc = df_pg_execute(r->pg, "claim", NULL, 0, deadline(), &result, err);
    if (rc != DF_OK)
        return rc;
    if (df_pg_rows(result) == 0 || !df_pg_get_uuid(result, 0, 0, &id)) {
        rc = df_error_set(err, DF_ENOTFOUND, "nothing to analyse again");
        goto out;
    }
    line.username = df_pg_get_text(result, 0, 1, &line.username_len);
    line.message = df_pg_get_text(result, 0, 2, &line.message_len);
    line.platform = df_pg_get_text(result, 0, 3, &line.platform_len);
    rc = mrs_gateway_ask(r->app->gateway, &line, &answer, err);
    if (rc == DF_OK) {
        rc = write_verdict(r, &id, &answer, err);
        mrs_count(MRS_COUNT_REANALYSED, rc == DF_OK);
    } else {
        struct df_error ignored;
        if (postpone(r, &id, &ignored) == DF_OK && df_pg_run(r->pg, "commit", deadline(), &ignored) != DF_OK)
            df_log(DF_LOG_DEBUG, "postpone_failed", "%s", "");
    }
out:
    df_pg_result_free(result);
    if (rc == DF_OK)
        return df_pg_run(r->pg, "commit", deadline(), err);
    struct df_error ignored;
    if (df_pg_run(r->pg, "rollback", deadline(), &ignored) != DF_OK)
        df_pg_disconnect(r->pg);
    return rc;
}

static void run_round(struct mrs_reanalyzer *r)
{
    struct df_error err = {0};
    struct mrs_gateway_stats stats;

    mrs_gateway_stats(r->app->gateway, &stats);
    if (stats.breaker_open || df_pg_connect(r->pg, &err) != DF_OK)
        return;
    while (!is_stopping(r->app, 0)) {
        enum df_code rc = settle_one(r, &err);
        if (rc != DF_OK) {
            if (rc != DF_ENOTFOUND) {
                char quoted[256];
                df_log(DF_LOG_WARN, "reanalysis_paused", "code=%s error=%s", df_error_name(rc),
                       df_log_quote(quoted, sizeof quoted, err.msg));
            }
            return;
        }
    }
}

static void *reanalyzer_main(void *arg)
{
    struct mrs_reanalyzer *r = arg;

    for (;;) {
        r->runtime = mrs_runtime_get(r->app);
        int64_t interval = r->runtime->config.reanalyze_interval_ms;
        bool stop = is_stopping(r->app, interval == 0 ? 1000 : interval);
        if (!stop && interval > 0)
            run_round(r);
        mrs_runtime_put(r->app, r->runtime);
        if (stop)
            return NULL;
    }
}

enum df_code mrs_reanalyzer_start(struct mrs_reanalyzer **out, struct mrs_app *app,
                                  struct df_error *err)
{
    *out = NULL;
    struct mrs_reanalyzer *r = calloc(1, sizeof *r);
    if (r == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    r->app = app;
    const struct mrs_config *config = &app->runtime->config; /* lives as long as the program */
    size_t n = mrs_batch_statement_count;
    memcpy(r->statements, mrs_batch_statements, n * sizeof r->statements[0]);
    r->statements[n++] = (struct df_pg_statement){"claim", claim_sql};
    r->statements[n++] = (struct df_pg_statement){"postpone", postpone_sql};
    struct df_pg_options pg = {.conninfo = config->database_url,
                               .app_name = "monitor-realtime-stream reanalyze",
                               .session_sql = r->session_sql,
                               .statements = r->statements,
                               .statement_count = n,
                               .connect_timeout_ms = CONNECT_MS};
    enum df_code rc = mrs_session_sql(r->session_sql, sizeof r->session_sql,
                                      config->database_role, STATEMENT_MS, err);
    if (rc == DF_OK)
        rc = df_pg_new(&r->pg, &pg, err);
    if (rc == DF_OK)
        rc = mrs_batch_init(&r->batch, r->pg, 1, err);
    if (rc == DF_OK && pthread_create(&r->thread, NULL, reanalyzer_main, r) != 0)
        rc = df_error_set(err, DF_ENOMEM, "cannot start the re-analysis thread");
    if (rc != DF_OK) {
        mrs_batch_release(&r->batch);
        df_pg_free(r->pg);
        free(r);
        return rc;
    }
    *out = r;
    return DF_OK;
}

void mrs_reanalyzer_stop(struct mrs_reanalyzer *r)
{
    if (r == NULL)
        return;
    pthread_join(r->thread, NULL);
    mrs_batch_release(&r->batch);
    df_pg_free(r->pg);
    free(r);
}
