/* scraper/browser_launch.c - finds Chromium, builds its command line, forks and executes it. */
#include "scraper/browser_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/log.h"

enum {
    FLAGS_MAX = 128,
    ENVIRONMENT_MAX = 64,
    FIRST_HIGH_FD = 10,    /* out of the way of 0 to 4 */
    SOCKET_PATH_ROOM = 46, /* "/org.chromium.Chromium.XXXXXX/SingletonSocket" */
    SOCKET_PATH_MAX = 107,
};

#define SHARED_MEMORY_MIN_MB 256 /* below this Chromium is told to use files instead */
#define TEMPORARY_MIN_MB     128 /* and these must fit somewhere */

extern char **environ;

/* --- which one ------------------------------------------------------------------------------- */

/* The real binaries: Debian's commands of the same names are shell scripts, which add flags of
 * their own and, being a parent in between, would take our signals. */
static const char *const places[] = {
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/lib/chromium-browser/headless_shell",
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/usr/bin/chrome-headless-shell",
    "/usr/bin/google-chrome-stable",
    "/usr/bin/chromium-browser",
    "/usr/bin/chromium",
};

static bool is_executable(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

/* Somebody who sets CHROME_EXECUTABLE_PATH=/usr/bin/chromium means the browser, not the script. */
static void unwrap(char *path, size_t path_size)
{
    char start[2] = "", real[512];
    const char *name = strrchr(path, '/');
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    ssize_t n = read(fd, start, sizeof start);
    (void)close(fd);
    if (n != 2 || start[0] != '#' || start[1] != '!' || name == NULL)
        return;
    int len = snprintf(real, sizeof real, "/usr/lib/chromium%s", name);
    if (len > 0 && (size_t)len < sizeof real && (size_t)len < path_size && is_executable(real))
        memcpy(path, real, (size_t)len + 1);
}

static enum df_code find_executable(char *out, size_t out_size, const char *configured,
                                    struct df_error *err)
{
    if (configured != NULL) {
        if (strlen(configured) >= out_size || !is_executable(configured))
            return df_error_set(err, DF_ENOTFOUND,
                                "CHROME_EXECUTABLE_PATH: %.120s is no program that we may run",
                                configured);
        (void)snprintf(out, out_size, "%s", configured);
        unwrap(out, out_size);
        return DF_OK;
    }
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (!is_executable(places[i]))
            continue;
        (void)snprintf(out, out_size, "%s", places[i]);
        return DF_OK;
    }
    return df_error_set(err, DF_ENOTFOUND,
                        "no Chromium found: install the package chromium-headless-shell (or "
                        "chromium), or set CHROME_EXECUTABLE_PATH");
}

/* --- with or without its sandbox ------------------------------------------------------------- */

