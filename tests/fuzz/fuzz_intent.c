/* tests/fuzz/fuzz_intent.c - judges arbitrary bytes. The weights are made up in memory, so that
 * every rule behind the model is reached and no trained file is needed. Input: username, a NUL,
 * message. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static struct df_weights *made_up_weights(void)
{
    struct df_weights *w = calloc(1, sizeof *w);
    uint32_t x = 1;

    MUST(w != NULL);
    w->buyer_bias = 0.5f; /* most lines are buyers: the rules for item and value run */
    w->buyer_scale = 1e-4f;
    w->slope = 1;
    w->cut = 0.4f;
    for (uint32_t i = 0; i < DF_FEATURE_SLOTS; i++) {
        x = x * 1664525u + 1013904223u;
        w->buyer[i] = (int16_t)(x >> 16);
        for (int t = 0; t < DF_WEIGHTS_TYPES; t++)
            w->types[i >> DF_TYPE_FOLD][t] = (int8_t)(x >> (8 * t));
    }
    for (size_t r = 0; r < DF_NET_WORDS; r++)
        for (size_t f = 0; f < DF_NET_FILTERS; f++) {
            x = x * 1664525u + 1013904223u;
            w->net.responses[r].of[r % DF_NET_WIDTH][f] = (int16_t)((int)(x >> 18) - 8000);
        }
    for (size_t f = 0; f < DF_NET_FILTERS; f++)
        w->net.out[f] = f % 2 == 0 ? 0.1f : -0.1f;
    for (size_t i = 0; i < DF_NET_INDEX; i += 2) { /* some tokens are known */
        w->net.keys[i] = (uint32_t)i;
        w->net.rows[i] = (uint16_t)(i % 7000); /* a damaged row number among them */
    }
    for (uint32_t i = 0; i < DF_OFFER_SLOTS; i++) {
        x = x * 1664525u + 1013904223u;
        w->offer.weights[i] = (float)(x >> 24) / 128 - 1;
    }
    w->offer.lift[0] = w->offer.lift[1] = 1;
    w->net.response_scale = 1e-3f;
    w->net.chars_scale = 1e-2f;
    for (int t = 0; t < DF_WEIGHTS_TYPES; t++)
        w->type_scale[t] = 0.01f;
    return w;
}

static int is_valid_utf8(const char *text, size_t len)
{
    size_t taken;

    for (size_t i = 0; i < len; i += taken)
        if (df_utf8_read((const unsigned char *)text + i, len - i, &taken) == 0xfffd && taken == 1)
            return 0;
    return 1;
}

/* The reasons are texts, the strongest first; the canonical form is text and its well-formed too.
 */
static void check_the_rest(const struct df_weights *weights, const struct df_chat_line *line)
{
    struct df_intent_reason reasons[40];
    char form[4096], again[4096];
    size_t n = df_weights_explain(weights, line, reasons, 40), form_len;

    MUST(n <= 40);
    for (size_t i = 0; i < n; i++) {
        MUST(is_valid_utf8(reasons[i].text, strlen(reasons[i].text)));
        MUST(i == 0 || fabs(reasons[i].weight) <= fabs(reasons[i - 1].weight));
    }
    form_len = df_intent_normalise(line->message, line->message_len, form, sizeof form);
    MUST(form_len <= sizeof form && is_valid_utf8(form, form_len));
    MUST(df_intent_normalise(form, form_len, again, sizeof again) <= sizeof again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct df_weights *weights;
    const char *all = (const char *)data;
    const char *nul = size == 0 ? NULL : memchr(all, '\0', size);
    size_t name_len = nul == NULL ? 0 : (size_t)(nul - all);
    size_t message_at = nul == NULL ? 0 : name_len + 1;
    size_t message_len = size - message_at, item_len;
    char *message = malloc(message_len == 0 ? 1 : message_len); /* exact, for ASan */
    struct df_chat_line line = {"tiktok", all, message, 6, name_len, message_len};
    struct df_verdict v, again;

    MUST(message != NULL);
    if (message_len > 0)
        memcpy(message, all + message_at, message_len);
    if (weights == NULL)
        weights = made_up_weights();
    memset(&v, 0xa5, sizeof v);
    memset(&again, 0x5a, sizeof again);
    df_weights_classify(weights, &line, &v);
    df_weights_classify(weights, &line, &again);

    MUST(v.confidence >= 0 && v.confidence <= 1);
    MUST((unsigned)v.type < DF_MESSAGE_TYPE_COUNT);
    MUST(v.is_buyer == (v.type != DF_GENERAL));
    MUST(v.value_cents == DF_VALUE_NONE ||
         (v.value_cents >= 1 && v.value_cents <= DF_VALUE_CENTS_MAX));
    item_len = strnlen(v.item, sizeof v.item);
    MUST(item_len <= DF_ITEM_MAX_BYTES);
    MUST(item_len == 0 || memmem(message, message_len, v.item, item_len) != NULL);
    MUST(is_valid_utf8(v.item, item_len));
    MUST(v.is_buyer || (item_len == 0 && v.value_cents == DF_VALUE_NONE));
    MUST(v.is_buyer == again.is_buyer && v.type == again.type && v.confidence == again.confidence &&
         v.value_cents == again.value_cents && strcmp(v.item, again.item) == 0);
    check_the_rest(weights, &line);
    free(message);
    return 0;
}
