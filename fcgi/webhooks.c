/* fcgi/webhooks.c - the thread: claims what is due, drives the calls, settles what has ended. */
#include "fcgi/webhooks.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/metrics.h"
#include "fcgi/webhook_call.h"
#include "fcgi/webhook_lanes.h"
#include "fcgi/webhook_sql.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    STATEMENT_MS = 5000,
    CONNECT_MS = 2000,
    TICK_MS = 250, /* a retry is late by this at most; new sales wake the thread at once */
    RECONNECT_MS = 250,
    LANE_WIDTH = 4,         /* calls to one receiver at once */
    LEASE_SPARE_MS = 30000, /* beyond the longest call: time to settle it */
    TRIM_EVERY_MS = 60000,
    PARAMS = 6,
};

struct mrs_webhooks {
    struct mrs_app *app;
    pthread_t thread;
    char session_sql[MRS_SESSION_SQL_SIZE + 32];
    struct df_pg *pg;
    struct df_pg_array params[PARAMS];
    CURLM *multi;
    struct mrs_webhook_call **calls; /* under way */
    size_t call_count, call_max;
    struct mrs_webhook_result *results; /* to be written down; room for call_max */
    size_t result_count;
    struct mrs_lanes lanes;
    struct mrs_runtime *runtime; /* held while a round lasts */
    int64_t claim_ms, trim_ms, connect_ms;
    bool is_down;
};

static int64_t deadline(void)
{
    return df_clock_mono_ms() + STATEMENT_MS;
}

static void log_problem(const char *event, const struct df_error *err)
{
    char quoted[256];
    df_log(DF_LOG_WARN, event, "code=%s error=%s", df_error_name(err->code),
           df_log_quote(quoted, sizeof quoted, err->msg));
}

static enum df_code execute(struct mrs_webhooks *w, const char *statement, int count,
                            struct pg_result **out, struct df_error *err)
{
    const struct df_pg_array *params[PARAMS];
    for (int i = 0; i < count; i++)
        params[i] = &w->params[i];
    return df_pg_execute(w->pg, statement, params, count, deadline(), out, err);
}

static bool connect_to_database(struct mrs_webhooks *w)
{
    struct df_error err = {0};

    if (df_pg_is_connected(w->pg))
        return true;
    if (df_clock_mono_ms() < w->connect_ms)
        return false;
    if (df_pg_connect(w->pg, &err) == DF_OK) {
        w->is_down = false;
        w->claim_ms = 0;
        return true;
    }
    if (!w->is_down) /* once per change of state; the store says the same louder */
        log_problem("webhooks_paused", &err);
    w->is_down = true;
    w->connect_ms = df_clock_mono_ms() + RECONNECT_MS;
    return false;
}

/* --- results --------------------------------------------------------------------------------- */

static bool is_final(const struct mrs_webhooks *w, const struct mrs_webhook_result *r)
{
    return r->is_delivered || r->attempts + 1 >= w->runtime->config.webhook_attempts_max;
}

static void add_result(struct mrs_webhooks *w, const struct mrs_webhook_result *r)
{
    const char *state = r->is_delivered ? "delivered" : is_final(w, r) ? "dead" : "waiting";
    int64_t wait_ms = mrs_backoff_ms(w->runtime->config.webhook_backoff_ms, r->attempts,
                                     mrs_lanes_random(&w->lanes));

    if (r->retry_after_ms > wait_ms)
        wait_ms = r->retry_after_ms;

    df_pg_array_add_uuid(&w->params[0], &r->sale);
    df_pg_array_add_text(&w->params[1], state, strlen(state));
    df_pg_array_add_int8(&w->params[2], r->attempts + 1);
    if (r->status == 0)
        df_pg_array_add_null(&w->params[3]);
    else
        df_pg_array_add_int8(&w->params[3], r->status);
    if (r->error[0] == '\0')
        df_pg_array_add_null(&w->params[4]);
    else
        df_pg_array_add_text(&w->params[4], r->error, strlen(r->error));
    df_pg_array_add_float8(&w->params[5], (double)wait_ms / 1000);
}

static void begin_results(struct mrs_webhooks *w)
{
    static const enum df_pg_type types[PARAMS] = {DF_PG_UUID, DF_PG_TEXT, DF_PG_INT8,
                                                  DF_PG_INT8, DF_PG_TEXT, DF_PG_FLOAT8};
    for (int i = 0; i < PARAMS; i++)
        df_pg_array_begin(&w->params[i], types[i]);
}

