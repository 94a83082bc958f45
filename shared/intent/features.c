/* shared/intent/features.c - n-grams of words, of characters inside words, of word patterns, and a
 * few facts about the line, hashed into one table. */
#include "shared/intent/features.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "shared/intent/lexicon.h"
#include "shared/intent/rules.h"

#define TABLE_MASK    4095u
#define CHAR_GRAM_MIN 2
#define CHAR_GRAM_MAX 5

/* Groups keep features apart that would otherwise hash alike. */
enum group {
    G_WORD = 1,
    G_PAIR,
    G_TRIPLE,
    G_SKIP,
    G_CHARS,
    G_PATTERN,
    G_CLASS,
    G_CLASS_PAIR,
    G_WHOLE,
    G_FACT,
    G_SHAPE,
    G_EDGE,
};

static void add(struct df_features *f, uint32_t hash)
{
    uint32_t slot, at;

    hash ^= hash >> 16;
    hash *= 0x85ebca6bu;
    hash ^= hash >> 13;
    hash *= 0xc2b2ae35u;
    hash ^= hash >> 16;
    slot = hash >> (32 - DF_FEATURE_BITS);
    if (f->count == DF_FEATURE_MAX)
        return;
    for (at = hash & TABLE_MASK; f->table[at] != 0; at = (at + 1) & TABLE_MASK)
        if (f->table[at] == slot + 1)
            return;
    f->table[at] = slot + 1;
    if (f->origins != NULL)
        f->origins[f->count] = f->here;
    f->places[f->count++] = (uint16_t)at;
}

/* Says where the features that follow come from: tokens first..last. */
static void from_tokens(struct df_features *f, size_t first, size_t last)
{
    f->here = (struct df_feature_origin){(uint8_t)first, (uint8_t)last, 0};
}

static void from_fact(struct df_features *f, enum df_fact fact)
{
    f->here.fact = (uint8_t)fact;
}

static uint32_t seed(enum group group)
{
    return df_hash_mix(0x811c9dc5u, (uint32_t)group << 24);
}

static void add_fact(struct df_features *f, uint32_t what, enum df_fact fact, uint32_t value)
{
    from_fact(f, fact);
    add(f, df_hash_mix(df_hash_mix(seed(G_FACT), what), value));
}

/* A number by its shape: how many digits, decimals or not, round or not. */
static uint32_t number_shape(const struct df_text *text, const struct df_token *t)
{
    uint32_t digits = 0, marks = 0, last = 0;

    for (size_t i = t->start; i < t->end; i++) {
        last = text->chars[i];
        if (last == '.' || last == ',')
            marks++;
        else
            digits++;
    }
    if (digits > 6)
        digits = 6;
    return 0x1000u | digits << 4 | (marks > 0 ? 2u : 0u) | (last == '0' || last == '5' ? 1u : 0u);
}

/* What a token is called in word n-grams: numbers by shape, everything else by itself. */
static uint32_t name_of(const struct df_text *text, const struct df_token *t)
{
    return t->kind == DF_TOKEN_NUMBER ? number_shape(text, t) : t->hash;
}

/* Names of the line's tokens with one sentinel before and one behind. */
struct names {
    size_t count;
    uint32_t of[DF_TEXT_MAX_TOKENS + 2];
    uint8_t token[DF_TEXT_MAX_TOKENS + 2]; /* for people; a sentinel stands at its neighbour */
};

static void put_name(struct names *n, uint32_t name, size_t token)
{
    n->of[n->count] = name;
    n->token[n->count++] = (uint8_t)token;
}

static void from_names(struct df_features *f, const struct names *n, size_t first, size_t last)
{
    from_tokens(f, n->token[first], n->token[last]);
}

static void add_word_grams(struct df_features *f, const struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        from_names(f, n, i, i);
        if (i > 0 && i + 1 < n->count)
            add(f, df_hash_mix(seed(G_WORD), n->of[i]));
        if (i + 1 >= n->count)
            break;
        uint32_t two = df_hash_mix(df_hash_mix(seed(G_PAIR), n->of[i]), n->of[i + 1]);
        from_names(f, n, i, i + 1);
        add(f, two);
        if (i + 2 >= n->count)
            break;
        from_names(f, n, i, i + 2);
        add(f, df_hash_mix(two, n->of[i + 2]));
        add(f, df_hash_mix(df_hash_mix(seed(G_SKIP), n->of[i]), n->of[i + 2]));
    }
}

