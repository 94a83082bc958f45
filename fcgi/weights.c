/* fcgi/weights.c - the weight file beside the program. */
#include "fcgi/weights.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void default_path(char *out, size_t out_size)
{
    char exe[512];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n < 0 ? 0 : n] = '\0';
    for (int up = 0; up < 2; up++) { /* .../bin/program -> ... */
        char *slash = strrchr(exe, '/');
        if (slash != NULL)
            *slash = '\0';
    }
    (void)snprintf(out, out_size, "%s/share/dealflow/intent.weights", exe);
}

enum df_code mrs_weights_open(struct df_intent_model **out, const char *chosen,
                              struct df_error *err)
{
    char path[600];

    default_path(path, sizeof path);
    enum df_code rc = df_intent_model_open(out, chosen == NULL ? path : chosen, err);
    if (rc != DF_OK)
        (void)df_error_wrap(err, "INTENT_WEIGHTS");
    return rc;
}
