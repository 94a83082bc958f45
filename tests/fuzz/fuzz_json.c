/* tests/fuzz/fuzz_json.c - what jansson takes we take with the same value; what we take is clean
 * UTF-8 and can be printed and read again; strings and numbers print as JSON. */
#include "shared/json.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

static void check_strings(const json_t *value)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_string(value))
        MUST(strlen(json_string_value(value)) == json_string_length(value));
    json_array_foreach((json_t *)value, i, member) check_strings(member);
    json_object_foreach((json_t *)value, key, member) check_strings(member);
}

static void parse(const char *body, size_t len)
{
    struct df_error err = {0};
    json_t *root, *plain, *again;
    enum df_code rc = df_json_parse(&root, body, len, 1 << 20, &err);

    plain = json_loadb(body, len, JSON_DECODE_ANY, NULL);
    if (rc == DF_OK) {
        MUST(root != NULL);
        MUST(plain == NULL || json_equal(plain, root));
        check_strings(root);
        char *text = json_dumps(root, JSON_ENCODE_ANY | JSON_COMPACT);
        MUST(text != NULL); /* jansson prints valid UTF-8 only */
        MUST(df_json_parse(&again, text, strlen(text), 16 << 20, NULL) == DF_OK);
        MUST(json_equal(root, again));
        json_decref(again);
        free(text);
    } else {
        MUST(root == NULL && rc == DF_EINPUT && err.msg[0] != '\0');
        MUST(plain == NULL || strstr(err.msg, "nested") != NULL);
    }
    json_decref(root);
    json_decref(plain);
}

static void print(const char *text, size_t len)
{
    struct df_buf buf;
    double number;
    json_t *back;

    df_buf_init(&buf, len * 6 + 2);
    MUST(df_json_append_string(&buf, text, len));
    MUST(df_json_parse(&back, buf.data, buf.len, buf.len, NULL) == DF_OK && json_is_string(back));
    json_decref(back);
    df_buf_reset(&buf);
    buf.max = 40;
    if (len >= sizeof number) {
        memcpy(&number, text, sizeof number);
        MUST(df_json_append_number(&buf, number));
        MUST(df_json_parse(&back, buf.data, buf.len, buf.len, NULL) == DF_OK);
        MUST(json_is_null(back) || json_number_value(back) == number);
        json_decref(back);
    }
    df_buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse((const char *)data, size);
    print((const char *)data, size);
    return 0;
}
