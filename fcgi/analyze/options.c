/* fcgi/analyze/options.c - from arguments to one job. */
#include "fcgi/analyze/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/config.h"

enum { PART_LINES_MAX = 5000 };

static const struct option long_options[] = {
    {"jsonl", no_argument, NULL, 'j'},
    {"strict", no_argument, NULL, 'S'},
    {"explain", no_argument, NULL, 'e'},
    {"message", required_argument, NULL, 'm'},
    {"username", required_argument, NULL, 'u'},
    {"platform", required_argument, NULL, 'p'},
    {"session", required_argument, NULL, 's'},
    {"threshold", required_argument, NULL, 't'},
    {"analyzer", required_argument, NULL, 'a'},
    {"dry-run", no_argument, NULL, 'n'},
    {"restart", no_argument, NULL, 'r'},
    {"part-lines", required_argument, NULL, 'P'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {0},
};

static enum df_code set_job(struct an_options *out, enum an_job job, bool *is_set,
                            struct df_error *err)
{
    if (*is_set && out->job != job)
        return df_error_set(err, DF_EINPUT,
                            "use one of --jsonl, --explain or --message, --session");
    out->job = job;
    *is_set = true;
    return DF_OK;
}

static enum df_code parse_threshold(double *out, const char *text, struct df_error *err)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
        return df_error_set(err, DF_EINPUT, "--threshold %s: use a number from 0 to 1", text);
    *out = value;
    return DF_OK;
}

static enum df_code parse_analyzer(int *out, const char *text, struct df_error *err)
{
    if (strcmp(text, "local") == 0)
        *out = MRS_ANALYZE_LOCAL;
    else if (strcmp(text, "gateway") == 0)
        *out = MRS_ANALYZE_GATEWAY;
    else if (strcmp(text, "hybrid") == 0)
        *out = MRS_ANALYZE_HYBRID;
    else
        return df_error_set(err, DF_EINPUT, "--analyzer %s: use local, gateway or hybrid", text);
    return DF_OK;
}

static enum df_code parse_part_lines(int64_t *out, const char *text, struct df_error *err)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > PART_LINES_MAX)
        return df_error_set(err, DF_EINPUT, "--part-lines %s: use 1 to %d", text, PART_LINES_MAX);
    *out = value;
    return DF_OK;
}

static enum df_code take(struct an_options *out, int option, bool *has_job, struct df_error *err)
{
    switch (option) {
    case 'j':
        return set_job(out, AN_JSONL, has_job, err);
    case 'e':
        return set_job(out, AN_EXPLAIN, has_job, err);
    case 'm':
        out->message = optarg;
        return set_job(out, AN_EXPLAIN, has_job, err);
    case 's':
        if (!df_uuid_parse(&out->session, optarg, strlen(optarg)))
            return df_error_set(err, DF_EINPUT, "--session %s: not a UUID", optarg);
        return set_job(out, AN_SESSION, has_job, err);
    case 't':
        out->has_threshold = true;
        return parse_threshold(&out->threshold, optarg, err);
    case 'a':
        return parse_analyzer(&out->analyzer, optarg, err);
    case 'P':
        return parse_part_lines(&out->part_lines, optarg, err);
    case 'u':
        out->username = optarg;
        return DF_OK;
    case 'p':
        out->platform = optarg;
        return DF_OK;
    case 'S':
        out->strict = true;
        return DF_OK;
    case 'n':
        out->dry_run = true;
        return DF_OK;
    case 'r':
        out->restart = true;
        return DF_OK;
    default:
        return df_error_set(err, DF_EINPUT, "unknown option, or one without its value");
    }
}

/* An option of another job would be ignored silently, which is never what was meant. */
static enum df_code check(const struct an_options *o, struct df_error *err)
{
    if (o->strict && o->job != AN_JSONL)
        return df_error_set(err, DF_EINPUT, "--strict goes with --jsonl");
    if ((o->username != NULL || o->platform != NULL) && o->job != AN_EXPLAIN)
        return df_error_set(err, DF_EINPUT, "--username and --platform go with --message");
    if ((o->dry_run || o->restart || o->part_lines != 0 || o->analyzer != MRS_ANALYZE_AUTO) &&
        o->job != AN_SESSION)
        return df_error_set(err, DF_EINPUT,
                            "--analyzer, --dry-run, --restart, --part-lines go with --session");
    if (o->dry_run && o->restart)
        return df_error_set(err, DF_EINPUT, "--dry-run changes nothing, so --restart has no use");
    if (o->has_threshold && o->job == AN_JSONL)
        return df_error_set(err, DF_EINPUT, "--jsonl prints the confidence: compare it yourself");
    return DF_OK;
}

enum df_code an_options_parse(struct an_options *out, int argc, char **argv, struct df_error *err)
{
    bool has_job = false;
    int option;

    *out = (struct an_options){.job = AN_EXPLAIN, .analyzer = MRS_ANALYZE_AUTO};
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'h' || option == 'v') {
            out->job = option == 'h' ? AN_HELP : AN_VERSION;
            return DF_OK;
        }
        enum df_code rc = take(out, option, &has_job, err);
        if (rc != DF_OK)
            return rc;
    }
    if (optind < argc)
        return df_error_set(err, DF_EINPUT, "unknown argument '%s'", argv[optind]);
    return check(out, err);
}
