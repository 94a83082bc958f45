/* tests/unit/test_scr_frames.c - frames of the live socket, as public projects describe them. */
#include "scraper/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHAT(event, payload) "[\"1\",null,\"chat:show-7\",\"" event "\"," payload "]"
#define WAVE                 "\xF0\x9F\x91\x8B"

/* An exact copy, so that ASan sees a read past the end; gone before the frame is looked at. */
static enum scr_frame_type parse(struct scr_frame *frame, const char *text, size_t len)
{
    char *copy = malloc(len + (len == 0));

    assert_non_null(copy);
    memcpy(copy, text, len);
    enum scr_frame_type type = scr_frame_parse(frame, copy, len);
    free(copy);
    assert_int_equal(type, frame->type);
    return type;
}

static enum scr_frame_type parse_text(struct scr_frame *frame, const char *text)
{
    return parse(frame, text, strlen(text));
}

static void reads_a_message(void **state)
{
    struct scr_frame frame;

    (void)state;
    assert_int_equal(
        parse_text(&frame,
                   CHAT("new_msg", "{\"id\":\"m-1\",\"message\":\"@bob mine \\ud83d\\udd25\","
                                   "\"user\":{\"id\":\"7\",\"username\":\"dave.thrifts_99\"},"
                                   "\"type\":null,\"taggedUsers\":[]}")),
        SCR_FRAME_MESSAGE);
    assert_string_equal(frame.topic_show, "show-7");
    assert_int_equal(frame.count, 1);
    const struct scr_line *line = &frame.line[0];
    assert_string_equal(line->id, "m-1");
    assert_int_equal(line->id_len, 3);
    assert_string_equal(line->username, "dave.thrifts_99");
    assert_string_equal(line->text, "@bob mine \xF0\x9F\x94\xA5");
    assert_int_equal(line->text_len, strlen(line->text));
    assert_int_equal(line->kind, SCR_CHAT);
    assert_int_equal(line->role, SCR_VIEWER);
    assert_false(line->is_cut);
    assert_int_equal(frame.viewers, -1);
    scr_frame_release(&frame);
    scr_frame_release(&frame); /* twice is harmless */
}

static void tells_kinds_and_roles(void **state)
{
    /* clang-format off */
    static const struct {
        const char *message, *type, *user;
        enum scr_kind kind;
        enum scr_role role;
    } rows[] = {
        {"W", "\"message\"", "", SCR_CHAT, SCR_VIEWER},
        {"joined " WAVE, "\"message\"", "", SCR_JOIN, SCR_VIEWER},
        {"joined  " WAVE, "null", "", SCR_CHAT, SCR_VIEWER},
        {"joined the party " WAVE " 7", "null", "", SCR_CHAT, SCR_VIEWER},
        {"Joined " WAVE, "null", "", SCR_CHAT, SCR_VIEWER},
        {"Host: http://x JOINED", "null", "", SCR_CHAT, SCR_VIEWER},
        {"be nice", "\"announcement\"", "", SCR_ANNOUNCEMENT, SCR_VIEWER},
        {"hi", "null", ",\"isHost\":true,\"isModerator\":true", SCR_CHAT, SCR_HOST},
        {"hi", "null", ",\"isCohost\":true", SCR_CHAT, SCR_HOST},
        {"hi", "null", ",\"isModerator\":true", SCR_CHAT, SCR_MODERATOR},
        {"hi", "null", ",\"isNominatedModerator\":true", SCR_CHAT, SCR_MODERATOR},
        {"hi", "null", ",\"isModerator\":\"true\",\"isHost\":1", SCR_CHAT, SCR_VIEWER},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_frame frame;
        char text[400];
        int n = snprintf(text, sizeof text,
                         CHAT("new_msg", "{\"id\":\"a\",\"message\":\"%s\",\"type\":%s,"
                                         "\"user\":{\"username\":\"u\"%s}}"),
                         rows[i].message, rows[i].type, rows[i].user);
        assert_true(n > 0 && (size_t)n < sizeof text);
        if (parse_text(&frame, text) != SCR_FRAME_MESSAGE || frame.line[0].kind != rows[i].kind ||
            frame.line[0].role != rows[i].role)
            fail_msg("row %zu: type %d", i, (int)frame.type);
        scr_frame_release(&frame);
    }
}

