/* scraper/browser.c - the life of the one Chromium: started when wanted, watched, killed as a
 * group, reaped, its profile removed, started again.
 *
 *   DOWN --start--> STARTING --answers--> UP
 *     ^                 |                  |      pipe closed, process gone, no answer
 *     '---- ENDING <----'------------------'
 *
 * Only ENDING's timer frees the pipe: the end is mostly noticed inside the pipe's own callbacks. */
#include "scraper/browser.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scraper/browser_launch.h"
#include "scraper/browser_listeners.h"
#include "scraper/browser_profile.h"
#include "scraper/browser_stderr.h"
#include "scraper/browser_turns.h"
#include "scraper/browser_watch.h"
#include "scraper/proctree.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    START_DEADLINE_MS = 30000, /* a cold start on a slow disk */
    REAP_MS = 1000,            /* how often ended children are looked for while all is well */
    ENDING_MS = 20,            /* and while we wait for the group's end */
    REMOVE_RETRY_MS = 100,     /* the profile of a killed browser is not quiet at once */
    REMOVE_TRIES = 50,
    STEADY_MS = 60000,    /* up for so long: the next failure is the first one again */
    TURN_EXTRA_MS = 5000, /* a page's own deadline comes first */
    RUNAWAYS_MAX = 64,
    KILL_PATIENCE_MS = 2000, /* after SIGKILL, at our own end */
};

static const int64_t backoff_ms[] = {500, 1000, 2000, 5000, 10000, 30000};

enum life { DOWN, STARTING, UP, ENDING };

struct scr_browser {
    struct scr_loop *loop;
    const struct scr_config *config;
    struct scr_launch launch;
    enum life life;
    bool is_wanted; /* somebody asked since the last start */
    struct scr_browser_facts facts;
    struct scr_cdp *cdp;
    struct scr_stderr complaints;
    struct scr_listeners listeners;
    struct scr_turns *turns;
    struct scr_browser_watch *watch; /* while it is up */
    char profile[1200];
    pid_t pid;        /* its group as well; 0: nothing of it is left */
    bool is_reaped;   /* the first process; others of the group may still be there */
    int status;       /* waitpid's, once it is reaped */
    char reason[200]; /* of the end */
    int64_t started_ms, not_before_ms;
    size_t failures;
    unsigned remove_tries;
    struct scr_timer step;   /* what is to be done next in DOWN, STARTING and ENDING */
    struct scr_timer reaper; /* looks for ended children */
    struct scr_timer teller; /* tells new listeners that it is up */
};

static void plan_start(struct scr_browser *browser);

/* --- the end --------------------------------------------------------------------------------- */

/* Takes every ended child: ours, and those whose parents ended before them and that were handed up
 * to us. The daemon starts no other processes. */
static void reap(struct scr_browser *browser)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid != browser->pid)
            continue;
        browser->is_reaped = true;
        browser->status = status;
    }
}

/* How it ended: who died of a fault has its status before its pipe closes, hence before we kill it.
 */
static void log_gone(const struct scr_browser *browser)
{
    bool by_signal = WIFSIGNALED(browser->status);

    df_log(DF_LOG_INFO, "browser_gone", "pid=%ld %s=%d", (long)browser->pid,
           by_signal ? "signal" : "exit",
           by_signal ? WTERMSIG(browser->status) : WEXITSTATUS(browser->status));
}

/* The crash handlers of the full browser are neither in its group nor below it. They end with it,
 * and write to the profile until they do. */
static size_t runaways(const struct scr_browser *browser, pid_t *out, size_t max)
{
    return browser->launch.folder[0] == '\0'
               ? 0
               : scr_proctree_list_from(getpid(), browser->launch.folder, out, max);
}

static bool is_gone(struct scr_browser *browser)
{
    pid_t left[1];

    reap(browser);
    if (browser->pid == 0)
        return true;
    if (!browser->is_reaped || kill(-browser->pid, 0) == 0 || errno != ESRCH ||
        runaways(browser, left, 1) > 0)
        return false;
    reap(browser); /* who ended meanwhile */
    return true;
}

static void kill_all(const struct scr_browser *browser)
{
    pid_t left[RUNAWAYS_MAX];
    size_t count = runaways(browser, left, RUNAWAYS_MAX);

    (void)kill(-browser->pid, SIGKILL);
    for (size_t i = 0; i < count; i++)
        (void)kill(left[i], SIGKILL);
}

