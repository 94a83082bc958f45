/* scraper/config.c - the table of settings. --help, the man page and deploy/env.example come from
 * it. */
#include "scraper/config.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/address.h"
#include "shared/intent.h"
#include "shared/log.h"

#define AT(field) offsetof(struct scr_config, field)
#define BASE_URL  "https://www.whatnot.com/"

/* clang-format off */
const struct df_config_key scr_config_keys[] = { /* in alphabetical order */
    {"API_AUTH", DF_CONFIG_CHOICE, AT(api_auth), "auto", 0, 0, 0, "auto|off|required",
     "must callers show a token; auto: required; off: for a local try, only with a loopback BIND"},
    {"API_KEYS", DF_CONFIG_STR, AT(api_keys), NULL, 1, 8192, DF_CONFIG_SECRET, NULL,
     "further keys that may do everything, sb_secret_...=service_role, separated by commas"},
    {"BIND", DF_CONFIG_STR, AT(bind), NULL, 1, 64, 0, NULL,
     "IP address to listen on; default: 127.0.0.1, or 0.0.0.0 where RENDER is set"},
    {"CHROME_EXECUTABLE_PATH", DF_CONFIG_STR, AT(chrome_path), NULL, 1, 1024, 0, NULL,
     "browser to start; default: chromium-headless-shell, else chromium"},
    {"CHROME_EXTRA_FLAGS", DF_CONFIG_STR, AT(chrome_flags), NULL, 1, 4096, 0, NULL,
     "further command-line flags for the browser, separated by blanks"},
    {"CHROME_SANDBOX", DF_CONFIG_CHOICE, AT(chrome_sandbox), "auto", 0, 0, 0, "auto|off|on",
     "the browser's own sandbox; auto: on, except where the daemon runs as root"},
    {"CLIENTS_MAX", DF_CONFIG_INT, AT(clients_max), "1000", 1, 100000, 0, NULL,
     "WebSocket clients at once; one more is answered 503"},
    {"CLIENT_QUEUE_MAX", DF_CONFIG_INT, AT(client_queue_max), "1000", 10, 1000000, 0, NULL,
     "events that may wait for a slow WebSocket client before it is closed"},
    {"CLIENT_QUEUE_MAX_BYTES", DF_CONFIG_INT, AT(client_queue_max_bytes), "1048576", 65536, 1073741824, 0, NULL,
     "the same in bytes"},
    {"CONFIDENCE_THRESHOLD", DF_CONFIG_NUMBER, AT(confidence_threshold), DF_CAPTURE_THRESHOLD, 0, 1, 0, NULL,
     "a buyer of at least this confidence raises an alert; the same value as the function's"},
    {"CORS_ORIGINS", DF_CONFIG_STR, AT(cors_origins), "*", 1, 4096, 0, NULL,
     "web origins that may call: *, or a comma list such as https://app.example.com"},
    {"DEALFLOW_SAVE_SCREENSHOT", DF_CONFIG_CHOICE, AT(save_screenshot), "false", 0, 0, 0, "false|true|0|1",
     "save a picture of a page that went live, and of one whose chat is not found"},
    {"DEDUP_MAX", DF_CONFIG_INT, AT(dedup_max), "10000", 1000, 1000000, 0, NULL,
     "message identities remembered for each stream"},
    {"DEDUP_TTL_MS", DF_CONFIG_INT, AT(dedup_ttl_ms), "300000", 1000, 86400000, 0, NULL,
     "an identity beyond the newest 1,000 of a stream is forgotten after this time, in milliseconds"},
    {"DELIVERY_PARALLEL", DF_CONFIG_INT, AT(delivery_parallel), "16", 1, 256, 0, NULL,
     "messages posted to the function at once"},
    {"DELIVERY_PER_STREAM", DF_CONFIG_INT, AT(delivery_per_stream), "4", 1, 256, 0, NULL,
     "messages of one stream posted at once when it lags; 1 keeps their order strictly"},
    {"DELIVERY_TIMEOUT_MS", DF_CONFIG_INT, AT(delivery_timeout_ms), "20000", 100, 300000, 0, NULL,
     "deadline for one answer of the function, in milliseconds"},
    {"DRAIN_MS", DF_CONFIG_INT, AT(drain_ms), "5000", 0, 600000, 0, NULL,
     "time after SIGTERM to deliver what is queued, in milliseconds; the rest stays in the outbox"},
    {"ENDED_GRACE_MS", DF_CONFIG_INT, AT(ended_grace_ms), "60000", 0, 3600000, 0, NULL,
     "how long the page of an ended show stays open, in milliseconds"},
    {"FUNCTION_NAME", DF_CONFIG_STR, AT(function_name), "monitor-realtime-stream", 1, 128, 0, NULL,
     "function that messages are posted to"},
    {"HEARTBEAT_MS", DF_CONFIG_INT, AT(heartbeat_ms), "5000", 100, 60000, 0, NULL,
     "how often a page must answer, in milliseconds; two missed answers open it anew"},
    {"INTENT_WEIGHTS", DF_CONFIG_STR, AT(intent_weights), NULL, 1, 1024, 0, NULL,
     "weight file of the embedded model; default: ../share/dealflow/intent.weights beside the program"},
    {"JWKS_FILE", DF_CONFIG_STR, AT(jwks_file), NULL, 1, 1024, 0, NULL,
     "JWK set with the public keys for ES256 and RS256 tokens; read anew on SIGHUP"},
    {"JWT_SECRET", DF_CONFIG_STR, AT(jwt_secret), NULL, 32, 1024, DF_CONFIG_SECRET, NULL,
     "secret of HS256 tokens, 32 characters or more"},
    {"LOG_LEVEL", DF_CONFIG_STR, AT(log_level), "info", 4, 5, 0, NULL,
     "debug, info, warn or error"},
    {"METRICS_LISTEN", DF_CONFIG_STR, AT(metrics_listen), NULL, 1, 100, 0, NULL,
     "where to serve /metrics and /healthz: a path, or 127.0.0.1:port; unset: nowhere"},
    {"NAVIGATION_GAP_MS", DF_CONFIG_INT, AT(navigation_gap_ms), "500", 0, 60000, 0, NULL,
     "pause between two page loads, in milliseconds"},
    {"NAVIGATION_TIMEOUT_MS", DF_CONFIG_INT, AT(navigation_timeout_ms), "45000", 1000, 600000, 0, NULL,
     "deadline for one page load, in milliseconds"},
    {"OUTBOX_MAX_AGE_H", DF_CONFIG_INT, AT(outbox_max_age_h), "168", 1, 8760, 0, NULL,
     "undelivered messages older than this are given up with an alarm, in hours"},
    {"OUTBOX_MAX_MB", DF_CONFIG_INT, AT(outbox_max_mb), "512", 1, 1048576, 0, NULL,
     "largest outbox file, in MB"},
    {"OUTBOX_MAX_ROWS", DF_CONFIG_INT, AT(outbox_max_rows), "1000000", 100, 1000000000, 0, NULL,
     "undelivered messages kept at most"},
    {"OUTBOX_PATH", DF_CONFIG_STR, AT(outbox_path), NULL, 1, 1024, 0, NULL,
     "SQLite file of messages on their way; default: outbox.sqlite in the state folder"},
    {"PAGE_HEAP_MB", DF_CONFIG_INT, AT(page_heap_mb), "512", 32, 16384, 0, NULL,
     "script memory of one page, in MB; a page that needs more is opened anew"},
    {"PLATFORM", DF_CONFIG_STR, AT(platform), "whatnot", 1, 64, 0, NULL,
     "platform name that is sent along with each message"},
    {"POLL_INTERVAL_MS", DF_CONFIG_INT, AT(poll_interval_ms), "1500", 100, 60000, 0, NULL,
     "how often the page is looked at where nothing pushes, in milliseconds: the last resort"},
    {"PORT", DF_CONFIG_INT, AT(port), "3001", 0, 65535, 0, NULL,
     "port of the HTTP API and the WebSocket; 0: any free one, which the log names"},
    {"QUIET_AFTER_MS", DF_CONFIG_INT, AT(quiet_after_ms), "60000", 1000, 86400000, 0, NULL,
     "a live stream without chat for this long is called quiet, in milliseconds"},
    {"RECYCLE_AFTER_MS", DF_CONFIG_INT, AT(recycle_after_ms), "14400000", 10000, 604800000, 0, NULL,
     "a page of this age is replaced by a fresh one, in milliseconds"},
    {"RECYCLE_TAB_MB", DF_CONFIG_INT, AT(recycle_tab_mb), "250", 0, 65536, 0, NULL,
     "a page of this size is replaced by a fresh one, in MB; 0: never for its size"},
    {"ROTATE_AFTER_MS", DF_CONFIG_INT, AT(rotate_after_ms), "30000", 1000, 86400000, 0, NULL,
     "with autoDiscover: another show is tried after this time without any life, in milliseconds"},
    {"SCRAPER_ALLOWED_HOSTS", DF_CONFIG_STR, AT(allowed_hosts), "whatnot.com", 1, 4096, 0, NULL,
     "hosts that may be opened, with their subdomains; a comma list, entries may name a port"},
    {"SCRAPER_ALLOW_PRIVATE", DF_CONFIG_CHOICE, AT(allow_private), "off", 0, 0, 0, "off|on",
     "may pages come from private and loopback addresses, and by http; for tests only"},
    {"SCRAPER_BACKLOG", DF_CONFIG_CHOICE, AT(backlog), "on", 0, 0, 0, "off|on",
     "report the lines that were there before the watching began"},
    {"SCRAPER_BASE_URL", DF_CONFIG_STR, AT(base_url), BASE_URL, 8, 1024, 0, NULL,
     "page where live shows are looked for; its host must be an allowed one"},
    {"SCRAPER_DRAW", DF_CONFIG_CHOICE, AT(draw), "auto", 0, 0, 0, "auto|never|always",
     "draw pages; auto: only while they are read by their document"},
    {"SCRAPER_LOCAL_PAGE", DF_CONFIG_STR, AT(local_page), NULL, 8, 1024, 0, NULL,
     "the one private page that may be opened all the same, http://127.0.0.1:8080/demo/ for the demo"},
    {"SCRAPER_MAX_STREAMS", DF_CONFIG_INT, AT(streams_max), "10", 1, 1000, 0, NULL,
     "streams watched at once; one more is answered 503"},
    {"SCRAPER_MEMORY_MAX_MB", DF_CONFIG_INT, AT(memory_max_mb), "0", 0, 1048576, 0, NULL,
     "no further stream when daemon and browser use this much, in MB of PSS; 0: no limit"},
    {"SCRAPER_PROFILE_DIR", DF_CONFIG_STR, AT(profile_root), NULL, 1, 1024, 0, NULL,
     "folder for the browser's temporary profiles; default: profiles in the state folder"},
    {"SCRAPER_RULES_FILE", DF_CONFIG_STR, AT(rules_file), NULL, 1, 1024, 0, NULL,
     "rules that tell how a page is built, instead of the built-in ones; read anew on SIGHUP"},
    {"SCRAPER_SOURCE", DF_CONFIG_CHOICE, AT(source), "auto", 0, 0, 0, "auto|frames|document|polling",
     "where chat is read: the page's socket, its document, by looking; auto: the best that works"},
    {"SCREENSHOT_DIR", DF_CONFIG_STR, AT(screenshot_dir), NULL, 1, 1024, 0, NULL,
     "folder for saved pictures; default: screenshots in the state folder"},
    {"SCREENSHOT_KEEP", DF_CONFIG_INT, AT(screenshot_keep), "10", 1, 10000, 0, NULL,
     "pictures kept; the oldest makes room"},
    {"START_WAIT_MS", DF_CONFIG_INT, AT(start_wait_ms), "10000", 0, 120000, 0, NULL,
     "how long start-monitoring waits for the stream to be live, in milliseconds"},
    {"SUPABASE_SERVICE_ROLE_KEY", DF_CONFIG_STR, AT(service_key), NULL, 16, 4096, DF_CONFIG_SECRET, NULL,
     "key for the function; who shows it to the API may do everything"},
    {"SUPABASE_URL", DF_CONFIG_STR, AT(supabase_url), NULL, 8, 1024, 0, NULL,
     "server with /functions/v1 and /rest/v1; unset: messages are shown but not delivered"},
    {"USER_AGENT", DF_CONFIG_STR, AT(user_agent), NULL, 1, 512, 0, NULL,
     "User-Agent the browser sends; default: the browser's own"},
};
/* clang-format on */
const size_t scr_config_key_count = sizeof scr_config_keys / sizeof scr_config_keys[0];

