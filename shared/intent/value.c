/* shared/intent/value.c - the amount that a buyer bids or offers in a line. */
#include "shared/intent/rules.h"

#include <string.h>

#include "shared/intent.h"
#include "shared/intent/lexicon.h"
#include "shared/intent/numbers.h"

/* "1,250.50" is 125050 cents; "12,5" is 1250; false for more digits than money has. */
static bool read_digits(const struct df_text *text, const struct df_token *t, int64_t *cents)
{
    int64_t whole = 0, part = 0;
    size_t mark = 0, after;
    int digits = 0;

    for (size_t i = t->start; i < t->end; i++) /* the last mark is the decimal one, maybe */
        if (text->chars[i] == '.' || text->chars[i] == ',')
            mark = i;
    after = mark == 0 ? 0 : t->end - mark - 1u;
    if (after == 3 && text->chars[mark] == ',')
        mark = 0; /* thousands */
    else if (after > 2)
        return false;
    for (size_t i = t->start; i < t->end; i++) {
        uint32_t c = text->chars[i];
        if (c == '.' || c == ',')
            continue;
        if (++digits > 9)
            return false;
        if (mark != 0 && i > mark)
            part = part * 10 + (int64_t)(c - '0');
        else
            whole = whole * 10 + (int64_t)(c - '0');
    }
    *cents = whole * 100 + (mark != 0 && after == 1 ? part * 10 : part);
    return true;
}

static int number_word(const struct df_text *text, const struct df_token *t)
{
    return df_number_word(text, t);
}

static const struct df_token *token_at(const struct df_text *text, size_t i)
{
    return i < text->token_count ? &text->tokens[i] : NULL;
}

static bool has_class(const struct df_token *t, uint32_t classes)
{
    return t != NULL && t->kind == DF_TOKEN_WORD && (t->classes & classes) != 0;
}

static bool is_word(const struct df_text *text, const struct df_token *t, const char *word)
{
    return t != NULL && t->kind == DF_TOKEN_WORD && df_token_is(text, t, word);
}

static bool is_mark(const struct df_text *text, const struct df_token *t, char mark)
{
    return t != NULL && t->kind == DF_TOKEN_PUNCT && text->chars[t->start] == (uint32_t)mark;
}

/* "twenty two" = 22, "two hundred fifty" = 250, "one twenty" = 120, "forty two fifty" = 42.50. */
static bool read_words(const struct df_text *text, size_t at, struct df_amount *out)
{
    int64_t total = 0, last = 0;
    int values[6];
    size_t n = 0, i = at;

    for (; i < text->token_count && n < 6; i++) {
        int v = number_word(text, &text->tokens[i]);
        if (v == 0 && n > 0 &&
            (is_word(text, &text->tokens[i], "and") || is_word(text, &text->tokens[i], "y") ||
             is_word(text, &text->tokens[i], "n") ||
             (is_mark(text, &text->tokens[i], '-') && text->tokens[i].glued)) &&
            number_word(text, &text->tokens[i + 1 < text->token_count ? i + 1 : i]) != 0)
            continue;
        if (v == 0 || (n > 0 && is_word(text, &text->tokens[i], "cent")))
            break;
        values[n++] = v;
    }
    if (n == 0)
        return false;
    out->first = at;
    out->last = i - 1;
    out->in_words = true;
    if (n == 3 && values[0] >= 20 && values[0] < 100 && values[1] < 10 && values[2] >= 10 &&
        values[2] < 100) {
        out->cents = (values[0] + values[1]) * 100 + values[2];
        return true;
    }
    if (n == 2 && values[0] > 10 && values[0] < 20 && values[1] >= 20 && values[1] < 100) {
        out->cents = values[0] * 100 + values[1]; /* "sixteen fifty" */
        return true;
    }
    for (size_t k = 0; k < n; k++) {
        if (values[k] >= 1000) {
            total += (last == 0 ? 1 : last) * values[k];
            last = 0;
        } else if (values[k] >= 100)
            last = (last == 0 ? 1 : last) * values[k];
        else if (last > 0 && last < 10 && values[k] >= 10) /* "one twenty" */
            last = last * 100 + values[k];
        else if (last % 100 >= 20 && last % 10 == 0 && values[k] >= 10 && last < 100) {
            out->cents = last * 100 + values[k]; /* "forty fifty" */
            return true;
        } else
            last += values[k];
    }
    total += last;
    out->cents = total * 100;
    /* a lone small word ("one", "two") is a count or a pronoun, not a price, unless of dollars */
    return total >= 3 || n > 1 || has_class(token_at(text, i), DF_CLASS_MONEY);
}

