/* shared/intent/train.c - turns the labelled chat lines into the weight file; runs at build time.
 * Deterministic: the same data give the same bytes on the same machine. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/intent/trainer.h"

#define EXIT_USAGE 64

static double now_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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

static int train_all(const struct trainer *t, const char *path, double started)
{
    struct df_weights *w = trainer_alloc(1, sizeof *w);
    uint8_t *use = trainer_alloc(t->set.count, 1);
    int status;

    memset(use, 1, t->set.count);
    trainer_build(t, use, w);
    status = write_file(path, w);
    if (status == EXIT_SUCCESS)
        (void)printf("intent_train: %zu rows, cut %.3f, %zu bytes, checksum %08x, %.1f s\n",
                     t->set.count, (double)w->cut, sizeof *w, (unsigned)w->checksum,
                     now_seconds() - started);
    free(w);
    free(use);
    return status;
}

static int usage(FILE *out, int status)
{
    (void)fputs("usage: intent_train --data DIR --out FILE\n"
                "       intent_train --data DIR --evaluate cluster|file [--rows FILE]\n"
                "\n"
                "Trains the embedded intent model from the *.tsv files of DIR.\n"
                "  --data DIR      labelled chat lines, and frequent-weights.txt\n"
                "  --out FILE      where to write the weights\n"
                "  --evaluate HOW  cross-validate and print a table: folds of near-duplicate\n"
                "                  clusters, or one source file left out at a time\n"
                "  --rows FILE     also write what was said of every row, for reading errors\n"
                "  --help          this text\n",
                out);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'},     {"out", required_argument, NULL, 'o'},
        {"evaluate", required_argument, NULL, 'e'}, {"rows", required_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    const char *data = NULL, *out = NULL, *how = NULL, *rows = NULL;
    static struct trainer t;
    double started = now_seconds();
    int c, status = EXIT_FAILURE;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'd')
            data = optarg;
        else if (c == 'o')
            out = optarg;
        else if (c == 'e')
            how = optarg;
        else if (c == 'r')
            rows = optarg;
        else
            return c == 'h' ? usage(stdout, EXIT_SUCCESS) : usage(stderr, EXIT_USAGE);
    }
    if (data == NULL || optind != argc || (how == NULL) == (out == NULL) ||
        (how != NULL && strcmp(how, "cluster") != 0 && strcmp(how, "file") != 0))
        return usage(stderr, EXIT_USAGE);
    if (trainer_read(&t, data))
        status = how == NULL
                     ? train_all(&t, out, started)
                     : trainer_evaluate(&t, strcmp(how, "file") == 0 ? BY_FILE : BY_CLUSTER, rows);
    trainer_release(&t);
    return status;
}
