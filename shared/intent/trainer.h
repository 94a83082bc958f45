/* shared/intent/trainer.h - the parts of the trainer: data read once, fits, whole models. Build
 * time only; out of memory ends the program. */
#ifndef SHARED_INTENT_TRAINER_H
#define SHARED_INTENT_TRAINER_H

#include <linear.h>

#include "shared/intent/dataset.h"
#include "shared/intent/net_train.h"
#include "shared/intent/weights.h"

#define INNER_FOLDS 3 /* to find the cut; each costs two fits */

struct trainer {
    struct df_dataset set;
    struct feature_node **nodes; /* one list per row, ends with index -1; NULL for hosts */
    struct feature_node **type_nodes;
    float *weight; /* of a row in training */
    struct df_net_lines *lines;
    uint8_t *inner_fold;
    struct trainer_amount *amounts; /* of all rows but hosts', by row */
    size_t amount_count;
    unsigned char common[DF_COMMON_BYTES];
};

/* Prints and exits when there is no memory: a build tool, there is nothing better to do. */
void *trainer_alloc(size_t count, size_t size);

/* Reads the folder and everything that all fits share. Prints and returns false on bad data. */
bool trainer_read(struct trainer *t, const char *folder);
void trainer_release(struct trainer *t);

/* One linear model of the rows with use[i]; the caller frees it with free_and_destroy_model. */
struct model *trainer_fit_buyer(const struct trainer *t, const uint8_t *use);
struct model *trainer_fit_type(const struct trainer *t, const uint8_t *use);
double trainer_linear_score(const struct model *m, const struct feature_node *x);
void trainer_put_buyer(struct df_weights *w, const struct model *m);
void trainer_put_types(struct df_weights *w, const struct model *m);

/* What can be known of amounts before any fit: fills t->amounts from t->nodes' rows. */
void trainer_read_amounts(struct trainer *t);
void trainer_release_amounts(struct trainer *t);

/* Learns the offers of the rows with use[i]. score[] is by fits that had not seen the row; those of
 * rows with an amount are replaced by what they become with the offer, not having seen it either. */
void trainer_fit_offers(const struct trainer *t, const uint8_t *use, double *score,
                        struct df_offer_head *head);

/* A whole model of the rows with use[i], calibrated on folds inside them; two threads. */
void trainer_build(const struct trainer *t, const uint8_t *use, struct df_weights *w);

/* Judges every row by a model that was not trained on it and prints the report. With rows_path,
 * also writes every row's verdict there, for reading what went wrong. */
enum trainer_split { BY_CLUSTER, BY_FILE };
int trainer_evaluate(const struct trainer *t, enum trainer_split split, const char *rows_path);

#endif
