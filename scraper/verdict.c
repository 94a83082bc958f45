/* scraper/verdict.c - from a chat line to buyer or not, question or not, and why. */
#include "scraper/verdict.h"

#include <stdio.h>
#include <string.h>

void scr_verdict_make(struct scr_verdict *out, const struct df_intent_model *model,
                      const struct df_capture_rule *rule, const char *platform,
                      const char *username, const char *text, enum scr_kind kind,
                      enum scr_role role)
{
    const struct df_chat_line line = {
        .platform = platform,
        .username = username,
        .message = text,
        .platform_len = strlen(platform),
        .username_len = strlen(username),
        .message_len = strlen(text),
    };

    memset(out, 0, sizeof *out);
    out->judged.type = DF_GENERAL;
    out->judged.value_cents = DF_VALUE_NONE;
    if (model == NULL || kind != SCR_CHAT)
        return;
    df_intent_classify(model, &line, &out->judged);
    out->is_buyer = role == SCR_VIEWER && df_intent_should_capture(&out->judged, rule);
    out->is_question =
        out->judged.type == DF_PRODUCT_QUESTION || out->judged.type == DF_PRICING_QUESTION;
}

const char *scr_verdict_reason(char *out, size_t out_size, const struct scr_verdict *verdict)
{
    static const char *const what[] = {"wants to buy", "asks about the product",
                                       "asks for the price", "shows interest", "may want to buy"};
    char item[DF_ITEM_MAX_BYTES + 8] = "", offer[40] = "";

    if (verdict->judged.item[0] != '\0')
        (void)snprintf(item, sizeof item, ": %s", verdict->judged.item);
    if (verdict->judged.value_cents != DF_VALUE_NONE)
        (void)snprintf(offer, sizeof offer, ", offers $%lld.%02lld",
                       (long long)verdict->judged.value_cents / 100,
                       (long long)verdict->judged.value_cents % 100);
    (void)snprintf(out, out_size, "%s%s%s", what[verdict->judged.type], item, offer);
    return out;
}
