/* scraper/tab_setup.c - from a browser to a page that loads: context, target, session, domains, the
 * script in its own world, navigation. The order matters: what is enabled before the first document
 * misses nothing, and a socket that was open before is never seen. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/tab_internal.h"
#include "shared/clock.h"

/* A context that is being made outlives the tab that asked for it: whoever gets its id must close
 * it. */
struct scr_opening {
    struct scr_tab *tab; /* NULL: nobody wants it any more */
    struct scr_browser *browser;
};

/* --- talking to the page --------------------------------------------------------------------- */

void scr_tab_send(struct scr_tab *tab, const char *method, json_t *params, int64_t deadline_ms,
                  scr_cdp_reply_fn *on_reply)
{
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);

    if (cdp == NULL) { /* _on_down follows at once */
        json_decref(params);
        return;
    }
    scr_cdp_send(cdp, tab->listener.session_id, method, params, deadline_ms, on_reply, tab);
}

static void send_to(struct scr_tab *tab, const char *session_id, const char *method, json_t *params)
{
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);

    if (cdp != NULL)
        scr_cdp_send(cdp, session_id, method, params, SCR_CDP_DEADLINE_MS, NULL, NULL);
    else
        json_decref(params);
}

bool scr_tab_evaluate(struct scr_tab *tab, const char *expression, scr_cdp_reply_fn *on_reply)
{
    if (tab->world_id == 0)
        return false;
    scr_tab_send(tab, "Runtime.evaluate",
                 json_pack("{s:s,s:I,s:b}", "expression", expression, "contextId",
                           (json_int_t)tab->world_id, "returnByValue", 1),
                 SCR_CDP_DEADLINE_MS, on_reply);
    return true;
}

/* --- turns ----------------------------------------------------------------------------------- */

void scr_tab_end_turn(struct scr_tab *tab)
{
    scr_timer_cancel(tab->loop, &tab->turn);
    if (!tab->has_turn)
        return;
    tab->has_turn = false;
    scr_browser_navigation_done(tab->browser, tab);
}

void scr_tab_on_turn_over(void *arg)
{
    scr_tab_end_turn(arg);
}

/* --- closing --------------------------------------------------------------------------------- */

static void dispose(struct scr_browser *browser, const char *context_id)
{
    struct scr_cdp *cdp = scr_browser_cdp(browser);

    if (cdp != NULL)
        scr_cdp_send(cdp, "", "Target.disposeBrowserContext",
                     json_pack("{s:s}", "browserContextId", context_id), SCR_CDP_DEADLINE_MS, NULL,
                     NULL);
}

void scr_tab_drop_page(struct scr_tab *tab)
{
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);

    scr_draw_stop(tab, "the page was closed");
    scr_timer_cancel(tab->loop, &tab->tick);
    scr_timer_cancel(tab->loop, &tab->poll);
    if (tab->phase == SCR_PHASE_TURN)
        tab->has_turn = true; /* withdrawn by the same call */
    scr_tab_end_turn(tab);
    if (cdp != NULL)
        scr_cdp_forget(cdp, tab);
    if (tab->opening != NULL)
        tab->opening->tab = NULL;
    tab->opening = NULL;
    if (tab->context_id[0] != '\0')
        dispose(tab->browser, tab->context_id);
    tab->context_id[0] = '\0';
    tab->listener.target_id[0] = tab->listener.session_id[0] = '\0';
    tab->world_id = 0;
    tab->socket_count = 0;
    tab->is_wall = tab->is_beat_pending = tab->is_facts_pending = tab->is_poll_pending = false;
    tab->facts.source = SCR_SOURCE_NONE;
    tab->phase = SCR_PHASE_NONE;
}

/* --- navigation ------------------------------------------------------------------------------ */

static void on_navigated(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;
    const char *text = json_string_value(json_object_get(result, "errorText"));
    char reason[128];

    if (tab->phase != SCR_PHASE_LOAD)
        return; /* the document was faster than this answer */
    if (err != NULL && err->code == DF_ETIMEOUT) {
        (void)snprintf(reason, sizeof reason, "the page did not load within %lld s",
                       (long long)(tab->config->navigation_timeout_ms / 1000));
        scr_tab_recover(tab, reason);
    } else if (err != NULL) {
        scr_tab_recover(tab, err->msg);
    } else if (json_is_true(json_object_get(result, "isDownload"))) {
        scr_tab_give_up(tab, "the address is a download, not a page");
    } else if (text != NULL && strcmp(text, "net::ERR_HTTP_RESPONSE_CODE_FAILURE") == 0) {
        scr_tab_on_document(tab); /* a status without a body: judged by the status */
    } else if (text != NULL) {
        (void)snprintf(reason, sizeof reason, "the page cannot be reached (%.64s)", text);
        scr_tab_recover(tab, reason);
    }
}

