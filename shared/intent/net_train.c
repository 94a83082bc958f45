/* shared/intent/net_train.c - gradient descent for the small network: AdaGrad, words and filters
 * dropped at random, weights averaged over the later steps. Buyer and message type are learned
 * together, because the type teaches the filters what the few buyers alone cannot. */
#include "shared/intent/net_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* All of these were chosen by cross-validation; see shared/intent/README.md. */
#define EPOCHS       5
#define AVERAGE_FROM 2 /* epoch, from 0 */
#define AVERAGES     4 /* snapshots per epoch */
#define RATE         0.05f
#define RATE_LAST    0.3f /* share of it left at the end */
#define DROP_TOKEN   0.1f
#define DROP_FILTER  0.3f
#define DROP_NAME    0.3f /* reads a known word by its letters and classes alone */
#define TYPE_SHARE   0.5f
#define RIDGE        1e-4f
#define RIDGE_NAMES  1e-3f
#define PLACES       (DF_NET_LINE_MAX + 2)

enum { D = DF_NET_DIMS, F = DF_NET_FILTERS, W = DF_NET_WIDTH, T = DF_NET_TYPES };

/* One array of parameters with the sums of AdaGrad and of the average. */
struct param {
    float *w, *squares, *sum;
    size_t count;
};

enum {
    P_NAMES,
    P_CHARS,
    P_CLASSES,
    P_FILTERS,
    P_BIAS,
    P_OUT,
    P_OUT_BIAS,
    P_TYPES,
    P_TYPE_BIAS,
    P_COUNT
};

static const size_t param_size[P_COUNT] = {(size_t)DF_NET_WORDS * D,
                                           (size_t)DF_NET_CHARS *D,
                                           (size_t)DF_NET_CLASSES *D,
                                           (size_t)W *D *F,
                                           F,
                                           F,
                                           1,
                                           (size_t)T *F,
                                           T};
static const float param_spread[P_COUNT] = {0, 0.05f, 0.1f, 0.2f, 0, 0.2f, 0, 0.1f, 0};

struct learner {
    struct param p[P_COUNT];
    uint64_t random;
    float rate;
    size_t averaged;
    float x[PLACES][D], gx[PLACES][D]; /* vectors of the line's tokens, and their gradients */
    float named[PLACES];               /* 0: this token's own name is dropped */
    uint8_t dropped[PLACES];
    float peak[F], mask[F];
    int at[F]; /* place of the peak; -1: asleep */
};

static float next_random(struct learner *l)
{
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return (float)(l->random >> 40) / (float)(1 << 24);
}

static size_t random_below(struct learner *l, size_t limit)
{
    size_t i = (size_t)(next_random(l) * (float)limit);
    return i < limit ? i : limit - 1;
}

static inline void step(struct param *p, size_t i, float gradient, float rate)
{
    p->squares[i] += gradient * gradient;
    p->w[i] -= rate * gradient / sqrtf(p->squares[i] + 1e-6f);
}

/* x = name + classes + letters */
static void embed(const struct param *p, const struct df_net_token *t, float named, float *x)
{
    const float *name = p[P_NAMES].w + (size_t)t->row * D;
    float share = t->char_count == 0 ? 0 : 1 / sqrtf((float)t->char_count);

    for (size_t d = 0; d < D; d++)
        x[d] = named * name[d];
    for (uint32_t c = t->classes; c != 0; c &= c - 1) {
        const float *of = p[P_CLASSES].w + (size_t)__builtin_ctz(c) * D;
        for (size_t d = 0; d < D; d++)
            x[d] += of[d];
    }
    for (size_t i = 0; i < t->char_count; i++) {
        const float *of = p[P_CHARS].w + (size_t)t->chars[i] * D;
        for (size_t d = 0; d < D; d++)
            x[d] += share * of[d];
    }
}

