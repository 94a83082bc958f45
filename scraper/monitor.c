/* scraper/monitor.c - the table of sessions between the API, the pages and the outbox. */
#include "scraper/monitor.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "scraper/session.h"
#include "shared/clock.h"
#include "shared/log.h"

enum {
    TICK_MS = 1000,
    STATS_EVERY_S = 5,
    RECYCLE_RETRY_MS = 600000,
    TAB_ESTIMATE_MB = 70, /* what one more page is expected to take */
    HELD_MAX = 65536,
    ASK_TIMEOUT_MS = 15000,
};

/* A start request that waits for the answer whose session it is. */
struct scr_owner_ask {
    struct scr_owner_ask *next;
    uint64_t token, request;
    char sub[128];
    json_t *body;
};

/* --- finding --------------------------------------------------------------------------------- */

static struct scr_session *by_token(struct scr_monitor *monitor, uint64_t token)
{
    for (struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (s->token == token && !s->is_closing)
            return s;
    return NULL;
}

static struct scr_session *by_id(struct scr_monitor *monitor, const char *id)
{
    for (struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (!s->is_closing && strcmp(s->totals->session, id) == 0)
            return s;
    return NULL;
}

static bool may_see(const struct scr_caller *caller, const char *owner)
{
    return caller->kind == SCR_CALLER_SERVICE ||
           (caller->kind == SCR_CALLER_USER && strcmp(caller->sub, owner) == 0);
}

static const struct scr_totals *find_totals(const struct scr_monitor *monitor, const char *id)
{
    const struct scr_totals *newest = NULL;

    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (strcmp(s->totals->stream_id, id) == 0 || strcmp(s->totals->session, id) == 0)
            return s->totals;
    for (size_t i = 0; i < SCR_FINISHED_KEPT; i++) {
        const struct scr_totals *t = monitor->finished[i];
        if (t != NULL && (strcmp(t->stream_id, id) == 0 || strcmp(t->session, id) == 0) &&
            (newest == NULL || newest->ended_ms < t->ended_ms))
            newest = t;
    }
    return newest;
}

static size_t count_sessions(const struct scr_monitor *monitor)
{
    size_t n = 0;
    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        n += !s->is_closing;
    return n;
}

bool scr_monitor_watches_show(const struct scr_monitor *monitor, const char *url)
{
    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (!s->is_closing &&
            (strcmp(s->address.url, url) == 0 ||
             (s->candidate != NULL && strcmp(scr_tab_address(s->candidate->tab)->url, url) == 0)))
            return true;
    return false;
}

/* --- answers --------------------------------------------------------------------------------- */

static void refuse(struct scr_monitor *monitor, uint64_t request, int status, const char *text)
{
    scr_server_reply(monitor->server, request, status, json_pack("{s:s}", "error", text));
}

/* --- start ----------------------------------------------------------------------------------- */

/* What the body asks for, checked; texts are borrowed from it. */
struct start {
    const char *session;
    struct scr_address address; /* url "" when discovery is to choose */
};

/* The old service's words for an address that is no address of the site; others are explained. */
static void explain_address(char *out, size_t out_size, const struct scr_config *config,
                            const struct df_error *err)
{
    if (strcmp(config->allowed_hosts, "whatnot.com") == 0)
        (void)snprintf(out, out_size, "Invalid Whatnot URL");
    else
        (void)snprintf(out, out_size, "Invalid stream URL: %s", err->msg);
}

static bool read_start(struct scr_monitor *monitor, uint64_t request, const json_t *body,
                       struct start *out)
{
    char text[300];
    struct df_error err = {0};
    const struct scr_config *config = monitor->parts.config;
    const struct scr_address_policy policy = {.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON,
                                              .local_page = config->local_page};
    const json_t *url = json_object_get(body, "url"), *urls = json_object_get(body, "fallbackUrls");
    bool may_discover = json_is_true(json_object_get(body, "autoDiscover"));

