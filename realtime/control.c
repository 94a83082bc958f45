/* realtime/control.c - the control thread: answers the loop's questions on a connection of its own,
 * so that no answer holds changes up, and sends messages to other gateways. Catch-ups take turns, a
 * page each, with questions in between. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "realtime/catch_up.h"
#include "realtime/changes_private.h"
#include "realtime/resolve.h"
#include "shared/clock.h"
#include "shared/log.h"

#define QUESTIONS_A_TURN  16
#define SEND_BYTES_A_TURN ((size_t)256 * 1024)
#define PARAMETER_MAX     ((size_t)32 << 20)
/* While the database is away: a policy is asked for by a join that gives up, a message is news. */
#define POLICY_WAITS_MS  8000
#define MESSAGE_WAITS_MS 5000
#define IDLE_MS          60000

static const struct rt_db_statement own_statements[] = {
    {"check", "select dealflow.realtime_check($1, $2, $3, $4::jsonb, $5::jsonb)"},
    {"may", "select can_read, can_write from dealflow.realtime_may($1, $2, $3)"},
    {"send", "select dealflow.realtime_send($1, $2::text[])"},
};
enum { OWN_STATEMENTS = sizeof own_statements / sizeof own_statements[0], STATEMENTS_MAX = 16 };

struct control {
    struct rt_changes *changes;
    struct rt_db db;
    struct rt_db_statement statement[STATEMENTS_MAX];
    struct rt_question_list questions, sends;
    struct rt_catch_up **catch_up;
    size_t catch_up_count, catch_up_cap, turn;
};

/* --- arrivals ------------------------------------------------------------------------------------
 */

static void drop_token(struct control *control, uint64_t token)
{
    struct rt_question_list kept = {0};
    struct rt_question *question = NULL;
    size_t left = 0;

    while ((question = rt_question_take(&control->questions)) != NULL) {
        if (question->token == token)
            rt_question_free(question);
        else
            rt_question_add(&kept, question);
    }
    control->questions = kept;
    for (size_t i = 0; i < control->catch_up_count; i++) {
        if (rt_catch_up_token(control->catch_up[i]) == token)
            rt_catch_up_free(control->catch_up[i]);
        else
            control->catch_up[left++] = control->catch_up[i];
    }
    control->catch_up_count = left;
}

static bool add_catch_up(struct control *control, struct rt_question *question)
{
    if (control->catch_up_count == control->catch_up_cap) {
        size_t cap = control->catch_up_cap == 0 ? 16 : 2 * control->catch_up_cap;
        struct rt_catch_up **at = realloc(control->catch_up, cap * sizeof *at);
        if (at == NULL)
            return false;
        control->catch_up = at;
        control->catch_up_cap = cap;
    }
    struct rt_catch_up *catch_up = rt_catch_up_new(control->changes, question);
    if (catch_up == NULL)
        return false;
    control->catch_up[control->catch_up_count++] = catch_up;
    return true;
}

static void answer(struct control *control, const struct rt_question *question,
                   enum rt_changes_event_type type, const char *error, bool can_read,
                   bool can_write)
{
    struct rt_changes_event *event = rt_event_new(type);

    if (event == NULL)
        return;
    event->token = question->token;
    event->is_ok = error == NULL;
    event->is_last = true;
    event->can_read = can_read;
    event->can_write = can_write;
    (void)snprintf(event->error, sizeof event->error, "%s", error == NULL ? "" : error);
    (void)rt_event_push(control->changes, event);
}

static void sort_arrivals(struct control *control)
{
    struct rt_changes *changes = control->changes;
    struct rt_question_list arrivals;
    struct rt_question *question = NULL;

    (void)pthread_mutex_lock(&changes->lock);
    arrivals = changes->questions;
    changes->questions = (struct rt_question_list){0};
    changes->stats.questions += arrivals.count;
    (void)pthread_mutex_unlock(&changes->lock);
    while ((question = rt_question_take(&arrivals)) != NULL) {
        if (question->type == RT_ASK_CANCEL) {
            drop_token(control, question->token);
            rt_question_free(question);
        } else if (question->type == RT_ASK_SEND) {
            rt_question_add(&control->sends, question);
        } else if (question->type != RT_ASK_CATCH_UP) {
            rt_question_add(&control->questions, question);
        } else if (!add_catch_up(control, question)) {
            answer(control, question, RT_EVENT_CATCH_UP, "out of memory", false, false);
            rt_question_free(question);
        }
    }
}

/* --- answers -------------------------------------------------------------------------------------
 */

