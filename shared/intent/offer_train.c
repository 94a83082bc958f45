/* shared/intent/offer_train.c - learns which amounts are offers, and what an offer says of the
 * line. The score it leans on is always one of a fit that had not seen the line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/metrics.h"
#include "shared/intent/trainer.h"

#define OFFER_COST    60.0 /* liblinear's C; chosen by --evaluate */
#define OFFER_EPS     0.01
#define LIFT_COST     1.0
#define INVENTED_MOST 0.028 /* of rows without a price: how many may get one, were all buyers */
#define NODE_SCORE    ((int)DF_OFFER_SLOTS + 1)
#define NODE_BIAS     ((int)DF_OFFER_SLOTS + 2)

/* One amount of one row. */
struct trainer_amount {
    size_t row;
    int64_t cents;
    struct feature_node *nodes; /* the last three: score, bias, the end */
    size_t count;
    double offer; /* log-odds by a fit that had not seen the row */
};

static int by_index(const void *a, const void *b)
{
    return ((const struct feature_node *)a)->index - ((const struct feature_node *)b)->index;
}

static struct feature_node *new_nodes(const struct df_offer *o)
{
    struct feature_node *nodes = trainer_alloc(o->count + 3, sizeof *nodes);
    double norm = df_offer_norm(o);

    for (size_t i = 0; i < o->count; i++)
        nodes[i] = (struct feature_node){o->slots[i] + 1, norm};
    qsort(nodes, o->count, sizeof *nodes, by_index);
    nodes[o->count] = (struct feature_node){NODE_SCORE, 0};
    nodes[o->count + 1] = (struct feature_node){NODE_BIAS, 1};
    nodes[o->count + 2].index = -1;
    return nodes;
}

void trainer_read_amounts(struct trainer *t)
{
    t->amounts = trainer_alloc(t->set.count * DF_AMOUNTS_MAX, sizeof *t->amounts);
    for (size_t i = 0; i < t->set.count; i++) {
        struct df_amount amounts[DF_AMOUNTS_MAX];
        struct df_text text;
        size_t n;
        if (t->nodes[i] == NULL)
            continue;
        df_text_read(&text, t->set.rows[i].line.message, t->set.rows[i].line.message_len);
        n = df_amounts_find(&text, amounts);
        for (size_t k = 0; k < n; k++) {
            struct trainer_amount *a = &t->amounts[t->amount_count++];
            struct df_offer o;
            df_offer_read(&o, &text, amounts, n, k);
            *a = (struct trainer_amount){
                .row = i, .cents = amounts[k].cents, .nodes = new_nodes(&o), .count = o.count};
        }
    }
}

void trainer_release_amounts(struct trainer *t)
{
    for (size_t i = 0; i < t->amount_count; i++)
        free(t->amounts[i].nodes);
    free(t->amounts);
}

/* How liblinear puts it: the sign of a two-class model is that of its first label. */
static double coefficient(const struct model *m, int index)
{
    return m->label[0] == 1 ? m->w[index - 1] : -m->w[index - 1];
}

static void fit_head(const struct trainer *t, const uint8_t *use, struct df_offer_head *head)
{
    struct parameter how = {.solver_type = L2R_LR, .eps = OFFER_EPS, .C = OFFER_COST};
    struct problem p = {.n = NODE_BIAS, .bias = 1};
    struct model *m;

    p.y = trainer_alloc(t->amount_count, sizeof *p.y);
    p.x = trainer_alloc(t->amount_count, sizeof *p.x);
    for (size_t i = 0; i < t->amount_count; i++) {
        if (!use[t->amounts[i].row])
            continue;
        p.x[p.l] = t->amounts[i].nodes;
        p.y[p.l++] = t->set.rows[t->amounts[i].row].value_cents == t->amounts[i].cents;
    }
    m = train(&p, &how);
    for (int i = 0; i < (int)DF_OFFER_SLOTS; i++)
        head->weights[i] = (float)coefficient(m, i + 1);
    head->of_score = (float)coefficient(m, NODE_SCORE);
    head->bias = (float)coefficient(m, NODE_BIAS);
    free_and_destroy_model(&m);
    free(p.x);
    free(p.y);
}

