/* tests/unit/test_scr_browser.c - the life of the browser, with a stand-in: this program itself,
 * which plays a browser when it is started with a browser's flags. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "scraper/browser.h"
#include "scraper/browser_profile.h"
#include "scraper/proctree.h"
#include "shared/clock.h"
#include "shared/log.h"

#define PATIENCE_MS 30000

/* --- the stand-in ---------------------------------------------------------------------------- */

static const char *flag_of(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, strlen(name)) == 0)
            return argv[i] + strlen(name);
    return NULL;
}

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    char text[1000];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)!write(4, text, (size_t)n + 1);
}

static int count_open_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = -1; /* the folder's own */

    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        (void)closedir(folder);
    return count - 2; /* . and .. */
}

/* What it finds around itself, as its product name. */
static void describe_surroundings(char *out, size_t out_size, const char *profile)
{
    struct rlimit core = {1, 1};
    struct stat info;
    sigset_t blocked;
    const char *home = getenv("HOME"), *tmp = getenv("TMPDIR");

    (void)getrlimit(RLIMIT_CORE, &core);
    (void)sigprocmask(SIG_BLOCK, NULL, &blocked);
    (void)snprintf(
        out, out_size, "HeadlessChrome/1 fds=%d secret=%d core=%d group=%d home=%d pipe=%d",
        count_open_descriptors(), getenv("DF_TEST_SECRET") != NULL, core.rlim_max != 0,
        getpgrp() == getpid(),
        home != NULL && strcmp(home, profile) == 0 && tmp != NULL && stat(tmp, &info) == 0,
        signal(SIGPIPE, SIG_DFL) == SIG_DFL && !sigismember(&blocked, SIGTERM));
}

static void answer(const char *mode, const char *product, const json_t *asked)
{
    int id = (int)json_integer_value(json_object_get(asked, "id"));
    const char *method = json_string_value(json_object_get(asked, "method"));

    if (strcmp(mode, "deaf") == 0 && strcmp(method, "Browser.close") == 0)
        return;
    if (strcmp(mode, "mute") == 0)
        return;
    say("{\"id\":%d,\"result\":{\"product\":\"%s\"}}", id, product);
    if (strcmp(method, "Browser.close") == 0)
        _exit(0);
    if (strcmp(mode, "talk") != 0)
        return;
    if (strcmp(method, "Target.getTargets") == 0) { /* the test's word for "go on" */
        say("{\"method\":\"Target.targetCrashed\",\"params\":{\"targetId\":\"T1\"}}");
        say("{\"method\":\"Target.targetCrashed\",\"params\":{\"targetId\":\"T9\"}}");
        say("{\"method\":\"Page.loadEventFired\",\"params\":{},\"sessionId\":\"S2\"}");
        say("{\"method\":\"Page.loadEventFired\",\"params\":{},\"sessionId\":\"S9\"}");
        say("{\"method\":\"Runtime.bindingCalled\",\"params\":{},\"sessionId\":\"CHILD\"}");
        say("{\"method\":\"Target.detachedFromTarget\",\"params\":{\"sessionId\":\"CHILD\"},"
            "\"sessionId\":\"S1\"}");
        say("{\"method\":\"Page.loadEventFired\",\"params\":{},\"sessionId\":\"CHILD\"}");
        say("{\"method\":\"Target.targetCreated\",\"params\":{\"targetInfo\":{\"targetId\":\"P\","
            "\"type\":\"page\",\"openerId\":\"T1\"}}}");
    } else if (strcmp(method, "Target.closeTarget") == 0) {
        const json_t *params = json_object_get(asked, "params");
        say("{\"method\":\"Target.targetDestroyed\",\"params\":{\"targetId\":\"T1\",\"text\":\"%"
            "s\"}}",
            json_string_value(json_object_get(params, "targetId")));
    }
}

