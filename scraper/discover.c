/* scraper/discover.c - one look at the index page: a context of its own, a page in it, the list
 * read until it stands still, everything closed again.
 *
 *   wait for the browser -> for a turn -> context -> target -> session -> set up -> navigate ->
 * read */
#include "scraper/discover.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/address.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    DEADLINE_MS = 45000,
    READ_GAP_MS = 500, /* two looks that find the same number: the list stands still */
    READS_MAX = 40,    /* an index page without any show is an answer, too */
    SHOWS_MAX = 100,
};

#define WORLD "dealflow-discover"

struct scr_discover {
    struct scr_loop *loop;
    struct scr_browser *browser;
    const struct scr_config *config;
    const struct scr_rules *rules;
    scr_discover_fn *done;
    void *arg;
    struct scr_browser_listener listener;
    struct scr_timer deadline, next_read;
    struct scr_address index;
    char context_id[64];
    bool is_making_context; /* its answer must be waited for: somebody has to close it */
    bool is_cancelled, is_done, has_asked_turn;
    int setup_pending, reads;
    struct scr_show *shows; /* SHOWS_MAX of them */
    size_t show_count;
};

static struct scr_address_policy policy_of(const struct scr_discover *discover)
{
    return (struct scr_address_policy){.allowed_hosts = discover->config->allowed_hosts,
                                       .allow_private = discover->config->allow_private == SCR_ON};
}

/* --- the end --------------------------------------------------------------------------------- */

static void release(struct scr_discover *discover)
{
    free(discover->shows);
    free(discover);
}

static void dispose(struct scr_browser *browser, const char *context_id)
{
    struct scr_cdp *cdp = scr_browser_cdp(browser);

    if (cdp != NULL)
        scr_cdp_send(cdp, "", "Target.disposeBrowserContext",
                     json_pack("{s:s}", "browserContextId", context_id), SCR_CDP_DEADLINE_MS, NULL,
                     NULL);
}

static void end_turn(struct scr_discover *discover)
{
    if (discover->has_asked_turn)
        scr_browser_navigation_done(discover->browser, discover);
    discover->has_asked_turn = false;
}

/* Closes the page and lets go of everything but the memory. */
static void close_page(struct scr_discover *discover)
{
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);

    scr_timer_cancel(discover->loop, &discover->deadline);
    scr_timer_cancel(discover->loop, &discover->next_read);
    end_turn(discover);
    scr_browser_detach(discover->browser, &discover->listener);
    if (cdp != NULL && !discover->is_making_context)
        scr_cdp_forget(cdp, discover);
    if (discover->context_id[0] != '\0')
        dispose(discover->browser, discover->context_id);
    discover->context_id[0] = '\0';
}

/* The last thing to be done in any callback: done may cancel, which frees. */
static void finish(struct scr_discover *discover, const struct df_error *err)
{
    if (discover->is_done || discover->is_cancelled)
        return;
    discover->is_done = true;
    close_page(discover);
    if (err == NULL)
        df_log(DF_LOG_INFO, "shows_found", "count=%zu reads=%d", discover->show_count,
               discover->reads);
    discover->done(discover->arg, discover->shows, err == NULL ? discover->show_count : 0, err);
}

static void fail(struct scr_discover *discover, enum df_code code, const char *why)
{
    struct df_error err = {0};

    (void)df_error_set(&err, code, "index page: %s", why);
    finish(discover, &err);
}

static void on_deadline(void *arg)
{
    struct scr_discover *discover = arg;

    if (discover->show_count > 0)
        finish(discover, NULL);
    else
        fail(discover, DF_ETIMEOUT, "no list of shows in time");
}

/* --- reading --------------------------------------------------------------------------------- */

static void send(struct scr_discover *discover, const char *method, json_t *params,
                 scr_cdp_reply_fn *on_reply)
{
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);

    if (cdp == NULL) { /* on_down follows at once */
        json_decref(params);
        return;
    }
    scr_cdp_send(cdp, discover->listener.session_id, method, params, SCR_CDP_DEADLINE_MS, on_reply,
                 on_reply != NULL ? discover : NULL);
}