/* Notes why, kills what is left, tells the tabs; the rest is ENDING's. Fine when it has ended. */
static void end(struct scr_browser *browser, const char *reason)
{
    bool was_up = browser->life == UP;
    char said[sizeof browser->complaints.last + 2], why[240];

    if (browser->life == DOWN || browser->life == ENDING)
        return;
    reap(browser);
    if (browser->complaints.loop != NULL)
        scr_stderr_read(&browser->complaints);
    df_log(was_up ? DF_LOG_WARN : DF_LOG_ERROR, was_up ? "browser_lost" : "browser_failed",
           "pid=%ld reason=%s last_words=%s", (long)browser->pid,
           df_log_quote(why, sizeof why, reason),
           df_log_quote(said, sizeof said, browser->complaints.last));
    (void)snprintf(browser->reason, sizeof browser->reason, "%s", reason);
    (void)snprintf(browser->facts.trouble, sizeof browser->facts.trouble, "%.190s%s%.200s", reason,
                   browser->complaints.is_telling ? ": " : "",
                   browser->complaints.is_telling ? browser->complaints.last : "");
    if (browser->pid > 0)
        (void)kill(-browser->pid, SIGKILL);
    if (was_up && df_clock_mono_ms() - browser->facts.up_since_ms >= STEADY_MS)
        browser->failures = 0;
    browser->life = ENDING;
    browser->remove_tries = 0;
    browser->facts.is_up = false;
    browser->facts.pid = 0;
    browser->facts.pss_bytes = 0;
    scr_browser_watch_free(browser->watch);
    browser->watch = NULL;
    scr_timer_cancel(browser->loop, &browser->reaper);
    scr_timer_cancel(browser->loop, &browser->teller);
    scr_timer_set(browser->loop, &browser->step, 0);
    if (browser->cdp != NULL)
        scr_cdp_abandon(browser->cdp, browser->reason);
    scr_listeners_down(&browser->listeners, browser->reason);
}

/* One look at what is left of it; true when nothing is. */
static bool finish_ending(struct scr_browser *browser)
{
    char quoted[300];

    scr_cdp_free(browser->cdp);
    browser->cdp = NULL;
    scr_stderr_close(&browser->complaints);
    if (!is_gone(browser)) {
        kill_all(browser);
        return false;
    }
    if (browser->pid != 0)
        log_gone(browser);
    browser->pid = 0;
    if (browser->profile[0] != '\0' && !scr_profile_remove(browser->profile) &&
        browser->remove_tries++ < REMOVE_TRIES)
        return false;
    if (browser->remove_tries > REMOVE_TRIES)
        df_log(DF_LOG_WARN, "profile_left", "folder=%s",
               df_log_quote(quoted, sizeof quoted, browser->profile));
    browser->profile[0] = '\0';
    return true;
}

static void on_ending(struct scr_browser *browser)
{
    if (!finish_ending(browser)) {
        scr_timer_set(browser->loop, &browser->step,
                      browser->pid != 0 ? ENDING_MS : REMOVE_RETRY_MS);
        return;
    }
    size_t last = sizeof backoff_ms / sizeof backoff_ms[0] - 1;
    size_t step = browser->failures < last ? browser->failures : last;
    browser->failures++;
    browser->life = DOWN;
    browser->not_before_ms = df_clock_mono_ms() + backoff_ms[step];
    if (browser->listeners.first != NULL || browser->is_wanted)
        plan_start(browser);
}

/* --- the start ------------------------------------------------------------------------------- */

static void on_hang(void *arg, const char *reason)
{
    end(arg, reason);
}

static void on_version(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_browser *browser = arg;
    const char *product = json_string_value(json_object_get(result, "product"));
    char quoted[80];

    if (browser->life != STARTING || (err != NULL && err->code == DF_EUPSTREAM))
        return; /* the pipe's end is told next */
    if (product == NULL) {
        end(browser, err != NULL ? err->msg : "the browser does not say what it is");
        return;
    }
    (void)snprintf(browser->facts.product, sizeof browser->facts.product, "%s", product);
    /* The full browser calls itself "Chrome" here; only the shell draws on request, and only with
     * the flag that goes with it. */
    browser->facts.can_begin_frame = browser->launch.is_shell &&
                                     strncmp(product, "HeadlessChrome/", 15) == 0 &&
                                     browser->config->draw != SCR_DRAW_ALWAYS;
    scr_cdp_send(browser->cdp, "", "Target.setDiscoverTargets", json_pack("{s:b}", "discover", 1),
                 SCR_CDP_DEADLINE_MS, NULL, NULL);
    scr_cdp_send(browser->cdp, "", "Browser.setDownloadBehavior",
                 json_pack("{s:s}", "behavior", "deny"), SCR_CDP_DEADLINE_MS, NULL, NULL);
    struct df_error why;
    if (scr_browser_watch_new(&browser->watch, browser->loop, browser->cdp, &browser->listeners,
                              &browser->facts, on_hang, browser, &why) != DF_OK) {
        end(browser, why.msg);
        return;
    }
    browser->life = UP;
    browser->facts.is_up = true;
    browser->facts.up_since_ms = df_clock_mono_ms();
    browser->facts.trouble[0] = '\0';
    scr_timer_cancel(browser->loop, &browser->step);
    df_log(DF_LOG_INFO, "browser_up", "product=%s pid=%ld ms=%lld sandbox=%s begin_frame=%s",
           df_log_quote(quoted, sizeof quoted, product), (long)browser->pid,
           (long long)(browser->facts.up_since_ms - browser->started_ms),
           browser->launch.is_sandboxed ? "on" : "off",
           browser->facts.can_begin_frame ? "yes" : "no");
    scr_listeners_up(&browser->listeners);
}

