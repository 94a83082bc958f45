/* scraper/tab_internal.h - the parts of a tab among themselves. tab.c: states; tab_tick.c: what
 * time does to them; tab_setup.c: from a browser to a page that loads; tab_guard.c: which documents
 * may load; tab_read.c: what the page brings; tab_draw.c: pictures. */
#ifndef SCRAPER_TAB_INTERNAL_H
#define SCRAPER_TAB_INTERNAL_H

#include <jansson.h>

#include "scraper/frames.h"
#include "scraper/report.h"
#include "scraper/tab.h"
#include "scraper/tab_limits.h"
#include "scraper/tab_source.h"

#define SCR_ID_MAX_BYTES 64

#define SCR_TICK_WAITING_MS 250
#define SCR_TICK_MS         1000
#define SCR_WAIT_CHAT_MS    30000 /* without a source this long after the document: degraded */
#define SCR_WALL_TITLE_MS   2000  /* how long a wall's title is waited for */
#define SCR_TURN_MAX_MS     2000  /* a slow page does not hold up the others longer */
#define SCR_CHECK_EVERY_MS  60000
/* A frame that a stuck page owes us is waited for as long as it may take to notice that it is
 * stuck: asking for another one meanwhile would harm all pages. */
#define SCR_FRAME_DEADLINE_MS 30000
#define SCR_LATE_ROWS_MS      8000 /* rows that a frame brings to light have been counted by then */

enum { SCR_SOCKETS_MAX = 16 };

/* How far the page is on its way. */
enum scr_phase {
    SCR_PHASE_NONE,    /* no page: waiting for a timer, or over */
    SCR_PHASE_BROWSER, /* waiting for the browser to be up */
    SCR_PHASE_TURN,    /* waiting for our turn to navigate */
    SCR_PHASE_SETUP,   /* context, target, session, domains */
    SCR_PHASE_LOAD,    /* navigate was sent */
    SCR_PHASE_PAGE,    /* the document is there */
};

/* A live socket of the page. */
struct scr_socket {
    char request_id[SCR_ID_MAX_BYTES];
};

/* A picture that is being taken. */
struct scr_shot {
    struct scr_tab *tab;
    scr_tab_png_fn *done; /* NULL: none is */
    void *arg;
    unsigned tries;
    bool is_in_line;       /* has, or waits for, a turn among the navigations */
    bool is_frame_pending; /* the browser owes us an answer */
    struct scr_timer deadline;
};

struct scr_tab {
    struct scr_loop *loop;
    struct scr_browser *browser;
    const struct scr_config *config;
    const struct scr_rules *rules;
    struct scr_address address;
    struct scr_address_policy policy;
    struct scr_tab_callbacks callbacks;
    struct scr_browser_listener
        listener; /* target_id, which is also the main frame's id; session_id */
    struct scr_tab_facts facts;

    /* the page */
    enum scr_phase phase;
    struct scr_opening *opening; /* while the context is being made */
    char context_id[SCR_ID_MAX_BYTES];
    bool has_turn;
    unsigned setup_pending;   /* answers still to come before the page may be loaded */
    int document_status;      /* of the main frame's newest response, 0: none yet */
    bool is_wall;             /* that status is a wall's; its title is being waited for */
    int64_t document_ms;      /* when the document came */
    int64_t waiting_since_ms; /* for its chat */
    int64_t world_id; /* our isolated world in the main frame, 0: none; only its binding counts */

    /* sources */
    struct scr_choice choice;
    struct scr_check check;
    struct scr_socket socket[SCR_SOCKETS_MAX];
    size_t socket_count;
    char chat_show[128];       /* the show whose chat topic is listened to, "" before it is known */
    bool was_joined;           /* the chat topic was joined before in this document: a gap */
    bool is_chat_from_url;     /* chat_show is the address's own show, not an adopted one */
    bool is_awaiting_snapshot; /* the document took over: additions wait for its snapshot */
    bool is_poll_pending;      /* the next snapshot was asked for */
    bool does_document_say_ended;
    bool has_frame_title, has_frame_host, has_frame_viewers;
    uint64_t polled_digest; /* of the last polled snapshot, to see that something changed */

