/* fcgi/weights.h - where the programs of this folder find the embedded model. */
#ifndef FCGI_WEIGHTS_H
#define FCGI_WEIGHTS_H

#include "shared/intent.h"

/* Opens the weight file `chosen` (INTENT_WEIGHTS), or when that is NULL the one that is installed
 * with this program: ../share/dealflow/intent.weights beside it. On DF_OK the caller owns *out;
 * otherwise as df_intent_model_open, and err->msg begins with INTENT_WEIGHTS. Any thread. */
enum df_code mrs_weights_open(struct df_intent_model **out, const char *chosen,
                              struct df_error *err) DF_MUST_USE;

#endif