static void on_event(void *arg, const char *session_id, const char *method,
                     const struct json_t *params)
{
    struct scr_browser *browser = arg;

    if (browser->life != UP)
        return;
    if (session_id[0] == '\0')
        scr_browser_watch_event(browser->watch, method, params);
    scr_listeners_event(&browser->listeners, session_id, method, params);
}

static void on_closed(void *arg, const char *reason)
{
    end(arg, reason);
}

static enum df_code start_process(struct scr_browser *browser, struct df_error *err)
{
    const struct scr_cdp_handlers handlers = {browser, on_event, on_closed};
    struct scr_launched launched;
    enum df_code rc = scr_profile_root_open(browser->config->profile_root, err);

    if (rc == DF_OK)
        rc = scr_profile_new(browser->config->profile_root, browser->profile,
                             sizeof browser->profile, err);
    if (rc != DF_OK) {
        browser->profile[0] = '\0';
        return rc;
    }
    rc = scr_launch_start(&launched, &browser->launch, browser->config, browser->profile, err);
    if (rc != DF_OK)
        return rc;
    browser->pid = launched.pid;
    browser->is_reaped = false;
    scr_stderr_open(&browser->complaints, browser->loop, launched.stderr_fd);
    return scr_cdp_new(&browser->cdp, browser->loop, launched.read_fd, launched.write_fd, &handlers,
                       err);
}

static void start(struct scr_browser *browser)
{
    struct df_error err = {0};
    char quoted[sizeof browser->launch.executable + 2];

    browser->life = STARTING;
    browser->is_wanted = false;
    browser->started_ms = df_clock_mono_ms();
    browser->facts.starts++;
    browser->complaints = (struct scr_stderr){.watch = {.fd = -1}};
    if (start_process(browser, &err) != DF_OK) {
        end(browser, err.msg);
        return;
    }
    browser->facts.pid = browser->pid;
    df_log(DF_LOG_INFO, "browser_started", "pid=%ld executable=%s", (long)browser->pid,
           df_log_quote(quoted, sizeof quoted, browser->launch.executable));
    scr_timer_set(browser->loop, &browser->reaper, REAP_MS);
    scr_timer_set(browser->loop, &browser->step, START_DEADLINE_MS);
    scr_cdp_send(browser->cdp, "", "Browser.getVersion", NULL, START_DEADLINE_MS, on_version,
                 browser);
}

static void plan_start(struct scr_browser *browser)
{
    int64_t wait_ms = browser->not_before_ms - df_clock_mono_ms();

    scr_timer_set(browser->loop, &browser->step, wait_ms > 0 ? wait_ms : 0);
}

static void on_step(void *arg)
{
    struct scr_browser *browser = arg;

    switch (browser->life) {
    case DOWN:
        if (browser->listeners.first != NULL || browser->is_wanted)
            start(browser);
        break;
    case STARTING:
        end(browser, "the browser does not answer after its start");
        break;
    case ENDING:
        on_ending(browser);
        break;
    case UP:
        break;
    }
}

static void on_reap(void *arg)
{
    struct scr_browser *browser = arg;

    reap(browser);
    if (browser->is_reaped)
        end(browser, "the browser ended");
    else
        scr_timer_set(browser->loop, &browser->reaper, REAP_MS);
}

static void on_tell(void *arg)
{
    struct scr_browser *browser = arg;

    if (browser->life == UP)
        scr_listeners_up(&browser->listeners);
}

/* --- what others call ------------------------------------------------------------------------ */

