/* scraper/tab.c - the states of a page and what moves it from one to the next; what time alone
 * moves is in tab_tick.c. */
#include "scraper/tab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/tab_internal.h"
#include "shared/clock.h"
#include "shared/log.h"

#define OPENING_PAUSE_MS 500

const char *scr_state_name(enum scr_state state)
{
    static const char *const names[] = {
        [SCR_OPENING] = "opening", [SCR_LOADING] = "loading", [SCR_WAITING_CHAT] = "waiting_chat",
        [SCR_LIVE] = "live",       [SCR_QUIET] = "quiet",     [SCR_DEGRADED] = "degraded",
        [SCR_BLOCKED] = "blocked", [SCR_ENDED] = "ended",     [SCR_RECOVERING] = "recovering",
        [SCR_CLOSED] = "closed",   [SCR_FAILED] = "failed",
    };
    return names[state];
}

/* --- entering states ------------------------------------------------------------------------- */

void scr_tab_enter(struct scr_tab *tab, enum scr_state state, const char *fmt, ...)
{
    struct scr_tab_facts *facts = &tab->facts;
    enum scr_state from = facts->state;
    char reason[sizeof facts->reason], quoted[2 * sizeof reason];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    if (from == state && strcmp(reason, facts->reason) == 0)
        return;
    memcpy(facts->reason, reason, sizeof reason);
    facts->state = state;
    if (from != state)
        facts->state_since_ms = df_clock_wall_ms();
    df_log(state == SCR_FAILED || state == SCR_BLOCKED || state == SCR_RECOVERING ||
                   state == SCR_DEGRADED
               ? DF_LOG_WARN
               : DF_LOG_INFO,
           "tab_state", "show=%s from=%s to=%s reason=%s", tab->address.show_id,
           scr_state_name(from), scr_state_name(state),
           df_log_quote(quoted, sizeof quoted, reason));
    if (tab->callbacks.on_state != NULL)
        tab->callbacks.on_state(tab->callbacks.arg, from, state);
}

static void on_step_due(void *arg)
{
    struct scr_tab *tab = arg;
    tab->on_step(tab);
}

void scr_tab_step(struct scr_tab *tab, int64_t after_ms, void (*on_step)(struct scr_tab *tab))
{
    tab->on_step = on_step;
    scr_timer_set(tab->loop, &tab->step, after_ms);
}

/* At most so many loads of one address in ten minutes, whatever the reason. */
static int64_t courteous(const struct scr_tab *tab, int64_t pause_ms)
{
    int64_t wait_ms = scr_window_wait_ms(&tab->navigations, df_clock_mono_ms());
    return wait_ms > pause_ms ? wait_ms : pause_ms;
}

void scr_tab_give_up(struct scr_tab *tab, const char *reason)
{
    char why[sizeof tab->facts.reason];

    (void)snprintf(why, sizeof why, "%s", reason);
    scr_tab_drop_page(tab);
    scr_timer_cancel(tab->loop, &tab->step);
    scr_tab_enter(tab, SCR_FAILED, "%s", why);
}

void scr_tab_recover(struct scr_tab *tab, const char *reason)
{
    int64_t now_ms = df_clock_mono_ms();

    if (tab->phase == SCR_PHASE_NONE)
        return;                         /* one end is often told in several ways */
    char why[sizeof tab->facts.reason]; /* reason may live in what is dropped now */
    (void)snprintf(why, sizeof why, "%s", reason);
    bool was_ended = tab->facts.state == SCR_ENDED;
    scr_tab_drop_page(tab);
    if (was_ended)
        return; /* nothing is left to be watched */
    tab->facts.recoveries++;
    scr_window_add(&tab->recoveries, now_ms);
    size_t count = scr_window_count(&tab->recoveries, now_ms);
    if (count >= SCR_RECOVERIES_MAX) {
        scr_tab_enter(tab, SCR_FAILED, "given up after %d recoveries in 10 minutes: %.100s",
                      SCR_RECOVERIES_MAX, why);
        return;
    }
    scr_tab_step(tab, courteous(tab, scr_recovery_pause_ms(count - 1)), scr_tab_open);
    scr_tab_enter(tab, SCR_RECOVERING, "%s", why);
}

