/* tests/fuzz/fuzz_rt_filter.c - any filter text becomes canonical JSON or an error, never both. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "realtime/join.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char session[37], error[512];
    struct df_buf out;

    df_buf_init(&out, 1 << 16);
    bool is_good =
        rt_filter_parse(&out, (const char *)data, size, session, error, sizeof error);
    if (is_good != (error[0] == '\0') || (!is_good && out.len != 0))
        abort();
    if (is_good) {
        json_t *list = json_loadb(out.data, out.len, 0, NULL);
        if (!json_is_array(list))
            abort();
        json_decref(list);
    }
    df_buf_release(&out);
    return 0;
}