    memset(out, 0, sizeof *out);
    out->session = json_string_value(json_object_get(body, "sessionId"));
    if (out->session == NULL || out->session[0] == '\0' ||
        strlen(out->session) > SCR_SESSION_MAX_BYTES) {
        refuse(monitor, request, 400, "sessionId is required: a text of 1 to 200 bytes");
        return false;
    }
    if (urls != NULL && !json_is_null(urls) && !json_is_array(urls)) {
        refuse(monitor, request, 400, "fallbackUrls must be a list of addresses");
        return false;
    }
    if ((url == NULL || json_is_null(url)) && (may_discover || json_array_size(urls) > 0))
        return true;
    if (!json_is_string(url) ||
        scr_address_parse(&out->address, json_string_value(url), json_string_length(url), &policy,
                          &err) != DF_OK) {
        if (!json_is_string(url))
            (void)df_error_set(&err, DF_EINPUT, "url is missing");
        explain_address(text, sizeof text, config, &err);
        refuse(monitor, request, 400, text);
        return false;
    }
    return true;
}

static bool has_room(struct scr_monitor *monitor, uint64_t request)
{
    char text[160];
    const struct scr_config *config = monitor->parts.config;
    int64_t pss_mb = scr_browser_facts(monitor->parts.browser)->pss_bytes >> 20;

    if (count_sessions(monitor) >= (size_t)config->streams_max) {
        (void)snprintf(text, sizeof text, "Too many streams: %lld at most (SCRAPER_MAX_STREAMS)",
                       (long long)config->streams_max);
        refuse(monitor, request, 503, text);
        return false;
    }
    if (config->memory_max_mb > 0 && pss_mb + TAB_ESTIMATE_MB > config->memory_max_mb) {
        (void)snprintf(text, sizeof text,
                       "Out of memory for one more stream: the browser uses %lld MB of %lld "
                       "(SCRAPER_MEMORY_MAX_MB)",
                       (long long)pss_mb, (long long)config->memory_max_mb);
        refuse(monitor, request, 503, text);
        return false;
    }
    return true;
}

/* One answer for each request: a second start of the same session takes over the first one's place,
 * and both hear how it went. */
static void wait_for_start(struct scr_session *session, uint64_t request)
{
    const struct scr_monitor_parts *parts = &session->monitor->parts;

    if (session->start_request != 0)
        scr_session_answer(session, 200, "Monitoring started; a later request for it is running");
    session->start_request = request;
    scr_timer_set(parts->loop, &session->start_timer, parts->config->start_wait_ms);
}

static void restart(struct scr_session *session, uint64_t request, const struct start *start,
                    const json_t *body)
{
    bool is_same = start->address.url[0] == '\0' ||
                   strcmp(start->address.url, session->address.url) == 0;
    bool is_opening = session->current == NULL ||
                      (is_same && scr_session_state(session) <= SCR_WAITING_CHAT);

    json_t *copy = json_deep_copy(body);
    if (copy != NULL) {
        json_decref(session->request);
        session->request = copy;
    }
    wait_for_start(session, request);
    if (is_opening)
        return; /* two starts at once are one session and one page */
    if (!scr_session_try(session, start->address.url[0] == '\0' ? &session->address : &start->address,
                         SCR_FOR_START))
        scr_session_answer(session, 503, "Out of memory; the page watched before stays");
}

static void start_session(struct scr_monitor *monitor, uint64_t request, const char *owner,
                          const json_t *body)
{
    struct start start;

    if (!read_start(monitor, request, body, &start))
        return;
    struct scr_session *session = by_id(monitor, start.session);
    if (session != NULL) {
        restart(session, request, &start, body);
        return;
    }
    if (!has_room(monitor, request))
        return;
    session = scr_session_new(monitor, start.session, owner,
                              start.address.url[0] == '\0' ? NULL : &start.address, body);
    if (session == NULL) {
        refuse(monitor, request, 503, "Out of memory");
        return;
    }
    df_log(DF_LOG_INFO, "session_started", "stream=%s show=%s delivered=%d",
           session->totals->stream_id, start.address.show_id, session->is_uuid);
    wait_for_start(session, request);
}

static void on_start(void *arg, uint64_t id, const struct scr_caller *caller, const json_t *body)
{
    struct scr_monitor *monitor = arg;
    struct start start;
    struct df_uuid uuid;

    if (!read_start(monitor, id, body, &start))
        return;
    struct scr_session *session = by_id(monitor, start.session);
    if (session != NULL && !may_see(caller, session->totals->owner)) {
        refuse(monitor, id, 403, "This session belongs to somebody else");
        return;
    }
    if (caller->kind == SCR_CALLER_SERVICE || session != NULL ||
        !df_uuid_parse(&uuid, start.session, strlen(start.session))) {
        start_session(monitor, id, caller->kind == SCR_CALLER_USER ? caller->sub : "", body);
        return;
    }
    struct scr_owner_ask *ask = calloc(1, sizeof *ask);
    if (ask == NULL) {
        refuse(monitor, id, 503, "Out of memory");
        return;
    }
    ask->token = ++monitor->next_token;
    ask->request = id;
    (void)snprintf(ask->sub, sizeof ask->sub, "%s", caller->sub);
    ask->body = json_deep_copy(body);
    ask->next = monitor->asks;
    monitor->asks = ask;
    scr_delivery_ask_owner(monitor->parts.delivery, start.session, caller->token, ask->token);
}

static void on_owner(struct scr_monitor *monitor, const struct scr_delivery_event *event)
{
    struct scr_owner_ask **at = &monitor->asks;

    while (*at != NULL && (*at)->token != event->token)
        at = &(*at)->next;
    struct scr_owner_ask *ask = *at;
    if (ask == NULL)
        return;
    *at = ask->next;
    if (event->is_owner)
        start_session(monitor, ask->request, ask->sub, ask->body);
    else if (event->http_status == 200 || event->http_status == 401 || event->http_status == 403)
        refuse(monitor, ask->request, 403, "This session is not yours");
    else if (event->http_status == 404)
        refuse(monitor, ask->request, 403,
               "Whose session it is cannot be asked here (no /rest/v1): use the service key");
    else
        refuse(monitor, ask->request, 503,
               "Whose session it is cannot be asked now: /rest/v1 does not answer");
    json_decref(ask->body);
    free(ask);
}

/* --- other requests -------------------------------------------------------------------------- */

static void on_stop(void *arg, uint64_t id, const struct scr_caller *caller, const json_t *body)
{
    struct scr_monitor *monitor = arg;
    const char *name = json_string_value(json_object_get(body, "sessionId"));
    struct scr_session *session = name == NULL ? NULL : by_id(monitor, name);

    if (session == NULL || !may_see(caller, session->totals->owner)) {
        refuse(monitor, id, 404, "No active monitoring session");
        return;
    }
    json_t *reply = json_pack("{s:s, s:s, s:s, s:o}", "status", "stopped", "sessionId", name,
                              "streamId", session->totals->stream_id, "summary",
                              scr_events_summary(session->totals));
    scr_session_close(session, SCR_CLOSED, "stopped");
    scr_server_reply(monitor->server, id, 200, reply);
}

static json_t *browser_json(const struct scr_monitor *monitor)
{
    const struct scr_browser_facts *facts = scr_browser_facts(monitor->parts.browser);

    return json_pack("{s:s, s:s, s:I, s:I, s:b, s:b}", "state", facts->is_up ? "up" : "down",
                     "product", facts->product, "starts", (json_int_t)facts->starts, "pssBytes",
                     (json_int_t)facts->pss_bytes, "sandboxed", facts->is_sandboxed, "undrawnPages",
                     facts->can_begin_frame);
}

static json_t *outbox_json(struct scr_monitor *monitor)
{
    struct scr_delivery_stats stats;

    scr_delivery_stats_get(monitor->parts.delivery, &stats);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s}", "captured",
                     (json_int_t)stats.captured, "delivered", (json_int_t)stats.delivered, "pending",
                     (json_int_t)stats.pending, "parked", (json_int_t)stats.parked, "dead",
                     (json_int_t)stats.dead, "dropped", (json_int_t)stats.dropped,
                     "oldestPendingMs", (json_int_t)stats.oldest_pending_ms, "capturing",
                     stats.is_claiming, "alarm", stats.alarm);
}

