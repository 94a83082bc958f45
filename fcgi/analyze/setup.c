/* fcgi/analyze/setup.c - opens what a re-analysis needs, runs it, closes it. */
#include "fcgi/analyze/setup.h"

#include <curl/curl.h>
#include <string.h>

#include "fcgi/analyze/session.h"
#include "fcgi/analyze/session_sql.h"
#include "fcgi/app.h"
#include "fcgi/weights.h"

enum { STATEMENT_MS = 60000, CONNECT_MS = 2000 };

struct setup {
    struct mrs_config config;
    char session_sql[MRS_SESSION_SQL_SIZE];
    struct an_session session;
    struct df_intent_model *model;
    struct mrs_gateway *gateway;
    struct mrs_route_rules *rules;
};

static enum df_code choose_analyzer(struct setup *s, struct an_options *options,
                                    struct df_error *err)
{
    int analyzer =
        options->analyzer == MRS_ANALYZE_AUTO ? mrs_config_analyzer(&s->config) : options->analyzer;
    if (analyzer == MRS_ANALYZE_OFF)
        return df_error_set(err, DF_EINPUT, "ANALYZER is off: choose one with --analyzer");
    s->session.judge.analyzer = analyzer;
    s->session.analyzer_name = analyzer == MRS_ANALYZE_LOCAL     ? "local"
                               : analyzer == MRS_ANALYZE_GATEWAY ? "gateway"
                                                                 : "hybrid";
    if (options->part_lines == 0)
        options->part_lines =
            analyzer == MRS_ANALYZE_LOCAL ? AN_PART_LINES_LOCAL : AN_PART_LINES_GATEWAY;
    return DF_OK;
}

static enum df_code open_analyzer(struct setup *s, struct df_error *err)
{
    struct mrs_gateway_options options;
    struct an_judge *judge = &s->session.judge;

    enum df_code rc = mrs_weights_open(&s->model, s->config.intent_weights, err);
    if (rc == DF_OK)
        rc = mrs_route_rules_from(&s->rules, &s->config, judge->analyzer, err);
    if (rc == DF_OK)
        mrs_route_rules_band_from(s->rules, &s->config, s->model);
    if (rc == DF_OK && judge->analyzer != MRS_ANALYZE_LOCAL) {
        mrs_gateway_options_from(&options, &s->config);
        rc = mrs_gateway_new(&s->gateway, &options, err);
    }
    judge->model = s->model;
    judge->gateway = s->gateway;
    judge->ask_max = (size_t)s->config.ai_max_in_flight;
    judge->rules = s->rules;
    judge->session = s->session.options->session;
    return rc;
}

static enum df_code open_database(struct setup *s, struct df_error *err)
{
    const char *role = s->config.database_role;
    const struct df_pg_options pg = {.conninfo = s->config.database_url,
                                     .app_name = "dealflow-analyze",
                                     .session_sql = s->session_sql,
                                     .statements = an_session_statements,
                                     .statement_count = an_session_statement_count,
                                     .connect_timeout_ms = CONNECT_MS};
    if (s->config.database_url == NULL)
        return df_error_set(
            err, DF_EINPUT,
            "DATABASE_URL is required, e.g. postgres://user@127.0.0.1:5432/dealflow");
    enum df_code rc = mrs_session_sql(s->session_sql, sizeof s->session_sql,
                                      strcmp(role, "none") == 0 ? NULL : role, STATEMENT_MS, err);
    if (rc == DF_OK)
        rc = df_pg_new(&s->session.pg, &pg, err);
    if (rc == DF_OK)
        rc = mrs_ignored_new(&s->session.ignored, s->session.pg, err);
    return rc;
}

static enum df_code open_all(struct setup *s, struct an_options *options, struct df_error *err)
{
    enum df_code rc = mrs_config_read(&s->config, err);
    if (rc == DF_OK)
        rc = choose_analyzer(s, options, err);
    if (rc == DF_OK)
        rc = mrs_capture_types_parse(s->config.capture_types, &s->session.rule.type_mask, err);
    if (rc == DF_OK)
        rc = open_database(s, err);
    if (rc == DF_OK)
        rc = open_analyzer(s, err);
    s->session.rule.threshold =
        options->has_threshold ? options->threshold : s->config.confidence_threshold;
    return rc;
}

enum df_code an_setup_and_run(struct an_options *options, struct df_error *err)
{
    struct setup s = {.session = {.options = options, .out = stdout}};

    mrs_spend_init(&s.session.spend);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return df_error_set(err, DF_ENOMEM, "cannot initialise libcurl");
    enum df_code rc = open_all(&s, options, err);
    if (rc == DF_OK)
        rc = options->dry_run ? an_session_dry_run(&s.session, err)
                              : an_session_run(&s.session, err);
    if (s.gateway != NULL)
        mrs_spend_end(&s.session.spend, s.gateway, s.session.pg);
    mrs_gateway_free(s.gateway);
    mrs_route_rules_free(s.rules);
    mrs_spend_release(&s.session.spend);
    df_intent_model_close(s.model);
    mrs_ignored_free(s.session.ignored);
    df_pg_free(s.session.pg);
    mrs_config_release(&s.config);
    curl_global_cleanup();
    return rc;
}
