/* fcgi/main.c - monitor-realtime-stream: arguments, start, signals, drain. */
#include <curl/curl.h>
#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fcgi/admin.h"
#include "fcgi/app.h"
#include "fcgi/background.h"
#include "fcgi/cgi.h"
#include "fcgi/figures.h"
#include "fcgi/listen.h"
#include "fcgi/metrics.h"
#include "fcgi/pipeline.h"
#include "fcgi/webhooks.h"
#include "fcgi/weights.h"
#include "shared/clock.h"
#include "shared/log.h"

#define PROGRAM "monitor-realtime-stream"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 }; /* sysexits.h */

struct program {
    struct mrs_app app;
    struct mrs_runtime
        *first; /* the generation we started with: owns strings that threads borrow */
    struct mrs_admin *admin;
    struct mrs_background *background;
    struct mrs_webhooks *webhooks;
    struct mrs_service service;
    struct mrs_loop *loops;
    int64_t loop_count;
    enum mrs_front front;
    int listen_fd;
    const char *socket_path;
};

static void print_help(FILE *out)
{
    (void)fprintf(out,
                  "usage: " PROGRAM " [--help | --version | --check | --print-settings]\n\n"
                  "Stores a chat line, judges whether its author wants to buy, captures the sale.\n"
                  "FastCGI behind nginx (own socket, spawn-fcgi, systemd), or plain CGI.\n"
                  "SIGHUP reads DEALFLOW_ENV_FILE and JWKS_FILE anew, SIGTERM drains.\n\n"
                  "Settings, from the environment:\n");
    df_config_print_help(out, mrs_config_keys, mrs_config_key_count);
}

static int usage_error(const char *argument)
{
    (void)fprintf(stderr, PROGRAM ": unknown argument '%s'; see " PROGRAM " --help\n", argument);
    return EXIT_USAGE;
}

/* KEY=default lines for deploy/env.example. */
static void print_settings(void)
{
    for (size_t i = 0; i < mrs_config_key_count; i++) {
        const struct df_config_key *key = &mrs_config_keys[i];
        printf("# %s", key->help);
        if (key->choices != NULL)
            printf(" (%s)", key->choices);
        printf("\n#%s=%s\n", key->name, key->fallback == NULL ? "" : key->fallback);
    }
}

static int check_settings(void)
{
    struct mrs_runtime *runtime = NULL;
    struct mrs_app app = {0};
    struct df_error err = {0};

    if (mrs_runtime_new(&runtime, NULL, &err) != DF_OK) {
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
        return EXIT_CONFIG;
    }
    df_config_print_values(stdout, &runtime->config, mrs_config_keys, mrs_config_key_count);
    pthread_mutex_init(&app.lock, NULL);
    mrs_runtime_put(&app, runtime);
    return 0;
}

/* --- start ----------------------------------------------------------------------------------- */

static enum df_code open_model(struct mrs_app *app, struct df_error *err)
{
    const struct mrs_runtime *rt = app->runtime;

    if (rt->analyzer == MRS_ANALYZE_OFF)
        return DF_OK;
    return mrs_weights_open(&app->model, rt->config.intent_weights, err);
}

static enum df_code open_gateway(struct mrs_app *app, struct df_error *err)
{
    struct mrs_gateway_options options;
    const struct mrs_runtime *rt = app->runtime;

    if (rt->analyzer != MRS_ANALYZE_GATEWAY && rt->analyzer != MRS_ANALYZE_HYBRID)
        return DF_OK;
    mrs_gateway_options_from(&options, &rt->config);
    return mrs_gateway_new(&app->gateway, &options, err);
}

static void raise_file_limit(int64_t connections)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)connections * 2 + 256; /* each may need a model call, and some */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        df_log(DF_LOG_WARN, "file_limit_low", "limit=%llu wanted=%llu",
               (unsigned long long)limit.rlim_cur, (unsigned long long)wanted);
}

static void warn_about_settings(const struct mrs_runtime *rt)
{
    if (rt->config.jwt_verify == MRS_OFF)
        df_log(DF_LOG_WARN, "jwt_verify_off", "%s", "effect=\"anybody counts as anon\"");
    if (rt->config.anon_writes == MRS_ALLOW)
        df_log(DF_LOG_WARN, "anon_writes_allowed", "%s",
               "effect=\"the anon key may post to any session\" hint=\"ANON_WRITES=deny\"");
}

