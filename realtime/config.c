/* realtime/config.c - the table of settings. --help, the man page and deploy/env.example come from
 * it. */
#include "realtime/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"

#define AT(field) offsetof(struct rt_config, field)

/* clang-format off */
const struct df_config_key rt_config_keys[] = { /* in alphabetical order */
    {"API_KEYS", DF_CONFIG_STR, AT(api_keys), NULL, 1, 8192, DF_CONFIG_SECRET, NULL,
     "new-style keys, sb_publishable_...=anon,sb_secret_...=service_role"},
    {"DATABASE_URL", DF_CONFIG_STR, AT(database_url), NULL, 1, 2048, DF_CONFIG_SECRET, NULL,
     "libpq connection string (required)"},
    {"DRAIN_MS", DF_CONFIG_INT, AT(drain_ms), "5000", 0, 600000, 0, NULL,
     "clients are sent away within this time after SIGTERM, in milliseconds"},
    {"JWKS_FILE", DF_CONFIG_STR, AT(jwks_file), NULL, 1, 1024, 0, NULL,
     "JWK set with the public keys for ES256 and RS256 tokens; read anew on SIGHUP"},
    {"JWT_SECRET", DF_CONFIG_STR, AT(jwt_secret), NULL, 32, 1024, DF_CONFIG_SECRET, NULL,
     "secret of HS256 tokens, 32 characters or more"},
    {"LOG_LEVEL", DF_CONFIG_STR, AT(log_level), "info", 4, 5, 0, NULL,
     "debug, info, warn or error"},
    {"METRICS_LISTEN", DF_CONFIG_STR, AT(metrics_listen), NULL, 1, 100, 0, NULL,
     "where to serve /metrics, /readyz and /healthz: a path, or 127.0.0.1:port; unset: nowhere"},
    {"PRIVATE_CHANNELS", DF_CONFIG_CHOICE, AT(private_channels), "policies", 0, 0, 0, "policies|refuse",
     "joins of private channels: as the policies on realtime.messages say, or none"},
    {"REALTIME_BROADCAST_MAX_BYTES", DF_CONFIG_INT, AT(broadcast_max_bytes), "3000000", 1024, 67108864, 0, NULL,
     "largest payload of a broadcast, in bytes"},
    {"REALTIME_CATCH_UP_MAX_ROWS", DF_CONFIG_INT, AT(catch_up_max_rows), "100000", 0, 1000000000, 0, NULL,
     "missed rows that one subscription may ask for with x_after"},
    {"REALTIME_EXPIRY_GRACE_MS", DF_CONFIG_INT, AT(expiry_grace_ms), "25000", 0, 3600000, 0, NULL,
     "time to bring a fresh token before a channel ends, in milliseconds; nothing is delivered meanwhile"},
    {"REALTIME_FRAME_MAX_BYTES", DF_CONFIG_INT, AT(frame_max_bytes), "5000000", 1024, 67108864, 0, NULL,
     "largest message a client may send, in bytes; a larger one closes its connection"},
    {"REALTIME_IDLE_MS", DF_CONFIG_INT, AT(idle_ms), "60000", 1000, 86400000, 0, NULL,
     "a connection without any frame for this long is closed, in milliseconds; pinged at half of it"},
    {"REALTIME_JOINS_PER_10S", DF_CONFIG_INT, AT(joins_per_10s), "100", 1, 1000000, 0, NULL,
     "joins of one connection in 10 seconds"},
    {"REALTIME_LISTEN", DF_CONFIG_STR, AT(listen), "127.0.0.1:4000", 1, 100, 0, NULL,
     "where clients come in: IP address and port, or the path of a unix socket"},
    {"REALTIME_MAX_CHANNELS", DF_CONFIG_INT, AT(channels_max), "100", 1, 100000, 0, NULL,
     "channels of one connection"},
    {"REALTIME_MAX_CLIENTS", DF_CONFIG_INT, AT(clients_max), "10000", 1, 1000000, 0, NULL,
     "connections at once; one more is answered 429"},
    {"REALTIME_MESSAGES_PER_S", DF_CONFIG_INT, AT(messages_per_s), "100", 0, 1000000, 0, NULL,
     "messages of one connection in a second; 0: any"},
    {"REALTIME_PRESENCE_PER_S", DF_CONFIG_INT, AT(presence_per_s), "20", 0, 1000000, 0, NULL,
     "presence messages of one connection in a second; 0: any"},
    {"REALTIME_QUEUE_MAX_BYTES", DF_CONFIG_INT, AT(queue_max_bytes), "4194304", 65536, 1073741824, 0, NULL,
     "bytes that may wait for one client; a slower one loses its channels and joins again"},
    {"REALTIME_REFUSE_DELAY_MS", DF_CONFIG_INT, AT(refuse_delay_ms), "1000", 0, 60000, 0, NULL,
     "a refusal waits this long, in milliseconds, so that clients that try for ever do so slowly"},
    {"REALTIME_REFUSE_WAITING_MAX", DF_CONFIG_INT, AT(refuse_waiting_max), "256", 0, 100000, 0, NULL,
     "sockets that wait so at once; beyond them refusals come at once"},
    {"REALTIME_WAIT_MS", DF_CONFIG_INT, AT(wait_default_ms), "15000", 1, 20000, 0, NULL,
     "a join with wait and no timeout of its own waits this long for its rows, in milliseconds"},
};
/* clang-format on */
const size_t rt_config_key_count = sizeof rt_config_keys / sizeof rt_config_keys[0];

static enum df_code check(const struct rt_config *config, struct df_error *err)
{
    enum df_log_level level;

    if (!df_log_level_parse(config->log_level, &level))
        return df_error_set(err, DF_EINPUT, "LOG_LEVEL: \"%s\" is not debug, info, warn or error",
                            config->log_level);
    if (config->database_url == NULL)
        return df_error_set(err, DF_EINPUT, "DATABASE_URL is not set: a libpq connection string");
    if (config->jwt_secret == NULL && config->jwks_file == NULL && config->api_keys == NULL)
        return df_error_set(err, DF_EINPUT,
                            "nobody could connect: set JWT_SECRET (or JWKS_FILE, API_KEYS)");
    return DF_OK;
}

enum df_code rt_config_load(struct rt_config *out, struct df_error *err)
{
    const char *path = getenv("DEALFLOW_ENV_FILE");

    memset(out, 0, sizeof *out);
    enum df_code rc =
        path == NULL || path[0] == '\0'
            ? df_config_load(out, rt_config_keys, rt_config_key_count, err)
            : df_config_load_file(out, rt_config_keys, rt_config_key_count, path, err);
    if (rc == DF_OK)
        rc = check(out, err);
    if (rc != DF_OK)
        rt_config_release(out);
    return rc;
}

void rt_config_release(struct rt_config *config)
{
    df_config_release(config, rt_config_keys, rt_config_key_count);
}
