/* fcgi/rest/config.h - the settings of dealflow-rest. One struct, one table. */
#ifndef FCGI_REST_CONFIG_H
#define FCGI_REST_CONFIG_H

#include <stdint.h>

#include "shared/config.h"

struct rst_config {
    char *database_url;
    char *fcgi_socket, *fcgi_socket_mode, *metrics_listen, *log_level;
    char *jwt_secret, *jwks_file, *api_keys;
    int64_t jwt_leeway_s;
    int64_t workers, connections_max, drain_ms;
    char *schema;
    int64_t max_rows, body_max_bytes, answer_max_bytes;
    int64_t statement_timeout_ms, db_connections, queue_max, wait_ms;
};

extern const struct df_config_key rst_config_keys[];
extern const size_t rst_config_key_count;

/* Environment, overridden by the KEY=VALUE lines of the file in DEALFLOW_ENV_FILE when that is set.
 * On DF_OK the caller ends *out with rst_config_release. DF_EINPUT names the setting at fault. */
enum df_code rst_config_load(struct rst_config *out, struct df_error *err) DF_MUST_USE;
void rst_config_release(struct rst_config *config);

#endif
