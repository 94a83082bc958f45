/* fcgi/rest/config.c - the table of settings. --help, the man page and deploy/env.example come from
 * it. */
#include "fcgi/rest/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shared/log.h"

#define AT(field) offsetof(struct rst_config, field)

/* clang-format off */
const struct df_config_key rst_config_keys[] = { /* in alphabetical order */
    {"API_KEYS", DF_CONFIG_STR, AT(api_keys), NULL, 1, 8192, DF_CONFIG_SECRET, NULL,
     "new-style keys, sb_publishable_...=anon,sb_secret_...=service_role"},
    {"CONNECTIONS_MAX", DF_CONFIG_INT, AT(connections_max), "4096", 1, 65536, 0, NULL,
     "FastCGI connections held at once; one more is closed at once"},
    {"DATABASE_URL", DF_CONFIG_STR, AT(database_url), NULL, 1, 2048, DF_CONFIG_SECRET, NULL,
     "libpq connection string (required); a login that may become anon, authenticated and service_role"},
    {"DRAIN_MS", DF_CONFIG_INT, AT(drain_ms), "10000", 0, 600000, 0, NULL,
     "time that running requests get after SIGTERM, in milliseconds"},
    {"FCGI_SOCKET", DF_CONFIG_STR, AT(fcgi_socket), NULL, 1, 100, 0, NULL,
     "where to listen for nginx: a path, or host:port; not needed under spawn-fcgi or systemd"},
    {"FCGI_SOCKET_MODE", DF_CONFIG_STR, AT(fcgi_socket_mode), "0660", 3, 4, 0, NULL,
     "permissions of the socket file, octal"},
    {"JWKS_FILE", DF_CONFIG_STR, AT(jwks_file), NULL, 1, 1024, 0, NULL,
     "JWK set with the public keys for ES256 and RS256 tokens; read anew on SIGHUP"},
    {"JWT_LEEWAY_S", DF_CONFIG_INT, AT(jwt_leeway_s), "0", 0, 300, 0, NULL,
     "clock difference tolerated in exp and nbf, in seconds"},
    {"JWT_SECRET", DF_CONFIG_STR, AT(jwt_secret), NULL, 32, 1024, DF_CONFIG_SECRET, NULL,
     "secret of HS256 tokens, 32 characters or more"},
    {"LOG_LEVEL", DF_CONFIG_STR, AT(log_level), "info", 4, 5, 0, NULL,
     "debug, info, warn or error"},
    {"METRICS_LISTEN", DF_CONFIG_STR, AT(metrics_listen), NULL, 1, 100, 0, NULL,
     "where to serve /metrics, /readyz, /healthz: a path, or 127.0.0.1:port; unset: nowhere"},
    {"REST_ANSWER_MAX_BYTES", DF_CONFIG_INT, AT(answer_max_bytes), "33554432", 65536, 1073741824, 0, NULL,
     "largest answer, in bytes; more is refused with 500"},
    {"REST_BODY_MAX_BYTES", DF_CONFIG_INT, AT(body_max_bytes), "1048576", 256, 67108864, 0, NULL,
     "largest request body; the same value as in nginx"},
    {"REST_CONNECTIONS", DF_CONFIG_INT, AT(db_connections), "8", 1, 256, 0, NULL,
     "connections to Postgres, shared out among the workers; at least one each"},
    {"REST_MAX_ROWS", DF_CONFIG_INT, AT(max_rows), "1000", 1, 1000000, 0, NULL,
     "rows that one request may read at most"},
    {"REST_QUEUE_MAX", DF_CONFIG_INT, AT(queue_max), "1024", 1, 65536, 0, NULL,
     "requests that may wait for a connection, for each worker; one more is answered 503"},
    {"REST_SCHEMA", DF_CONFIG_STR, AT(schema), "public", 1, 63, 0, NULL,
     "schema whose tables and views are served"},
    {"REST_STATEMENT_TIMEOUT_MS", DF_CONFIG_INT, AT(statement_timeout_ms), "8000", 100, 600000, 0, NULL,
     "Postgres ends a statement that takes longer, in milliseconds"},
    {"REST_WAIT_MS", DF_CONFIG_INT, AT(wait_ms), "10000", 100, 600000, 0, NULL,
     "a request waits so long for a connection to Postgres, in milliseconds; then 504"},
    {"WORKERS", DF_CONFIG_INT, AT(workers), "2", 1, 64, 0, NULL,
     "event loop threads; two serve thousands of connections"},
};
/* clang-format on */
const size_t rst_config_key_count = sizeof rst_config_keys / sizeof rst_config_keys[0];

static enum df_code check(const struct rst_config *config, struct df_error *err)
{
    enum df_log_level level;

    if (!df_log_level_parse(config->log_level, &level))
        return df_error_set(err, DF_EINPUT, "LOG_LEVEL: use debug, info, warn or error");
    if (config->database_url == NULL)
        return df_error_set(
            err, DF_EINPUT,
            "DATABASE_URL is required, e.g. postgres://dealflow_rest@127.0.0.1:5432/dealflow");
    if (config->jwt_secret == NULL && config->jwks_file == NULL && config->api_keys == NULL)
        return df_error_set(err, DF_EINPUT,
                            "nobody could be let in: set JWT_SECRET, JWKS_FILE or API_KEYS");
    return DF_OK;
}

enum df_code rst_config_load(struct rst_config *out, struct df_error *err)
{
    const char *path = getenv("DEALFLOW_ENV_FILE");

    memset(out, 0, sizeof *out);
    enum df_code rc =
        path == NULL || path[0] == '\0'
            ? df_config_load(out, rst_config_keys, rst_config_key_count, err)
            : df_config_load_file(out, rst_config_keys, rst_config_key_count, path, err);
    if (rc == DF_OK)
        rc = check(out, err);
    if (rc != DF_OK)
        rst_config_release(out);
    return rc;
}

void rst_config_release(struct rst_config *config)
{
    df_config_release(config, rst_config_keys, rst_config_key_count);
}
