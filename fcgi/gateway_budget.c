/* fcgi/gateway_budget.c - points taken, given back and leased; shows in a small hash table. */
#include "fcgi/gateway_budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_PER_CENT 1000000
#define SESSIONS_MIN    64
#define SESSIONS_MAX    65536 /* beyond: those whose show must be over make room */

/* A lease is an eighth of the day, or enough for this many calls: what a killed program may lose,
 * against how often the database is asked. */
#define LEASE_PARTS     8
#define LEASE_CALLS     64
#define CALL_IN_TOKENS  1500 /* a prompt with a long line, and its answer */
#define CALL_OUT_TOKENS 128

struct mrs_budget_session {
    struct df_uuid id; /* all zero: free */
    int64_t spent;
    uint32_t used; /* how often it was paid for, to find out who is idle */
};

static int64_t points_of(const struct mrs_budget_limits *limits, int64_t amount)
{
    if (limits->unit != MRS_BUDGET_CENTS)
        return amount;
    return amount > INT64_MAX / POINTS_PER_CENT ? INT64_MAX : amount * POINTS_PER_CENT;
}

void mrs_budget_init(struct mrs_budget *budget, const struct mrs_budget_limits *limits)
{
    memset(budget, 0, sizeof *budget);
    budget->limits = *limits;
    budget->session_points = points_of(limits, limits->session);
    budget->day_points = points_of(limits, limits->day);
}

void mrs_budget_release(struct mrs_budget *budget)
{
    free(budget->sessions);
    budget->sessions = NULL;
    budget->session_count = budget->session_max = 0;
}

void mrs_budget_set(struct mrs_budget *budget, const struct mrs_budget_limits *limits)
{
    struct mrs_budget kept = *budget;

    if (limits->unit != budget->limits.unit) {
        mrs_budget_release(budget);
        mrs_budget_init(budget, limits);
        return;
    }
    mrs_budget_init(budget, limits);
    budget->day_left = kept.day_left;
    budget->sessions = kept.sessions;
    budget->session_count = kept.session_count;
    budget->session_max = kept.session_max;
}

int64_t mrs_budget_cost(const struct mrs_budget *budget, int64_t prompt_tokens,
                        int64_t completion_tokens)
{
    switch (budget->limits.unit) {
    case MRS_BUDGET_CALLS:
        return 1;
    case MRS_BUDGET_TOKENS:
        return prompt_tokens + completion_tokens;
    default: /* a millionth of a dollar is a hundred points */
        return (int64_t)ceil(100 * ((double)prompt_tokens * budget->limits.price_in +
                                    (double)completion_tokens * budget->limits.price_out));
    }
}

int64_t mrs_budget_micro_usd(const struct mrs_budget_limits *limits, int64_t prompt_tokens,
                             int64_t completion_tokens)
{
    return (int64_t)llround((double)prompt_tokens * limits->price_in +
                            (double)completion_tokens * limits->price_out);
}

/* --- shows ------------------------------------------------------------------------------------ */

static bool is_zero(const struct df_uuid *id)
{
    static const struct df_uuid none;
    return memcmp(id, &none, sizeof none) == 0;
}

/* The place of `id`, or the free one where it would go. There is always a free one. */
static struct mrs_budget_session *place_of(struct mrs_budget_session *table, size_t max,
                                           const struct df_uuid *id)
{
    uint64_t hash;

    memcpy(&hash, (const char *)id + 8, sizeof hash); /* the random half of any UUID */
    hash *= 0x9e3779b97f4a7c15u;
    for (size_t i = (size_t)(hash >> 32);; i++) {
        struct mrs_budget_session *at = &table[i & (max - 1)];
        if (is_zero(&at->id) || memcmp(&at->id, id, sizeof *id) == 0)
            return at;
    }
}

/* Moves the shows into a new table; at the bound, only those paid for since the last time. */
static bool rebuild(struct mrs_budget *budget)
{
    bool is_full = budget->session_max >= SESSIONS_MAX;
    size_t max = budget->session_max == 0 ? SESSIONS_MIN
                 : is_full                ? budget->session_max
                                          : budget->session_max * 2;
    struct mrs_budget_session *table = calloc(max, sizeof *table);
    size_t count = 0;

    if (table == NULL)
        return false;
    for (size_t i = 0; i < budget->session_max; i++) {
        struct mrs_budget_session *old = &budget->sessions[i];
        if (is_zero(&old->id) || (is_full && (old->used == 0 || count > max / 4)))
            continue;
        struct mrs_budget_session *at = place_of(table, max, &old->id);
        *at = *old;
        at->used = 0;
        count++;
    }
    free(budget->sessions);
    budget->sessions = table;
    budget->session_max = max;
    budget->session_count = count;
    return true;
}

static struct mrs_budget_session *find(const struct mrs_budget *budget, const struct df_uuid *id)
{
    if (budget->session_max == 0 || is_zero(id))
        return NULL;
    struct mrs_budget_session *at = place_of(budget->sessions, budget->session_max, id);
    return is_zero(&at->id) ? NULL : at;
}

static struct mrs_budget_session *find_or_add(struct mrs_budget *budget, const struct df_uuid *id)
{
    struct mrs_budget_session *at = find(budget, id);

    if (at != NULL)
        return at;
    if (budget->session_count * 4 >= budget->session_max * 3 && !rebuild(budget))
        return NULL;
    at = place_of(budget->sessions, budget->session_max, id);
    at->id = *id;
    budget->session_count++;
    return at;
}

/* --- spending --------------------------------------------------------------------------------- */

bool mrs_budget_take(struct mrs_budget *budget, const struct df_uuid *session, int64_t points)
{
    struct mrs_budget_session *show = NULL;

    if (budget->day_points > 0 && budget->day_left < points)
        return false;
    if (budget->session_points > 0 && !is_zero(session)) {
        show = find_or_add(budget, session);
        if (show == NULL || budget->session_points - show->spent < points)
            return false;
        show->spent += points;
        show->used++;
    }
    if (budget->day_points > 0)
        budget->day_left -= points;
    return true;
}

void mrs_budget_return(struct mrs_budget *budget, const struct df_uuid *session, int64_t points)
{
    struct mrs_budget_session *show = find(budget, session);

    if (show != NULL)
        show->spent = show->spent > points ? show->spent - points : 0;
    if (budget->day_points > 0)
        budget->day_left += points;
}

bool mrs_budget_is_spent(const struct mrs_budget *budget, const struct df_uuid *session)
{
    if (budget->day_points > 0 && budget->day_left < 1)
        return true;
    const struct mrs_budget_session *show = budget->session_points > 0 ? find(budget, session) : NULL;
    return show != NULL && show->spent >= budget->session_points;
}

/* --- the day's lease -------------------------------------------------------------------------- */

int64_t mrs_budget_day_wants(const struct mrs_budget *budget)
{
    int64_t calls = LEASE_CALLS * mrs_budget_cost(budget, CALL_IN_TOKENS, CALL_OUT_TOKENS);
    int64_t lease = budget->day_points / LEASE_PARTS;

    if (budget->day_points == 0)
        return 0;
    if (lease < calls)
        lease = calls < budget->day_points ? calls : budget->day_points;
    return budget->day_left < (lease + 1) / 2 ? lease - budget->day_left : 0;
}

void mrs_budget_day_grant(struct mrs_budget *budget, int64_t points)
{
    if (points > 0)
        budget->day_left += points;
}

int64_t mrs_budget_day_surrender(struct mrs_budget *budget)
{
    int64_t left = budget->day_left;
    budget->day_left = 0;
    return left;
}