static void navigate(struct scr_tab *tab)
{
    tab->phase = SCR_PHASE_LOAD;
    tab->document_status = 0;
    tab->facts.navigations++;
    scr_window_add(&tab->navigations, df_clock_mono_ms());
    scr_timer_set(tab->loop, &tab->turn, SCR_TURN_MAX_MS);
    scr_tab_send(tab, "Page.navigate", json_pack("{s:s}", "url", tab->address.url),
                 tab->config->navigation_timeout_ms, on_navigated);
    scr_tab_enter(tab, SCR_LOADING, "%s", "");
}

/* --- setting up ------------------------------------------------------------------------------ */

static void on_set_up(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;

    (void)result;
    if (err != NULL) {
        scr_tab_opening_failed(tab, err->msg);
        return;
    }
    if (--tab->setup_pending == 0)
        navigate(tab);
}

static void need(struct scr_tab *tab, const char *method, json_t *params)
{
    tab->setup_pending++;
    scr_tab_send(tab, method, params, SCR_CDP_DEADLINE_MS, on_set_up);
}

static json_t *network_params(void)
{
    return json_pack("{s:i,s:i}", "maxTotalBufferSize", 0, "maxResourceBufferSize", 0);
}

static json_t *fetch_params(void)
{
    return json_pack("{s:[{s:s,s:s,s:s}]}", "patterns", "urlPattern", "*", "resourceType",
                     "Document", "requestStage", "Request");
}

static json_t *auto_attach_params(void)
{
    return json_pack("{s:b,s:b,s:b}", "autoAttach", 1, "waitForDebuggerOnStart", 1, "flatten", 1);
}

static json_t *blocked_params(const struct scr_rules *rules)
{
    const char *const *blocked = scr_rules_blocked(rules);
    json_t *urls = json_array();

    for (size_t i = 0; blocked[i] != NULL; i++)
        json_array_append_new(urls, json_string(blocked[i]));
    return json_pack("{s:o}", "urls", urls);
}

static void set_up_session(struct scr_tab *tab)
{
    tab->setup_pending = 0;
    need(tab, "Page.enable", NULL);
    need(tab, "Inspector.enable", NULL);
    need(tab, "Runtime.enable", NULL); /* without it a binding does nothing */
    need(tab, "Network.enable", network_params());
    need(tab, "Network.setBlockedURLs", blocked_params(tab->rules));
    need(tab, "Fetch.enable", fetch_params());
    need(tab, "Target.setAutoAttach", auto_attach_params());
    if (tab->config->user_agent != NULL && tab->config->user_agent[0] != '\0')
        need(tab, "Network.setUserAgentOverride",
             json_pack("{s:s}", "userAgent", tab->config->user_agent));
    need(tab, "Runtime.addBinding",
         json_pack("{s:s,s:s}", "name", SCR_PAGE_BINDING, "executionContextName", SCR_PAGE_WORLD));
    need(tab, "Page.addScriptToEvaluateOnNewDocument",
         json_pack("{s:s,s:s,s:b}", "source", scr_rules_page_script(tab->rules), "worldName",
                   SCR_PAGE_WORLD, "runImmediately", 1));
}

/* Copies an id out of an answer; false when there is none that fits. */
static bool take_id(char *out, size_t out_size, const json_t *result, const char *key)
{
    const json_t *value = json_object_get(result, key);
    size_t len = json_string_length(value);

    if (len == 0 || len >= out_size)
        return false;
    memcpy(out, json_string_value(value), len + 1);
    return true;
}

static void on_session(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;

    if (err != NULL ||
        !take_id(tab->listener.session_id, sizeof tab->listener.session_id, result, "sessionId")) {
        scr_tab_opening_failed(tab, err != NULL ? err->msg : "the browser named no session");
        return;
    }
    set_up_session(tab);
}

static void on_target(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);

    if (err != NULL || cdp == NULL ||
        !take_id(tab->listener.target_id, sizeof tab->listener.target_id, result, "targetId")) {
        scr_tab_opening_failed(tab, err != NULL ? err->msg : "the browser named no target");
        return;
    }
    tab->facts.opened_ms = df_clock_mono_ms();
    scr_cdp_send(cdp, "", "Target.attachToTarget",
                 json_pack("{s:s,s:b}", "targetId", tab->listener.target_id, "flatten", 1),
                 SCR_CDP_DEADLINE_MS, on_session, tab);
}