static void block_signals(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    /* FCGX_Init may have installed its own handlers for these two. */
    (void)signal(SIGUSR1, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
}

static enum df_code start(struct program *p, struct df_error *err)
{
    struct mrs_app *app = &p->app;
    const struct mrs_config *config;

    enum df_code rc = mrs_runtime_new(&app->runtime, NULL, err);
    if (rc != DF_OK)
        return rc;
    p->first = mrs_runtime_get(app);
    config = &p->first->config;
    enum df_log_level level;
    if (!df_log_level_parse(config->log_level, &level))
        return df_error_set(err, DF_EINPUT, "LOG_LEVEL: use debug, info, warn or error");
    df_log_set_level(level);
    app->traffic.connections_max = config->connections_max;
    raise_file_limit(config->connections_max);
    app->traffic.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (app->traffic.stop_fd < 0)
        return df_error_set(err, DF_ENOMEM, "eventfd: %s", strerror(errno));
    rc = mrs_listen_front(&p->front, &p->listen_fd, &p->socket_path, config->fcgi_socket,
                          config->fcgi_socket_mode, err);
    if (rc != DF_OK && config->fcgi_socket != NULL)
        return df_error_wrap(err, "FCGI_SOCKET");
    if (rc == DF_OK)
        rc = open_model(app, err);
    if (rc == DF_OK)
        mrs_runtime_set_band(app->runtime, app->model);
    if (rc == DF_OK)
        rc = open_gateway(app, err);
    if (rc == DF_OK)
        rc = mrs_inflight_new(&app->inflight, err);
    if (rc != DF_OK)
        return rc;
    const struct mrs_store_options store = {
        .conninfo = config->database_url,
        .role = strcmp(config->database_role, "none") == 0 ? NULL : config->database_role,
        .timeout_ms = config->store_timeout_ms,
        .queue_max = config->store_queue_max,
        .batch_max = config->store_batch_max,
        .writers = p->front == MRS_FRONT_CGI ? 1 : config->store_writers,
    };
    rc = mrs_store_new(&app->store, &store, err);
    if (rc != DF_OK)
        return rc;
    mrs_pipeline_service(&p->service, app);
    p->loop_count = p->front == MRS_FRONT_CGI ? 1 : config->workers;
    if (p->front == MRS_FRONT_CGI)
        return mrs_loop_new_single(&p->loops, &p->service, &app->traffic, err);
    if (config->metrics_listen != NULL) {
        struct mrs_admin_source source;
        mrs_figures_source(&source, app);
        rc = mrs_admin_start(&p->admin, &source, config->metrics_listen, err);
    }
    if (rc != DF_OK)
        return df_error_wrap(err, "METRICS_LISTEN");
    if (rc == DF_OK)
        rc = mrs_background_start(&p->background, app, err);
    if (rc == DF_OK)
        rc = mrs_webhooks_start(&p->webhooks, app, err);
    if (rc == DF_OK)
        rc = mrs_loops_start(&p->loops, p->loop_count, &p->service, &app->traffic, p->listen_fd,
                             err);
    return rc;
}

/* --- run ------------------------------------------------------------------------------------- */

static void reload(struct program *p)
{
    struct mrs_runtime *next = NULL;
    struct mrs_gateway_options options;
    struct df_error err = {0};
    char quoted[256];

    enum df_code rc = mrs_runtime_new(&next, p->app.runtime, &err);
    if (rc == DF_OK && p->app.gateway != NULL) {
        mrs_gateway_options_from(&options, &next->config);
        rc = mrs_gateway_reload(p->app.gateway, &options, &err);
    }
    if (rc == DF_OK &&
        ((next->analyzer != MRS_ANALYZE_OFF && p->app.model == NULL) ||
         ((next->analyzer == MRS_ANALYZE_GATEWAY || next->analyzer == MRS_ANALYZE_HYBRID) &&
          p->app.gateway == NULL)))
        rc = df_error_set(&err, DF_EINPUT, "this change of ANALYZER needs a restart");
    if (rc != DF_OK) {
        df_log(DF_LOG_ERROR, "reload_failed", "error=%s effect=\"old settings stay\"",
               df_log_quote(quoted, sizeof quoted, err.msg));
        if (next != NULL)
            mrs_runtime_put(&p->app, next);
        return;
    }
    enum df_log_level level;
    if (df_log_level_parse(next->config.log_level, &level))
        df_log_set_level(level);
    mrs_runtime_set_band(next, p->app.model);
    mrs_runtime_give(&p->app, next);
    mrs_count(MRS_COUNT_RELOADS, 1);
    df_log(DF_LOG_INFO, "settings_reloaded", "%s", "");
}

static void wait_for_end(struct program *p, const sigset_t *signals)
{
    for (;;) {
        int signo = sigwaitinfo(signals, NULL);
        if (signo == SIGHUP) {
            reload(p);
        } else if (signo > 0) {
            df_log(DF_LOG_INFO, "drain_started", "signal=%d", signo);
            return;
        }
    }
}

/* Lets running requests end; a second signal ends everything at once. */
static bool drain(struct program *p, const sigset_t *signals)
{
    uint64_t one = 1;
    int64_t deadline_ms = df_clock_mono_ms() + p->first->config.drain_ms;

    mrs_notify_supervisor("STOPPING=1");
    if (p->socket_path != NULL)
        (void)unlink(p->socket_path); /* new connections are refused from here on */
    if (write(p->app.traffic.stop_fd, &one, sizeof one) < 0)
        return false;
    while (!mrs_loops_ended(p->loops, p->loop_count)) {
        const struct timespec pause = {.tv_nsec = 2000000};
        int signo = sigtimedwait(signals, NULL, &pause);
        if (signo == SIGTERM || signo == SIGINT || df_clock_mono_ms() > deadline_ms) {
            df_log(DF_LOG_WARN, "drain_cut_short", "open=%lld",
                   (long long)atomic_load(&p->app.traffic.active_requests));
            return false;
        }
    }
    return true;
}

static void release(struct program *p)
{
    const uint64_t one = 1;
    /* After a start that failed half-way the threads that do run must hear that it is over. */
    if (p->app.traffic.stop_fd >= 0 && write(p->app.traffic.stop_fd, &one, sizeof one) < 0)
        df_log(DF_LOG_WARN, "stop_failed", "errno=%d", errno);
    mrs_background_stop(p->background);
    mrs_webhooks_stop(p->webhooks);
    mrs_admin_stop(p->admin);
    mrs_store_free(p->app.store);
    mrs_gateway_free(p->app.gateway);
    /* Last: a writer may have posted its answer and still be on its way out of mrs_loop_post. */
    mrs_loops_free(p->loops, p->loop_count);
    mrs_inflight_free(p->app.inflight);
    df_intent_model_close(p->app.model);
    if (p->app.runtime != NULL)
        mrs_runtime_put(&p->app, p->app.runtime);
    if (p->first != NULL)
        mrs_runtime_put(&p->app, p->first);
    if (p->listen_fd > STDIN_FILENO)
        close(p->listen_fd);
    if (p->app.traffic.stop_fd > STDIN_FILENO)
        close(p->app.traffic.stop_fd);
    pthread_mutex_destroy(&p->app.lock);
}

static int run_fastcgi(struct program *p, const sigset_t *signals)
{
    df_log(DF_LOG_INFO, "started", "version=%s commit=%s workers=%lld", DF_VERSION, DF_COMMIT,
           (long long)p->first->config.workers);
    warn_about_settings(p->first);
    mrs_notify_supervisor("READY=1");
    wait_for_end(p, signals);
    bool clean = drain(p, signals);
    if (!clean)
        _exit(1); /* threads are still at work: nothing may be freed under them */
    df_log(DF_LOG_INFO, "stopped", "%s", "");
    return 0;
}

int main(int argc, char **argv)
{
    struct program p = {.listen_fd = -1, .app = {.traffic = {.stop_fd = -1}}};
    struct df_error err = {0};
    sigset_t signals;

    df_log_init(PROGRAM, DF_LOG_INFO);
    if (argc > 1) {
        if (strcmp(argv[1], "--help") == 0) {
            print_help(stdout);
            return 0;
        }
        if (strcmp(argv[1], "--version") == 0) {
            printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
            return 0;
        }
        if (strcmp(argv[1], "--print-settings") == 0) {
            print_settings();
            return 0;
        }
        if (strcmp(argv[1], "--check") == 0)
            return check_settings();
        return usage_error(argv[1]);
    }
    /* A handful of threads: few arenas keep memory together. */
    (void)mallopt(M_ARENA_MAX, 4);
    pthread_mutex_init(&p.app.lock, NULL);
    if (FCGX_Init() != 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        (void)fprintf(stderr, PROGRAM ": cannot initialise libfcgi and libcurl\n");
        return 1;
    }
    block_signals(&signals);
    int status = EXIT_CONFIG;
    if (start(&p, &err) != DF_OK)
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
    else if (p.front == MRS_FRONT_CGI) {
        mrs_cgi_run(&p.service, p.loops);
        status = 0;
    } else {
        status = run_fastcgi(&p, &signals);
    }
    release(&p);
    curl_global_cleanup();
    return status;
}