static void add_char_grams(struct df_features *f, const struct df_text *text,
                           const struct df_token *t)
{
    size_t len = (size_t)(t->end - t->start) + 2; /* with both borders */

    for (size_t i = 0; i < len; i++) {
        uint32_t h = seed(G_CHARS);
        for (size_t n = 1; n <= CHAR_GRAM_MAX && i + n <= len; n++) {
            size_t at = i + n - 1;
            uint32_t c = at == 0 || at + 1 == len ? ' ' : text->chars[t->start + at - 1];
            h = df_hash_mix(h, c);
            if (n >= CHAR_GRAM_MIN)
                add(f, h);
        }
    }
}

/* A pattern keeps frequent words and turns the others into their classes or a blank, so that "does
 * the X come with a Y" is seen whatever X and Y are. Blanks in a row are one. */
static void read_pattern(struct names *out, const struct df_text *text, const unsigned char *common)
{
    uint32_t last = 1;

    out->count = 0;
    put_name(out, 1, 0);
    for (size_t i = 0; i < text->token_count; i++) {
        const struct df_token *t = &text->tokens[i];
        uint32_t bit = df_common_bit(t->hash);
        uint32_t name = 2; /* the blank */
        if (t->kind == DF_TOKEN_NUMBER)
            name = 3;
        else if (t->kind == DF_TOKEN_EMOJI)
            name = 4;
        else if (t->kind != DF_TOKEN_WORD || (common[bit / 8] >> (bit % 8) & 1) != 0)
            name = t->hash;
        else if ((t->classes & ~(uint32_t)DF_CLASS_STOP) != 0)
            name = 0x2000000u | (t->classes & ~(uint32_t)DF_CLASS_STOP);
        if (name == last && name <= 4)
            continue;
        put_name(out, name, i);
        last = name;
    }
    put_name(out, 1, text->token_count == 0 ? 0 : text->token_count - 1);
}

static void add_patterns(struct df_features *f, const struct names *n)
{
    for (size_t i = 0; i < n->count; i++) {
        uint32_t h = seed(G_PATTERN);
        for (size_t k = 0; k < 5 && i + k < n->count; k++) {
            h = df_hash_mix(h, n->of[i + k]);
            from_names(f, n, i, i + k);
            if (k > 0)
                add(f, h);
        }
    }
}

static void add_classes(struct df_features *f, const struct df_text *text)
{
    uint32_t before = 0, all = 0;

    for (size_t i = 0; i < text->token_count; i++) {
        uint32_t now = text->tokens[i].classes & ~(uint32_t)DF_CLASS_STOP;
        if (text->tokens[i].kind == DF_TOKEN_NUMBER)
            now = 1u << 30;
        from_tokens(f, i, i);
        for (uint32_t a = 0; a < 31; a++) {
            if ((now >> a & 1) == 0)
                continue;
            add(f, df_hash_mix(seed(G_CLASS), a));
            for (uint32_t b = 0; b < 31; b++)
                if ((before >> b & 1) != 0)
                    add(f, df_hash_mix(seed(G_CLASS_PAIR), a << 8 | b));
        }
        before = now;
        all |= now;
    }
    from_fact(f, DF_FACT_KINDS);
    for (uint32_t a = 0; a < 31; a++)
        for (uint32_t b = a + 1; b < 31; b++)
            if ((all >> a & 1) != 0 && (all >> b & 1) != 0)
                add(f, df_hash_mix(seed(G_CLASS_PAIR), 0x10000u | a << 8 | b));
}

static const char *const platforms[] = {"whatnot",  "tiktok",  "instagram",
                                        "facebook", "youtube", "ebay"};

static uint32_t platform_number(const struct df_chat_line *line)
{
    for (uint32_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++)
        if (strlen(platforms[i]) == line->platform_len &&
            strncasecmp(platforms[i], line->platform, line->platform_len) == 0)
            return i + 1;
    return 0;
}

enum fact {
    F_PLATFORM,
    F_ROLE,
    F_LENGTH,
    F_ASKS,
    F_MONEY,
    F_NUMBER,
    F_MENTION,
    F_FIRST,
    F_CAPS,
    F_NOTHING_BUT_EMOJI,
    F_EMOJI,
    F_ASKS_SHORT,
    F_OFFER,
};

