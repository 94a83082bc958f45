/* scraper/frames.c - reads the text frames of the site's live socket. Most frames are bids and
 * presence: the head of a frame is scanned by hand, and only what we want is parsed in full. */
#include "scraper/frames.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/line_json.h"
#include "shared/json.h"

#define FRAME_MAX_BYTES ((size_t)16 << 20)
#define CHAT_PREFIX     "chat:"
#define ID_MAX_BYTES    200 /* ids seen are UUIDs; a longer one would only bloat what we keep */

/* --- the head: [join ref, ref, topic, event, --- */

struct span {
    const char *at;
    size_t len;
};

struct scan {
    const char *at, *end;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

/* A string; without escapes its text is in *out. One with escapes is nothing we compare with (our
 * topics and events have none), it stays empty. */
static bool take_string(struct scan *s, struct span *out)
{
    bool has_escape = false;

    if (!take(s, '"'))
        return false;
    out->at = s->at;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\') {
            has_escape = true;
            s->at++;
            if (s->at == s->end)
                return false;
        }
        s->at++;
    }
    if (s->at == s->end)
        return false;
    out->len = has_escape ? 0 : (size_t)(s->at - out->at);
    s->at++;
    return true;
}

/* A reference: a string, null or a number. */
static bool take_reference(struct scan *s)
{
    struct span ignored;

    skip_space(s);
    if (s->at < s->end && *s->at == '"')
        return take_string(s, &ignored);
    const char *start = s->at;
    while (s->at < s->end && strchr(",]}[{\" \t\r\n", *s->at) == NULL)
        s->at++;
    return s->at > start;
}

static bool scan_head(const char *text, size_t text_len, struct span *topic, struct span *event)
{
    struct scan s = {text, text + text_len};

    return take(&s, '[') && take_reference(&s) && take(&s, ',') && take_reference(&s) &&
           take(&s, ',') && take_string(&s, topic) && take(&s, ',') && take_string(&s, event) &&
           take(&s, ',');
}

