/* fcgi/gateway_budget.h - how much may be spent on the model server: per show and per day, as a hard
 * stop. A call is paid for before it is sent, at the most it can cost, and what it did not cost
 * is given back. Pure arithmetic, no clock; not thread-safe, the gateway's lock guards it.
 *
 * The day's money is not here but in the database, where all programs and their next lives share
 * it (sql: dealflow.lease_ai_budget). It comes in leases: mrs_budget_day_wants tells how much to
 * fetch, mrs_budget_day_grant brings it. A program that is killed loses its lease, so the day's
 * limit holds whatever happens. Shows are counted by each program from its start. */
#ifndef FCGI_GATEWAY_BUDGET_H
#define FCGI_GATEWAY_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/uuid.h"

enum mrs_budget_unit { MRS_BUDGET_CALLS, MRS_BUDGET_TOKENS, MRS_BUDGET_CENTS }; /* AI_BUDGET_UNIT */

/* Limits in the unit, 0: none. Prices are dollars per million tokens. */
struct mrs_budget_limits {
    enum mrs_budget_unit unit;
    int64_t session, day;
    double price_in, price_out;
};

/* Amounts below are points: one call, one token, or a millionth of a cent. */
struct mrs_budget_session; /* private */

struct mrs_budget {
    struct mrs_budget_limits limits;
    int64_t session_points, day_points; /* the limits as points; 0: none */
    int64_t day_left;                   /* of what was leased */
    struct mrs_budget_session *sessions;
    size_t session_count, session_max; /* a power of two */
};

void mrs_budget_init(struct mrs_budget *budget, const struct mrs_budget_limits *limits);
void mrs_budget_release(struct mrs_budget *budget);
/* Other limits; what the shows have spent stays, unless the unit changes. The day's lease stays
 * too, unless the unit changes: then it is lost. */
void mrs_budget_set(struct mrs_budget *budget, const struct mrs_budget_limits *limits);

/* What a call costs at most (prompt and completion tokens guessed high), or did cost. */
int64_t mrs_budget_cost(const struct mrs_budget *budget, int64_t prompt_tokens,
                        int64_t completion_tokens);
/* Dollars for that many tokens, in millionths; 0 without prices. */
int64_t mrs_budget_micro_usd(const struct mrs_budget_limits *limits, int64_t prompt_tokens,
                             int64_t completion_tokens);

/* Takes `points` for a show (all zero: no show, only the day counts). False: a limit would be
 * passed (or no memory to count with), nothing was taken. */
bool mrs_budget_take(struct mrs_budget *budget, const struct df_uuid *session, int64_t points);
/* Gives back what was taken too much; a negative number takes what was too little, limit or not. */
void mrs_budget_return(struct mrs_budget *budget, const struct df_uuid *session, int64_t points);
/* True when not even the cheapest call could be paid for. */
bool mrs_budget_is_spent(const struct mrs_budget *budget, const struct df_uuid *session);

/* Points to lease now: 0 while there is enough, or without a limit for the day. */
int64_t mrs_budget_day_wants(const struct mrs_budget *budget);
void mrs_budget_day_grant(struct mrs_budget *budget, int64_t points);
/* Takes all that is left of the lease away: to give it back, or because its day is over. */
int64_t mrs_budget_day_surrender(struct mrs_budget *budget);

#endif
