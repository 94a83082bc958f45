/* shared/intent/train.c - turns the labelled chat lines into the weight file; runs at build time.
 * Deterministic: the same data give the same bytes on the same machine. */
#include <errno.h>
#include <getopt.h>
#include <linear.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/intent/dataset.h"
#include "shared/intent/metrics.h"
#include "shared/intent/report.h"
#include "shared/intent/weights.h"

#define FOLDS       5
#define INNER_FOLDS 3 /* to find the cut; each costs a fit */

#define BUYER_COST 300.0 /* liblinear's C; these were chosen by --evaluate */
#define TYPE_COST  60.0
#define COMMON_MIN 25 /* a word in this many lines keeps its name in patterns */
#define EXIT_USAGE 64

struct trainer {
    struct df_dataset set;
    struct feature_node **nodes; /* one list per row, ends with index -1; NULL for hosts */
    uint8_t *fold, *inner_fold;
    unsigned char common[DF_COMMON_BYTES];
};

/* Which rows a fit may use: those outside one fold, or all. */
struct selection {
    const uint8_t *fold, *inner_fold;
    int without, without_inner; /* -1: none */
};

static bool is_selected(const struct selection *s, size_t row)
{
    return (s->without < 0 || s->fold[row] != s->without) &&
           (s->without_inner < 0 || s->inner_fold[row] != s->without_inner);
}