/* Tries what Chromium's sandbox needs: some systems allow a user namespace but no rights in it. */
static bool can_make_namespaces(void)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0)
        _exit(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET) == 0 ? 0 : 1);
    if (child < 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Debian's package chromium-sandbox: a helper of root's beside the binary. */
static bool has_helper(const char *executable)
{
    char path[600];
    struct stat info;
    const char *slash = strrchr(executable, '/');
    int n = snprintf(path, sizeof path, "%.*s/chrome-sandbox",
                     slash != NULL ? (int)(slash - executable) : 0, executable);

    return n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0 && info.st_uid == 0 &&
           (info.st_mode & S_ISUID) != 0;
}

static bool choose_sandbox(const char *executable, int choice)
{
    const char *why = NULL;

    if (choice == SCR_SANDBOX_ON)
        return true;
    if (choice == SCR_SANDBOX_OFF)
        why = "CHROME_SANDBOX=off";
    else if (geteuid() == 0)
        why = "we run as root: run as an ordinary user";
    else if (!has_helper(executable) && !can_make_namespaces())
        why = "the system allows no user namespaces: allow them or install chromium-sandbox";
    if (why != NULL)
        df_log(DF_LOG_WARN, "browser_unsandboxed", "why=\"%s\"", why);
    return why == NULL;
}

static void find_folder(char *out, size_t out_size, const char *executable)
{
    char *real = realpath(executable, NULL);
    const char *slash = real != NULL ? strrchr(real, '/') : NULL;
    int len = slash != NULL ? (int)(slash - real) : 0;

    (void)snprintf(out, out_size, "%.*s", len, real != NULL ? real : "");
    free(real);
}

enum df_code scr_launch_prepare(struct scr_launch *out, const struct scr_config *config,
                                struct df_error *err)
{
    enum df_code rc =
        find_executable(out->executable, sizeof out->executable, config->chrome_path, err);

    if (rc != DF_OK)
        return rc;
    find_folder(out->folder, sizeof out->folder, out->executable);
    const char *name = strrchr(out->executable, '/');
    name = name != NULL ? name + 1 : out->executable;
    out->is_shell =
        strstr(name, "headless-shell") != NULL || strstr(name, "headless_shell") != NULL;
    out->is_sandboxed = choose_sandbox(out->executable, config->chrome_sandbox);
    return DF_OK;
}

/* --- the command line ------------------------------------------------------------------------ */

struct words {
    char *word[FLAGS_MAX + 1]; /* ends with NULL */
    size_t count;
    bool failed;
};

static void add(struct words *words, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(struct words *words, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;

    va_start(ap, fmt);
    if (words->failed || words->count == FLAGS_MAX || vasprintf(&text, fmt, ap) < 0) {
        words->failed = true;
        text = NULL;
    }
    va_end(ap);
    if (text != NULL)
        words->word[words->count++] = text;
}

static void release(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->word[i]);
}

bool scr_launch_split_flags(const char *text, char **out, size_t max, size_t *count)
{
    char *word = malloc(strlen(text) + 1), quote = '\0';
    size_t len = 0;
    bool is_inside = false, ok = word != NULL;

    *count = 0;
    for (const char *at = text; ok; at++) {
        if (*at == '\0' || (quote == '\0' && strchr(" \t\r\n", *at) != NULL)) {
            if (is_inside) {
                ok = *count < max && (out[*count] = strndup(word, len)) != NULL;
                *count += ok;
            }
            is_inside = false;
            len = 0;
            if (*at == '\0')
                break;
        } else if (*at == quote || (quote == '\0' && (*at == '"' || *at == '\''))) {
            quote = quote == '\0' ? *at : '\0';
            is_inside = true;
        } else {
            word[len++] = *at;
            is_inside = true;
        }
    }
    free(word);
    return ok && quote == '\0';
}

/* The same for every start. */
static const char *const fixed_flags[] = {
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-startup-window", /* the full browser would open a page of its own */
    "--disable-background-networking",
    "--disable-client-side-phishing-detection",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--no-pings",
    "--metrics-recording-only",
    "--disable-breakpad",
    "--disable-gpu",
    "--disable-quic",
    "--disable-features=Translate,MediaRouter,OptimizationHints,AutofillServerCommunication",
    "--disable-background-timer-throttling", /* a page nobody looks at must go on working */
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-hang-monitor",
    "--blink-settings=imagesEnabled=false", /* favicons, too, which no list of addresses stops */
    "--autoplay-policy=user-gesture-required",
    "--mute-audio",
    "--password-store=basic",
    "--window-size=1366,768",
};

static int64_t free_mb(const char *folder)
{
    struct statvfs info;

    if (statvfs(folder, &info) != 0)
        return 0;
    return (int64_t)((uint64_t)info.f_bavail * info.f_frsize >> 20);
}

/* Renderers share memory through /dev/shm. Containers often give it 64 MB, and a page that finds it
 * full crashes. The way out is files in the temporary folder, which then needs the room. */
static enum df_code add_memory_flag(struct words *words, const char *tmp, struct df_error *err)
{
    int64_t shm_mb = free_mb("/dev/shm"), tmp_mb = free_mb(tmp);
    bool is_small = shm_mb < SHARED_MEMORY_MIN_MB;

    df_log(DF_LOG_INFO, "browser_shared_memory", "in=%s dev_shm_free_mb=%lld tmp_free_mb=%lld",
           is_small ? "tmp" : "dev_shm", (long long)shm_mb, (long long)tmp_mb);
    if (!is_small)
        return DF_OK;
    if (tmp_mb < TEMPORARY_MIN_MB)
        return df_error_set(err, DF_EUNAVAILABLE,
                            "no room for shared memory: %lld MB free in /dev/shm (%d wanted), %lld "
                            "MB in the profile folder (%d wanted)",
                            (long long)shm_mb, SHARED_MEMORY_MIN_MB, (long long)tmp_mb,
                            TEMPORARY_MIN_MB);
    add(words, "--disable-dev-shm-usage");
    return DF_OK;
}

static enum df_code build_command(struct words *words, const struct scr_launch *launch,
                                  const struct scr_config *config, const char *profile,
                                  const char *tmp, struct df_error *err)
{
    size_t more = 0;

    add(words, "%s", launch->executable);
    add(words, "%s", launch->is_shell ? "--headless" : "--headless=new");
    for (size_t i = 0; i < sizeof fixed_flags / sizeof fixed_flags[0]; i++)
        add(words, "%s", fixed_flags[i]);
    add(words, "--user-data-dir=%s", profile);
    add(words, "--js-flags=--max-old-space-size=%lld", (long long)config->page_heap_mb);
    if (launch->is_shell && config->draw != SCR_DRAW_ALWAYS)
        add(words, "--run-all-compositor-stages-before-draw"); /* for frames that we ask for */
    if (!launch->is_sandboxed)
        add(words, "--no-sandbox");
    enum df_code rc = add_memory_flag(words, tmp, err);
    if (rc != DF_OK)
        return rc;
    if (words->failed)
        return df_error_set(err, DF_ENOMEM, "browser: out of memory");
    if (config->chrome_flags == NULL)
        return DF_OK;
    bool ok = scr_launch_split_flags(config->chrome_flags, words->word + words->count,
                                     FLAGS_MAX - words->count, &more);
    words->count += more;
    return ok ? DF_OK
              : df_error_set(err, DF_EINPUT,
                             "CHROME_EXTRA_FLAGS: too many flags, or a quote is not closed");
}

/* Chromium gets what it needs to run and none of our secrets: its environment can be read by all
 * its processes, those that run the page's scripts included. */
static void build_environment(struct words *words, const char *profile, const char *tmp)
{
    static const char *const wanted[] = {
        "PATH=",       "LANG=",        "LANGUAGE=",    "LC_",        "TZ=",
        "FONTCONFIG_", "HTTP_PROXY=",  "HTTPS_PROXY=", "ALL_PROXY=", "NO_PROXY=",
        "http_proxy=", "https_proxy=", "all_proxy=",   "no_proxy=",  "LD_LIBRARY_PATH="};

    for (char **item = environ; *item != NULL && words->count < ENVIRONMENT_MAX; item++)
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strncmp(*item, wanted[i], strlen(wanted[i])) == 0)
                add(words, "%s", *item);
    add(words, "HOME=%s", profile);
    add(words, "TMPDIR=%s", tmp);
}

