/* scraper/session.c - a session and its pages: the one that counts, and at most one beside it that
 * takes over once it is live. */
#include "scraper/session.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/uuid.h"

enum {
    CANDIDATE_DEADLINE_MS = 90000, /* a page that is not live by then will not take over */
    FACTS_GAP_MS = 1000,           /* stream_update at most once a second */
    LAST_LINES_MS = 2000,          /* the end of a show waits so long for its last lines */
    LINES_MAX = 1000,
};

/* --- slots ----------------------------------------------------------------------------------- */

static void slot_free(void *arg)
{
    struct scr_slot *slot = arg;
    scr_tab_free(slot->tab);
    free(slot);
}

/* The page is out of the game at once and freed in the next round. */
static void slot_drop(struct scr_slot *slot)
{
    struct scr_loop *loop = slot->session->monitor->parts.loop;

    slot->is_dropped = true;
    slot->session = NULL;
    scr_timer_cancel(loop, &slot->deadline);
    slot->free_timer = (struct scr_timer){.on_due = slot_free, .arg = slot};
    scr_timer_set(loop, &slot->free_timer, 0);
}

static void slot_free_now(struct scr_session *session, struct scr_slot **slot)
{
    if (*slot == NULL)
        return;
    scr_timer_cancel(session->monitor->parts.loop, &(*slot)->deadline);
    slot_free(*slot);
    *slot = NULL;
}

void scr_session_drop_candidate(struct scr_session *session)
{
    if (session->candidate == NULL)
        return;
    slot_drop(session->candidate);
    session->candidate = NULL;
}

const struct scr_tab_facts *scr_session_facts(const struct scr_session *session)
{
    return session->current == NULL ? NULL : scr_tab_facts(session->current->tab);
}

enum scr_state scr_session_state(const struct scr_session *session)
{
    const struct scr_tab_facts *facts = scr_session_facts(session);
    return facts == NULL ? SCR_OPENING : facts->state;
}

/* --- answers to start-monitoring ------------------------------------------------------------- */

void scr_session_answer(struct scr_session *session, int status, const char *message)
{
    uint64_t id = session->start_request;
    json_t *body;

    scr_timer_cancel(session->monitor->parts.loop, &session->start_timer);
    if (id == 0)
        return;
    session->start_request = 0;
    if (status >= 400)
        body = json_pack("{s:s, s:s, s:s}", "error", message, "sessionId",
                         session->totals->session, "state",
                         scr_state_name(scr_session_state(session)));
    else
        body = json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:b}", "status", "monitoring", "sessionId",
                         session->totals->session, "streamId", session->totals->stream_id, "stream",
                         scr_events_stream(session), "state",
                         scr_state_name(scr_session_state(session)), "message", message,
                         "delivered", session->is_uuid);
    scr_server_reply(session->monitor->server, id, status, body);
}

static const char *started_message(const struct scr_session *session)
{
    const struct scr_tab_facts *facts = scr_session_facts(session);

    if (facts != NULL && facts->state == SCR_BLOCKED)
        return "The site refuses the page for now; it will be tried again";
    if (facts != NULL && facts->state == SCR_ENDED)
        return "The show has ended";
    if (!session->is_uuid)
        return "Real-time monitoring started; this sessionId is no UUID, so messages are shown but "
               "not stored";
    return "Real-time monitoring started";
}

static void on_start_timer(void *arg)
{
    struct scr_session *session = arg;

    if (session->candidate != NULL && session->candidate->purpose == SCR_FOR_START)
        scr_session_answer(session, 200,
                           "The new page is still loading; the old one stays until it is live");
    else
        scr_session_answer(session, 200,
                           session->is_uuid ? "Monitoring started; the page is still loading"
                                            : started_message(session));
}

/* --- what the current page says -------------------------------------------------------------- */

static void on_close_timer(void *arg)
{
    struct scr_session *session = arg;
    scr_session_close(session, SCR_CLOSED, "the show has ended");
}

static void answer_start_for(struct scr_session *session, enum scr_state state)
{
    if (session->start_request == 0 || session->candidate != NULL)
        return;
    if (state == SCR_FAILED) {
        const struct scr_tab_facts *facts = scr_session_facts(session);
        scr_session_answer(session, 502,
                           facts == NULL || facts->reason[0] == '\0' ? "The page could not be opened"
                                                                     : facts->reason);
    } else if (state == SCR_LIVE || state == SCR_QUIET || state == SCR_BLOCKED ||
               state == SCR_ENDED || state == SCR_DEGRADED) {
        scr_session_answer(session, 200, started_message(session));
    }
}