static void *must_alloc(size_t count, size_t size)
{
    void *p = calloc(count == 0 ? 1 : count, size);

    if (p == NULL) { /* a build tool: there is nothing better to do */
        (void)fputs("intent_train: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return p;
}

static double now_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Frequent lines count more, but not so much that they drown the rest. */
static int copies_of(const struct df_example *row)
{
    return (int)(sqrt((double)row->weight) + 0.5);
}

static void find_common_words(struct trainer *t)
{
    uint16_t *lines = must_alloc(1u << DF_COMMON_BITS, sizeof *lines);
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

static void read_features(struct trainer *t)
{
    struct df_features f;
    struct df_text text;

    t->nodes = must_alloc(t->set.count, sizeof *t->nodes);
    for (size_t i = 0; i < t->set.count; i++) {
        const struct df_chat_line *line = &t->set.rows[i].line;
        enum df_role role = df_role_of(line->username, line->username_len);
        double norm;
        if (role == DF_ROLE_HOST)
            continue;
        df_text_read(&text, line->message, line->message_len);
        df_features_read(&f, line, &text, role, t->common);
        norm = df_feature_norm(&f);
        t->nodes[i] = must_alloc(f.count + 2, sizeof **t->nodes);
        for (size_t k = 0; k < f.count; k++)
            t->nodes[i][k] = (struct feature_node){(int)df_feature_slot(&f, k) + 1,
                                                   norm * df_feature_value(&f, k)};
        qsort(t->nodes[i], f.count, sizeof **t->nodes, by_index);
        /* liblinear wants the bias as a last feature of every row */
        t->nodes[i][f.count] = (struct feature_node){(int)DF_FEATURE_SLOTS + 1, 1};
        t->nodes[i][f.count + 1].index = -1;
    }
}

/* Folds by cluster; the inner ones serve to choose the cut without looking at the outer fold. */
static void make_folds(struct trainer *t)
{
    t->fold = must_alloc(t->set.count, 1);
    t->inner_fold = must_alloc(t->set.count, 1);
    for (size_t i = 0; i < t->set.count; i++) {
        t->fold[i] = (uint8_t)(df_hash_mix(1, t->set.rows[i].cluster) % FOLDS);
        t->inner_fold[i] = (uint8_t)(df_hash_mix(77, t->set.rows[i].cluster * 7 + 3) % INNER_FOLDS);
    }
}

static void be_quiet(const char *text)
{
    (void)text;
}

enum target { BUYER, TYPE };

static struct model *fit(const struct trainer *t, const struct selection *s, enum target target)
{
    struct problem p = {.n = (int)DF_FEATURE_SLOTS + 1, .bias = 1};
    struct parameter how = {
        .solver_type = L2R_LR, .eps = 0.01, .C = target == BUYER ? BUYER_COST : TYPE_COST};
    size_t room = 0;
    struct model *m;

    for (size_t i = 0; i < t->set.count; i++)
        room += (size_t)copies_of(&t->set.rows[i]);
    p.y = must_alloc(room, sizeof *p.y);
    p.x = must_alloc(room, sizeof *p.x);
    for (size_t i = 0; i < t->set.count; i++) {
        const struct df_example *row = &t->set.rows[i];
        if (t->nodes[i] == NULL || !is_selected(s, i) || (target == TYPE && !row->is_buyer))
            continue;
        for (int k = 0; k < copies_of(row); k++, p.l++) {
            p.x[p.l] = t->nodes[i];
            p.y[p.l] = target == BUYER ? row->is_buyer : (double)row->type;
        }
    }
    m = train(&p, &how);
    free(p.x);
    free(p.y);
    return m;
}

static int quantised(double w, double scale, int limit)
{
    int q = (int)lround(w / scale);
    return q > limit ? limit : q < -limit ? -limit : q;
}

static double largest(const struct model *m, int label)
{
    double most = 1e-9;

    for (int i = 1; i <= (int)DF_FEATURE_SLOTS; i++)
        most = fmax(most, fabs(get_decfun_coef(m, i, label)));
    return most;
}

static int label_at(const struct model *m, int label)
{
    for (int k = 0; k < get_nr_class(m); k++)
        if (m->label[k] == label)
            return k;
    return -1;
}

static void put_buyer(struct df_weights *w, const struct model *m)
{
    int at = label_at(m, 1);
    double scale = largest(m, at) / INT16_MAX;

    w->buyer_scale = (float)scale;
    w->buyer_bias = (float)get_decfun_bias(m, at);
    for (uint32_t i = 0; i < DF_FEATURE_SLOTS; i++)
        w->buyer[i] = (int16_t)quantised(get_decfun_coef(m, (int)i + 1, at), scale, INT16_MAX);
}

static void put_types(struct df_weights *w, const struct model *m)
{
    for (int type = 0; type < DF_WEIGHTS_TYPES; type++) {
        int at = label_at(m, type);
        if (at < 0) { /* no such row was trained on */
            w->type_bias[type] = -100;
            continue;
        }
        double scale = largest(m, at) / INT8_MAX;
        w->type_scale[type] = (float)scale;
        w->type_bias[type] = (float)get_decfun_bias(m, at);
        for (uint32_t i = 0; i < DF_FEATURE_SLOTS; i++)
            w->types[i][type] =
                (int8_t)quantised(get_decfun_coef(m, (int)i + 1, at), scale, INT8_MAX);
    }
}

static double raw_score(const struct model *m, const struct feature_node *x)
{
    int at = label_at(m, 1);
    double sum = get_decfun_bias(m, at);

    for (; x->index != -1 && x->index <= (int)DF_FEATURE_SLOTS; x++)
        sum += x->value * get_decfun_coef(m, x->index, at);
    return sum;
}

/* Fits on inner folds to get scores of rows the fit has not seen; from them come the probability
 * and the cut. */
static void calibrate(const struct trainer *t, struct selection s, struct df_weights *w)
{
    struct df_scored *rows = must_alloc(t->set.count, sizeof *rows);
    size_t n = 0;
    double slope, offset;

    for (int k = 0; k < INNER_FOLDS; k++) {
        struct model *m;
        s.without_inner = k;
        m = fit(t, &s, BUYER);
        for (size_t i = 0; i < t->set.count; i++)
            if (t->nodes[i] != NULL && s.inner_fold[i] == k &&
                (s.without < 0 || s.fold[i] != s.without))
                rows[n++] = (struct df_scored){raw_score(m, t->nodes[i]), t->set.rows[i].is_buyer};
        free_and_destroy_model(&m);
    }
    df_metric_platt(rows, n, &slope, &offset);
    w->slope = (float)slope;
    w->offset = (float)offset;
    for (size_t i = 0; i < n; i++)
        rows[i].score = df_weights_probability(w, rows[i].score);
    w->cut = (float)fmin(fmax(df_metric_best_cut(rows, n), 0.01), 0.99);
    for (size_t i = 0; i < n; i++) {
        double confidence = df_weights_confidence(rows[i].score, (double)w->cut);
        size_t bin = (size_t)(confidence * DF_BAND_BINS);
        w->held_out[bin < DF_BAND_BINS ? bin : DF_BAND_BINS - 1]++;
    }
    free(rows);
}

/* One whole model from all rows but those of fold `without` (-1: from all). */
static void build(const struct trainer *t, int without, struct df_weights *w)
{
    struct selection s = {t->fold, t->inner_fold, without, -1};
    struct model *m;

    memset(w, 0, sizeof *w);
    memcpy(w->magic, DF_WEIGHTS_MAGIC, sizeof w->magic);
    w->version = DF_WEIGHTS_VERSION;
    w->feature_version = DF_FEATURE_VERSION;
    w->slots = DF_FEATURE_SLOTS;
    memcpy(w->common, t->common, sizeof w->common);
    calibrate(t, s, w);
    m = fit(t, &s, BUYER);
    put_buyer(w, m);
    free_and_destroy_model(&m);
    m = fit(t, &s, TYPE);
    put_types(w, m);
    free_and_destroy_model(&m);
    w->checksum = df_weights_checksum(w);
}

static double probability_of(const struct trainer *t, const struct df_weights *w, size_t row)
{
    const struct df_chat_line *line = &t->set.rows[row].line;
    struct df_features f;
    struct df_text text;
    struct df_scores scores;

    df_text_read(&text, line->message, line->message_len);
    df_features_read(&f, line, &text, df_role_of(line->username, line->username_len), t->common);
    df_weights_score(w, &f, &scores);
    return df_weights_probability(w, scores.buyer);
}

static void release(struct trainer *t)
{
    for (size_t i = 0; i < t->set.count; i++)
        free(t->nodes[i]);
    free(t->nodes);
    free(t->fold);
    free(t->inner_fold);
    df_dataset_release(&t->set);
    free(t);
}

/* Judges every row by a model that has seen no row of its fold, through the very function that
 * runs in production. */
static int evaluate(struct trainer *t)
{
    struct df_judged *judged = must_alloc(t->set.count, sizeof *judged);
    struct df_weights *w = must_alloc(1, sizeof *w);
    struct df_error err;
    enum df_code rc;

    for (int k = 0; k < FOLDS; k++) {
        build(t, k, w);
        for (size_t i = 0; i < t->set.count; i++) {
            if (t->fold[i] != k)
                continue;
            df_weights_classify(w, &t->set.rows[i].line, &judged[i].verdict);
            if (t->nodes[i] != NULL)
                judged[i].probability = probability_of(t, w, i);
        }
        (void)fprintf(stderr, "fold %d of %d: cut %.3f\n", k + 1, FOLDS, (double)w->cut);
    }
    rc = df_report_print(stdout, &t->set, judged, &err);
    if (rc != DF_OK)
        (void)fprintf(stderr, "intent_train: %s\n", err.msg);
    free(judged);
    free(w);
    return rc == DF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* To a temporary file beside it first: a build that is interrupted leaves no half file. */
static int write_file(const char *path, const struct df_weights *w)
{
    char temporary[4096];
    FILE *file;
    int ok;

    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary) {
        (void)fprintf(stderr, "intent_train: path too long: %s\n", path);
        return EXIT_FAILURE;
    }
    file = fopen(temporary, "wb");
    ok = file != NULL && fwrite(w, sizeof *w, 1, file) == 1;
    ok = file != NULL && fclose(file) == 0 && ok;
    if (ok && rename(temporary, path) == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr, "intent_train: %s: %s\n", temporary, strerror(errno));
    (void)remove(temporary);
    return EXIT_FAILURE;
}

static int train_all(struct trainer *t, const char *path, double started)
{
    struct df_weights *w = must_alloc(1, sizeof *w);
    int status;

    build(t, -1, w);
    status = write_file(path, w);
    if (status == EXIT_SUCCESS)
        (void)printf("intent_train: %zu rows, cut %.3f, %zu bytes, checksum %08x, %.1f s\n",
                     t->set.count, (double)w->cut, sizeof *w, (unsigned)w->checksum,
                     now_seconds() - started);
    free(w);
    return status;
}

static int usage(FILE *out, int status)
{
    (void)fputs("usage: intent_train --data DIR --out FILE\n"
                "       intent_train --data DIR --evaluate\n"
                "\n"
                "Trains the embedded intent model from the *.tsv files of DIR.\n"
                "  --data DIR   labelled chat lines, and frequent-weights.txt\n"
                "  --out FILE   where to write the weights\n"
                "  --evaluate   cross-validate by near-duplicate cluster and print a table\n"
                "  --help       this text\n",
                out);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"evaluate", no_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *data = NULL, *out = NULL;
    bool is_evaluation = false;
    struct trainer *t;
    struct df_error err;
    double started = now_seconds();
    int c, status;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'd')
            data = optarg;
        else if (c == 'o')
            out = optarg;
        else if (c == 'e')
            is_evaluation = true;
        else
            return c == 'h' ? usage(stdout, EXIT_SUCCESS) : usage(stderr, EXIT_USAGE);
    }
    if (data == NULL || optind != argc || is_evaluation == (out != NULL))
        return usage(stderr, EXIT_USAGE);
    set_print_string_function(be_quiet);
    t = must_alloc(1, sizeof *t);
    if (df_dataset_read(&t->set, data, &err) != DF_OK ||
        df_dataset_cluster(&t->set, &err) != DF_OK) {
        (void)fprintf(stderr, "intent_train: %s\n", err.msg);
        return EXIT_FAILURE;
    }
    make_folds(t);
    find_common_words(t);
    read_features(t);
    status = is_evaluation ? evaluate(t) : train_all(t, out, started);
    release(t);
    return status;
}