static void on_list(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    const json_t *value = json_object_get(json_object_get(result, "result"), "value");
    size_t before = discover->show_count;

    /* An error here is a page that is still busy, or one that goes on to another address. */
    if (err == NULL && json_is_string(value))
        discover->show_count =
            scr_discover_parse(discover->shows, SHOWS_MAX, json_string_value(value),
                               json_string_length(value), discover->config);
    discover->reads++;
    if ((discover->show_count > 0 && discover->show_count == before) ||
        discover->reads >= READS_MAX)
        finish(discover, NULL);
    else
        scr_timer_set(discover->loop, &discover->next_read, READ_GAP_MS);
}

/* The list is read in a world of our own: what the page did to its own script globals is not seen.
 */
static void on_world(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    json_int_t context = json_integer_value(json_object_get(result, "executionContextId"));

    if (err != NULL) {
        on_list(discover, NULL, err);
        return;
    }
    send(discover, "Runtime.evaluate",
         json_pack("{s:s,s:I,s:b}", "expression", scr_rules_discover_script(discover->rules),
                   "contextId", context, "returnByValue", 1),
         on_list);
}

static void on_next_read(void *arg)
{
    struct scr_discover *discover = arg;

    send(discover, "Page.createIsolatedWorld",
         json_pack("{s:s,s:s}", "frameId", discover->listener.target_id, "worldName", WORLD),
         on_world);
}

/* --- events of the page ---------------------------------------------------------------------- */

/* Every document is paused before it is asked for, each hop of a redirect anew. Frames are of no
 * use here and are not loaded at all. */
static void on_paused(struct scr_discover *discover, const struct json_t *params)
{
    const char *request = json_string_value(json_object_get(params, "requestId"));
    const char *frame = json_string_value(json_object_get(params, "frameId"));
    const char *url = json_string_value(json_object_get(json_object_get(params, "request"), "url"));
    const struct scr_address_policy policy = policy_of(discover);
    struct scr_address address;
    struct df_error err = {0};

    if (request == NULL || url == NULL)
        return;
    bool is_main = frame != NULL && strcmp(frame, discover->listener.target_id) == 0;
    bool is_allowed =
        is_main && scr_address_parse(&address, url, strlen(url), &policy, &err) == DF_OK;
    if (is_allowed) {
        send(discover, "Fetch.continueRequest", json_pack("{s:s}", "requestId", request), NULL);
        return;
    }
    send(discover, "Fetch.failRequest",
         json_pack("{s:s,s:s}", "requestId", request, "errorReason", "Aborted"), NULL);
    if (is_main)
        fail(discover, DF_EDENIED, err.msg);
}

static void on_response(struct scr_discover *discover, const struct json_t *params)
{
    const char *type = json_string_value(json_object_get(params, "type"));
    const char *frame = json_string_value(json_object_get(params, "frameId"));
    const json_t *response = json_object_get(params, "response");
    json_int_t status = json_integer_value(json_object_get(response, "status"));
    const char *ip = json_string_value(json_object_get(response, "remoteIPAddress"));
    const struct scr_address_policy policy = policy_of(discover);
    char why[64];

    if (type == NULL || strcmp(type, "Document") != 0 || frame == NULL ||
        strcmp(frame, discover->listener.target_id) != 0)
        return;
    if (!scr_address_ip_allowed(ip != NULL ? ip : "", &policy)) {
        fail(discover, DF_EDENIED, "the address leads to a private or local one, which is refused");
    } else if (status >= 400) {
        (void)snprintf(why, sizeof why, "answered with status %d", (int)(status % 1000));
        fail(discover, DF_EUPSTREAM, why);
    }
}

