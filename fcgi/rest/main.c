/* fcgi/rest/main.c - dealflow-rest: arguments, start, signals, drain. */
#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fcgi/admin.h"
#include "fcgi/listen.h"
#include "fcgi/rest/service.h"
#include "shared/clock.h"
#include "shared/log.h"

#define PROGRAM "dealflow-rest"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 }; /* sysexits.h */

struct program {
    struct rst_app app;
    struct mrs_service service;
    struct mrs_loop *loops;
    struct mrs_admin *admin;
    int listen_fd;
    const char *socket_path;
};

static void print_help(FILE *out)
{
    (void)fprintf(
        out, "usage: " PROGRAM " [--help | --version | --check | --print-settings]\n\n"
             "Serves /rest/v1 behind nginx by FastCGI: the part of PostgREST's interface that\n"
             "supabase-js needs to read and write tables. Every request runs under the role and\n"
             "the claims of its caller, so grants and row level security decide.\n"
             "SIGHUP reads JWKS_FILE and the keys anew, SIGTERM drains.\n\n"
             "Settings, from the environment:\n");
    df_config_print_help(out, rst_config_keys, rst_config_key_count);
}

/* KEY=default lines for deploy/env.example. */
static void print_settings(void)
{
    for (size_t i = 0; i < rst_config_key_count; i++) {
        const struct df_config_key *key = &rst_config_keys[i];
        printf("# %s", key->help);
        if (key->choices != NULL)
            printf(" (%s)", key->choices);
        printf("\n#%s=%s\n", key->name, key->fallback == NULL ? "" : key->fallback);
    }
}

static enum df_code make_keys(struct mrs_keys **out, const struct rst_config *config,
                              struct df_error *err)
{
    const struct mrs_key_settings settings = {.jwt_secret = config->jwt_secret,
                                              .jwks_file = config->jwks_file,
                                              .api_keys = config->api_keys};
    return mrs_keys_new(out, &settings, err);
}

static int check_settings(void)
{
    struct rst_config config;
    struct mrs_keys *keys = NULL;
    struct df_error err = {0};

    enum df_code rc = rst_config_load(&config, &err);
    if (rc == DF_OK) {
        rc = make_keys(&keys, &config, &err);
        if (rc == DF_OK)
            df_config_print_values(stdout, &config, rst_config_keys, rst_config_key_count);
        mrs_keys_free(keys);
        rst_config_release(&config);
    }
    if (rc != DF_OK)
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
    return rc == DF_OK ? 0 : EXIT_CONFIG;
}

/* --- the admin door -------------------------------------------------------------------------- */

static void print_metrics(void *ctx, struct df_buf *out)
{
    struct rst_app *app = ctx;
    struct rst_db_figures *f = &app->figures;

    mrs_responses_print(out);
    mrs_histogram_print(&app->request_time, "request", "Time a request spent in this program", out);
    mrs_counter_print(out, "statements", "Statements sent to Postgres",
                      atomic_load(&f->statements));
    mrs_counter_print(out, "database_connects", "Connections to Postgres made",
                      atomic_load(&f->connects));
    mrs_metrics_sample(out, "database_connections", "gauge", "Connections to Postgres open",
                       (double)atomic_load(&f->connected));
    mrs_metrics_sample(out, "requests_waiting", "gauge", "Requests waiting for a connection",
                       (double)atomic_load(&f->waiting));
    mrs_metrics_sample(out, "requests_active", "gauge", "Requests being handled",
                       (double)atomic_load(&app->traffic.active_requests));
    mrs_metrics_sample(out, "connections", "gauge", "Connections from the web server",
                       (double)atomic_load(&app->traffic.connections));
}

/* Draining counts as not ready, so that a load balancer looks elsewhere. */
static bool is_ready(void *ctx)
{
    struct rst_app *app = ctx;
    struct pollfd stop = {app->traffic.stop_fd, POLLIN, 0};
    return atomic_load(&app->figures.connected) > 0 &&
           atomic_load(&app->figures.catalogs) == app->config.workers && poll(&stop, 1, 0) == 0;
}

/* --- run ------------------------------------------------------------------------------------- */

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
    struct rst_app *app = &p->app;
    enum mrs_front front;
    enum df_log_level level;

    enum df_code rc = rst_config_load(&app->config, err);
    if (rc != DF_OK)
        return rc;
    if (df_log_level_parse(app->config.log_level, &level))
        df_log_set_level(level);
    rc = make_keys(&app->keys, &app->config, err);
    if (rc != DF_OK)
        return rc;
    app->traffic.connections_max = app->config.connections_max;
    app->traffic.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (app->traffic.stop_fd < 0)
        return df_error_set(err, DF_ENOMEM, "eventfd: %s", strerror(errno));
    rc = mrs_listen_front(&front, &p->listen_fd, &p->socket_path, app->config.fcgi_socket,
                          app->config.fcgi_socket_mode, err);
    if (rc != DF_OK)
        return app->config.fcgi_socket != NULL ? df_error_wrap(err, "FCGI_SOCKET") : rc;
    if (front == MRS_FRONT_CGI)
        return df_error_set(err, DF_EINPUT,
                            "this is no CGI program: give it a socket, FCGI_SOCKET");
    if (app->config.metrics_listen != NULL) {
        const struct mrs_admin_source source = {
            .ctx = app, .print = print_metrics, .is_ready = is_ready};
        rc = mrs_admin_start(&p->admin, &source, app->config.metrics_listen, err);
        if (rc != DF_OK)
            return df_error_wrap(err, "METRICS_LISTEN");
    }
    rst_service(&p->service, app);
    return mrs_loops_start(&p->loops, app->config.workers, &p->service, &app->traffic, p->listen_fd,
                           err);
}