/* "a dollar" is 1; "buck fifty" is 150; "one buck" and "20 bucks" are read as number and unit. */
static bool read_buck(const struct df_text *text, size_t i, struct df_amount *out)
{
    const struct df_token *before = i > 0 ? &text->tokens[i - 1] : NULL;
    const struct df_token *next = token_at(text, i + 1);
    int more = next == NULL ? 0 : number_word(text, next);

    if (!is_word(text, &text->tokens[i], "buck") && !is_word(text, &text->tokens[i], "dollar"))
        return false;
    if (before != NULL && !is_word(text, before, "a") && !is_word(text, before, "un"))
        return false;
    out->cents = 100;
    out->has_money = true;
    if (more >= 10 && more < 100) {
        out->cents = (100 + more) * 100;
        out->last = i + 1;
    }
    return true;
}

/* ".75", "$.50" */
static bool is_behind_point(const struct df_text *text, size_t i)
{
    const struct df_token *t = &text->tokens[i];

    return i > 0 && t->glued && t->end - t->start == 2 && is_mark(text, t - 1, '.') &&
           (i == 1 || !t[-1].glued || t[-2].kind == DF_TOKEN_MONEY);
}

/* Reads the amount that starts at token i, with its currency and "k". */
static bool read_amount(const struct df_text *text, size_t i, struct df_amount *out)
{
    const struct df_token *t = &text->tokens[i];
    const struct df_token *before = i > 0 ? &text->tokens[i - 1] : NULL;
    const struct df_token *next;

    *out = (struct df_amount){.first = i, .last = i};
    if (t->kind == DF_TOKEN_NUMBER) {
        if (!read_digits(text, t, &out->cents))
            return false;
        if (is_behind_point(text, i)) {
            out->cents /= 100;
            out->has_money = true;
        }
    } else if (read_buck(text, i, out)) {
        return true;
    } else if (!read_words(text, i, out)) {
        return false;
    }
    next = token_at(text, out->last + 1);
    if (before != NULL && before->kind == DF_TOKEN_MONEY)
        out->has_money = true;
    /* "12 hundred", "3 hundo", "4 grand" */
    if (t->kind == DF_TOKEN_NUMBER && next != NULL && number_word(text, next) >= 100 &&
        out->cents < 100000) {
        out->cents *= number_word(text, next);
        out->last++;
        out->has_money = true;
        next = token_at(text, out->last + 1);
    }
    if (next != NULL && next->glued && is_word(text, next, "k") && out->cents < 100000000) {
        out->cents *= 1000;
        out->last++;
        out->has_money = true;
        next = token_at(text, out->last + 1);
    }
    if (next != NULL && next->kind == DF_TOKEN_MONEY) {
        out->has_money = true;
    } else if (is_word(text, next, "p") && next->glued && t->kind == DF_TOKEN_NUMBER) {
        out->cents /= 100; /* pence */
        out->has_money = true;
    } else if (is_word(text, next, "cents") || is_word(text, next, "cent")) {
        out->cents /= 100;
        out->has_money = true;
        out->last++;
    } else if (has_class(next, DF_CLASS_MONEY)) {
        out->has_money = true;
        out->last++;
    } else if (is_word(text, next, "and") && is_word(text, token_at(text, out->last + 2), "a") &&
               is_word(text, token_at(text, out->last + 3), "half")) {
        out->cents += 50;
    }
    return out->cents >= 1 && out->cents <= DF_VALUE_CENTS_MAX;
}

