/* tests/fuzz/fuzz_batch_reply.c - a model server's body about several lines, any bytes; the first
 * byte says about how many lines it was asked. */
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

static void check_verdict(const struct df_verdict *v)
{
    MUST(v->confidence >= 0 && v->confidence <= 1);
    MUST((unsigned)v->type < DF_MESSAGE_TYPE_COUNT);
    MUST(v->value_cents == DF_VALUE_NONE ||
         (v->value_cents >= 1 && v->value_cents <= DF_VALUE_CENTS_MAX));
    MUST(memchr(v->item, '\0', sizeof v->item) != NULL);
    for (const char *c = v->item; *c != '\0'; c++)
        MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mrs_numbering numbering = {.first = 117, .step = 13};
    struct mrs_batch_reply reply;
    struct df_error err = {0};
    size_t clear = 0;

    if (size == 0)
        return 0;
    size_t count = 2 + data[0] % (MRS_BATCH_LINES_MAX - 1);
    enum df_code rc = mrs_gateway_format_batch_reply((const char *)data + 1, size - 1, &numbering,
                                                     count, &reply, &err);
    MUST(rc == DF_OK || rc == DF_EUPSTREAM);
    MUST((rc == DF_OK) == (reply.clear_count > 0));
    for (size_t i = 0; i < MRS_BATCH_LINES_MAX; i++) {
        MUST(!reply.is_clear[i] || i < count);
        clear += reply.is_clear[i];
        if (reply.is_clear[i])
            check_verdict(&reply.verdicts[i]);
    }
    MUST(clear == reply.clear_count);
    MUST(reply.prompt_tokens >= 0 && reply.completion_tokens >= 0);
    return 0;
}