static void count_results(const struct mrs_webhooks *w)
{
    for (size_t i = 0; i < w->result_count; i++) {
        const struct mrs_webhook_result *r = &w->results[i];
        char id[DF_UUID_TEXT_SIZE], quoted[256];

        mrs_count(r->is_delivered ? MRS_COUNT_WEBHOOKS_DELIVERED : MRS_COUNT_WEBHOOKS_FAILED, 1);
        if (r->was_refused && !r->is_delivered)
            mrs_count(MRS_COUNT_WEBHOOKS_REFUSED, 1);
        if (r->is_delivered || !is_final(w, r))
            continue;
        mrs_count(MRS_COUNT_WEBHOOKS_DEAD, 1);
        df_uuid_format(id, &r->sale);
        df_log(DF_LOG_WARN, "webhook_dead", "sale=%s attempts=%d error=%s", id, r->attempts + 1,
               df_log_quote(quoted, sizeof quoted, r->error));
    }
}

/* Without a database the results wait, and no new calls are made. */
static void write_results(struct mrs_webhooks *w)
{
    struct df_error err = {0};
    struct pg_result *result = NULL;

    if (w->result_count == 0 || !connect_to_database(w))
        return;
    begin_results(w);
    for (size_t i = 0; i < w->result_count; i++)
        add_result(w, &w->results[i]);
    if (execute(w, "settle_webhooks", PARAMS, &result, &err) != DF_OK) {
        log_problem("webhook_results_unwritten", &err);
        w->connect_ms = df_clock_mono_ms() + RECONNECT_MS;
        return;
    }
    df_pg_result_free(result);
    count_results(w);
    w->result_count = 0;
}

/* --- calls ----------------------------------------------------------------------------------- */

static void keep_result(struct mrs_webhooks *w, const struct mrs_webhook_result *result)
{
    mrs_lanes_end(&w->lanes, &result->owner,
                  result->is_delivered ? MRS_CALL_SUCCEEDED : MRS_CALL_FAILED, result->url,
                  w->runtime->config.webhook_backoff_ms, df_clock_mono_ms());
    w->results[w->result_count] = *result; /* call_max bounds calls and results together */
    w->results[w->result_count++].url = NULL;
}

static void forget_call(struct mrs_webhooks *w, struct mrs_webhook_call *call)
{
    for (size_t i = 0; i < w->call_count; i++) {
        if (w->calls[i] == call) {
            w->calls[i] = w->calls[--w->call_count];
            break;
        }
    }
    (void)curl_multi_remove_handle(w->multi, mrs_webhook_call_easy(call));
    mrs_webhook_call_free(call);
}

static void take_ended_calls(struct mrs_webhooks *w)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(w->multi, &left)) != NULL) {
        struct mrs_webhook_call *call = NULL;
        struct mrs_webhook_result result;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message dies with the handle */
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        mrs_webhook_call_result(call, (int)code, &result);
        keep_result(w, &result);
        forget_call(w, call);
        if (result.is_delivered)
            w->claim_ms = 0; /* there is room for another */
    }
}

static const char *text_or_null(const struct pg_result *result, int row, int column)
{
    size_t len;
    return df_pg_is_null(result, row, column) ? NULL : df_pg_get_text(result, row, column, &len);
}

static void start_call(struct mrs_webhooks *w, const struct mrs_webhook_event *event)
{
    const struct mrs_config *config = &w->runtime->config;
    const struct mrs_webhook_policy policy = {
        .allow_private = config->webhook_allow_private == MRS_ON,
        .timeout_ms = config->webhook_timeout_ms,
    };
    struct mrs_webhook_call *call = NULL;
    struct df_error err = {0};

    enum df_code rc = mrs_lanes_begin(&w->lanes, &event->owner, &err);
    if (rc != DF_OK)
        return; /* the lease ends, and it is due again */
    rc = mrs_webhook_call_new(&call, event, &policy, &err);
    if (rc == DF_OK && curl_multi_add_handle(w->multi, mrs_webhook_call_easy(call)) == CURLM_OK) {
        w->calls[w->call_count++] = call;
        return;
    }
    mrs_webhook_call_free(call);
    if (rc != DF_EINPUT) {
        mrs_lanes_end(&w->lanes, &event->owner, MRS_CALL_ABANDONED, NULL, 0, 0);
        return;
    }
    struct mrs_webhook_result result = {
        .sale = event->sale, .owner = event->owner, .attempts = event->attempts, .url = event->url};
    (void)snprintf(result.error, sizeof result.error, "%s", err.msg);
    keep_result(w, &result);
}

