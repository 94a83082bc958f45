/* fcgi/ignored.c - a small table from session to phrases, refilled from user_settings. */
#include "fcgi/ignored.h"

#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"
#include "shared/phrases.h"

enum {
    SLOTS = 16384,    /* a power of two */
    FULL = SLOTS / 2, /* the sessions of the largest batch (STORE_BATCH_MAX) fit twice */
};

struct slot {
    bool is_used;
    struct df_uuid session;
    int64_t until_ms;
    struct df_phrases *phrases; /* NULL: none */
};

struct mrs_ignored {
    struct df_pg *pg;
    struct df_pg_array ids;
    size_t used;
    struct slot slots[SLOTS];
};

/* The session's slot, or the free one where it belongs. Ids are random enough to be their own hash,
 * except a version 7 id's first bytes. */
static struct slot *find(struct mrs_ignored *g, const struct df_uuid *session)
{
    uint32_t hash;
    memcpy(&hash, session->bytes + 12, sizeof hash);
    for (size_t i = hash;; i++) {
        struct slot *slot = &g->slots[i & (SLOTS - 1)];
        if (!slot->is_used || df_uuid_equal(&slot->session, session))
            return slot;
    }
}

static void forget_all(struct mrs_ignored *g)
{
    for (size_t i = 0; i < SLOTS; i++)
        df_phrases_free(g->slots[i].phrases);
    memset(g->slots, 0, sizeof g->slots);
    g->used = 0;
}

enum df_code mrs_ignored_new(struct mrs_ignored **out, struct df_pg *pg, struct df_error *err)
{
    struct mrs_ignored *g = *out = calloc(1, sizeof *g);
    if (g == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    g->pg = pg;
    df_pg_array_init(&g->ids, (size_t)1 << 20);
    return DF_OK;
}

void mrs_ignored_free(struct mrs_ignored *g)
{
    if (g == NULL)
        return;
    forget_all(g);
    df_pg_array_release(&g->ids);
    free(g);
}

static void remember(struct mrs_ignored *g, const struct pg_result *result, int row)
{
    struct df_uuid session;
    struct df_error why = {0};
    size_t len;

    if (!df_pg_get_uuid(result, row, 0, &session) || df_pg_is_null(result, row, 1))
        return;
    struct slot *slot = find(g, &session);
    const char *json = df_pg_get_text(result, row, 1, &len);
    if (!slot->is_used || df_phrases_parse(&slot->phrases, json, len, &why) == DF_OK)
        return;
    char id[DF_UUID_TEXT_SIZE];
    df_uuid_format(id, &session);
    df_log(DF_LOG_WARN, "ignored_phrases_unusable", "session=%s code=%s", id,
           df_error_name(why.code));
}

static enum df_code ask(struct mrs_ignored *g, int64_t deadline_ms, struct df_error *err)
{
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&g->ids};

    enum df_code rc = df_pg_execute(g->pg, "ignored_phrases", params, 1, deadline_ms, &result, err);
    if (rc != DF_OK) {
        forget_all(g); /* what is not known must not count as "nothing to ignore" */
        return rc;
    }
    for (int row = 0; row < df_pg_rows(result); row++)
        remember(g, result, row);
    df_pg_result_free(result);
    return DF_OK;
}

enum df_code mrs_ignored_learn(struct mrs_ignored *g, const struct df_uuid *sessions, size_t count,
                               int64_t deadline_ms, struct df_error *err)
{
    int64_t now = df_clock_mono_ms();
    size_t asked = 0;

    if (g->used + count > FULL)
        forget_all(g);
    df_pg_array_begin(&g->ids, DF_PG_UUID);
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = find(g, &sessions[i]);
        if (slot->is_used && now < slot->until_ms)
            continue;
        g->used += !slot->is_used;
        df_phrases_free(slot->phrases);
        *slot = (struct slot){
            .is_used = true, .session = sessions[i], .until_ms = now + MRS_IGNORED_TTL_MS};
        df_pg_array_add_uuid(&g->ids, &sessions[i]);
        asked++;
    }
    return asked == 0 ? DF_OK : ask(g, deadline_ms, err);
}

bool mrs_ignored_match(const struct mrs_ignored *g, const struct df_uuid *session,
                       const char *message, size_t message_len)
{
    const struct slot *slot = find((struct mrs_ignored *)g, session);
    return slot->is_used && df_phrases_match(slot->phrases, message, message_len);
}
