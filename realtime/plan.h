/* realtime/plan.h - a plan made searchable: which interests does a change concern, and what form do
 * their filters have. One thread. */
#ifndef REALTIME_PLAN_H
#define REALTIME_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "realtime/changes.h"

struct rt_index {
    struct rt_plan *plan; /* owned */
    const struct rt_interest **sorted;
    char (*role)[64];       /* by claims id; "" until asked for */
    bool *is_broken_filter; /* Postgres could not evaluate it */
    bool *is_broken_claims;
    bool *is_warned; /* a policy failed for this claim set, and that was logged */
};

/* Takes the plan over, also when it fails (NULL: no memory). What was broken in `before` and is
 * unchanged stays so. */
struct rt_index *rt_index_new(struct rt_plan *plan, const struct rt_index *before);
void rt_index_free(struct rt_index *index); /* NULL is fine */

struct rt_matches {
    const struct rt_interest **at; /* borrowed from the plan */
    size_t count, cap;
};
/* Adds the interests in a change of this table and session ("": not known, so no session is left
 * out). False: no memory. */
bool rt_index_match(const struct rt_index *index, const char *schema, const char *table,
                    unsigned event, const char *session, struct rt_matches *out);
void rt_matches_release(struct rt_matches *matches);

/* The role of a claim set; "" when it names none. */
const char *rt_index_role(struct rt_index *index, uint32_t claims_id);

enum rt_form {
    RT_FORM_ALL,     /* no condition */
    RT_FORM_SESSION, /* the session alone: decided by the change log */
    RT_FORM_EQUAL,   /* one column equals one value: asked for many values at once */
    RT_FORM_GENERAL,
};
struct rt_filter_form {
    enum rt_form form;
    /* EQUAL: JSON string literals, borrowed from the filter */
    const char *column, *value;
    size_t column_len, value_len;
};
/* Reads the canonical JSON of realtime/filter.c; what it does not recognise is GENERAL. */
struct rt_filter_form rt_filter_form(const char *filter);

unsigned rt_event_of(const char *op); /* "INSERT": RT_INSERT, ...; 0: none of them */

#endif
