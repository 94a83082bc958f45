/* fcgi/config.c - the table of settings. --help, the man page and deploy/env.example come from it.
 */
#include "fcgi/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/gateway.h"
#include "shared/intent.h"

#define AT(field) offsetof(struct mrs_config, field)

/* clang-format off */
const struct df_config_key mrs_config_keys[] = { /* in alphabetical order */
    {"AI_API_KEY", DF_CONFIG_STR, AT(ai_api_key), NULL, 1, 4096, DF_CONFIG_SECRET, NULL,
     "key of the model server; LOVABLE_API_KEY is read when this is unset"},
    {"AI_BASE_URL", DF_CONFIG_STR, AT(ai_base_url), "https://ai.gateway.lovable.dev/v1", 8, 1024, 0, NULL,
     "OpenAI-compatible model server; /chat/completions is appended"},
    {"AI_BATCH_MAX", DF_CONFIG_INT, AT(ai_batch_max), "20", 1, MRS_BATCH_LINES_MAX, 0, NULL,
     "lines of a show in one question at most, see AI_BATCH_MS"},
    {"AI_BATCH_MS", DF_CONFIG_INT, AT(ai_batch_ms), "0", 0, 59999, 0, NULL,
     "collect lines of a show this long and ask about them together, in milliseconds; their answers wait as long; 0: ask at once"},
    {"AI_BREAKER", DF_CONFIG_CHOICE, AT(ai_breaker), "on", 0, 0, 0, "off|on",
     "stop asking a model server that keeps failing"},
    {"AI_BUDGET_DAY", DF_CONFIG_INT, AT(ai_budget_day), "0", 0, 1000000000000, 0, NULL,
     "most that a day (UTC) may cost, all programs together, in AI_BUDGET_UNIT; then the embedded model decides; 0: no limit"},
    {"AI_BUDGET_SESSION", DF_CONFIG_INT, AT(ai_budget_session), "0", 0, 1000000000000, 0, NULL,
     "the same for each show, counted by each program since its start"},
    {"AI_BUDGET_UNIT", DF_CONFIG_CHOICE, AT(ai_budget_unit), "calls", 0, 0, 0, "calls|tokens|cents",
     "what budgets count; cents by AI_PRICE_IN and AI_PRICE_OUT"},
    {"AI_CACHE_MAX", DF_CONFIG_INT, AT(ai_cache_max), "0", 0, 1000000, 0, NULL,
     "texts whose verdicts are remembered, about 0.6 KiB each; equal texts are not asked about again; 0: none"},
    {"AI_CACHE_TTL_S", DF_CONFIG_INT, AT(ai_cache_ttl_s), "3600", 1, 2592000, 0, NULL,
     "how long a verdict is remembered, in seconds"},
    {"AI_CONNECT_TIMEOUT_MS", DF_CONFIG_INT, AT(ai_connect_timeout_ms), "2000", 10, 60000, 0, NULL,
     "time to reach the model server, in milliseconds"},
    {"AI_EXTRA_HEADERS", DF_CONFIG_STR, AT(ai_extra_headers), NULL, 1, 4096, DF_CONFIG_SECRET, NULL,
     "further request headers for the model server, 'Name: value', separated by |"},
    {"AI_MAX_IN_FLIGHT", DF_CONFIG_INT, AT(ai_max_in_flight), "512", 1, 4096, 0, NULL,
     "calls to the model server open at once; as many more wait"},
    {"AI_MODE", DF_CONFIG_CHOICE, AT(ai_mode), "auto", 0, 0, 0, "auto|tool|required|json_schema|json_object",
     "how the model is made to answer in JSON"},
    {"AI_MODEL", DF_CONFIG_STR, AT(ai_model), "google/gemini-3.5-flash-lite,google/gemini-2.5-flash-lite", 1, 1024, 0, NULL,
     "models in order of preference, separated by commas"},
    {"AI_ON_ERROR", DF_CONFIG_CHOICE, AT(ai_on_error), "local", 0, 0, 0, "local|store|fail",
     "when the model server fails: embedded model, store unjudged, or answer an error"},
    {"AI_ONLY_USERS", DF_CONFIG_STR, AT(ai_only_users), NULL, 1, 8192, 0, NULL,
     "ask the model server about these users only: a comma list, * at an end stands for anything"},
    {"AI_PREFILTER", DF_CONFIG_STR, AT(ai_prefilter), "off", 1, 16384, 0, NULL,
     "ask only about lines with a buyer's word: off, on (a list of our own), or a comma list (# any digit, word* any ending)"},
    {"AI_PRICE_IN", DF_CONFIG_NUMBER, AT(ai_price_in), "0.30", 0, 10000, 0, NULL,
     "dollars for a million tokens sent, for metrics and AI_BUDGET_UNIT=cents"},
    {"AI_PRICE_OUT", DF_CONFIG_NUMBER, AT(ai_price_out), "2.50", 0, 10000, 0, NULL,
     "dollars for a million tokens received"},
    {"AI_RETRY_BILLED", DF_CONFIG_CHOICE, AT(ai_retry_billed), "off", 0, 0, 0, "off|on",
     "ask again after an unusable answer that was paid for"},
    {"AI_SEND_MAX_TOKENS", DF_CONFIG_CHOICE, AT(ai_send_max_tokens), "on", 0, 0, 0, "off|on",
     "send max_tokens (some servers refuse it)"},
    {"AI_SEND_TEMPERATURE", DF_CONFIG_CHOICE, AT(ai_send_temperature), "on", 0, 0, 0, "off|on",
     "send temperature 0 (some servers refuse it)"},
    {"AI_SHARE", DF_CONFIG_NUMBER, AT(ai_share), "0.1", 0, 1, 0, NULL,
     "hybrid: share of all lines to ask the model server about, those where it helps most"},
    {"AI_SKIP_USERS", DF_CONFIG_STR, AT(ai_skip_users), NULL, 1, 8192, 0, NULL,
     "never ask the model server about these users, a list like AI_ONLY_USERS"},
    {"AI_TIMEOUT_MS", DF_CONFIG_INT, AT(ai_timeout_ms), "8000", 100, 60000, 0, NULL,
     "deadline for one verdict of the model server, retries included, in milliseconds"},
    {"ANALYZER", DF_CONFIG_CHOICE, AT(analyzer), "auto", 0, 0, 0, "auto|local|gateway|hybrid|off",
     "who judges: embedded model, model server, both; auto: hybrid with a key, else local"},
    {"ANON_WRITES", DF_CONFIG_CHOICE, AT(anon_writes), "allow", 0, 0, 0, "deny|allow",
     "may callers with the anon key post messages to any session"},
    {"API_KEYS", DF_CONFIG_STR, AT(api_keys), NULL, 1, 8192, DF_CONFIG_SECRET, NULL,
     "new-style keys, sb_publishable_...=anon,sb_secret_...=service_role"},
    {"CAPTURE_TYPES", DF_CONFIG_STR, AT(capture_types), "all", 1, 256, 0, NULL,
     "message types that may become a sale: all, or a comma list such as direct_purchase"},
    {"CHANGE_LOG_KEEP_S", DF_CONFIG_INT, AT(change_log_keep_s), "86400", 0, 31536000, 0, NULL,
     "how long readers of dealflow.change_log may be away, in seconds; 0: never trim it"},
    {"CONFIDENCE_THRESHOLD", DF_CONFIG_NUMBER, AT(confidence_threshold), DF_CAPTURE_THRESHOLD, 0, 1, 0, NULL,
     "a buyer of at least this confidence becomes a sale"},
    {"CONNECTIONS_MAX", DF_CONFIG_INT, AT(connections_max), "4096", 1, 65536, 0, NULL,
     "FastCGI connections held at once; one more is closed at once"},
    {"DATABASE_ROLE", DF_CONFIG_STR, AT(database_role), "service_role", 1, 63, 0, NULL,
     "role to work as after connecting; none: stay the user who connects"},
    {"DATABASE_URL", DF_CONFIG_STR, AT(database_url), NULL, 1, 2048, DF_CONFIG_SECRET, NULL,
     "libpq connection string (required)"},
    {"DRAIN_MS", DF_CONFIG_INT, AT(drain_ms), "10000", 0, 600000, 0, NULL,
     "time that running requests get after SIGTERM, in milliseconds"},
    {"FCGI_SOCKET", DF_CONFIG_STR, AT(fcgi_socket), NULL, 1, 100, 0, NULL,
     "where to listen for nginx: a path, or host:port; not needed under spawn-fcgi or systemd"},
    {"FCGI_SOCKET_MODE", DF_CONFIG_STR, AT(fcgi_socket_mode), "0660", 3, 4, 0, NULL,
     "permissions of the socket file, octal"},
    {"HYBRID_HIGH", DF_CONFIG_NUMBER, AT(hybrid_high), "-1", -1, 1, 0, NULL,
     "hybrid: from this confidence on the embedded model decides alone; -1: as AI_SHARE wants"},
    {"HYBRID_LOW", DF_CONFIG_NUMBER, AT(hybrid_low), "-1", -1, 1, 0, NULL,
     "hybrid: up to this confidence the embedded model decides alone; -1: as AI_SHARE wants"},
    {"INTENT_WEIGHTS", DF_CONFIG_STR, AT(intent_weights), NULL, 1, 1024, 0, NULL,
     "weight file of the embedded model; default: ../share/dealflow/intent.weights beside the program"},
    {"JWKS_FILE", DF_CONFIG_STR, AT(jwks_file), NULL, 1, 1024, 0, NULL,
     "JWK set with the public keys for ES256 and RS256 tokens; read anew on SIGHUP"},
    {"JWT_LEEWAY_S", DF_CONFIG_INT, AT(jwt_leeway_s), "0", 0, 300, 0, NULL,
     "clock difference tolerated in exp and nbf, in seconds"},
    {"JWT_SECRET", DF_CONFIG_STR, AT(jwt_secret), NULL, 32, 1024, DF_CONFIG_SECRET, NULL,
     "secret of HS256 tokens, 32 characters or more"},
    {"JWT_VERIFY", DF_CONFIG_CHOICE, AT(jwt_verify), "on", 0, 0, 0, "off|on",
     "off: callers without a valid token have the rights of anon"},
    {"LOG_LEVEL", DF_CONFIG_STR, AT(log_level), "info", 4, 5, 0, NULL,
     "debug, info, warn or error"},
    {"LOVABLE_API_KEY", DF_CONFIG_STR, AT(lovable_api_key), NULL, 1, 4096, DF_CONFIG_SECRET, NULL,
     "the old name of AI_API_KEY"},
    {"MESSAGE_MAX_BYTES", DF_CONFIG_INT, AT(message_max_bytes), "16384", 1, 1048576, 0, NULL,
     "longest message, in bytes of UTF-8"},
    {"METRICS_LISTEN", DF_CONFIG_STR, AT(metrics_listen), NULL, 1, 100, 0, NULL,
     "where to serve /metrics, /readyz, /healthz: a path, or 127.0.0.1:port; unset: nowhere"},
    {"RATE_ANON_PER_S", DF_CONFIG_NUMBER, AT(rate_anon_per_s), "5", 0, 1000000, 0, NULL,
     "requests a second for each address with the anon key; 0: no limit"},
    {"RATE_BURST_FACTOR", DF_CONFIG_NUMBER, AT(rate_burst_factor), "10", 1, 1000, 0, NULL,
     "a burst may be this many seconds' worth of requests"},
    {"RATE_USER_PER_S", DF_CONFIG_NUMBER, AT(rate_user_per_s), "50", 0, 1000000, 0, NULL,
     "requests a second for each signed-in user; 0: no limit"},
    {"REANALYZE_INTERVAL_MS", DF_CONFIG_INT, AT(reanalyze_interval_ms), "15000", 0, 86400000, 0, NULL,
     "how often fallback verdicts are looked for, to ask the model server again; 0: never"},
    {"REQUEST_MAX_BYTES", DF_CONFIG_INT, AT(request_max_bytes), "65536", 256, 4194304, 0, NULL,
     "largest request body; the same value as client_max_body_size in nginx"},
    {"STORE_BATCH_MAX", DF_CONFIG_INT, AT(store_batch_max), "256", 1, 4096, 0, NULL,
     "messages in one commit at most"},
    {"STORE_QUEUE_MAX", DF_CONFIG_INT, AT(store_queue_max), "4096", 1, 65536, 0, NULL,
     "messages waiting for a commit; one more is answered 429"},
    {"STORE_TIMEOUT_MS", DF_CONFIG_INT, AT(store_timeout_ms), "5000", 100, 60000, 0, NULL,
     "a message not committed in this time is answered 503, in milliseconds"},
    {"STORE_WRITERS", DF_CONFIG_INT, AT(store_writers), "1", 1, 16, 0, NULL,
     "connections that commit; see ARCHITECTURE.md before raising it"},
    {"USERNAME_MAX_BYTES", DF_CONFIG_INT, AT(username_max_bytes), "512", 1, 65536, 0, NULL,
     "longest username, in bytes of UTF-8"},
    {"WEBHOOKS", DF_CONFIG_CHOICE, AT(webhooks), "on", 0, 0, 0, "off|on",
     "send captured sales to user_settings.webhook_url"},
    {"WEBHOOK_ALLOW_PRIVATE", DF_CONFIG_CHOICE, AT(webhook_allow_private), "off", 0, 0, 0, "off|on",
     "webhooks may use http and addresses of this machine and its networks: for tests only"},
    {"WEBHOOK_ATTEMPTS_MAX", DF_CONFIG_INT, AT(webhook_attempts_max), "20", 1, 1000, 0, NULL,
     "a sale that could not be delivered so many times is given up; 20 take some six hours"},
    {"WEBHOOK_BACKOFF_MS", DF_CONFIG_INT, AT(webhook_backoff_ms), "1000", 10, 3600000, 0, NULL,
     "wait before the second attempt, in milliseconds; doubled each time, an hour at most"},
    {"WEBHOOK_KEEP_S", DF_CONFIG_INT, AT(webhook_keep_s), "604800", 0, 31536000, 0, NULL,
     "how long delivered and dead rows of webhook_deliveries stay, in seconds; 0: for ever"},
    {"WEBHOOK_MAX_IN_FLIGHT", DF_CONFIG_INT, AT(webhook_max_in_flight), "64", 4, 1024, 0, NULL,
     "webhook calls open at once, of which four to one receiver"},
    {"WEBHOOK_TIMEOUT_MS", DF_CONFIG_INT, AT(webhook_timeout_ms), "10000", 100, 60000, 0, NULL,
     "deadline for one webhook call, in milliseconds"},
    {"WORKERS", DF_CONFIG_INT, AT(workers), "2", 1, 64, 0, NULL,
     "event loop threads; two serve thousands of connections"},
};
/* clang-format on */
const size_t mrs_config_key_count = sizeof mrs_config_keys / sizeof mrs_config_keys[0];

