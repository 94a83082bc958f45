/* shared/intent/item.c - the words of a buyer's line that name the product. Few simple rules: a
 * wrong name costs a seller more than none. */
#include "shared/intent/rules.h"

#include "shared/intent/lexicon.h"

#define ITEM_MAX_TOKENS 6

static bool has_class(const struct df_token *t, uint32_t classes)
{
    return t->kind == DF_TOKEN_WORD && (t->classes & classes) != 0;
}

static bool is_word(const struct df_text *text, size_t i, const char *word)
{
    return i < text->token_count && text->tokens[i].kind == DF_TOKEN_WORD &&
           df_token_is(text, &text->tokens[i], word);
}

static bool is_hash(const struct df_text *text, const struct df_token *t)
{
    return t->kind == DF_TOKEN_PUNCT && text->chars[t->start] == '#';
}

static bool is_joint(const struct df_text *text, size_t i)
{
    const struct df_token *t = &text->tokens[i];
    uint32_t c = text->chars[t->start];
    return t->kind == DF_TOKEN_PUNCT && t->glued && i + 1 < text->token_count &&
           text->tokens[i + 1].glued && (c == '-' || c == '&' || c == '/');
}

/* "#12", "lot 4", "number 31" in a line that commits. */
static bool item_number(const struct df_text *text, size_t *first, size_t *last)
{
    for (size_t i = 0; i + 1 < text->token_count; i++) {
        const struct df_token *t = &text->tokens[i], *next = &text->tokens[i + 1];
        if (next->kind == DF_TOKEN_NUMBER && is_hash(text, t)) {
            *first = i;
            *last = i + 1;
            return true;
        }
        if (next->kind == DF_TOKEN_NUMBER && !next->glued && has_class(t, DF_CLASS_LABEL) &&
            (is_word(text, i, "lot") || is_word(text, i, "item") || is_word(text, i, "number") ||
             is_word(text, i, "code") || is_word(text, i, "box") || is_word(text, i, "spot"))) {
            *first = i;
            *last = i + 1;
            return true;
        }
    }
    return false;
}

/* Where a name can begin: behind "the", "that", "those" and the like. */
static bool is_article(const struct df_text *text, size_t i)
{
    static const char *const words[] = {"the", "that", "those", "these", "el",  "la",   "los",
                                        "las", "ese",  "esa",   "le",    "les", "yung", "este"};
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (is_word(text, i, words[k]))
            return true;
    return false;
}

static bool ends_name(const struct df_text *text, size_t i)
{
    const struct df_token *t = &text->tokens[i];

    if (t->kind == DF_TOKEN_NUMBER)
        return false;
    if (t->kind != DF_TOKEN_WORD)
        return !is_joint(text, i);
    if (t->glued && i > 0 && text->tokens[i - 1].kind == DF_TOKEN_NUMBER)
        return false; /* "4s" */
    return has_class(t, DF_CLASS_STOP | DF_CLASS_ARTICLE | DF_CLASS_SECOND | DF_CLASS_FIRST);
}

/* Words that cannot be a product by themselves. */
static bool is_no_name(const struct df_text *text, size_t first, size_t last)
{
    static const uint32_t not_product =
        DF_CLASS_PRICE | DF_CLASS_SHIP | DF_CLASS_PAYMENT | DF_CLASS_SIZE | DF_CLASS_CONDITION |
        DF_CLASS_UNIT | DF_CLASS_SHOW | DF_CLASS_HOLD | DF_CLASS_CLAIM | DF_CLASS_BID |
        DF_CLASS_TIME | DF_CLASS_QUESTION | DF_CLASS_NEGATION | DF_CLASS_THIRD | DF_CLASS_MONEY |
        DF_CLASS_PAST | DF_CLASS_WANT | DF_CLASS_SOCIAL | DF_CLASS_GIVEAWAY | DF_CLASS_LABEL;
    static const char *const vague[] = {
        "one",    "ones",    "thing",  "stuff", "rest",  "same",   "way",    "front",
        "back",   "side",    "bottom", "top",   "other", "next",   "last",   "color",
        "colour", "brand",   "year",   "model", "first", "second", "best",   "whole",
        "inside", "corners", "deal",   "total", "link",  "live",   "stream", "chat"};

    if (has_class(&text->tokens[first], not_product))
        return true;
    if (first != last)
        return false;
    if (text->tokens[first].kind != DF_TOKEN_WORD)
        return true;
    for (size_t k = 0; k < sizeof vague / sizeof vague[0]; k++)
        if (is_word(text, first, vague[k]))
            return true;
    return false;
}

/* Words behind a name that belong to the sentence: "the chest back up please". */
static bool is_tail(const struct df_text *text, size_t i)
{
    static const char *const words[] = {
        "back",  "again",   "otra",   "vez", "asap", "into",  "man",  "hon", "closer", "first",
        "early", "instead", "asking", "go",  "goes", "going", "gets", "get", "look",   "ship"};
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (is_word(text, i, words[k]))
            return true;
    return false;
}

/* "how much for the", "price on those": in a question about price, only there is the product. */
static bool is_asked_about(const struct df_text *text, size_t article)
{
    static const char *const words[] = {"for", "on", "4", "pour", "por", "of"};
    for (size_t k = 0; article > 0 && k < sizeof words / sizeof words[0]; k++)
        if (is_word(text, article - 1, words[k]))
            return true;
    return false;
}

static bool named_after_article(const struct df_text *text, enum df_message_type type,
                                size_t *first, size_t *last)
{
    for (size_t i = 0; i + 1 < text->token_count; i++) {
        size_t k = i + 1;
        if (!is_article(text, i) || (type == DF_PRICING_QUESTION && !is_asked_about(text, i)))
            continue;
        while (k < text->token_count && k <= i + ITEM_MAX_TOKENS && !ends_name(text, k) &&
               !is_tail(text, k))
            k++;
        if (k == i + 1 || k > i + ITEM_MAX_TOKENS || is_no_name(text, i + 1, k - 1))
            continue;
        *first = i + 1;
        *last = k - 1;
        return true;
    }
    return false;
}

/* "mine, rainbow brite", "claim chair", "sold shogun": a claim word first, then only the name. */
static bool named_after_claim(const struct df_text *text, size_t *first, size_t *last)
{
    size_t k = 0;

    if (text->token_count < 2 ||
        !(is_word(text, 0, "mine") || is_word(text, 0, "sold") || is_word(text, 0, "claim") ||
          is_word(text, 0, "dibs") || is_word(text, 0, "claiming") || is_word(text, 0, "mio")))
        return false;
    k = 1;
    while (k < text->token_count && (text->tokens[k].kind == DF_TOKEN_PUNCT ||
                                     is_word(text, k, "on") || is_article(text, k)))
        k++;
    *first = k;
    while (k < text->token_count && k - *first < ITEM_MAX_TOKENS && !ends_name(text, k))
        k++;
    if (k == *first || is_no_name(text, *first, k - 1))
        return false;
    *last = k - 1;
    return true;
}

bool df_item_of(const struct df_text *text, enum df_message_type type, size_t *from, size_t *to)
{
    bool is_direct = type == DF_DIRECT_PURCHASE;
    size_t first, last;

    if (type == DF_PRODUCT_QUESTION)
        return false; /* "the back", "the dates": details far more often than the product */
    if (!(is_direct && item_number(text, &first, &last)) &&
        !(is_direct && named_after_claim(text, &first, &last)) &&
        !named_after_article(text, type, &first, &last))
        return false;
    *from = text->tokens[first].from;
    *to = text->tokens[last].to;
    return true;
}
