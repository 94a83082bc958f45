/* scraper/tab_read.c - what a page brings: frames of its sockets and reports of our script become
 * lines, facts and signs of life. Only the source that was chosen is passed on; the others are
 * watched to choose by. */
#include <stdio.h>
#include <string.h>

#include "scraper/tab_internal.h"
#include "shared/clock.h"
#include "shared/log.h"

void scr_read_begin(struct scr_tab *tab)
{
    scr_choice_begin(&tab->choice, (enum scr_source_choice)tab->config->source,
                     !tab->facts.is_drawn && tab->config->draw == SCR_DRAW_AUTO, tab->must_draw,
                     df_clock_mono_ms());
    tab->check = (struct scr_check){0};
    tab->socket_count = 0;
    tab->chat_show[0] = '\0';
    tab->was_joined = tab->is_awaiting_snapshot = tab->is_poll_pending = false;
    tab->does_document_say_ended = false;
    tab->has_frame_title = tab->has_frame_host = tab->has_frame_viewers = false;
    tab->facts.source = SCR_SOURCE_NONE;
    tab->facts.strategy[0] = '\0';
    scr_timer_cancel(tab->loop, &tab->poll);
}

/* --- lines ----------------------------------------------------------------------------------- */

static void forward(struct scr_tab *tab, bool is_snapshot, const struct scr_line *line,
                    size_t count)
{
    const struct scr_lines lines = {
        .source = tab->facts.source, .is_snapshot = is_snapshot, .line = line, .count = count};
    bool has_chat = false, has_join = false;

    for (size_t i = 0; i < count; i++) {
        has_chat |= line[i].kind == SCR_CHAT;
        has_join |= line[i].kind == SCR_JOIN;
    }
    if (has_chat && !is_snapshot)
        scr_tab_on_chat(tab);
    /* An empty snapshot is news, too: nothing was there before. */
    if (tab->callbacks.on_lines != NULL && (count > 0 || is_snapshot))
        tab->callbacks.on_lines(tab->callbacks.arg, &lines);
    if (has_join && !is_snapshot)
        scr_tab_on_life(tab);
}

/* --- facts ----------------------------------------------------------------------------------- */

static bool set_text(char *out, size_t out_size, const char *text)
{
    if (text[0] == '\0' || strcmp(out, text) == 0)
        return false;
    (void)snprintf(out, out_size, "%s", text);
    return true;
}

static void tell_facts(struct scr_tab *tab, bool is_changed, bool is_life)
{
    if (is_changed && tab->callbacks.on_facts != NULL)
        tab->callbacks.on_facts(tab->callbacks.arg);
    if (is_life)
        scr_tab_on_life(tab);
}

/* Sockets tell more exactly than the page shows ("1.9K"), so what they told stays. */
static void facts_from_frame(struct scr_tab *tab, const struct scr_frame *frame)
{
    struct scr_tab_facts *facts = &tab->facts;
    bool is_changed = set_text(facts->title, sizeof facts->title, frame->title);

    is_changed |= set_text(facts->host, sizeof facts->host, frame->host);
    tab->has_frame_title |= frame->title[0] != '\0';
    tab->has_frame_host |= frame->host[0] != '\0';
    bool is_life = frame->viewers >= 0 && frame->viewers != facts->viewers;
    if (frame->viewers >= 0) {
        tab->has_frame_viewers = true;
        facts->viewers = frame->viewers;
    }
    tell_facts(tab, is_changed || is_life, is_life);
    if (strcmp(frame->status, "ENDED") == 0 || strcmp(frame->status, "CANCELLED") == 0)
        scr_tab_on_ended(tab, true);
    else if (strcmp(frame->status, "PLAYING") == 0)
        scr_tab_on_ended(tab, false);
}

/* True when the page turned out to be a wall; it is gone then. */
static bool is_wall(struct scr_tab *tab, const struct scr_report *report)
{
    char reason[160];

    if (tab->is_wall) { /* known by its status; its title was waited for */
        (void)snprintf(reason, sizeof reason, "the site answered with status %d%s%.100s",
                       tab->document_status, report->title[0] != '\0' ? ": " : "", report->title);
    } else if (tab->facts.source == SCR_SOURCE_NONE && !tab->choice.has_rows &&
               (tab->facts.state == SCR_WAITING_CHAT || tab->facts.state == SCR_DEGRADED)) {
        const char *mark = scr_rules_wall(tab->rules, report->title);
        if (mark == NULL)
            mark = scr_rules_wall(tab->rules, report->text);
        if (mark == NULL)
            return false;
        (void)snprintf(reason, sizeof reason, "the site shows a wall instead of the show: %.100s",
                       mark);
    } else {
        return false;
    }
    scr_tab_blocked(tab, reason);
    return true;
}