static void current_changed(struct scr_session *session, enum scr_state to)
{
    struct scr_loop *loop = session->monitor->parts.loop;
    const struct scr_tab_facts *facts = scr_session_facts(session);

    session->totals->state = to;
    scr_events_state(session, scr_state_name(to), facts->reason);
    if (to == SCR_LIVE && !session->current->was_live) {
        session->current->was_live = true;
        scr_events_selected(session);
        scr_shots_take(&session->shots, session->current->tab, "live");
    }
    answer_start_for(session, to);
    scr_timer_cancel(loop, &session->close_timer);
    switch (to) {
    case SCR_QUIET:
        scr_rotate_watch(session);
        break;
    case SCR_DEGRADED:
        scr_events_error(session->monitor, session, "DEGRADED", facts->reason);
        scr_shots_take(&session->shots, session->current->tab, "degraded");
        break;
    case SCR_BLOCKED:
        scr_shots_take(&session->shots, session->current->tab, "blocked");
        if (scr_rotate_is_wanted(session))
            scr_rotate_begin(session, "the site refuses the page");
        break;
    case SCR_ENDED:
        if (scr_rotate_is_wanted(session))
            scr_rotate_begin(session, "the show has ended");
        else
            scr_timer_set(loop, &session->close_timer,
                          session->monitor->parts.config->ended_grace_ms);
        break;
    case SCR_FAILED:
        if (scr_rotate_is_wanted(session))
            scr_rotate_begin(session, "the page could not be opened");
        else
            scr_session_close(session, SCR_FAILED, facts->reason);
        break;
    default:
        break;
    }
}

/* --- what a candidate says ------------------------------------------------------------------- */

static void promote(struct scr_session *session)
{
    struct scr_slot *slot = session->candidate;
    bool is_other = session->current == NULL ||
                    strcmp(scr_tab_address(session->current->tab)->url,
                           scr_tab_address(slot->tab)->url) != 0;

    if (session->current != NULL)
        slot_drop(session->current);
    session->current = slot;
    session->candidate = NULL;
    session->address = *scr_tab_address(slot->tab);
    scr_timer_cancel(session->monitor->parts.loop, &slot->deadline);
    if (is_other) {
        session->totals->title[0] = session->totals->host[0] = '\0';
        session->totals->viewers = -1;
    }
    scr_rotate_done(session);
    scr_session_save(session);
    df_log(DF_LOG_INFO, "page_replaced", "session=%s stream=%s recycled=%d",
           session->totals->stream_id, session->address.show_id, slot->purpose == SCR_FOR_RECYCLE);
    current_changed(session, SCR_LIVE);
}

static void candidate_failed(struct scr_session *session, const char *why)
{
    enum scr_purpose purpose = session->candidate->purpose;
    char text[256];

    (void)snprintf(text, sizeof text, "%s; the page watched before stays", why);
    scr_session_drop_candidate(session);
    if (purpose == SCR_FOR_START) {
        scr_session_answer(session, 502, text);
        scr_events_error(session->monitor, session, "REPLACEMENT_FAILED", text);
    } else if (purpose != SCR_FOR_RECYCLE) {
        scr_rotate_failed(session);
    }
}

static void on_candidate_deadline(void *arg)
{
    struct scr_slot *slot = arg;
    candidate_failed(slot->session, "The new page was not live in time");
}

static void candidate_changed(struct scr_session *session, enum scr_state to)
{
    const char *reason = scr_tab_facts(session->candidate->tab)->reason;

    if (to == SCR_LIVE)
        promote(session);
    else if (to == SCR_BLOCKED || to == SCR_FAILED || to == SCR_ENDED)
        candidate_failed(session, reason[0] == '\0' ? "The new page could not be opened" : reason);
}

static void on_state(void *arg, enum scr_state from, enum scr_state to)
{
    struct scr_slot *slot = arg;
    struct scr_session *session = slot->session;

    (void)from;
    if (slot->is_dropped || session->is_closing)
        return;
    if (slot == session->candidate) {
        candidate_changed(session, to);
        return;
    }
    session->ended_since_ms = 0;
    if (to == SCR_ENDED && session->in_flight > 0)
        session->ended_since_ms = df_clock_mono_ms(); /* the last words first */
    else
        current_changed(session, to);
}

void scr_session_landed(struct scr_session *session)
{
    session->in_flight -= session->in_flight > 0;
    if (session->in_flight == 0 && session->ended_since_ms != 0) {
        session->ended_since_ms = 0;
        current_changed(session, SCR_ENDED);
    }
}

