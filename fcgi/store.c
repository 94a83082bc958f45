/* fcgi/store.c - the queue of jobs and the writer threads that commit them in groups. */
#include "fcgi/store.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/batch.h"
#include "fcgi/metrics.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "shared/pg.h"

enum {
    BACKOFF_FIRST_MS = 10,
    BACKOFF_MAX_MS = 250,    /* recovery within a second */
    DOWN_PATIENCE_MS = 1000, /* how long a delivery waits for a database that is away */
    CONNECT_TIMEOUT_MS = 2000,
    GATHER_PART = 40,
    GATHER_FACTOR = 2,
    GATHER_MAX_NS = 2000000,
};

struct writer {
    struct mrs_store *store;
    pthread_t thread;
    struct df_pg *pg;
    struct mrs_batch batch;
    struct mrs_job **jobs; /* room for batch_max */
    int wake_fd;           /* eventfd: there is work, or the end has come */
    bool is_asleep;        /* under the store's lock, like wanted */
    int64_t wanted;        /* jobs worth waking up for */
    bool was_up;
    int64_t backoff_ms;
    int64_t retry_at_ms;
    uint32_t jitter;
};

struct mrs_store {
    struct mrs_store_options options;
    char session_sql[MRS_SESSION_SQL_SIZE];
    pthread_mutex_t lock;
    struct mrs_job *first, **last; /* waiting jobs, in order of arrival */
    int64_t waiting;
    bool is_stopping;
    _Atomic int connected;         /* writers with a connection */
    _Atomic int64_t down_since_ms; /* 0 while connected */
    struct writer *writers;
    int64_t writer_count; /* started ones */
};

static void answer(struct mrs_job *job)
{
    if (job->outcome == MRS_REPEATED && !job->id_from_caller) {
        /* Nobody else can know this id: an attempt that seemed lost had been committed. */
        job->outcome = MRS_STORED;
        job->captured = job->earlier_captured;
    }
    job->on_done(job); /* from here on it is not ours */
}

static void refuse(struct mrs_job *job, enum df_code code, const char *text)
{
    job->outcome = MRS_UNANSWERED;
    df_error_set(&job->error, code, "%s", text);
    answer(job);
}

/* --- the queue ------------------------------------------------------------------------------- */

static void wake(struct writer *w)
{
    uint64_t one = 1;
    if (write(w->wake_fd, &one, sizeof one) < 0)
        return; /* EAGAIN: it is awake already */
}

/* Under the lock. */
static struct writer *sleeping_writer(struct mrs_store *store)
{
    for (int64_t i = 0; i < store->writer_count; i++) {
        if (store->writers[i].is_asleep && store->waiting >= store->writers[i].wanted) {
            store->writers[i].is_asleep = false;
            return &store->writers[i];
        }
    }
    return NULL;
}

bool mrs_store_submit(struct mrs_store *store, struct mrs_job *job)
{
    int64_t now = df_clock_mono_ms();
    int64_t down_since = atomic_load_explicit(&store->down_since_ms, memory_order_relaxed);
    enum df_code rc = DF_OK;

    job->outcome = MRS_UNANSWERED;
    job->error = (struct df_error){0};
    job->captured = job->has_earlier = job->may_be_stored = false;
    job->next = NULL;
    job->deadline_ms = now + store->options.timeout_ms;
    if (down_since != 0 && now - down_since > DOWN_PATIENCE_MS) {
        df_error_set(&job->error, DF_EUNAVAILABLE, "The database is unavailable");
        return false;
    }
    struct writer *w = NULL;
    pthread_mutex_lock(&store->lock);
    if (store->is_stopping) {
        rc = df_error_set(&job->error, DF_EUNAVAILABLE, "The function is shutting down");
    } else if (store->waiting >= store->options.queue_max) {
        rc = df_error_set(&job->error, DF_EBUSY, "Too many messages are waiting to be stored");
    } else {
        *store->last = job;
        store->last = &job->next;
        store->waiting++;
        w = sleeping_writer(store);
    }
    pthread_mutex_unlock(&store->lock);
    if (w != NULL)
        wake(w);
    return rc == DF_OK;
}

static bool same_statement(const struct mrs_job *a, const struct mrs_job *b)
{
    return a->kind == b->kind && (a->judgement.analyzer != NULL) == (b->judgement.analyzer != NULL);
}

/* Takes what can go into one statement: one kind, ids distinct, at most batch_max. Jobs that do not
 * fit stay in front of the queue. Only ids from callers can be equal. */
static size_t take_batch(struct mrs_store *store, struct mrs_job **jobs, bool *is_stopping,
                         struct writer *w)
{
    size_t count = 0;
    struct mrs_job **link = &store->first;