static void facts_from_report(struct scr_tab *tab, const struct scr_report *report)
{
    struct scr_tab_facts *facts = &tab->facts;
    bool is_changed = false, is_life = false;

    if (is_wall(tab, report))
        return;
    if (!tab->has_frame_title)
        is_changed |= set_text(facts->title, sizeof facts->title, report->title);
    if (!tab->has_frame_host)
        is_changed |= set_text(facts->host, sizeof facts->host, report->host);
    if (!tab->has_frame_viewers && report->viewers >= 0 && report->viewers != facts->viewers) {
        is_life = facts->viewers >= 0; /* the first look is no change */
        is_changed = true;
        facts->viewers = report->viewers;
    }
    tell_facts(tab, is_changed, is_life);
    if (report->is_ended != tab->does_document_say_ended) {
        tab->does_document_say_ended = report->is_ended;
        scr_tab_on_ended(tab, report->is_ended);
    }
}

/* --- the sockets ----------------------------------------------------------------------------- */

static size_t find_socket(const struct scr_tab *tab, const json_t *params)
{
    const char *id = json_string_value(json_object_get(params, "requestId"));
    size_t i = 0;

    while (i < tab->socket_count && (id == NULL || strcmp(tab->socket[i].request_id, id) != 0))
        i++;
    return i;
}

static void on_socket_created(struct scr_tab *tab, const json_t *params)
{
    const json_t *id = json_object_get(params, "requestId");
    const char *url = json_string_value(json_object_get(params, "url"));

    if (url == NULL || json_string_length(id) == 0 || json_string_length(id) >= SCR_ID_MAX_BYTES ||
        !scr_rules_is_live_socket(tab->rules, url) || !scr_guard_allows_socket(tab, url) ||
        tab->socket_count == SCR_SOCKETS_MAX)
        return;
    memcpy(tab->socket[tab->socket_count++].request_id, json_string_value(id),
           json_string_length(id) + 1);
    scr_choice_socket_opened(&tab->choice);
}

static void on_socket_closed(struct scr_tab *tab, const json_t *params)
{
    size_t i = find_socket(tab, params);

    if (i == tab->socket_count)
        return;
    tab->socket[i] = tab->socket[--tab->socket_count];
    scr_choice_socket_closed(&tab->choice, df_clock_mono_ms());
}

/* Is this chat the page's own? Its address names the show; where the page joins another one (an
 * address by name, a redirect inside the site), its first chat is taken. */
static bool is_own_chat(struct scr_tab *tab, const char *show)
{
    bool is_from_url = strcmp(show, tab->address.show_id) == 0;

    if (show[0] == '\0')
        return false;
    if (strcmp(show, tab->chat_show) == 0)
        return true;
    if (tab->chat_show[0] != '\0' && (tab->is_chat_from_url || !is_from_url))
        return false;
    (void)snprintf(tab->chat_show, sizeof tab->chat_show, "%s", show);
    tab->is_chat_from_url = is_from_url;
    return true;
}

static bool is_own_show(const struct scr_tab *tab, const char *show)
{
    return show[0] != '\0' &&
           (strcmp(show, tab->address.show_id) == 0 || strcmp(show, tab->chat_show) == 0);
}

static void on_joined(struct scr_tab *tab, const struct scr_frame *frame)
{
    if (!is_own_chat(tab, frame->topic_show) || tab->choice.is_joined)
        return;
    if (tab->was_joined)
        tab->facts.frame_gaps++;
    tab->was_joined = true;
    scr_choice_joined(&tab->choice);
    scr_tab_decide(tab);
}

static void on_frame_lines(struct scr_tab *tab, const struct scr_frame *frame)
{
    if (!is_own_chat(tab, frame->topic_show))
        return;
    if (frame->count > 0) {
        scr_choice_frame_line(&tab->choice, df_clock_mono_ms());
        scr_tab_decide(tab);
    }
    if (tab->facts.source != SCR_SOURCE_FRAMES)
        return; /* another source was asked for by setting */
    bool is_snapshot = frame->type == SCR_FRAME_LATEST;
    if (!is_snapshot)
        tab->check.frames += frame->count;
    forward(tab, is_snapshot, frame->line, frame->count);
}

