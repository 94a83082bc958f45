/* tests/fuzz/fuzz_rst_head.c - request line and headers, one a line: method, URI, Accept, Prefer,
 * Range, profile. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rest/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES = 6 };
static char *lines[LINES];

static const char *param(void *ctx, const char *name)
{
    static const char *const names[LINES] = {"REQUEST_METHOD", "REQUEST_URI",
                                             "HTTP_ACCEPT",    "HTTP_PREFER",
                                             "HTTP_RANGE",     "HTTP_ACCEPT_PROFILE"};
    (void)ctx;
    for (int i = 0; i < LINES; i++) {
        if (strcmp(names[i], name) == 0)
            return lines[i];
    }
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rst_arena arena = {.max_bytes = 1 << 20};
    struct rst_error err = {0};
    struct rst_head head;
    const struct mrs_io io = {.param = param};
    char applied[200];

    if (size > 16384)
        return 0;
    char *text = rst_copy(&arena, (const char *)data, size);
    for (int i = 0; i < LINES; i++)
        lines[i] = text == NULL ? NULL : strsep(&text, "\n");
    if (rst_head_read(&head, &io, "public", &arena, &err)) {
        rst_head_applied(&head, applied, sizeof applied);
        if (head.table == NULL || strchr(head.table, '/') != NULL || head.max_affected < -1 ||
            head.range_first < -1 || head.range_last < head.range_first ||
            strlen(applied) >= sizeof applied - 1 || strpbrk(applied, "\r\n") != NULL)
            abort();
    } else if (err.status < 400 || err.code[0] == '\0') {
        abort();
    }
    rst_arena_release(&arena);
    return 0;
}
