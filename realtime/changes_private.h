/* realtime/changes_private.h - what the loop, the reader thread and the control thread share, and
 * what each may touch. Everything below `lock` in struct rt_changes is guarded by it. */
#ifndef REALTIME_CHANGES_PRIVATE_H
#define REALTIME_CHANGES_PRIVATE_H

#include <pthread.h>

#include "realtime/changes.h"
#include "realtime/cuts.h"
#include "realtime/db.h"
#include "realtime/entry.h"

enum rt_question_type { RT_ASK_CHECK, RT_ASK_POLICY, RT_ASK_CATCH_UP, RT_ASK_CANCEL, RT_ASK_SEND };

/* From the loop to the control thread. Texts are heap, NULL where there is none. */
struct rt_question {
    struct rt_question *next;
    enum rt_question_type type;
    uint64_t token;
    int64_t asked_ms;                              /* df_clock_mono_ms */
    char *role, *schema, *table, *filter, *select; /* CHECK; some of CATCH_UP */
    char *claims, *topic, *extension;              /* POLICY; claims of CATCH_UP */
    char *session, *x_after;                       /* CATCH_UP */
    struct rt_spot spot;
    unsigned events;
    uint64_t until_version;
    char *text; /* SEND */
    size_t text_len;
};
struct rt_question_list {
    struct rt_question *first, *last;
    size_t count;
};
void rt_question_free(struct rt_question *question);
void rt_question_add(struct rt_question_list *list, struct rt_question *question);
struct rt_question *rt_question_take(struct rt_question_list *list);

/* Up to where the log was read: all that `last` sees, and of what `upto` sees the entries up to
 * seq. Between two reads upto is "" and means last. */
struct rt_place {
    char *last, *upto; /* heap: pg_snapshot as text */
    int64_t seq;
    uint64_t cut;  /* the number of last, see realtime/cuts.h; upto has the next one */
    bool is_empty; /* upto sees nothing new, and has no number */
};
/* A plan came into force at this place. */
struct rt_milestone {
    uint64_t version;
    struct rt_place place;
};
enum { RT_MILESTONES = 1024 };

enum { RT_LATENCIES = 512 };

struct rt_changes {
    char *url;
    int64_t catch_up_max_rows;
    void (*wake)(void *arg);
    void *arg;
    char gateway[37];                   /* tells our own messages from those of other gateways */
    int stop_fd, reader_fd, control_fd; /* eventfds; stop_fd stays readable */
    pthread_t reader, control;
    bool has_reader, has_control;

    pthread_mutex_t lock;
    pthread_cond_t room; /* the queue of events has room again */
    bool is_stopping;
    struct rt_changes_event *first, *last;
    size_t queued_bytes;
    struct rt_plan *plan; /* published and not yet taken */
    struct rt_question_list questions;
    size_t send_bytes;                            /* of those questions that are messages */
    struct rt_milestone milestone[RT_MILESTONES]; /* a ring, oldest overwritten */
    uint64_t milestone_count;
    struct rt_cuts cuts;
    struct rt_changes_stats stats;
    int64_t latency_us[RT_LATENCIES];
    uint64_t latency_count;
};

/* --- events: any thread -------------------------------------------------------------------------
 */

struct rt_changes_event *rt_event_new(enum rt_changes_event_type type); /* NULL: no memory */
/* Queues a chain of events; waits while the loop is behind. False when the program stops: the chain
 * was freed. */
bool rt_event_push(struct rt_changes *changes, struct rt_changes_event *chain);
/* An event with the rows of one entry, which it takes over. */
struct rt_changes_event *rt_event_of_entry(enum rt_changes_event_type type,
                                           const struct rt_entry *entry, struct rt_row *rows,
                                           size_t row_count);

/* --- small things: any thread -------------------------------------------------------------------
 */

void rt_fd_raise(int fd);
void rt_fd_clear(int fd);
bool rt_is_stopping(struct rt_changes *changes);
void rt_count_query(struct rt_changes *changes, int64_t us);
void rt_place_release(struct rt_place *place);
bool rt_place_copy(struct rt_place *out, const struct rt_place *place);

/* Sleeps; false when the program stops. */
bool rt_sleep(struct rt_changes *changes, int64_t ms);
/* The next pause of a series: 10 ms to 250 ms, each up to twice the one before. */
int64_t rt_back_off_ms(int64_t last_ms);

/* --- the threads --------------------------------------------------------------------------------
 */

void *rt_reader_main(void *changes);
void *rt_control_main(void *changes);

#endif