void scr_session_tick(struct scr_session *session, int64_t now_ms)
{
    if (session->ended_since_ms != 0 && now_ms - session->ended_since_ms > LAST_LINES_MS) {
        session->ended_since_ms = 0;
        current_changed(session, SCR_ENDED);
    }
}

/* --- lines ----------------------------------------------------------------------------------- */

static void count_rate(struct scr_session *session, int64_t now_ms)
{
    int64_t second = now_ms / 1000;

    if (second - session->rate_second >= SCR_RATE_SECONDS) {
        memset(session->rate, 0, sizeof session->rate);
        session->rate_second = second;
    }
    while (session->rate_second < second)
        session->rate[++session->rate_second % SCR_RATE_SECONDS] = 0;
    session->rate[second % SCR_RATE_SECONDS]++;
}

/* Messages a minute over the last 60 s, or over the time since the first when that is shorter. */
unsigned scr_session_per_minute(const struct scr_session *session)
{
    int64_t now_ms = df_clock_mono_ms(), second = now_ms / 1000, sum = 0;

    if (session->rate_since_ms == 0)
        return 0;
    for (int64_t s = second - SCR_RATE_SECONDS + 1; s <= second; s++)
        if (s >= 0 && s <= session->rate_second && s > session->rate_second - SCR_RATE_SECONDS)
            sum += session->rate[s % SCR_RATE_SECONDS];
    int64_t span_ms = now_ms - session->rate_since_ms;
    if (span_ms >= SCR_RATE_SECONDS * 1000)
        return (unsigned)sum;
    return (unsigned)((double)sum * 60000.0 / (double)(span_ms < 5000 ? 5000 : span_ms) + 0.5);
}

static struct scr_capture *make_capture(struct scr_session *session, enum scr_source source,
                                        bool is_backlog, const struct scr_line *line)
{
    const struct scr_monitor *monitor = session->monitor;
    struct scr_verdict verdict;
    struct scr_capture *capture = scr_capture_new(session->totals->session, line);

    if (capture == NULL)
        return NULL;
    scr_verdict_make(&verdict, monitor->parts.model, &monitor->rule, monitor->parts.config->platform,
                     line->username, line->text, line->kind, line->role);
    df_uuid_new_v7(&capture->id);
    capture->session_token = session->token;
    capture->source = source;
    capture->is_backlog = is_backlog;
    capture->should_deliver = session->is_uuid && line->kind == SCR_CHAT;
    capture->is_buyer = verdict.is_buyer;
    capture->confidence = verdict.judged.confidence;
    capture->value_cents = verdict.is_buyer ? verdict.judged.value_cents : DF_VALUE_NONE;
    capture->captured_ms = df_clock_wall_ms();
    capture->seen_ns = df_clock_mono_ns();
    return capture;
}

/* Only the page that counts is listened to: a candidate's lines would come twice. */
static void on_lines(void *arg, const struct scr_lines *lines)
{
    struct scr_slot *slot = arg;
    struct scr_session *session = slot->session;
    struct scr_capture *first = NULL, **last = &first;
    bool is_new[LINES_MAX], is_gap = false;
    struct scr_lines part = *lines;

    if (slot->is_dropped || session->is_closing || slot != session->current)
        return;
    if (part.count > LINES_MAX) {
        part.line += part.count - LINES_MAX;
        part.count = LINES_MAX;
    }
    int64_t now_ms = df_clock_mono_ms();
    bool is_first = lines->is_snapshot && !session->has_first_snapshot;
    session->has_first_snapshot |= lines->is_snapshot || lines->count > 0;
    session->last_report_ms = df_clock_wall_ms();
    scr_history_judge(session->history, &part, is_new, &is_gap, now_ms);
    session->gaps += is_gap;
    if (is_first && !session->monitor->parts.config->backlog)
        return; /* remembered, not reported */
    for (size_t i = 0; i < part.count; i++) {
        session->monitor->lines[part.line[i].kind]++;
        if (!is_new[i])
            continue;
        if (part.line[i].kind == SCR_CHAT && !part.is_snapshot) {
            if (session->rate_since_ms == 0)
                session->rate_since_ms = now_ms;
            count_rate(session, now_ms);
        }
        *last = make_capture(session, part.source, is_first, &part.line[i]);
        if (*last == NULL) {
            df_log(DF_LOG_ERROR, "memory_exhausted", "where=capture stream=%s",
                   session->totals->stream_id);
            break;
        }
        session->monitor->lines_new++;
        session->in_flight++;
        session->monitor->backlog_lines += is_first;
        last = &(*last)->next;
    }
    if (first != NULL)
        scr_delivery_submit(session->monitor->parts.delivery, first);
    scr_rotate_watch(session);
}

