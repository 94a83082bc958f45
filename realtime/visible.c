/* realtime/visible.c - asks row level security, once for each claim set that wants rows of a batch.
 */
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "realtime/resolve_private.h"
#include "shared/log.h"

#define PARAMETER_MAX ((size_t)64 << 20)
/* Keys in one statement: about 50 ms at 3 us each. */
#define KEYS_MAX 20000

/* One claim set and the rows it is asked about. */
struct ask {
    uint32_t claims_id;
    const char *role;
    struct rt_ids rows; /* indexes of batch->seen */
};

static int compare_asks(const void *left, const void *right)
{
    const struct ask *a = left, *b = right;
    int order = strcmp(a->role, b->role); /* becoming another role costs */
    return order != 0 ? order : (a->claims_id > b->claims_id) - (a->claims_id < b->claims_id);
}

static int compare_claims(const void *left, const void *right)
{
    const struct ask *a = left, *b = right;
    return (a->claims_id > b->claims_id) - (a->claims_id < b->claims_id);
}

static bool collect(struct rt_batch *batch, struct ask **out, size_t *out_count)
{
    struct rt_ids all = {0};
    struct ask *asks = NULL;
    bool is_good = true;

    for (size_t i = 0; i < batch->seen_count; i++) {
        struct rt_seen_row *seen = &batch->seen[i];
        for (size_t k = 0; k < seen->wanted.count && is_good; k++)
            is_good = rt_ids_add(seen->is_visible ? &seen->claims : &all, seen->wanted.at[k]);
    }
    rt_ids_sort(&all);
    asks = calloc(all.count + 1, sizeof *asks);
    is_good &= asks != NULL;
    for (size_t i = 0; is_good && i < all.count; i++) {
        asks[i].claims_id = all.at[i];
        asks[i].role = rt_index_role(batch->resolver->index, all.at[i]);
    }
    *out = asks;
    *out_count = is_good ? all.count : 0;
    for (size_t i = 0; is_good && i < batch->seen_count; i++) {
        const struct rt_seen_row *seen = &batch->seen[i];
        for (size_t k = 0; is_good && !seen->is_visible && k < seen->wanted.count; k++) {
            struct ask key = {.claims_id = seen->wanted.at[k]};
            struct ask *ask = bsearch(&key, asks, all.count, sizeof key, compare_claims);
            is_good = rt_ids_add(&ask->rows, (uint32_t)i);
        }
    }
    rt_ids_release(&all);
    return is_good;
}

/* The keys of a claim set's rows: an array of uuids, or JSON. */
static void put_keys(struct rt_batch *batch, const struct ask *ask, struct df_buf *one)
{
    bool is_uuid = batch->ids.len > 0;

    df_buf_reset(one);
    (void)df_buf_append_char(one, is_uuid ? '{' : '[');
    for (size_t i = 0; i < ask->rows.count; i++) {
        int line = batch->seen[ask->rows.at[i]].line;
        const char *key = PQgetvalue(batch->result, line, RT_ROWS_KEY);
        size_t len = (size_t)PQgetlength(batch->result, line, RT_ROWS_KEY);
        if (i > 0)
            (void)df_buf_append_char(one, ',');
        if (is_uuid && len > 2)
            (void)df_buf_append(one, key + 1, len - 2); /* without its quotes */
        else
            (void)df_buf_append(one, key, len);
    }
    (void)df_buf_append_char(one, is_uuid ? '}' : ']');
}

/* Postgres could not tell for this claim set: then it sees nothing. Logged once for each. */
static void warn(struct rt_batch *batch, const struct ask *ask, const char *reason)
{
    bool *is_warned = &batch->resolver->index->is_warned[ask->claims_id];
    char quoted[300];

    if (!*is_warned)
        df_log(DF_LOG_WARN, "policy_failed", "role=%s table=%s.%s reason=%s", ask->role,
               batch->entries[0]->schema, batch->entries[0]->table,
               df_log_quote(quoted, sizeof quoted, reason));
    *is_warned = true;
}

