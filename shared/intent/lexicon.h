/* shared/intent/lexicon.h - what a folded word can mean in live-sale chat. Pure, constant. */
#ifndef SHARED_INTENT_LEXICON_H
#define SHARED_INTENT_LEXICON_H

#include <stdint.h>

/* A word may be in several classes. */
enum df_word_class {
    DF_CLASS_CLAIM = 1u << 0,   /* mine, sold, dibs */
    DF_CLASS_BID = 1u << 1,     /* bid, offer, pay */
    DF_CLASS_WANT = 1u << 2,    /* want, need, looking */
    DF_CLASS_PRICE = 1u << 3,   /* price, cost, discount */
    DF_CLASS_SHIP = 1u << 4,    /* shipping, postage */
    DF_CLASS_PAYMENT = 1u << 5, /* paypal, installments */
    DF_CLASS_SIZE = 1u << 6,    /* size, xl, fits */
    DF_CLASS_UNIT = 1u << 7,    /* inch, ml, psa: the number beside it is no price */
    DF_CLASS_QUESTION = 1u << 8,
    DF_CLASS_NEGATION = 1u << 9,
    DF_CLASS_PAST = 1u << 10,
    DF_CLASS_THIRD = 1u << 11,  /* he, they, someone */
    DF_CLASS_SECOND = 1u << 12, /* you */
    DF_CLASS_FIRST = 1u << 13,  /* I, me, my */
    DF_CLASS_SHOW = 1u << 14,   /* show, run, pull */
    DF_CLASS_HOLD = 1u << 15,   /* hold, add, invoice */
    DF_CLASS_ARTICLE = 1u << 16,
    DF_CLASS_MONEY = 1u << 17,  /* dollars, bucks */
    DF_CLASS_SOCIAL = 1u << 18, /* hello, congrats, lol */
    DF_CLASS_GIVEAWAY = 1u << 19,
    DF_CLASS_TIME = 1u << 20,      /* tomorrow, years: the number beside it is no price */
    DF_CLASS_STOP = 1u << 21,      /* a product name ends before it */
    DF_CLASS_LABEL = 1u << 22,     /* lot, item, number: the number behind it names an item */
    DF_CLASS_CONDITION = 1u << 23, /* authentic, tested, flaws */
};

/* The classes of a word that is already folded (lower case, no accents, no apostrophe); 0 for an
 * unknown one. */
uint32_t df_lexicon_classes(const char *word);

#endif
