/* realtime/changes.c - the loop's side of the database: events out, plans and questions in. */
#include "realtime/changes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "realtime/changes_private.h"
#include "realtime/resolve.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/uuid.h"

#define EVENTS_MAX_BYTES ((size_t)32 << 20)
#define SENDS_MAX_BYTES  ((size_t)32 << 20)
#define QUESTIONS_MAX    20000
#define STACK_BYTES      ((size_t)512 * 1024)

/* --- small things --------------------------------------------------------------------------------
 */

void rt_fd_raise(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void rt_fd_clear(int fd)
{
    uint64_t count = 0;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

bool rt_is_stopping(struct rt_changes *changes)
{
    (void)pthread_mutex_lock(&changes->lock);
    bool is_stopping = changes->is_stopping;
    (void)pthread_mutex_unlock(&changes->lock);
    return is_stopping;
}

void rt_count_query(struct rt_changes *changes, int64_t us)
{
    (void)pthread_mutex_lock(&changes->lock);
    changes->latency_us[changes->latency_count++ % RT_LATENCIES] = us;
    changes->stats.batches++;
    (void)pthread_mutex_unlock(&changes->lock);
}

void rt_place_release(struct rt_place *place)
{
    free(place->last);
    free(place->upto);
    *place = (struct rt_place){0};
}

bool rt_place_copy(struct rt_place *out, const struct rt_place *place)
{
    *out = (struct rt_place){.last = strdup(place->last),
                             .upto = strdup(place->upto),
                             .seq = place->seq,
                             .cut = place->cut};
    if (out->last != NULL && out->upto != NULL)
        return true;
    rt_place_release(out);
    return false;
}

bool rt_sleep(struct rt_changes *changes, int64_t ms)
{
    struct pollfd stop = {changes->stop_fd, POLLIN, 0};
    return poll(&stop, 1, (int)ms) <= 0;
}

int64_t rt_back_off_ms(int64_t last_ms)
{
    const int64_t first_ms = 10, most_ms = 250;

    if (last_ms == 0)
        return first_ms;
    /* Between once and twice: gateways of one database must not knock together. */
    int64_t next_ms = last_ms + 1 + df_clock_mono_ns() / 1000 % last_ms;
    return next_ms > most_ms ? most_ms : next_ms;
}

/* --- events --------------------------------------------------------------------------------------
 */

struct rt_changes_event *rt_event_new(enum rt_changes_event_type type)
{
    struct rt_changes_event *event = calloc(1, sizeof *event);
    if (event != NULL)
        event->type = type;
    return event;
}

void rt_changes_event_free(struct rt_changes_event *event)
{
    if (event == NULL)
        return;
    for (size_t i = 0; i < event->row_count; i++)
        rt_row_release(&event->row[i]);
    free(event->row);
    free(event->text);
    free(event);
}

static void copy_text(char *out, size_t size, const char *text)
{
    size_t len = strnlen(text, size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

struct rt_changes_event *rt_event_of_entry(enum rt_changes_event_type type,
                                           const struct rt_entry *entry, struct rt_row *rows,
                                           size_t row_count)
{
    struct rt_changes_event *event = rt_event_new(type);

    if (event == NULL)
        return NULL;
    copy_text(event->schema, sizeof event->schema, entry->schema);
    copy_text(event->table, sizeof event->table, entry->table);
    copy_text(event->op, sizeof event->op, entry->op);
    copy_text(event->session, sizeof event->session, entry->session);
    copy_text(event->commit_timestamp, sizeof event->commit_timestamp, entry->at);
    event->cut = entry->cut;
    event->seq = entry->seq;
    event->row = rows;
    event->row_count = row_count;
    return event;
}

static size_t text_bytes(const char *text)
{
    return text == NULL ? 0 : strlen(text) + 1;
}

static size_t event_bytes(const struct rt_changes_event *event)
{
    size_t bytes = sizeof *event + text_bytes(event->text);

    for (size_t i = 0; i < event->row_count; i++) {
        const struct rt_row *row = &event->row[i];
        bytes += sizeof *row + text_bytes(row->id) + text_bytes(row->columns) +
                 text_bytes(row->record) + text_bytes(row->old_record) +
                 (row->filter_count + row->claims_count) * sizeof(uint32_t);
    }
    return bytes;
}

bool rt_event_push(struct rt_changes *changes, struct rt_changes_event *chain)
{
    struct rt_changes_event *end = chain, *next = NULL;
    size_t bytes = 0;

    if (chain == NULL)
        return !rt_is_stopping(changes);
    for (struct rt_changes_event *at = chain; at != NULL; at = at->next) {
        bytes += event_bytes(at);
        end = at;
    }
    (void)pthread_mutex_lock(&changes->lock);
    while (changes->queued_bytes > EVENTS_MAX_BYTES && !changes->is_stopping)
        (void)pthread_cond_wait(&changes->room, &changes->lock);
    bool is_stopping = changes->is_stopping, was_empty = changes->first == NULL;
    if (!is_stopping) {
        if (was_empty)
            changes->first = chain;
        else
            changes->last->next = chain;
        changes->last = end;
        changes->queued_bytes += bytes;
    }
    (void)pthread_mutex_unlock(&changes->lock);
    for (; is_stopping && chain != NULL; chain = next) {
        next = chain->next;
        rt_changes_event_free(chain);
    }
    if (!is_stopping && was_empty)
        changes->wake(changes->arg);
    return !is_stopping;
}

struct rt_changes_event *rt_changes_take(struct rt_changes *changes)
{
    (void)pthread_mutex_lock(&changes->lock);
    struct rt_changes_event *event = changes->first;
    if (event != NULL) {
        changes->first = event->next;
        event->next = NULL;
        bool was_full = changes->queued_bytes > EVENTS_MAX_BYTES;
        changes->queued_bytes -= event_bytes(event);
        if (was_full && changes->queued_bytes <= EVENTS_MAX_BYTES)
            (void)pthread_cond_broadcast(&changes->room);
    }
    (void)pthread_mutex_unlock(&changes->lock);
    return event;
}

/* --- plans and questions -------------------------------------------------------------------------
 */

void rt_changes_publish(struct rt_changes *changes, struct rt_plan *plan)
{
    (void)pthread_mutex_lock(&changes->lock);
    struct rt_plan *overtaken = changes->plan;
    changes->plan = plan;
    (void)pthread_mutex_unlock(&changes->lock);
    rt_plan_free(overtaken);
    rt_fd_raise(changes->reader_fd);
}

void rt_question_free(struct rt_question *question)
{
    if (question == NULL)
        return;
    char *const texts[] = {question->role,    question->schema,    question->table,
                           question->filter,  question->select,    question->claims,
                           question->topic,   question->extension, question->session,
                           question->x_after, question->text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        free(texts[i]);
    free(question);
}

void rt_question_add(struct rt_question_list *list, struct rt_question *question)
{
    question->next = NULL;
    if (list->first == NULL)
        list->first = question;
    else
        list->last->next = question;
    list->last = question;
    list->count++;
}

struct rt_question *rt_question_take(struct rt_question_list *list)
{
    struct rt_question *question = list->first;
    if (question != NULL) {
        list->first = question->next;
        list->count--;
    }
    return question;
}

/* A question that cannot be put is answered at once, or its asker would wait for ever. */
static void refuse(struct rt_changes *changes, const struct rt_question *question)
{
    static const enum rt_changes_event_type answers[] = {
        [RT_ASK_CHECK] = RT_EVENT_CHECKED,
        [RT_ASK_POLICY] = RT_EVENT_POLICY,
        [RT_ASK_CATCH_UP] = RT_EVENT_CATCH_UP,
    };
    struct rt_changes_event *event = NULL;

    if (question->type == RT_ASK_CANCEL || question->type == RT_ASK_SEND)
        return;
    event = rt_event_new(answers[question->type]);
    if (event == NULL)
        return;
    event->token = question->token;
    event->is_last = true;
    copy_text(event->error, sizeof event->error, "Too many database timeouts");
    /* Not rt_event_push: it may wait for the very thread that we are on. */
    (void)pthread_mutex_lock(&changes->lock);
    if (changes->first == NULL)
        changes->first = event;
    else
        changes->last->next = event;
    changes->last = event;
    changes->queued_bytes += event_bytes(event);
    (void)pthread_mutex_unlock(&changes->lock);
    changes->wake(changes->arg);
}

static void put(struct rt_changes *changes, struct rt_question *question)
{
    (void)pthread_mutex_lock(&changes->lock);
    bool has_room = changes->questions.count < QUESTIONS_MAX || question->type == RT_ASK_CANCEL;
    if (question->type == RT_ASK_SEND)
        has_room &= changes->send_bytes + question->text_len <= SENDS_MAX_BYTES;
    if (has_room) {
        rt_question_add(&changes->questions, question);
        changes->send_bytes += question->text_len;
    }
    (void)pthread_mutex_unlock(&changes->lock);
    if (has_room) {
        rt_fd_raise(changes->control_fd);
        return;
    }
    refuse(changes, question);
    rt_question_free(question);
}

static struct rt_question *question_new(enum rt_question_type type, uint64_t token)
{
    struct rt_question *question = calloc(1, sizeof *question);
    if (question == NULL)
        return NULL;
    question->type = type;
    question->token = token;
    question->asked_ms = df_clock_mono_ms();
    return question;
}

static bool keep(char **out, const char *text)
{
    *out = strdup(text == NULL ? "" : text);
    return *out != NULL;
}

/* Queues it when it is complete. */
static void put_if(struct rt_changes *changes, struct rt_question *question, bool is_complete,
                   enum rt_question_type type, uint64_t token)
{
    if (question != NULL && is_complete) {
        put(changes, question);
        return;
    }
    refuse(changes, &(struct rt_question){.type = type, .token = token});
    rt_question_free(question);
}

void rt_changes_check(struct rt_changes *changes, uint64_t token, const char *role,
                      const char *schema, const char *table, const char *filter_json,
                      const char *select_json)
{
    struct rt_question *q = question_new(RT_ASK_CHECK, token);
    bool is_complete = q != NULL && keep(&q->role, role) && keep(&q->schema, schema) &&
                       keep(&q->table, table) && keep(&q->filter, filter_json) &&
                       keep(&q->select, select_json);
    put_if(changes, q, is_complete, RT_ASK_CHECK, token);
}

void rt_changes_policy(struct rt_changes *changes, uint64_t token, const char *claims_json,
                       const char *topic, const char *extension)
{
    struct rt_question *q = question_new(RT_ASK_POLICY, token);
    bool is_complete = q != NULL && keep(&q->claims, claims_json) && keep(&q->topic, topic) &&
                       keep(&q->extension, extension);
    put_if(changes, q, is_complete, RT_ASK_POLICY, token);
}

void rt_changes_catch_up(struct rt_changes *changes, uint64_t token, const char *schema,
                         const char *table, unsigned events, const char *filter_json,
                         const char *session, const char *claims_json, const char *x_after,
                         const struct rt_spot *spot, uint64_t until_version)
{
    struct rt_question *q = question_new(RT_ASK_CATCH_UP, token);
    bool is_complete = q != NULL && keep(&q->schema, schema) && keep(&q->table, table) &&
                       keep(&q->filter, filter_json) && keep(&q->session, session) &&
                       keep(&q->claims, claims_json) && keep(&q->x_after, x_after);
    if (q != NULL) {
        q->events = events;
        q->spot = *spot;
        q->until_version = until_version;
    }
    put_if(changes, q, is_complete, RT_ASK_CATCH_UP, token);
}

void rt_changes_cancel(struct rt_changes *changes, uint64_t token)
{
    struct rt_question *q = question_new(RT_ASK_CANCEL, token);
    if (q != NULL)
        put(changes, q);
}

void rt_changes_send(struct rt_changes *changes, const char *text, size_t text_len)
{
    struct rt_question *q = question_new(RT_ASK_SEND, 0);

    if (q == NULL)
        return; /* at most once */
    q->text = strndup(text, text_len);
    q->text_len = text_len;
    if (q->text == NULL)
        rt_question_free(q);
    else
        put(changes, q);
}

/* --- figures -------------------------------------------------------------------------------------
 */

static int compare_latencies(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

void rt_changes_stats_get(struct rt_changes *changes, struct rt_changes_stats *out)
{
    int64_t sorted[RT_LATENCIES];

    (void)pthread_mutex_lock(&changes->lock);
    *out = changes->stats;
    size_t count =
        changes->latency_count < RT_LATENCIES ? (size_t)changes->latency_count : RT_LATENCIES;
    memcpy(sorted, changes->latency_us, sizeof sorted);
    (void)pthread_mutex_unlock(&changes->lock);
    if (count == 0)
        return;
    qsort(sorted, count, sizeof sorted[0], compare_latencies);
    out->query_p50_us = sorted[count / 2];
    out->query_p99_us = sorted[count * 99 / 100];
}

/* --- life ----------------------------------------------------------------------------------------
 */

static bool start_threads(struct rt_changes *changes)
{
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    changes->has_reader = pthread_create(&changes->reader, &attr, rt_reader_main, changes) == 0;
    changes->has_control = changes->has_reader &&
                           pthread_create(&changes->control, &attr, rt_control_main, changes) == 0;
    (void)pthread_attr_destroy(&attr);
    return changes->has_control;
}

enum df_code rt_changes_new(struct rt_changes **out, const struct rt_config *config,
                            void (*wake)(void *arg), void *arg, struct df_error *err)
{
    struct rt_changes *changes = calloc(1, sizeof *changes);
    struct df_uuid gateway;

    *out = NULL;
    if (changes == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    (void)pthread_mutex_init(&changes->lock, NULL);
    (void)pthread_cond_init(&changes->room, NULL);
    changes->wake = wake;
    changes->arg = arg;
    changes->catch_up_max_rows = config->catch_up_max_rows;
    df_uuid_new_v7(&gateway);
    df_uuid_format(changes->gateway, &gateway);
    changes->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    changes->reader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    changes->control_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    changes->url = strdup(config->database_url);
    if (changes->url == NULL || changes->stop_fd < 0 || changes->reader_fd < 0 ||
        changes->control_fd < 0 || !start_threads(changes)) {
        rt_changes_free(changes);
        return df_error_set(err, DF_EUNAVAILABLE, "cannot start the database threads");
    }
    *out = changes;
    return DF_OK;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

void rt_changes_free(struct rt_changes *changes)
{
    struct rt_changes_event *event = NULL;
    struct rt_question *question = NULL;

    if (changes == NULL)
        return;
    (void)pthread_mutex_lock(&changes->lock);
    changes->is_stopping = true;
    (void)pthread_cond_broadcast(&changes->room);
    (void)pthread_mutex_unlock(&changes->lock);
    if (changes->stop_fd >= 0)
        rt_fd_raise(changes->stop_fd);
    if (changes->has_reader)
        (void)pthread_join(changes->reader, NULL);
    if (changes->has_control)
        (void)pthread_join(changes->control, NULL);
    while ((event = rt_changes_take(changes)) != NULL)
        rt_changes_event_free(event);
    while ((question = rt_question_take(&changes->questions)) != NULL)
        rt_question_free(question);
    for (size_t i = 0; i < RT_MILESTONES; i++)
        rt_place_release(&changes->milestone[i].place);
    rt_cuts_release(&changes->cuts);
    rt_plan_free(changes->plan);
    close_fd(changes->stop_fd);
    close_fd(changes->reader_fd);
    close_fd(changes->control_fd);
    (void)pthread_cond_destroy(&changes->room);
    (void)pthread_mutex_destroy(&changes->lock);
    if (changes->url != NULL)
        explicit_bzero(changes->url, strlen(changes->url));
    free(changes->url);
    free(changes);
}
