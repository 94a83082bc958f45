/* fcgi/gateway_group.c - lines of one show that are asked about in one call, and what calls cost.
 *
 * A group is a chain of asks behind a leader, whose fields speak for all: deadline, retries, mode.
 * Only lines of one show and platform travel together: what strangers write in one show must not
 * reach the model beside the lines of another, and the show's own budget pays. */
#include "fcgi/gateway_loop.h"

#include <string.h>

#include "fcgi/gateway_orders.h"

/* The texts of one call, before escaping; MRS_REQUEST_MAX_BYTES has room for four times that. */
#define GROUP_MESSAGE_BYTES_MAX ((size_t)32 * 1024)

static size_t message_bytes(const struct mrs_ask *ask)
{
    size_t len = ask->line->message_len;
    return len < MRS_PROMPT_MESSAGE_MAX ? len : MRS_PROMPT_MESSAGE_MAX;
}

static bool belong_together(const struct mrs_ask *leader, const struct mrs_ask *ask)
{
    const struct df_chat_line *a = leader->line, *b = ask->line;

    return memcmp(&leader->session, &ask->session, sizeof ask->session) == 0 &&
           a->platform_len == b->platform_len &&
           memcmp(a->platform, b->platform, b->platform_len) == 0;
}

static struct mrs_ask *find_leader(const struct mrs_gateway *gateway, const struct mrs_ask *ask)
{
    for (struct mrs_ask *leader = gateway->delayed.first; leader != NULL; leader = leader->next) {
        if (leader->is_collecting && belong_together(leader, ask))
            return leader;
    }
    return NULL;
}

static void send_off(struct mrs_gateway *gateway, struct mrs_ask *leader)
{
    leader->is_collecting = false;
    leader->ready_ms = 0;
    gateway->check_ms = 0; /* the loop looks through the waiting before it sleeps */
}

static void join(struct mrs_gateway *gateway, struct mrs_ask *leader, struct mrs_ask *ask)
{
    ask->next = NULL;
    if (leader->others == NULL)
        leader->others = ask;
    else
        leader->last_other->next = ask;
    leader->last_other = ask;
    leader->count++;
    leader->message_bytes += ask->message_bytes;
    if (ask->deadline_ms < leader->deadline_ms) /* a reload shortened it */
        leader->deadline_ms = ask->deadline_ms;
    if (leader->count >= gateway->settings->batch_max)
        send_off(gateway, leader);
}

void mrs_group_admit(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t now_ms)
{
    const struct mrs_settings *settings = gateway->settings;
    struct mrs_ask *leader = NULL;

    ask->message_bytes = message_bytes(ask);
    if (ask->deadline_ms < gateway->check_ms)
        gateway->check_ms = ask->deadline_ms;
    /* A line that speaks to the model travels alone: it could speak for its neighbours. */
    if (settings->batch_ms <= 0 || settings->batch_max < 2 || !ask->is_patient || ask->is_probe ||
        mrs_orders_in(ask->line->message, ask->line->message_len) ||
        mrs_orders_in(ask->line->username, ask->line->username_len)) {
        mrs_ask_append(&gateway->queue, ask);
        return;
    }
    leader = find_leader(gateway, ask);
    if (leader != NULL &&
        leader->message_bytes + ask->message_bytes <= GROUP_MESSAGE_BYTES_MAX) {
        join(gateway, leader, ask);
        return;
    }
    if (leader != NULL)
        send_off(gateway, leader);
    ask->is_collecting = true;
    ask->ready_ms = now_ms + settings->batch_ms;
    if (ask->ready_ms < gateway->check_ms)
        gateway->check_ms = ask->ready_ms;
    mrs_ask_append(&gateway->delayed, ask);
}

size_t mrs_group_lines(const struct mrs_ask *leader,
                       const struct df_chat_line *lines[MRS_BATCH_LINES_MAX])
{
    size_t count = 0;

    lines[count++] = leader->line;
    for (const struct mrs_ask *other = leader->others; other != NULL; other = other->next)
        lines[count++] = other->line;
    return count;
}

struct mrs_ask *mrs_group_dissolve(struct mrs_ask *leader)
{
    leader->next = leader->others;
    leader->others = leader->last_other = NULL;
    leader->count = 1;
    leader->points = 0;
    return leader;
}

/* --- the bill --------------------------------------------------------------------------------- */

bool mrs_group_pay(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t prompt_tokens,
                   int64_t completion_tokens)
{
    (void)pthread_mutex_lock(&gateway->lock);
    int64_t points = mrs_budget_cost(&gateway->budget, prompt_tokens, completion_tokens);
    bool is_paid = mrs_budget_take(&gateway->budget, &ask->session, points);
    ask->points = is_paid ? points : 0;
    ask->points_unit = gateway->budget.limits.unit;
    (void)pthread_mutex_unlock(&gateway->lock);
    return is_paid;
}

static void give_back(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t points)
{
    (void)pthread_mutex_lock(&gateway->lock);
    if (ask->points_unit == gateway->budget.limits.unit) /* else a reload changed the money */
        mrs_budget_return(&gateway->budget, &ask->session, points);
    (void)pthread_mutex_unlock(&gateway->lock);
    ask->points = 0;
}

void mrs_group_settle_bill(struct mrs_gateway *gateway, struct mrs_ask *ask, int64_t prompt_tokens,
                           int64_t completion_tokens)
{
    if (prompt_tokens + completion_tokens == 0)
        return; /* what was taken is the best guess there is */
    (void)pthread_mutex_lock(&gateway->lock);
    int64_t cost = mrs_budget_cost(&gateway->budget, prompt_tokens, completion_tokens);
    (void)pthread_mutex_unlock(&gateway->lock);
    /* A bill above the guess is taken too: a negative sum comes back. */
    give_back(gateway, ask, ask->points - cost);
}

void mrs_group_refund(struct mrs_gateway *gateway, struct mrs_ask *ask)
{
    if (ask->points > 0)
        give_back(gateway, ask, ask->points);
}
