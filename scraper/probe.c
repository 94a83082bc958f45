/* scraper/probe.c - the first thing support asks for. */
#include "scraper/probe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scraper/shots.h"
#include "scraper/tab.h"
#include "scraper/verdict.h"
#include "shared/clock.h"

enum { LINES_WANTED = 10, DEADLINE_MS = 60000, CLOSE_MS = 3000 };

struct probe {
    const struct scr_config *config;
    const struct df_intent_model *model;
    struct df_capture_rule rule;
    struct scr_tab *tab;
    int64_t began_ms;
    int lines;
    bool was_live, is_over, has_picture;
};

static void say(const struct probe *probe, const char *what)
{
    printf("%6.1f s  %s", (double)(df_clock_mono_ms() - probe->began_ms) / 1000.0, what);
}

static void on_state(void *arg, enum scr_state from, enum scr_state to)
{
    struct probe *probe = arg;
    const struct scr_tab_facts *facts = scr_tab_facts(probe->tab);

    (void)from;
    say(probe, scr_state_name(to));
    if (facts->reason[0] != '\0')
        printf(": %s", facts->reason);
    if (to == SCR_LIVE) {
        probe->was_live = true;
        printf(" (source: %s, page %s)", scr_source_name(facts->source),
               facts->is_drawn ? "drawn" : "not drawn");
    }
    printf("\n");
    if (to == SCR_ENDED || to == SCR_FAILED || to == SCR_BLOCKED)
        probe->is_over = true;
}

static void on_facts(void *arg)
{
    struct probe *probe = arg;
    const struct scr_tab_facts *facts = scr_tab_facts(probe->tab);

    say(probe, "show");
    printf(": \"%s\" by %s, %lld viewers\n", facts->title,
           facts->host[0] == '\0' ? "?" : facts->host, (long long)facts->viewers);
}

/* Control bytes of a message must not reach the terminal. */
static void print_text(const char *text)
{
    for (; *text != '\0'; text++)
        (void)putchar((unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void on_lines(void *arg, const struct scr_lines *lines)
{
    struct probe *probe = arg;
    struct scr_verdict verdict;
    char about[40];

    for (size_t i = 0; i < lines->count && probe->lines < LINES_WANTED; i++) {
        const struct scr_line *line = &lines->line[i];
        scr_verdict_make(&verdict, probe->model, &probe->rule, probe->config->platform,
                         line->username, line->text, line->kind, line->role);
        (void)snprintf(about, sizeof about, "%s %s", scr_source_name(lines->source),
                       scr_kind_name(line->kind));
        say(probe, about);
        if (line->kind == SCR_CHAT)
            printf(" %.2f%s", verdict.judged.confidence, verdict.is_buyer ? " BUYER" : "");
        printf("  ");
        print_text(line->username);
        printf(": ");
        print_text(line->text);
        printf("\n");
        probe->lines++;
    }
    if (probe->lines >= LINES_WANTED)
        probe->is_over = true;
}

static void on_life(void *arg)
{
    (void)arg;
}

static void on_png(void *arg, const unsigned char *png, size_t png_len, const struct df_error *err)
{
    struct probe *probe = arg;
    struct df_error failed = {0};
    char path[512];

    probe->has_picture = true;
    if (png == NULL)
        printf("no picture: %s\n", err->msg);
    else if (scr_shots_write(".", 1000, "probe", "page", png, png_len, path, sizeof path, &failed) !=
             DF_OK)
        printf("no picture: %s\n", failed.msg);
    else
        printf("picture:   %s\n", path);
}

static void conclude(const struct probe *probe)
{
    const struct scr_tab_facts *facts = scr_tab_facts(probe->tab);

    printf("\nstate:     %s%s%s\n", scr_state_name(facts->state),
           facts->reason[0] == '\0' ? "" : ", ", facts->reason);
    printf("status:    %d\n", facts->http_status);
    printf("source:    %s\n", scr_source_name(facts->source));
    printf("strategy:  %s\n", facts->strategy[0] == '\0'
                                  ? "none: no chat list was found in the document"
                                  : facts->strategy);
    printf("messages:  %d read\n", probe->lines);
    if (facts->source == SCR_SOURCE_NONE)
        printf("advice:    look at the picture; if it shows chat, the rules need a new strategy "
               "(SCRAPER_RULES_FILE)\n");
}

static void watch(struct probe *probe, struct scr_loop *loop)
{
    while (!probe->is_over && df_clock_mono_ms() - probe->began_ms < DEADLINE_MS) {
        scr_loop_dispatch(loop, 200);
        (void)fflush(stdout);
    }
    conclude(probe);
    int64_t until_ms = df_clock_mono_ms() + 6000;
    scr_tab_screenshot(probe->tab, on_png, probe);
    while (!probe->has_picture && df_clock_mono_ms() < until_ms)
        scr_loop_dispatch(loop, 200);
}

int scr_probe_run(const struct scr_config *config, const struct scr_rules *rules,
                  const struct df_intent_model *model, const char *url)
{
    struct scr_loop *loop = NULL;
    struct scr_browser *browser = NULL;
    struct scr_address address;
    struct df_error err = {0};
    const struct scr_address_policy policy = {.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON,
                                              .local_page = config->local_page};
    struct probe probe = {.config = config,
                          .model = model,
                          .rule = {.threshold = config->confidence_threshold, .type_mask = ~0U},
                          .began_ms = df_clock_mono_ms()};
    const struct scr_tab_callbacks callbacks = {.arg = &probe,
                                                .on_state = on_state,
                                                .on_facts = on_facts,
                                                .on_lines = on_lines,
                                                .on_life = on_life};

    enum df_code rc = scr_address_parse(&address, url, strlen(url), &policy, &err);
    if (rc == DF_OK)
        rc = scr_loop_new(&loop, &err);
    if (rc == DF_OK)
        rc = scr_browser_new(&browser, loop, config, &err);
    if (rc == DF_OK) {
        printf("browser:   %s\n", scr_browser_facts(browser)->executable);
        rc = scr_tab_new(&probe.tab, loop, browser, config, rules, &address, &callbacks, &err);
    }
    if (rc == DF_OK)
        watch(&probe, loop);
    else
        (void)fprintf(stderr, "dealflow-scraper: %s\n", err.msg);
    scr_tab_free(probe.tab);
    scr_browser_free(browser, CLOSE_MS);
    scr_loop_free(loop);
    return probe.lines > 0 ? 0 : 1;
}
