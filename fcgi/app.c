/* fcgi/app.c - generations of settings: built, shared by running requests, replaced on SIGHUP. */
#include "fcgi/app.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum df_code mrs_capture_types_parse(const char *list, unsigned *mask, struct df_error *err)
{
    *mask = 0;
    if (strcmp(list, "all") == 0) {
        *mask = (1U << DF_MESSAGE_TYPE_COUNT) - 1;
        return DF_OK;
    }
    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        enum df_message_type type;
        if (!df_message_type_parse(&type, item, (size_t)(end - item)))
            return df_error_set(err, DF_EINPUT,
                                "CAPTURE_TYPES: use all, or some of direct_purchase, "
                                "product_question, pricing_question, interest, general");
        *mask |= 1U << type;
        item = *end == ',' ? end + 1 : NULL;
    }
    return DF_OK;
}

static void runtime_free(struct mrs_runtime *runtime)
{
    if (runtime == NULL)
        return;
    mrs_auth_free(runtime->auth);
    mrs_route_rules_free(runtime->rules);
    mrs_config_release(&runtime->config);
    free(runtime);
}

enum df_code mrs_route_rules_from(struct mrs_route_rules **out, const struct mrs_config *config,
                                  int analyzer, struct df_error *err)
{
    const struct mrs_route_options route = {
        .is_hybrid = analyzer == MRS_ANALYZE_HYBRID,
        .prefilter = config->ai_prefilter,
        .only_users = config->ai_only_users,
        .skip_users = config->ai_skip_users,
    };
    return mrs_route_rules_new(out, &route, err);
}

enum df_code mrs_runtime_new(struct mrs_runtime **out, struct mrs_runtime *old,
                             struct df_error *err)
{
    *out = NULL;
    struct mrs_runtime *next = calloc(1, sizeof *next);
    if (next == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    enum df_code rc = mrs_config_load(&next->config, err);
    if (rc == DF_OK)
        rc = mrs_capture_types_parse(next->config.capture_types, &next->capture_rule.type_mask, err);
    if (rc == DF_OK)
        rc = mrs_auth_new(&next->auth, &next->config, old == NULL ? NULL : old->auth, err);
    if (rc != DF_OK) {
        runtime_free(next);
        return rc;
    }
    next->analyzer = mrs_config_analyzer(&next->config);
    rc = mrs_route_rules_from(&next->rules, &next->config, next->analyzer, err);
    if (rc != DF_OK) {
        runtime_free(next);
        return rc;
    }
    next->capture_rule.threshold = next->config.confidence_threshold;
    next->refs = 1;
    *out = next;
    return DF_OK;
}

void mrs_route_rules_band_from(struct mrs_route_rules *rules, const struct mrs_config *config,
                               const struct df_intent_model *model)
{
    double low = 0, high = 0;

    if (model == NULL)
        return; /* nobody judges, or only the model server */
    df_intent_band(model, config->ai_share, &low, &high);
    if (config->hybrid_low >= 0)
        low = nextafter(config->hybrid_low, 2); /* that confidence itself is still sure */
    if (config->hybrid_high >= 0)
        high = config->hybrid_high;
    mrs_route_rules_set_band(rules, low, high);
}

void mrs_runtime_set_band(struct mrs_runtime *runtime, const struct df_intent_model *model)
{
    mrs_route_rules_band_from(runtime->rules, &runtime->config, model);
}

struct mrs_runtime *mrs_runtime_get(struct mrs_app *app)
{
    pthread_mutex_lock(&app->lock);
    struct mrs_runtime *runtime = app->runtime;
    runtime->refs++;
    pthread_mutex_unlock(&app->lock);
    return runtime;
}

void mrs_runtime_put(struct mrs_app *app, struct mrs_runtime *runtime)
{
    pthread_mutex_lock(&app->lock);
    bool is_last = --runtime->refs == 0;
    pthread_mutex_unlock(&app->lock);
    if (is_last)
        runtime_free(runtime);
}

void mrs_runtime_give(struct mrs_app *app, struct mrs_runtime *next)
{
    pthread_mutex_lock(&app->lock);
    struct mrs_runtime *before = app->runtime;
    app->runtime = next;
    pthread_mutex_unlock(&app->lock);
    if (before != NULL)
        mrs_runtime_put(app, before);
}

void mrs_gateway_options_from(struct mrs_gateway_options *out, const struct mrs_config *config)
{
    *out = (struct mrs_gateway_options){
        .base_url = config->ai_base_url,
        .api_key = mrs_config_ai_key(config),
        .models = config->ai_model,
        .extra_headers = config->ai_extra_headers,
        .mode = (enum mrs_gateway_mode)config->ai_mode,
        .timeout_ms = config->ai_timeout_ms,
        .connect_timeout_ms = config->ai_connect_timeout_ms,
        .in_flight_max = config->ai_max_in_flight,
        .use_breaker = config->ai_breaker == MRS_ON,
        .retry_billed = config->ai_retry_billed == MRS_ON,
        .send_temperature = config->ai_send_temperature == MRS_ON,
        .send_max_tokens = config->ai_send_max_tokens == MRS_ON,
        .batch_ms = config->ai_batch_ms,
        .batch_max = config->ai_batch_max,
        .cache_max = config->ai_cache_max,
        .cache_ttl_ms = config->ai_cache_ttl_s * 1000,
        .budget = {.unit = (enum mrs_budget_unit)config->ai_budget_unit,
                   .session = config->ai_budget_session,
                   .day = config->ai_budget_day,
                   .price_in = config->ai_price_in,
                   .price_out = config->ai_price_out},
    };
}