static enum df_code check(struct control *control, const struct rt_question *question,
                          struct df_error *err)
{
    const char *const params[] = {question->role, question->schema, question->table,
                                  question->filter, question->select};
    PGresult *result = NULL;
    enum df_code rc = rt_db_execute(&control->db, "check", 5, params, &result, err);

    if (rc == DF_EUNAVAILABLE)
        return rc;
    if (rc == DF_OK)
        answer(control, question, RT_EVENT_CHECKED,
               PQgetisnull(result, 0, 0) ? NULL : PQgetvalue(result, 0, 0), false, false);
    else
        answer(control, question, RT_EVENT_CHECKED,
               rc == DF_EINPUT ? err->msg : "Too many database timeouts", false, false);
    PQclear(result);
    return DF_OK;
}

static enum df_code may(struct control *control, const struct rt_question *question,
                        struct df_error *err)
{
    const char *const params[] = {question->claims, question->topic, question->extension};
    PGresult *result = NULL;
    enum df_code rc = rt_db_execute(&control->db, "may", 3, params, &result, err);

    if (rc == DF_EUNAVAILABLE)
        return rc;
    if (rc == DF_OK)
        answer(control, question, RT_EVENT_POLICY, NULL, PQgetvalue(result, 0, 0)[0] == 't',
               PQgetvalue(result, 0, 1)[0] == 't');
    else
        answer(control, question, RT_EVENT_POLICY, err->msg, false, false);
    PQclear(result);
    return DF_OK;
}

static enum df_code answer_some(struct control *control, struct df_error *err)
{
    enum df_code rc = DF_OK;

    for (int i = 0; rc == DF_OK && i < QUESTIONS_A_TURN && control->questions.first != NULL; i++) {
        const struct rt_question *question = control->questions.first;
        rc = question->type == RT_ASK_CHECK ? check(control, question, err)
                                            : may(control, question, err);
        if (rc == DF_OK)
            rt_question_free(rt_question_take(&control->questions));
    }
    return rc;
}

static void forget_send(struct control *control)
{
    struct rt_question *message = rt_question_take(&control->sends);

    (void)pthread_mutex_lock(&control->changes->lock);
    control->changes->send_bytes -= message->text_len;
    (void)pthread_mutex_unlock(&control->changes->lock);
    rt_question_free(message);
}

/* As many messages as fit into one statement, and so into one commit. */
static enum df_code send_some(struct control *control, struct df_error *err)
{
    struct df_buf texts;
    PGresult *result = NULL;
    size_t count = 0;

    if (control->sends.first == NULL)
        return DF_OK;
    df_buf_init(&texts, PARAMETER_MAX);
    rt_db_array_begin(&texts);
    for (const struct rt_question *at = control->sends.first; at != NULL; at = at->next) {
        if (count > 0 && texts.len + at->text_len > SEND_BYTES_A_TURN)
            break;
        rt_db_array_add(&texts, at->text, at->text_len);
        count++;
    }
    rt_db_array_end(&texts);
    enum df_code rc = df_error_set(err, DF_ENOMEM, "out of memory");
    if (!texts.failed) {
        const char *const params[] = {control->changes->gateway, texts.data};
        rc = rt_db_execute(&control->db, "send", 2, params, &result, err);
    }
    PQclear(result);
    df_buf_release(&texts);
    /* Also after a failure: it may have been sent, and twice is worse than not at all. */
    for (; count > 0; count--)
        forget_send(control);
    if (rc != DF_OK && rc != DF_EUNAVAILABLE) {
        df_log(DF_LOG_WARN, "messages_lost", "sqlstate=%s", err->sqlstate);
        return DF_OK;
    }
    return rc;
}

/* One page of the next catch-up that has something to do; *is_busy when one had. */
static enum df_code catch_up_some(struct control *control, bool *is_busy, struct df_error *err)
{
    for (size_t i = 0; i < control->catch_up_count; i++) {
        size_t at = control->turn++ % control->catch_up_count;
        enum rt_catch_up_state state = RT_CATCH_UP_WAITS;
        enum df_code rc = rt_catch_up_step(control->catch_up[at], &control->db, &state, err);
        if (rc != DF_OK)
            return rc;
        if (state == RT_CATCH_UP_WAITS)
            continue;
        *is_busy = true;
        if (state == RT_CATCH_UP_DONE) {
            rt_catch_up_free(control->catch_up[at]);
            control->catch_up[at] = control->catch_up[--control->catch_up_count];
        }
        break;
    }
    return DF_OK;
}

/* --- the thread ----------------------------------------------------------------------------------
 */