static void on_event(void *arg, const char *session_id, const char *method,
                     const struct json_t *params)
{
    struct scr_discover *discover = arg;

    (void)session_id;
    if (strcmp(method, "Fetch.requestPaused") == 0)
        on_paused(discover, params);
    else if (strcmp(method, "Network.responseReceived") == 0)
        on_response(discover, params);
    else if (strcmp(method, "Page.javascriptDialogOpening") == 0) /* it would stop all scripts */
        send(discover, "Page.handleJavaScriptDialog", json_pack("{s:b}", "accept", 0), NULL);
    else if (strcmp(method, "Inspector.targetCrashed") == 0 ||
             strcmp(method, "Target.targetCrashed") == 0 ||
             strcmp(method, "Target.targetDestroyed") == 0)
        fail(discover, DF_EUPSTREAM, "the page crashed");
}

/* --- the way there --------------------------------------------------------------------------- */

static bool take_id(char *out, size_t out_size, const struct json_t *result, const char *key)
{
    const json_t *value = json_object_get(result, key);
    size_t len = json_string_length(value);

    if (len == 0 || len >= out_size)
        return false;
    memcpy(out, json_string_value(value), len + 1);
    return true;
}

static void on_navigated(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    const char *text = json_string_value(json_object_get(result, "errorText"));

    end_turn(discover);
    if (err != NULL || text != NULL)
        fail(discover, err != NULL ? err->code : DF_EUPSTREAM, err != NULL ? err->msg : text);
    else
        scr_timer_set(discover->loop, &discover->next_read, READ_GAP_MS);
}

static void on_set_up(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);

    (void)result;
    if (err != NULL) {
        fail(discover, err->code, err->msg);
        return;
    }
    if (--discover->setup_pending > 0 || cdp == NULL)
        return;
    scr_cdp_send(cdp, discover->listener.session_id, "Page.navigate",
                 json_pack("{s:s}", "url", discover->index.url),
                 discover->config->navigation_timeout_ms, on_navigated, discover);
}

static void need(struct scr_discover *discover, const char *method, json_t *params)
{
    discover->setup_pending++;
    send(discover, method, params, on_set_up);
}

static void on_session(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    const char *const *blocked = scr_rules_blocked(discover->rules);
    const char *user_agent = discover->config->user_agent;

    if (err != NULL || !take_id(discover->listener.session_id, sizeof discover->listener.session_id,
                                result, "sessionId")) {
        fail(discover, DF_EUPSTREAM, err != NULL ? err->msg : "no session");
        return;
    }
    json_t *urls = json_array();
    for (size_t i = 0; blocked[i] != NULL; i++)
        json_array_append_new(urls, json_string(blocked[i]));
    need(discover, "Page.enable", NULL);
    need(discover, "Inspector.enable", NULL);
    need(discover, "Network.enable",
         json_pack("{s:i,s:i}", "maxTotalBufferSize", 0, "maxResourceBufferSize", 0));
    need(discover, "Network.setBlockedURLs", json_pack("{s:o}", "urls", urls));
    need(discover, "Fetch.enable",
         json_pack("{s:[{s:s,s:s,s:s}]}", "patterns", "urlPattern", "*", "resourceType", "Document",
                   "requestStage", "Request"));
    if (user_agent != NULL && user_agent[0] != '\0')
        need(discover, "Network.setUserAgentOverride", json_pack("{s:s}", "userAgent", user_agent));
}

static void on_target(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);

    if (err != NULL || cdp == NULL ||
        !take_id(discover->listener.target_id, sizeof discover->listener.target_id, result,
                 "targetId")) {
        fail(discover, DF_EUPSTREAM, err != NULL ? err->msg : "no page");
        return;
    }
    scr_cdp_send(cdp, "", "Target.attachToTarget",
                 json_pack("{s:s,s:b}", "targetId", discover->listener.target_id, "flatten", 1),
                 SCR_CDP_DEADLINE_MS, on_session, discover);
}

