/* shared/intent/metrics.c - F1, AUC, calibration. */
#include "shared/intent/metrics.h"

#include <math.h>
#include <stdlib.h>

void df_counts_add(struct df_counts *counts, bool truth, bool said)
{
    if (truth && said)
        counts->hit++;
    else if (said)
        counts->false_alarm++;
    else if (truth)
        counts->miss++;
    else
        counts->rest++;
}

static double ratio(size_t part, size_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

double df_counts_precision(const struct df_counts *counts)
{
    return ratio(counts->hit, counts->hit + counts->false_alarm);
}

double df_counts_recall(const struct df_counts *counts)
{
    return ratio(counts->hit, counts->hit + counts->miss);
}

double df_counts_f1(const struct df_counts *counts)
{
    return ratio(2 * counts->hit, 2 * counts->hit + counts->false_alarm + counts->miss);
}

static int by_score_descending(const void *a, const void *b)
{
    const struct df_scored *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (int)y->truth - (int)x->truth;
}

void df_metric_sort(struct df_scored *rows, size_t count)
{
    qsort(rows, count, sizeof *rows, by_score_descending);
}

double df_metric_auc(struct df_scored *rows, size_t count)
{
    double positives = 0, area = 0, total;

    qsort(rows, count, sizeof *rows, by_score_descending);
    for (size_t i = 0; i < count;) {
        double same_true = 0, same_false = 0;
        size_t k = i;
        for (; k < count && rows[k].score == rows[i].score; k++) {
            same_true += rows[k].truth;
            same_false += !rows[k].truth;
        }
        area += same_false * (positives + same_true / 2);
        positives += same_true;
        i = k;
    }
    total = positives * ((double)count - positives);
    return total > 0 ? area / total : 0;
}

double df_metric_best_cut(struct df_scored *rows, size_t count, double precision_min)
{
    struct df_counts c = {0};
    double best = -1, cut = 0.5;
    bool is_precise = false;

    qsort(rows, count, sizeof *rows, by_score_descending);
    for (size_t i = 0; i < count; i++)
        c.miss += rows[i].truth;
    for (size_t i = 0; i < count; i++) {
        bool now_precise;
        c.hit += rows[i].truth;
        c.miss -= rows[i].truth;
        c.false_alarm += !rows[i].truth;
        if (i + 1 < count && rows[i + 1].score == rows[i].score)
            continue;
        now_precise = df_counts_precision(&c) >= precision_min;
        if (now_precise < is_precise || (now_precise == is_precise && df_counts_f1(&c) <= best))
            continue;
        is_precise = now_precise;
        best = df_counts_f1(&c);
        cut = i + 1 < count ? (rows[i].score + rows[i + 1].score) / 2 : rows[i].score;
    }
    return cut;
}

double df_metric_ece(const struct df_scored *rows, size_t count)
{
    double sum[10] = {0}, truth[10] = {0}, error = 0;

    for (size_t i = 0; i < count; i++) {
        int bin = (int)(rows[i].score * 10);
        bin = bin < 0 ? 0 : bin > 9 ? 9 : bin;
        sum[bin] += rows[i].score;
        truth[bin] += rows[i].truth;
    }
    for (int b = 0; b < 10; b++)
        error += fabs(sum[b] - truth[b]);
    return count == 0 ? 0 : error / (double)count;
}

/* Newton's method with a little ridge; two parameters, so the Hessian is inverted by hand. */
void df_metric_platt(const struct df_scored *rows, size_t count, double *slope, double *offset)
{
    double a = 1, b = 0;

    for (int step = 0; step < 50; step++) {
        double ga = 0, gb = 0, haa = 1e-6, hab = 0, hbb = 1e-6, det, da, db;
        for (size_t i = 0; i < count; i++) {
            double p = 1 / (1 + exp(-(a * rows[i].score + b)));
            double wrong = p - rows[i].truth, w = p * (1 - p);
            ga += wrong * rows[i].score;
            gb += wrong;
            haa += w * rows[i].score * rows[i].score;
            hab += w * rows[i].score;
            hbb += w;
        }
        det = haa * hbb - hab * hab;
        if (!(det > 0))
            break;
        da = (hbb * ga - hab * gb) / det;
        db = (haa * gb - hab * ga) / det;
        a -= da;
        b -= db;
        if (fabs(da) + fabs(db) < 1e-9)
            break;
    }
    if (!isfinite(a) || !isfinite(b) || a <= 0) { /* no usable rows: leave the score alone */
        a = 1;
        b = 0;
    }
    *slope = a;
    *offset = b;
}