static void learn_token(struct learner *l, const struct df_net_token *t, float named,
                        const float *g)
{
    float share = t->char_count == 0 ? 0 : 1 / sqrtf((float)t->char_count);
    struct param *p = l->p;

    if (named > 0 && t->row != DF_NET_UNKNOWN)
        for (size_t d = 0; d < D; d++) {
            size_t i = (size_t)t->row * D + d;
            step(&p[P_NAMES], i, g[d] + RIDGE_NAMES * p[P_NAMES].w[i], l->rate);
        }
    for (uint32_t c = t->classes; c != 0; c &= c - 1)
        for (size_t d = 0; d < D; d++)
            step(&p[P_CLASSES], (size_t)__builtin_ctz(c) * D + d, g[d], l->rate);
    for (size_t k = 0; k < t->char_count; k++)
        for (size_t d = 0; d < D; d++) {
            size_t i = (size_t)t->chars[k] * D + d;
            step(&p[P_CHARS], i, share * g[d] + RIDGE_NAMES * p[P_CHARS].w[i], l->rate);
        }
}

/* The strongest response of every filter over the line's places. */
static void respond(struct learner *l, size_t places)
{
    const float *filters = l->p[P_FILTERS].w;
    float best[F];

    for (size_t f = 0; f < F; f++) {
        best[f] = 0;
        l->at[f] = -1;
    }
    for (size_t t = 0; t < places; t++) {
        float sum[F];
        memcpy(sum, l->p[P_BIAS].w, sizeof sum);
        for (size_t w = 0; w < W; w++) {
            if (t + w < 1 || t + w - 1 >= places)
                continue;
            for (size_t d = 0; d < D; d++) {
                float x = l->x[t + w - 1][d];
                const float *row = filters + (w * D + d) * F;
                for (size_t f = 0; f < F; f++)
                    sum[f] += x * row[f];
            }
        }
        for (size_t f = 0; f < F; f++)
            if (sum[f] > best[f]) {
                best[f] = sum[f];
                l->at[f] = (int)t;
            }
    }
    for (size_t f = 0; f < F; f++)
        l->peak[f] = best[f] * l->mask[f];
}

/* From the gradient of one filter's response back to filter and tokens. */
static void learn_filter(struct learner *l, size_t f, float gradient, size_t places)
{
    struct param *p = &l->p[P_FILTERS];

    step(&l->p[P_BIAS], f, gradient, l->rate);
    for (size_t w = 0; w < W; w++) {
        size_t t = (size_t)l->at[f] + w;
        if (t < 1 || t - 1 >= places)
            continue;
        t--;
        for (size_t d = 0; d < D; d++) {
            size_t i = (w * D + d) * F + f;
            l->gx[t][d] += gradient * p->w[i];
            step(p, i, gradient * l->x[t][d] + RIDGE * p->w[i], l->rate);
        }
    }
}

static void softmax_gradient(const float *scores, int truth, float weight, float *out)
{
    float most = scores[0], sum = 0;

    for (int k = 1; k < T; k++)
        most = fmaxf(most, scores[k]);
    for (int k = 0; k < T; k++)
        sum += out[k] = expf(scores[k] - most);
    for (int k = 0; k < T; k++)
        out[k] = weight * (out[k] / sum - (k == truth ? 1.0f : 0.0f));
}

/* Gradients of the two outputs at the line as it was read. */
static float judge(const struct learner *l, bool is_buyer, int type, float weight, float *types)
{
    float score = l->p[P_OUT_BIAS].w[0], scores[T];

    memcpy(scores, l->p[P_TYPE_BIAS].w, sizeof scores);
    for (size_t f = 0; f < F; f++) {
        score += l->p[P_OUT].w[f] * l->peak[f];
        for (size_t k = 0; k < T; k++)
            scores[k] += l->p[P_TYPES].w[k * F + f] * l->peak[f];
    }
    softmax_gradient(scores, type, TYPE_SHARE * weight, types);
    return weight * (1 / (1 + expf(-score)) - (is_buyer ? 1.0f : 0.0f));
}