    pthread_mutex_lock(&store->lock);
    *is_stopping = store->is_stopping;
    while (*link != NULL && count < (size_t)store->options.batch_max) {
        struct mrs_job *job = *link;
        bool fits = count == 0 || same_statement(jobs[0], job);
        for (size_t i = 0; fits && job->id_from_caller && i < count; i++)
            fits = !jobs[i]->id_from_caller || !df_uuid_equal(&jobs[i]->id, &job->id);
        if (!fits) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        jobs[count++] = job;
        store->waiting--;
    }
    if (store->first == NULL)
        store->last = &store->first;
    else if (*link == NULL)
        store->last = link;
    if (count == 0)
        w->is_asleep = true;
    pthread_mutex_unlock(&store->lock);
    return count;
}

/* --- the connection -------------------------------------------------------------------------- */

static void note_up(struct writer *w)
{
    if (w->was_up)
        return;
    w->was_up = true;
    w->backoff_ms = 0;
    atomic_fetch_add(&w->store->connected, 1);
    atomic_store(&w->store->down_since_ms, 0);
    df_log(DF_LOG_INFO, "database_up", "writer=%ld", (long)(w - w->store->writers));
}

static void note_down(struct writer *w, const struct df_error *err)
{
    char quoted[256];
    if (w->was_up || w->backoff_ms == 0) /* once per change of state */
        df_log(DF_LOG_ERROR, "database_down", "writer=%ld error=%s", (long)(w - w->store->writers),
               df_log_quote(quoted, sizeof quoted, err->msg));
    int64_t none = 0;
    if (w->was_up)
        atomic_fetch_sub(&w->store->connected, 1);
    w->was_up = false;
    if (atomic_load(&w->store->connected) == 0)
        atomic_compare_exchange_strong(&w->store->down_since_ms, &none, df_clock_mono_ms());
}

/* Connects when it is time to; false while the database is away. */
static bool ensure_connected(struct writer *w)
{
    struct df_error err = {0};

    if (df_pg_is_connected(w->pg))
        return true;
    if (w->was_up) {
        df_error_set(&err, DF_EUNAVAILABLE, "connection lost");
        note_down(w, &err);
    }
    if (df_clock_mono_ms() < w->retry_at_ms)
        return false;
    if (df_pg_connect(w->pg, &err) == DF_OK) {
        note_up(w);
        return true;
    }
    note_down(w, &err);
    w->backoff_ms = w->backoff_ms == 0 ? BACKOFF_FIRST_MS : w->backoff_ms * 2;
    if (w->backoff_ms > BACKOFF_MAX_MS)
        w->backoff_ms = BACKOFF_MAX_MS;
    w->jitter = w->jitter * 1664525U + 1013904223U;
    w->retry_at_ms = df_clock_mono_ms() + w->backoff_ms / 2 +
                     (int64_t)(w->jitter >> 16) % (w->backoff_ms / 2 + 1);
    return false;
}

static void clear_wake(struct writer *w)
{
    uint64_t ignored;
    if (read(w->wake_fd, &ignored, sizeof ignored) < 0)
        return; /* EAGAIN: it was clear */
}

/* Sleeps until there is work, the server hangs up, or it is time to try to connect again. */
static void sleep_until_work(struct writer *w)
{
    int timeout = -1;
    if (!df_pg_is_connected(w->pg)) {
        int64_t left = w->retry_at_ms - df_clock_mono_ms();
        timeout = left < 1 ? 1 : (int)left;
    }
    struct pollfd fds[] = {{w->wake_fd, POLLIN, 0}, {df_pg_socket(w->pg), POLLIN, 0}};
    int n = poll(fds, 2, timeout);
    if (n > 0 && fds[0].revents != 0)
        clear_wake(w);
    if (n > 0 && fds[1].revents != 0)
        df_pg_drain(w->pg);
}

/* --- writing --------------------------------------------------------------------------------- */

/* Answers what is settled, keeps the rest in front; returns how many are left. */
static size_t answer_settled(struct mrs_job **jobs, size_t count)
{
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        struct mrs_job *job = jobs[i];
        if (job->outcome == MRS_UNANSWERED && job->error.code == DF_OK)
            jobs[left++] = job;
        else
            answer(job);
    }
    return left;
}

/* Refuses jobs that have waited for `patience_ms` or longer; returns how many are left. */
static size_t refuse_old(struct writer *w, size_t count, int64_t patience_ms, const char *text)
{
    int64_t now = df_clock_mono_ms();
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        struct mrs_job *job = w->jobs[i];
        if (now - (job->deadline_ms - w->store->options.timeout_ms) < patience_ms)
            w->jobs[left++] = job;
        else
            refuse(job, DF_EUNAVAILABLE, text);
    }
    return left;
}

