/* shared/intent/net_train.h - teaches the small network; runs at build time only. */
#ifndef SHARED_INTENT_NET_TRAIN_H
#define SHARED_INTENT_NET_TRAIN_H

#include "shared/intent/dataset.h"
#include "shared/intent/net.h"

#define DF_NET_LINE_MAX 64 /* tokens of a training line; the rest is left out */

struct df_net_token {
    uint16_t row, char_count;
    uint32_t classes;
    uint16_t chars[DF_NET_CHARS_MAX];
};

struct df_net_line {
    size_t count; /* with both borders; 0: a line that is never trained on */
    struct df_net_token *tokens;
};

/* The lines of a data set as the network reads them, read once for all fits. */
struct df_net_lines {
    size_t count;
    struct df_net_line *lines;
    const struct df_net_token *words[DF_NET_WORDS]; /* one that stands for the row, or NULL */
    uint32_t keys[DF_NET_INDEX];
    uint16_t rows[DF_NET_INDEX];
};

/* Reads all rows and gives the most frequent tokens a row of their own. Labels are not looked at.
 * The caller frees the result with df_net_lines_free. NULL: out of memory. */
struct df_net_lines *df_net_lines_new(const struct df_dataset *set);
void df_net_lines_free(struct df_net_lines *lines);

/* Fits a network to the rows i with use[i] != 0, each with weight[i], and writes it to *out, keys
 * and rows included. Deterministic; any thread. DF_ENOMEM. */
enum df_code df_net_train(struct df_net *out, const struct df_net_lines *lines,
                          const struct df_dataset *set, const uint8_t *use, const float *weight,
                          struct df_error *err) DF_MUST_USE;

#endif