static void turns_the_latest_messages_round(void **state)
{
    struct scr_frame frame;

    (void)state;
    assert_int_equal(
        parse_text(
            &frame,
            CHAT("latest_messages",
                 "{\"messages\":[{\"id\":\"3\",\"message\":\"W\",\"user\":{\"username\":\"c\"}},"
                 "{\"id\":\"2\",\"message\":null,\"user\":{\"username\":\"b\"}},"
                 "{\"id\":\"x\",\"message\":\"\",\"user\":{\"username\":\"b\"}},7,"
                 "{\"message\":\"joined " WAVE "\",\"user\":{\"username\":\"a\"}}]}")),
        SCR_FRAME_LATEST);
    assert_int_equal(frame.count, 2);
    assert_string_equal(frame.line[0].username, "a");
    assert_int_equal(frame.line[0].kind, SCR_JOIN);
    assert_string_equal(frame.line[0].id, "");
    assert_string_equal(frame.line[1].id, "3");
    scr_frame_release(&frame);
    assert_int_equal(parse_text(&frame, CHAT("latest_messages", "{\"messages\":[]}")),
                     SCR_FRAME_LATEST);
    assert_int_equal(frame.count, 0);
    scr_frame_release(&frame);
}

static void keeps_the_newest_of_too_many(void **state)
{
    static char text[100000];
    struct scr_frame frame;
    size_t len = (size_t)snprintf(text, sizeof text,
                                  "[null,null,\"chat:s\",\"latest_messages\",{\"messages\":[");

    (void)state;
    for (int i = 0; i < SCR_FRAME_LINES_MAX + 10; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "%s{\"id\":\"%d\",\"message\":\"W\",\"user\":{\"username\":\"u\"}}",
                                i > 0 ? "," : "", i);
    len += (size_t)snprintf(text + len, sizeof text - len, "]}]");
    assert_int_equal(parse(&frame, text, len), SCR_FRAME_LATEST);
    assert_int_equal(frame.count, SCR_FRAME_LINES_MAX);
    assert_string_equal(frame.line[SCR_FRAME_LINES_MAX - 1].id, "0");
    assert_string_equal(frame.line[0].id, "499");
    scr_frame_release(&frame);
}

static void cuts_long_texts_at_a_character(void **state)
{
    static char text[9000];
    struct scr_frame frame;
    size_t len = (size_t)snprintf(text, sizeof text,
                                  "[null,null,\"chat:s\",\"new_msg\",{\"id\":\"1\",\"user\":"
                                  "{\"username\":\"u\"},\"message\":\"");

    (void)state;
    text[len++] = 'x'; /* so that the limit falls into the middle of a character */
    for (int i = 0; i < 1001; i++, len += 4)
        memcpy(text + len, "\xF0\x9F\x94\xA5", 4);
    len += (size_t)snprintf(text + len, sizeof text - len, "\"}]");
    assert_int_equal(parse(&frame, text, len), SCR_FRAME_MESSAGE);
    assert_int_equal(frame.line[0].text_len, 3997);
    assert_int_equal(strlen(frame.line[0].text), 3997);
    assert_true(frame.line[0].is_cut);
    scr_frame_release(&frame);
}

static void knows_the_other_events(void **state)
{
    /* clang-format off */
    static const struct { const char *text; enum scr_frame_type want; } rows[] = {
        {CHAT("phx_reply", "{\"status\":\"ok\",\"response\":{}}"), SCR_FRAME_JOINED},
        {CHAT("phx_reply", "{\"status\":\"error\",\"response\":{}}"), SCR_FRAME_OTHER},
        {"[null,\"4\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]", SCR_FRAME_OTHER},
        {"[null,null,\"auction:show-7\",\"new_msg\",{\"message\":null}]", SCR_FRAME_OTHER},
        {"[null,null,\"auction:show-7\",\"product_sold\",{}]", SCR_FRAME_LIFE},
        {"[null,null,\"auction:show-7\",\"user_joined\",{}]", SCR_FRAME_LIFE},
        {"[null,null,\"chat:show-7\",\"presence_diff\",{\"broken", SCR_FRAME_OTHER},
        {"[null,null,\"fs\",\"fs_op\",{}]", SCR_FRAME_OTHER},
        {" [ null , 12 , \"chat:show-7\" , \"phx_reply\" , {\"status\":\"ok\"} ] ", SCR_FRAME_JOINED},
        {"[null,null,\"chat:\\u0061\",\"new_msg\",{}]", SCR_FRAME_OTHER},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_frame frame;
        if (parse_text(&frame, rows[i].text) != rows[i].want)
            fail_msg("row %zu: type %d", i, (int)frame.type);
        scr_frame_release(&frame);
    }
}