/* --- defaults that depend on the surroundings ------------------------------------------------ */

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

/* Where this user keeps state: systemd's folder, else the desktop convention, else the system's. */
static void state_folder(char *out, size_t out_size)
{
    const char *systemd = env("STATE_DIRECTORY"), *xdg = env("XDG_STATE_HOME"), *home = env("HOME");

    if (systemd != NULL) /* may be a list; the first is ours */
        (void)snprintf(out, out_size, "%.*s", (int)strcspn(systemd, ":"), systemd);
    else if (xdg != NULL)
        (void)snprintf(out, out_size, "%s/dealflow", xdg);
    else if (home != NULL && strcmp(home, "/") != 0)
        (void)snprintf(out, out_size, "%s/.local/state/dealflow", home);
    else
        (void)snprintf(out, out_size, "/var/lib/dealflow");
}

static enum df_code fill(char **field, const char *folder, const char *name, struct df_error *err)
{
    if (*field != NULL)
        return DF_OK;
    if (asprintf(field, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name) < 0) {
        *field = NULL;
        return df_error_set(err, DF_ENOMEM, "settings: out of memory");
    }
    return DF_OK;
}

static enum df_code fill_all(struct scr_config *config, struct df_error *err)
{
    char state[900];

    state_folder(state, sizeof state);
    if (config->bind != NULL && strcmp(config->bind, "localhost") == 0) {
        free(config->bind);
        config->bind = NULL;
        if (fill(&config->bind, "", "127.0.0.1", err) != DF_OK)
            return DF_ENOMEM;
    }
    config->save_screenshot &= 1; /* false|true|0|1 */
    if (fill(&config->bind, "", env("RENDER") != NULL ? "0.0.0.0" : "127.0.0.1", err) != DF_OK ||
        fill(&config->outbox_path, state, "outbox.sqlite", err) != DF_OK ||
        fill(&config->profile_root, state, "profiles", err) != DF_OK ||
        fill(&config->screenshot_dir, state, "screenshots", err) != DF_OK)
        return DF_ENOMEM;
    return DF_OK;
}

