/* shared/intent/rules.h - what a buyer's line says about item and price. Pure; no allocation. */
#ifndef SHARED_INTENT_RULES_H
#define SHARED_INTENT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/intent.h"
#include "shared/intent/text.h"

/* The amount that is the author's own bid or offer, if the line is one, in cents
 * (1..DF_VALUE_CENTS_MAX), or DF_VALUE_NONE; and what speaks for it, 0 (nothing) to 5. */
int64_t df_value_find(const struct df_text *text, int *strength);

/* The words that name the product, as bytes [*from, *to) of the message; false when none is sure.
 * For a line of a buyer, judged as `type`. */
bool df_item_of(const struct df_text *text, enum df_message_type type, size_t *from, size_t *to);

#endif