static bool span_is(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static bool is_chat_topic(struct span topic)
{
    return topic.len > strlen(CHAT_PREFIX) &&
           memcmp(topic.at, CHAT_PREFIX, strlen(CHAT_PREFIX)) == 0;
}

/* Events that only prove that somebody is there: the show is not dead although nobody talks. */
static bool is_life(struct span event)
{
    static const char *const names[] = {
        "user_joined",      "product_sold",     "payment_succeeded", "auction_started",
        "auction_ended",    "new_bid",          "product_created",   "product_pinned",
        "giveaway_started", "giveaway_entered", "giveaway_won",      "giveaway_entry_count_updated",
        "tip_sent",         "raid_started",     "has_been_raided",   "randomizer_result",
        "poll_updated",     "break_updated",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (span_is(event, names[i]))
            return true;
    }
    return false;
}

static enum scr_frame_type type_of(struct span topic, struct span event)
{
    if (span_is(event, "new_msg"))
        return is_chat_topic(topic) ? SCR_FRAME_MESSAGE : SCR_FRAME_OTHER;
    if (span_is(event, "latest_messages"))
        return is_chat_topic(topic) ? SCR_FRAME_LATEST : SCR_FRAME_OTHER;
    if (span_is(event, "phx_reply"))
        return is_chat_topic(topic) ? SCR_FRAME_JOINED : SCR_FRAME_OTHER;
    if (span_is(event, "livestream_update"))
        return SCR_FRAME_UPDATE;
    if (span_is(event, "livestream_view_count_updated"))
        return SCR_FRAME_VIEWERS;
    return is_life(event) ? SCR_FRAME_LIFE : SCR_FRAME_OTHER;
}

static void copy_show(char *out, size_t size, struct span topic)
{
    const char *colon = topic.len > 0 ? memchr(topic.at, ':', topic.len) : NULL;
    size_t len = colon != NULL ? topic.len - (size_t)(colon + 1 - topic.at) : 0;

    if (len >= size)
        len = 0; /* no show has such an id; a cut one would be another show's */
    if (len > 0)
        memcpy(out, colon + 1, len);
    out[len] = '\0';
}

/* --- payloads --- */

static enum scr_role role_of(const json_t *user)
{
    if (json_is_true(json_object_get(user, "isHost")) ||
        json_is_true(json_object_get(user, "isCohost")))
        return SCR_HOST;
    if (json_is_true(json_object_get(user, "isModerator")) ||
        json_is_true(json_object_get(user, "isNominatedModerator")))
        return SCR_MODERATOR;
    return SCR_VIEWER;
}

/* False when the message lacks what makes a line. */
static bool read_line(struct scr_line *line, json_t *message)
{
    json_t *user = json_object_get(message, "user");
    const char *type = json_string_value(json_object_get(message, "type"));
    bool id_is_cut = false;

    memset(line, 0, sizeof *line);
    if (!scr_json_text(json_object_get(user, "username"), SCR_NAME_MAX_BYTES, &line->username,
                       &line->username_len, &line->is_cut) ||
        !scr_json_text(json_object_get(message, "message"), SCR_TEXT_MAX_BYTES, &line->text,
                       &line->text_len, &line->is_cut) ||
        line->username_len == 0)
        return false;
    if (!scr_json_text(json_object_get(message, "id"), ID_MAX_BYTES, &line->id, &line->id_len,
                       &id_is_cut) ||
        id_is_cut) {
        line->id = "";
        line->id_len = 0;
    }
    line->role = role_of(user);
    if (type != NULL && strcmp(type, "announcement") == 0)
        line->kind = SCR_ANNOUNCEMENT;
    else if (scr_text_is_join(line->text, line->text_len))
        line->kind = SCR_JOIN;
    return true;
}

/* A message without text (a picture, an effect) is no error and no line. */
static enum scr_frame_type read_message(struct scr_frame *out, json_t *payload)
{
    out->line = malloc(sizeof *out->line);
    if (out->line == NULL || !read_line(out->line, payload))
        return SCR_FRAME_MALFORMED;
    if (out->line->text_len == 0)
        return SCR_FRAME_OTHER;
    out->count = 1;
    return SCR_FRAME_MESSAGE;
}

/* The list comes newest first. One bad entry does not spoil the others. */
static enum scr_frame_type read_latest(struct scr_frame *out, const json_t *payload)
{
    json_t *messages = json_object_get(payload, "messages");
    size_t count = json_array_size(messages);

    if (!json_is_array(messages))
        return SCR_FRAME_MALFORMED;
    if (count > SCR_FRAME_LINES_MAX)
        count = SCR_FRAME_LINES_MAX;
    if (count == 0)
        return SCR_FRAME_LATEST;
    out->line = calloc(count, sizeof *out->line);
    if (out->line == NULL)
        return SCR_FRAME_MALFORMED;
    for (size_t i = count; i-- > 0;) {
        struct scr_line *line = out->line + out->count;
        if (read_line(line, json_array_get(messages, i)) && line->text_len > 0)
            out->count++;
    }
    return SCR_FRAME_LATEST;
}

static enum scr_frame_type read_payload(struct scr_frame *out, enum scr_frame_type type,
                                        json_t *payload)
{
    if (!json_is_object(payload))
        return SCR_FRAME_MALFORMED;
    switch (type) {
    case SCR_FRAME_MESSAGE:
        return read_message(out, payload);
    case SCR_FRAME_LATEST:
        return read_latest(out, payload);
    case SCR_FRAME_JOINED: {
        const char *status = json_string_value(json_object_get(payload, "status"));
        return status != NULL && strcmp(status, "ok") == 0 ? SCR_FRAME_JOINED : SCR_FRAME_OTHER;
    }
    case SCR_FRAME_UPDATE:
        scr_json_copy(out->status, sizeof out->status, json_object_get(payload, "status"));
        scr_json_copy(out->title, sizeof out->title, json_object_get(payload, "title"));
        scr_json_copy(out->host, sizeof out->host, json_object_get(payload, "hostUsername"));
        out->viewers = scr_json_count(json_object_get(payload, "activeViewers"));
        return type;
    case SCR_FRAME_VIEWERS:
        out->viewers = scr_json_count(json_object_get(payload, "viewCount"));
        return out->viewers >= 0 ? type : SCR_FRAME_MALFORMED;
    default:
        return type;
    }
}

enum scr_frame_type scr_frame_parse(struct scr_frame *out, const char *text, size_t text_len)
{
    struct span topic, event;

    memset(out, 0, sizeof *out);
    out->viewers = -1;
    if (!scan_head(text, text_len, &topic, &event))
        return out->type = SCR_FRAME_MALFORMED;
    out->type = type_of(topic, event);
    if (out->type == SCR_FRAME_OTHER)
        return out->type;
    copy_show(out->topic_show, sizeof out->topic_show, topic);
    if (out->type == SCR_FRAME_LIFE)
        return out->type;

    json_t *root;
    if (df_json_parse(&root, text, text_len, FRAME_MAX_BYTES, NULL) != DF_OK)
        return out->type = SCR_FRAME_MALFORMED;
    out->root = root;
    if (json_array_size(root) != 5)
        return out->type = SCR_FRAME_MALFORMED;
    return out->type = read_payload(out, out->type, json_array_get(root, 4));
}

void scr_frame_release(struct scr_frame *frame)
{
    free(frame->line);
    json_decref(frame->root);
    frame->line = NULL;
    frame->root = NULL;
    frame->count = 0;
}
