/* shared/intent/offer.h - which amount of a line, if any, is the author's own bid or offer, and how
 * sure that is. Learned; the trainer and the classifier share it. Pure; no allocation. */
#ifndef SHARED_INTENT_OFFER_H
#define SHARED_INTENT_OFFER_H

#include <stddef.h>
#include <stdint.h>

#include "shared/intent/rules.h"
#include "shared/intent/text.h"

#define DF_OFFER_BITS  15
#define DF_OFFER_SLOTS (1u << DF_OFFER_BITS)
#define DF_OFFER_MAX   192 /* features of one amount; the rest is left out */

/* Part of the weight file. */
struct df_offer_head {
    float bias, of_score;
    float lift[3]; /* score of a line with an amount = [0] * score + [1] * offer + [2] */
    float least;   /* an offer from here on is reported as the line's value */
    float weights[DF_OFFER_SLOTS];
};

struct df_offer {
    size_t count;
    uint16_t slots[DF_OFFER_MAX]; /* one may be there twice: it counts twice */
};

/* Fills *out for amounts[which] of the `count` that df_amounts_find saw in the line. */
void df_offer_read(struct df_offer *out, const struct df_text *text,
                   const struct df_amount *amounts, size_t count, size_t which);

/* Scales features to length 1. */
double df_offer_norm(const struct df_offer *offer);

/* Log-odds that the amount is the author's offer, in a line with this score. */
double df_offer_score(const struct df_offer_head *head, const struct df_offer *offer, double score);

/* The score of a line once its likeliest offer is known. */
static inline double df_offer_lift(const struct df_offer_head *head, double score, double offer)
{
    return (double)head->lift[0] * score + (double)head->lift[1] * offer + (double)head->lift[2];
}

/* The likeliest offer of the line: its log-odds in *offer, its sum as result; DF_VALUE_NONE when no
 * amount is in the line, and then *offer is left alone. */
int64_t df_offer_best(const struct df_offer_head *head, const struct df_text *text, double score,
                      double *offer);

#endif