static void set_int(struct df_pg_array *array, int64_t value)
{
    df_pg_array_begin(array, DF_PG_INT8);
    df_pg_array_add_int8(array, value);
}

static size_t lanes_free(const struct mrs_webhooks *w)
{
    return (w->call_max - w->call_count - w->result_count) / LANE_WIDTH;
}

static void name_closed_lanes(struct mrs_webhooks *w, int64_t now_ms)
{
    df_pg_array_begin(&w->params[0], DF_PG_UUID);
    df_pg_array_begin(&w->params[4], DF_PG_TEXT);
    for (size_t i = 0; i < w->lanes.count; i++) {
        const struct mrs_lane *lane = &w->lanes.list[i];
        if (!mrs_lanes_is_closed(lane, now_ms))
            continue;
        df_pg_array_add_uuid(&w->params[0], &lane->owner);
        if (lane->open > 0 || lane->url == NULL)
            df_pg_array_add_null(&w->params[4]);
        else
            df_pg_array_add_text(&w->params[4], lane->url, strlen(lane->url));
    }
}

static void claim(struct mrs_webhooks *w)
{
    struct df_error err = {0};
    struct pg_result *result = NULL;
    int64_t now = df_clock_mono_ms();
    size_t owners = lanes_free(w);

    if (now < w->claim_ms || owners == 0 || !connect_to_database(w))
        return;
    w->claim_ms = now + TICK_MS;
    mrs_lanes_forget_idle(&w->lanes, now);
    name_closed_lanes(w, now);
    set_int(&w->params[1], LANE_WIDTH);
    set_int(&w->params[2], (int64_t)owners);
    df_pg_array_begin(&w->params[3], DF_PG_FLOAT8);
    df_pg_array_add_float8(&w->params[3],
                           (double)(w->runtime->config.webhook_timeout_ms + LEASE_SPARE_MS) / 1000);
    if (execute(w, "claim_webhooks", 5, &result, &err) != DF_OK) {
        log_problem("webhook_claim_failed", &err);
        return;
    }
    for (int row = 0; row < df_pg_rows(result); row++) {
        struct mrs_webhook_event event = {.attempts = (int)df_pg_get_int8(result, row, 2),
                                          .body = text_or_null(result, row, 3),
                                          .url = text_or_null(result, row, 4),
                                          .secret = text_or_null(result, row, 5)};
        if (df_pg_get_uuid(result, row, 0, &event.sale) &&
            df_pg_get_uuid(result, row, 1, &event.owner))
            start_call(w, &event);
    }
    df_pg_result_free(result);
}

/* --- the thread ------------------------------------------------------------------------------ */

static void trim(struct mrs_webhooks *w)
{
    struct df_error err = {0};
    struct pg_result *result = NULL;
    int64_t now = df_clock_mono_ms();

    if (now < w->trim_ms || w->runtime->config.webhook_keep_s == 0 || !connect_to_database(w))
        return;
    w->trim_ms = now + TRIM_EVERY_MS;
    set_int(&w->params[0], w->runtime->config.webhook_keep_s);
    if (execute(w, "trim_webhooks", 1, &result, &err) != DF_OK)
        log_problem("webhook_trim_failed", &err);
    df_pg_result_free(result);
}

/* Sleeps until a call moves, a sale is announced, the program stops, or a tick has passed; true
 * when it is to stop. */
static bool wait_for_something(struct mrs_webhooks *w)
{
    struct curl_waitfd fds[] = {{w->app->traffic.stop_fd, CURL_WAIT_POLLIN, 0},
                                {df_pg_socket(w->pg), CURL_WAIT_POLLIN, 0}};
    unsigned count = fds[1].fd < 0 ? 1 : 2;
    int64_t wait = TICK_MS; /* without room for another lane only a call that ends matters */

    if (!df_pg_is_connected(w->pg))
        wait = RECONNECT_MS;
    else if (lanes_free(w) > 0)
        wait = w->claim_ms - df_clock_mono_ms();
    if (wait < 0)
        wait = 0;
    (void)curl_multi_poll(w->multi, fds, count, (int)wait, NULL);
    if (fds[0].revents != 0)
        return true;
    if (count == 2 && fds[1].revents != 0) {
        df_pg_drain(w->pg); /* a sale, or the server went away */
        w->claim_ms = 0;
    }
    return false;
}

