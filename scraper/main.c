/* scraper/main.c - dealflow-scraper: arguments, start, signals, end. */
#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "scraper/monitor.h"
#include "scraper/probe.h"
#include "shared/log.h"

#define PROGRAM "dealflow-scraper"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 }; /* sysexits.h */
enum { RULES_KEPT = 64, BROWSER_CLOSE_MS = 3000 };

struct program {
    struct scr_config config;
    struct scr_loop *loop;
    struct scr_browser *browser;
    struct scr_delivery *delivery;
    struct scr_access *access;
    struct scr_server *server;
    struct scr_monitor *monitor;
    struct df_intent_model *model;
    struct scr_rules *rules[RULES_KEPT]; /* pages keep those they were opened with */
    size_t rules_count;
    struct scr_watch signals;
    int status;
};

static void print_help(FILE *out)
{
    (void)fprintf(out,
                  "usage: " PROGRAM
                  " [--help | --version | --check | --print-settings | --probe URL]\n\n"
                  "Watches live-stream pages in one headless Chromium: tells WebSocket clients each chat\n"
                  "line within milliseconds and delivers it to the function exactly once.\n"
                  "--probe opens one page, says how its chat can be read, and saves a picture.\n"
                  "SIGHUP reads the rules file and JWKS_FILE anew; SIGTERM ends, what is watched is\n"
                  "watched again after the next start.\n\n"
                  "Settings, from the environment:\n");
    df_config_print_help(out, scr_config_keys, scr_config_key_count);
}

/* KEY=default lines for deploy/env.example. */
static void print_settings(void)
{
    for (size_t i = 0; i < scr_config_key_count; i++) {
        const struct df_config_key *key = &scr_config_keys[i];
        printf("# %s", key->help);
        if (key->choices != NULL)
            printf(" (%s)", key->choices);
        printf("\n#%s=%s\n", key->name, key->fallback == NULL ? "" : key->fallback);
    }
}

static int fail(const struct df_error *err)
{
    (void)fprintf(stderr, PROGRAM ": %s\n", err->msg);
    return EXIT_CONFIG;
}

/* --- parts ----------------------------------------------------------------------------------- */

static enum df_code load_config(struct program *p, struct df_error *err)
{
    enum df_log_level level;

    enum df_code rc = scr_config_load(&p->config, err);
    if (rc != DF_OK)
        return rc;
    if (!df_log_level_parse(p->config.log_level, &level))
        return df_error_set(err, DF_EINPUT, "LOG_LEVEL: use debug, info, warn or error");
    df_log_set_level(level);
    return DF_OK;
}

static enum df_code load_rules(struct program *p, struct df_error *err)
{
    if (p->rules_count == RULES_KEPT)
        return df_error_set(err, DF_EBUSY, "rules were read %d times: restart to read them again",
                            RULES_KEPT);
    enum df_code rc = scr_rules_load(&p->rules[p->rules_count], p->config.rules_file, err);
    if (rc == DF_OK)
        p->rules_count++;
    return rc;
}

static enum df_code open_model(struct program *p, struct df_error *err)
{
    char exe[512], path[600];

    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n < 0 ? 0 : n] = '\0';
    for (int up = 0; up < 2; up++) { /* .../bin/program -> ... */
        char *slash = strrchr(exe, '/');
        if (slash != NULL)
            *slash = '\0';
    }
    (void)snprintf(path, sizeof path, "%s/share/dealflow/intent.weights", exe);
    enum df_code rc = df_intent_model_open(
        &p->model, p->config.intent_weights == NULL ? path : p->config.intent_weights, err);
    if (rc != DF_OK)
        (void)df_error_wrap(err, "INTENT_WEIGHTS");
    return rc;
}

/* --- signals --------------------------------------------------------------------------------- */

static void reload(struct program *p)
{
    struct df_error err = {0};
    struct scr_access *access = NULL;
    char quoted[256];

    enum df_code rc = scr_access_new(&access, &p->config, &err);
    if (rc == DF_OK)
        rc = load_rules(p, &err);
    if (rc != DF_OK) {
        scr_access_free(access);
        df_log(DF_LOG_ERROR, "reload_failed", "error=%s effect=\"old rules and keys stay\"",
               df_log_quote(quoted, sizeof quoted, err.msg));
        return;
    }
    scr_server_set_access(p->server, access);
    scr_access_free(p->access);
    p->access = access;
    scr_monitor_set_rules(p->monitor, p->rules[p->rules_count - 1]);
    df_log(DF_LOG_INFO, "rules_and_keys_reloaded", "%s", "");
}

