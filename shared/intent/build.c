/* shared/intent/build.c - a whole model: fits on inner folds to find probability and cut, then the
 * fits that are kept. Two threads; the result does not depend on their order. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/metrics.h"
#include "shared/intent/trainer.h"

#define CUT_PRECISION 0.84 /* of inner folds, whose fits have less to learn from: 0.85 held out */

/* Work that two threads share, by number. */
struct work {
    const struct trainer *t;
    const uint8_t *use;
    struct df_weights *out;
    double *score; /* of rows that an inner fit has not seen */
    pthread_mutex_t lock;
    int next;
};

static double net_score(const struct df_net *net, const struct df_chat_line *line)
{
    struct df_text text;
    struct df_net_reply reply;

    df_text_read(&text, line->message, line->message_len);
    df_net_read(net, &text, &reply);
    return df_net_buyer(net, &reply);
}

static void fit_net(const struct trainer *t, const uint8_t *use, struct df_net *out)
{
    struct df_error err;

    if (df_net_train(out, t->lines, &t->set, use, t->weight, &err) == DF_OK)
        return;
    (void)fprintf(stderr, "intent_train: %s\n", err.msg);
    exit(EXIT_FAILURE);
}

static void score_fold(struct work *work, int fold)
{
    const struct trainer *t = work->t;
    uint8_t *use = trainer_alloc(t->set.count, 1);
    struct df_net *net = trainer_alloc(1, sizeof *net);
    struct model *m;

    for (size_t i = 0; i < t->set.count; i++)
        use[i] = work->use[i] && t->inner_fold[i] != fold;
    m = trainer_fit_buyer(t, use);
    fit_net(t, use, net);
    for (size_t i = 0; i < t->set.count; i++)
        if (work->use[i] && t->inner_fold[i] == fold && t->nodes[i] != NULL)
            work->score[i] = 0.5 * trainer_linear_score(m, t->nodes[i]) +
                             0.5 * net_score(net, &t->set.rows[i].line);
    free_and_destroy_model(&m);
    free(net);
    free(use);
}

static void do_task(struct work *work, int task)
{
    struct model *m;

    if (task < INNER_FOLDS) {
        score_fold(work, task);
    } else if (task == INNER_FOLDS) {
        fit_net(work->t, work->use, &work->out->net);
    } else {
        m = trainer_fit_buyer(work->t, work->use);
        trainer_put_buyer(work->out, m);
        free_and_destroy_model(&m);
        m = trainer_fit_type(work->t, work->use);
        trainer_put_types(work->out, m);
        free_and_destroy_model(&m);
    }
}

static void *do_tasks(void *arg)
{
    struct work *work = arg;

    for (;;) {
        int task;
        (void)pthread_mutex_lock(&work->lock);
        task = work->next++;
        (void)pthread_mutex_unlock(&work->lock);
        if (task >= INNER_FOLDS + 2)
            return NULL;
        do_task(work, task);
    }
}

/* From scores of rows that the fits had not seen: probability, cut, and how lines are spread. */
static void calibrate(const struct work *work, struct df_weights *w)
{
    const struct df_dataset *set = &work->t->set;
    struct df_scored *rows = trainer_alloc(set->count, sizeof *rows);
    double slope, offset;
    size_t n = 0;

    for (size_t i = 0; i < set->count; i++)
        if (work->use[i] && work->t->nodes[i] != NULL)
            rows[n++] = (struct df_scored){work->score[i], set->rows[i].is_buyer};
    df_metric_platt(rows, n, &slope, &offset);
    w->slope = (float)slope;
    w->offset = (float)offset;
    for (size_t i = 0; i < n; i++)
        rows[i].score = df_weights_probability(w, rows[i].score);
    w->cut = (float)fmin(fmax(df_metric_best_cut(rows, n, CUT_PRECISION), 0.01), 0.99);
    for (size_t i = 0; i < n; i++) {
        double confidence = df_weights_confidence(rows[i].score, (double)w->cut);
        size_t bin = (size_t)(confidence * DF_BAND_BINS);
        w->held_out[bin < DF_BAND_BINS ? bin : DF_BAND_BINS - 1]++;
    }
    free(rows);
}

void trainer_build(const struct trainer *t, const uint8_t *use, struct df_weights *w)
{
    struct work work = {.t = t, .use = use, .out = w, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t helper;
    int has_helper;

    memset(w, 0, sizeof *w);
    memcpy(w->magic, DF_WEIGHTS_MAGIC, sizeof w->magic);
    w->version = DF_WEIGHTS_VERSION;
    w->feature_version = DF_FEATURE_VERSION;
    w->slots = DF_FEATURE_SLOTS;
    memcpy(w->common, t->common, sizeof w->common);
    work.score = trainer_alloc(t->set.count, sizeof *work.score);
    has_helper = pthread_create(&helper, NULL, do_tasks, &work) == 0;
    (void)do_tasks(&work);
    if (has_helper)
        (void)pthread_join(helper, NULL);
    trainer_fit_offers(t, use, work.score, &w->offer);
    calibrate(&work, w);
    free(work.score);
    w->checksum = df_weights_checksum(w);
}