/* --- facts and signs of life ----------------------------------------------------------------- */

static void take_facts(struct scr_session *session)
{
    const struct scr_tab_facts *facts = scr_session_facts(session);

    if (facts->title[0] != '\0')
        (void)snprintf(session->totals->title, sizeof session->totals->title, "%s", facts->title);
    if (facts->host[0] != '\0')
        (void)snprintf(session->totals->host, sizeof session->totals->host, "%s", facts->host);
    if (facts->viewers >= 0)
        session->totals->viewers = facts->viewers;
}

static void on_facts_timer(void *arg)
{
    struct scr_session *session = arg;
    session->facts_said_ms = df_clock_mono_ms();
    scr_events_update(session);
}

static void on_facts(void *arg)
{
    struct scr_slot *slot = arg;
    struct scr_session *session = slot->session;

    if (slot->is_dropped || session->is_closing || slot != session->current)
        return;
    take_facts(session);
    if (!slot->was_live || scr_timer_is_set(&session->facts_timer))
        return;
    int64_t since_ms = df_clock_mono_ms() - session->facts_said_ms;
    scr_timer_set(session->monitor->parts.loop, &session->facts_timer,
                  since_ms >= FACTS_GAP_MS ? 0 : FACTS_GAP_MS - since_ms);
}

static void on_life(void *arg)
{
    struct scr_slot *slot = arg;
    if (!slot->is_dropped && !slot->session->is_closing && slot == slot->session->current)
        scr_rotate_watch(slot->session);
}

/* --- opening --------------------------------------------------------------------------------- */

static struct scr_slot *slot_new(struct scr_session *session, const struct scr_address *address,
                                 enum scr_purpose purpose)
{
    const struct scr_monitor_parts *parts = &session->monitor->parts;
    struct df_error err = {0};

    struct scr_slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->session = session;
    slot->purpose = purpose;
    slot->chosen_by = purpose == SCR_FOR_RECYCLE && session->current != NULL
                          ? session->current->chosen_by
                          : purpose;
    slot->deadline = (struct scr_timer){.on_due = on_candidate_deadline, .arg = slot};
    const struct scr_tab_callbacks callbacks = {.arg = slot,
                                                .on_state = on_state,
                                                .on_facts = on_facts,
                                                .on_lines = on_lines,
                                                .on_life = on_life};
    if (scr_tab_new(&slot->tab, parts->loop, parts->browser, parts->config, parts->rules, address,
                    &callbacks, &err) != DF_OK) {
        df_log(DF_LOG_ERROR, "page_failed", "stream=%s error=\"%s\"", session->totals->stream_id,
               err.msg);
        free(slot);
        return NULL;
    }
    return slot;
}

bool scr_session_try(struct scr_session *session, const struct scr_address *address,
                     enum scr_purpose purpose)
{
    if (session->candidate != NULL) {
        if (purpose != SCR_FOR_START)
            return false;
        scr_session_drop_candidate(session); /* what a person asks for comes first */
    }
    struct scr_slot *slot = slot_new(session, address, purpose);
    if (slot == NULL)
        return false;
    if (session->current == NULL) {
        session->current = slot;
        session->address = *address;
        (void)snprintf(session->totals->url, sizeof session->totals->url, "%s", address->url);
        scr_session_save(session);
        return true;
    }
    session->candidate = slot;
    scr_timer_set(session->monitor->parts.loop, &slot->deadline, CANDIDATE_DEADLINE_MS);
    return true;
}

void scr_session_begin(struct scr_session *session)
{
    scr_events_started(session);
    if (session->address.url[0] != '\0') {
        if (!scr_session_try(session, &session->address, SCR_FOR_START)) {
            scr_session_answer(session, 503, "Out of memory");
            scr_session_close(session, SCR_FAILED, "out of memory");
        }
        return;
    }
    scr_rotate_begin(session, "the session asked for discovery");
}

/* --- life of the session --------------------------------------------------------------------- */

static struct scr_totals *totals_new(const char *id, const char *owner)
{
    struct df_uuid uuid;
    struct scr_totals *totals = calloc(1, sizeof *totals);

    if (totals == NULL)
        return NULL;
    (void)snprintf(totals->session, sizeof totals->session, "%s", id);
    (void)snprintf(totals->owner, sizeof totals->owner, "%s", owner);
    df_uuid_new_v7(&uuid);
    df_uuid_format(totals->stream_id, &uuid);
    totals->viewers = -1;
    totals->started_ms = df_clock_wall_ms();
    return totals;
}