static void read_line(struct learner *l, const struct df_net_line *line)
{
    for (size_t t = 0; t < line->count; t++) {
        bool is_border = t == 0 || t + 1 == line->count;
        l->dropped[t] = !is_border && next_random(l) < DROP_TOKEN;
        l->named[t] = is_border || next_random(l) >= DROP_NAME ? 1 : 0;
        memset(l->gx[t], 0, sizeof l->gx[t]);
        if (l->dropped[t])
            memset(l->x[t], 0, sizeof l->x[t]);
        else
            embed(l->p, &line->tokens[t], l->named[t], l->x[t]);
    }
    for (size_t f = 0; f < F; f++)
        l->mask[f] = next_random(l) < DROP_FILTER ? 0 : 1 / (1 - DROP_FILTER);
}

static void learn_line(struct learner *l, const struct df_net_line *line, bool is_buyer, int type,
                       float weight)
{
    struct param *out = &l->p[P_OUT], *types = &l->p[P_TYPES];
    float buyer, of_type[T];

    read_line(l, line);
    respond(l, line->count);
    buyer = judge(l, is_buyer, type, weight, of_type);
    for (size_t f = 0; f < F; f++) {
        float g = buyer * out->w[f];
        for (size_t k = 0; k < T; k++)
            g += of_type[k] * types->w[k * F + f];
        if (l->at[f] < 0 || l->mask[f] == 0)
            continue;
        step(out, f, buyer * l->peak[f] + RIDGE * out->w[f], l->rate);
        for (size_t k = 0; k < T; k++)
            step(types, k * F + f, of_type[k] * l->peak[f] + RIDGE * types->w[k * F + f], l->rate);
        learn_filter(l, f, g * l->mask[f], line->count);
    }
    step(&l->p[P_OUT_BIAS], 0, buyer, l->rate);
    for (size_t k = 0; k < T; k++)
        step(&l->p[P_TYPE_BIAS], k, of_type[k], l->rate);
    for (size_t t = 0; t < line->count; t++)
        if (!l->dropped[t])
            learn_token(l, &line->tokens[t], l->named[t], l->gx[t]);
}

static void take_snapshot(struct learner *l)
{
    l->averaged++;
    for (size_t k = 0; k < P_COUNT; k++)
        for (size_t i = 0; i < l->p[k].count; i++)
            l->p[k].sum[i] += l->p[k].w[i];
}

static void learn_all(struct learner *l, const struct df_net_lines *lines,
                      const struct df_dataset *set, const float *weight, uint32_t *rows,
                      size_t count)
{
    for (size_t epoch = 0; epoch < EPOCHS; epoch++) {
        l->rate = RATE * (1 - (1 - RATE_LAST) * (float)epoch / EPOCHS);
        for (size_t i = count; i > 1; i--) {
            size_t k = random_below(l, i);
            uint32_t other = rows[k];
            rows[k] = rows[i - 1];
            rows[i - 1] = other;
        }
        for (size_t i = 0; i < count; i++) {
            const struct df_example *row = &set->rows[rows[i]];
            learn_line(l, &lines->lines[rows[i]], row->is_buyer, (int)row->type, weight[rows[i]]);
            if (epoch >= AVERAGE_FROM && (i + 1) * AVERAGES / count != i * AVERAGES / count)
                take_snapshot(l);
        }
    }
    for (size_t k = 0; k < P_COUNT && l->averaged > 0; k++)
        for (size_t i = 0; i < l->p[k].count; i++)
            l->p[k].w[i] = l->p[k].sum[i] / (float)l->averaged;
}

static float largest(const float *values, size_t count)
{
    float most = 1e-9f;

    for (size_t i = 0; i < count; i++)
        most = fmaxf(most, fabsf(values[i]));
    return most;
}

/* What a token adds to the filters of its neighbours and of itself. */
static void response_of(const struct param *p, const struct df_net_token *t, float *out)
{
    float x[D];

    embed(p, t, 1, x);
    for (size_t w = 0; w < W; w++)
        for (size_t f = 0; f < F; f++) {
            float sum = 0;
            for (size_t d = 0; d < D; d++)
                sum += x[d] * p[P_FILTERS].w[(w * D + d) * F + f];
            out[w * F + f] = sum;
        }
}

