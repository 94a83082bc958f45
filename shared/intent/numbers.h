/* shared/intent/numbers.h - numbers written as words. Pure; private to shared/intent. */
#ifndef SHARED_INTENT_NUMBERS_H
#define SHARED_INTENT_NUMBERS_H

#include "shared/intent/text.h"

/* The value of a folded number word in the languages and the slang of live sales ("twenty",
 * "veinte", "hundo", "fiver"); 100 and 1000 are multipliers; 0 for any other token. */
int df_number_word(const struct df_text *text, const struct df_token *token);

#endif
