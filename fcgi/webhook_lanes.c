/* fcgi/webhook_lanes.c - open calls and pauses by owner, in a plain list: only owners with calls
 * under way or a failing receiver are in it. */
#include "fcgi/webhook_lanes.h"

#include <stdlib.h>
#include <string.h>

enum { PAUSE_MAX_MS = 60000, FORGET_AFTER_MS = 10 * PAUSE_MAX_MS };

void mrs_lanes_init(struct mrs_lanes *lanes, uint32_t seed)
{
    *lanes = (struct mrs_lanes){.jitter = seed | 1};
}

void mrs_lanes_release(struct mrs_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++)
        free(lanes->list[i].url);
    free(lanes->list);
    *lanes = (struct mrs_lanes){0};
}

uint32_t mrs_lanes_random(struct mrs_lanes *lanes)
{
    lanes->jitter = lanes->jitter * 1664525U + 1013904223U;
    return lanes->jitter >> 8;
}

static struct mrs_lane *find(struct mrs_lanes *lanes, const struct df_uuid *owner)
{
    for (size_t i = 0; i < lanes->count; i++) {
        if (df_uuid_equal(&lanes->list[i].owner, owner))
            return &lanes->list[i];
    }
    return NULL;
}

enum df_code mrs_lanes_begin(struct mrs_lanes *lanes, const struct df_uuid *owner,
                             struct df_error *err)
{
    struct mrs_lane *lane = find(lanes, owner);

    if (lane == NULL && lanes->count == lanes->cap) {
        size_t cap = lanes->cap == 0 ? 64 : lanes->cap * 2;
        struct mrs_lane *list = realloc(lanes->list, cap * sizeof *list);
        if (list == NULL)
            return df_error_set(err, DF_ENOMEM, "out of memory");
        lanes->list = list;
        lanes->cap = cap;
    }
    if (lane == NULL) {
        lane = &lanes->list[lanes->count++];
        *lane = (struct mrs_lane){.owner = *owner};
    }
    lane->open++;
    return DF_OK;
}

int64_t mrs_backoff_ms(int64_t base_ms, int attempts, uint32_t random)
{
    int64_t wait = base_ms;

    for (int i = 0; i < attempts && wait < MRS_BACKOFF_MAX_MS; i++)
        wait *= 2;
    if (wait > MRS_BACKOFF_MAX_MS)
        wait = MRS_BACKOFF_MAX_MS;
    return wait / 2 + (int64_t)random % (wait / 2 + 1);
}

void mrs_lanes_end(struct mrs_lanes *lanes, const struct df_uuid *owner, enum mrs_call_end how,
                   const char *url, int64_t base_ms, int64_t now_ms)
{
    struct mrs_lane *lane = find(lanes, owner);

    if (lane == NULL)
        return;
    lane->open--;
    if (how == MRS_CALL_ABANDONED)
        return;
    url = url == NULL ? "" : url;
    bool is_same = lane->url != NULL && strcmp(lane->url, url) == 0;
    if (how == MRS_CALL_FAILED && is_same && now_ms < lane->pause_ms)
        return; /* calls that were open together fail together, and count once */
    if (how == MRS_CALL_SUCCEEDED || !is_same)
        lane->failures = 0; /* of this url */
    free(lane->url);
    lane->url = NULL;
    lane->pause_ms = 0;
    if (how == MRS_CALL_SUCCEEDED)
        return;
    int64_t wait = mrs_backoff_ms(base_ms, lane->failures, mrs_lanes_random(lanes));
    lane->failures++;
    lane->url = strdup(url); /* out of memory: paused for any url */
    lane->pause_ms = now_ms + (wait > PAUSE_MAX_MS ? PAUSE_MAX_MS : wait);
}

bool mrs_lanes_is_closed(const struct mrs_lane *lane, int64_t now_ms)
{
    return lane->open > 0 || now_ms < lane->pause_ms;
}

void mrs_lanes_forget_idle(struct mrs_lanes *lanes, int64_t now_ms)
{
    for (size_t i = 0; i < lanes->count;) {
        struct mrs_lane *lane = &lanes->list[i];
        if (lane->open == 0 && (lane->failures == 0 || now_ms > lane->pause_ms + FORGET_AFTER_MS)) {
            free(lane->url);
            *lane = lanes->list[--lanes->count];
        } else {
            i++;
        }
    }
}
