/* shared/intent/fit.c - the linear half of the model: features to liblinear and back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/trainer.h"

#define BUYER_COST 300.0 /* liblinear's C; these were chosen by --evaluate */
#define TYPE_COST  60.0
#define EPS        0.1 /* liblinear stops there; 0.01 takes three times as long for the same F1 */
#define COMMON_MIN 25 /* a word in this many lines keeps its name in patterns */

void *trainer_alloc(size_t count, size_t size)
{
    void *p = calloc(count == 0 ? 1 : count, size);

    if (p == NULL) { /* a build tool: there is nothing better to do */
        (void)fputs("intent_train: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return p;
}

/* Frequent lines count more, but not so much that they drown the rest. */
static int copies_of(const struct df_example *row)
{
    return (int)(sqrt((double)row->weight) + 0.5);
}

static void find_common_words(struct trainer *t)
{
    uint16_t *lines = trainer_alloc(1u << DF_COMMON_BITS, sizeof *lines);
    struct df_text text;

    for (size_t i = 0; i < t->set.count; i++) {
        df_text_read(&text, t->set.rows[i].line.message, t->set.rows[i].line.message_len);
        for (size_t k = 0; k < text.token_count; k++)
            if (text.tokens[k].kind == DF_TOKEN_WORD)
                lines[df_common_bit(text.tokens[k].hash)]++;
    }
    for (uint32_t b = 0; b < 1u << DF_COMMON_BITS; b++)
        if (lines[b] >= COMMON_MIN)
            t->common[b / 8] = (unsigned char)(t->common[b / 8] | 1u << (b % 8));
    free(lines);
}

static int by_index(const void *a, const void *b)
{
    return ((const struct feature_node *)a)->index - ((const struct feature_node *)b)->index;
}

/* One row's features for liblinear, `fold` bits of the slots left out, the bias last. */
static struct feature_node *new_nodes(const struct df_features *f, int fold)
{
    struct feature_node *nodes = trainer_alloc(f->count + 2, sizeof *nodes);
    double norm = df_feature_norm(f);

    for (size_t k = 0; k < f->count; k++)
        nodes[k] = (struct feature_node){(int)(df_feature_slot(f, k) >> fold) + 1,
                                         norm * df_feature_value(f, k)};
    qsort(nodes, f->count, sizeof *nodes, by_index);
    nodes[f->count] = (struct feature_node){(int)(DF_FEATURE_SLOTS >> fold) + 1, 1};
    nodes[f->count + 1].index = -1;
    return nodes;
}

static void read_features(struct trainer *t)
{
    struct df_features f;
    struct df_text text;

    t->nodes = trainer_alloc(t->set.count, sizeof *t->nodes);
    t->type_nodes = trainer_alloc(t->set.count, sizeof *t->type_nodes);
    t->weight = trainer_alloc(t->set.count, sizeof *t->weight);
    for (size_t i = 0; i < t->set.count; i++) {
        const struct df_chat_line *line = &t->set.rows[i].line;
        enum df_role role = df_role_of(line->username, line->username_len);
        t->weight[i] = (float)copies_of(&t->set.rows[i]);
        if (role == DF_ROLE_HOST)
            continue;
        df_text_read(&text, line->message, line->message_len);
        df_features_read(&f, line, &text, role, t->common);
        t->nodes[i] = new_nodes(&f, 0);
        if (t->set.rows[i].is_buyer)
            t->type_nodes[i] = new_nodes(&f, DF_TYPE_FOLD);
    }
}

static void be_quiet(const char *text)
{
    (void)text;
}

bool trainer_read(struct trainer *t, const char *folder)
{
    struct df_error err;

    if (df_dataset_read(&t->set, folder, &err) != DF_OK ||
        df_dataset_cluster(&t->set, &err) != DF_OK) {
        (void)fprintf(stderr, "intent_train: %s\n", err.msg);
        return false;
    }
    set_print_string_function(be_quiet);
    t->inner_fold = trainer_alloc(t->set.count, 1);
    for (size_t i = 0; i < t->set.count; i++)
        t->inner_fold[i] = (uint8_t)(df_hash_mix(77, t->set.rows[i].cluster * 7 + 3) % INNER_FOLDS);
    find_common_words(t);
    read_features(t);
    trainer_read_amounts(t);
    t->lines = df_net_lines_new(&t->set);
    if (t->lines == NULL)
        (void)fputs("intent_train: out of memory\n", stderr);
    return t->lines != NULL;
}

void trainer_release(struct trainer *t)
{
    for (size_t i = 0; i < t->set.count && t->nodes != NULL; i++) {
        free(t->nodes[i]);
        free(t->type_nodes[i]);
    }
    free(t->nodes);
    free(t->type_nodes);
    free(t->weight);
    free(t->inner_fold);
    trainer_release_amounts(t);
    df_net_lines_free(t->lines);
    df_dataset_release(&t->set);
}

static struct model *fit(const struct trainer *t, const uint8_t *use,
                         struct feature_node *const *nodes, bool is_type, struct parameter how)
{
    struct problem p = {.n = nodes == t->nodes ? (int)DF_FEATURE_SLOTS + 1 : (int)DF_TYPE_SLOTS + 1,
                        .bias = 1};
    size_t room = 0;
    struct model *m;

    for (size_t i = 0; i < t->set.count; i++)
        room += (size_t)copies_of(&t->set.rows[i]);
    p.y = trainer_alloc(room, sizeof *p.y);
    p.x = trainer_alloc(room, sizeof *p.x);
    for (size_t i = 0; i < t->set.count; i++) {
        const struct df_example *row = &t->set.rows[i];
        if (nodes[i] == NULL || !use[i])
            continue;
        for (int k = 0; k < copies_of(row); k++, p.l++) {
            p.x[p.l] = nodes[i];
            p.y[p.l] = is_type ? (double)row->type : row->is_buyer;
        }
    }
    m = train(&p, &how);
    free(p.x);
    free(p.y);
    return m;
}

struct model *trainer_fit_buyer(const struct trainer *t, const uint8_t *use)
{
    return fit(t, use, t->nodes, false,
               (struct parameter){.solver_type = L2R_LR, .eps = EPS, .C = BUYER_COST});
}

struct model *trainer_fit_type(const struct trainer *t, const uint8_t *use)
{
    return fit(t, use, t->type_nodes, true,
               (struct parameter){.solver_type = L2R_LR, .eps = EPS, .C = TYPE_COST});
}

static int label_at(const struct model *m, int label)
{
    for (int k = 0; k < get_nr_class(m); k++)
        if (m->label[k] == label)
            return k;
    return -1;
}

double trainer_linear_score(const struct model *m, const struct feature_node *x)
{
    int at = label_at(m, 1);
    double sum = get_decfun_bias(m, at);

    for (; x->index != -1 && x->index <= (int)DF_FEATURE_SLOTS; x++)
        sum += x->value * get_decfun_coef(m, x->index, at);
    return sum;
}

static int quantised(double w, double scale, int limit)
{
    int q = (int)lround(w / scale);
    return q > limit ? limit : q < -limit ? -limit : q;
}

static double largest(const struct model *m, int label, int slots)
{
    double most = 1e-9;

    for (int i = 1; i <= slots; i++)
        most = fmax(most, fabs(get_decfun_coef(m, i, label)));
    return most;
}

void trainer_put_buyer(struct df_weights *w, const struct model *m)
{
    int at = label_at(m, 1);
    double scale = largest(m, at, (int)DF_FEATURE_SLOTS) / INT16_MAX;

    w->buyer_scale = (float)scale;
    w->buyer_bias = (float)get_decfun_bias(m, at);
    for (uint32_t i = 0; i < DF_FEATURE_SLOTS; i++)
        w->buyer[i] = (int16_t)quantised(get_decfun_coef(m, (int)i + 1, at), scale, INT16_MAX);
}

void trainer_put_types(struct df_weights *w, const struct model *m)
{
    for (int type = 0; type < DF_WEIGHTS_TYPES; type++) {
        int at = label_at(m, type);
        if (at < 0) { /* no such row was trained on */
            w->type_bias[type] = -100;
            continue;
        }
        double scale = largest(m, at, (int)DF_TYPE_SLOTS) / INT8_MAX;
        w->type_scale[type] = (float)scale;
        w->type_bias[type] = (float)get_decfun_bias(m, at);
        for (uint32_t i = 0; i < DF_TYPE_SLOTS; i++)
            w->types[i][type] =
                (int8_t)quantised(get_decfun_coef(m, (int)i + 1, at), scale, INT8_MAX);
    }
}
