/* tests/fuzz/fuzz_rst_filter.c - the value of a filter, a tree, or a select, as it is after
 * decoding. The first byte chooses which; column names that the catalogue knows are "_", "id" and
 * so on. */
#include "fcgi/rest/query_parts.h"
#include "tests/fuzz/rst_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_one(char which, struct rst_reader *reader, struct rst_query *query,
                     struct rst_filter *filter)
{
    if (which == 's') {
        reader->what = "select parameter";
        return rst_read_select(reader, &query->items);
    }
    query->filters = filter;
    if (which == 'o') {
        filter->kind = RST_OR;
        reader->what = "logic tree";
        return rst_read_tree(reader, filter);
    }
    *filter = (struct rst_filter){.kind = RST_LEAF, .field = {.name = "_"}};
    reader->what = "filter";
    return rst_read_condition(reader, filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rst_arena arena = {.max_bytes = 16 << 20};
    struct rst_error err = {0};
    struct rst_query query = {.limit = -1};
    struct rst_filter filter = {0};

    if (size == 0 || size > 16384 || memchr(data, '\0', size) != NULL)
        return 0;
    char *text = rst_copy(&arena, (const char *)data + 1, size - 1);
    struct rst_reader reader = {.text = text, .at = text, .arena = &arena, .err = &err};
    if (read_one((char)data[0], &reader, &query, &filter)) {
        if (*reader.at != '\0')
            abort(); /* something was left unread */
        try_statement(RST_GET, RST_RETURN_MINIMAL, "_", &query, NULL, &arena);
        try_statement(RST_HEAD, RST_RETURN_MINIMAL, "things", &query, NULL, &arena);
    } else {
        check_error(&err);
    }
    rst_arena_release(&arena);
    return 0;
}