static void on_context(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_discover *discover = arg;
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);
    bool is_made = err == NULL && take_id(discover->context_id, sizeof discover->context_id, result,
                                          "browserContextId");

    discover->is_making_context = false;
    if (discover->is_done || discover->is_cancelled) { /* too late: it only has to be closed */
        if (is_made)
            dispose(discover->browser, discover->context_id);
        discover->context_id[0] = '\0';
        if (discover->is_cancelled)
            release(discover);
        return;
    }
    if (!is_made || cdp == NULL) {
        fail(discover, DF_EUPSTREAM, err != NULL ? err->msg : "no context");
        return;
    }
    scr_cdp_send(
        cdp, "", "Browser.setDownloadBehavior",
        json_pack("{s:s,s:s}", "behavior", "deny", "browserContextId", discover->context_id),
        SCR_CDP_DEADLINE_MS, NULL, NULL);
    scr_cdp_send(cdp, "", "Target.createTarget",
                 json_pack("{s:s,s:s,s:i,s:i}", "url", "about:blank", "browserContextId",
                           discover->context_id, "width", 1366, "height", 768),
                 SCR_CDP_DEADLINE_MS, on_target, discover);
}

static void on_turn(void *arg)
{
    struct scr_discover *discover = arg;
    struct scr_cdp *cdp = scr_browser_cdp(discover->browser);

    if (cdp == NULL) {
        fail(discover, DF_EUPSTREAM, "the browser is down");
        return;
    }
    discover->is_making_context = true;
    scr_cdp_send(cdp, "", "Target.createBrowserContext", json_pack("{s:b}", "disposeOnDetach", 1),
                 SCR_CDP_DEADLINE_MS, on_context, discover);
}

static void on_up(void *arg)
{
    struct scr_discover *discover = arg;

    discover->has_asked_turn = true;
    scr_browser_navigation_turn(discover->browser, on_turn, discover);
}

static void on_down(void *arg, const char *reason)
{
    struct scr_discover *discover = arg;

    discover->context_id[0] = '\0'; /* gone with its browser */
    fail(discover, DF_EUPSTREAM, reason);
}

enum df_code scr_discover_start(struct scr_discover **out, struct scr_loop *loop,
                                struct scr_browser *browser, const struct scr_config *config,
                                const struct scr_rules *rules, scr_discover_fn *done, void *arg,
                                struct df_error *err)
{
    struct scr_discover *discover = calloc(1, sizeof *discover);
    struct scr_show *shows = calloc(SHOWS_MAX, sizeof *shows);
    enum df_code rc;

    *out = NULL;
    if (discover == NULL || shows == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "discover: out of memory");
        goto out;
    }
    *discover = (struct scr_discover){.loop = loop,
                                      .browser = browser,
                                      .config = config,
                                      .rules = rules,
                                      .done = done,
                                      .arg = arg,
                                      .shows = shows};
    const struct scr_address_policy policy = policy_of(discover);
    rc = scr_address_parse(&discover->index, config->base_url, strlen(config->base_url), &policy,
                           err);
    if (rc != DF_OK) {
        (void)df_error_wrap(err, "SCRAPER_BASE_URL");
        goto out;
    }
    discover->listener = (struct scr_browser_listener){
        .arg = discover, .on_up = on_up, .on_down = on_down, .on_event = on_event};
    discover->deadline = (struct scr_timer){.on_due = on_deadline, .arg = discover};
    discover->next_read = (struct scr_timer){.on_due = on_next_read, .arg = discover};
    scr_timer_set(loop, &discover->deadline, DEADLINE_MS);
    scr_browser_attach(browser, &discover->listener);
    scr_browser_want(browser);
    *out = discover;
    return DF_OK;
out:
    free(shows);
    free(discover);
    return rc;
}

void scr_discover_cancel(struct scr_discover *discover)
{
    if (discover == NULL)
        return;
    if (!discover->is_done)
        close_page(discover);
    discover->is_cancelled = true;
    if (!discover->is_making_context)
        release(discover);
}
