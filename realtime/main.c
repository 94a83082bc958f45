/* realtime/main.c - dealflow-realtime: arguments, start, signals, end. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "realtime/changes.h"
#include "realtime/hub.h"
#include "realtime/server.h"
#include "shared/log.h"

#define PROGRAM "dealflow-realtime"

enum { EXIT_USAGE = 64, EXIT_CONFIG = 78 }; /* sysexits.h */

struct program {
    struct rt_config config;
    struct rt_access *access;
    struct rt_changes *changes;
    struct rt_hub *hub;
    _Atomic(struct rt_server *) server; /* the database's threads start before it is there */
    int signal_fd;
    bool is_stopping;
};

static void print_help(FILE *out)
{
    (void)fprintf(out,
                  "usage: " PROGRAM " [--help | --version | --check | --print-settings]\n\n"
                  "Tells subscribers of committed rows over WebSocket, as Supabase Realtime\n"
                  "does; broadcast and presence beside it. Runs behind nginx.\n"
                  "SIGHUP reads JWKS_FILE and API_KEYS anew; SIGTERM sends the clients away.\n\n"
                  "Settings, from the environment:\n");
    df_config_print_help(out, rt_config_keys, rt_config_key_count);
}

/* KEY=default lines for deploy/env.example. */
static void print_settings(void)
{
    for (size_t i = 0; i < rt_config_key_count; i++) {
        const struct df_config_key *key = &rt_config_keys[i];
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

static int check_settings(void)
{
    struct rt_config config;
    struct rt_access *access = NULL;
    struct df_error err = {0};

    if (rt_config_load(&config, &err) != DF_OK)
        return fail(&err);
    int status = 0;
    if (rt_access_new(&access, &config, &err) != DF_OK)
        status = fail(&err);
    else
        df_config_print_values(stdout, &config, rt_config_keys, rt_config_key_count);
    rt_access_free(access);
    rt_config_release(&config);
    return status;
}

/* Tells systemd about our state when NOTIFY_SOCKET is set. */
static void notify_supervisor(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");

    if (path == NULL || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* abstract namespace */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    (void)close(fd);
}

/* --- signals ------------------------------------------------------------------------------------
 */

/* The settings are read again as a whole, but only keys are taken: the rest has been handed out. */
static void reload(struct program *p)
{
    struct rt_config config;
    struct rt_access *access = NULL;
    struct df_error err = {0};
    char quoted[256];

    enum df_code rc = rt_config_load(&config, &err);
    if (rc == DF_OK) {
        rc = rt_access_new(&access, &config, &err);
        rt_config_release(&config);
    }
    if (rc != DF_OK) {
        df_log(DF_LOG_ERROR, "reload_failed", "error=%s effect=\"old keys stay\"",
               df_log_quote(quoted, sizeof quoted, err.msg));
        return;
    }
    rt_server_set_access(p->server, access);
    rt_hub_set_access(p->hub, access);
    rt_access_free(p->access);
    p->access = access;
    df_log(DF_LOG_INFO, "keys_reloaded", "%s", "");
}

static void on_signal(void *arg)
{
    struct program *p = arg;
    struct signalfd_siginfo info;

    if (read(p->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        reload(p);
        return;
    }
    if (p->is_stopping) {
        df_log(DF_LOG_WARN, "drain_cut_short", "signal=%u", info.ssi_signo);
        _exit(1); /* threads are still at work: nothing may be freed under them */
    }
    p->is_stopping = true;
    df_log(DF_LOG_INFO, "drain_started", "signal=%u", info.ssi_signo);
    notify_supervisor("STOPPING=1");
    rt_server_stop(p->server);
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
    p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (p->signal_fd < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "signalfd: %s", strerror(errno));
    return DF_OK;
}

/* --- run ----------------------------------------------------------------------------------------
 */

/* Called by the database's threads. */
static void wake(void *arg)
{
    struct rt_server *server = atomic_load(&((struct program *)arg)->server);

    if (server != NULL)
        rt_server_wake(server);
}

static enum df_code start(struct program *p, struct df_error *err)
{
    struct rt_server_handlers handlers;
    struct rt_server *server = NULL;

    enum df_code rc = take_signals(p, err); /* before the first thread starts */
    if (rc == DF_OK)
        rc = rt_access_new(&p->access, &p->config, err);
    if (rc == DF_OK)
        rc = rt_changes_new(&p->changes, &p->config, wake, p, err);
    if (rc == DF_OK)
        rc = rt_hub_new(&p->hub, &p->config, p->access, p->changes, err);
    if (rc != DF_OK)
        return rc;
    rt_hub_handlers(p->hub, &handlers);
    rc = rt_server_new(&server, &p->config, p->access, &handlers, err);
    if (rc != DF_OK)
        return rc;
    rt_hub_set_server(p->hub, server);
    atomic_store(&p->server, server);
    rt_server_wake(server); /* for what came before it was there */
    return rt_server_watch(server, p->signal_fd, on_signal, p, err);
}

/* The hub first: it may still tell the database's side; then the threads that wake the server. */
static void release(struct program *p)
{
    rt_hub_free(p->hub);
    rt_changes_free(p->changes);
    rt_server_free(p->server);
    rt_access_free(p->access);
    if (p->signal_fd >= 0)
        (void)close(p->signal_fd);
    rt_config_release(&p->config);
}

static int run(struct program *p)
{
    struct rt_server_stats stats;
    struct df_error err = {0};
    int status = 0;

    if (start(p, &err) != DF_OK) {
        status = fail(&err);
    } else {
        rt_server_stats_get(p->server, &stats);
        df_log(DF_LOG_INFO, "started", "version=%s commit=%s listen=%s port=%d", DF_VERSION,
               DF_COMMIT, p->config.listen, stats.port);
        notify_supervisor("READY=1");
        rt_server_run(p->server);
    }
    release(p);
    if (status == 0)
        df_log(DF_LOG_INFO, "stopped", "%s", "");
    return status;
}

int main(int argc, char **argv)
{
    static struct program p = {.signal_fd = -1};
    struct df_error err = {0};
    struct timespec now;
    enum df_log_level level;

    df_log_init(PROGRAM, DF_LOG_INFO);
    if (argc > 2 ||
        (argc == 2 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "--version") != 0 &&
         strcmp(argv[1], "--check") != 0 && strcmp(argv[1], "--print-settings") != 0)) {
        (void)fprintf(stderr, PROGRAM ": wrong arguments; see " PROGRAM " --help\n");
        return EXIT_USAGE;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--print-settings") == 0) {
        print_settings();
        return 0;
    }
    if (argc == 2)
        return check_settings();
    (void)mallopt(M_ARENA_MAX, 2); /* three threads: few arenas keep memory together */
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    srandom((unsigned)(now.tv_nsec ^ getpid())); /* spreads the closes of the end */
    if (rt_config_load(&p.config, &err) != DF_OK)
        return fail(&err);
    if (df_log_level_parse(p.config.log_level, &level))
        df_log_set_level(level);
    return run(&p);
}
