/* fcgi/analyze/explain.h - verdicts for people: what the model says of a line, and why. */
#ifndef FCGI_ANALYZE_EXPLAIN_H
#define FCGI_ANALYZE_EXPLAIN_H

#include <stdio.h>

#include "shared/intent.h"

struct an_explain {
    const struct df_intent_model *model;
    struct df_capture_rule rule;
    const char *username, *platform; /* of lines that are typed */
    FILE *out;
    bool in_colour;
};

/* Prints verdict, item, value and the strongest reasons of one message. Control bytes of the
 * message are shown as '?', so that chat cannot drive the terminal. */
void an_explain_print(const struct an_explain *explain, const char *message, size_t message_len);

/* Reads lines from `in` to its end and explains each; with `is_prompt` it asks for them, and knows
 * the commands :user NAME, :platform NAME, :help and :quit. DF_EUNAVAILABLE: reading or writing
 * failed. */
enum df_code an_explain_lines(struct an_explain *explain, FILE *in, bool is_prompt,
                              struct df_error *err) DF_MUST_USE;

#endif
