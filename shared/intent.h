/* shared/intent.h - does the author of a chat line want to buy? The verdict, the capture rule, and
 * the embedded model. Pure; the capture threshold lives here and nowhere else. */
#ifndef SHARED_INTENT_H
#define SHARED_INTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

#define DF_CAPTURE_THRESHOLD "0.7" /* default of CONFIDENCE_THRESHOLD, as text for the table */
#define DF_ITEM_MAX_BYTES 200

enum df_message_type {
    DF_DIRECT_PURCHASE,
    DF_PRODUCT_QUESTION,
    DF_PRICING_QUESTION,
    DF_INTEREST,
    DF_GENERAL,
    DF_MESSAGE_TYPE_COUNT,
};

#define DF_VALUE_NONE (-1)
#define DF_VALUE_CENTS_MAX 9999999999 /* numeric(10,2) */

struct df_verdict {
    bool is_buyer;
    double confidence;  /* 0..1, never NaN: what a threshold is held to */
    double probability; /* 0..1: the local model's calibrated chance of a buyer; else 0 */
    enum df_message_type type;
    char item[DF_ITEM_MAX_BYTES + 1]; /* "" when none; valid UTF-8 */
    int64_t value_cents;              /* 1..DF_VALUE_CENTS_MAX, or DF_VALUE_NONE */
};

struct df_capture_rule {
    double threshold;    /* 0..1 */
    unsigned type_mask;  /* bit 1 << enum df_message_type: which types may be captured */
};

/* The one place that decides whether a verdict becomes a sale. */
bool df_intent_should_capture(const struct df_verdict *verdict, const struct df_capture_rule *rule);

/* "direct_purchase" ... "general"; an unknown name parses as DF_GENERAL with false. */
const char *df_message_type_name(enum df_message_type type);
bool df_message_type_parse(enum df_message_type *out, const char *name, size_t name_len);

/* A line as the model sees it; borrowed texts of valid UTF-8, need not be NUL-terminated. */
struct df_chat_line {
    const char *platform, *username, *message;
    size_t platform_len, username_len, message_len;
};

struct df_intent_model; /* weights, mapped read-only and shared by all threads */

/* Maps the weight file that shared/intent/train wrote. On DF_OK the caller owns *out. DF_ENOTFOUND:
 * no such file; DF_EINPUT: not a weight file of this version, or its checksum is wrong. */
enum df_code df_intent_model_open(struct df_intent_model **out, const char *path,
                                  struct df_error *err) DF_MUST_USE;
void df_intent_model_close(struct df_intent_model *model); /* NULL is fine */
/* Text that tells one training from another, e.g. "local-1f3a9c2e"; lives as long as the model. */
const char *df_intent_model_name(const struct df_intent_model *model);

/* Judges one line. Never allocates, never fails, any thread; time grows with message_len only.
 * item is a span of the message; hosts, moderators and bots (by username) are DF_GENERAL. */
void df_intent_classify(const struct df_intent_model *model, const struct df_chat_line *line,
                        struct df_verdict *out);

/* The band of confidence around the 0.7 cut that holds `share` (0..1) of all lines and, of such
 * bands, the most wrong verdicts: where a second opinion is worth its price. From lines that the
 * training had not seen. A line is inside when *low <= confidence < *high. A share of 0 or less,
 * or NaN, gives an empty band (both are 0.7); 1 or more gives 0 and 2, which holds every line. */
void df_intent_band(const struct df_intent_model *model, double share, double *low, double *high);

/* A part of a line that speaks for (weight > 0) or against a buyer, in steps of log-odds. */
struct df_intent_reason {
    char text[64]; /* for people; valid UTF-8 and NUL; quotes the message, cut when long */
    double weight;
};

/* Fills out[0..n) with the strongest reasons of df_intent_classify, strongest first, and returns n
 * <= max. Any thread, no allocation; for people and slower than the verdict. */
size_t df_intent_explain(const struct df_intent_model *model, const struct df_chat_line *line,
                         struct df_intent_reason *out, size_t max);

/* Writes the canonical form of a message: letters folded (case, accents, styles, look-alikes,
 * stretched letters), invisible characters and repeated signs dropped, one space for many. Numbers
 * and names stay. Two messages with one form mean the same. Returns the bytes written (at most
 * out_max, no NUL, valid UTF-8); 0 when there is nothing to see or when the message is too long
 * for `out` or for the model: then it has no form, and must not be taken for another one. Pure. */
size_t df_intent_normalise(const char *text, size_t text_len, char *out, size_t out_max);

#endif