/* Whether the word before token i is one of these. */
static bool is_one_of(const struct df_text *text, size_t i, const char *const *words, size_t count)
{
    for (size_t k = 0; i > 0 && k < count; k++)
        if (is_word(text, &text->tokens[i - 1], words[k]))
            return true;
    return false;
}

/* Before an item, a count, a size or a time: "ticket 12", "til 6", "+5", "not 45". */
static const char *const no_price_words[] = {
    "than",   "till",  "til", "until", "before", "times",   "quantity", "not",
    "paddle", "spots", "box", "zip",   "ending", "tickets", "candle",   "another",
    "need",   "in",    "by",  "plus",  "size",   "page"};

/* "9.5", but not "9.50" */
static bool is_half(const struct df_text *text, const struct df_amount *a)
{
    const struct df_token *t = &text->tokens[a->first];
    return t->kind == DF_TOKEN_NUMBER && t->end - t->start >= 3 && text->chars[t->end - 2] == '.' &&
           text->token_count > 1;
}

/* Signs that the number names an item, a size, a time or a count. */
static bool is_no_price(const struct df_text *text, const struct df_amount *a)
{
    const struct df_token *before = a->first > 0 ? &text->tokens[a->first - 1] : NULL;
    const struct df_token *two_before = a->first > 1 ? &text->tokens[a->first - 2] : NULL;
    const struct df_token *next = token_at(text, a->last + 1);

    if (a->has_money)
        return false;
    if (is_mark(text, before, '+') || (a->cents % 100 == 50 && a->cents < 1500 && is_half(text, a)))
        return true; /* "+5" on another sum; "9.5" is a size */
    if (is_mark(text, before, '#') || is_mark(text, before, '/') ||
        (is_mark(text, before, ':') && two_before != NULL && two_before->kind == DF_TOKEN_NUMBER) ||
        is_mark(text, next, '/') || is_mark(text, next, '%') || is_mark(text, next, ':') ||
        is_mark(text, next, '\'') || is_mark(text, next, '"'))
        return true;
    if (before != NULL && before->glued && is_mark(text, before, '-') && two_before != NULL)
        return true; /* B-14, 1-12 */
    if (text->tokens[a->first].glued && before != NULL && before->kind == DF_TOKEN_WORD)
        return true; /* sp5der, psa10 */
    if (next != NULL && next->glued && next->kind == DF_TOKEN_WORD)
        return true; /* 2x, 10c, 13s, 90s */
    if (has_class(before, DF_CLASS_LABEL | DF_CLASS_SIZE | DF_CLASS_UNIT) &&
        !has_class(before, DF_CLASS_HOLD) &&
        !(is_word(text, before, "no") && two_before != NULL)) /* "60 wait no 55" */
        return true;
    if (has_class(next, DF_CLASS_UNIT | DF_CLASS_SIZE | DF_CLASS_TIME) &&
        !is_word(text, next, "kids"))
        return true;
    if ((is_word(text, next, "for") || is_word(text, next, "pour") ||
         is_word(text, next, "para")) &&
        has_class(token_at(text, a->last + 2), DF_CLASS_FIRST))
        return true; /* "24 for me" claims number 24 */
    if (a->in_words && a->cents < 1000 && !is_word(text, &text->tokens[a->first], "fiver"))
        return true; /* "till six", "five of em": counts and times more often than prices */
    if (is_word(text, before, "of"))
        return !has_class(two_before, DF_CLASS_BID);
    if (is_word(text, before, "at") && has_class(two_before, DF_CLASS_TIME | DF_CLASS_STOP) &&
        (is_word(text, two_before, "work") || is_word(text, two_before, "off")))
        return true;
    return is_one_of(text, a->first, no_price_words,
                     sizeof no_price_words / sizeof no_price_words[0]) ||
           is_word(text, next, "of");
}

/* "ok 45", "so 26": the sum the buyer comes round to. */
static const char *const counter_words[] = {"so", "then", "ok",   "okay", "fine",   "for",
                                            "to", "por",  "pour", "em",   "counter"};

