/* scraper/events.c - what clients are told, as JSON. Keys of the old service keep their meaning. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scraper/session.h"
#include "shared/clock.h"
#include "shared/log.h"

const char *scr_events_time(char out[32], int64_t wall_ms)
{
    struct tm parts;
    time_t seconds = (time_t)(wall_ms / 1000);

    out[0] = '\0';
    if (gmtime_r(&seconds, &parts) != NULL) {
        size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &parts);
        (void)snprintf(out + n, 32 - n, ".%03dZ", (int)(wall_ms % 1000));
    }
    return out;
}

static json_t *time_or_null(int64_t wall_ms)
{
    char text[32];
    return wall_ms == 0 ? json_null() : json_string(scr_events_time(text, wall_ms));
}

static json_t *text_or_null(const char *text)
{
    return text[0] == '\0' ? json_null() : json_string(text);
}

static json_t *money(int64_t cents)
{
    return cents < 0 ? json_null() : json_real((double)cents / 100.0);
}

/* Encodes once and hands it to the clients that may see this owner's sessions; takes the event. */
static void say(struct scr_monitor *monitor, const char *owner, json_t *event)
{
    char *text =
        event == NULL ? NULL : json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(15));

    if (text != NULL)
        scr_server_broadcast_text(monitor->server, owner, text, strlen(text));
    else
        df_log(DF_LOG_ERROR, "event_lost", "%s", "why=\"no memory, or text that is no UTF-8\"");
    free(text);
    json_decref(event);
}

static void say_for(struct scr_session *session, json_t *event)
{
    say(session->monitor, session->totals->owner, event);
}

/* How the page was chosen, in the old service's words. */
static const char *chosen_by(const struct scr_session *session)
{
    static const char *const names[] = {"manual", "fallback", "discovered", "manual"};
    if (session->current == NULL) /* an address means that somebody gave it */
        return session->address.url[0] == '\0' ? "discovered" : "manual";
    return names[session->current->chosen_by];
}

json_t *scr_events_stream(const struct scr_session *session)
{
    const struct scr_totals *totals = session->totals;
    const struct scr_tab_facts *facts = scr_session_facts(session);

    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:s}", "url", session->address.url, "title",
                     text_or_null(totals->title), "host", text_or_null(totals->host), "viewers",
                     totals->viewers < 0 ? json_null() : json_integer(totals->viewers), "source",
                     chosen_by(session), "chatSource",
                     scr_source_name(facts == NULL ? SCR_SOURCE_NONE : facts->source), "streamId",
                     totals->stream_id);
}

json_t *scr_events_session(const struct scr_session *session, bool is_full)
{
    const struct scr_totals *totals = session->totals;
    const struct scr_tab_facts *facts = scr_session_facts(session);
    int64_t last_ms = facts == NULL ? 0 : facts->last_line_ms;
    int64_t now_ms = df_clock_wall_ms();

    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:b, s:o, s:o, s:I}", "state", scr_state_name(scr_session_state(session)),
        "reason", facts == NULL ? "" : facts->reason, "source",
        scr_source_name(facts == NULL ? SCR_SOURCE_NONE : facts->source), "drawn",
        facts != NULL && facts->is_drawn, "lastMessageAt", time_or_null(last_ms),
        "lastMessageAgeMs", last_ms == 0 ? json_null() : json_integer(now_ms - last_ms),
        "ageMs", (json_int_t)(now_ms - totals->started_ms));
    if (out == NULL || !is_full)
        return out;
    json_t *more = json_pack(
        "{s:s, s:s, s:o, s:I, s:I, s:o, s:i, s:I, s:I, s:I, s:s, s:b}", "sessionId", totals->session,
        "streamId", totals->stream_id, "stream", scr_events_stream(session), "totalMessages",
        (json_int_t)totals->messages, "totalBuyers", (json_int_t)totals->buyers, "estimatedValue",
        money(totals->value_cents), "messagesPerMinute", (int)scr_session_per_minute(session),
        "gaps", (json_int_t)session->gaps, "recoveries",
        (json_int_t)(facts == NULL ? 0 : facts->recoveries), "malformed",
        (json_int_t)(facts == NULL ? 0 : facts->frames_malformed + facts->reports_malformed),
        "strategy", facts == NULL ? "" : facts->strategy, "delivered", session->is_uuid);
    (void)json_object_update(out, more);
    json_decref(more);
    return out;
}

static json_t *buyer_json(const struct scr_buyer *buyer)
{
    char at[32];
    return json_pack("{s:s, s:s, s:f, s:s, s:s, s:I, s:o}", "username", buyer->username, "message",
                     buyer->text, "confidence", buyer->confidence, "reason", buyer->reason,
                     "timestamp", scr_events_time(at, buyer->captured_ms), "buyerNumber",
                     (json_int_t)buyer->number, "offer", money(buyer->value_cents));
}

