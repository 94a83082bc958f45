/* scraper/capture.c - makes and frees captures, orders and events. */
#include "scraper/capture.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

/* --- captures -----------------------------------------------------------------------------------
 */

/* Copies len bytes and a NUL to *at, moves it on, returns where the copy begins. */
static const char *put_text(char **at, const char *text, size_t len)
{
    char *begin = *at;
    memcpy(begin, text, len);
    begin[len] = '\0';
    *at += len + 1;
    return begin;
}

static struct scr_capture *make(const char *session, const char *line_id, size_t line_id_len,
                                const char *username, size_t username_len, const char *text,
                                size_t text_len)
{
    size_t session_len = strnlen(session, SCR_SESSION_MAX_BYTES);
    size_t bytes =
        sizeof(struct scr_capture_order) + session_len + line_id_len + username_len + text_len + 4;
    struct scr_capture_order *order = calloc(1, bytes);

    if (order == NULL)
        return NULL;
    char *at = order->text;
    order->order.type = SCR_ORDER_CAPTURE;
    order->bytes = bytes;
    order->capture.session = put_text(&at, session, session_len);
    order->capture.line_id = put_text(&at, line_id, line_id_len);
    order->capture.username = put_text(&at, username, username_len);
    order->capture.text = put_text(&at, text, text_len);
    order->capture.value_cents = -1;
    return &order->capture;
}

struct scr_capture *scr_capture_new(const char *session, const struct scr_line *line)
{
    struct scr_capture *capture = make(session, line->id, line->id_len, line->username,
                                       line->username_len, line->text, line->text_len);
    if (capture == NULL)
        return NULL;
    df_uuid_new_v7(&capture->id);
    capture->kind = line->kind;
    capture->role = line->role;
    capture->is_highlighted = line->is_highlighted;
    capture->is_cut = line->is_cut;
    capture->captured_ms = df_clock_wall_ms();
    capture->seen_ns = df_clock_mono_ns();
    return capture;
}

struct scr_capture *scr_capture_make(const char *session, const char *line_id, const char *username,
                                     const char *text)
{
    return make(session, line_id, strlen(line_id), username, strlen(username), text, strlen(text));
}

struct scr_capture *scr_capture_copy(const struct scr_capture *from)
{
    struct scr_capture *capture =
        scr_capture_make(from->session, from->line_id, from->username, from->text);
    if (capture == NULL)
        return NULL;
    struct scr_capture texts = *capture;
    *capture = *from;
    capture->next = NULL;
    capture->session = texts.session;
    capture->line_id = texts.line_id;
    capture->username = texts.username;
    capture->text = texts.text;
    return capture;
}

struct scr_capture_order *scr_capture_order_of(struct scr_capture *capture)
{
    return (struct scr_capture_order *)(void *)((char *)capture -
                                                offsetof(struct scr_capture_order, capture));
}

void scr_capture_free(struct scr_capture *capture)
{
    if (capture != NULL)
        free(scr_capture_order_of(capture));
}

/* --- orders -------------------------------------------------------------------------------------
 */

void scr_order_append(struct scr_order_list *list, struct scr_order *order)
{
    order->next = NULL;
    if (list->last != NULL)
        list->last->next = order;
    else
        list->first = order;
    list->last = order;
}

struct scr_order *scr_order_take(struct scr_order_list *list)
{
    struct scr_order *order = list->first;
    if (order != NULL) {
        list->first = order->next;
        if (list->first == NULL)
            list->last = NULL;
        order->next = NULL;
    }
    return order;
}

void scr_order_free(struct scr_order *order)
{
    if (order == NULL)
        return;
    if (order->type == SCR_ORDER_WATCH_PUT || order->type == SCR_ORDER_WATCH_REMOVE) {
        free(((struct scr_watch_order *)order)->row.request_json);
    } else if (order->type == SCR_ORDER_HISTORY || order->type == SCR_ORDER_OWNER) {
        char *jwt = ((struct scr_question_order *)order)->jwt;
        if (jwt != NULL)
            explicit_bzero(jwt, strlen(jwt));
        free(jwt);
    }
    free(order);
}

void scr_order_list_free(struct scr_order_list *list)
{
    struct scr_order *order = NULL;
    while ((order = scr_order_take(list)) != NULL)
        scr_order_free(order);
}

/* --- events -------------------------------------------------------------------------------------
 */

struct scr_delivery_event *scr_event_add(struct scr_event_list *list,
                                         enum scr_delivery_event_type type,
                                         struct scr_capture *capture)
{
    struct scr_delivery_event *event = calloc(1, sizeof *event);

    if (event == NULL) {
        df_log(DF_LOG_ERROR, "event_lost", "type=%d reason=\"out of memory\"", (int)type);
        scr_capture_free(capture);
        return NULL;
    }
    event->type = type;
    event->capture = capture;
    if (list->last != NULL)
        list->last->next = event;
    else
        list->first = event;
    list->last = event;
    return event;
}

void scr_delivery_event_free(struct scr_delivery_event *event)
{
    if (event == NULL)
        return;
    scr_capture_free(event->capture);
    free(event);
}

void scr_event_list_free(struct scr_event_list *list)
{
    while (list->first != NULL) {
        struct scr_delivery_event *event = list->first;
        list->first = event->next;
        scr_delivery_event_free(event);
    }
    list->last = NULL;
}
