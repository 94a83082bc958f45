/* scraper/tab_tick.c - what is looked at from time to time: is the page alive, do its sources
 * agree, has a state lasted too long. */
#include <stdio.h>

#include "scraper/tab_internal.h"
#include "shared/clock.h"

#define FACTS_MS         30000 /* the page tells by itself when it matters */
#define HEAP_MS          60000
#define PAUSE_OF_OURS_MS 5000 /* a tick this late means that we were stopped, not the page */

void scr_tick_start(struct scr_tab *tab)
{
    bool is_settled = tab->facts.source != SCR_SOURCE_NONE;
    scr_timer_set(tab->loop, &tab->tick, is_settled ? SCR_TICK_MS : SCR_TICK_WAITING_MS);
}

static void on_beat(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;

    (void)result;
    tab->is_beat_pending = false;
    if (err == NULL || err->code != DF_ETIMEOUT) /* an error is an answer, too */
        tab->last_sign_ms = df_clock_mono_ms();
}

static void on_heap(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;
    double used = json_number_value(json_object_get(result, "totalSize")) +
                  json_number_value(json_object_get(result, "embedderHeapUsedSize")) +
                  json_number_value(json_object_get(result, "backingStorageSize"));

    if (err == NULL && used >= 0 && used < 1e15)
        tab->facts.heap_bytes = (int64_t)used;
}

/* False: the page hangs, and was given up. Any event of its main thread is a sign of life; only a
 * page that says nothing is asked. */
static bool check_health(struct scr_tab *tab, int64_t now_ms)
{
    int64_t silent_ms = now_ms - tab->last_sign_ms, limit_ms = 2 * tab->config->heartbeat_ms;
    char reason[96];

    if (now_ms - tab->ticked_ms > PAUSE_OF_OURS_MS)
        tab->last_sign_ms = now_ms;
    else if (silent_ms >= limit_ms) {
        (void)snprintf(reason, sizeof reason, "the page has not answered for %lld s",
                       (long long)(silent_ms / 1000));
        scr_tab_recover(tab, reason);
        return false;
    }
    tab->ticked_ms = now_ms;
    if (!tab->is_beat_pending && silent_ms >= tab->config->heartbeat_ms / 5) {
        tab->is_beat_pending = true;
        scr_tab_send(tab, "Runtime.evaluate",
                     json_pack("{s:s,s:b}", "expression", "0", "returnByValue", 1), limit_ms,
                     on_beat);
    }
    if (now_ms >= tab->facts_due_ms && !tab->is_facts_pending) {
        tab->facts_due_ms = now_ms + FACTS_MS;
        scr_read_ask_facts(tab);
    }
    if (now_ms >= tab->heap_due_ms) {
        tab->heap_due_ms = now_ms + HEAP_MS;
        scr_tab_send(tab, "Runtime.getHeapUsage", NULL, SCR_CDP_DEADLINE_MS, on_heap);
    }
    return true;
}

/* Compares frames with the document. In an undrawn page rows may be missing, which is no fault. */
static void cross_check(struct scr_tab *tab, int64_t now_ms)
{
    enum scr_state state = tab->facts.state;

    if (tab->facts.source != SCR_SOURCE_FRAMES || now_ms < tab->check_due_ms)
        return;
    tab->check_due_ms = now_ms + SCR_CHECK_EVERY_MS;
    enum scr_check_verdict verdict = scr_check_judge(&tab->check);
    if (verdict == SCR_CHECK_SHORT && (state == SCR_LIVE || state == SCR_QUIET)) {
        tab->is_gap = true;
        scr_tab_enter(tab, SCR_DEGRADED, "%s", "the page shows more lines than its socket brings");
    } else if (verdict == SCR_CHECK_FINE && state == SCR_DEGRADED && tab->is_gap) {
        scr_tab_live(tab);
    }
}

/* True when the page is opened anew, because it must be drawn to be read. */
static bool redraw(struct scr_tab *tab, int64_t now_ms)
{
    enum scr_state state = tab->facts.state;

    if ((state != SCR_WAITING_CHAT && state != SCR_LIVE && state != SCR_QUIET &&
         state != SCR_DEGRADED) ||
        !scr_choice_wants_drawing(&tab->choice, now_ms) ||
        scr_window_wait_ms(&tab->navigations, now_ms) > 0)
        return false;
    tab->must_draw = true;
    tab->is_redrawn = state == SCR_WAITING_CHAT;
    scr_tab_drop_page(tab);
    scr_tab_enter(tab, SCR_OPENING, "%s", "no chat on the page's sockets: opened anew to be drawn");
    scr_tab_open(tab);
    return true;
}

static void reload(struct scr_tab *tab)
{
    tab->reloads++;
    scr_tab_drop_page(tab);
    scr_tab_open(tab);
}

static void check_patience(struct scr_tab *tab, int64_t now_ms)
{
    switch (tab->facts.state) {
    case SCR_WAITING_CHAT:
        if (now_ms - tab->waiting_since_ms >= SCR_WAIT_CHAT_MS)
            scr_tab_degrade(tab, "no chat was found on the page within 30 s");
        break;
    case SCR_LIVE:
        if (now_ms - tab->last_chat_ms >= tab->config->quiet_after_ms)
            scr_tab_enter(tab, SCR_QUIET, "no chat for %lld s",
                          (long long)(tab->config->quiet_after_ms / 1000));
        break;
    case SCR_DEGRADED:
        if (!tab->is_gap && now_ms >= tab->reload_due_ms &&
            scr_window_wait_ms(&tab->navigations, now_ms) == 0)
            reload(tab);
        break;
    default:
        break;
    }
}

static void on_tick(void *arg)
{
    struct scr_tab *tab = arg;
    int64_t now_ms = df_clock_mono_ms();
    char reason[96];

    if (tab->phase != SCR_PHASE_PAGE)
        return;
    if (tab->is_wall && now_ms - tab->document_ms >= SCR_WALL_TITLE_MS) {
        (void)snprintf(reason, sizeof reason, "the site answered with status %d",
                       tab->document_status);
        scr_tab_blocked(tab, reason);
        return;
    }
    scr_tick_start(tab);
    if (!check_health(tab, now_ms))
        return;
    scr_tab_decide(tab);
    cross_check(tab, now_ms);
    if (!redraw(tab, now_ms))
        check_patience(tab, now_ms);
}

void scr_tick_init(struct scr_tab *tab)
{
    tab->tick = (struct scr_timer){.on_due = on_tick, .arg = tab};
}
