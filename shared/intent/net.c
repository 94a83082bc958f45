/* shared/intent/net.c - reads a line with the trained network. */
#include "shared/intent/net.h"

#include <math.h>
#include <string.h>

#define GRAM_MIN 3
#define GRAM_MAX 4

uint32_t df_net_name(const struct df_text *text, const struct df_token *token)
{
    uint32_t digits = 0, marks = 0;

    if (token->kind != DF_TOKEN_NUMBER)
        return token->hash;
    for (size_t i = token->start; i < token->end; i++) {
        if (text->chars[i] == '.' || text->chars[i] == ',')
            marks = 1;
        else if (digits < 6)
            digits++;
    }
    return 0x1000u | digits << 4 | marks << 2;
}

size_t df_net_row(const struct df_net *net, uint32_t name)
{
    size_t at = df_net_place(name);

    for (size_t steps = 0; steps < 64; steps++, at = (at + 1) % DF_NET_INDEX) {
        if (net->rows[at] == 0)
            break;
        if (net->keys[at] == name)
            return net->rows[at] < DF_NET_WORDS ? net->rows[at] : DF_NET_UNKNOWN;
    }
    return DF_NET_UNKNOWN;
}

uint32_t df_net_classes(const struct df_token *token)
{
    return (token->classes & 0xffffffu) | 1u << (24 + token->kind);
}

size_t df_net_chars(const struct df_text *text, const struct df_token *token, uint16_t *slots)
{
    size_t len = (size_t)(token->end - token->start) + 2, n = 0; /* with both borders */

    if (token->kind != DF_TOKEN_WORD)
        return 0;
    for (size_t i = 0; i + GRAM_MIN <= len; i++) {
        uint32_t h = 0x811c9dc5u;
        for (size_t k = 1; k <= GRAM_MAX && i + k <= len; k++) {
            size_t at = i + k - 1;
            uint32_t c = at == 0 || at + 1 == len ? ' ' : text->chars[token->start + at - 1];
            h = df_hash_mix(h, c);
            if (k < GRAM_MIN)
                continue;
            if (n == DF_NET_CHARS_MAX)
                return n;
            slots[n++] = (uint16_t)(h * 0x9e3779b1u >> 18);
        }
    }
    return n;
}

/* What a word that training has not seen adds: from its classes and its letters. */
static void respond_to_unknown(const struct df_net *net, const struct df_text *text,
                               const struct df_token *token, struct df_net_response *out)
{
    float x[DF_NET_DIMS] = {0}, sum[DF_NET_FILTERS];
    uint32_t classes = df_net_classes(token);
    uint16_t slots[DF_NET_CHARS_MAX];
    size_t n = df_net_chars(text, token, slots);
    float share = n == 0 ? 0 : net->chars_scale / sqrtf((float)n);

    for (size_t i = 0; i < n; i++)
        for (size_t d = 0; d < DF_NET_DIMS; d++)
            x[d] += share * net->chars[slots[i]][d];
    for (; classes != 0; classes &= classes - 1) {
        const float *of = net->classes[__builtin_ctz(classes)];
        for (size_t d = 0; d < DF_NET_DIMS; d++)
            x[d] += of[d];
    }
    for (size_t w = 0; w < DF_NET_WIDTH; w++) {
        memset(sum, 0, sizeof sum);
        for (size_t d = 0; d < DF_NET_DIMS; d++)
            for (size_t f = 0; f < DF_NET_FILTERS; f++)
                sum[f] += x[d] * net->filters[w][d][f];
        for (size_t f = 0; f < DF_NET_FILTERS; f++) {
            float scaled = sum[f] / net->response_scale;
            out->of[w][f] = (int16_t)(scaled > 8000 ? 8000 : scaled < -8000 ? -8000 : scaled);
        }
    }
}

static const struct df_net_response *response_to(const struct df_net *net,
                                                 const struct df_text *text, size_t token,
                                                 struct df_net_response *room)
{
    size_t row = df_net_row(net, df_net_name(text, &text->tokens[token]));

    if (row == DF_NET_UNKNOWN) {
        respond_to_unknown(net, text, &text->tokens[token], room);
        return room;
    }
    return &net->responses[row];
}

/* Adds up the three tokens under the filters and keeps what is stronger than before. */
static void slide(const struct df_net *net, const struct df_net_response *before,
                  const struct df_net_response *here, const struct df_net_response *behind,
                  size_t at, int16_t *peaks, int16_t *places)
{
    for (size_t f = 0; f < DF_NET_FILTERS; f++) {
        int16_t sum =
            (int16_t)(net->bias[f] + before->of[0][f] + here->of[1][f] + behind->of[2][f]);
        int16_t more = (int16_t) - (sum > peaks[f]);
        peaks[f] = (int16_t)((sum & more) | (peaks[f] & ~more));
        places[f] = (int16_t)(((int16_t)at & more) | (places[f] & ~more));
    }
}

void df_net_read(const struct df_net *net, const struct df_text *text, struct df_net_reply *out)
{
    static const struct df_net_response nothing;
    struct df_net_response room[3];
    const struct df_net_response *before = &nothing, *here, *behind;
    int16_t peaks[DF_NET_FILTERS] = {0}, places[DF_NET_FILTERS] = {0};

    here = &net->responses[DF_NET_BEGIN];
    for (size_t t = 0; t <= text->token_count + 1; t++) {
        if (t < text->token_count)
            behind = response_to(net, text, t, &room[t % 3]);
        else
            behind = t == text->token_count ? &net->responses[DF_NET_END] : &nothing;
        slide(net, before, here, behind, t, peaks, places);
        before = here;
        here = behind;
    }
    for (size_t f = 0; f < DF_NET_FILTERS; f++) {
        out->peaks[f] = (float)peaks[f] * net->response_scale;
        out->at[f] = (uint8_t)places[f];
    }
}

double df_net_buyer(const struct df_net *net, const struct df_net_reply *reply)
{
    float sum = net->out_bias;

    for (size_t f = 0; f < DF_NET_FILTERS; f++)
        sum += net->out[f] * reply->peaks[f];
    return (double)sum;
}

double df_net_type(const struct df_net *net, const struct df_net_reply *reply, int type)
{
    float sum = net->type_bias[type];

    for (size_t f = 0; f < DF_NET_FILTERS; f++)
        sum += net->types[type][f] * reply->peaks[f];
    return (double)sum;
}
