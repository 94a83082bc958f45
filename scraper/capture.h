/* scraper/capture.h - what travels between the loop and the delivery thread: orders one way, events
 * the other. Plain lists; whoever holds the first element owns them all. */
#ifndef SCRAPER_CAPTURE_H
#define SCRAPER_CAPTURE_H

#include <stddef.h>

#include "scraper/delivery.h"

enum scr_order_type {
    SCR_ORDER_CAPTURE,
    SCR_ORDER_WATCH_PUT,
    SCR_ORDER_WATCH_REMOVE,
    SCR_ORDER_HISTORY,
    SCR_ORDER_OWNER,
};

/* An order to the delivery thread. It is the head of a larger struct, by type; end with
 * scr_order_free. */
struct scr_order {
    struct scr_order *next;
    enum scr_order_type type;
};

struct scr_capture_order {
    struct scr_order order;
    size_t bytes;      /* of this allocation */
    struct scr_lane *lane; /* set by the delivery thread, with the next two */
    int64_t seq;
    bool is_duplicate;
    struct scr_capture capture;
    char text[]; /* what capture points to */
};

struct scr_watch_order {
    struct scr_order order;
    struct scr_watch_row row; /* REMOVE: only the session; request_json is owned */
};

struct scr_question_order { /* HISTORY, OWNER */
    struct scr_order order;
    uint64_t token;
    char *jwt; /* OWNER; owned, wiped when freed */
    char session[SCR_SESSION_MAX_BYTES + 1];
};

struct scr_order_list {
    struct scr_order *first, *last;
};

void scr_order_append(struct scr_order_list *list, struct scr_order *order);
struct scr_order *scr_order_take(struct scr_order_list *list); /* NULL when empty */
void scr_order_free(struct scr_order *order);
void scr_order_list_free(struct scr_order_list *list);

/* The order around a capture that scr_capture_new made, and back. */
struct scr_capture_order *scr_capture_order_of(struct scr_capture *capture);

/* A capture from the outbox; texts are copied. NULL: out of memory. */
struct scr_capture *scr_capture_make(const char *session, const char *line_id, const char *username,
                                     const char *text);
/* NULL: out of memory. */
struct scr_capture *scr_capture_copy(const struct scr_capture *capture);

struct scr_event_list {
    struct scr_delivery_event *first, *last;
};

/* Takes the capture (may be NULL), also when it fails for lack of memory, which is logged. Returns
 * the event, borrowed until the list is handed on, or NULL. */
struct scr_delivery_event *scr_event_add(struct scr_event_list *list,
                                         enum scr_delivery_event_type type,
                                         struct scr_capture *capture);
void scr_event_list_free(struct scr_event_list *list);

#endif
