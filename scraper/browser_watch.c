/* scraper/browser_watch.c - heartbeat, memory, strays. */
#include "scraper/browser_watch.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scraper/proctree.h"
#include "shared/log.h"

enum {
    BEAT_MS = 10000,
    BEAT_DEADLINE_MS = 10000,
    BEATS_MISSED_MAX = 3,
    STRAYS_MS = 60000,
    PROCESS_GAP_MS = 20, /* measuring one takes a millisecond or more of the loop's time */
    PROCESSES_MAX = 512,
    SUSPECTS_MAX = 64,
};

struct scr_browser_watch {
    struct scr_loop *loop;
    struct scr_cdp *cdp;
    const struct scr_listeners *listeners;
    struct scr_browser_facts *facts;
    void (*on_hang)(void *arg, const char *reason);
    void *arg;
    struct scr_timer beat, strays, memory;
    unsigned missed;
    pid_t process[PROCESSES_MAX]; /* being measured, one by one */
    size_t process_count, process_next;
    int64_t pss_bytes;
    char suspect[SUSPECTS_MAX][64]; /* pages that nobody knew a minute ago */
    size_t suspect_count;
};

/* --- does it answer -------------------------------------------------------------------------- */

static void on_beat_reply(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_browser_watch *watch = arg;

    (void)result;
    if (err == NULL || err->code != DF_ETIMEOUT) {
        watch->missed = 0;
        return;
    }
    if (++watch->missed >= BEATS_MISSED_MAX)
        watch->on_hang(watch->arg, "the browser does not answer any more");
}

static void on_beat(void *arg)
{
    struct scr_browser_watch *watch = arg;

    scr_timer_set(watch->loop, &watch->beat, BEAT_MS);
    scr_cdp_send(watch->cdp, "", "Browser.getVersion", NULL, BEAT_DEADLINE_MS, on_beat_reply,
                 watch);
    if (!scr_timer_is_set(&watch->memory)) {
        watch->process_count = 0;
        scr_timer_set(watch->loop, &watch->memory, PROCESS_GAP_MS);
    }
}

/* --- how much memory ------------------------------------------------------------------------- */

static void on_memory(void *arg)
{
    struct scr_browser_watch *watch = arg;

    if (watch->process_count == 0) {
        /* Below us, not below the browser: what has run away from it is among our own children. */
        watch->process_count = scr_proctree_list(getpid(), watch->process, PROCESSES_MAX);
        watch->process_next = 1;
        watch->pss_bytes = 0;
        if (watch->process_count <= 1)
            return; /* it has ended: others notice */
    } else {
        watch->pss_bytes += scr_process_pss_bytes(watch->process[watch->process_next++]);
        if (watch->process_next == watch->process_count) {
            watch->facts->pss_bytes = watch->pss_bytes;
            return;
        }
    }
    scr_timer_set(watch->loop, &watch->memory, PROCESS_GAP_MS);
}

/* --- pages that nobody knows ----------------------------------------------------------------- */

static void close_stray(struct scr_browser_watch *watch, const char *target_id)
{
    watch->facts->strays++;
    df_log(DF_LOG_WARN, "stray_closed", "count=%llu", (unsigned long long)watch->facts->strays);
    scr_cdp_send(watch->cdp, "", "Target.closeTarget", json_pack("{s:s}", "targetId", target_id),
                 SCR_CDP_DEADLINE_MS, NULL, NULL);
}

static bool is_suspect(const struct scr_browser_watch *watch, const char *target_id)
{
    for (size_t i = 0; i < watch->suspect_count; i++)
        if (strcmp(watch->suspect[i], target_id) == 0)
            return true;
    return false;
}

/* A page may be so new that its tab has not heard of it yet: only one that is unknown at two looks
 * is a stray. */
static void on_targets(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct scr_browser_watch *watch = arg;
    char fresh[SUSPECTS_MAX][64];
    size_t fresh_count = 0, i;
    json_t *info;

    if (err != NULL)
        return;
    json_array_foreach(json_object_get(result, "targetInfos"), i, info)
    {
        const char *type = json_string_value(json_object_get(info, "type"));
        const char *id = json_string_value(json_object_get(info, "targetId"));
        if (type == NULL || id == NULL || strcmp(type, "page") != 0 ||
            scr_listeners_know(watch->listeners, id))
            continue;
        if (is_suspect(watch, id))
            close_stray(watch, id);
        else if (fresh_count < SUSPECTS_MAX)
            (void)snprintf(fresh[fresh_count++], sizeof fresh[0], "%s", id);
    }
    memcpy(watch->suspect, fresh, fresh_count * sizeof fresh[0]);
    watch->suspect_count = fresh_count;
}

static void on_strays(void *arg)
{
    struct scr_browser_watch *watch = arg;

    scr_timer_set(watch->loop, &watch->strays, STRAYS_MS);
    scr_cdp_send(watch->cdp, "", "Target.getTargets", NULL, SCR_CDP_DEADLINE_MS, on_targets, watch);
}

void scr_browser_watch_event(struct scr_browser_watch *watch, const char *method,
                             const struct json_t *params)
{
    const json_t *info = json_object_get(params, "targetInfo");
    const char *type = json_string_value(json_object_get(info, "type"));
    const char *id = json_string_value(json_object_get(info, "targetId"));

    /* We open none with an opener: a page did, and nobody will ever read it. */
    if (strcmp(method, "Target.targetCreated") == 0 && type != NULL && id != NULL &&
        strcmp(type, "page") == 0 && json_string_length(json_object_get(info, "openerId")) > 0)
        close_stray(watch, id);
}

/* --- life ------------------------------------------------------------------------------------ */

enum df_code scr_browser_watch_new(struct scr_browser_watch **out, struct scr_loop *loop,
                                   struct scr_cdp *cdp, const struct scr_listeners *listeners,
                                   struct scr_browser_facts *facts,
                                   void (*on_hang)(void *arg, const char *reason), void *arg,
                                   struct df_error *err)
{
    struct scr_browser_watch *watch = calloc(1, sizeof *watch);

    *out = watch;
    if (watch == NULL)
        return df_error_set(err, DF_ENOMEM, "browser: out of memory");
    watch->loop = loop;
    watch->cdp = cdp;
    watch->listeners = listeners;
    watch->facts = facts;
    watch->on_hang = on_hang;
    watch->arg = arg;
    watch->beat = (struct scr_timer){.on_due = on_beat, .arg = watch};
    watch->strays = (struct scr_timer){.on_due = on_strays, .arg = watch};
    watch->memory = (struct scr_timer){.on_due = on_memory, .arg = watch};
    scr_timer_set(loop, &watch->beat, BEAT_MS);
    scr_timer_set(loop, &watch->strays, STRAYS_MS);
    return DF_OK;
}

void scr_browser_watch_free(struct scr_browser_watch *watch)
{
    if (watch == NULL)
        return;
    scr_timer_cancel(watch->loop, &watch->beat);
    scr_timer_cancel(watch->loop, &watch->strays);
    scr_timer_cancel(watch->loop, &watch->memory);
    scr_cdp_forget(watch->cdp, watch);
    free(watch);
}
