/* fcgi/gateway_verdict.h - turns a model's loosely typed verdict into a clean one. Pure. */
#ifndef FCGI_GATEWAY_VERDICT_H
#define FCGI_GATEWAY_VERDICT_H

#include <stdbool.h>

#include "shared/intent.h"

struct json_t;

/* True when `object` (borrowed, may be NULL) is an object with at least one field of a verdict. */
bool mrs_verdict_is_known(const struct json_t *object);

/* Reads the five fields, each on its own, so that one odd field never costs the others. Whatever is
 * absent or of no use becomes: no buyer, confidence 0, general, no item, no value. Never fails.
 * Source: edge contract, acceptance checklist 34 and 35. */
void mrs_verdict_read(struct df_verdict *out, const struct json_t *object);

/* The same for an entry of the list of buyers in a batch's answer: i, c, t, d, v, or the long names.
 * False when it is no object. */
bool mrs_verdict_read_listed(struct df_verdict *out, const struct json_t *object);

#endif