static void give_up_old(struct control *control)
{
    int64_t now_ms = df_clock_mono_ms();
    struct rt_question_list kept = {0};
    struct rt_question *question = NULL;

    while (control->sends.first != NULL &&
           now_ms - control->sends.first->asked_ms > MESSAGE_WAITS_MS)
        forget_send(control);
    while ((question = rt_question_take(&control->questions)) != NULL) {
        if (question->type != RT_ASK_POLICY || now_ms - question->asked_ms < POLICY_WAITS_MS) {
            rt_question_add(&kept, question);
            continue;
        }
        answer(control, question, RT_EVENT_POLICY,
               "UnableToConnectToProject: Realtime was unable to connect to the project database",
               false, false);
        rt_question_free(question);
    }
    control->questions = kept;
}

static void init_control(struct control *control, struct rt_changes *changes)
{
    struct rt_db_statement *at = control->statement;

    memcpy(at, own_statements, sizeof own_statements);
    at += OWN_STATEMENTS;
    memcpy(at, rt_resolve_statements, rt_resolve_statement_count * sizeof *at);
    at += rt_resolve_statement_count;
    memcpy(at, rt_catch_up_statements, rt_catch_up_statement_count * sizeof *at);
    at += rt_catch_up_statement_count;
    control->changes = changes;
    control->db = (struct rt_db){
        .url = changes->url,
        .app_name = "dealflow-realtime control",
        .stop_fd = changes->stop_fd,
        .statements = control->statement,
        .statement_count = (size_t)(at - control->statement),
    };
}

static void ignore_notification(void *arg, const char *channel, const char *payload)
{
    (void)arg;
    (void)channel;
    (void)payload;
}

/* Waits for something to do, and notices when the server closes the connection: the next message
 * would be lost with it. */
static void wait_for_work(struct control *control)
{
    struct rt_changes *changes = control->changes;
    struct pollfd fds[] = {{changes->stop_fd, POLLIN, 0},
                           {changes->control_fd, POLLIN, 0},
                           {rt_db_socket(&control->db), POLLIN, 0}};

    if (poll(fds, 3, IDLE_MS) > 0 && fds[2].revents != 0 &&
        !rt_db_notifications(&control->db, ignore_notification, NULL))
        rt_db_disconnect(&control->db);
}

/* One turn of everything. *is_busy: do not wait before the next. */
static enum df_code turn(struct control *control, bool *is_busy, struct df_error *err)
{
    enum df_code rc = DF_OK;

    sort_arrivals(control);
    if (control->db.conn == NULL && (control->questions.first != NULL ||
                                     control->sends.first != NULL || control->catch_up_count > 0))
        rc = rt_db_connect(&control->db, err);
    if (rc == DF_OK)
        rc = send_some(control, err);
    if (rc == DF_OK)
        rc = answer_some(control, err);
    if (rc == DF_OK)
        rc = catch_up_some(control, is_busy, err);
    *is_busy |= control->questions.first != NULL || control->sends.first != NULL;
    return rc;
}

void *rt_control_main(void *arg)
{
    struct rt_changes *changes = arg;
    struct control *control = calloc(1, sizeof *control);
    struct rt_question *question = NULL;
    int64_t pause_ms = 0;
    char quoted[300];

    if (control == NULL) {
        df_log(DF_LOG_ERROR, "control_failed", "reason=\"out of memory\"");
        return NULL;
    }
    init_control(control, changes);
    while (!rt_is_stopping(changes)) {
        struct df_error err = {0};
        bool is_busy = false;
        rt_fd_clear(changes->control_fd); /* before looking: what comes later wakes us again */
        if (turn(control, &is_busy, &err) != DF_OK) {
            if (pause_ms == 0 && !rt_is_stopping(changes))
                df_log(DF_LOG_WARN, "questions_wait", "reason=%s",
                       df_log_quote(quoted, sizeof quoted, err.msg));
            pause_ms = rt_back_off_ms(pause_ms);
            give_up_old(control);
            (void)rt_sleep(changes, pause_ms);
            continue;
        }
        if (pause_ms != 0)
            df_log(DF_LOG_INFO, "questions_again", "waiting=%zu", control->catch_up_count);
        pause_ms = 0;
        if (!is_busy)
            wait_for_work(control);
    }
    rt_db_disconnect(&control->db);
    for (size_t i = 0; i < control->catch_up_count; i++)
        rt_catch_up_free(control->catch_up[i]);
    free(control->catch_up);
    while ((question = rt_question_take(&control->questions)) != NULL)
        rt_question_free(question);
    while ((question = rt_question_take(&control->sends)) != NULL)
        rt_question_free(question);
    free(control);
    return NULL;
}