/* Anybody may ask: who does not show a token sees how sessions fare, not whose they are. */
static void on_health(void *arg, uint64_t id, const struct scr_caller *caller)
{
    struct scr_monitor *monitor = arg;
    json_t *sessions = json_array();

    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (!s->is_closing)
            (void)json_array_append_new(
                sessions, scr_events_session(s, may_see(caller, s->totals->owner)));
    scr_server_reply(
        monitor->server, id, 200,
        json_pack("{s:s, s:s, s:I, s:s, s:I, s:o, s:o, s:o}", "status", "ok", "service",
                  "DealFlow Real-Time Monitor", "activeSessions",
                  (json_int_t)count_sessions(monitor), "version", DF_VERSION, "uptimeMs",
                  (json_int_t)(df_clock_mono_ms() - monitor->started_ms), "browser",
                  browser_json(monitor), "sessions", sessions, "outbox", outbox_json(monitor)));
}

static json_t *visible_sessions(const struct scr_monitor *monitor, const struct scr_caller *caller)
{
    json_t *sessions = json_array();

    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next)
        if (!s->is_closing && may_see(caller, s->totals->owner))
            (void)json_array_append_new(sessions, scr_events_session(s, true));
    return sessions;
}

static void on_streams(void *arg, uint64_t id, const struct scr_caller *caller)
{
    struct scr_monitor *monitor = arg;
    scr_server_reply(monitor->server, id, 200,
                     json_pack("{s:o}", "streams", visible_sessions(monitor, caller)));
}