static int64_t earliest_deadline(struct mrs_job **jobs, size_t count)
{
    int64_t deadline = jobs[0]->deadline_ms;
    for (size_t i = 1; i < count; i++) {
        if (jobs[i]->deadline_ms < deadline)
            deadline = jobs[i]->deadline_ms;
    }
    return deadline;
}

static void refuse_all(struct writer *w, size_t count, const struct df_error *err)
{
    char quoted[256];
    df_log(DF_LOG_ERROR, "store_failed", "sqlstate=%s rows=%zu error=%s", err->sqlstate, count,
           df_log_quote(quoted, sizeof quoted, err->msg));
    for (size_t i = 0; i < count; i++)
        refuse(w->jobs[i], DF_EUNAVAILABLE, "The message could not be stored");
}

/* Commits a batch. When the connection is lost on the way nobody knows whether it was committed;
 * then it is sent again on a new connection, which is harmless because the ids are the same. */
static void write_batch(struct writer *w, size_t count)
{
    while (count > 0) {
        struct df_error err = {0};
        if (!ensure_connected(w)) {
            count = refuse_old(w, count, DOWN_PATIENCE_MS, "The database is unavailable");
            poll(NULL, 0, 2); /* the next attempt is at most 250 ms away: BACKOFF_MAX_MS */
            continue;
        }
        int64_t started_ns = df_clock_mono_ns();
        enum df_code rc =
            mrs_batch_commit(&w->batch, w->jobs, count, earliest_deadline(w->jobs, count), &err);
        mrs_observe(MRS_TIME_COMMIT, df_clock_mono_ns() - started_ns);
        count = answer_settled(w->jobs, count);
        if (rc == DF_OK || count == 0)
            return; /* DF_OK settles every job */
        for (size_t i = 0; i < count; i++)
            w->jobs[i]->may_be_stored = true;
        if (df_pg_is_connected(w->pg)) { /* it spoke: disk full, no privilege, shutting down */
            refuse_all(w, count, &err);
            return;
        }
        count = refuse_old(w, count, w->store->options.timeout_ms,
                           "The database did not answer in time");
    }
}

/* A commit costs Postgres nearly the same with one row and with fifty, so under load it pays to let
 * jobs gather: until GATHER_PART percent of those that were around during the last commit are back,
 * but not for longer than GATHER_FACTOR times what that commit took. The others travel meanwhile. A
 * single client never waits. Other parts were slower: see ARCHITECTURE.md. */
static void gather(struct writer *w, size_t last_batch, int64_t last_commit_ns)
{
    struct mrs_store *store = w->store;
    int64_t limit_ns = last_commit_ns * GATHER_FACTOR;
    if (limit_ns > GATHER_MAX_NS)
        limit_ns = GATHER_MAX_NS;
    if (last_batch < 2)
        return;
    pthread_mutex_lock(&store->lock);
    int64_t around = (int64_t)last_batch + store->waiting;
    if (around > store->options.batch_max)
        around = store->options.batch_max;
    int64_t wanted = (around * GATHER_PART + 99) / 100;
    bool must_wait = store->waiting < wanted && !store->is_stopping;
    if (must_wait) {
        w->wanted = wanted;
        w->is_asleep = true;
    }
    pthread_mutex_unlock(&store->lock);
    if (!must_wait)
        return;
    struct pollfd wake_up = {w->wake_fd, POLLIN, 0};
    const struct timespec limit = {.tv_nsec = limit_ns};
    if (ppoll(&wake_up, 1, &limit, NULL) > 0)
        clear_wake(w);
    pthread_mutex_lock(&store->lock);
    w->is_asleep = false;
    w->wanted = 1;
    pthread_mutex_unlock(&store->lock);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    size_t count = 0;
    int64_t commit_ns = 0;

    for (;;) {
        bool is_stopping;
        (void)ensure_connected(w);
        gather(w, count, commit_ns);
        count = take_batch(w->store, w->jobs, &is_stopping, w);
        if (count > 0) {
            int64_t started_ns = df_clock_mono_ns();
            write_batch(w, count);
            commit_ns = df_clock_mono_ns() - started_ns;
            continue;
        }
        if (is_stopping)
            return NULL;
        sleep_until_work(w);
    }
}

/* --- life ------------------------------------------------------------------------------------ */

