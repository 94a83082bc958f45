/* shared/intent/dataset.h - the labelled chat lines, for the trainer. Not used at run time. */
#ifndef SHARED_INTENT_DATASET_H
#define SHARED_INTENT_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"
#include "shared/intent.h"

struct df_example {
    struct df_chat_line line; /* borrows the dataset's memory */
    const char *item, *lang;
    bool is_buyer;
    enum df_message_type type;
    int64_t value_cents; /* DF_VALUE_NONE when the label is 0 */
    uint32_t weight;     /* 1, or from frequent-weights.txt */
    uint32_t file;       /* which of the files, in order of their names */
    uint32_t cluster;    /* near-duplicates share it, see df_dataset_cluster */
};

struct df_dataset {
    struct df_example *rows;
    size_t count, capacity;
    char **texts; /* the files' bytes, which the rows borrow */
    size_t text_count;
    uint32_t file_count;
    char **file_names; /* without ".tsv" */
};

/* Reads every *.tsv of a folder, in order of their names, and frequent-weights.txt if it is there.
 * Quoting is off: a '"' is a character. On DF_OK the caller ends *out with df_dataset_release;
 * otherwise *out holds nothing. DF_ENOTFOUND: no folder, or no rows; DF_EINPUT: a malformed row,
 * named by file and line. */
enum df_code df_dataset_read(struct df_dataset *out, const char *folder,
                             struct df_error *err) DF_MUST_USE;
void df_dataset_release(struct df_dataset *set);

/* Sets every row's cluster: rows whose messages are equal once folded, or whose sets of character
 * 4-grams have a Jaccard index of 0.6 or more, directly or through others. DF_ENOMEM. */
enum df_code df_dataset_cluster(struct df_dataset *set, struct df_error *err) DF_MUST_USE;

#endif
