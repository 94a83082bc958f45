/* shared/intent/features.h - a chat line as a set of feature numbers; the trainer and the
 * classifier share it, so that they cannot disagree. Pure; no allocation. */
#ifndef SHARED_INTENT_FEATURES_H
#define SHARED_INTENT_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#include "shared/intent.h"
#include "shared/intent/roles.h"
#include "shared/intent/text.h"

#define DF_FEATURE_BITS  19
#define DF_FEATURE_SLOTS (1u << DF_FEATURE_BITS)
#define DF_FEATURE_MAX   2800 /* of one line; the rest is left out */

/* Raise it whenever text, lexicon, roles or features change what a line turns into: old weight
 * files are refused then. */
#define DF_FEATURE_VERSION 3

/* Which words are frequent enough in training to keep their own name in word patterns; one bit
 * per hashed word, part of the weight file. */
#define DF_COMMON_BITS  16
#define DF_COMMON_BYTES ((1u << DF_COMMON_BITS) / 8)

/* What a feature was made of, for people: tokens first..last, or a fact about the whole line. */
struct df_feature_origin {
    uint8_t first, last;
    uint8_t fact; /* 0: the tokens; else enum df_fact */
};

enum df_fact {
    DF_FACT_PLATFORM = 1,
    DF_FACT_ROLE,
    DF_FACT_LENGTH,
    DF_FACT_QUESTION_MARK,
    DF_FACT_MONEY,
    DF_FACT_NUMBER,
    DF_FACT_MENTION,
    DF_FACT_FIRST,
    DF_FACT_CAPITALS,
    DF_FACT_EMOJI,
    DF_FACT_OFFER, /* how much an amount looks like the author's own price */
    DF_FACT_WHOLE, /* the line as one feature */
    DF_FACT_KINDS, /* kinds of words that meet in the line */
    DF_FACT_COUNT
};

struct df_features {
    struct df_feature_origin *origins, here; /* origins: NULL, or DF_FEATURE_MAX to fill */
    size_t count;
    size_t chars_from;               /* features from here on are n-grams of characters */
    uint16_t places[DF_FEATURE_MAX]; /* used entries of table */
    uint32_t table[4096];            /* open addressing: slot + 1, or 0 */
};

/* Fills *out with the distinct slots (0..DF_FEATURE_SLOTS-1) of a line that df_text_read has
 * split; read them with df_feature_slot. `common` has DF_COMMON_BYTES bytes. */
void df_features_read(struct df_features *out, const struct df_chat_line *line,
                      const struct df_text *text, enum df_role role, const unsigned char *common);

/* The same, and fills origins[0..count), which the caller owns. */
void df_features_read_with_origins(struct df_features *out, const struct df_chat_line *line,
                                   const struct df_text *text, enum df_role role,
                                   const unsigned char *common,
                                   struct df_feature_origin *origins);

static inline uint32_t df_feature_slot(const struct df_features *f, size_t i)
{
    return f->table[f->places[i]] - 1;
}

/* Characters are many and say less each than words: they count half (chosen by --evaluate). */
#define DF_CHARS_VALUE 0.5

static inline double df_feature_value(const struct df_features *f, size_t i)
{
    return i < f->chars_from ? 1 : DF_CHARS_VALUE;
}

/* Scales a line to length 1, so that long lines do not shout. */
double df_feature_norm(const struct df_features *f);

static inline uint32_t df_common_bit(uint32_t token_hash)
{
    return token_hash >> (32 - DF_COMMON_BITS);
}

#endif
