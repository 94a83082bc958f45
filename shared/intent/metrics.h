/* shared/intent/metrics.h - how good a set of scores is, for the trainer. Pure. */
#ifndef SHARED_INTENT_METRICS_H
#define SHARED_INTENT_METRICS_H

#include <stdbool.h>
#include <stddef.h>

struct df_scored {
    double score;
    bool truth;
};

struct df_counts {
    size_t hit, false_alarm, miss, rest;
};

void df_counts_add(struct df_counts *counts, bool truth, bool said);
double df_counts_precision(const struct df_counts *counts); /* 0 when nothing was said */
double df_counts_recall(const struct df_counts *counts);
double df_counts_f1(const struct df_counts *counts);

/* Highest score first; of equal ones the true first. The functions below do it themselves. */
void df_metric_sort(struct df_scored *rows, size_t count);

/* Chance that a true row scores above a false one; ties count half. */
double df_metric_auc(struct df_scored *rows, size_t count);

/* The score at which "score >= cut" has the best F1 of all cuts with at least this precision, or
 * of all cuts when none has it: halfway to the next lower score. */
double df_metric_best_cut(struct df_scored *rows, size_t count, double precision_min);

/* Expected calibration error of scores that are probabilities, in ten equal bins. */
double df_metric_ece(const struct df_scored *rows, size_t count);

/* Platt scaling: slope and offset that make 1/(1+exp(-(slope*score+offset))) most likely. */
void df_metric_platt(const struct df_scored *rows, size_t count, double *slope, double *offset);

#endif
