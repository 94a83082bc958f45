/* shared/intent/offer.c - the words around an amount as features, and what they say of it. */
#include "shared/intent/offer.h"

#include <math.h>

#include "shared/intent/lexicon.h"

enum group {
    G_PLACE = 1, /* a token at a distance from the amount */
    G_PLACE_PAIR,
    G_CLASS, /* the same for classes of words */
    G_CLASS_PAIR,
    G_WORD, /* anywhere */
    G_PAIR,
    G_SIDE, /* anywhere before, anywhere behind */
    G_WHOLE,
    G_SIZE,
    G_RULE,
    G_LINE,
};

#define NAME_AMOUNT 1u
#define NAME_NUMBER 2u
#define NAME_END    3u

static void add(struct df_offer *out, enum group group, uint32_t a, uint32_t b)
{
    uint32_t h = df_hash_mix(df_hash_mix(df_hash_mix(0x811c9dc5u, (uint32_t)group << 24), a), b);

    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    if (out->count < DF_OFFER_MAX)
        out->slots[out->count++] = (uint16_t)((h * 0xc2b2ae35u) >> (32 - DF_OFFER_BITS));
}

/* The token `far` before (negative) or behind the amount. */
static const struct df_token *at(const struct df_text *text, const struct df_amount *a, int far)
{
    int64_t i = far < 0 ? (int64_t)a->first + far : (int64_t)a->last + far;
    return i < 0 || i >= (int64_t)text->token_count ? NULL : &text->tokens[i];
}

static uint32_t name_of(const struct df_token *t)
{
    return t == NULL ? NAME_END : t->kind == DF_TOKEN_NUMBER ? NAME_NUMBER : t->hash;
}

static uint32_t classes_of(const struct df_token *t)
{
    if (t == NULL)
        return 1u << 31;
    return t->kind == DF_TOKEN_WORD ? t->classes : 1u << (24 + t->kind % 6);
}

static void add_neighbours(struct df_offer *out, const struct df_text *text,
                           const struct df_amount *a)
{
    static const struct {
        int8_t one, two;
    } pairs[] = {{-2, -1}, {-1, 1}, {1, 2}};

    for (int far = -3; far <= 3; far++) {
        const struct df_token *t = at(text, a, far);
        uint32_t place = (uint32_t)(far + 4);
        uint32_t classes = classes_of(t);
        if (far == 0)
            continue;
        add(out, G_PLACE, place, name_of(t));
        if (t != NULL)
            add(out, G_PLACE, place + 16 + t->glued, t->kind);
        for (uint32_t c = 0; c < 32; c++)
            if ((classes >> c & 1) != 0)
                add(out, G_CLASS, place, c);
    }
    for (uint32_t k = 0; k < sizeof pairs / sizeof pairs[0]; k++) {
        const struct df_token *one = at(text, a, pairs[k].one), *two = at(text, a, pairs[k].two);
        add(out, G_PLACE_PAIR, k, df_hash_mix(name_of(one), name_of(two)));
        add(out, G_CLASS_PAIR, k, df_hash_mix(classes_of(one), classes_of(two)));
    }
}

static void add_line(struct df_offer *out, const struct df_text *text, const struct df_amount *a,
                     uint32_t *asks)
{
    uint32_t whole = 0, words = 0, last = NAME_END;

    *asks = 0;
    for (size_t i = 0; i < text->token_count && i < 32; i++) {
        const struct df_token *t = &text->tokens[i];
        bool is_amount = i >= a->first && i <= a->last;
        uint32_t name = is_amount ? NAME_AMOUNT : name_of(t);
        if (t->kind == DF_TOKEN_PUNCT && text->chars[t->start] == '?')
            *asks = 1;
        if (i > a->first && is_amount)
            continue;
        whole = df_hash_mix(whole, name);
        add(out, G_PAIR, last, name);
        last = name;
        if (is_amount)
            continue;
        words += t->kind == DF_TOKEN_WORD;
        add(out, G_WORD, name, 0);
        add(out, G_SIDE, i < a->first, name);
    }
    if (words <= 5)
        add(out, G_WHOLE, whole, 0);
    add(out, G_LINE, 0, words < 8 ? words : words < 12 ? 8 : 9);
    add(out, G_LINE, 1, *asks);
}

void df_offer_read(struct df_offer *out, const struct df_text *text,
                   const struct df_amount *amounts, size_t count, size_t which)
{
    const struct df_amount *a = &amounts[which];
    uint32_t asks, size = 0;
    uint32_t rule =
        (uint32_t)a->strength | (uint32_t)a->is_no_price << 4 | (uint32_t)a->is_chosen << 5;
    bool is_only = a->first == 0 && a->last + 1 == text->token_count;

    out->count = 0;
    for (int64_t c = a->cents; c > 0; c /= 3)
        size++;
    add_line(out, text, a, &asks);
    add_neighbours(out, text, a);
    add(out, G_SIZE, 0, size);
    add(out, G_SIZE, 1, a->cents % 500 == 0);
    add(out, G_SIZE, 2, a->cents % 100 == 0);
    add(out, G_SIZE, 3, (uint32_t)a->has_money << 1 | a->in_words);
    add(out, G_SIZE, 4, size << 1 | (a->cents % 500 == 0));
    add(out, G_RULE, 0, rule);
    add(out, G_RULE, 1, rule << 1 | asks);
    add(out, G_RULE, 2, rule << 2 | (uint32_t)a->has_money << 1 | a->in_words);
    add(out, G_RULE, 3, (uint32_t)a->strength);
    add(out, G_RULE, 4, (uint32_t)a->is_chosen);
    add(out, G_RULE, 5, (uint32_t)a->is_no_price);
    add(out, G_LINE, 2,
        (uint32_t)is_only << 2 | (uint32_t)(a->first == 0) << 1 |
            (a->last + 1 == text->token_count));
    add(out, G_LINE, 3, (uint32_t)count);
    add(out, G_LINE, 4, (uint32_t)(which + 1 == count) << 8 | (uint32_t)(which > 3 ? 3 : which));
}

double df_offer_norm(const struct df_offer *offer)
{
    return 1 / sqrt((double)offer->count); /* there are always some */
}

double df_offer_score(const struct df_offer_head *head, const struct df_offer *offer, double score)
{
    double sum = 0;

    for (size_t i = 0; i < offer->count; i++)
        sum += (double)head->weights[offer->slots[i]];
    return (double)head->bias + (double)head->of_score * score + df_offer_norm(offer) * sum;
}

int64_t df_offer_best(const struct df_offer_head *head, const struct df_text *text, double score,
                      double *offer)
{
    struct df_amount amounts[DF_AMOUNTS_MAX];
    size_t count = df_amounts_find(text, amounts);
    int64_t value = DF_VALUE_NONE;

    for (size_t i = 0; i < count; i++) {
        struct df_offer o;
        double now;
        if (amounts[i].first > 0 && text->chars[text->tokens[amounts[i].first - 1].start] == '#')
            continue; /* "claim #45": the number of an item, never its price */
        df_offer_read(&o, text, amounts, count, i);
        now = df_offer_score(head, &o, score);
        if (value != DF_VALUE_NONE && now < *offer)
            continue;
        *offer = now;
        value = amounts[i].cents;
    }
    return value;
}