/* --- what must fit together ------------------------------------------------------------------ */

/* False for what is no IP address. */
static bool is_ip(const char *text, bool *is_loopback)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, text, &v4) == 1) {
        *is_loopback = ntohl(v4.s_addr) >> 24 == 127;
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&v6);
        return true;
    }
    return false;
}

static enum df_code check_callers(struct scr_config *config, struct df_error *err)
{
    bool is_loopback = false;

    if (!is_ip(config->bind, &is_loopback))
        return df_error_set(err, DF_EINPUT, "BIND: \"%.40s\" is no IP address", config->bind);
    if (config->api_auth == SCR_AUTH_OFF && !is_loopback)
        return df_error_set(err, DF_EINPUT,
                            "API_AUTH=off with BIND=%s would let everybody in: keep BIND on "
                            "127.0.0.1, or let callers show a token",
                            config->bind);
    if (config->api_auth == SCR_AUTH_OFF)
        return DF_OK;
    config->api_auth = SCR_AUTH_REQUIRED;
    if (config->service_key == NULL && config->jwt_secret == NULL && config->jwks_file == NULL &&
        config->api_keys == NULL)
        return df_error_set(err, DF_EINPUT,
                            "nobody could call the API: set SUPABASE_SERVICE_ROLE_KEY (or "
                            "JWT_SECRET, JWKS_FILE, API_KEYS)%s",
                            is_loopback ? ", or API_AUTH=off for a local try" : "");
    return DF_OK;
}

