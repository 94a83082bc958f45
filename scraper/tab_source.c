/* scraper/tab_source.c - the choice as a state machine over one document. */
#include "scraper/tab_source.h"

#include <string.h>

void scr_choice_begin(struct scr_choice *choice, enum scr_source_choice rule, bool is_half_blind,
                      bool is_drawn_for_it, int64_t now_ms)
{
    memset(choice, 0, sizeof *choice);
    choice->rule = rule;
    choice->is_half_blind = is_half_blind;
    choice->is_drawn_for_it = is_drawn_for_it;
    choice->rows_lost_ms = now_ms;
}

void scr_choice_loaded(struct scr_choice *choice, int64_t now_ms)
{
    if (choice->is_loaded)
        return;
    choice->is_loaded = true;
    choice->loaded_ms = now_ms;
}

void scr_choice_socket_opened(struct scr_choice *choice)
{
    choice->had_socket = true;
    choice->sockets++;
}

void scr_choice_socket_closed(struct scr_choice *choice, int64_t now_ms)
{
    if (choice->sockets > 0)
        choice->sockets--;
    choice->socket_lost_ms = now_ms;
    if (choice->sockets == 0)
        choice->is_joined = false;
}

void scr_choice_joined(struct scr_choice *choice)
{
    choice->is_joined = true;
    choice->rows_unexplained = 0;
}

void scr_choice_frame_line(struct scr_choice *choice, int64_t now_ms)
{
    choice->has_frame_line = true;
    choice->frame_line_ms = now_ms;
    choice->rows_unexplained = 0;
    if (choice->rule == SCR_CHOOSE_AUTO || choice->rule == SCR_CHOOSE_FRAMES)
        choice->source = SCR_SOURCE_FRAMES; /* at once, whatever was read so far */
}

void scr_choice_rows(struct scr_choice *choice, uint64_t added, int64_t now_ms)
{
    choice->has_rows = true;
    if (!choice->has_frame_line || now_ms - choice->frame_line_ms >= SCR_SILENT_MS)
        choice->rows_unexplained += added > 1000 ? 1000 : (unsigned)added;
}

void scr_choice_rows_lost(struct scr_choice *choice, int64_t now_ms)
{
    if (choice->has_rows)
        choice->rows_lost_ms = now_ms;
    choice->has_rows = false;
}

void scr_choice_polled_rows(struct scr_choice *choice)
{
    choice->has_polled_rows = true;
}

static bool loaded_since(const struct scr_choice *choice, int64_t ms, int64_t now_ms)
{
    return choice->is_loaded && now_ms - choice->loaded_ms >= ms;
}

/* Long enough after the load that frames of a socket should be there? */
static bool is_patience_over(const struct scr_choice *choice, int64_t now_ms)
{
    return loaded_since(choice, choice->had_socket ? SCR_NO_FRAMES_MS : SCR_NO_SOCKET_MS, now_ms);
}

static enum scr_source from_none(const struct scr_choice *choice, int64_t now_ms)
{
    if (choice->is_joined)
        return SCR_SOURCE_FRAMES;
    if (choice->is_half_blind)
        return SCR_SOURCE_NONE; /* it will be drawn, see scr_choice_wants_drawing */
    if (choice->has_rows && (choice->is_drawn_for_it || is_patience_over(choice, now_ms)))
        return SCR_SOURCE_DOCUMENT;
    if (choice->has_polled_rows && loaded_since(choice, SCR_NO_FRAMES_MS, now_ms))
        return SCR_SOURCE_POLLING;
    return SCR_SOURCE_NONE;
}

static enum scr_source from_frames(const struct scr_choice *choice, int64_t now_ms)
{
    int64_t lost_ms = choice->sockets == 0 ? now_ms - choice->socket_lost_ms : 0;

    if (choice->has_rows && lost_ms >= SCR_SOCKET_LOST_MS)
        return SCR_SOURCE_DOCUMENT;
    if (choice->rows_unexplained >= SCR_SILENT_ROWS)
        return SCR_SOURCE_DOCUMENT;
    return lost_ms >= SCR_SOURCE_GONE_MS ? SCR_SOURCE_NONE : SCR_SOURCE_FRAMES;
}