void scr_tab_opening_failed(struct scr_tab *tab, const char *reason)
{
    char why[sizeof tab->facts.reason];

    (void)snprintf(why, sizeof why, "%s", reason);
    scr_tab_drop_page(tab);
    tab->openings++;
    if (tab->openings >= SCR_OPENINGS_MAX) {
        scr_tab_enter(tab, SCR_FAILED, "the page could not be opened: %.100s", why);
        return;
    }
    scr_tab_step(tab, OPENING_PAUSE_MS * (int64_t)tab->openings, scr_tab_open);
    scr_tab_enter(tab, SCR_OPENING, "%s", why);
}

void scr_tab_blocked(struct scr_tab *tab, const char *reason)
{
    char why[sizeof tab->facts.reason];

    (void)snprintf(why, sizeof why, "%s", reason);
    scr_timer_cancel(tab->loop, &tab->tick);
    tab->is_wall = false;
    scr_tab_step(tab, courteous(tab, scr_blocked_pause_ms(tab->walls++)), scr_tab_open);
    scr_tab_enter(tab, SCR_BLOCKED, "%s", why);
    /* A wall is left alone: no page stays open before it, unless a picture of it is being taken. */
    if (tab->shot.done != NULL)
        tab->should_drop_after_shot = true;
    else
        scr_tab_drop_page(tab);
}

void scr_tab_degrade(struct scr_tab *tab, const char *reason)
{
    tab->is_gap = false;
    tab->reload_due_ms = df_clock_mono_ms() + scr_reload_pause_ms(tab->reloads);
    scr_tab_enter(tab, SCR_DEGRADED, "%s", reason);
}

void scr_tab_live(struct scr_tab *tab)
{
    tab->openings = tab->walls = tab->reloads = 0;
    tab->is_gap = false;
    tab->last_chat_ms = df_clock_mono_ms();
    scr_tab_enter(tab, SCR_LIVE, "%s", "");
}

/* --- what the page tells --------------------------------------------------------------------- */

void scr_tab_on_life(struct scr_tab *tab)
{
    tab->facts.last_life_ms = df_clock_wall_ms();
    if (tab->callbacks.on_life != NULL)
        tab->callbacks.on_life(tab->callbacks.arg);
}

void scr_tab_on_chat(struct scr_tab *tab)
{
    tab->last_chat_ms = df_clock_mono_ms();
    tab->facts.last_line_ms = df_clock_wall_ms();
    if (tab->facts.state == SCR_QUIET)
        scr_tab_enter(tab, SCR_LIVE, "%s", "");
}

void scr_tab_on_ended(struct scr_tab *tab, bool is_ended)
{
    enum scr_state state = tab->facts.state;

    if (is_ended && (state == SCR_WAITING_CHAT || state == SCR_LIVE || state == SCR_QUIET ||
                     state == SCR_DEGRADED)) {
        scr_tab_enter(tab, SCR_ENDED, "%s", "the show has ended");
    } else if (!is_ended && state == SCR_ENDED && tab->phase == SCR_PHASE_PAGE) {
        tab->waiting_since_ms = df_clock_mono_ms();
        scr_tab_enter(tab, SCR_WAITING_CHAT, "%s", "the show goes on");
        scr_tab_decide(tab);
    }
}

void scr_tab_on_document(struct scr_tab *tab)
{
    int status = tab->document_status;
    int64_t now_ms = df_clock_mono_ms();
    char reason[96];

    tab->phase = SCR_PHASE_PAGE;
    tab->document_ms = tab->last_sign_ms = tab->ticked_ms = now_ms;
    if (!tab->is_redrawn)
        tab->waiting_since_ms = now_ms;
    tab->is_redrawn = false;
    tab->facts_due_ms = now_ms + 500;
    tab->heap_due_ms = now_ms + 10000;
    tab->facts.http_status = status;
    scr_read_begin(tab);
    (void)snprintf(reason, sizeof reason, "the site answered with status %d", status);
    if (status == 404 || status == 410) {
        (void)snprintf(reason, sizeof reason, "there is no such page (status %d)", status);
        scr_tab_give_up(tab, reason);
        return;
    }
    tab->is_wall = status == 401 || status == 403 || status == 429 || status == 503;
    if (status >= 400 && !tab->is_wall) {
        scr_tab_recover(tab, reason);
        return;
    }
    scr_tick_start(tab);
    if (!tab->is_wall && tab->facts.state != SCR_ENDED)
        scr_tab_enter(tab, SCR_WAITING_CHAT, "%s",
                      tab->facts.state == SCR_LOADING ? "" : "the page has loaded itself anew");
}