static enum df_code check(struct mrs_config *config, struct df_error *err)
{
    if (config->database_url == NULL)
        return df_error_set(
            err, DF_EINPUT,
            "DATABASE_URL is required, e.g. postgres://user@127.0.0.1:5432/dealflow");
    if (config->jwt_verify == MRS_ON && config->jwt_secret == NULL && config->jwks_file == NULL &&
        config->api_keys == NULL)
        return df_error_set(err, DF_EINPUT,
                            "set JWT_SECRET, JWKS_FILE or API_KEYS, or JWT_VERIFY=off for a try");
    if (config->analyzer == MRS_ANALYZE_GATEWAY && config->ai_base_url == NULL)
        return df_error_set(err, DF_EINPUT, "ANALYZER=gateway needs AI_BASE_URL");
    if (config->hybrid_low >= 0 && config->hybrid_high >= 0 &&
        config->hybrid_low > config->hybrid_high)
        return df_error_set(err, DF_EINPUT, "HYBRID_LOW must not be above HYBRID_HIGH");
    if (config->ai_batch_ms >= config->ai_timeout_ms)
        return df_error_set(err, DF_EINPUT,
                            "AI_BATCH_MS must be below AI_TIMEOUT_MS, which covers the waiting too");
    if (config->ai_budget_unit == MRS_BUDGET_CENTS &&
        !(config->ai_price_in > 0 && config->ai_price_out > 0))
        return df_error_set(err, DF_EINPUT,
                            "AI_BUDGET_UNIT=cents needs AI_PRICE_IN and AI_PRICE_OUT above 0");
    return DF_OK;
}

