/* tests/bench/intent.c - how fast the local model judges chat, and whether any line is slow. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent.h"
#include "shared/intent/dataset.h"
#include "tests/bench/stats.h"

#define LONG_CHARS   10000
#define LONG_REPEATS 15

static const struct df_intent_model *model;
static volatile unsigned sink; /* keeps the verdicts from being optimised away */

static void judge(const struct df_chat_line *line)
{
    struct df_verdict v;

    df_intent_classify(model, line, &v);
    sink += (unsigned)v.type;
}

/* Lines a second over all labelled lines, the best of some rounds: noise only ever slows. */
static double best_rate(const struct df_dataset *set, size_t rounds)
{
    int64_t best = INT64_MAX;

    for (size_t r = 0; r < rounds; r++) {
        int64_t start = bench_now_ns(), took;
        for (size_t i = 0; i < set->count; i++)
            judge(&set->rows[i].line);
        took = bench_now_ns() - start;
        best = took < best ? took : best;
    }
    return (double)set->count * 1e9 / (double)best;
}

/* The time of single lines, less what the clock itself takes. */
static void time_lines(const struct df_dataset *set, double *p50_us, double *p99_us)
{
    struct bench_samples s = {0};
    int64_t clock_ns = INT64_MAX;

    for (int i = 0; i < 1000; i++) {
        int64_t start = bench_now_ns(), took = bench_now_ns() - start;
        clock_ns = took < clock_ns ? took : clock_ns;
    }
    for (size_t i = 0; i < set->count; i++) {
        int64_t start = bench_now_ns(), took;
        judge(&set->rows[i].line);
        took = bench_now_ns() - start - clock_ns;
        bench_samples_add(&s, took > 0 ? took : 0);
    }
    *p50_us = bench_samples_percentile_ms(&s, 0.5) * 1e3;
    *p99_us = bench_samples_percentile_ms(&s, 0.99) * 1e3;
    bench_samples_release(&s);
}

/* Nanoseconds per byte of one line, the best of some. */
static double cost_per_byte(const char *text, size_t len)
{
    struct df_chat_line line = {"tiktok", "dana88", text, 6, 6, len};
    int64_t best = INT64_MAX;

    for (int i = 0; i < LONG_REPEATS; i++) {
        int64_t start = bench_now_ns(), took;
        judge(&line);
        took = bench_now_ns() - start;
        best = took < best ? took : best;
    }
    return (double)best / (double)len;
}

/* Fills with a unit over and over, or with letters that never repeat when it is NULL. */
static void fill(char *out, size_t len, const char *unit, uint32_t *random)
{
    for (size_t i = 0; i < len; i++) {
        *random = *random * 1664525u + 1013904223u;
        out[i] = unit != NULL ? unit[i % strlen(unit)]
                              : "abcdefghijklmnopqrstuvwxyz      "[*random >> 27];
    }
}

/* The worst cost per byte of hostile lines of several lengths, over that of ordinary ones. */
static double worst_ratio(double typical_ns)
{
    static const char *const units[] = {NULL,
                                        "a",
                                        "mine ",
                                        "$9 ",
                                        "25 ",
                                        "\xf0\x9f\x94\xa5",
                                        "\xe2\x80\x8b",
                                        "\xff",
                                        "'",
                                        "1.",
                                        "#1 ",
                                        "\xcc\x81",
                                        "@a ",
                                        "twenty ",
                                        "a b ",
                                        "?!",
                                        "xq zj ",
                                        "\xd0\xb6\xd1\x8f ",
                                        "no not never ",
                                        "\xf0\x9f\x94\xa5\xf0\x9f\x98\x8d ",
                                        "hundred ",
                                        "1,",
                                        "aaab"};
    static const size_t lengths[] = {200, 1200, LONG_CHARS};
    char text[LONG_CHARS];
    double worst = 0;
    uint32_t random = 7;

    for (size_t u = 0; u < sizeof units / sizeof units[0]; u++)
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            double ratio;
            fill(text, lengths[k], units[u], &random);
            ratio = cost_per_byte(text, lengths[k]) / typical_ns;
            if (ratio > worst) {
                worst = ratio;
                (void)printf("slow: %.2f times per byte: %zu bytes of \"%s\"\n", ratio, lengths[k],
                             units[u] == NULL ? "random letters" : units[u]);
            }
        }
    return worst;
}

int main(int argc, char **argv)
{
    struct df_intent_model *opened = NULL;
    struct df_dataset set;
    struct df_error err;
    double rate, p50, p99, bytes = 0, typical;

    if (argc != 3) {
        (void)fputs("usage: bench_intent WEIGHTS DATA\n", stderr);
        return 64;
    }
    if (df_intent_model_open(&opened, argv[1], &err) != DF_OK ||
        df_dataset_read(&set, argv[2], &err) != DF_OK) {
        (void)fprintf(stderr, "bench_intent: %s\n", err.msg);
        return EXIT_FAILURE;
    }
    model = opened;
    for (size_t i = 0; i < set.count; i++)
        bytes += (double)set.rows[i].line.message_len;
    rate = best_rate(&set, 7);
    time_lines(&set, &p50, &p99);
    typical = 1e9 / rate / (bytes / (double)set.count);
    (void)printf("lines: %zu of %.1f bytes, %.1f ns per byte\n", set.count,
                 bytes / (double)set.count, typical);
    (void)printf("intent: lines_per_s=%.0f p50_us=%.2f p99_us=%.2f slowest_per_byte=%.2f\n", rate,
                 p50, p99, worst_ratio(typical));
    df_dataset_release(&set);
    df_intent_model_close(opened);
    return EXIT_SUCCESS;
}
