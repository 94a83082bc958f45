/* fcgi/spend.h - keeps the day's budget for the model server in the database: leases a part of what
 * is left, brings it to the gateway, gives back the rest at the end. The background thread's. */
#ifndef FCGI_SPEND_H
#define FCGI_SPEND_H

#include <stdbool.h>
#include <stdint.h>

#include "fcgi/gateway.h"
#include "shared/pg.h"

#define MRS_SPEND_STATEMENT "lease"
extern const char mrs_spend_sql[]; /* to be prepared under that name */

struct mrs_spend { /* all zero at first */
    int64_t day;     /* since 1970, UTC: whose lease the gateway holds */
    int64_t next_ms; /* no attempt before; monotonic */
    bool was_refused;
    struct df_pg_array words, numbers;
};

void mrs_spend_init(struct mrs_spend *spend);
void mrs_spend_release(struct mrs_spend *spend);

/* Fetches a lease when the gateway runs low, and a new one when a day (by the wall clock) has begun.
 * Connects `pg` if need be; when the database is away, tries again a second later: until then
 * the embedded model decides. */
void mrs_spend_tend(struct mrs_spend *spend, struct mrs_gateway *gateway, struct df_pg *pg);
/* Gives back what is left; nobody asks any more. */
void mrs_spend_end(struct mrs_spend *spend, struct mrs_gateway *gateway, struct df_pg *pg);

#endif
