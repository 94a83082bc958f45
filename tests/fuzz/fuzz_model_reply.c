/* tests/fuzz/fuzz_model_reply.c - a model server's body, any bytes, as answer and as refusal. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/gateway_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

/* The item must be what Postgres takes as text: valid UTF-8 without controls. */
static void check_item(const char *item)
{
    const unsigned char *at = (const unsigned char *)item;

    MUST(strlen(item) <= DF_ITEM_MAX_BYTES);
    while (*at != '\0') {
        size_t more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
        MUST(*at >= 0x20 && *at != 0x7f);
        MUST(*at < 0x80 || (*at >= 0xc2 && *at <= 0xf4));
        for (at++; more > 0; more--, at++)
            MUST((*at & 0xc0) == 0x80);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mrs_gateway_reply reply;
    struct df_error err = {0};
    enum df_code rc = mrs_gateway_format_reply((const char *)data, size, &reply, &err);

    MUST(rc == DF_OK || rc == DF_EUPSTREAM);
    MUST(rc == DF_OK || strncmp(err.msg, "No tool call", 12) == 0 ||
           strncmp(err.msg, "Unusable AI answer: ", 20) == 0);
    MUST(reply.verdict.confidence >= 0 && reply.verdict.confidence <= 1);
    MUST((unsigned)reply.verdict.type < DF_MESSAGE_TYPE_COUNT);
    MUST(reply.verdict.value_cents == DF_VALUE_NONE ||
           (reply.verdict.value_cents >= 1 && reply.verdict.value_cents <= DF_VALUE_CENTS_MAX));
    MUST(reply.prompt_tokens >= 0 && reply.completion_tokens >= 0);
    check_item(reply.verdict.item);
    (void)mrs_gateway_format_refusal(400, (const char *)data, size, "fake/m1");
    return 0;
}
