/* shared/intent/net.h - a small network that reads a line as words in their order, beside the
 * linear model that reads it as a bag of n-grams. One layer of filters over three neighbouring
 * tokens, the strongest response of each filter, one output layer. What a known word adds to every
 * filter is worked out at training time, so that judging is table look-ups and additions.
 * Pure; no allocation. Private to shared/intent. */
#ifndef SHARED_INTENT_NET_H
#define SHARED_INTENT_NET_H

#include <stddef.h>
#include <stdint.h>

#include "shared/intent/text.h"

#define DF_NET_DIMS      24 /* of a token's vector */
#define DF_NET_FILTERS   32
#define DF_NET_WIDTH     3    /* tokens under a filter */
#define DF_NET_WORDS     6144 /* rows of known tokens; the first ones are special */
#define DF_NET_INDEX     16384
#define DF_NET_CHARS     16384 /* slots of character n-grams */
#define DF_NET_CHARS_MAX 24    /* n-grams of one word that are looked at */
#define DF_NET_CLASSES   30    /* 24 of the lexicon, 6 kinds of token */
#define DF_NET_TYPES     5

enum { DF_NET_BEGIN, DF_NET_END, DF_NET_UNKNOWN, DF_NET_FIRST_WORD };

/* What a token adds to the filters of the place behind it, of its own and of the one before. */
struct df_net_response {
    int16_t of[DF_NET_WIDTH][DF_NET_FILTERS];
};

/* Part of the weight file. */
struct df_net {
    uint32_t keys[DF_NET_INDEX]; /* open addressing by df_net_name; row 0: free */
    uint16_t rows[DF_NET_INDEX];
    struct df_net_response responses[DF_NET_WORDS]; /* these and bias in steps of response_scale */
    int16_t bias[DF_NET_FILTERS];
    float response_scale, chars_scale;
    int8_t chars[DF_NET_CHARS][DF_NET_DIMS];
    float classes[DF_NET_CLASSES][DF_NET_DIMS];
    float filters[DF_NET_WIDTH][DF_NET_DIMS][DF_NET_FILTERS];
    float out[DF_NET_FILTERS], out_bias;
    float types[DF_NET_TYPES][DF_NET_FILTERS], type_bias[DF_NET_TYPES];
};

/* What the strongest response of each filter was, and at which token (or the border behind it). */
struct df_net_reply {
    float peaks[DF_NET_FILTERS]; /* 0 when no token woke the filter */
    uint8_t at[DF_NET_FILTERS];
};

void df_net_read(const struct df_net *net, const struct df_text *text, struct df_net_reply *out);
/* Log-odds of a buyer, as this network sees it. */
double df_net_buyer(const struct df_net *net, const struct df_net_reply *reply);
double df_net_type(const struct df_net *net, const struct df_net_reply *reply, int type);

/* The trainer and the reader share what follows. */

/* What a token is called: numbers by their shape, everything else by itself. */
uint32_t df_net_name(const struct df_text *text, const struct df_token *token);
/* Where the search for a name begins in keys and rows. */
static inline size_t df_net_place(uint32_t name)
{
    return name * 0x9e3779b1u >> 18; /* the upper 14 bits: DF_NET_INDEX places */
}
/* Row of a known token, or DF_NET_UNKNOWN. */
size_t df_net_row(const struct df_net *net, uint32_t name);
/* One bit per class and kind. */
uint32_t df_net_classes(const struct df_token *token);
/* Slots of the character n-grams of a word, at most DF_NET_CHARS_MAX; returns how many. */
size_t df_net_chars(const struct df_text *text, const struct df_token *token, uint16_t *slots);

#endif