static enum scr_source from_document(const struct scr_choice *choice, int64_t now_ms)
{
    if (choice->has_rows)
        return choice->source;
    if (choice->is_joined && choice->rule == SCR_CHOOSE_AUTO)
        return SCR_SOURCE_FRAMES; /* quiet, but there */
    return now_ms - choice->rows_lost_ms >= SCR_SOURCE_GONE_MS ? SCR_SOURCE_NONE : choice->source;
}

static enum scr_source decide_auto(const struct scr_choice *choice, int64_t now_ms)
{
    switch (choice->source) {
    case SCR_SOURCE_NONE:
        return from_none(choice, now_ms);
    case SCR_SOURCE_FRAMES:
        return from_frames(choice, now_ms);
    case SCR_SOURCE_DOCUMENT:
        return from_document(choice, now_ms);
    case SCR_SOURCE_POLLING:
        return choice->has_rows ? SCR_SOURCE_DOCUMENT : SCR_SOURCE_POLLING;
    }
    return choice->source;
}

enum scr_source scr_choice_decide(struct scr_choice *choice, int64_t now_ms)
{
    enum scr_source before = choice->source;

    switch (choice->rule) {
    case SCR_CHOOSE_AUTO:
        choice->source = decide_auto(choice, now_ms);
        break;
    case SCR_CHOOSE_FRAMES:
        if (choice->source == SCR_SOURCE_NONE && choice->is_joined)
            choice->source = SCR_SOURCE_FRAMES;
        else if (choice->sockets == 0 && now_ms - choice->socket_lost_ms >= SCR_SOURCE_GONE_MS)
            choice->source = SCR_SOURCE_NONE;
        break;
    case SCR_CHOOSE_DOCUMENT:
        if (choice->source == SCR_SOURCE_NONE && choice->has_rows)
            choice->source = SCR_SOURCE_DOCUMENT;
        else if (choice->source == SCR_SOURCE_DOCUMENT)
            choice->source = from_document(choice, now_ms);
        break;
    case SCR_CHOOSE_POLLING:
        choice->source = choice->has_polled_rows ? SCR_SOURCE_POLLING : SCR_SOURCE_NONE;
        break;
    }
    if (choice->source != before)
        choice->decided_ms = now_ms;
    return choice->source;
}

bool scr_choice_wants_drawing(const struct scr_choice *choice, int64_t now_ms)
{
    if (choice->rule != SCR_CHOOSE_AUTO || !choice->is_half_blind)
        return false;
    if (choice->source == SCR_SOURCE_NONE)
        return is_patience_over(choice, now_ms);
    return choice->source != SCR_SOURCE_FRAMES && now_ms - choice->decided_ms >= SCR_STAND_IN_MS;
}

bool scr_choice_wants_poll(const struct scr_choice *choice, int64_t now_ms)
{
    if (choice->rule == SCR_CHOOSE_POLLING)
        return choice->is_loaded;
    if (choice->rule != SCR_CHOOSE_AUTO)
        return false;
    return choice->source == SCR_SOURCE_POLLING ||
           (choice->source == SCR_SOURCE_NONE && !choice->has_rows && !choice->is_half_blind &&
            loaded_since(choice, SCR_NO_FRAMES_MS, now_ms));
}

enum scr_check_verdict scr_check_judge(struct scr_check *check)
{
    if (check->rows < SCR_CHECK_LINES && check->frames < SCR_CHECK_LINES)
        return SCR_CHECK_UNDECIDED;
    bool is_short = check->rows > check->frames + check->frames / 10 + SCR_CHECK_SLACK;
    check->frames = check->rows = 0;
    check->bad = is_short ? check->bad + 1 : 0;
    if (is_short)
        return check->bad >= SCR_CHECK_BAD ? SCR_CHECK_SHORT : SCR_CHECK_UNDECIDED;
    return SCR_CHECK_FINE;
}
