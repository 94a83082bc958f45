/* realtime/window.c - a stretch of the change log becomes events. */
#include "realtime/window.h"

#include <stdlib.h>
#include <string.h>

static bool is_same_kind(const struct rt_entry *a, const struct rt_entry *b)
{
    return strcmp(a->table, b->table) == 0 && strcmp(a->op, b->op) == 0 &&
           strcmp(a->schema, b->schema) == 0 && (a->ids == NULL) == (b->ids == NULL);
}

/* Entries of a window on their way: those of one table and operation are resolved together,
 * whatever stands between them; the events come in the order of the log. */
struct window {
    struct rt_entry *entry;
    size_t count;
    bool *is_done;
    struct rt_row_list *rows; /* by entry */
    struct rt_entry **batch;  /* of one kind */
    size_t *batch_place;      /* which entries those are */
    struct rt_row_list *batch_rows;
};

static enum df_code resolve_batch(struct rt_resolver *resolver, struct window *window, size_t count,
                                  struct df_error *err)
{
    enum df_code rc = rt_resolve(resolver, window->batch, count, window->batch_rows, err);

    for (size_t i = 0; i < count; i++) {
        window->rows[window->batch_place[i]] = window->batch_rows[i];
        window->batch_rows[i] = (struct rt_row_list){0};
    }
    return rc;
}

static enum df_code resolve_window(struct rt_resolver *resolver, struct window *window,
                                   struct df_error *err)
{
    enum df_code rc = DF_OK;

    for (size_t i = 0; rc == DF_OK && i < window->count; i++) {
        size_t count = 0, row_count = 0;
        if (window->is_done[i] || window->entry[i].matches.count == 0)
            continue;
        for (size_t k = i; rc == DF_OK && k < window->count; k++) {
            struct rt_entry *entry = &window->entry[k];
            if (window->is_done[k] || entry->matches.count == 0 ||
                !is_same_kind(&window->entry[i], entry))
                continue;
            if (count > 0 && row_count + entry->row_count > RT_BATCH_ROWS) {
                rc = resolve_batch(resolver, window, count, err);
                count = row_count = 0;
            }
            window->is_done[k] = true;
            window->batch_place[count] = k;
            window->batch[count++] = entry;
            row_count += entry->row_count;
        }
        if (rc == DF_OK)
            rc = resolve_batch(resolver, window, count, err);
    }
    return rc;
}

/* Hands the rows over as events; takes them out of the window. */
static enum df_code push_window(struct rt_changes *changes, uint64_t plan_version,
                                struct window *window, struct df_error *err)
{
    struct rt_changes_event *chain = NULL, *end = NULL;
    uint64_t row_count = 0;

    for (size_t i = 0; i < window->count; i++) {
        struct rt_row_list *rows = &window->rows[i];
        if (rows->count == 0)
            continue;
        struct rt_changes_event *event =
            rt_event_of_entry(RT_EVENT_CHANGES, &window->entry[i], rows->at, rows->count);
        if (event == NULL) {
            for (struct rt_changes_event *next = NULL; chain != NULL; chain = next) {
                next = chain->next;
                rt_changes_event_free(chain);
            }
            return df_error_set(err, DF_ENOMEM, "out of memory");
        }
        event->plan_version = plan_version;
        row_count += rows->count;
        *rows = (struct rt_row_list){0};
        if (chain == NULL)
            chain = event;
        else
            end->next = event;
        end = event;
    }
    (void)pthread_mutex_lock(&changes->lock);
    changes->stats.log_entries += window->count;
    changes->stats.rows += row_count;
    changes->stats.lag_ms = window->entry[window->count - 1].age_ms;
    (void)pthread_mutex_unlock(&changes->lock);
    (void)rt_event_push(changes, chain);
    return DF_OK;
}

static void release_window(struct window *window)
{
    for (size_t i = 0; i < window->count; i++) {
        rt_matches_release(&window->entry[i].matches);
        if (window->rows != NULL)
            rt_row_list_release(&window->rows[i]);
    }
    free(window->is_done);
    free(window->rows);
    free(window->batch);
    free(window->batch_place);
    free(window->batch_rows);
}

enum df_code rt_window_run(struct rt_changes *changes, struct rt_resolver *resolver,
                           struct rt_entry *entries, size_t count, struct df_error *err)
{
    struct window window = {
        .entry = entries,
        .count = count,
        .is_done = calloc(count, sizeof *window.is_done),
        .rows = calloc(count, sizeof *window.rows),
        .batch = calloc(count, sizeof *window.batch),
        .batch_place = calloc(count, sizeof *window.batch_place),
        .batch_rows = calloc(count, sizeof *window.batch_rows),
    };
    enum df_code rc = DF_OK;

    if (window.is_done == NULL || window.rows == NULL || window.batch == NULL ||
        window.batch_place == NULL || window.batch_rows == NULL)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t i = 0; rc == DF_OK && i < count; i++) {
        struct rt_entry *entry = &entries[i];
        if (!rt_index_match(resolver->index, entry->schema, entry->table, rt_event_of(entry->op),
                            entry->session, &entry->matches))
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
    }
    if (rc == DF_OK)
        rc = resolve_window(resolver, &window, err);
    if (rc == DF_OK)
        rc = push_window(changes, resolver->index->plan->version, &window, err);
    release_window(&window);
    return rc;
}
