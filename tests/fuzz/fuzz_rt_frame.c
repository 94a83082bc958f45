/* tests/fuzz/fuzz_rt_frame.c - any frame of a client, and the join in it; what we write of it must be
 * JSON again. The first byte chooses serializer and kind. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/join.h"
#include "realtime/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void check_json(const char *text)
{
    json_t *root = json_loads(text, JSON_DECODE_ANY, NULL);
    MUST(root != NULL);
    json_decref(root);
}

static void check_join(const json_t *payload)
{
    struct rt_join join;

    if (rt_join_parse(&join, payload, NULL) != DF_OK)
        return;
    for (size_t i = 0; i < join.binding_count; i++) {
        check_json(join.binding[i].filter);
        check_json(join.binding[i].select);
        MUST(join.binding[i].session[0] == '\0' || strlen(join.binding[i].session) == 36);
    }
    rt_join_release(&join);
}

static void check_writing(const struct rt_frame *frame, enum rt_vsn vsn)
{
    struct df_buf out;

    df_buf_init(&out, 1 << 20);
    if (rt_wire_reply(&out, vsn, frame->has_join_ref ? frame->join_ref : NULL, frame->ref,
                      frame->topic, true, "{}", 2))
        check_json(out.data);
    df_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rt_frame frame;

    if (size < 1)
        return 0;
    enum rt_vsn vsn = (data[0] & 1) != 0 ? RT_VSN_2 : RT_VSN_1;
    bool is_binary = (data[0] & 2) != 0;
    if (rt_frame_parse(&frame, vsn, is_binary, data + 1, size - 1, NULL) != DF_OK)
        return 0;
    MUST(frame.is_binary == is_binary);
    MUST(is_binary || json_is_object(frame.payload));
    MUST(!is_binary || frame.bytes + frame.bytes_len == data + size);
    if (frame.payload != NULL)
        check_join(frame.payload);
    check_writing(&frame, vsn);
    rt_frame_release(&frame);
    return 0;
}