/* --- which source ---------------------------------------------------------------------------- */

static void on_poll(void *arg)
{
    scr_read_poll(arg);
}

static void switch_source(struct scr_tab *tab, enum scr_source from, enum scr_source to)
{
    tab->facts.source = to;
    tab->is_awaiting_snapshot = to == SCR_SOURCE_DOCUMENT;
    tab->check = (struct scr_check){0};
    tab->check_due_ms = df_clock_mono_ms() + SCR_CHECK_EVERY_MS;
    if (to == SCR_SOURCE_FRAMES)
        tab->must_draw = false; /* when it is opened the next time */
    df_log(DF_LOG_INFO, "source_changed", "show=%s from=%s to=%s", tab->address.show_id,
           scr_source_name(from), scr_source_name(to));
    /* What a source brought while another one was listened to is dropped, not kept: the snapshot
     * with which it begins holds it. */
    (void)scr_tab_evaluate(tab, to == SCR_SOURCE_FRAMES ? SCR_PAGE_COUNT : SCR_PAGE_REPORT, NULL);
}

void scr_tab_decide(struct scr_tab *tab)
{
    int64_t now_ms = df_clock_mono_ms();
    enum scr_state state = tab->facts.state;

    if (tab->phase != SCR_PHASE_PAGE || tab->is_wall || state == SCR_BLOCKED)
        return;
    enum scr_source before = tab->facts.source;
    enum scr_source after = scr_choice_decide(&tab->choice, now_ms);
    if (before != after)
        switch_source(tab, before, after);
    if (after != SCR_SOURCE_NONE &&
        (state == SCR_WAITING_CHAT || (state == SCR_DEGRADED && !tab->is_gap)))
        scr_tab_live(tab);
    else if (after == SCR_SOURCE_NONE && (state == SCR_LIVE || state == SCR_QUIET))
        scr_tab_degrade(tab, "the chat has gone from the page");
    if (scr_choice_wants_poll(&tab->choice, now_ms) && !tab->is_poll_pending &&
        !scr_timer_is_set(&tab->poll))
        scr_timer_set(tab->loop, &tab->poll, 0);
}

/* --- what the browser tells ------------------------------------------------------------------ */

static void on_down(void *arg, const char *reason)
{
    struct scr_tab *tab = arg;
    char why[128];

    if (tab->phase == SCR_PHASE_NONE || tab->phase == SCR_PHASE_BROWSER)
        return;
    (void)snprintf(why, sizeof why, "the browser ended: %.100s", reason);
    scr_tab_recover(tab, why);
}

static void on_up(void *arg)
{
    scr_tab_on_browser_up(arg);
}

static bool is_ours(const struct scr_tab *tab, const json_t *params, const char *key,
                    const char *want)
{
    const char *value = json_string_value(json_object_get(params, key));
    return want[0] != '\0' && value != NULL && strcmp(value, want) == 0 &&
           tab->phase >= SCR_PHASE_SETUP;
}

static void on_root_event(struct scr_tab *tab, const char *method, const json_t *params)
{
    if (!is_ours(tab, params, "targetId", tab->listener.target_id))
        return;
    if (strcmp(method, "Target.targetCrashed") == 0)
        scr_tab_recover(tab, "the page crashed");
    else if (strcmp(method, "Target.targetDestroyed") == 0)
        scr_tab_recover(tab, "the page was closed");
    else if (strcmp(method, "Target.detachedFromTarget") == 0 &&
             is_ours(tab, params, "sessionId", tab->listener.session_id))
        scr_tab_recover(tab, "the browser let go of the page");
}

