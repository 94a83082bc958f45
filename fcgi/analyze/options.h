/* fcgi/analyze/options.h - the command line of dealflow-analyze. */
#ifndef FCGI_ANALYZE_OPTIONS_H
#define FCGI_ANALYZE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/uuid.h"

enum an_job {
    AN_EXPLAIN, /* lines from standard input or --message, verdict and reasons for people */
    AN_JSONL,
    AN_SESSION,
    AN_HELP,
    AN_VERSION,
};

struct an_options {
    enum an_job job;
    bool strict; /* AN_JSONL */

    const char *message; /* AN_EXPLAIN: NULL reads standard input */
    const char *username, *platform;

    struct df_uuid session; /* AN_SESSION */
    bool has_threshold;
    double threshold;
    int analyzer; /* MRS_ANALYZE_LOCAL, _GATEWAY, _HYBRID; MRS_ANALYZE_AUTO: the setting ANALYZER */
    bool dry_run, restart;
    int64_t part_lines; /* lines of one transaction; 0: what suits the analyzer */
};

/* Reads the arguments; the texts are borrowed from argv. DF_EINPUT: err->msg says what is wrong. */
enum df_code an_options_parse(struct an_options *out, int argc, char **argv,
                              struct df_error *err) DF_MUST_USE;

#endif