static void on_signal(void *arg, uint32_t events)
{
    struct program *p = arg;
    struct signalfd_siginfo info;

    (void)events;
    if (read(p->signals.fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        reload(p);
        return;
    }
    df_log(DF_LOG_INFO, "stop_asked", "signal=%u", info.ssi_signo);
    scr_server_stop(p->server);
    /* From here on a second signal ends the process at once, as it does by default. */
    scr_loop_unwatch(p->loop, &p->signals);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static enum df_code take_signals(struct program *p, struct df_error *err)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    p->signals = (struct scr_watch){
        .fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .on_ready = on_signal, .arg = p};
    if (p->signals.fd < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "signalfd: %s", strerror(errno));
    return scr_loop_watch(p->loop, &p->signals, EPOLLIN, err);
}

/* --- run ------------------------------------------------------------------------------------- */

static enum df_code start(struct program *p, struct df_error *err)
{
    struct scr_server_handlers handlers;

    enum df_code rc = load_rules(p, err);
    if (rc == DF_OK)
        rc = open_model(p, err);
    if (rc == DF_OK)
        rc = scr_loop_new(&p->loop, err);
    if (rc == DF_OK)
        rc = take_signals(p, err); /* before the first thread starts */
    if (rc == DF_OK)
        rc = scr_browser_new(&p->browser, p->loop, &p->config, err);
    if (rc == DF_OK)
        rc = scr_access_new(&p->access, &p->config, err);
    if (rc == DF_OK)
        rc = scr_delivery_new(&p->delivery, &p->config, err);
    if (rc != DF_OK)
        return rc;
    const struct scr_monitor_parts parts = {.loop = p->loop,
                                            .config = &p->config,
                                            .browser = p->browser,
                                            .delivery = p->delivery,
                                            .rules = p->rules[p->rules_count - 1],
                                            .model = p->model};
    rc = scr_monitor_new(&p->monitor, &parts, err);
    if (rc != DF_OK)
        return rc;
    scr_monitor_handlers(p->monitor, &handlers);
    rc = scr_server_new(&p->server, p->loop, &p->config, p->access, &handlers, err);
    if (rc == DF_OK)
        scr_monitor_set_server(p->monitor, p->server);
    return rc;
}

static void say_started(const struct program *p)
{
    struct scr_server_stats stats;

    scr_server_stats_get(p->server, &stats);
    df_log(DF_LOG_INFO, "started", "version=%s commit=%s bind=%s port=%d auth=%s browser=%s",
           DF_VERSION, DF_COMMIT, p->config.bind, stats.port,
           p->config.api_auth == SCR_AUTH_OFF ? "off" : "required",
           scr_browser_facts(p->browser)->executable);
    if (p->config.api_auth == SCR_AUTH_OFF)
        df_log(DF_LOG_WARN, "api_auth_off", "%s",
               "effect=\"anybody on this machine may start streams and read chat\"");
}

/* The clients go first, then the pages, then the outbox gets its time; the browser last. */
static void release(struct program *p)
{
    scr_monitor_free(p->monitor);
    scr_delivery_free(p->delivery, p->config.drain_ms);
    scr_browser_free(p->browser, BROWSER_CLOSE_MS);
    scr_server_free(p->server);
    scr_access_free(p->access);
    df_intent_model_close(p->model);
    for (size_t i = 0; i < p->rules_count; i++)
        scr_rules_free(p->rules[i]);
    if (p->loop != NULL)
        scr_loop_unwatch(p->loop, &p->signals);
    if (p->signals.fd > STDIN_FILENO)
        (void)close(p->signals.fd);
    scr_loop_free(p->loop);
    scr_config_release(&p->config);
}

static int run(struct program *p)
{
    struct df_error err = {0};
    int status = 0;

    if (start(p, &err) != DF_OK) {
        status = fail(&err);
    } else {
        size_t resumed = scr_monitor_resume(p->monitor);
        say_started(p);
        if (resumed > 0)
            df_log(DF_LOG_INFO, "sessions_resumed", "count=%zu", resumed);
        scr_server_run(p->server);
    }
    release(p);
    if (status == 0)
        df_log(DF_LOG_INFO, "stopped", "%s", "");
    return status;
}

static int probe(struct program *p, const char *url)
{
    struct df_error err = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    if (load_rules(p, &err) != DF_OK || open_model(p, &err) != DF_OK)
        return fail(&err);
    df_log_set_level(DF_LOG_WARN); /* stdout tells the story */
    int status = scr_probe_run(&p->config, p->rules[0], p->model, url);
    release(p);
    return status;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct df_error err = {0};
    const char *option = argc > 1 ? argv[1] : "";

    df_log_init(PROGRAM, DF_LOG_INFO);
    if (strcmp(option, "--help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(option, "--version") == 0) {
        printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
        return 0;
    }
    if (strcmp(option, "--print-settings") == 0) {
        print_settings();
        return 0;
    }
    bool is_check = strcmp(option, "--check") == 0, is_probe = strcmp(option, "--probe") == 0;
    if ((option[0] != '\0' && !is_check && !is_probe) || (is_probe && argc != 3) ||
        (!is_probe && argc > 2)) {
        (void)fprintf(stderr, PROGRAM ": wrong arguments; see " PROGRAM " --help\n");
        return EXIT_USAGE;
    }
    (void)mallopt(M_ARENA_MAX, 1); /* two threads: one arena keeps memory together */
    if (load_config(&p, &err) != DF_OK)
        return fail(&err);
    if (is_check) {
        df_config_print_values(stdout, &p.config, scr_config_keys, scr_config_key_count);
        scr_config_release(&p.config);
        return 0;
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        (void)fprintf(stderr, PROGRAM ": cannot initialise libcurl\n");
        return 1;
    }
    int status = is_probe ? probe(&p, argv[2]) : run(&p);
    curl_global_cleanup();
    return status;
}
