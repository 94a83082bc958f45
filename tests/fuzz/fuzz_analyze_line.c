/* tests/fuzz/fuzz_analyze_line.c - whatever line arrives at `dealflow-analyze --jsonl`, reading it
 * in place and reading it with the JSON parser come to the same, and the verdict is one JSON line. */
#include "fcgi/analyze/line.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void check_text(const json_t *value, const char *otherwise, const char *text, size_t len)
{
    if (json_is_string(value))
        MUST(json_string_length(value) == len && memcmp(json_string_value(value), text, len) == 0);
    else if (value == NULL || json_is_null(value))
        MUST(strlen(otherwise) == len && memcmp(otherwise, text, len) == 0);
    else
        MUST(len > 0 && len < 32);
}

static void check_against_parser(const struct an_line *line, const char *bytes, size_t len)
{
    struct df_error err = {0};
    json_t *root;

    MUST(df_json_parse(&root, bytes, len, len, &err) == DF_OK && json_is_object(root));
    MUST(json_object_get(root, "message") != NULL);
    check_text(json_object_get(root, "message"), "", line->chat.message, line->chat.message_len);
    check_text(json_object_get(root, "username"), "", line->chat.username, line->chat.username_len);
    const json_t *platform = json_object_get(root, "platform");
    check_text(json_is_string(platform) ? platform : NULL, "whatnot", line->chat.platform,
               line->chat.platform_len);
    json_decref(root);
}

/* The message as item, its length as confidence and value: any text and any number must print. */
static void check_answer(const struct an_line *line)
{
    struct df_verdict v = {.is_buyer = true, .type = DF_INTEREST};
    size_t item_len = line->chat.message_len;
    struct df_buf out;
    struct df_error err = {0};
    json_t *root;

    if (item_len > DF_ITEM_MAX_BYTES)
        item_len = DF_ITEM_MAX_BYTES;
    memcpy(v.item, line->chat.message, item_len);
    v.confidence = 1.0 / (1.0 + (double)line->chat.username_len);
    v.value_cents = item_len == 0 ? DF_VALUE_NONE : (int64_t)item_len * 37;
    df_buf_init(&out, 4096);
    MUST(an_verdict_append(&out, &v));
    MUST(memchr(out.data, '\n', out.len) == out.data + out.len - 1);
    MUST(df_json_parse(&root, out.data, out.len, out.len, &err) == DF_OK);
    MUST(json_object_size(root) == 5 && json_is_true(json_object_get(root, "is_buyer")));
    double confidence = json_number_value(json_object_get(root, "confidence"));
    MUST(confidence <= v.confidence && v.confidence - confidence < 1e-6);
    MUST((confidence >= 0.2) == (v.confidence >= 0.2));
    double value = json_number_value(json_object_get(root, "estimated_value"));
    MUST(value == (item_len == 0 ? 0 : (double)v.value_cents / 100));
    json_decref(root);
    df_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct an_line line;
    struct df_error err = {0};
    char *exact = malloc(size == 0 ? 1 : size); /* for ASan: not a byte more */

    MUST(exact != NULL);
    if (size > 0)
        memcpy(exact, data, size);
    if (size > 0 && memchr(exact, '\n', size) != NULL) {
        free(exact); /* never part of a line */
        return 0;
    }
    enum df_code rc = an_line_parse(&line, exact, size, &err);
    if (rc == DF_OK) {
        check_against_parser(&line, exact, size);
        check_answer(&line);
        an_line_release(&line);
    } else {
        MUST(rc == DF_EINPUT && err.code == rc && err.msg[0] != '\0');
    }
    free(exact);
    return 0;
}
