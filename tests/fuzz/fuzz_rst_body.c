/* tests/fuzz/fuzz_rst_body.c - the body of an insert, upsert and update; the first byte chooses the
 * table. The body itself must reach Postgres as a parameter, byte by byte. */
#include "fcgi/rest/body.h"
#include "tests/fuzz/rst_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const tables[] = {"things", "pairs", "seen", "_"};
    struct rst_arena arena = {.max_bytes = 16 << 20};
    struct rst_error err = {0};
    struct rst_query all = {.limit = -1}, one = {.limit = -1};
    struct rst_filter filter = {.kind = RST_LEAF, .field = {.name = "_"}, .value = "x"};
    struct rst_name column = {.name = "id"};
    struct rst_body body;

    if (size == 0 || size > 65536)
        return 0;
    const char *table = tables[data[0] % 4];
    bool any_keys = (data[0] & 4) != 0;
    char *text = rst_copy(&arena, (const char *)data + 1, size - 1);
    one.filters = &filter;
    if (any_keys)
        all.columns = &column;
    if (rst_body_read(&body, text, size - 1, "application/json", any_keys, &arena, &err)) {
        if (body.text != text || body.row_count > size)
            abort();
        try_statement(RST_POST, RST_RETURN_ROWS, table, &all, &body, &arena);
        try_statement(RST_POST, RST_RETURN_HEADERS, table, &all, &body, &arena);
        try_statement(RST_PATCH, RST_RETURN_MINIMAL, table, &one, &body, &arena);
    } else {
        check_error(&err);
    }
    rst_arena_release(&arena);
    return 0;
}
