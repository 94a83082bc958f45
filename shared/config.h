/* shared/config.h - settings from the environment, described by one table per program. --help, the
 * man page and deploy/env.example are printed from the same table. */
#ifndef SHARED_CONFIG_H
#define SHARED_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shared/error.h"

enum df_config_type {
    DF_CONFIG_STR,    /* char *: heap copy, NULL when unset and without default */
    DF_CONFIG_INT,    /* int64_t within [min, max] */
    DF_CONFIG_NUMBER, /* double within [min, max] */
    DF_CONFIG_CHOICE, /* int: index into the '|'-separated list in `choices` */
};

enum { DF_CONFIG_SECRET = 1 }; /* never printed */

struct df_config_key {
    const char *name;
    enum df_config_type type;
    size_t offset;         /* of the field in the program's struct */
    const char *fallback;  /* default as text, or NULL */
    int64_t min, max;      /* value range; for DF_CONFIG_STR the length range */
    int flags;
    const char *choices;   /* DF_CONFIG_CHOICE only */
    const char *help;      /* one line */
};

/* Fills `settings` from the environment (then from the defaults). An empty variable counts as unset.
 * DF_EINPUT names the variable and what it accepts; `settings` may then be partly filled and is
 * still to be released. Main thread, or the thread that reloads. */
enum df_code df_config_load(void *settings, const struct df_config_key *keys, size_t key_count,
                            struct df_error *err) DF_MUST_USE;
/* The same, but the KEY=VALUE lines of a file win over the environment (quotes around a value are
 * dropped, other lines are ignored): what a program reads anew on SIGHUP. DF_ENOTFOUND: no file. */
enum df_code df_config_load_file(void *settings, const struct df_config_key *keys,
                                 size_t key_count, const char *path,
                                 struct df_error *err) DF_MUST_USE;
/* Frees the strings (secrets are wiped first). */
void df_config_release(void *settings, const struct df_config_key *keys, size_t key_count);
/* Prints NAME, default and help, one setting a line: the lower part of --help. */
void df_config_print_help(FILE *out, const struct df_config_key *keys, size_t key_count);
/* Prints NAME=value, secrets as "(set)" or "(unset)": the output of --check. */
void df_config_print_values(FILE *out, const void *settings, const struct df_config_key *keys,
                            size_t key_count);

#endif
