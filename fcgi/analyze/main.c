/* fcgi/analyze/main.c - dealflow-analyze: arguments, and which of its jobs they ask for. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/analyze/jsonl.h"
#include "fcgi/weights.h"

#define PROGRAM "dealflow-analyze"

enum { EXIT_USAGE = 64, EXIT_DATA = 65, EXIT_SOFTWARE = 70, EXIT_IO = 74, EXIT_CONFIG = 78 };

struct arguments {
    bool jsonl, strict;
};

static void print_help(FILE *out)
{
    (void)fputs("usage: " PROGRAM " --jsonl [--strict]\n\n"
                "Judges chat lines: does the author want to buy?\n\n"
                "  --jsonl    {\"username\":..,\"message\":..,\"platform\":..} lines on standard\n"
                "             input, one verdict line each on standard output, in order\n"
                "  --strict   exit with status 65 when a line could not be read\n"
                "  --help, --version\n\n"
                "  INTENT_WEIGHTS  weight file of the embedded model; default:\n"
                "                  ../share/dealflow/intent.weights beside the program\n",
                out);
}

static int run_jsonl(const struct arguments *args, const struct df_intent_model *model)
{
    struct an_jsonl_totals totals;
    struct df_error err = {0};

    if (an_jsonl_run(model, STDIN_FILENO, STDOUT_FILENO, &totals, &err) != DF_OK) {
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
        return err.code == DF_ENOMEM ? EXIT_SOFTWARE : EXIT_IO;
    }
    if (totals.bad > 0)
        (void)fprintf(stderr, PROGRAM ": %llu of %llu lines could not be read\n",
                      (unsigned long long)totals.bad, (unsigned long long)totals.lines);
    return totals.bad > 0 && args->strict ? EXIT_DATA : 0;
}

static bool parse_arguments(struct arguments *args, int argc, char **argv, int *status)
{
    static const struct option options[] = {
        {"jsonl", no_argument, NULL, 'j'},
        {"strict", no_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {0},
    };
    int option;

    *status = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            args->jsonl = true;
            break;
        case 's':
            args->strict = true;
            break;
        case 'h':
            print_help(stdout);
            return false;
        case 'v':
            printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
            return false;
        default:
            (void)fputs("see " PROGRAM " --help\n", stderr);
            *status = EXIT_USAGE;
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct arguments args = {0};
    struct df_intent_model *model = NULL;
    struct df_error err = {0};
    int status;

    if (!parse_arguments(&args, argc, argv, &status))
        return status;
    if (!args.jsonl) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *weights = getenv("INTENT_WEIGHTS");
    if (weights != NULL && weights[0] == '\0')
        weights = NULL;
    if (mrs_weights_open(&model, weights, &err) != DF_OK) {
        (void)fprintf(stderr, PROGRAM ": %s\n", err.msg);
        return EXIT_CONFIG;
    }
    status = run_jsonl(&args, model);
    df_intent_model_close(model);
    return status;
}
