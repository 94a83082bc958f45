/* Unit tests of fcgi/analyze/line.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/analyze/line.h"

static void reads_a_line_however_it_is_written(void **state)
{
    static const struct {
        const char *line, *username, *message, *platform;
    } rows[] = {
        {"{\"username\":\"kat\",\"message\":\"mine\",\"platform\":\"tiktok\"}", "kat", "mine", "tiktok"},
        {" { \"platform\" : \"tiktok\" , \"message\" : \"mine\" } \r", "", "mine", "tiktok"},
        {"{\"message\":\"mine\"}", "", "mine", "whatnot"},
        {"{\"message\":\"\"}", "", "", "whatnot"},
        {"{\"message\":\"x\",\"platform\":null,\"username\":null}", "", "x", "whatnot"},
        {"{\"message\":\"x\",\"platform\":5}", "", "x", "whatnot"},
        {"{\"message\":45.50,\"username\":true}", "true", "45.5", "whatnot"},
        {"{\"message\":\"a\",\"other\":\"x\",\"message\":\"b\"}", "", "b", "whatnot"},
        {"{\"message\":\"a\",\"other\":{\"message\":\"no\"}}", "", "a", "whatnot"},
        {"{\"message\":\"\\u00e9 \\ud83d\\ude00\"}", "", "\xC3\xA9 \xF0\x9F\x98\x80", "whatnot"},
        {"{\"message\":\"a\xFFz\"}", "", "a\xEF\xBF\xBDz", "whatnot"},
        {"\xEF\xBB\xBF{\"message\":\"x\"}", "", "x", "whatnot"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct an_line line;
        struct df_error err = {0};
        if (an_line_parse(&line, rows[i].line, strlen(rows[i].line), &err) != DF_OK)
            fail_msg("row %zu: %s", i, err.msg);
        const struct df_chat_line *chat = &line.chat;
        if (chat->username_len != strlen(rows[i].username) ||
            memcmp(chat->username, rows[i].username, chat->username_len) != 0 ||
            chat->message_len != strlen(rows[i].message) ||
            memcmp(chat->message, rows[i].message, chat->message_len) != 0 ||
            chat->platform_len != strlen(rows[i].platform) ||
            memcmp(chat->platform, rows[i].platform, chat->platform_len) != 0)
            fail_msg("row %zu: %.*s", i, (int)chat->message_len, chat->message);
        an_line_release(&line);
    }
}

static void refuses_what_is_no_line(void **state)
{
    static const struct {
        const char *line, *why;
    } rows[] = {
        {"", "the line is empty"},
        {" \t\r", "the line is empty"},
        {"mine", "Invalid JSON: "},
        {"[\"mine\"]", "not a JSON object"},
        {"null", "not a JSON object"},
        {"{\"username\":\"kat\"}", "message is missing"},
        {"{\"message\":null}", "message is missing"},
        {"{\"message\":{}}", "message must be a text"},
        {"{\"message\":\"x\",\"username\":[]}", "username must be a text"},
        {"{\"message\":\"x\"", "Invalid JSON: "},
        {"{\"message\":\"x\",}", "Invalid JSON: "},
        {"{\"message\":\"x\"} x", "Invalid JSON: "},
        {"{\"message\":\"a\tb\"}", "Invalid JSON: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct an_line line;
        struct df_error err = {0};
        if (an_line_parse(&line, rows[i].line, strlen(rows[i].line), &err) != DF_EINPUT ||
            strncmp(err.msg, rows[i].why, strlen(rows[i].why)) != 0)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static void writes_one_line_with_five_fields(void **state)
{
    static const struct {
        struct df_verdict verdict;
        const char *line;
    } rows[] = {
        {{.is_buyer = true, .confidence = 0.93, .type = DF_DIRECT_PURCHASE, .item = "the \"blue\" one",
          .value_cents = 4550},
         "{\"is_buyer\":true,\"confidence\":0.93,\"message_type\":\"direct_purchase\","
         "\"item_description\":\"the \\\"blue\\\" one\",\"estimated_value\":45.5}\n"},
        {{.confidence = 0, .type = DF_GENERAL, .value_cents = DF_VALUE_NONE},
         "{\"is_buyer\":false,\"confidence\":0,\"message_type\":\"general\","
         "\"item_description\":\"\",\"estimated_value\":0}\n"},
        {{.is_buyer = true, .confidence = 1, .type = DF_INTEREST, .value_cents = DF_VALUE_CENTS_MAX},
         "{\"is_buyer\":true,\"confidence\":1,\"message_type\":\"interest\","
         "\"item_description\":\"\",\"estimated_value\":99999999.99}\n"},
        {{.is_buyer = true, .confidence = 1e-6, .type = DF_INTEREST, .value_cents = 100},
         "{\"is_buyer\":true,\"confidence\":0.000001,\"message_type\":\"interest\","
         "\"item_description\":\"\",\"estimated_value\":1}\n"},
        {{.is_buyer = true, .confidence = 0.5, .type = DF_INTEREST, .value_cents = 5},
         "{\"is_buyer\":true,\"confidence\":0.5,\"message_type\":\"interest\","
         "\"item_description\":\"\",\"estimated_value\":0.05}\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct df_buf out;
        df_buf_init(&out, 4096);
        assert_true(an_verdict_append(&out, &rows[i].verdict));
        assert_string_equal(out.data, rows[i].line);
        df_buf_release(&out);
    }
}

/* The printed number must be on the same side of 0.7 as the verdict, however close that is. */
static void never_rounds_a_confidence_over_the_threshold(void **state)
{
    const double near[] = {0.7, nextafter(0.7, 0), nextafter(0.7, 1), 0.6999999, 0.69999951};
    (void)state;
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        const struct df_verdict v = {.is_buyer = true, .confidence = near[i], .value_cents = -1};
        struct df_buf out;
        df_buf_init(&out, 4096);
        assert_true(an_verdict_append(&out, &v));
        bool printed = strstr(out.data, "\"confidence\":0.7,") != NULL;
        if (printed != (near[i] >= 0.7))
            fail_msg("%.17g became %s", near[i], out.data);
        df_buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_line_however_it_is_written),
        cmocka_unit_test(refuses_what_is_no_line),
        cmocka_unit_test(writes_one_line_with_five_fields),
        cmocka_unit_test(never_rounds_a_confidence_over_the_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
