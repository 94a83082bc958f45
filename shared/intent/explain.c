/* shared/intent/explain.c - why a line was judged as it was, in words of the line. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shared/intent/features.h"
#include "shared/intent/roles.h"
#include "shared/intent/text.h"
#include "shared/intent/weights.h"

#define SPAN_MAX 6 /* longer phrases are told as phrases of this many tokens or more */
#define KEYS     (DF_TEXT_MAX_TOKENS * SPAN_MAX + DF_FACT_COUNT)
#define LEAST    0.005 /* weaker reasons are none */

static const char *const fact_names[DF_FACT_COUNT] = {
    [DF_FACT_PLATFORM] = "the platform",
    [DF_FACT_ROLE] = "the username",
    [DF_FACT_LENGTH] = "the line's length",
    [DF_FACT_QUESTION_MARK] = "a question mark, or none",
    [DF_FACT_MONEY] = "a currency sign, or none",
    [DF_FACT_NUMBER] = "a number, or none",
    [DF_FACT_MENTION] = "a mention, or none",
    [DF_FACT_FIRST] = "what the line begins with",
    [DF_FACT_CAPITALS] = "capital letters, or few",
    [DF_FACT_EMOJI] = "emoji, or none",
    [DF_FACT_OFFER] = "an amount that reads like an offer, or not",
    [DF_FACT_WHOLE] = "the line as a whole",
    [DF_FACT_KINDS] = "the kinds of words that meet",
};

/* What all features of one phrase, or one fact, add to the score together. */
struct sums {
    double weight[KEYS];
    uint8_t last[KEYS]; /* token; of phrases */
};

static size_t key_of(const struct df_feature_origin *o)
{
    size_t more = o->last > o->first ? (size_t)(o->last - o->first) : 0;

    if (o->fact != 0)
        return (size_t)DF_TEXT_MAX_TOKENS * SPAN_MAX + o->fact;
    return (size_t)o->first * SPAN_MAX + (more < SPAN_MAX ? more : SPAN_MAX - 1);
}

static void add(struct sums *sums, const struct df_feature_origin *origin, double weight)
{
    size_t key = key_of(origin);

    sums->weight[key] += weight;
    if (origin->last > sums->last[key])
        sums->last[key] = origin->last;
}

static void add_linear(struct sums *sums, const struct df_weights *w, const struct df_features *f)
{
    double scale = 0.5 * (double)w->slope * df_feature_norm(f) * (double)w->buyer_scale;

    for (size_t i = 0; i < f->count; i++)
        add(sums, &f->origins[i], scale * df_feature_value(f, i) * w->buyer[df_feature_slot(f, i)]);
}

/* A filter's peak speaks for the three tokens under it. */
static void add_net(struct sums *sums, const struct df_weights *w, const struct df_text *text)
{
    struct df_net_reply reply;
    size_t end = text->token_count - 1;

    df_net_read(&w->net, text, &reply);
    for (size_t f = 0; f < DF_NET_FILTERS; f++) {
        size_t at = reply.at[f]; /* 0 is the border before the first token */
        struct df_feature_origin here = {.first = (uint8_t)(at < 2         ? 0
                                                            : at - 2 > end ? end
                                                                           : at - 2),
                                         .last = (uint8_t)(at > end ? end : at)};
        if (reply.peaks[f] > 0)
            add(sums, &here,
                0.5 * (double)w->slope * (double)w->net.out[f] * (double)reply.peaks[f]);
    }
}

/* A quoted part of the message; what is no UTF-8 or no printable character becomes '?'. */
static void quote(char *out, size_t out_size, const char *message, size_t from, size_t to)
{
    size_t n = 0, room = out_size - 6; /* two quotes, an ellipsis, NUL */

    out[n++] = '"';
    while (from < to) {
        size_t taken;
        uint32_t c = df_utf8_read((const unsigned char *)message + from, to - from, &taken);
        bool is_odd = c < 0x20 || c == 0x7f || (c == 0xfffd && taken == 1);
        if (n + taken > room) {
            memcpy(out + n, "\xe2\x80\xa6", 3);
            n += 3;
            break;
        }
        if (is_odd)
            out[n++] = '?';
        else
            for (size_t k = 0; k < taken; k++)
                out[n++] = message[from + k];
        from += taken;
    }
    out[n++] = '"';
    out[n] = '\0';
}

static void describe(struct df_intent_reason *out, size_t key, double weight,
                     const struct sums *sums, const struct df_text *text, const char *message)
{
    const size_t facts = (size_t)DF_TEXT_MAX_TOKENS * SPAN_MAX;

    out->weight = weight;
    if (key >= facts) {
        (void)snprintf(out->text, sizeof out->text, "%s", fact_names[key - facts]);
        return;
    }
    quote(out->text, sizeof out->text, message, text->tokens[key / SPAN_MAX].from,
          text->tokens[sums->last[key]].to);
}

static size_t strongest(const struct sums *sums)
{
    size_t best = 0;

    for (size_t key = 1; key < KEYS; key++)
        if (fabs(sums->weight[key]) > fabs(sums->weight[best]))
            best = key;
    return best;
}

size_t df_weights_explain(const struct df_weights *w, const struct df_chat_line *line,
                          struct df_intent_reason *out, size_t max)
{
    struct df_feature_origin origins[DF_FEATURE_MAX];
    struct df_features features;
    struct df_text text;
    struct sums sums;
    enum df_role role = df_role_of(line->username, line->username_len);
    size_t n = 0;

    if (max == 0)
        return 0;
    if (role == DF_ROLE_HOST) {
        (void)snprintf(out->text, sizeof out->text, "the username is a host, moderator or bot");
        out->weight = -100; /* decides alone */
        return 1;
    }
    df_text_read(&text, line->message, line->message_len);
    if (text.token_count == 0)
        return 0;
    df_features_read_with_origins(&features, line, &text, role, w->common, origins);
    memset(&sums, 0, sizeof sums);
    add_linear(&sums, w, &features);
    add_net(&sums, w, &text);
    for (; n < max; n++) {
        size_t key = strongest(&sums);
        if (!(fabs(sums.weight[key]) >= LEAST))
            break;
        describe(&out[n], key, sums.weight[key], &sums, &text, line->message);
        sums.weight[key] = 0;
    }
    return n;
}