static void reads_the_state_of_the_show(void **state)
{
    struct scr_frame frame;

    (void)state;
    assert_int_equal(
        parse_text(&frame,
                   "[null,null,\"auction:s\",\"livestream_update\",{\"status\":\"ENDED\","
                   "\"activeViewers\":1200,\"title\":\"Pack rips\",\"hostUsername\":\"koda\"}]"),
        SCR_FRAME_UPDATE);
    assert_string_equal(frame.status, "ENDED");
    assert_int_equal(frame.viewers, 1200);
    assert_string_equal(frame.title, "Pack rips");
    assert_string_equal(frame.host, "koda");
    assert_string_equal(frame.topic_show, "s");
    scr_frame_release(&frame);
    assert_int_equal(parse_text(&frame, "[null,null,\"auction:s\",\"livestream_update\",{}]"),
                     SCR_FRAME_UPDATE);
    assert_string_equal(frame.status, "");
    assert_int_equal(frame.viewers, -1);
    scr_frame_release(&frame);
    assert_int_equal(parse_text(&frame,
                                "[null,null,\"auction:s\",\"livestream_view_count_updated\","
                                "{\"viewCount\":799}]"),
                     SCR_FRAME_VIEWERS);
    assert_int_equal(frame.viewers, 799);
    scr_frame_release(&frame);
}

static void counts_as_malformed_what_is_broken(void **state)
{
    static const char *const rows[] = {
        "",
        "{not json",
        "[]",
        "[null,null,\"chat:x\",\"new_msg\",{\"message\":null}]",
        "[null,null,\"chat:x\",\"new_msg\",null]",
        "[null,null,\"chat:x\",\"new_msg\"]",
        "[null,null,\"chat:x\",\"new_msg\",{},1]",
        "[null,null,\"chat:x\",\"new_msg\",{\"message\":\"a\",\"user\":{}}]",
        "[null,null,\"chat:x\",\"new_msg\",{\"message\":\"a\",\"user\":{\"username\":\"\"}}]",
        "[null,null,\"chat:x\",\"new_msg\",{\"message\":\"a\",\"user\":\"b\"}]",
        "[null,null,\"chat:x\",\"new_msg\",{\"message\":\"a",
        "[null,null,\"chat:x\",\"latest_messages\",{\"messages\":{}}]",
        "[null,null,\"x\",\"livestream_view_count_updated\",{\"viewCount\":-1}]",
        "[null,null,\"chat:x",
        "[null,null,\"chat:x\\",
        "[,null,\"chat:x\",\"new_msg\",{}]",
        "\"new_msg\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_frame frame;
        if (parse_text(&frame, rows[i]) != SCR_FRAME_MALFORMED || frame.count != 0)
            fail_msg("row %zu: type %d", i, (int)frame.type);
        scr_frame_release(&frame);
    }
}

static void takes_a_message_without_text_for_nothing(void **state)
{
    struct scr_frame frame;

    (void)state;
    assert_int_equal(parse_text(&frame, CHAT("new_msg", "{\"id\":\"1\",\"message\":\"\","
                                                        "\"user\":{\"username\":\"u\"}}")),
                     SCR_FRAME_OTHER);
    assert_int_equal(frame.count, 0);
    scr_frame_release(&frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_message),
        cmocka_unit_test(tells_kinds_and_roles),
        cmocka_unit_test(turns_the_latest_messages_round),
        cmocka_unit_test(keeps_the_newest_of_too_many),
        cmocka_unit_test(cuts_long_texts_at_a_character),
        cmocka_unit_test(knows_the_other_events),
        cmocka_unit_test(reads_the_state_of_the_show),
        cmocka_unit_test(counts_as_malformed_what_is_broken),
        cmocka_unit_test(takes_a_message_without_text_for_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
