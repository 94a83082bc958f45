/* fcgi/analyze/lines.c - rows of a session as chat lines, with their new verdicts. */
#include <stdlib.h>

#include "fcgi/analyze/session.h"
#include "fcgi/analyze/session_sql.h"

enum df_code an_lines_init(struct an_lines *lines, size_t max, struct df_error *err)
{
    *lines = (struct an_lines){
        .ids = calloc(max, sizeof *lines->ids),
        .chat = calloc(max, sizeof *lines->chat),
        .was_captured = calloc(max, sizeof(bool)),
        .has_sale = calloc(max, sizeof(bool)),
        .is_ignored = calloc(max, sizeof(bool)),
        .would_capture = calloc(max, sizeof(bool)),
        .judged = calloc(max, sizeof *lines->judged),
    };
    if (lines->ids != NULL && lines->chat != NULL && lines->was_captured != NULL &&
        lines->has_sale != NULL && lines->is_ignored != NULL && lines->would_capture != NULL &&
        lines->judged != NULL)
        return DF_OK;
    an_lines_release(lines);
    return df_error_set(err, DF_ENOMEM, "out of memory");
}

void an_lines_release(struct an_lines *lines)
{
    free(lines->ids);
    free(lines->chat);
    free(lines->was_captured);
    free(lines->has_sale);
    free(lines->is_ignored);
    free(lines->would_capture);
    free(lines->judged);
    *lines = (struct an_lines){0};
}

static void read_rows(struct an_lines *lines, const struct pg_result *result)
{
    lines->count = 0;
    for (int row = 0; row < df_pg_rows(result) && lines->count < AN_LINES_MAX; row++) {
        size_t i = lines->count;
        struct df_chat_line *chat = &lines->chat[i];
        if (df_pg_is_null(result, row, AN_COL_ID) ||
            !df_pg_get_uuid(result, row, AN_COL_ID, &lines->ids[i]))
            continue;
        chat->username = df_pg_get_text(result, row, AN_COL_USERNAME, &chat->username_len);
        chat->message = df_pg_get_text(result, row, AN_COL_MESSAGE, &chat->message_len);
        chat->platform = df_pg_get_text(result, row, AN_COL_PLATFORM, &chat->platform_len);
        lines->was_captured[i] = df_pg_get_bool(result, row, AN_COL_WAS_CAPTURED);
        lines->has_sale[i] = df_pg_get_bool(result, row, AN_COL_HAS_SALE);
        lines->judged[i] = (struct an_judged){0};
        lines->is_ignored[i] = lines->would_capture[i] = false;
        lines->count++;
    }
}

enum df_code an_lines_judge(struct an_lines *lines, const struct an_session *session,
                            const struct pg_result *result, int64_t deadline_ms,
                            struct df_error *err)
{
    const struct df_uuid *id = &session->options->session;

    read_rows(lines, result);
    enum df_code rc = mrs_ignored_learn(session->ignored, id, 1, deadline_ms, err);
    if (rc == DF_OK)
        rc = an_judge_lines(&session->judge, lines->chat, lines->count, lines->judged, err);
    for (size_t i = 0; rc == DF_OK && i < lines->count; i++) {
        const struct an_judged *j = &lines->judged[i];
        if (!j->is_answered || !j->verdict.is_buyer)
            continue;
        lines->is_ignored[i] = mrs_ignored_match(session->ignored, id, lines->chat[i].message,
                                                 lines->chat[i].message_len);
        lines->would_capture[i] =
            !lines->is_ignored[i] && df_intent_should_capture(&j->verdict, &session->rule);
    }
    return rc;
}
