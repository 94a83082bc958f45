/* realtime/checks.c - may this role subscribe so? After a restart thousands of clients ask the same
 * at once; Postgres is asked once for all of them, and a yes holds for a while. */
#include <stdlib.h>
#include <string.h>

#include "realtime/hub_private.h"
#include "shared/clock.h"

enum { GOOD_FOR_MS = 60000, CHECKS_MAX = 4096, KEY_MAX_BYTES = 1 << 20 };

struct rt_check {
    char *key;
    size_t key_len;
    bool is_good; /* else it is being asked */
    int64_t good_until_ms;
    struct rt_binding *waiting;
};

static void free_check(struct rt_check *check)
{
    free(check->key);
    free(check);
}

static const char *select_of(const struct rt_binding *binding)
{
    return binding->select == NULL ? "[]" : binding->select;
}

static bool put_key(struct df_buf *out, const struct rt_binding *binding)
{
    const char *const parts[] = {binding->channel->claims.role, binding->schema, binding->table,
                                 binding->filter, select_of(binding)};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        (void)df_buf_append(out, parts[i], strlen(parts[i]) + 1);
    return !out->failed;
}

/* All that are good, or only those that were. */
static void forget_good(struct rt_hub *hub, int64_t until_ms)
{
    struct rt_map_cursor cursor = {0};
    struct rt_check *check = NULL;

    while ((check = rt_map_next(&hub->checks, &cursor)) != NULL) {
        if (!check->is_good || check->good_until_ms > until_ms)
            continue;
        (void)rt_map_take(&hub->checks, check->key, check->key_len);
        free_check(check);
    }
}

void rt_checks_forget(struct rt_hub *hub)
{
    forget_good(hub, INT64_MAX);
}

static struct rt_check *find_or_make(struct rt_hub *hub, const struct rt_binding *binding,
                                     bool *is_new)
{
    struct df_buf key;
    struct rt_check *check = NULL;

    df_buf_init(&key, KEY_MAX_BYTES);
    if (put_key(&key, binding))
        check = rt_map_get(&hub->checks, key.data, key.len);
    *is_new = check == NULL;
    if (check == NULL && !key.failed)
        check = calloc(1, sizeof *check);
    if (*is_new && check != NULL) {
        check->key = malloc(key.len);
        check->key_len = key.len;
        if (check->key == NULL || !rt_map_put(&hub->checks, key.data, key.len, check)) {
            free_check(check);
            check = NULL;
        } else {
            memcpy(check->key, key.data, key.len);
        }
    }
    df_buf_release(&key);
    return check;
}

bool rt_check_ask(struct rt_hub *hub, struct rt_binding *binding)
{
    int64_t now_ms = df_clock_mono_ms();
    bool is_new = false;

    if (hub->checks.count >= CHECKS_MAX)
        forget_good(hub, INT64_MAX);
    struct rt_check *check = find_or_make(hub, binding, &is_new);
    if (check == NULL) {
        rt_binding_on_checked(hub, binding, "Too many database timeouts");
        return false;
    }
    if (check->is_good && check->good_until_ms > now_ms)
        return true;
    is_new |= check->is_good;
    check->is_good = false;
    binding->check = check;
    binding->next_waiting = check->waiting;
    check->waiting = binding;
    if (!is_new)
        return false;
    uint64_t token = rt_hub_ask(hub, RT_ASKER_CHECK, RT_BROADCAST, check);
    if (token == 0) {
        rt_check_leave(binding);
        (void)rt_map_take(&hub->checks, check->key, check->key_len);
        free_check(check);
        rt_binding_on_checked(hub, binding, "Too many database timeouts");
        return false;
    }
    rt_changes_check(hub->changes, token, binding->channel->claims.role, binding->schema,
                     binding->table, binding->filter, select_of(binding));
    return false;
}

void rt_check_leave(struct rt_binding *binding)
{
    if (binding->check == NULL)
        return;
    struct rt_binding **at = &binding->check->waiting;
    while (*at != NULL && *at != binding)
        at = &(*at)->next_waiting;
    if (*at != NULL)
        *at = binding->next_waiting;
    binding->check = NULL;
    binding->next_waiting = NULL;
}

void rt_check_on_answer(struct rt_hub *hub, void *arg, const struct rt_changes_event *event)
{
    struct rt_check *check = arg;
    struct rt_binding *waiting = check->waiting, *next = NULL;

    check->waiting = NULL;
    check->is_good = event->is_ok;
    check->good_until_ms = df_clock_mono_ms() + GOOD_FOR_MS;
    if (!event->is_ok) { /* a no may be a yes in a moment: somebody makes the table now */
        (void)rt_map_take(&hub->checks, check->key, check->key_len);
        free_check(check);
    }
    for (; waiting != NULL; waiting = next) {
        next = waiting->next_waiting;
        waiting->check = NULL;
        waiting->next_waiting = NULL;
        rt_binding_on_checked(hub, waiting, event->is_ok ? NULL : event->error);
        rt_channel_go_on(waiting->channel, df_clock_mono_ms());
    }
}

void rt_checks_free(struct rt_hub *hub)
{
    struct rt_map_cursor cursor = {0};
    struct rt_check *check = NULL;

    while ((check = rt_map_next(&hub->checks, &cursor)) != NULL)
        free_check(check);
    rt_map_release(&hub->checks);
}