static enum df_code check_urls(const struct scr_config *config, struct df_error *err)
{
    const struct scr_address_policy policy = {.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON};
    struct scr_address address;

    if (config->local_page != NULL && scr_address_check_local_page(config->local_page, err) != DF_OK)
        return df_error_wrap(err, "SCRAPER_LOCAL_PAGE");
    if (config->supabase_url != NULL) {
        if (strncmp(config->supabase_url, "https://", 8) != 0 &&
            strncmp(config->supabase_url, "http://", 7) != 0)
            return df_error_set(err, DF_EINPUT, "SUPABASE_URL must begin with https:// or http://");
        if (config->service_key == NULL)
            return df_error_set(err, DF_EINPUT,
                                "SUPABASE_URL needs SUPABASE_SERVICE_ROLE_KEY, or nothing could "
                                "be delivered");
    }
    /* Who allows other hosts need not know of the index page before shows are looked for there. */
    if (strcmp(config->base_url, BASE_URL) != 0 &&
        scr_address_parse(&address, config->base_url, strlen(config->base_url), &policy, err) !=
            DF_OK)
        return df_error_wrap(err, "SCRAPER_BASE_URL");
    return DF_OK;
}

static enum df_code check(struct scr_config *config, struct df_error *err)
{
    enum df_log_level level;

    if (!df_log_level_parse(config->log_level, &level))
        return df_error_set(err, DF_EINPUT, "LOG_LEVEL: \"%s\" is not debug, info, warn or error",
                            config->log_level);
    if (config->delivery_per_stream > config->delivery_parallel)
        return df_error_set(err, DF_EINPUT,
                            "DELIVERY_PER_STREAM must not be above DELIVERY_PARALLEL");
    enum df_code rc = check_callers(config, err);
    return rc == DF_OK ? check_urls(config, err) : rc;
}

enum df_code scr_config_load(struct scr_config *out, struct df_error *err)
{
    memset(out, 0, sizeof *out);
    const char *path = env("DEALFLOW_ENV_FILE");
    enum df_code rc =
        path == NULL ? df_config_load(out, scr_config_keys, scr_config_key_count, err)
                     : df_config_load_file(out, scr_config_keys, scr_config_key_count, path, err);
    if (rc == DF_OK)
        rc = fill_all(out, err);
    if (rc == DF_OK)
        rc = check(out, err);
    if (rc != DF_OK)
        scr_config_release(out);
    return rc;
}

void scr_config_release(struct scr_config *config)
{
    df_config_release(config, scr_config_keys, scr_config_key_count);
}