/* --- the process ----------------------------------------------------------------------------- */

struct ends {
    int commands[2], answers[2], errors[2]; /* [0] is ours, [1] the browser's */
    int null;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static void close_ends(struct ends *ends)
{
    for (int i = 0; i < 2; i++) {
        close_end(&ends->commands[i]);
        close_end(&ends->answers[i]);
        close_end(&ends->errors[i]);
    }
    close_end(&ends->null);
}

/* Moves a descriptor of the browser's above those that it is to get. */
static bool move_up(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_HIGH_FD);

    close_end(fd);
    *fd = moved;
    return moved >= 0;
}

static bool open_ends(struct ends *ends)
{
    int errors[2];

    *ends = (struct ends){{-1, -1}, {-1, -1}, {-1, -1}, open("/dev/null", O_RDWR | O_CLOEXEC)};
    /* Sockets, not pipes: Chromium ends its reader thread with shutdown(). */
    if (ends->null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->commands) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->answers) != 0 ||
        pipe2(errors, O_CLOEXEC) != 0)
        return false;
    ends->errors[0] = errors[0];
    ends->errors[1] = errors[1];
    return fcntl(errors[0], F_SETFL, O_NONBLOCK) == 0 && move_up(&ends->commands[1]) &&
           move_up(&ends->answers[1]) && move_up(&ends->errors[1]) && move_up(&ends->null);
}

/* In the child of a program with threads: nothing but system calls until exec. */
static void __attribute__((noreturn))
become_browser(const struct ends *ends, char *const *argv, char *const *env, pid_t parent)
{
    static const char failed[] = "this program cannot be executed\n";
    const struct rlimit no_core = {0, 0};
    sigset_t none;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);                           /* it died before it could be watched */
    (void)setrlimit(RLIMIT_CORE, &no_core); /* core files have filled many a temporary folder */
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(ends->null, 0) < 0 || dup2(ends->null, 1) < 0 || dup2(ends->errors[1], 2) < 0 ||
        dup2(ends->commands[1], 3) < 0 || dup2(ends->answers[1], 4) < 0)
        _exit(1);
    (void)close_range(5, ~0U, CLOSE_RANGE_CLOEXEC);
    (void)execve(argv[0], argv, env);
    (void)!write(2, failed, sizeof failed - 1);
    _exit(127);
}

static enum df_code spawn(struct scr_launched *out, char *const *argv, char *const *env,
                          struct df_error *err)
{
    struct ends ends;
    pid_t us = getpid(), child = -1;

    if (open_ends(&ends))
        child = fork();
    if (child == 0)
        become_browser(&ends, argv, env, us);
    if (child < 0) {
        int why = errno;
        close_ends(&ends);
        return df_error_set(err, DF_EUNAVAILABLE, "browser: cannot be started: %s", strerror(why));
    }
    (void)setpgid(child, child); /* both sides do: whoever is first */
    *out = (struct scr_launched){child, ends.answers[0], ends.commands[0], ends.errors[0]};
    ends.answers[0] = ends.commands[0] = ends.errors[0] = -1;
    close_ends(&ends);
    return DF_OK;
}

enum df_code scr_launch_start(struct scr_launched *out, const struct scr_launch *launch,
                              const struct scr_config *config, const char *profile,
                              struct df_error *err)
{
    struct words command = {0}, environment = {0};
    char tmp[1200];
    int n = snprintf(tmp, sizeof tmp, "%s/tmp", profile);

    /* The full browser makes a socket there, whose path must not get too long. */
    if (n < 0 || n + SOCKET_PATH_ROOM > SOCKET_PATH_MAX)
        (void)snprintf(tmp, sizeof tmp, "/tmp");
    build_environment(&environment, profile, tmp);
    enum df_code rc = build_command(&command, launch, config, profile, tmp, err);
    if (rc == DF_OK && environment.failed)
        rc = df_error_set(err, DF_ENOMEM, "browser: out of memory");
    if (rc == DF_OK)
        rc = spawn(out, command.word, environment.word, err);
    release(&command);
    release(&environment);
    return rc;
}