/* Words that make the number behind them the author's price. */
static bool is_offered(const struct df_text *text, const struct df_amount *a)
{
    size_t near = a->first > 4 ? a->first - 4 : 0;

    for (size_t i = near; i < a->first; i++)
        if (has_class(&text->tokens[i], DF_CLASS_BID) && !is_word(text, &text->tokens[i], "deal"))
            return true;
    return is_one_of(text, a->first, counter_words, sizeof counter_words / sizeof counter_words[0]);
}

/* Behind a price: "20 shipped", "160 max", "5 each". */
static bool is_priced_by_what_follows(const struct df_text *text, const struct df_amount *a)
{
    static const char *const words[] = {
        "shipped", "max", "flat", "firm",      "final", "each",     "ea",    "apiece",  "per",
        "tops",    "obo", "cash", "delivered", "rn",    "incoming", "start", "starting"};
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (is_word(text, token_at(text, a->last + 1), words[k]))
            return true;
    return is_word(text, token_at(text, a->last + 1), "a") &&
           is_word(text, token_at(text, a->last + 2), "pop");
}

/* "would 85 do", "i got 50", "venmo you 40": no commitment word, but the author's sum. */
static const char *const sum_words[] = {"would", "does", "consider", "got",  "you",     "u",
                                        "do",    "off",  "enter",    "do_i", "putting", "put",
                                        "start", "make", "a",        "ko",   "te",      "boss"};

/* "my best is 62", "max i can go is 47", "is 40 insulting" */
static bool is_said_to_be(const struct df_text *text, const struct df_amount *a)
{
    static const char *const words[] = {"best", "max", "number", "counter", "limit", "highest"};

    if (a->first == 0 || !is_word(text, &text->tokens[a->first - 1], "is"))
        return false;
    if (a->first == 1)
        return true;
    for (size_t i = 0; i + 1 < a->first; i++)
        for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
            if (is_word(text, &text->tokens[i], words[k]))
                return true;
    return false;
}

/* "85 n i come get it", "150 last": the line begins with the sum. */
static bool opens_with_sum(const struct df_text *text, const struct df_amount *a)
{
    static const char *const words[] = {"n",     "and",      "cuz",  "provided", "if",    "local",
                                        "today", "mi",       "wenn", "last",     "sakin", "sa",
                                        "this",  "tomorrow", "bid",  "says",     "that",  "dolyar",
                                        "po",    "la",       "with"};
    const struct df_token *after = token_at(text, a->last + 2);

    if (a->first > 0 || a->cents < 500 || after == NULL || after->kind != DF_TOKEN_WORD ||
        has_class(after, DF_CLASS_ARTICLE))
        return false;
    for (size_t k = 0; k < sizeof words / sizeof words[0]; k++)
        if (is_word(text, token_at(text, a->last + 1), words[k]))
            return true;
    return false;
}

/* "25 for the tote", "14 on the comic", "2 for 35" is the other way round. */
static bool is_price_first(const struct df_text *text, const struct df_amount *a)
{
    const struct df_token *next = token_at(text, a->last + 1);
    const struct df_token *after = token_at(text, a->last + 2);

    if (!is_word(text, next, "for") && !is_word(text, next, "on") && !is_word(text, next, "por") &&
        !is_word(text, next, "pour"))
        return false;
    return after != NULL && after->kind == DF_TOKEN_WORD && number_word(text, after) == 0;
}

/* Whether the line claims in a way that makes a bare number an item number: "sold 22". */
static bool claims(const struct df_text *text)
{
    for (size_t i = 0; i < text->token_count; i++)
        if (has_class(&text->tokens[i], DF_CLASS_CLAIM) &&
            !is_word(text, &text->tokens[i], "take") && !is_word(text, &text->tokens[i], "ill"))
            return true;
    return false;
}

/* No noun right behind it that it would count: "snuck in with 31", "26.", "is 55 alright". */
static bool stands_free(const struct df_text *text, const struct df_amount *a)
{
    const struct df_token *next = token_at(text, a->last + 1);

    return next == NULL || next->kind != DF_TOKEN_WORD || has_class(next, DF_CLASS_STOP);
}

