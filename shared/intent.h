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
    double confidence; /* 0..1, never NaN */
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

#endif
