/* shared/intent/verdict.c - the capture rule, and the names of the message types. */
#include "shared/intent.h"

#include <string.h>

static const char *const names[DF_MESSAGE_TYPE_COUNT] = {
    [DF_DIRECT_PURCHASE] = "direct_purchase",
    [DF_PRODUCT_QUESTION] = "product_question",
    [DF_PRICING_QUESTION] = "pricing_question",
    [DF_INTEREST] = "interest",
    [DF_GENERAL] = "general",
};

bool df_intent_should_capture(const struct df_verdict *verdict, const struct df_capture_rule *rule)
{
    if (!verdict->is_buyer || (unsigned)verdict->type >= DF_MESSAGE_TYPE_COUNT)
        return false;
    if ((rule->type_mask >> (unsigned)verdict->type & 1u) == 0)
        return false;
    return verdict->confidence >= rule->threshold; /* false when either is NaN */
}

const char *df_message_type_name(enum df_message_type type)
{
    return (unsigned)type < DF_MESSAGE_TYPE_COUNT ? names[type] : names[DF_GENERAL];
}

bool df_message_type_parse(enum df_message_type *out, const char *name, size_t name_len)
{
    for (int i = 0; i < DF_MESSAGE_TYPE_COUNT; i++) {
        if (strlen(names[i]) == name_len && memcmp(names[i], name, name_len) == 0) {
            *out = (enum df_message_type)i;
            return true;
        }
    }
    *out = DF_GENERAL;
    return false;
}