static void on_retry_timer(void *arg)
{
    struct scr_session *session = arg;
    scr_rotate_begin(session, "trying again");
}

static void on_rotate_timer(void *arg)
{
    struct scr_session *session = arg;
    scr_rotate_begin(session, "the show is quiet");
}

struct scr_session *scr_session_new(struct scr_monitor *monitor, const char *id, const char *owner,
                                    const struct scr_address *address, const json_t *request)
{
    struct df_uuid uuid;
    const struct scr_config *config = monitor->parts.config;
    struct scr_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->monitor = monitor;
    session->totals = totals_new(id, owner);
    session->request = json_deep_copy(request);
    if (session->totals == NULL || session->request == NULL ||
        scr_history_new(&session->history, (size_t)config->dedup_max, config->dedup_ttl_ms, NULL) !=
            DF_OK) {
        free(session->totals);
        json_decref(session->request);
        free(session);
        return NULL;
    }
    session->token = ++monitor->next_token;
    session->is_uuid = df_uuid_parse(&uuid, id, strlen(id));
    if (address != NULL)
        session->address = *address;
    session->start_timer = (struct scr_timer){.on_due = on_start_timer, .arg = session};
    session->close_timer = (struct scr_timer){.on_due = on_close_timer, .arg = session};
    session->retry_timer = (struct scr_timer){.on_due = on_retry_timer, .arg = session};
    session->rotate_timer = (struct scr_timer){.on_due = on_rotate_timer, .arg = session};
    session->facts_timer = (struct scr_timer){.on_due = on_facts_timer, .arg = session};
    session->shots.config = config;
    (void)snprintf(session->shots.name, sizeof session->shots.name, "%s", session->totals->stream_id);
    session->next = monitor->sessions;
    monitor->sessions = session;
    scr_delivery_load_history(monitor->parts.delivery, id, session->token);
    return session;
}

void scr_session_save(struct scr_session *session)
{
    const struct scr_totals *totals = session->totals;
    struct scr_watch_row row = {.messages = totals->messages,
                                .buyers = totals->buyers,
                                .value_cents = totals->value_cents,
                                .started_ms = totals->started_ms};

    (void)snprintf(row.session, sizeof row.session, "%s", totals->session);
    (void)snprintf(row.stream_id, sizeof row.stream_id, "%s", totals->stream_id);
    (void)snprintf(row.url, sizeof row.url, "%s", session->address.url);
    (void)snprintf(row.owner, sizeof row.owner, "%s", totals->owner);
    row.request_json = json_dumps(session->request, JSON_COMPACT);
    (void)snprintf(session->totals->url, sizeof session->totals->url, "%s", session->address.url);
    scr_delivery_watch_put(session->monitor->parts.delivery, &row);
    free(row.request_json);
}

static void on_closed(void *arg)
{
    struct scr_session *session = arg;
    scr_monitor_forget(session->monitor, session);
}

void scr_session_close(struct scr_session *session, enum scr_state final, const char *reason)
{
    if (session->is_closing)
        return;
    session->is_closing = true;
    session->totals->state = final;
    session->totals->ended_ms = df_clock_wall_ms();
    scr_session_answer(session, 502, reason);
    scr_delivery_watch_remove(session->monitor->parts.delivery, session->totals->session);
    scr_events_state(session, scr_state_name(final), reason);
    df_log(DF_LOG_INFO, "session_closed", "stream=%s state=%s messages=%llu buyers=%llu",
           session->totals->stream_id, scr_state_name(final),
           (unsigned long long)session->totals->messages,
           (unsigned long long)session->totals->buyers);
    session->close_timer.on_due = on_closed; /* next round: we may be in a tab's callback */
    scr_timer_set(session->monitor->parts.loop, &session->close_timer, 0);
}

void scr_session_free(struct scr_session *session)
{
    struct scr_loop *loop = session->monitor->parts.loop;

    scr_rotate_release(session);
    slot_free_now(session, &session->candidate);
    slot_free_now(session, &session->current);
    scr_timer_cancel(loop, &session->start_timer);
    scr_timer_cancel(loop, &session->close_timer);
    scr_timer_cancel(loop, &session->retry_timer);
    scr_timer_cancel(loop, &session->rotate_timer);
    scr_timer_cancel(loop, &session->facts_timer);
    scr_history_free(session->history);
    json_decref(session->request);
    free(session);
}
