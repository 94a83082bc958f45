/* shared/intent/report.h - the evaluation table of the trainer. */
#ifndef SHARED_INTENT_REPORT_H
#define SHARED_INTENT_REPORT_H

#include <stdio.h>

#include "shared/intent/dataset.h"

/* Prints precision, recall, F1 at the capture threshold, AUC and ECE, over all rows and by
 * language, type, platform, length and file, then types, values and items. verdicts[i] belongs to
 * set->rows[i]. DF_ENOMEM. */
enum df_code df_report_print(FILE *out, const struct df_dataset *set,
                             const struct df_verdict *verdicts, struct df_error *err) DF_MUST_USE;

#endif
