/* fcgi/background.c - fallback verdicts, oldest first, one at a time; and the change log. */
#include "fcgi/background.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/batch.h"
#include "fcgi/metrics.h"
#include "fcgi/spend.h"
#include "shared/clock.h"
#include "shared/log.h"

enum { STATEMENT_MS = 5000, CONNECT_MS = 2000, MAX_STATEMENTS = 16, TRIM_EVERY_MS = 60000 };

static const char claim_sql[] =
    "select m.id, m.username, m.message, m.platform, m.stream_session_id"
    "  from public.message_analysis a join public.chat_messages m on m.id = a.message_id"
    " where a.analyzer = '" MRS_ANALYZER_FALLBACK "'"
    " order by a.analyzed_at limit 1 for update of a skip locked";

/* An answer that the model gets wrong every time must not block the queue behind it. */
static const char postpone_sql[] =
    "update public.message_analysis set analyzed_at = clock_timestamp()"
    " where message_id = any ($1::uuid[])";

/* Nothing else keeps the log from growing for ever. The programs take turns, if there are several.
 */
static const char trim_sql[] =
    "select case when pg_try_advisory_xact_lock(hashtext('dealflow.trim_change_log'))"
    "  then dealflow.trim_change_log(make_interval(secs => ($1::int8[])[1])) end";

struct mrs_background {
    struct mrs_app *app;
    pthread_t thread;
    char session_sql[MRS_SESSION_SQL_SIZE];
    struct df_pg_statement statements[MAX_STATEMENTS];
    struct df_pg *pg;
    struct mrs_batch batch;
    struct mrs_spend spend;
    struct mrs_runtime *runtime; /* held while a round lasts */
};

static bool is_stopping(struct mrs_app *app, int64_t wait_ms)
{
    struct pollfd stop = {app->traffic.stop_fd, POLLIN, 0};
    return poll(&stop, 1, (int)wait_ms) != 0;
}

static int64_t deadline(void)
{
    return df_clock_mono_ms() + STATEMENT_MS;
}

static enum df_code write_verdict(struct mrs_background *b, const struct df_message *message,
                                  const struct mrs_gateway_answer *answer, struct df_error *err)
{
    struct mrs_job job = {.kind = MRS_JOB_REPLACE, .id = message->id, .message = message};
    struct mrs_job *jobs[] = {&job};
    job.judgement = (struct mrs_judgement){
        .verdict = answer->verdict, .analyzer = MRS_ANALYZER_GATEWAY, .model = answer->model};
    job.judgement.capture = df_intent_should_capture(&answer->verdict, &b->runtime->capture_rule);
    job.outcome = MRS_UNANSWERED;
    enum df_code rc = mrs_batch_commit(&b->batch, jobs, 1, deadline(), err);
    if (rc == DF_OK && job.captured) {
        mrs_count(MRS_COUNT_CAPTURED, 1);
        df_log(DF_LOG_INFO, "sale_captured", "late=true confidence=%.2f",
               answer->verdict.confidence);
    }
    return rc;
}

static enum df_code postpone(struct mrs_background *b, const struct df_uuid *id,
                             struct df_error *err)
{
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&b->batch.params[0]};
    df_pg_array_begin(&b->batch.params[0], DF_PG_UUID);
    df_pg_array_add_uuid(&b->batch.params[0], id);
    enum df_code rc = df_pg_execute(b->pg, "postpone", params, 1, deadline(), &result, err);
    df_pg_result_free(result);
    return rc;
}

/* Inside a transaction: claims the oldest fallback verdict, asks, writes. *claimed tells whether
 * *id is set, whatever the outcome. DF_ENOTFOUND: none left. */
static enum df_code settle_claimed(struct mrs_background *b, struct df_uuid *id, bool *claimed,
                                   struct df_error *err)
{
    struct pg_result *result = NULL;
    struct df_message message = {0};
    struct mrs_gateway_answer answer = {0};

    enum df_code rc = df_pg_execute(b->pg, "claim", NULL, 0, deadline(), &result, err);
    if (rc != DF_OK)
        return rc;
    *claimed = df_pg_rows(result) > 0 && df_pg_get_uuid(result, 0, 0, id);
    if (*claimed) {
        message.id = *id;
        message.username = df_pg_get_text(result, 0, 1, &message.username_len);
        message.message = df_pg_get_text(result, 0, 2, &message.message_len);
        message.platform = df_pg_get_text(result, 0, 3, &message.platform_len);
        (void)df_pg_get_uuid(result, 0, 4, &message.session);
        const struct df_chat_line line = {message.platform,     message.username,
                                          message.message,      message.platform_len,
                                          message.username_len, message.message_len};
        rc = mrs_gateway_ask(b->app->gateway, &line, &answer, err);
    } else {
        rc = df_error_set(err, DF_ENOTFOUND, "nothing to analyse again");
    }
    if (rc == DF_OK)
        rc = write_verdict(b, &message, &answer, err);
    df_pg_result_free(result); /* the message's texts are in it */
    return rc;
}

static enum df_code settle_one(struct mrs_background *b, struct df_error *err)
{
    struct df_uuid id;
    struct df_error second = {0};
    bool claimed = false;