static void reload(struct rst_app *app)
{
    struct rst_config config;
    struct mrs_keys *next = NULL;
    struct df_error err = {0};
    enum df_log_level level;
    char quoted[256];

    enum df_code rc = rst_config_load(&config, &err);
    if (rc == DF_OK) {
        rc = make_keys(&next, &config, &err);
        if (rc == DF_OK && df_log_level_parse(config.log_level, &level))
            df_log_set_level(level);
        rst_config_release(&config);
    }
    if (rc != DF_OK) {
        df_log(DF_LOG_ERROR, "reload_failed", "error=%s effect=\"old keys stay\"",
               df_log_quote(quoted, sizeof quoted, err.msg));
        return;
    }
    pthread_rwlock_wrlock(&app->keys_lock);
    struct mrs_keys *before = app->keys;
    app->keys = next;
    pthread_rwlock_unlock(&app->keys_lock);
    mrs_keys_free(before);
    df_log(DF_LOG_INFO, "settings_reloaded", "%s", "");
}

static void wait_for_end(struct rst_app *app, const sigset_t *signals)
{
    for (;;) {
        int signo = sigwaitinfo(signals, NULL);
        if (signo == SIGHUP) {
            reload(app);
        } else if (signo > 0) {
            df_log(DF_LOG_INFO, "drain_started", "signal=%d", signo);
            return;
        }
    }
}

/* Lets running requests end; a second signal ends everything at once. */
static bool drain(struct program *p, const sigset_t *signals)
{
    const uint64_t one = 1;
    int64_t deadline_ms = df_clock_mono_ms() + p->app.config.drain_ms;

    mrs_notify_supervisor("STOPPING=1");
    if (p->socket_path != NULL)
        (void)unlink(p->socket_path); /* new connections are refused from here on */
    if (write(p->app.traffic.stop_fd, &one, sizeof one) < 0)
        return false;
    while (!mrs_loops_ended(p->loops, p->app.config.workers)) {
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

static int run(struct program *p, const sigset_t *signals)
{
    df_log(DF_LOG_INFO, "started", "version=%s commit=%s workers=%lld", DF_VERSION, DF_COMMIT,
           (long long)p->app.config.workers);
    mrs_notify_supervisor("READY=1");
    wait_for_end(&p->app, signals);
    if (!drain(p, signals))
        _exit(1); /* threads are still at work: nothing may be freed under them */
    df_log(DF_LOG_INFO, "stopped", "%s", "");
    return 0;
}

static void release(struct program *p)
{
    const uint64_t one = 1;
    /* After a start that failed half-way the threads that do run must hear that it is over. */
    if (p->app.traffic.stop_fd >= 0 && write(p->app.traffic.stop_fd, &one, sizeof one) < 0)
        df_log(DF_LOG_WARN, "stop_failed", "errno=%d", errno);
    mrs_admin_stop(p->admin);
    mrs_loops_free(p->loops, p->app.config.workers);
    mrs_keys_free(p->app.keys);
    rst_config_release(&p->app.config);
    if (p->listen_fd > STDIN_FILENO)
        close(p->listen_fd);
    if (p->app.traffic.stop_fd > STDIN_FILENO)
        close(p->app.traffic.stop_fd);
    pthread_rwlock_destroy(&p->app.keys_lock);
}

/* The exit status of an option, -1 when there is none. */
static int carry_out_option(int argc, char **argv)
{
    if (argc < 2)
        return -1;
    if (strcmp(argv[1], "--help") == 0)
        print_help(stdout);
    else if (strcmp(argv[1], "--version") == 0)
        printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
    else if (strcmp(argv[1], "--print-settings") == 0)
        print_settings();
    else if (strcmp(argv[1], "--check") == 0)
        return check_settings();
    else {
        (void)fprintf(stderr, PROGRAM ": unknown argument '%s'; see " PROGRAM " --help\n", argv[1]);
        return EXIT_USAGE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct program p = {.listen_fd = -1, .app = {.traffic = {.stop_fd = -1}}};
    struct df_error err = {0};
    sigset_t signals;

    df_log_init(PROGRAM, DF_LOG_INFO);
    int status = carry_out_option(argc, argv);
    if (status >= 0)
        return status;
    (void)mallopt(M_ARENA_MAX, 4); /* a handful of threads: few arenas keep memory together */
    pthread_rwlock_init(&p.app.keys_lock, NULL);
    if (FCGX_Init() != 0) {
        (void)fprintf(stderr, PROGRAM ": cannot initialise libfcgi\n");
        return 1;
    }
    block_signals(&signals);
    status = EXIT_CONFIG;
    if (start(&p, &err) != DF_OK)
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
    else
        status = run(&p, &signals);
    release(&p);
    return status;
}