/* Undrawn pages cost a third of drawn ones, but their rows may need animation frames: where the
 * document is read, the page is drawn. */
static bool should_draw(const struct scr_tab *tab)
{
    if (!scr_browser_facts(tab->browser)->can_begin_frame || tab->config->draw == SCR_DRAW_ALWAYS)
        return true;
    return tab->config->draw == SCR_DRAW_AUTO &&
           (tab->must_draw || tab->config->source == SCR_CHOOSE_DOCUMENT ||
            tab->config->source == SCR_CHOOSE_POLLING);
}

static void on_context(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_opening *opening = arg;
    struct scr_tab *tab = opening->tab;
    struct scr_browser *browser = opening->browser;
    char context_id[SCR_ID_MAX_BYTES] = "";

    free(opening);
    bool is_made =
        err == NULL && take_id(context_id, sizeof context_id, result, "browserContextId");
    if (tab == NULL) {
        if (is_made)
            dispose(browser, context_id);
        return;
    }
    tab->opening = NULL;
    struct scr_cdp *cdp = scr_browser_cdp(browser);
    if (!is_made || cdp == NULL) {
        scr_tab_opening_failed(tab, err != NULL ? err->msg : "the browser named no context");
        return;
    }
    memcpy(tab->context_id, context_id, sizeof context_id);
    tab->facts.is_drawn = should_draw(tab);
    json_t *params = json_pack("{s:s,s:s,s:i,s:i}", "url", "about:blank", "browserContextId",
                               context_id, "width", 1366, "height", 768);
    if (!tab->facts.is_drawn)
        json_object_set_new(params, "enableBeginFrameControl", json_true());
    scr_cdp_send(cdp, "", "Target.createTarget", params, SCR_CDP_DEADLINE_MS, on_target, tab);
}

static void on_turn(void *arg)
{
    struct scr_tab *tab = arg;
    struct scr_cdp *cdp = scr_browser_cdp(tab->browser);
    struct scr_opening *opening = NULL;

    if (cdp != NULL)
        opening = calloc(1, sizeof *opening);
    tab->phase = SCR_PHASE_SETUP;
    tab->has_turn = true;
    if (opening == NULL) {
        scr_tab_opening_failed(tab, cdp == NULL ? "the browser is down" : "out of memory");
        return;
    }
    opening->tab = tab;
    opening->browser = tab->browser;
    tab->opening = opening;
    scr_cdp_send(cdp, "", "Target.createBrowserContext", json_pack("{s:b}", "disposeOnDetach", 1),
                 SCR_CDP_DEADLINE_MS, on_context, opening);
}

void scr_tab_on_browser_up(struct scr_tab *tab)
{
    if (tab->phase != SCR_PHASE_BROWSER)
        return;
    tab->phase = SCR_PHASE_TURN;
    scr_browser_navigation_turn(tab->browser, on_turn, tab);
}

void scr_tab_open(struct scr_tab *tab)
{
    scr_tab_drop_page(tab);
    tab->phase = SCR_PHASE_BROWSER;
    tab->facts.http_status = 0;
    tab->facts.strategy[0] = '\0';
    if (tab->facts.state != SCR_OPENING) /* else the reason stays */
        scr_tab_enter(tab, SCR_OPENING, "%s", "");
    scr_browser_want(tab->browser);
    if (scr_browser_cdp(tab->browser) != NULL && scr_browser_facts(tab->browser)->is_up)
        scr_tab_on_browser_up(tab);
}

/* --- frames in other processes, and workers -------------------------------------------------- */

void scr_tab_on_child(struct scr_tab *tab, const json_t *params)
{
    const char *child = json_string_value(json_object_get(params, "sessionId"));
    const json_t *info = json_object_get(params, "targetInfo");
    const char *type = json_string_value(json_object_get(info, "type"));

    if (child == NULL || type == NULL || strlen(child) >= SCR_ID_MAX_BYTES)
        return;
    scr_browser_claim(tab->browser, &tab->listener, child);
    /* The chat's socket may be opened there. Documents are judged there, too. */
    send_to(tab, child, "Network.enable", network_params());
    if (strcmp(type, "iframe") == 0) {
        send_to(tab, child, "Network.setBlockedURLs", blocked_params(tab->rules));
        send_to(tab, child, "Fetch.enable", fetch_params());
        send_to(tab, child, "Target.setAutoAttach", auto_attach_params());
    }
    send_to(tab, child, "Runtime.runIfWaitingForDebugger", NULL);
}