/* What is broken off is due at once for whoever comes next; nobody knows whether it arrived. */
static void hand_back(struct mrs_webhooks *w)
{
    struct df_error err = {0};
    struct pg_result *result = NULL;

    write_results(w);
    begin_results(w);
    for (size_t i = 0; i < w->call_count; i++) {
        struct mrs_webhook_result r;
        mrs_webhook_call_result(w->calls[i], CURLE_ABORTED_BY_CALLBACK, &r);
        df_pg_array_add_uuid(&w->params[0], &r.sale);
        df_pg_array_add_text(&w->params[1], "waiting", strlen("waiting"));
        df_pg_array_add_int8(&w->params[2], r.attempts);
        df_pg_array_add_null(&w->params[3]);
        df_pg_array_add_null(&w->params[4]);
        df_pg_array_add_float8(&w->params[5], 0);
    }
    if (w->call_count > 0 && df_pg_is_connected(w->pg)) {
        if (execute(w, "settle_webhooks", PARAMS, &result, &err) != DF_OK)
            log_problem("webhook_results_unwritten", &err);
        df_pg_result_free(result);
    }
    while (w->call_count > 0)
        forget_call(w, w->calls[0]);
}

static void *webhooks_main(void *arg)
{
    struct mrs_webhooks *w = arg;
    bool is_stopping = false;

    w->trim_ms = df_clock_mono_ms() + TRIM_EVERY_MS;
    while (!is_stopping) {
        int running;
        w->runtime = mrs_runtime_get(w->app);
        (void)curl_multi_perform(w->multi, &running);
        take_ended_calls(w);
        write_results(w);
        claim(w);
        trim(w);
        is_stopping = wait_for_something(w);
        if (is_stopping)
            hand_back(w);
        mrs_runtime_put(w->app, w->runtime);
    }
    return NULL;
}

/* --- life ------------------------------------------------------------------------------------ */

static enum df_code open_all(struct mrs_webhooks *w, const struct mrs_config *config,
                             struct df_error *err)
{
    const char *role = strcmp(config->database_role, "none") == 0 ? NULL : config->database_role;
    const struct df_pg_options pg = {.conninfo = config->database_url,
                                     .app_name = "monitor-realtime-stream webhooks",
                                     .session_sql = w->session_sql,
                                     .statements = mrs_webhook_statements,
                                     .statement_count = mrs_webhook_statement_count,
                                     .connect_timeout_ms = CONNECT_MS};
    enum df_code rc =
        mrs_session_sql(w->session_sql, MRS_SESSION_SQL_SIZE, role, STATEMENT_MS, err);
    if (rc != DF_OK)
        return rc;
    strncat(w->session_sql, "; listen dealflow_webhooks",
            sizeof w->session_sql - strlen(w->session_sql) - 1);
    rc = df_pg_new(&w->pg, &pg, err);
    if (rc != DF_OK)
        return rc;
    w->multi = curl_multi_init();
    w->calls = calloc(w->call_max, sizeof(struct mrs_webhook_call *));
    w->results = calloc(w->call_max, sizeof *w->results);
    if (w->multi == NULL || w->calls == NULL || w->results == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    return DF_OK;
}

static void release(struct mrs_webhooks *w)
{
    curl_multi_cleanup(w->multi);
    mrs_lanes_release(&w->lanes);
    for (int i = 0; i < PARAMS; i++)
        df_pg_array_release(&w->params[i]);
    df_pg_free(w->pg);
    free(w->calls);
    free(w->results);
    free(w);
}

enum df_code mrs_webhooks_start(struct mrs_webhooks **out, struct mrs_app *app,
                                struct df_error *err)
{
    const struct mrs_config *config = &app->runtime->config; /* lives as long as the program */

    *out = NULL;
    if (config->webhooks == MRS_OFF)
        return DF_OK;
    struct mrs_webhooks *w = calloc(1, sizeof *w);
    if (w == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    w->app = app;
    w->call_max = (size_t)config->webhook_max_in_flight;
    mrs_lanes_init(&w->lanes, (uint32_t)df_clock_mono_ns());
    for (int i = 0; i < PARAMS; i++)
        df_pg_array_init(&w->params[i], (size_t)1 << 20);
    enum df_code rc = open_all(w, config, err);
    if (rc == DF_OK && pthread_create(&w->thread, NULL, webhooks_main, w) != 0)
        rc = df_error_set(err, DF_ENOMEM, "cannot start the webhook thread");
    if (rc != DF_OK) {
        release(w);
        return rc;
    }
    *out = w;
    return DF_OK;
}

void mrs_webhooks_stop(struct mrs_webhooks *w)
{
    if (w == NULL)
        return;
    pthread_join(w->thread, NULL);
    release(w);
}