static int play_browser(int argc, char **argv)
{
    const char *mode = flag_of(argc, argv, "--fake=");
    const char *profile = flag_of(argc, argv, "--user-data-dir=");
    char product[200], text[65536];
    size_t len = 0;

    if (mode == NULL || profile == NULL)
        _exit(3);
    if (strcmp(mode, "broken") == 0) {
        (void)fprintf(stderr,
                      "[1:1:ERROR:dbus] noise\n[1:1:FATAL:x.cc(1)] no usable \"thing\"\n#0 0x1\n"
                      "later noise\n");
        _exit(4);
    }
    if (strcmp(mode, "family") == 0 && fork() == 0) { /* outlives its parent, hears nothing */
        (void)signal(SIGTERM, SIG_IGN);
        for (;;)
            (void)pause();
    }
    if (strcmp(mode, "runaway") == 0 && fork() == 0) { /* as crash handlers do */
        if (setsid() > 0 && fork() == 0)
            for (;;)
                (void)pause();
        _exit(0);
    }
    describe_surroundings(product, sizeof product, profile);
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        ssize_t n = read(3, text + len, sizeof text - len);
        if (n <= 0) {
            if (strcmp(mode, "deaf") == 0)
                for (;;)
                    (void)pause();
            _exit(0);
        }
        len += (size_t)n;
        for (char *nul; (nul = memchr(text, '\0', len)) != NULL;) {
            json_t *asked = json_loads(text, 0, NULL);
            answer(mode, product, asked);
            json_decref(asked);
            len -= (size_t)(nul + 1 - text);
            memmove(text, nul + 1, len);
        }
    }
}

/* --- the tests' side ------------------------------------------------------------------------- */

struct tab {
    struct scr_browser_listener listener;
    int ups, downs, events;
    char heard[400]; /* "session method;" each */
};

struct bench {
    struct scr_loop *loop;
    struct scr_browser *browser;
    struct scr_config config;
    char folder[64], root[128], executable[128], flags[64];
    struct tab one, two;
};

static void on_up(void *arg)
{
    ((struct tab *)arg)->ups++;
}

static void on_down(void *arg, const char *reason)
{
    assert_true(reason[0] != '\0');
    ((struct tab *)arg)->downs++;
}

static void on_event(void *arg, const char *session_id, const char *method,
                     const struct json_t *params)
{
    struct tab *tab = arg;
    const char *text = json_string_value(json_object_get(params, "text"));
    size_t len = strlen(tab->heard);

    tab->events++;
    (void)snprintf(tab->heard + len, sizeof tab->heard - len, "%s %s%s;", session_id, method,
                   text != NULL ? text : "");
}

static void make_browser(struct bench *bench, const char *mode)
{
    struct df_error err;

    (void)snprintf(bench->flags, sizeof bench->flags, "--fake=%s", mode);
    bench->config.chrome_flags = bench->flags;
    if (scr_browser_new(&bench->browser, bench->loop, &bench->config, &err) != DF_OK)
        fail_msg("%s", err.msg);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    char self[512];

    assert_non_null(bench);
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/scr-browser-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    (void)snprintf(bench->root, sizeof bench->root, "%s/state/profiles", bench->folder);
    (void)snprintf(bench->executable, sizeof bench->executable, "%s/chromium-headless-shell",
                   bench->folder);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    assert_int_equal(symlink(self, bench->executable), 0);
    bench->config = (struct scr_config){.chrome_path = bench->executable,
                                        .profile_root = bench->root,
                                        .chrome_sandbox = SCR_SANDBOX_OFF,
                                        .page_heap_mb = 64,
                                        .navigation_gap_ms = 30,
                                        .navigation_timeout_ms = 1000};
    bench->one.listener = bench->two.listener =
        (struct scr_browser_listener){.on_up = on_up, .on_down = on_down, .on_event = on_event};
    bench->one.listener.arg = &bench->one;
    bench->two.listener.arg = &bench->two;
    assert_int_equal(scr_loop_new(&bench->loop, NULL), DF_OK);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    scr_browser_free(bench->browser, 5000);
    scr_loop_free(bench->loop);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child, no zombie */
    assert_int_equal(errno, ECHILD);
    assert_true(scr_profile_remove(bench->folder));
    free(bench);
    return 0;
}