static void on_frame(struct scr_tab *tab, const json_t *params)
{
    const json_t *response = json_object_get(params, "response");
    const json_t *text = json_object_get(response, "payloadData");
    struct scr_frame frame;

    if (find_socket(tab, params) == tab->socket_count || !json_is_string(text) ||
        json_number_value(json_object_get(response, "opcode")) != 1.0)
        return;
    tab->facts.frames++;
    switch (scr_frame_parse(&frame, json_string_value(text), json_string_length(text))) {
    case SCR_FRAME_OTHER:
        break;
    case SCR_FRAME_MALFORMED:
        tab->facts.frames_malformed++;
        break;
    case SCR_FRAME_JOINED:
        on_joined(tab, &frame);
        break;
    case SCR_FRAME_MESSAGE:
    case SCR_FRAME_LATEST:
        on_frame_lines(tab, &frame);
        break;
    case SCR_FRAME_UPDATE:
    case SCR_FRAME_VIEWERS:
        if (is_own_show(tab, frame.topic_show))
            facts_from_frame(tab, &frame);
        break;
    case SCR_FRAME_LIFE:
        if (is_own_show(tab, frame.topic_show))
            scr_tab_on_life(tab);
        break;
    }
    scr_frame_release(&frame);
}

/* --- reports --------------------------------------------------------------------------------- */

/* Polled snapshots are all alike in a quiet chat: only another one is a sign of chat. */
static uint64_t digest(const struct scr_report *report)
{
    uint64_t sum = 14695981039346656037u; /* FNV-1a */

    for (size_t i = 0; i < report->count; i++) {
        const char *const texts[] = {report->line[i].username, report->line[i].text};
        for (size_t t = 0; t < 2; t++)
            for (const char *c = texts[t]; *c != '\0'; c++)
                sum = (sum ^ (unsigned char)*c) * 1099511628211u;
    }
    return sum;
}

static void on_polled_snapshot(struct scr_tab *tab, const struct scr_report *report)
{
    if (report->count > 0)
        scr_choice_polled_rows(&tab->choice);
    scr_tab_decide(tab);
    if (tab->facts.source != SCR_SOURCE_POLLING)
        return;
    uint64_t now = digest(report);
    if (report->count > 0 && now != tab->polled_digest)
        scr_tab_on_chat(tab);
    tab->polled_digest = now;
    forward(tab, true, report->line, report->count);
}

static void on_rows(struct scr_tab *tab, const struct scr_report *report)
{
    bool is_snapshot = report->type == SCR_REPORT_SNAPSHOT;

    if (is_snapshot && tab->is_poll_pending) {
        tab->is_poll_pending = false;
        on_polled_snapshot(tab, report);
        return;
    }
    if (report->count > 0)
        scr_choice_rows(&tab->choice, is_snapshot ? 0 : report->count, df_clock_mono_ms());
    scr_tab_decide(tab);
    if (tab->facts.source != SCR_SOURCE_DOCUMENT || (tab->is_awaiting_snapshot && !is_snapshot))
        return;
    tab->is_awaiting_snapshot = false;
    forward(tab, is_snapshot, report->line, report->count);
}

static void on_count(struct scr_tab *tab, uint64_t added)
{
    int64_t now_ms = df_clock_mono_ms();

    if (now_ms < tab->rows_count_from_ms)
        return; /* old rows of an undrawn page that came to light for a picture */
    scr_choice_rows(&tab->choice, added, now_ms);
    tab->check.rows += added;
    scr_tab_decide(tab);
}

static void take_report(struct scr_tab *tab, const json_t *payload)
{
    struct scr_report report;

    if (json_string_length(payload) > SCR_REPORT_MAX_BYTES) {
        tab->facts.reports_malformed++;
        return;
    }
    (void)scr_report_parse(&report, json_string_value(payload), json_string_length(payload));
    if (report.strategy[0] != '\0')
        (void)snprintf(tab->facts.strategy, sizeof tab->facts.strategy, "%s", report.strategy);
    switch (report.type) {
    case SCR_REPORT_MALFORMED:
        tab->facts.reports_malformed++;
        break;
    case SCR_REPORT_FOUND:
        df_log(DF_LOG_INFO, "list_found", "show=%s strategy=%s", tab->address.show_id,
               report.strategy);
        break;
    case SCR_REPORT_LOST:
        tab->is_poll_pending = false;
        scr_choice_rows_lost(&tab->choice, df_clock_mono_ms());
        scr_tab_decide(tab);
        break;
    case SCR_REPORT_ROWS:
    case SCR_REPORT_SNAPSHOT:
        on_rows(tab, &report);
        break;
    case SCR_REPORT_COUNT:
        on_count(tab, report.added);
        break;
    case SCR_REPORT_FACTS:
        facts_from_report(tab, &report);
        break;
    }
    scr_report_release(&report);
}

