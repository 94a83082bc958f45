/* fcgi/config.h - the settings of monitor-realtime-stream. One struct, one table. */
#ifndef FCGI_CONFIG_H
#define FCGI_CONFIG_H

#include <stdint.h>

#include "shared/config.h"

/* clang-format off */
enum { MRS_OFF, MRS_ON };                                             /* off|on */
enum { MRS_DENY, MRS_ALLOW };                                         /* deny|allow */
enum { MRS_ANALYZE_AUTO, MRS_ANALYZE_LOCAL, MRS_ANALYZE_GATEWAY,
       MRS_ANALYZE_HYBRID, MRS_ANALYZE_OFF };                         /* ANALYZER */
enum { MRS_ON_ERROR_LOCAL, MRS_ON_ERROR_STORE, MRS_ON_ERROR_FAIL };   /* AI_ON_ERROR */
/* clang-format on */

struct mrs_config {
    char *database_url, *database_role;
    char *fcgi_socket, *fcgi_socket_mode, *metrics_listen;
    int64_t workers, connections_max, drain_ms;
    char *log_level;

    int jwt_verify;
    char *jwt_secret, *jwks_file, *api_keys;
    int64_t jwt_leeway_s;
    int anon_writes;
    double rate_user_per_s, rate_anon_per_s, rate_burst_factor;

    int64_t request_max_bytes, message_max_bytes, username_max_bytes;
    int64_t store_timeout_ms, store_queue_max, store_batch_max, store_writers;

    int analyzer;
    char *intent_weights;
    double confidence_threshold;
    char *capture_types;
    double ai_share, hybrid_low, hybrid_high; /* the last two below 0: AI_SHARE decides */
    char *ai_prefilter, *ai_only_users, *ai_skip_users;
    int64_t ai_batch_ms, ai_batch_max, ai_cache_max, ai_cache_ttl_s;
    int64_t ai_budget_session, ai_budget_day;
    int ai_budget_unit; /* enum mrs_budget_unit */
    double ai_price_in, ai_price_out;
    char *ai_base_url, *ai_api_key, *lovable_api_key, *ai_model, *ai_extra_headers;
    int ai_mode, ai_on_error, ai_breaker, ai_retry_billed, ai_send_temperature, ai_send_max_tokens;
    int64_t ai_timeout_ms, ai_connect_timeout_ms, ai_max_in_flight;
    int64_t reanalyze_interval_ms, change_log_keep_s;

    int webhooks, webhook_allow_private;
    int64_t webhook_attempts_max, webhook_backoff_ms, webhook_keep_s, webhook_max_in_flight;
    int64_t webhook_timeout_ms;
};

extern const struct df_config_key mrs_config_keys[];
extern const size_t mrs_config_key_count;

/* Environment, overridden by the KEY=VALUE lines of the file in DEALFLOW_ENV_FILE when that is set;
 * the file is what a reload reads anew. On DF_OK the caller ends *out with mrs_config_release.
 * DF_EINPUT names the setting at fault. Main thread. */
enum df_code mrs_config_load(struct mrs_config *out, struct df_error *err) DF_MUST_USE;
/* The same without asking for what only the function needs: DATABASE_URL, a way to verify tokens. */
enum df_code mrs_config_read(struct mrs_config *out, struct df_error *err) DF_MUST_USE;
void mrs_config_release(struct mrs_config *config);

/* AI_API_KEY, else LOVABLE_API_KEY, else NULL. */
const char *mrs_config_ai_key(const struct mrs_config *config);
/* ANALYZER with `auto` resolved: hybrid with a key, local without. */
int mrs_config_analyzer(const struct mrs_config *config);

#endif