enum df_code mrs_session_sql(char *buf, size_t buf_size, const char *role, int64_t timeout_ms,
                             struct df_error *err)
{
    char set_role[96] = "";
    if (role != NULL && role[0] != '\0') {
        for (const char *c = role; *c != '\0'; c++) {
            bool ok = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_';
            if (!ok || strlen(role) > 63)
                return df_error_set(err, DF_EINPUT,
                                    "DATABASE_ROLE: use lower-case letters, digits and _");
        }
        (void)snprintf(set_role, sizeof set_role, "set role \"%s\";", role);
    }
    /* A generic plan from the start: the planner would otherwise plan five times anew, and arrays
     * of unknown length give it nothing better. Rows are found by key only; left alone, the planner
     * reads a short stream_sessions as a whole for each foreign key check, and keeps that plan. */
    int len = snprintf(buf, buf_size,
                       "%s set statement_timeout = %lld; set plan_cache_mode = force_generic_plan;"
                       " set enable_seqscan = off;"
                       " set idle_in_transaction_session_timeout = 60000; set timezone = 'UTC'",
                       set_role, (long long)timeout_ms);
    if (len < 0 || (size_t)len >= buf_size)
        return df_error_set(err, DF_EBUG, "the session's settings do not fit");
    return DF_OK;
}

static enum df_code start_writer(struct mrs_store *store, struct writer *w, struct df_error *err)
{
    struct df_pg_options pg = {.conninfo = store->options.conninfo,
                               .app_name = "monitor-realtime-stream",
                               .session_sql = store->session_sql,
                               .statements = mrs_batch_statements,
                               .statement_count = mrs_batch_statement_count,
                               .connect_timeout_ms = CONNECT_TIMEOUT_MS};
    *w = (struct writer){
        .store = store, .wake_fd = -1, .wanted = 1, .jitter = (uint32_t)df_clock_mono_ns()};
    enum df_code rc = df_pg_new(&w->pg, &pg, err);
    if (rc == DF_OK)
        rc = mrs_batch_init(&w->batch, w->pg, (size_t)store->options.batch_max, err);
    if (rc != DF_OK)
        return rc;
    w->jobs = calloc((size_t)store->options.batch_max, sizeof(struct mrs_job *));
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->jobs == NULL || w->wake_fd < 0 || pthread_create(&w->thread, NULL, writer_main, w) != 0)
        return df_error_set(err, DF_ENOMEM, "cannot start a store writer");
    return DF_OK;
}

static void release_writer(struct writer *w)
{
    mrs_batch_release(&w->batch);
    df_pg_free(w->pg);
    free(w->jobs);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
}

enum df_code mrs_store_new(struct mrs_store **out, const struct mrs_store_options *options,
                           struct df_error *err)
{
    *out = NULL;
    struct mrs_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    store->options = *options;
    store->last = &store->first;
    store->down_since_ms = df_clock_mono_ms();
    pthread_mutex_init(&store->lock, NULL);
    enum df_code rc = mrs_session_sql(store->session_sql, sizeof store->session_sql, options->role,
                                      options->timeout_ms, err);
    if (rc != DF_OK)
        goto out;
    store->writers = calloc((size_t)options->writers, sizeof *store->writers);
    if (store->writers == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
        goto out;
    }
    while (store->writer_count < options->writers) {
        rc = start_writer(store, &store->writers[store->writer_count], err);
        if (rc != DF_OK) {
            release_writer(&store->writers[store->writer_count]);
            goto out;
        }
        pthread_mutex_lock(&store->lock);
        store->writer_count++;
        pthread_mutex_unlock(&store->lock);
    }
out:
    if (rc != DF_OK) {
        mrs_store_free(store);
        store = NULL;
    }
    *out = store;
    return rc;
}

void mrs_store_free(struct mrs_store *store)
{
    if (store == NULL)
        return;
    pthread_mutex_lock(&store->lock);
    store->is_stopping = true;
    pthread_mutex_unlock(&store->lock);
    for (int64_t i = 0; i < store->writer_count; i++)
        wake(&store->writers[i]);
    for (int64_t i = 0; i < store->writer_count; i++)
        pthread_join(store->writers[i].thread, NULL);
    for (int64_t i = 0; i < store->writer_count; i++)
        release_writer(&store->writers[i]);
    free(store->writers);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

bool mrs_store_is_ready(struct mrs_store *store)
{
    return atomic_load_explicit(&store->connected, memory_order_relaxed) > 0;
}

int64_t mrs_store_queue_length(struct mrs_store *store)
{
    pthread_mutex_lock(&store->lock);
    int64_t n = store->waiting;
    pthread_mutex_unlock(&store->lock);
    return n;
}
