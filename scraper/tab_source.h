/* scraper/tab_source.h - which of a page's sources of chat is listened to, decided from what each
 * of them shows. Pure: no page, no clock of its own. Frames come first, the document steps in when
 * they are absent or fall silent while rows appear, polling when even the observer sees nothing. */
#ifndef SCRAPER_TAB_SOURCE_H
#define SCRAPER_TAB_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "scraper/config.h"
#include "scraper/line.h"

#define SCR_NO_SOCKET_MS 1000 /* rows but no socket this long after the load: read the document */
#define SCR_NO_FRAMES_MS                                                                           \
    10000                       /* a socket that brings no chat this long after the load: the same \
                                 */
#define SCR_SOCKET_LOST_MS 3000 /* the page usually reconnects sooner */
#define SCR_SILENT_MS                                                                              \
    8000 /* rows so long after the last frame are not the frame's own: they are                    \
            counted every 5 s */
#define SCR_STAND_IN_MS    12000 /* the document of an undrawn page stands in for so long */
#define SCR_SOURCE_GONE_MS 30000 /* nothing left to read */
enum { SCR_SILENT_ROWS = 3 };

/* What is known about one document; begin a new one for each. */
struct scr_choice {
    enum scr_source_choice rule;
    enum scr_source source; /* the decision */
    bool is_half_blind;     /* the page is not drawn, but could be: rows may be missing */
    bool is_drawn_for_it;   /* it was opened anew for its rows: they need not wait for a socket */
    bool is_loaded, had_socket, is_joined, has_frame_line, has_rows, has_polled_rows;
    unsigned sockets;          /* open now */
    unsigned rows_unexplained; /* additions that no frame accounts for */
    int64_t loaded_ms, socket_lost_ms, rows_lost_ms, frame_line_ms, decided_ms;
};

void scr_choice_begin(struct scr_choice *choice, enum scr_source_choice rule, bool is_half_blind,
                      bool is_drawn_for_it, int64_t now_ms);
void scr_choice_loaded(struct scr_choice *choice, int64_t now_ms);
void scr_choice_socket_opened(struct scr_choice *choice);
void scr_choice_socket_closed(struct scr_choice *choice, int64_t now_ms);
void scr_choice_joined(struct scr_choice *choice);
void scr_choice_frame_line(struct scr_choice *choice, int64_t now_ms);
/* The observer reported rows: `added` of them are new (0 for a snapshot). */
void scr_choice_rows(struct scr_choice *choice, uint64_t added, int64_t now_ms);
void scr_choice_rows_lost(struct scr_choice *choice, int64_t now_ms);
void scr_choice_polled_rows(struct scr_choice *choice);

/* Decides anew; also to be called from time to time. */
enum scr_source scr_choice_decide(struct scr_choice *choice, int64_t now_ms);
/* Should the page be polled now, to read it or to find out whether that would help? */
bool scr_choice_wants_poll(const struct scr_choice *choice, int64_t now_ms);
/* Should the page be opened anew, drawn? Without frames of a socket its document is all there is,
 * and lists that are drawn in animation frames stand still in an undrawn page. */
bool scr_choice_wants_drawing(const struct scr_choice *choice, int64_t now_ms);

/* --- frames against document ----------------------------------------------------------------- */

enum { SCR_CHECK_LINES = 20, SCR_CHECK_SLACK = 3, SCR_CHECK_BAD = 2 };

/* How many lines each of them brought while both were counted. Zero it before first use. */
struct scr_check {
    uint64_t frames, rows;
    unsigned bad; /* comparisons in a row that found frames short */
};

enum scr_check_verdict { SCR_CHECK_UNDECIDED, SCR_CHECK_FINE, SCR_CHECK_SHORT };

/* Compares once at least SCR_CHECK_LINES were counted, and starts counting anew then. SHORT: the
 * page showed over 10 % more than its frames brought, in SCR_CHECK_BAD comparisons in a row. The
 * other way round is no fault: virtual lists skip rows in a burst. */
enum scr_check_verdict scr_check_judge(struct scr_check *check);

#endif