json_t *scr_events_summary(const struct scr_totals *totals)
{
    json_t *buyers = json_array();
    uint64_t first = totals->buyers > SCR_BUYERS_KEPT ? totals->buyers - SCR_BUYERS_KEPT + 1 : 1;

    for (uint64_t n = first; n <= totals->buyers; n++) {
        const struct scr_buyer *buyer = &totals->buyer[n % SCR_BUYERS_KEPT];
        if (buyer->number == n) /* those of an earlier run are counted, not kept */
            (void)json_array_append_new(buyers, buyer_json(buyer));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "streamId",
                     totals->stream_id, "sessionId", totals->session, "url", totals->url, "title",
                     text_or_null(totals->title), "host", text_or_null(totals->host), "state",
                     scr_state_name(totals->state), "totalMessages", (json_int_t)totals->messages,
                     "totalBuyers", (json_int_t)totals->buyers, "estimatedValue",
                     money(totals->value_cents), "startedAt", time_or_null(totals->started_ms),
                     "endedAt", time_or_null(totals->ended_ms), "buyers", buyers);
}

void scr_events_state(struct scr_session *session, const char *state, const char *reason)
{
    char at[32];
    const struct scr_tab_facts *facts = scr_session_facts(session);

    say_for(session,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "type", "stream_state",
                      "sessionId", session->totals->session, "streamId", session->totals->stream_id,
                      "state", state, "reason", reason, "at",
                      scr_events_time(at, df_clock_wall_ms()), "source",
                      scr_source_name(facts == NULL ? SCR_SOURCE_NONE : facts->source),
                      "httpStatus", facts == NULL ? 0 : facts->http_status));
}

static void say_stream(struct scr_session *session, const char *type)
{
    say_for(session, json_pack("{s:s, s:s, s:s, s:o}", "type", type, "sessionId",
                               session->totals->session, "streamId", session->totals->stream_id,
                               "stream", scr_events_stream(session)));
}

void scr_events_started(struct scr_session *session)
{
    say_stream(session, "monitoring_started");
}

void scr_events_selected(struct scr_session *session)
{
    say_stream(session, "stream_selected");
}

void scr_events_update(struct scr_session *session)
{
    say_stream(session, "stream_update");
}

void scr_events_stats(struct scr_session *session)
{
    const struct scr_totals *totals = session->totals;

    say_for(session,
            json_pack("{s:s, s:s, s:{s:I, s:I, s:o, s:i}}", "type", "debug_stats", "sessionId",
                      totals->session, "stats", "totalMessages", (json_int_t)totals->messages,
                      "buyerCount", (json_int_t)totals->buyers, "lastScrape",
                      time_or_null(session->last_report_ms), "messagesPerMinute",
                      (int)scr_session_per_minute(session)));
}

void scr_events_error(struct scr_monitor *monitor, const struct scr_session *session,
                      const char *code, const char *text)
{
    json_t *event = json_pack("{s:s, s:s, s:s}", "type", "error", "error", text, "code", code);

    if (event != NULL && session != NULL)
        (void)json_object_set_new(event, "sessionId", json_string(session->totals->session));
    say(monitor, session == NULL ? NULL : session->totals->owner, event);
}

/* Texts cut in the middle of a character cannot come here: sources see to it. */
void scr_events_line(struct scr_session *session, const struct scr_capture *capture,
                     const struct scr_verdict *verdict, bool is_captured)
{
    char id[DF_UUID_TEXT_SIZE], at[32];
    bool is_chat = capture->kind == SCR_CHAT;

    df_uuid_format(id, &capture->id);
    json_t *message = json_pack(
        "{s:s, s:s, s:s, s:b, s:f, s:b, s:s, s:s, s:b, s:b}", "username", capture->username,
        "message", capture->text, "timestamp", scr_events_time(at, capture->captured_ms), "isBuyer",
        verdict->is_buyer, "confidence", verdict->judged.confidence, "isQuestion",
        verdict->is_question, "role", scr_role_name(capture->role), "source",
        scr_source_name(capture->source), "backlog", capture->is_backlog, "cut", capture->is_cut);
    say_for(session, json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:o}", "type",
                               is_chat ? "new_message" : "chat_event", "sessionId",
                               session->totals->session, "streamId", session->totals->stream_id,
                               "messageId", id, "captured", is_captured, "kind",
                               scr_kind_name(capture->kind), "message", message));
}

void scr_events_captured_late(struct scr_session *session, const struct scr_capture *capture)
{
    char id[DF_UUID_TEXT_SIZE];

    df_uuid_format(id, &capture->id);
    say_for(session, json_pack("{s:s, s:s, s:s}", "type", "message_captured", "sessionId",
                               session->totals->session, "messageId", id));
}

void scr_events_buyer(struct scr_session *session, const struct scr_capture *capture,
                      const struct scr_verdict *verdict, const struct scr_buyer *buyer)
{
    char id[DF_UUID_TEXT_SIZE];
    const struct scr_totals *totals = session->totals;
    json_t *about = buyer_json(buyer);

    df_uuid_format(id, &capture->id);
    if (about != NULL) {
        (void)json_object_set_new(about, "messageType",
                                  json_string(df_message_type_name(verdict->judged.type)));
        (void)json_object_set_new(about, "item", text_or_null(verdict->judged.item));
    }
    say_for(session,
            json_pack("{s:s, s:s, s:s, s:s, s:o, s:{s:I, s:I, s:o}}", "type", "buyer_detected",
                      "sessionId", totals->session, "streamId", totals->stream_id, "messageId", id,
                      "buyer", about, "stats", "totalBuyers", (json_int_t)totals->buyers,
                      "totalMessages", (json_int_t)totals->messages, "estimatedValue",
                      money(totals->value_cents)));
}