static void add_facts(struct df_features *f, const struct df_chat_line *line,
                      const struct df_text *text, enum df_role role)
{
    uint32_t words = 0, kinds = 0, asks = 0, length;

    for (size_t i = 0; i < text->token_count; i++) {
        const struct df_token *t = &text->tokens[i];
        words += t->kind == DF_TOKEN_WORD;
        kinds |= 1u << t->kind;
        asks |= t->kind == DF_TOKEN_PUNCT && text->chars[t->start] == '?';
    }
    length = words < 4 ? words : words < 6 ? 4 : words < 9 ? 5 : words < 14 ? 6 : 7;
    add_fact(f, F_PLATFORM, DF_FACT_PLATFORM, platform_number(line));
    add_fact(f, F_ROLE, DF_FACT_ROLE, (uint32_t)role);
    add_fact(f, F_LENGTH, DF_FACT_LENGTH, length);
    add_fact(f, F_ASKS, DF_FACT_QUESTION_MARK, asks);
    add_fact(f, F_ASKS_SHORT, DF_FACT_QUESTION_MARK, asks << 8 | length);
    add_fact(f, F_MONEY, DF_FACT_MONEY, kinds >> DF_TOKEN_MONEY & 1);
    add_fact(f, F_NUMBER, DF_FACT_NUMBER, (kinds >> DF_TOKEN_NUMBER & 1) << 8 | length);
    if ((kinds >> DF_TOKEN_NUMBER & 1) != 0) {
        int strength;
        bool is_round = df_value_find(text, &strength) % 500 == 0;
        add_fact(f, F_OFFER, DF_FACT_OFFER, (uint32_t)strength);
        add_fact(f, F_OFFER, DF_FACT_OFFER, 0x10u | (uint32_t)strength << 8 | length);
        add_fact(f, F_OFFER, DF_FACT_OFFER, 0x20u | (uint32_t)strength << 8 | asks);
        add_fact(f, F_OFFER, DF_FACT_OFFER, 0x30u | (uint32_t)strength << 8 | is_round);
    }
    add_fact(f, F_MENTION, DF_FACT_MENTION, kinds >> DF_TOKEN_MENTION & 1);
    add_fact(f, F_EMOJI, DF_FACT_EMOJI, text->emoji > 3 ? 3 : (uint32_t)text->emoji);
    add_fact(f, F_NOTHING_BUT_EMOJI, DF_FACT_EMOJI, kinds == 1u << DF_TOKEN_EMOJI);
    add_fact(f, F_CAPS, DF_FACT_CAPITALS,
             text->letters > 4 && text->capitals * 10 > text->letters * 7);
    if (text->token_count > 0)
        add_fact(f, F_FIRST, DF_FACT_FIRST, 0x100u | text->tokens[0].kind);
}

void df_features_read_with_origins(struct df_features *out, const struct df_chat_line *line,
                                   const struct df_text *text, enum df_role role,
                                   const unsigned char *common, struct df_feature_origin *origins)
{
    struct names names;
    uint32_t whole = seed(G_WHOLE);

    out->count = out->chars_from = 0;
    out->origins = origins;
    from_tokens(out, 0, 0);
    memset(out->table, 0, sizeof out->table);
    names.count = 0;
    put_name(&names, 1, 0);
    for (size_t i = 0; i < text->token_count; i++) {
        const struct df_token *t = &text->tokens[i];
        put_name(&names, name_of(text, t), i);
        if (t->kind != DF_TOKEN_PUNCT)
            whole = df_hash_mix(whole, name_of(text, t));
    }
    put_name(&names, 1, text->token_count == 0 ? 0 : text->token_count - 1);

    add_facts(out, line, text, role);
    from_fact(out, DF_FACT_WHOLE);
    if (text->token_count <= 6)
        add(out, whole);
    add_word_grams(out, &names);
    add_classes(out, text);
    read_pattern(&names, text, common);
    add_patterns(out, &names);
    out->chars_from = out->count;
    /* Last, because they are many: a hostile line loses these first. */
    for (size_t i = 0; i < text->token_count; i++) {
        from_tokens(out, i, i);
        if (text->tokens[i].kind == DF_TOKEN_WORD)
            add_char_grams(out, text, &text->tokens[i]);
    }
}

void df_features_read(struct df_features *out, const struct df_chat_line *line,
                      const struct df_text *text, enum df_role role, const unsigned char *common)
{
    df_features_read_with_origins(out, line, text, role, common, NULL);
}

double df_feature_norm(const struct df_features *f)
{
    double chars = (double)(f->count - f->chars_from);
    double square = (double)f->chars_from + DF_CHARS_VALUE * DF_CHARS_VALUE * chars;
    return square > 0 ? 1 / sqrt(square) : 0;
}