/* A filter looks at the token before through its first third, so that is what a token adds to the
 * place behind it. */
static void put_responses(struct df_net *net, const struct learner *l,
                          const struct df_net_lines *lines)
{
    float most = largest(l->p[P_BIAS].w, F), all[W * F];

    for (size_t row = 0; row < DF_NET_WORDS; row++) {
        if (lines->words[row] == NULL)
            continue;
        response_of(l->p, lines->words[row], all);
        most = fmaxf(most, largest(all, (size_t)W * F));
    }
    net->response_scale = most / 8000; /* bias and three of them stay below 32767 */
    for (size_t row = 0; row < DF_NET_WORDS; row++) {
        if (lines->words[row] == NULL)
            continue;
        response_of(l->p, lines->words[row], all);
        for (size_t i = 0; i < (size_t)W * F; i++)
            net->responses[row].of[i / F][i % F] = (int16_t)lroundf(all[i] / net->response_scale);
    }
    for (size_t f = 0; f < F; f++)
        net->bias[f] = (int16_t)lroundf(l->p[P_BIAS].w[f] / net->response_scale);
}

static void put_net(struct df_net *net, const struct learner *l, const struct df_net_lines *lines)
{
    memset(net, 0, sizeof *net);
    memcpy(net->keys, lines->keys, sizeof net->keys);
    memcpy(net->rows, lines->rows, sizeof net->rows);
    put_responses(net, l, lines);
    net->chars_scale = largest(l->p[P_CHARS].w, l->p[P_CHARS].count) / INT8_MAX;
    for (size_t i = 0; i < l->p[P_CHARS].count; i++)
        net->chars[i / D][i % D] = (int8_t)lroundf(l->p[P_CHARS].w[i] / net->chars_scale);
    memcpy(net->classes, l->p[P_CLASSES].w, sizeof net->classes);
    memcpy(net->filters, l->p[P_FILTERS].w, sizeof net->filters);
    memcpy(net->out, l->p[P_OUT].w, sizeof net->out);
    net->out_bias = l->p[P_OUT_BIAS].w[0];
    memcpy(net->types, l->p[P_TYPES].w, sizeof net->types);
    memcpy(net->type_bias, l->p[P_TYPE_BIAS].w, sizeof net->type_bias);
}

static void free_learner(struct learner *l)
{
    for (size_t k = 0; l != NULL && k < P_COUNT; k++) {
        free(l->p[k].w);
        free(l->p[k].squares);
        free(l->p[k].sum);
    }
    free(l);
}

static struct learner *new_learner(void)
{
    struct learner *l = calloc(1, sizeof *l);

    if (l == NULL)
        return NULL;
    l->random = 88172645463325252u;
    for (size_t k = 0; k < P_COUNT; k++) {
        struct param *p = &l->p[k];
        p->count = param_size[k];
        p->w = calloc(p->count, sizeof *p->w);
        p->squares = calloc(p->count, sizeof *p->squares);
        p->sum = calloc(p->count, sizeof *p->sum);
        if (p->w == NULL || p->squares == NULL || p->sum == NULL) {
            free_learner(l);
            return NULL;
        }
        for (size_t i = 0; param_spread[k] > 0 && i < p->count; i++)
            p->w[i] = (next_random(l) - 0.5f) * 2 * param_spread[k];
    }
    return l;
}

enum df_code df_net_train(struct df_net *out, const struct df_net_lines *lines,
                          const struct df_dataset *set, const uint8_t *use, const float *weight,
                          struct df_error *err)
{
    struct learner *l = new_learner();
    uint32_t *rows = calloc(set->count + 1, sizeof *rows);
    enum df_code rc = DF_OK;
    size_t count = 0;

    if (l == NULL || rows == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < set->count; i++)
        if (use[i] && lines->lines[i].count > 0)
            rows[count++] = (uint32_t)i;
    learn_all(l, lines, set, weight, rows, count);
    put_net(out, l, lines);
out:
    free_learner(l);
    free(rows);
    return rc;
}