static void on_summary(void *arg, uint64_t id, const struct scr_caller *caller,
                       const char *stream_id)
{
    struct scr_monitor *monitor = arg;
    const struct scr_totals *totals = find_totals(monitor, stream_id);

    if (totals == NULL || !may_see(caller, totals->owner))
        refuse(monitor, id, 404, "Stream not found");
    else
        scr_server_reply(monitor->server, id, 200, scr_events_summary(totals));
}

/* --- pictures on request --------------------------------------------------------------------- */

struct shot_request {
    struct scr_monitor *monitor;
    uint64_t id;
};

static void on_shot(void *arg, const unsigned char *png, size_t png_len, const struct df_error *err)
{
    struct shot_request *request = arg;

    if (png == NULL)
        refuse(request->monitor, request->id, df_error_http_status(err->code), err->msg);
    else
        scr_server_reply_bytes(request->monitor->server, request->id, 200, "image/png", png,
                               png_len);
    free(request);
}

static void on_screenshot(void *arg, uint64_t id, const struct scr_caller *caller,
                          const char *session_id)
{
    struct scr_monitor *monitor = arg;
    struct scr_session *session = by_id(monitor, session_id);

    if (session == NULL || session->current == NULL || !may_see(caller, session->totals->owner)) {
        refuse(monitor, id, 404, "No active monitoring session");
        return;
    }
    struct shot_request *request = malloc(sizeof *request);
    if (request == NULL) {
        refuse(monitor, id, 503, "Out of memory");
        return;
    }
    *request = (struct shot_request){.monitor = monitor, .id = id};
    scr_tab_screenshot(session->current->tab, on_shot, request);
}

/* --- WebSocket clients ----------------------------------------------------------------------- */

static json_t *on_client(void *arg, const struct scr_caller *caller)
{
    struct scr_monitor *monitor = arg;

    return json_pack("{s:s, s:s, s:s, s:o, s:s}", "type", "hello", "service",
                     "DealFlow Real-Time Monitor", "version", DF_VERSION, "sessions",
                     visible_sessions(monitor, caller), "alarm", monitor->alarm);
}

/* {action:"monitor", url, sessionId?}: the old page's way to start. Without a session of its own the
 * chat is shown, not stored. */
static void on_action(void *arg, uint64_t client, const struct scr_caller *caller,
                      const json_t *message)
{
    struct scr_monitor *monitor = arg;
    const char *action = json_string_value(json_object_get(message, "action"));
    json_t *body = json_deep_copy(message);
    char id[DF_UUID_TEXT_SIZE + 4];
    struct df_uuid uuid;

    if (body == NULL || action == NULL || strcmp(action, "monitor") != 0) {
        json_t *error = json_pack("{s:s, s:s}", "type", "error", "error",
                                  "Unknown action: use {\"action\":\"monitor\",\"url\":...}");
        scr_server_tell(monitor->server, client, error);
        json_decref(error);
    } else {
        if (!json_is_string(json_object_get(body, "sessionId"))) {
            df_uuid_new_v7(&uuid);
            memcpy(id, "ws-", 3); /* no UUID: nothing to deliver to */
            df_uuid_format(id + 3, &uuid);
            (void)json_object_set_new(body, "sessionId", json_string(id));
        }
        (void)json_object_del(body, "action");
        on_start(monitor, client, caller, body);
    }
    json_decref(body);
}