enum df_code scr_browser_new(struct scr_browser **out, struct scr_loop *loop,
                             const struct scr_config *config, struct df_error *err)
{
    struct scr_browser *browser = calloc(1, sizeof *browser);
    enum df_code rc;

    *out = NULL;
    if (browser == NULL)
        return df_error_set(err, DF_ENOMEM, "browser: out of memory");
    browser->loop = loop;
    browser->config = config;
    browser->step = (struct scr_timer){.on_due = on_step, .arg = browser};
    browser->reaper = (struct scr_timer){.on_due = on_reap, .arg = browser};
    browser->teller = (struct scr_timer){.on_due = on_tell, .arg = browser};
    rc = scr_launch_prepare(&browser->launch, config, err);
    if (rc == DF_OK)
        rc = scr_profile_root_open(config->profile_root, err);
    if (rc == DF_OK)
        rc = scr_turns_new(&browser->turns, loop, config->navigation_gap_ms,
                           config->navigation_timeout_ms + TURN_EXTRA_MS, err);
    if (rc != DF_OK) {
        free(browser);
        return rc;
    }
    (void)snprintf(browser->facts.executable, sizeof browser->facts.executable, "%s",
                   browser->launch.executable);
    browser->facts.is_sandboxed = browser->launch.is_sandboxed;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    *out = browser;
    return DF_OK;
}

void scr_browser_want(struct scr_browser *browser)
{
    browser->is_wanted = browser->life == DOWN || browser->life == ENDING;
    if (browser->life == DOWN && !scr_timer_is_set(&browser->step))
        plan_start(browser);
}

/* Waits without the loop, whose other callbacks have no place in the middle of our end. */
static bool wait_gone(struct scr_browser *browser, int64_t patience_ms)
{
    int64_t give_up_ms = df_clock_mono_ms() + patience_ms;

    for (;;) {
        if (is_gone(browser))
            return true;
        if (df_clock_mono_ms() >= give_up_ms)
            return false;
        (void)poll(NULL, 0, 5);
    }
}

void scr_browser_free(struct scr_browser *browser, int64_t deadline_ms)
{
    if (browser == NULL)
        return;
    scr_timer_cancel(browser->loop, &browser->step);
    scr_timer_cancel(browser->loop, &browser->reaper);
    scr_timer_cancel(browser->loop, &browser->teller);
    scr_browser_watch_free(browser->watch);
    if (browser->cdp != NULL) {
        /* The pipe's end right after the command is a second reason to go. */
        scr_cdp_send(browser->cdp, "", "Browser.close", NULL, SCR_CDP_DEADLINE_MS, NULL, NULL);
        browser->life = ENDING; /* who is told now sends nothing more */
        scr_cdp_abandon(browser->cdp, "the program ends");
        scr_cdp_free(browser->cdp);
    }
    if (browser->pid != 0 && !wait_gone(browser, deadline_ms)) {
        df_log(DF_LOG_WARN, "browser_killed", "after_ms=%lld", (long long)deadline_ms);
        kill_all(browser);
        (void)wait_gone(browser, KILL_PATIENCE_MS);
    }
    scr_stderr_close(&browser->complaints);
    for (int i = 0; browser->profile[0] != '\0' && i < REMOVE_TRIES; i++) {
        if (scr_profile_remove(browser->profile))
            break;
        (void)poll(NULL, 0, REMOVE_RETRY_MS / 5);
    }
    scr_listeners_release(&browser->listeners);
    scr_turns_free(browser->turns);
    free(browser);
}

void scr_browser_attach(struct scr_browser *browser, struct scr_browser_listener *listener)
{
    scr_listeners_add(&browser->listeners, listener);
    if (browser->life == UP)
        scr_timer_set(browser->loop, &browser->teller, 0);
}

void scr_browser_detach(struct scr_browser *browser, struct scr_browser_listener *listener)
{
    scr_listeners_remove(&browser->listeners, listener);
}

void scr_browser_claim(struct scr_browser *browser, struct scr_browser_listener *listener,
                       const char *session_id)
{
    scr_listeners_claim(&browser->listeners, listener, session_id);
}

struct scr_cdp *scr_browser_cdp(struct scr_browser *browser)
{
    return browser->life == UP ? browser->cdp : NULL;
}

const struct scr_browser_facts *scr_browser_facts(const struct scr_browser *browser)
{
    return &browser->facts;
}

void scr_browser_navigation_turn(struct scr_browser *browser, void (*turn)(void *arg), void *arg)
{
    scr_turns_ask(browser->turns, turn, arg);
}

void scr_browser_navigation_done(struct scr_browser *browser, const void *arg)
{
    scr_turns_done(browser->turns, arg);
}

uint64_t scr_browser_strays(const struct scr_browser *browser)
{
    return browser->facts.strays;
}
