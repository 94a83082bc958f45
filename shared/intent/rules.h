/* shared/intent/rules.h - what a buyer's line says about item and price. Pure; no allocation. */
#ifndef SHARED_INTENT_RULES_H
#define SHARED_INTENT_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/intent.h"
#include "shared/intent/text.h"

#define DF_AMOUNTS_MAX 8 /* of one line; the rest is left out */

/* A number that could be a sum of money, with what the rules say of it. */
struct df_amount {
    int64_t cents;      /* 1..DF_VALUE_CENTS_MAX */
    size_t first, last; /* tokens */
    int strength;       /* how much speaks for the author's own price: 0 (nothing) to 5 */
    bool has_money;     /* a currency sign or word beside it */
    bool in_words;
    bool is_no_price; /* looks like an item number, a size, a time or a count */
    bool is_chosen;   /* the one the rules take for the offer; at most one */
};

/* All amounts of the line, in their order; returns how many. */
size_t df_amounts_find(const struct df_text *text, struct df_amount out[DF_AMOUNTS_MAX]);

/* The amount that is the author's own bid or offer, if the line is one, in cents
 * (1..DF_VALUE_CENTS_MAX), or DF_VALUE_NONE; and what speaks for it, 0 (nothing) to 5. */
int64_t df_value_find(const struct df_text *text, int *strength);

/* The words that name the product, as bytes [*from, *to) of the message; false when none is sure.
 * For a line of a buyer, judged as `type`. */
bool df_item_of(const struct df_text *text, enum df_message_type type, size_t *from, size_t *to);

#endif
