/* shared/intent/weights.h - the weight file: written by train.c, mapped by model.c. One struct, in
 * the byte order of the machine that trained it (the build machine). Private to shared/intent. */
#ifndef SHARED_INTENT_WEIGHTS_H
#define SHARED_INTENT_WEIGHTS_H

#include <stdint.h>

#include "shared/intent/features.h"
#include "shared/intent/net.h"
#include "shared/intent/offer.h"

#define DF_WEIGHTS_MAGIC   "DFINTENT"
#define DF_WEIGHTS_VERSION 4u /* also tells a file of the other byte order */
#define DF_WEIGHTS_TYPES   4  /* DF_DIRECT_PURCHASE to DF_INTEREST */

/* Message types need less room: four feature slots share one of these. */
#define DF_TYPE_FOLD  2
#define DF_TYPE_SLOTS (DF_FEATURE_SLOTS >> DF_TYPE_FOLD)

#define DF_BAND_BINS 500 /* of confidence, equal ones */

struct df_weights {
    char magic[8];
    uint32_t version, feature_version, slots;
    uint32_t checksum; /* df_weights_checksum */
    /* linear score = buyer_bias + norm * buyer_scale * sum of value * buyer[slot];
     * score = half of it and half of the network's */
    float buyer_bias, buyer_scale;
    float type_bias[DF_WEIGHTS_TYPES], type_scale[DF_WEIGHTS_TYPES];
    /* probability = 1 / (1 + exp(-(slope * score + offset))) */
    float slope, offset;
    float cut; /* the probability that becomes confidence 0.7: best F1 on held-out folds */
    uint32_t reserved;
    uint32_t held_out[DF_BAND_BINS]; /* lines not trained on, by confidence */
    unsigned char common[DF_COMMON_BYTES];
    int16_t buyer[DF_FEATURE_SLOTS];
    int8_t types[DF_TYPE_SLOTS][DF_WEIGHTS_TYPES];
    struct df_net net;
    struct df_offer_head offer;
};

/* Over everything but the checksum itself. */
uint32_t df_weights_checksum(const struct df_weights *weights);

/* True if the numbers in it are usable: magic, versions, size, checksum, no NaN. */
int df_weights_are_valid(const struct df_weights *weights);

/* What the model computes before any rule, of a line with at least one token. */
double df_weights_score(const struct df_weights *weights, const struct df_features *features,
                        const struct df_net_reply *reply);
/* DF_DIRECT_PURCHASE to DF_INTEREST, for a line that is taken for a buyer's. */
enum df_message_type df_weights_type(const struct df_weights *weights,
                                     const struct df_features *features,
                                     const struct df_net_reply *reply);
double df_weights_probability(const struct df_weights *weights, double score);

/* The monotone map that puts `cut` at the capture threshold 0.7, and back. */
#define DF_CUT_CONFIDENCE 0.7
double df_weights_confidence(double probability, double cut);
double df_weights_chance(double confidence, double cut);

/* df_intent_band of weights in memory. */
void df_weights_band(const struct df_weights *weights, double share, double *low, double *high);

/* df_intent_explain of weights in memory. */
size_t df_weights_explain(const struct df_weights *weights, const struct df_chat_line *line,
                          struct df_intent_reason *out, size_t max);

/* df_intent_classify on weights in memory. The weights are borrowed and not checked. */
void df_weights_classify(const struct df_weights *weights, const struct df_chat_line *line,
                         struct df_verdict *out);

#endif