enum df_code mrs_config_read(struct mrs_config *out, struct df_error *err)
{
    memset(out, 0, sizeof *out);
    const char *path = getenv("DEALFLOW_ENV_FILE");
    enum df_code rc =
        path == NULL || path[0] == '\0'
            ? df_config_load(out, mrs_config_keys, mrs_config_key_count, err)
            : df_config_load_file(out, mrs_config_keys, mrs_config_key_count, path, err);
    if (rc != DF_OK)
        mrs_config_release(out);
    return rc;
}

enum df_code mrs_config_load(struct mrs_config *out, struct df_error *err)
{
    enum df_code rc = mrs_config_read(out, err);
    if (rc != DF_OK)
        return rc;
    rc = check(out, err);
    if (rc != DF_OK)
        mrs_config_release(out);
    return rc;
}

void mrs_config_release(struct mrs_config *config)
{
    df_config_release(config, mrs_config_keys, mrs_config_key_count);
}

const char *mrs_config_ai_key(const struct mrs_config *config)
{
    return config->ai_api_key != NULL ? config->ai_api_key : config->lovable_api_key;
}

int mrs_config_analyzer(const struct mrs_config *config)
{
    if (config->analyzer != MRS_ANALYZE_AUTO)
        return config->analyzer;
    return mrs_config_ai_key(config) != NULL ? MRS_ANALYZE_HYBRID : MRS_ANALYZE_LOCAL;
}