static void on_binding(struct scr_tab *tab, const json_t *params)
{
    const char *name = json_string_value(json_object_get(params, "name"));
    const json_t *payload = json_object_get(params, "payload");

    if (name == NULL || strcmp(name, SCR_PAGE_BINDING) != 0 || tab->world_id == 0 ||
        json_integer_value(json_object_get(params, "executionContextId")) != tab->world_id)
        return; /* the page's own world, another frame's, or one that is gone */
    tab->last_sign_ms = df_clock_mono_ms();
    if (tab->phase == SCR_PHASE_PAGE && json_is_string(payload))
        take_report(tab, payload);
}

static void on_facts_answer(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;
    const json_t *value = json_object_get(json_object_get(result, "result"), "value");

    tab->is_facts_pending = false;
    if (err == NULL && json_is_string(value) && tab->phase == SCR_PHASE_PAGE)
        take_report(tab, value);
}

void scr_read_ask_facts(struct scr_tab *tab)
{
    if (!tab->is_facts_pending)
        tab->is_facts_pending = scr_tab_evaluate(tab, SCR_PAGE_FACTS, on_facts_answer);
}

static void on_poll_answer(void *arg, const json_t *result, const struct df_error *err)
{
    struct scr_tab *tab = arg;

    (void)result;
    (void)err; /* a page that does not answer is the heartbeat's business */
    if (scr_choice_wants_poll(&tab->choice, df_clock_mono_ms()))
        scr_timer_set(tab->loop, &tab->poll, tab->config->poll_interval_ms);
}

/* The snapshot comes as a report of its own, maybe after the answer: a row may be waited for. */
void scr_read_poll(struct scr_tab *tab)
{
    tab->is_poll_pending = scr_tab_evaluate(tab, SCR_PAGE_SNAPSHOT, on_poll_answer);
}

/* --- worlds ---------------------------------------------------------------------------------- */

static void on_world_created(struct scr_tab *tab, const json_t *params)
{
    const json_t *context = json_object_get(params, "context");
    const json_t *aux = json_object_get(context, "auxData");
    const char *name = json_string_value(json_object_get(context, "name"));
    const char *type = json_string_value(json_object_get(aux, "type"));
    const char *frame_id = json_string_value(json_object_get(aux, "frameId"));

    if (name == NULL || type == NULL || frame_id == NULL || strcmp(name, SCR_PAGE_WORLD) != 0 ||
        strcmp(type, "isolated") != 0 || strcmp(frame_id, tab->listener.target_id) != 0)
        return;
    tab->world_id = json_integer_value(json_object_get(context, "id"));
}

bool scr_read_on_event(struct scr_tab *tab, const char *method, const json_t *params, bool is_page)
{
    if (strcmp(method, "Network.webSocketFrameReceived") == 0) {
        if (is_page)
            tab->last_sign_ms = df_clock_mono_ms();
        on_frame(tab, params);
    } else if (strcmp(method, "Runtime.bindingCalled") == 0) {
        if (is_page)
            on_binding(tab, params);
    } else if (strcmp(method, "Network.webSocketCreated") == 0) {
        on_socket_created(tab, params);
    } else if (strcmp(method, "Network.webSocketClosed") == 0) {
        on_socket_closed(tab, params);
    } else if (strcmp(method, "Runtime.executionContextCreated") == 0) {
        if (is_page)
            on_world_created(tab, params);
    } else if (strcmp(method, "Runtime.executionContextDestroyed") == 0) {
        if (is_page &&
            json_integer_value(json_object_get(params, "executionContextId")) == tab->world_id)
            tab->world_id = 0;
    } else if (strcmp(method, "Runtime.executionContextsCleared") == 0) {
        if (is_page)
            tab->world_id = 0;
    } else {
        return false;
    }
    return true;
}