static void run_until(struct bench *bench, const int *count, int wanted)
{
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;
    while (*count < wanted && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(bench->loop, 50);
    assert_int_equal(*count, wanted);
}

static int profiles_in(const struct bench *bench)
{
    DIR *folder = opendir(bench->root);
    int count = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(folder);
    return count;
}

static void bring_up(struct bench *bench, const char *mode)
{
    make_browser(bench, mode);
    scr_browser_attach(bench->browser, &bench->one.listener);
    assert_int_equal(bench->one.ups, 0);
    scr_browser_want(bench->browser);
    assert_int_equal(bench->one.ups, 0); /* never from inside the call */
    run_until(bench, &bench->one.ups, 1);
}

static void it_starts_in_clean_surroundings(void **state)
{
    struct bench *bench = *state;
    int unrelated = open("/dev/null", O_RDONLY); /* not even close-on-exec */

    assert_int_equal(setenv("DF_TEST_SECRET", "hunter2", 1), 0);
    bring_up(bench, "normal");
    const struct scr_browser_facts *facts = scr_browser_facts(bench->browser);
    assert_string_equal(facts->product,
                        "HeadlessChrome/1 fds=5 secret=0 core=0 group=1 home=1 pipe=1");
    assert_true(facts->is_up);
    assert_true(facts->can_begin_frame);
    assert_false(facts->is_sandboxed);
    assert_int_equal(facts->starts, 1);
    assert_int_equal(profiles_in(bench), 1);
    assert_non_null(scr_browser_cdp(bench->browser));
    (void)close(unrelated);
}

static void who_comes_later_is_told_too_and_only_once(void **state)
{
    struct bench *bench = *state;

    bring_up(bench, "normal");
    scr_browser_attach(bench->browser, &bench->two.listener);
    assert_int_equal(bench->two.ups, 0);
    run_until(bench, &bench->two.ups, 1);
    assert_int_equal(bench->one.ups, 1);
}

static void after_a_kill_it_comes_back(void **state)
{
    struct bench *bench = *state;

    bring_up(bench, "family");
    int pid = scr_browser_facts(bench->browser)->pid;
    int64_t killed_ms = df_clock_mono_ms();
    assert_int_equal(kill(pid, SIGKILL), 0);
    run_until(bench, &bench->one.downs, 1);
    assert_false(scr_browser_facts(bench->browser)->is_up);
    /* Its child holds the pipe open: the end is seen by the process, not by the pipe. */
    assert_string_equal(scr_browser_facts(bench->browser)->trouble, "the browser ended");
    run_until(bench, &bench->one.ups, 2);
    assert_true(df_clock_mono_ms() - killed_ms >= 500);
    assert_int_not_equal(scr_browser_facts(bench->browser)->pid, pid);
    assert_string_equal(scr_browser_facts(bench->browser)->trouble, "");
    assert_int_equal(kill(-pid, 0), -1); /* its child is gone as well */
    assert_int_equal(profiles_in(bench), 1);
}

static void with_nobody_attached_it_stays_down(void **state)
{
    struct bench *bench = *state;

    bring_up(bench, "normal");
    assert_int_equal(kill(scr_browser_facts(bench->browser)->pid, SIGKILL), 0);
    run_until(bench, &bench->one.downs, 1);
    assert_string_equal(scr_browser_facts(bench->browser)->trouble, "the browser closed its pipe");
    scr_browser_detach(bench->browser, &bench->one.listener);
    int64_t until_ms = df_clock_mono_ms() + 800;
    while (df_clock_mono_ms() < until_ms)
        scr_loop_dispatch(bench->loop, 50);
    assert_int_equal(scr_browser_facts(bench->browser)->starts, 1);
    assert_int_equal(profiles_in(bench), 0);
    scr_browser_attach(bench->browser, &bench->one.listener);
    scr_browser_want(bench->browser);
    run_until(bench, &bench->one.ups, 2);
}

static void a_failed_start_says_why_and_is_tried_again(void **state)
{
    struct bench *bench = *state;
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;

    make_browser(bench, "broken");
    scr_browser_attach(bench->browser, &bench->one.listener);
    scr_browser_want(bench->browser);
    while (scr_browser_facts(bench->browser)->starts < 3 && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(bench->loop, 50);
    assert_int_equal(scr_browser_facts(bench->browser)->starts, 3);
    assert_non_null(strstr(scr_browser_facts(bench->browser)->trouble, "no usable \"thing\""));
    assert_null(strstr(scr_browser_facts(bench->browser)->trouble, "noise"));
    assert_int_equal(bench->one.ups, 0);
    assert_int_equal(bench->one.downs, 0); /* who was not told "up" is not told "down" */
    assert_null(scr_browser_cdp(bench->browser));
}

static void one_that_does_not_go_is_killed(void **state)
{
    struct bench *bench = *state;

    bring_up(bench, "deaf");
    int pid = scr_browser_facts(bench->browser)->pid;
    int64_t start_ms = df_clock_mono_ms();
    scr_browser_free(bench->browser, 200);
    bench->browser = NULL;
    assert_true(df_clock_mono_ms() - start_ms >= 200);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(profiles_in(bench), 0);
}

static void one_that_is_still_starting_can_be_ended(void **state)
{
    struct bench *bench = *state;

    make_browser(bench, "mute");
    scr_browser_want(bench->browser);
    while (scr_browser_facts(bench->browser)->starts == 0)
        scr_loop_dispatch(bench->loop, 50);
    scr_browser_free(bench->browser, 5000);
    bench->browser = NULL;
    assert_int_equal(profiles_in(bench), 0);
}

static void many_cycles_leave_nothing(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < 6; i++) {
        bring_up(bench, "family");
        scr_browser_detach(bench->browser, &bench->one.listener);
        scr_browser_free(bench->browser, 20); /* its child has to be killed each time */
        bench->browser = NULL;
        bench->one.ups = 0;
        assert_int_equal(profiles_in(bench), 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

static void children_that_ran_away_are_found(void **state)
{
    struct bench *bench = *state;

    for (int i = 0; i < 2; i++) {
        pid_t tree[8];
        bring_up(bench, "runaway");
        if (i == 0) { /* once at our end, once at its own */
            scr_browser_detach(bench->browser, &bench->one.listener);
        } else {
            assert_int_equal(kill(scr_browser_facts(bench->browser)->pid, SIGKILL), 0);
            run_until(bench, &bench->one.ups, 2);
            size_t count = scr_proctree_list(getpid(), tree, 8);
            assert_true(count <= 4); /* we, it, its runaway, and that one's parent for a moment */
        }
        scr_browser_free(bench->browser, 200);
        bench->browser = NULL;
        bench->one.ups = 0;
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    }
}

static void events_go_to_whom_they_concern(void **state)
{
    struct bench *bench = *state;

    make_browser(bench, "talk");
    scr_browser_attach(bench->browser, &bench->one.listener);
    scr_browser_attach(bench->browser, &bench->two.listener);
    scr_browser_want(bench->browser);
    run_until(bench, &bench->two.ups, 1);
    (void)strcpy(bench->one.listener.target_id, "T1");
    (void)strcpy(bench->one.listener.session_id, "S1");
    (void)strcpy(bench->two.listener.target_id, "T2");
    (void)strcpy(bench->two.listener.session_id, "S2");
    scr_browser_claim(bench->browser, &bench->one.listener, "CHILD");
    scr_cdp_send(scr_browser_cdp(bench->browser), "", "Target.getTargets", NULL, 5000, NULL, NULL);
    run_until(bench, &bench->one.events, 4);
    /* The popup that the page opened was closed at once; the stand-in reports that under T1. */
    assert_string_equal(bench->one.heard, " Target.targetCrashed;CHILD Runtime.bindingCalled;"
                                          "S1 Target.detachedFromTarget; Target.targetDestroyedP;");
    assert_string_equal(bench->two.heard, "S2 Page.loadEventFired;");
    assert_int_equal(scr_browser_strays(bench->browser), 1);
    assert_int_equal(kill(scr_browser_facts(bench->browser)->pid, SIGKILL), 0);
    run_until(bench, &bench->two.downs, 1);
    assert_string_equal(bench->one.listener.target_id, ""); /* void with their browser */
    assert_string_equal(bench->two.listener.session_id, "");
}

static void a_missing_browser_is_said_plainly(void **state)
{
    struct bench *bench = *state;
    struct df_error err;

    bench->config.chrome_path = bench->root; /* not there */
    assert_int_equal(scr_browser_new(&bench->browser, bench->loop, &bench->config, &err),
                     DF_ENOTFOUND);
    assert_non_null(strstr(err.msg, "CHROME_EXECUTABLE_PATH"));
    bench->config.chrome_path = bench->folder; /* a folder */
    assert_int_equal(scr_browser_new(&bench->browser, bench->loop, &bench->config, &err),
                     DF_ENOTFOUND);
}

static void make_folder(const struct bench *bench, const char *name)
{
    char path[300], inner[320];

    (void)snprintf(path, sizeof path, "%s/%s", bench->root, name);
    (void)snprintf(inner, sizeof inner, "%s/Default", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(inner, 0700), 0);
}

static bool has_folder(const struct bench *bench, const char *name)
{
    char path[300];
    struct stat info;

    (void)snprintf(path, sizeof path, "%s/%s", bench->root, name);
    return stat(path, &info) == 0;
}

static void only_what_the_dead_left_is_swept(void **state)
{
    struct bench *bench = *state;
    char living[64], reused[64];
    uint64_t ticks = scr_process_start_ticks(getpid());

    assert_int_equal(scr_profile_root_open(bench->root, NULL), DF_OK);
    (void)snprintf(living, sizeof living, "run-%d-%llu-1", (int)getpid(),
                   (unsigned long long)ticks);
    (void)snprintf(reused, sizeof reused, "run-%d-%llu-1", (int)getpid(),
                   (unsigned long long)ticks - 1); /* our number, but another's start */
    make_folder(bench, living);
    make_folder(bench, reused);
    make_folder(bench, "run-4194399-77-1"); /* above the highest pid there is */
    make_folder(bench, "run-4194399-77-1.txt");
    make_folder(bench, "photos");
    make_browser(bench, "normal");
    assert_true(has_folder(bench, living));
    assert_false(has_folder(bench, reused));
    assert_false(has_folder(bench, "run-4194399-77-1"));
    assert_true(has_folder(bench, "run-4194399-77-1.txt"));
    assert_true(has_folder(bench, "photos"));
}

static void removing_does_not_follow_links(void **state)
{
    struct bench *bench = *state;
    char profile[300], link[320], precious[128];
    struct stat info;

    assert_int_equal(scr_profile_root_open(bench->root, NULL), DF_OK);
    assert_int_equal(scr_profile_new(bench->root, profile, sizeof profile, NULL), DF_OK);
    (void)snprintf(precious, sizeof precious, "%s/precious", bench->folder);
    assert_int_equal(mkdir(precious, 0700), 0);
    (void)snprintf(link, sizeof link, "%s/link", profile);
    assert_int_equal(symlink(precious, link), 0);
    assert_true(scr_profile_remove(profile));
    assert_int_equal(stat(precious, &info), 0);
}

static void a_profile_root_of_others_is_refused(void **state)
{
    struct bench *bench = *state;
    struct df_error err;
    char link[128];

    assert_int_equal(scr_profile_root_open(bench->root, &err), DF_OK);
    assert_int_equal(chmod(bench->root, 0770), 0);
    assert_int_equal(scr_profile_root_open(bench->root, &err), DF_EDENIED);
    assert_int_equal(chmod(bench->root, 0755), 0);
    assert_int_equal(scr_profile_root_open(bench->root, &err), DF_OK);
    (void)snprintf(link, sizeof link, "%s/link", bench->folder);
    assert_int_equal(symlink(bench->root, link), 0);
    assert_int_equal(scr_profile_root_open(link, &err), DF_EDENIED);
    assert_int_equal(scr_profile_root_open(bench->executable, &err), DF_EDENIED);
    if (geteuid() == 0) {
        assert_int_equal(chown(bench->root, 65534, 65534), 0);
        assert_int_equal(scr_profile_root_open(bench->root, &err), DF_EDENIED);
    }
    bench->config.profile_root = link;
    assert_int_equal(scr_browser_new(&bench->browser, bench->loop, &bench->config, &err),
                     DF_EDENIED);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_starts_in_clean_surroundings),
        TEST(who_comes_later_is_told_too_and_only_once),
        TEST(after_a_kill_it_comes_back),
        TEST(with_nobody_attached_it_stays_down),
        TEST(a_failed_start_says_why_and_is_tried_again),
        TEST(one_that_does_not_go_is_killed),
        TEST(one_that_is_still_starting_can_be_ended),
        TEST(many_cycles_leave_nothing),
        TEST(children_that_ran_away_are_found),
        TEST(events_go_to_whom_they_concern),
        TEST(a_missing_browser_is_said_plainly),
        TEST(only_what_the_dead_left_is_swept),
        TEST(removing_does_not_follow_links),
        TEST(a_profile_root_of_others_is_refused),
    };
    if (flag_of(argc, argv, "--remote-debugging-pipe") != NULL)
        return play_browser(argc, argv);
    df_log_init("test", DF_LOG_ERROR);
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