static bool is_alone(const struct df_text *text, const struct df_amount *a)
{
    size_t content = 0;

    for (size_t i = 0; i < text->token_count; i++) {
        const struct df_token *t = &text->tokens[i];
        if (i >= a->first && i <= a->last)
            continue;
        if (t->kind == DF_TOKEN_WORD)
            content++;
    }
    if (a->cents <= 300 && content > 0) /* "2 please" is a count */
        return false;
    return content <= 3;
}

/* "30 for the red, 20 for the blue", "15 now and 15 friday": the second adds to the first. */
static bool is_added(const struct df_text *text, const struct df_amount *one,
                     const struct df_amount *two)
{
    static const char *const splits[] = {"for", "on", "now", "down", "today"};
    const struct df_token *behind = token_at(text, two->last + 1);
    const struct df_token *link = &text->tokens[two->first - 1]; /* there is an amount before */

    for (size_t k = 0; k < sizeof splits / sizeof splits[0]; k++) {
        if (!is_word(text, token_at(text, one->last + 1), splits[k]))
            continue;
        if (k < 2) /* to two things, not "75 for both or 45 for one" */
            return is_word(text, behind, splits[k]) &&
                   (is_word(text, link, "and") || is_mark(text, link, ','));
        return is_word(text, link, "and") && has_class(behind, DF_CLASS_TIME | DF_CLASS_SHOW);
    }
    return false;
}

/* How sure it is that the amount is the author's own price: 0 not at all, 5 most. */
static int strength_of(const struct df_text *text, const struct df_amount *a, bool claimed)
{
    const struct df_token *next = token_at(text, a->last + 1);

    if (is_word(text, next, "each") || is_word(text, next, "ea"))
        return 5; /* "12 each for 4": the other number counts */
    if (a->has_money || is_offered(text, a) || is_priced_by_what_follows(text, a))
        return 4;
    if (is_price_first(text, a) || is_said_to_be(text, a) || opens_with_sum(text, a) ||
        (a->first > 0 && is_word(text, &text->tokens[a->first - 1], "at")))
        return 3;
    if (is_one_of(text, a->first, sum_words, sizeof sum_words / sizeof sum_words[0]) &&
        a->cents >= 500 && stands_free(text, a))
        return 3;
    if (claimed)
        return 0;
    if (is_alone(text, a))
        return 2;
    return a->cents >= 500 && stands_free(text, a) ? 1 : 0;
}

size_t df_amounts_find(const struct df_text *text, struct df_amount out[DF_AMOUNTS_MAX])
{
    bool claimed = claims(text);
    size_t n = 0, chosen = 0;
    int best = 0;

    for (size_t i = 0; i < text->token_count && n < DF_AMOUNTS_MAX; i++) {
        struct df_amount *a = &out[n];
        if (!read_amount(text, i, a))
            continue;
        i = a->last;
        if (best > 0 && chosen + 1 == n && is_added(text, &out[chosen], a) &&
            out[chosen].cents + a->cents <= DF_VALUE_CENTS_MAX) {
            out[chosen].cents += a->cents;
            continue;
        }
        a->is_no_price = is_no_price(text, a);
        a->strength = a->is_no_price ? 0 : strength_of(text, a, claimed);
        if (a->strength > 0 && a->strength >= best) { /* the last one named is the one stood by */
            best = a->strength;
            chosen = n;
        }
        n++;
    }
    if (best > 0)
        out[chosen].is_chosen = true;
    return n;
}

int64_t df_value_find(const struct df_text *text, int *strength)
{
    struct df_amount amounts[DF_AMOUNTS_MAX];
    size_t n = df_amounts_find(text, amounts);

    *strength = 0;
    for (size_t i = 0; i < n; i++) {
        if (!amounts[i].is_chosen)
            continue;
        *strength = amounts[i].strength;
        return amounts[i].cents;
    }
    return DF_VALUE_NONE;
}
