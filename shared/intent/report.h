/* shared/intent/report.h - the evaluation table of the trainer. */
#ifndef SHARED_INTENT_REPORT_H
#define SHARED_INTENT_REPORT_H

#include <stdio.h>

#include "shared/intent/dataset.h"

/* What a model said about one held-out row. */
struct df_judged {
    struct df_verdict verdict;
    double probability;
};

/* Prints precision, recall, F1 at the capture threshold, AUC and ECE, over all rows and by
 * language, then types, values and items. judged[i] belongs to set->rows[i]. DF_ENOMEM. */
enum df_code df_report_print(FILE *out, const struct df_dataset *set,
                             const struct df_judged *judged, struct df_error *err) DF_MUST_USE;

#endif