    /* health */
    int64_t ticked_ms;
    int64_t last_sign_ms; /* the page's main thread was heard of */
    int64_t last_chat_ms; /* a chat line, or when it became live */
    int64_t facts_due_ms, heap_due_ms, reload_due_ms, check_due_ms;
    bool is_beat_pending, is_facts_pending;
    bool is_gap; /* degraded because frames fall short, not for want of a source */
    size_t openings, walls, reloads;
    struct scr_window recoveries, navigations;

    /* drawing */
    bool is_redrawn; /* opened anew for that: the patience with its first document goes on */
    bool must_draw;  /* from the next opening on */
    int64_t rows_count_from_ms; /* rows that are counted before came with a frame we asked for */
    struct scr_shot shot;
    bool should_drop_after_shot;

    struct scr_timer tick, step, turn, poll;
    void (*on_step)(struct scr_tab *tab);
};

/* --- tab.c --- */

/* Changes the state and says so; reason "" when the state says it all. */
void scr_tab_enter(struct scr_tab *tab, enum scr_state state, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The page is of no use any more (crash, hang, detach, no answer): closes it and opens another. */
void scr_tab_recover(struct scr_tab *tab, const char *reason);
/* The page could not even be opened. */
void scr_tab_opening_failed(struct scr_tab *tab, const char *reason);
void scr_tab_give_up(struct scr_tab *tab, const char *reason);
void scr_tab_blocked(struct scr_tab *tab, const char *reason);
void scr_tab_degrade(struct scr_tab *tab, const char *reason); /* for want of a source */
void scr_tab_live(struct scr_tab *tab);
/* The main frame has a new document. */
void scr_tab_on_document(struct scr_tab *tab);
/* The sources may have changed: decides, and acts on the decision. */
void scr_tab_decide(struct scr_tab *tab);
/* Runs on_step after after_ms; there is only one such step at a time. */
void scr_tab_step(struct scr_tab *tab, int64_t after_ms, void (*on_step)(struct scr_tab *tab));
void scr_tab_on_life(struct scr_tab *tab);
void scr_tab_on_chat(struct scr_tab *tab);
void scr_tab_on_ended(struct scr_tab *tab, bool is_ended);

/* --- tab_tick.c --- */

void scr_tick_init(struct scr_tab *tab);
void scr_tick_start(struct scr_tab *tab); /* the page is there; stops by itself when it has gone */

/* --- tab_setup.c --- */

/* Starts on the way to a page. */
void scr_tab_open(struct scr_tab *tab);
/* Closes page and context and forgets all about them; does nothing when there are none. */
void scr_tab_drop_page(struct scr_tab *tab);
void scr_tab_on_browser_up(struct scr_tab *tab);
void scr_tab_end_turn(struct scr_tab *tab);
void scr_tab_on_turn_over(void *arg); /* the timer `turn` */
/* A frame in another process or a worker of the page has appeared and waits for us. */
void scr_tab_on_child(struct scr_tab *tab, const json_t *params);
/* To the page's session; scr_cdp_send otherwise. */
void scr_tab_send(struct scr_tab *tab, const char *method, json_t *params, int64_t deadline_ms,
                  scr_cdp_reply_fn *on_reply);
/* Evaluates in our world of the main frame; false when that world is not there. */
bool scr_tab_evaluate(struct scr_tab *tab, const char *expression, scr_cdp_reply_fn *on_reply);

/* --- tab_guard.c --- */

void scr_guard_on_paused(struct scr_tab *tab, const char *session_id, const json_t *params);
void scr_guard_on_response(struct scr_tab *tab, const json_t *params);
/* May the page's socket at this address be believed? Same rules as for documents. */
bool scr_guard_allows_socket(const struct scr_tab *tab, const char *url);

/* --- tab_read.c --- */

void scr_read_begin(struct scr_tab *tab); /* a new document */
/* True when the event was one of its own. is_page: of the page itself, not of a child of it. */
bool scr_read_on_event(struct scr_tab *tab, const char *method, const json_t *params, bool is_page);
void scr_read_ask_facts(struct scr_tab *tab);
void scr_read_poll(struct scr_tab *tab);

/* --- tab_draw.c --- */

void scr_draw_init(struct scr_tab *tab);
void scr_draw_stop(struct scr_tab *tab, const char *reason); /* fails a picture that is awaited */

#endif