static void on_page_event(struct scr_tab *tab, const char *method, const json_t *params)
{
    const json_t *frame = json_object_get(params, "frame");
    const char *url = json_string_value(json_object_get(frame, "url"));

    if (strcmp(method, "Inspector.targetCrashed") == 0) {
        scr_tab_recover(tab, "the page crashed");
    } else if (strcmp(method, "Inspector.detached") == 0) {
        scr_tab_recover(tab, "the browser let go of the page");
    } else if (strcmp(method, "Network.responseReceived") == 0) {
        scr_guard_on_response(tab, params);
    } else if (strcmp(method, "Page.domContentEventFired") == 0) {
        scr_choice_loaded(&tab->choice, df_clock_mono_ms());
        scr_read_ask_facts(tab);
    } else if (strcmp(method, "Page.loadEventFired") == 0) {
        scr_tab_end_turn(tab);
    } else if (strcmp(method, "Page.javascriptDialogOpening") == 0) {
        scr_tab_send(tab, "Page.handleJavaScriptDialog", json_pack("{s:b}", "accept", 0),
                     SCR_CDP_DEADLINE_MS, NULL);
    } else if (strcmp(method, "Page.frameNavigated") == 0 && url != NULL &&
               is_ours(tab, frame, "id", tab->listener.target_id) && tab->phase >= SCR_PHASE_LOAD &&
               strcmp(url, "about:blank") != 0) {
        if (json_object_get(frame, "unreachableUrl") == NULL)
            scr_tab_on_document(tab);
        else if (tab->phase == SCR_PHASE_PAGE) /* while loading, the answer to navigate says why */
            scr_tab_recover(tab, "the page went to an address that cannot be reached");
    }
}

static void on_event(void *arg, const char *session_id, const char *method, const json_t *params)
{
    struct scr_tab *tab = arg;

    if (tab->phase < SCR_PHASE_SETUP)
        return;
    if (session_id[0] == '\0') {
        on_root_event(tab, method, params);
        return;
    }
    if (strcmp(method, "Fetch.requestPaused") == 0) {
        scr_guard_on_paused(tab, session_id, params);
        return;
    }
    if (strcmp(method, "Target.attachedToTarget") == 0) {
        scr_tab_on_child(tab, params);
        return;
    }
    bool is_page = strcmp(session_id, tab->listener.session_id) == 0;
    if (scr_read_on_event(tab, method, params, is_page))
        return;
    if (is_page)
        on_page_event(tab, method, params);
}

/* --- life ------------------------------------------------------------------------------------ */

enum df_code scr_tab_new(struct scr_tab **out, struct scr_loop *loop, struct scr_browser *browser,
                         const struct scr_config *config, const struct scr_rules *rules,
                         const struct scr_address *address,
                         const struct scr_tab_callbacks *callbacks, struct df_error *err)
{
    struct scr_tab *tab = calloc(1, sizeof *tab);

    *out = NULL;
    if (tab == NULL)
        return df_error_set(err, DF_ENOMEM, "tab: out of memory");
    tab->loop = loop;
    tab->browser = browser;
    tab->config = config;
    tab->rules = rules;
    tab->address = *address;
    tab->callbacks = *callbacks;
    tab->policy = (struct scr_address_policy){.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON};
    if (address->is_local_page) /* no other page may lead there */
        tab->policy.local_page = config->local_page;
    tab->facts.viewers = -1;
    tab->facts.state_since_ms = df_clock_wall_ms();
    tab->listener.arg = tab;
    tab->listener.on_up = on_up;
    tab->listener.on_down = on_down;
    tab->listener.on_event = on_event;
    scr_tick_init(tab);
    tab->step = (struct scr_timer){.on_due = on_step_due, .arg = tab};
    tab->poll = (struct scr_timer){.on_due = on_poll, .arg = tab};
    tab->turn = (struct scr_timer){.on_due = scr_tab_on_turn_over, .arg = tab};
    scr_draw_init(tab);
    scr_browser_attach(browser, &tab->listener);
    scr_browser_want(browser);
    scr_tab_step(tab, 0, scr_tab_open);
    *out = tab;
    return DF_OK;
}

void scr_tab_free(struct scr_tab *tab)
{
    if (tab == NULL)
        return;
    tab->callbacks = (struct scr_tab_callbacks){0};
    scr_tab_drop_page(tab);
    scr_timer_cancel(tab->loop, &tab->step);
    scr_browser_detach(tab->browser, &tab->listener);
    free(tab);
}

const struct scr_tab_facts *scr_tab_facts(const struct scr_tab *tab)
{
    return &tab->facts;
}

const struct scr_address *scr_tab_address(const struct scr_tab *tab)
{
    return &tab->address;
}
