/* scraper/config.h - settings of dealflow-scraper, one table. */
#ifndef SCRAPER_CONFIG_H
#define SCRAPER_CONFIG_H

#include "shared/config.h"

enum scr_auth_mode { SCR_AUTH_AUTO, SCR_AUTH_OFF, SCR_AUTH_REQUIRED };
enum scr_switch { SCR_OFF, SCR_ON };
enum scr_sandbox { SCR_SANDBOX_AUTO, SCR_SANDBOX_OFF, SCR_SANDBOX_ON };
enum scr_source_choice { SCR_CHOOSE_AUTO, SCR_CHOOSE_FRAMES, SCR_CHOOSE_DOCUMENT, SCR_CHOOSE_POLLING };
enum scr_draw { SCR_DRAW_AUTO, SCR_DRAW_NEVER, SCR_DRAW_ALWAYS };

struct scr_config {
    /* who may call */
    int api_auth;          /* API_AUTH auto|off|required; resolved to OFF or REQUIRED after _load */
    char *api_keys;        /* API_KEYS key=role,... */
    char *bind;            /* BIND; after _load never NULL */
    char *cors_origins;    /* CORS_ORIGINS "*" or a comma list */
    char *jwks_file;       /* JWKS_FILE */
    char *jwt_secret;      /* JWT_SECRET */
    int64_t port;          /* PORT 3001 */
    int64_t client_queue_max_bytes; /* CLIENT_QUEUE_MAX_BYTES 1048576 */
    int64_t client_queue_max;       /* CLIENT_QUEUE_MAX 1000 messages */
    int64_t clients_max;            /* CLIENTS_MAX 1000 WebSocket clients */
    char *metrics_listen;  /* METRICS_LISTEN: 127.0.0.1:port or a unix path; unset: nowhere */

    /* where messages go */
    char *supabase_url;              /* SUPABASE_URL */
    char *service_key;               /* SUPABASE_SERVICE_ROLE_KEY */
    char *function_name;             /* FUNCTION_NAME monitor-realtime-stream */
    char *platform;                  /* PLATFORM whatnot */
    int64_t delivery_parallel;       /* DELIVERY_PARALLEL 16 posts open at once */
    int64_t delivery_per_stream;     /* DELIVERY_PER_STREAM 4: most of one stream when it lags */
    int64_t delivery_timeout_ms;     /* DELIVERY_TIMEOUT_MS 20000 */
    char *outbox_path;               /* OUTBOX_PATH; after _load never NULL */
    int64_t outbox_max_rows;         /* OUTBOX_MAX_ROWS 1000000 undelivered */
    int64_t outbox_max_mb;           /* OUTBOX_MAX_MB 512 */
    int64_t outbox_max_age_h;        /* OUTBOX_MAX_AGE_H 168 */

    /* the browser */
    char *chrome_path;               /* CHROME_EXECUTABLE_PATH */
    char *chrome_flags;              /* CHROME_EXTRA_FLAGS, blank-separated */
    int chrome_sandbox;              /* CHROME_SANDBOX auto|off|on */
    int draw;                        /* SCRAPER_DRAW auto|never|always */
    char *profile_root;              /* SCRAPER_PROFILE_DIR; after _load never NULL */
    char *user_agent;                /* USER_AGENT */
    int64_t page_heap_mb;            /* PAGE_HEAP_MB 512: --js-flags=--max-old-space-size */

    /* streams */
    char *allowed_hosts;             /* SCRAPER_ALLOWED_HOSTS whatnot.com */
    int allow_private;               /* SCRAPER_ALLOW_PRIVATE off|on */
    char *local_page;                /* SCRAPER_LOCAL_PAGE; NULL: none */
    char *base_url;                  /* SCRAPER_BASE_URL https://www.whatnot.com/ : index page */
    char *rules_file;                /* SCRAPER_RULES_FILE */
    int source;                      /* SCRAPER_SOURCE auto|frames|document|polling */
    int backlog;                     /* SCRAPER_BACKLOG off|on: report lines that were already there */
    int64_t streams_max;             /* SCRAPER_MAX_STREAMS 10 */
    int64_t memory_max_mb;           /* SCRAPER_MEMORY_MAX_MB 0: no limit; PSS budget for new tabs */
    int64_t poll_interval_ms;        /* POLL_INTERVAL_MS 1500 */
    int64_t dedup_max, dedup_ttl_ms; /* DEDUP_MAX 10000, DEDUP_TTL_MS 300000 */
    int64_t navigation_gap_ms;       /* NAVIGATION_GAP_MS 500 */
    int64_t navigation_timeout_ms;   /* NAVIGATION_TIMEOUT_MS 45000 */
    int64_t heartbeat_ms;            /* HEARTBEAT_MS 5000 */
    int64_t quiet_after_ms;          /* QUIET_AFTER_MS 60000 */
    int64_t rotate_after_ms;         /* ROTATE_AFTER_MS 30000 of quiet before another show is tried */
    int64_t ended_grace_ms;          /* ENDED_GRACE_MS 60000 */
    int64_t recycle_after_ms;        /* RECYCLE_AFTER_MS 14400000 */
    int64_t recycle_tab_mb;          /* RECYCLE_TAB_MB 250 */
    int64_t start_wait_ms;           /* START_WAIT_MS 10000: how long start-monitoring waits for live */

    /* pictures */
    int save_screenshot;             /* DEALFLOW_SAVE_SCREENSHOT false|true (also 0|1) */
    char *screenshot_dir;            /* SCREENSHOT_DIR; after _load never NULL */
    int64_t screenshot_keep;         /* SCREENSHOT_KEEP 10 */

    /* process */
    double confidence_threshold;     /* CONFIDENCE_THRESHOLD DF_CAPTURE_THRESHOLD: of an alert */
    char *intent_weights;            /* INTENT_WEIGHTS */
    int64_t drain_ms;                /* DRAIN_MS 5000 */
    char *log_level;                 /* LOG_LEVEL info */
};

extern const struct df_config_key scr_config_keys[];
extern const size_t scr_config_key_count;

/* Reads the environment (or DEALFLOW_ENV_FILE), fills what depends on other settings: BIND 0.0.0.0
 * and API_AUTH required where RENDER is set, else 127.0.0.1; API_AUTH auto is required unless... see
 * the man page; default paths below XDG_STATE_HOME or /var/lib/dealflow.
 * DF_EINPUT says which setting and what to do. End with scr_config_release. */
enum df_code scr_config_load(struct scr_config *out, struct df_error *err) DF_MUST_USE;
void scr_config_release(struct scr_config *config);

#endif
