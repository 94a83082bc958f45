/* tests/fuzz/fuzz_rst_query.c - any query string becomes statements that hold nothing of it but
 * harmless aliases, or an error. */
#include "fcgi/rest/query.h"
#include "tests/fuzz/rst_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rst_arena arena = {.max_bytes = 16 << 20};
    struct rst_error err = {0};
    struct rst_query query;

    if (size > 16384)
        return 0;
    char *text = rst_copy(&arena, (const char *)data, size);
    if (rst_query_parse(&query, text, size, &arena, &err)) {
        try_statement(RST_GET, RST_RETURN_MINIMAL, "things", &query, NULL, &arena);
        try_statement(RST_HEAD, RST_RETURN_MINIMAL, "_", &query, NULL, &arena);
        try_statement(RST_DELETE, RST_RETURN_ROWS, "things", &query, NULL, &arena);
    } else {
        check_error(&err);
    }
    rst_arena_release(&arena);
    return 0;
}