    enum df_code rc = df_pg_run(b->pg, "begin", deadline(), err);
    if (rc == DF_OK)
        rc = settle_claimed(b, &id, &claimed, err);
    if (rc == DF_OK)
        rc = df_pg_run(b->pg, "commit", deadline(), err);
    if (rc == DF_OK) {
        mrs_count(MRS_COUNT_REANALYSED, 1);
        return DF_OK;
    }
    if (df_pg_run(b->pg, "rollback", deadline(), &second) != DF_OK ||
        (claimed && postpone(b, &id, &second) != DF_OK))
        df_pg_disconnect(b->pg);
    return rc;
}

static void log_problem(const char *event, const struct df_error *err)
{
    char quoted[256];
    df_log(DF_LOG_WARN, event, "code=%s error=%s", df_error_name(err->code),
           df_log_quote(quoted, sizeof quoted, err->msg));
}

static void reanalyse(struct mrs_background *b)
{
    struct df_error err = {0};
    struct mrs_gateway_stats stats;

    mrs_gateway_stats(b->app->gateway, &stats);
    if (stats.breaker_open || df_pg_connect(b->pg, &err) != DF_OK)
        return;
    while (!is_stopping(b->app, 0)) {
        enum df_code rc = settle_one(b, &err);
        if (rc == DF_ENOTFOUND)
            return;
        if (rc != DF_OK) {
            log_problem("reanalysis_paused", &err);
            return;
        }
    }
}

static void trim(struct mrs_background *b)
{
    struct df_error err = {0};
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&b->batch.params[0]};

    df_pg_array_begin(&b->batch.params[0], DF_PG_INT8);
    df_pg_array_add_int8(&b->batch.params[0], b->runtime->config.change_log_keep_s);
    if (df_pg_connect(b->pg, &err) != DF_OK)
        return; /* the store says so */
    if (df_pg_execute(b->pg, "trim", params, 1, deadline(), &result, &err) != DF_OK)
        log_problem("trim_failed", &err);
    df_pg_result_free(result);
}

static void *background_main(void *arg)
{
    struct mrs_background *b = arg;
    int64_t trim_at_ms = df_clock_mono_ms() + TRIM_EVERY_MS;
    int64_t reanalyse_at_ms = 0;

    while (!is_stopping(b->app, 100)) {
        int64_t now = df_clock_mono_ms();
        if (b->app->gateway != NULL)
            mrs_spend_tend(&b->spend, b->app->gateway, b->pg);
        b->runtime = mrs_runtime_get(b->app);
        const struct mrs_config *config = &b->runtime->config;
        if (config->change_log_keep_s > 0 && now >= trim_at_ms) {
            trim_at_ms = now + TRIM_EVERY_MS;
            trim(b);
        }
        if (reanalyse_at_ms == 0) /* not at the start: let the first requests pass */
            reanalyse_at_ms = now + config->reanalyze_interval_ms;
        if (b->app->gateway != NULL && config->reanalyze_interval_ms > 0 &&
            now >= reanalyse_at_ms) {
            reanalyse(b);
            reanalyse_at_ms = df_clock_mono_ms() + config->reanalyze_interval_ms;
        }
        mrs_runtime_put(b->app, b->runtime);
    }
    if (b->app->gateway != NULL)
        mrs_spend_end(&b->spend, b->app->gateway, b->pg);
    return NULL;
}

enum df_code mrs_background_start(struct mrs_background **out, struct mrs_app *app,
                                  struct df_error *err)
{
    *out = NULL;
    struct mrs_background *b = calloc(1, sizeof *b);
    if (b == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    b->app = app;
    const struct mrs_config *config = &app->runtime->config; /* lives as long as the program */
    size_t n = mrs_batch_statement_count;
    memcpy(b->statements, mrs_batch_statements, n * sizeof b->statements[0]);
    b->statements[n++] = (struct df_pg_statement){"claim", claim_sql};
    b->statements[n++] = (struct df_pg_statement){"postpone", postpone_sql};
    b->statements[n++] = (struct df_pg_statement){"trim", trim_sql};
    b->statements[n++] = (struct df_pg_statement){MRS_SPEND_STATEMENT, mrs_spend_sql};
    struct df_pg_options pg = {.conninfo = config->database_url,
                               .app_name = "monitor-realtime-stream background",
                               .session_sql = b->session_sql,
                               .statements = b->statements,
                               .statement_count = n,
                               .connect_timeout_ms = CONNECT_MS};
    enum df_code rc = mrs_session_sql(b->session_sql, sizeof b->session_sql, config->database_role,
                                      STATEMENT_MS, err);
    if (rc == DF_OK)
        rc = df_pg_new(&b->pg, &pg, err);
    if (rc == DF_OK)
        rc = mrs_batch_init(&b->batch, b->pg, 1, err);
    mrs_spend_init(&b->spend);
    if (rc == DF_OK && app->gateway != NULL) /* before the first line comes, if the server is there */
        mrs_spend_tend(&b->spend, app->gateway, b->pg);
    if (rc == DF_OK && pthread_create(&b->thread, NULL, background_main, b) != 0)
        rc = df_error_set(err, DF_ENOMEM, "cannot start the background thread");
    if (rc != DF_OK) {
        mrs_spend_release(&b->spend);
        mrs_batch_release(&b->batch);
        df_pg_free(b->pg);
        free(b);
        return rc;
    }
    *out = b;
    return DF_OK;
}

void mrs_background_stop(struct mrs_background *b)
{
    if (b == NULL)
        return;
    pthread_join(b->thread, NULL);
    mrs_spend_release(&b->spend);
    mrs_batch_release(&b->batch);
    df_pg_free(b->pg);
    free(b);
}