/* --- what the outbox says -------------------------------------------------------------------- */

static void copy_cut(char *out, size_t out_size, const char *text)
{
    size_t n = strlen(text);

    if (n >= out_size)
        for (n = out_size - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
            ;
    memcpy(out, text, n);
    out[n] = '\0';
}

static struct scr_buyer *count_buyer(struct scr_session *session, const struct scr_capture *capture,
                                     const struct scr_verdict *verdict)
{
    struct scr_totals *totals = session->totals;
    char reason[400];

    totals->buyers++;
    session->monitor->buyers++;
    if (verdict->judged.value_cents != DF_VALUE_NONE)
        totals->value_cents += verdict->judged.value_cents;
    struct scr_buyer *buyer = &totals->buyer[totals->buyers % SCR_BUYERS_KEPT];
    copy_cut(buyer->username, sizeof buyer->username, capture->username);
    copy_cut(buyer->text, sizeof buyer->text, capture->text);
    copy_cut(buyer->reason, sizeof buyer->reason,
             scr_verdict_reason(reason, sizeof reason, verdict));
    buyer->confidence = verdict->judged.confidence;
    buyer->value_cents = verdict->judged.value_cents;
    buyer->captured_ms = capture->captured_ms;
    buyer->number = totals->buyers;
    return buyer;
}

static bool was_held(struct scr_monitor *monitor, const struct df_uuid *id)
{
    for (size_t i = 0; i < monitor->held_count; i++) {
        if (!df_uuid_equal(&monitor->held[i], id))
            continue;
        monitor->held_count--;
        memmove(&monitor->held[i], &monitor->held[i + 1],
                (monitor->held_count - i) * sizeof monitor->held[0]);
        return true;
    }
    return false;
}

static void tell(struct scr_monitor *monitor, const struct scr_capture *capture, bool is_captured)
{
    struct scr_verdict verdict;
    struct scr_session *session = by_token(monitor, capture->session_token);

    if (session == NULL)
        return; /* stopped meanwhile: it is stored, and nobody waits for it */
    scr_verdict_make(&verdict, monitor->parts.model, &monitor->rule, monitor->parts.config->platform,
                     capture->username, capture->text, capture->kind, capture->role);
    if (capture->kind == SCR_CHAT)
        session->totals->messages++;
    scr_events_line(session, capture, &verdict, is_captured);
    if (verdict.is_buyer)
        scr_events_buyer(session, capture, &verdict, count_buyer(session, capture, &verdict));
    monitor->commit_ns_sum += (uint64_t)(df_clock_mono_ns() - capture->seen_ns);
    monitor->commit_count++;
    scr_session_landed(session);
}

/* It will not be told: known from before, or lost. */
static void let_go(struct scr_monitor *monitor, const struct scr_capture *capture)
{
    struct scr_session *session = by_token(monitor, capture->session_token);

    if (!was_held(monitor, &capture->id) && session != NULL)
        scr_session_landed(session);
}

static void hold(struct scr_monitor *monitor, const struct scr_capture *capture)
{
    if (monitor->held_count == monitor->held_capacity) {
        size_t capacity = monitor->held_capacity == 0 ? 64 : monitor->held_capacity * 2;
        struct df_uuid *grown = capacity > HELD_MAX
                                    ? NULL
                                    : reallocarray(monitor->held, capacity, sizeof *grown);
        if (grown == NULL)
            return; /* its late capture will look like a new message; it is shown twice, not lost */
        monitor->held = grown;
        monitor->held_capacity = capacity;
    }
    monitor->held[monitor->held_count++] = capture->id;
    tell(monitor, capture, false);
}

static void on_committed(struct scr_monitor *monitor, const struct scr_capture *capture)
{
    if (monitor->held_count == 0 || !was_held(monitor, &capture->id)) {
        tell(monitor, capture, true);
        return;
    }
    struct scr_session *session = by_token(monitor, capture->session_token);
    if (session != NULL)
        scr_events_captured_late(session, capture);
}

static void on_history(struct scr_monitor *monitor, const struct scr_delivery_event *event)
{
    struct scr_session *session = by_token(monitor, event->token);

    if (session == NULL)
        return;
    if (event->capture != NULL) {
        const struct scr_capture *capture = event->capture;
        const struct scr_line line = {.id = capture->line_id,
                                      .username = capture->username,
                                      .text = capture->text,
                                      .id_len = strlen(capture->line_id),
                                      .username_len = strlen(capture->username),
                                      .text_len = strlen(capture->text),
                                      .kind = capture->kind,
                                      .role = capture->role};
        session->has_first_snapshot = true; /* it was watched before: nothing visible is backlog */
        scr_history_seed(session->history, &line, df_clock_mono_ms());
    }
    if (event->is_last)
        scr_session_begin(session);
}

static void on_alarm(struct scr_monitor *monitor, const char *alarm)
{
    char quoted[256];

    (void)snprintf(monitor->alarm, sizeof monitor->alarm, "%s", alarm);
    df_log(alarm[0] == '\0' ? DF_LOG_INFO : DF_LOG_ERROR,
           alarm[0] == '\0' ? "alarm_over" : "alarm_raised", "text=%s",
           df_log_quote(quoted, sizeof quoted, alarm));
    if (alarm[0] != '\0')
        scr_events_error(monitor, NULL, "OUTBOX", alarm);
}

static void on_delivery(void *arg, uint32_t events)
{
    struct scr_monitor *monitor = arg;
    struct scr_delivery_event *event = scr_delivery_take(monitor->parts.delivery);

    (void)events;
    while (event != NULL) {
        struct scr_delivery_event *next = event->next;
        switch (event->type) {
        case SCR_EVENT_COMMITTED: on_committed(monitor, event->capture); break;
        case SCR_EVENT_HELD: hold(monitor, event->capture); break;
        case SCR_EVENT_DUPLICATE: /* also after HELD */
        case SCR_EVENT_DROPPED: let_go(monitor, event->capture); break;
        case SCR_EVENT_ALARM: on_alarm(monitor, event->alarm); break;
        case SCR_EVENT_HISTORY: on_history(monitor, event); break;
        case SCR_EVENT_OWNER: on_owner(monitor, event); break;
        }
        scr_delivery_event_free(event);
        event = next;
    }
}

/* --- every second ---------------------------------------------------------------------------- */

/* Pages grow: one that is old or large is replaced by a fresh one, which takes over when it is live. */
static void recycle(struct scr_session *session, int64_t now_ms)
{
    const struct scr_config *config = session->monitor->parts.config;
    const struct scr_tab_facts *facts = scr_session_facts(session);

    if (facts == NULL || facts->state != SCR_LIVE || session->candidate != NULL)
        return;
    bool is_old = now_ms - facts->opened_ms > config->recycle_after_ms;
    bool is_large = config->recycle_tab_mb > 0 && facts->heap_bytes > config->recycle_tab_mb << 20;
    if ((is_old || is_large) && now_ms - session->recycled_ms > RECYCLE_RETRY_MS) {
        session->recycled_ms = now_ms;
        (void)scr_session_try(session, &session->address, SCR_FOR_RECYCLE);
    }
}

static void on_tick(void *arg)
{
    struct scr_monitor *monitor = arg;
    int64_t now_ms = df_clock_mono_ms();

    scr_timer_set(monitor->parts.loop, &monitor->tick, TICK_MS);
    for (struct scr_session *s = monitor->sessions; s != NULL; s = s->next) {
        if (s->is_closing)
            continue;
        scr_session_tick(s, now_ms);
        recycle(s, now_ms);
        if (now_ms / TICK_MS % STATS_EVERY_S == (int64_t)(s->token % STATS_EVERY_S))
            scr_events_stats(s);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

void scr_monitor_forget(struct scr_monitor *monitor, struct scr_session *session)
{
    struct scr_session **at = &monitor->sessions;

    while (*at != NULL && *at != session)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    *at = session->next;
    free(monitor->finished[monitor->finished_next]);
    monitor->finished[monitor->finished_next] = session->totals;
    monitor->finished_next = (monitor->finished_next + 1) % SCR_FINISHED_KEPT;
    scr_session_free(session);
}

enum df_code scr_monitor_new(struct scr_monitor **out, const struct scr_monitor_parts *parts,
                             struct df_error *err)
{
    *out = NULL;
    struct scr_monitor *monitor = calloc(1, sizeof *monitor);
    if (monitor == NULL)
        return df_error_set(err, DF_ENOMEM, "monitor: out of memory");
    monitor->parts = *parts;
    monitor->rule.threshold = parts->config->confidence_threshold;
    monitor->rule.type_mask = ~0U;
    monitor->started_ms = df_clock_mono_ms();
    monitor->delivery_watch = (struct scr_watch){
        .fd = scr_delivery_fd(parts->delivery), .on_ready = on_delivery, .arg = monitor};
    monitor->tick = (struct scr_timer){.on_due = on_tick, .arg = monitor};
    enum df_code rc = scr_loop_watch(parts->loop, &monitor->delivery_watch, EPOLLIN, err);
    if (rc != DF_OK) {
        free(monitor);
        return rc;
    }
    scr_timer_set(parts->loop, &monitor->tick, TICK_MS);
    *out = monitor;
    return DF_OK;
}

void scr_monitor_free(struct scr_monitor *monitor)
{
    if (monitor == NULL)
        return;
    scr_timer_cancel(monitor->parts.loop, &monitor->tick);
    scr_loop_unwatch(monitor->parts.loop, &monitor->delivery_watch);
    scr_loop_dispatch(monitor->parts.loop, 0); /* pages that were dropped in the last round */
    while (monitor->sessions != NULL)
        scr_monitor_forget(monitor, monitor->sessions);
    for (size_t i = 0; i < SCR_FINISHED_KEPT; i++)
        free(monitor->finished[i]);
    while (monitor->asks != NULL) {
        struct scr_owner_ask *ask = monitor->asks;
        monitor->asks = ask->next;
        json_decref(ask->body);
        free(ask);
    }
    free(monitor->held);
    free(monitor);
}

void scr_monitor_set_server(struct scr_monitor *monitor, struct scr_server *server)
{
    monitor->server = server;
}

void scr_monitor_set_rules(struct scr_monitor *monitor, const struct scr_rules *rules)
{
    monitor->parts.rules = rules;
}

void scr_monitor_handlers(struct scr_monitor *monitor, struct scr_server_handlers *out)
{
    *out = (struct scr_server_handlers){
        .arg = monitor,
        .on_start = on_start,
        .on_stop = on_stop,
        .on_health = on_health,
        .on_streams = on_streams,
        .on_summary = on_summary,
        .on_screenshot = on_screenshot,
        .on_metrics = scr_metrics_text,
        .on_client = on_client,
        .on_action = on_action,
    };
}

static void resume_one(struct scr_monitor *monitor, const struct scr_watch_row *row)
{
    struct scr_address address;
    struct df_error err = {0};
    const struct scr_config *config = monitor->parts.config;
    const struct scr_address_policy policy = {.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON,
                                              .local_page = config->local_page};
    json_t *request = row->request_json == NULL ? json_object()
                                                : json_loads(row->request_json, 0, NULL);
    struct scr_session *session = NULL;

    if (row->url[0] == '\0' ||
        scr_address_parse(&address, row->url, strlen(row->url), &policy, &err) == DF_OK)
        session = scr_session_new(monitor, row->session, row->owner,
                                  row->url[0] == '\0' ? NULL : &address, request);
    json_decref(request);
    if (session == NULL) {
        df_log(DF_LOG_WARN, "session_not_resumed", "stream=%s why=\"%s\"", row->stream_id, err.msg);
        scr_delivery_watch_remove(monitor->parts.delivery, row->session);
        return;
    }
    struct scr_totals *totals = session->totals;
    (void)snprintf(totals->stream_id, sizeof totals->stream_id, "%s", row->stream_id);
    (void)snprintf(session->shots.name, sizeof session->shots.name, "%s", row->stream_id);
    totals->messages = row->messages;
    totals->buyers = row->buyers;
    totals->value_cents = row->value_cents;
    totals->started_ms = row->started_ms;
    df_log(DF_LOG_INFO, "session_resumed", "stream=%s messages=%llu", totals->stream_id,
           (unsigned long long)totals->messages);
}

size_t scr_monitor_resume(struct scr_monitor *monitor)
{
    struct scr_watch_row *rows = NULL;
    size_t count = scr_delivery_watches(monitor->parts.delivery, &rows);

    for (size_t i = 0; i < count; i++) {
        resume_one(monitor, &rows[i]);
        free(rows[i].request_json);
    }
    free(rows);
    return count;
}