static bool take_answers(struct rt_batch *batch, const struct ask *asks, size_t count,
                         const PGresult *result)
{
    bool is_good = true;

    for (int line = 0; is_good && line < PQntuples(result); line++) {
        size_t which = strtoul(PQgetvalue(result, line, 0), NULL, 10) - 1;
        struct rt_ids seen = {0};
        if (which >= count)
            continue;
        if (!PQgetisnull(result, line, 2))
            warn(batch, &asks[which], PQgetvalue(result, line, 2));
        is_good = rt_ids_parse(&seen, PQgetvalue(result, line, 1));
        for (size_t i = 0; is_good && i < seen.count; i++) {
            if (seen.at[i] - 1 < asks[which].rows.count)
                is_good = rt_ids_add(&batch->seen[asks[which].rows.at[seen.at[i] - 1]].claims,
                                     asks[which].claims_id);
        }
        rt_ids_release(&seen);
    }
    return is_good;
}

static enum df_code ask_once(struct rt_batch *batch, const struct ask *asks, size_t count,
                             struct df_error *err)
{
    struct df_buf claims, keys, one;
    PGresult *result = NULL;
    enum df_code rc = DF_OK;

    df_buf_init(&claims, PARAMETER_MAX);
    df_buf_init(&keys, PARAMETER_MAX);
    df_buf_init(&one, PARAMETER_MAX);
    rt_db_array_begin(&claims);
    rt_db_array_begin(&keys);
    for (size_t i = 0; i < count; i++) {
        const char *text = batch->resolver->index->plan->claims[asks[i].claims_id];
        rt_db_array_add(&claims, text, strlen(text));
        put_keys(batch, &asks[i], &one);
        rt_db_array_add(&keys, one.data, one.len);
    }
    rt_db_array_end(&claims);
    rt_db_array_end(&keys);
    if (claims.failed || keys.failed || one.failed)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    if (rc == DF_OK) {
        const char *const params[] = {batch->entries[0]->schema, batch->entries[0]->table,
                                      claims.data, keys.data};
        rc = rt_batch_ask(batch, "visible", 4, params, &result, err);
    }
    if (rc == DF_OK && !take_answers(batch, asks, count, result))
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    PQclear(result);
    df_buf_release(&claims);
    df_buf_release(&keys);
    df_buf_release(&one);
    return rc;
}

/* Errors belong to a claim set and come with the answer; a timeout ends the whole statement, so the
 * claim sets are asked by halves then, down to the one whose policy takes too long. */
static enum df_code ask_by_halves(struct rt_batch *batch, const struct ask *asks, size_t count,
                                  struct df_error *err)
{
    struct rt_resolver *resolver = batch->resolver;
    enum df_code rc = ask_once(batch, asks, count, err);

    if (rc != DF_ETIMEOUT && rc != DF_EINPUT)
        return rc;
    if (count == 1) {
        resolver->index->is_broken_claims[asks[0].claims_id] = true;
        resolver->on_failed(resolver->arg, false, asks[0].claims_id, err->msg);
        return DF_OK;
    }
    rc = ask_by_halves(batch, asks, count / 2, err);
    return rc != DF_OK ? rc : ask_by_halves(batch, asks + count / 2, count - count / 2, err);
}

static enum df_code ask_some(struct rt_batch *batch, const struct ask *asks, size_t count,
                             struct df_error *err)
{
    struct df_error ignored = {0};
    enum df_code rc = ask_once(batch, asks, count, err);

    if (rc != DF_ETIMEOUT && rc != DF_EINPUT)
        return rc;
    rc = rt_batch_hurry(batch, true, err);
    if (rc == DF_OK)
        rc = ask_by_halves(batch, asks, count, err);
    enum df_code back = rt_batch_hurry(batch, false, rc == DF_OK ? err : &ignored);
    return rc != DF_OK ? rc : back;
}

enum df_code rt_batch_claims(struct rt_batch *batch, struct df_error *err)
{
    struct ask *asks = NULL;
    size_t count = 0;
    enum df_code rc = DF_OK;

    if (!collect(batch, &asks, &count))
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    if (count > 0)
        qsort(asks, count, sizeof *asks, compare_asks);
    for (size_t first = 0; rc == DF_OK && first < count;) {
        size_t keys = 0, end = first;
        while (end < count && (end == first || keys + asks[end].rows.count <= KEYS_MAX))
            keys += asks[end++].rows.count;
        rc = ask_some(batch, asks + first, end - first, err);
        first = end;
    }
    for (size_t i = 0; asks != NULL && i < count; i++)
        rt_ids_release(&asks[i].rows);
    free(asks);
    return rc;
}