static double apply(const struct df_offer_head *head, const struct trainer_amount *a)
{
    double sum = (double)head->bias;

    for (size_t i = 0; i < a->count; i++)
        sum += (double)head->weights[a->nodes[i].index - 1] * a->nodes[i].value;
    return sum + (double)head->of_score * a->nodes[a->count].value;
}

/* The likeliest offer of the line whose amounts begin at `first`; the next line's begin at *next.
 */
static size_t best_of(const struct trainer *t, size_t first, size_t *next)
{
    size_t best = first, i = first;

    for (; i < t->amount_count && t->amounts[i].row == t->amounts[first].row; i++)
        if (t->amounts[i].offer >= t->amounts[best].offer)
            best = i;
    *next = i;
    return best;
}

/* What score and offer together say of the line: a fit with two features. */
static void fit_lift(const struct trainer *t, const uint8_t *use, const double *score,
                     struct df_offer_head *head)
{
    struct parameter how = {.solver_type = L2R_LR, .eps = OFFER_EPS, .C = LIFT_COST};
    struct problem p = {.n = 3, .bias = 1};
    struct feature_node *nodes = trainer_alloc(t->amount_count * 4, sizeof *nodes);
    struct model *m;

    p.y = trainer_alloc(t->amount_count, sizeof *p.y);
    p.x = trainer_alloc(t->amount_count, sizeof *p.x);
    for (size_t i = 0, next; i < t->amount_count; i = next) {
        const struct trainer_amount *a = &t->amounts[best_of(t, i, &next)];
        struct feature_node *x = &nodes[(size_t)p.l * 4];
        if (!use[a->row])
            continue;
        x[0] = (struct feature_node){1, score[a->row]};
        x[1] = (struct feature_node){2, a->offer};
        x[2] = (struct feature_node){3, 1};
        x[3].index = -1;
        p.x[p.l] = x;
        p.y[p.l++] = t->set.rows[a->row].is_buyer;
    }
    m = train(&p, &how);
    for (int i = 0; i < 3; i++)
        head->lift[i] = (float)coefficient(m, i + 1);
    free_and_destroy_model(&m);
    free(nodes);
    free(p.x);
    free(p.y);
}

/* The least log-odds that invents few prices. */
static double find_least(const struct trainer *t, const uint8_t *use)
{
    struct df_scored *rows = trainer_alloc(t->amount_count, sizeof *rows);
    size_t n = 0, none = 0, invented = 0;
    double least;

    for (size_t i = 0; i < t->set.count; i++)
        none += use[i] && t->set.rows[i].value_cents == DF_VALUE_NONE;
    for (size_t i = 0, next; i < t->amount_count; i = next) {
        const struct trainer_amount *a = &t->amounts[best_of(t, i, &next)];
        if (use[a->row] && t->set.rows[a->row].value_cents == DF_VALUE_NONE)
            rows[n++] = (struct df_scored){a->offer, false};
    }
    df_metric_sort(rows, n);
    least = 0;
    for (; invented < n && (double)(invented + 1) <= INVENTED_MOST * (double)none; invented++)
        least = rows[invented].score;
    free(rows);
    return fmin(fmax(least, -4), 4);
}

void trainer_fit_offers(const struct trainer *t, const uint8_t *use, double *score,
                        struct df_offer_head *head)
{
    uint8_t *part = trainer_alloc(t->set.count, 1);

    for (size_t i = 0; i < t->amount_count; i++)
        t->amounts[i].nodes[t->amounts[i].count].value = score[t->amounts[i].row];
    for (int fold = 0; fold < INNER_FOLDS; fold++) {
        for (size_t i = 0; i < t->set.count; i++)
            part[i] = use[i] && t->inner_fold[i] != fold;
        fit_head(t, part, head);
        for (size_t i = 0; i < t->amount_count; i++)
            if (t->inner_fold[t->amounts[i].row] == fold)
                t->amounts[i].offer = apply(head, &t->amounts[i]);
    }
    fit_lift(t, use, score, head);
    head->least = (float)find_least(t, use);
    fit_head(t, use, head);
    for (size_t i = 0, next; i < t->amount_count; i = next) {
        const struct trainer_amount *a = &t->amounts[best_of(t, i, &next)];
        score[a->row] = df_offer_lift(head, score[a->row], a->offer);
    }
    free(part);
}
