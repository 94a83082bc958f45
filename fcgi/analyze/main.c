/* fcgi/analyze/main.c - dealflow-analyze: one of its jobs, and how it ended as an exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/analyze/explain.h"
#include "fcgi/analyze/jsonl.h"
#include "fcgi/analyze/options.h"
#include "fcgi/analyze/setup.h"
#include "fcgi/config.h"
#include "fcgi/weights.h"
#include "shared/log.h"

#define PROGRAM "dealflow-analyze"

enum {
    EXIT_USAGE = 64,
    EXIT_DATA = 65,
    EXIT_NO_SESSION = 66,
    EXIT_UNAVAILABLE = 69,
    EXIT_SOFTWARE = 70,
    EXIT_IO = 74,
    EXIT_OTHER_RUN = 75,
    EXIT_CONFIG = 78,
}; /* sysexits.h */

/* The rows of the function's table that matter here. */
static void print_settings(void)
{
    static const char *const names[] = {"ANALYZER",      "CAPTURE_TYPES", "CONFIDENCE_THRESHOLD",
                                        "DATABASE_ROLE", "DATABASE_URL",  "INTENT_WEIGHTS"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        for (size_t i = 0; i < mrs_config_key_count; i++) {
            if (strcmp(mrs_config_keys[i].name, names[n]) == 0)
                df_config_print_help(stdout, &mrs_config_keys[i], 1);
        }
    }
}

static void print_help(void)
{
    (void)fputs(
        "usage: " PROGRAM " [--message TEXT] [--username NAME] [--platform NAME]\n"
        "       " PROGRAM " --jsonl [--strict]\n"
        "       " PROGRAM " --session ID [--dry-run | --restart] [--analyzer NAME]\n\n"
        "Judges chat lines: does the author want to buy?\n\n"
        "  without arguments   asks for lines and explains each\n"
        "  --message TEXT      explains one line\n"
        "  --threshold X       confidence that makes a buyer a sale [CONFIDENCE_THRESHOLD, "
        "else " DF_CAPTURE_THRESHOLD "]\n"
        "  --jsonl             {\"username\":..,\"message\":..,\"platform\":..} lines on standard\n"
        "                      input, one verdict line each on standard output, in order\n"
        "  --strict            exit with status 65 when a line could not be read\n"
        "  --session ID        judges the messages of a session again and adds missing sales;\n"
        "                      start it several times to share the work, again to resume\n"
        "  --dry-run           tells what that would change\n"
        "  --restart           gives up a run that is under way and begins anew\n"
        "  --analyzer NAME     local, gateway or hybrid [ANALYZER]\n"
        "  --part-lines N      messages of one transaction [500; with a model server 64]\n"
        "  --help, --version\n\n"
        "Settings, from the environment; --session also reads the function's AI_* settings:\n",
        stdout);
    print_settings();
}

static int complain(const struct df_error *err, int status)
{
    (void)fprintf(stderr, PROGRAM ": %s\n", err->msg);
    return status;
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static int run_jsonl(const struct an_options *options, const struct df_intent_model *model)
{
    struct an_jsonl_totals totals;
    struct df_error err = {0};

    if (an_jsonl_run(model, STDIN_FILENO, STDOUT_FILENO, &totals, &err) != DF_OK)
        return complain(&err, err.code == DF_ENOMEM ? EXIT_SOFTWARE : EXIT_IO);
    if (totals.bad > 0)
        (void)fprintf(stderr, PROGRAM ": %llu of %llu lines could not be read\n",
                      (unsigned long long)totals.bad, (unsigned long long)totals.lines);
    return totals.bad > 0 && options->strict ? EXIT_DATA : 0;
}

static int run_explain(const struct an_options *options, const struct df_intent_model *model)
{
    struct df_error err = {0};
    struct an_explain explain = {
        .model = model,
        .rule = {.threshold = options->has_threshold ? options->threshold
                                                     : strtod(DF_CAPTURE_THRESHOLD, NULL),
                 .type_mask = (1U << DF_MESSAGE_TYPE_COUNT) - 1},
        .username = options->username == NULL ? "viewer" : options->username,
        .platform = options->platform == NULL ? "whatnot" : options->platform,
        .out = stdout,
        .in_colour = isatty(STDOUT_FILENO) != 0 && setting("NO_COLOR") == NULL,
    };
    if (options->message == NULL) {
        bool is_prompt = isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0;
        enum df_code rc = an_explain_lines(&explain, stdin, is_prompt, &err);
        return rc == DF_OK ? 0 : complain(&err, EXIT_IO);
    }
    an_explain_print(&explain, options->message, strlen(options->message));
    return fflush(stdout) == 0 ? 0 : EXIT_IO;
}

static int run_with_model(const struct an_options *options)
{
    struct df_intent_model *model = NULL;
    struct df_error err = {0};

    if (mrs_weights_open(&model, setting("INTENT_WEIGHTS"), &err) != DF_OK)
        return complain(&err, EXIT_CONFIG);
    int status = options->job == AN_JSONL ? run_jsonl(options, model) : run_explain(options, model);
    df_intent_model_close(model);
    return status;
}

static int run_session(struct an_options *options)
{
    struct df_error err = {0};

    switch (an_setup_and_run(options, &err)) {
    case DF_OK:
        return fflush(stdout) == 0 ? 0 : EXIT_IO;
    case DF_EINPUT:
        return complain(&err, EXIT_CONFIG);
    case DF_ENOTFOUND:
        return complain(&err, EXIT_NO_SESSION);
    case DF_ECONFLICT:
        return complain(&err, EXIT_OTHER_RUN);
    case DF_ENOMEM:
        return complain(&err, EXIT_SOFTWARE);
    default:
        (void)complain(&err, 0);
        if (!options->dry_run)
            (void)fputs(PROGRAM ": what is done is kept; run the same command to go on\n", stderr);
        return EXIT_UNAVAILABLE;
    }
}

int main(int argc, char **argv)
{
    struct an_options options;
    struct df_error err = {0};

    if (an_options_parse(&options, argc, argv, &err) != DF_OK) {
        (void)fprintf(stderr, PROGRAM ": %s; see " PROGRAM " --help\n", err.msg);
        return EXIT_USAGE;
    }
    df_log_init(PROGRAM, DF_LOG_WARN);
    switch (options.job) {
    case AN_SESSION:
        return run_session(&options);
    case AN_HELP:
        print_help();
        return 0;
    case AN_VERSION:
        printf(PROGRAM " %s (%s)\n", DF_VERSION, DF_COMMIT);
        return 0;
    default:
        return run_with_model(&options);
    }
}
