/* realtime/config.h - settings of dealflow-realtime, one table. */
#ifndef REALTIME_CONFIG_H
#define REALTIME_CONFIG_H

#include "shared/config.h"

struct rt_config {
    char *database_url;             /* DATABASE_URL, required */
    char *listen;                   /* REALTIME_LISTEN 127.0.0.1:4000, or a unix socket path */
    char *metrics_listen;           /* METRICS_LISTEN: path or 127.0.0.1:port; unset: nowhere */
    char *jwt_secret, *jwks_file;   /* JWT_SECRET, JWKS_FILE */
    char *api_keys;                 /* API_KEYS key=role,... */
    int64_t clients_max;            /* REALTIME_MAX_CLIENTS 10000 */
    int64_t channels_max;           /* REALTIME_MAX_CHANNELS 100 a connection */
    int64_t joins_per_10s;          /* REALTIME_JOINS_PER_10S 100 a connection */
    int64_t messages_per_s;         /* REALTIME_MESSAGES_PER_S 100: from one connection; 0: any */
    int64_t presence_per_s;         /* REALTIME_PRESENCE_PER_S 20: from one connection; 0: any */
    int64_t frame_max_bytes;        /* REALTIME_FRAME_MAX_BYTES 5000000 inbound */
    int64_t broadcast_max_bytes;    /* REALTIME_BROADCAST_MAX_BYTES 3000000 */
    int64_t queue_max_bytes;        /* REALTIME_QUEUE_MAX_BYTES 4194304 waiting for one client */
    int64_t idle_ms;                /* REALTIME_IDLE_MS 60000 without a frame: closed */
    int64_t refuse_delay_ms;        /* REALTIME_REFUSE_DELAY_MS 1000 before a refusal */
    int64_t refuse_waiting_max;     /* REALTIME_REFUSE_WAITING_MAX 256 such sockets at once */
    int64_t expiry_grace_ms;        /* REALTIME_EXPIRY_GRACE_MS 25000 between exp and phx_error */
    int64_t catch_up_max_rows;      /* REALTIME_CATCH_UP_MAX_ROWS 100000 for one binding */
    int64_t drain_ms;               /* DRAIN_MS 5000: closes are spread over this time */
    int private_channels;           /* PRIVATE_CHANNELS policies|refuse */
    int64_t wait_default_ms;        /* 15000; wait: true without a timeout; at most 20000 */
    char *log_level;                /* LOG_LEVEL info */
};

enum rt_private_channels { RT_PRIVATE_POLICIES, RT_PRIVATE_REFUSE };

extern const struct df_config_key rt_config_keys[];
extern const size_t rt_config_key_count;

enum df_code rt_config_load(struct rt_config *out, struct df_error *err) DF_MUST_USE;
void rt_config_release(struct rt_config *config);

#endif
