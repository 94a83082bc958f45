/* tests/unit/test_scr_report.c - what the script in the page may say, and what it may not. */
#include "scraper/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum scr_report_type parse(struct scr_report *report, const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len + (len == 0)); /* exact: ASan sees a read past the end */

    assert_non_null(copy);
    memcpy(copy, text, len);
    enum scr_report_type type = scr_report_parse(report, copy, len);
    free(copy);
    assert_int_equal(type, report->type);
    return type;
}

static void reads_rows(void **state)
{
    struct scr_report report;

    (void)state;
    assert_int_equal(parse(&report,
                           "{\"t\":\"rows\",\"s\":\"test-ids\",\"l\":["
                           "[\"koda\",\"W\",0,1,1,0],"
                           "[\"mia\",\"joined \xF0\x9F\x91\x8B\",1,0,0,0],"
                           "[\"\",\"Welcome\",2,0,0,1],[\"h\",\"\\u0000<b>\\n\",0,2,0,0]]}"),
                     SCR_REPORT_ROWS);
    assert_string_equal(report.strategy, "test-ids");
    assert_int_equal(report.count, 4);
    assert_string_equal(report.line[0].username, "koda");
    assert_string_equal(report.line[0].text, "W");
    assert_string_equal(report.line[0].id, "");
    assert_int_equal(report.line[0].role, SCR_MODERATOR);
    assert_true(report.line[0].is_highlighted);
    assert_false(report.line[0].is_cut);
    assert_int_equal(report.line[1].kind, SCR_JOIN);
    assert_int_equal(report.line[2].kind, SCR_ANNOUNCEMENT);
    assert_true(report.line[2].is_cut);
    assert_int_equal(report.line[3].role, SCR_HOST);
    assert_string_equal(report.line[3].text, "\xEF\xBF\xBD<b>\n");
    scr_report_release(&report);
    scr_report_release(&report); /* twice is harmless */
}

static void reads_the_other_reports(void **state)
{
    struct scr_report report;

    (void)state;
    assert_int_equal(parse(&report, "{\"t\":\"found\",\"s\":\"structure\"}"), SCR_REPORT_FOUND);
    assert_string_equal(report.strategy, "structure");
    scr_report_release(&report);
    assert_int_equal(parse(&report, "{\"t\":\"lost\"}"), SCR_REPORT_LOST);
    scr_report_release(&report);
    assert_int_equal(parse(&report, "{\"t\":\"snapshot\",\"s\":\"role-log\",\"l\":[]}"),
                     SCR_REPORT_SNAPSHOT);
    assert_int_equal(report.count, 0);
    scr_report_release(&report);
    assert_int_equal(parse(&report, "{\"t\":\"count\",\"n\":12}"), SCR_REPORT_COUNT);
    assert_int_equal(report.added, 12);
    scr_report_release(&report);
    assert_int_equal(parse(&report, "{\"t\":\"facts\",\"title\":\"T\",\"host\":\"h\","
                                    "\"viewers\":1200,\"ended\":true,\"text\":\"Just a moment\"}"),
                     SCR_REPORT_FACTS);
    assert_string_equal(report.title, "T");
    assert_string_equal(report.host, "h");
    assert_string_equal(report.text, "Just a moment");
    assert_int_equal(report.viewers, 1200);
    assert_true(report.is_ended);
    scr_report_release(&report);
    assert_int_equal(parse(&report, "{\"t\":\"facts\",\"viewers\":null,\"ended\":false}"),
                     SCR_REPORT_FACTS);
    assert_int_equal(report.viewers, -1);
    scr_report_release(&report);
}

static void refuses_what_the_script_never_says(void **state)
{
    static const char *const rows[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"t\":7}",
        "{\"t\":\"other\"}",
        "{\"t\":\"found\"}",
        "{\"t\":\"count\"}",
        "{\"t\":\"count\",\"n\":-1}",
        "{\"t\":\"count\",\"n\":1.5}",
        "{\"t\":\"facts\",\"viewers\":null}",
        "{\"t\":\"facts\",\"viewers\":\"many\",\"ended\":false}",
        "{\"t\":\"facts\",\"viewers\":-3,\"ended\":false}",
        "{\"t\":\"rows\",\"s\":\"a\"}",
        "{\"t\":\"rows\",\"l\":[]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":{}}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",0,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",3,0,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",0,3,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",0,0,2,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",0,0,0,true]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"\",0,0,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"\",\"x\",0,0,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",7,0,0,0,0]]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[{\"u\":\"x\"}]}",
        "{\"t\":\"rows\",\"s\":\"a\",\"l\":[[\"u\",\"x\",0,0,0,0],null]}",
        "{\"t\":\"lost\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_report report;
        if (parse(&report, rows[i]) != SCR_REPORT_MALFORMED || report.count != 0)
            fail_msg("row %zu: type %d", i, (int)report.type);
        scr_report_release(&report);
    }
}

/* Writes a rows report with `count` lines of `text_len` bytes each. */
static char *rows_report(size_t count, size_t text_len, char fill)
{
    size_t size = 64 + count * (text_len + 32), len;
    char *text = malloc(size);

    assert_non_null(text);
    len = (size_t)snprintf(text, size, "{\"t\":\"rows\",\"s\":\"a\",\"l\":[");
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(text + len, size - len, "%s[\"u\",\"", i > 0 ? "," : "");
        memset(text + len, fill, text_len);
        len += text_len;
        len += (size_t)snprintf(text + len, size - len, "\",0,0,0,0]");
    }
    (void)snprintf(text + len, size - len, "]}");
    return text;
}

static void keeps_to_its_limits(void **state)
{
    /* clang-format off */
    static const struct { size_t count, text_len; enum scr_report_type want; } rows[] = {
        {SCR_REPORT_LINES_MAX, 1, SCR_REPORT_ROWS},
        {SCR_REPORT_LINES_MAX + 1, 1, SCR_REPORT_MALFORMED},
        {60, 4100, SCR_REPORT_ROWS},
        {64, 4100, SCR_REPORT_MALFORMED}, /* over SCR_REPORT_MAX_BYTES */
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_report report;
        char *text = rows_report(rows[i].count, rows[i].text_len, 'x');
        if (parse(&report, text) != rows[i].want)
            fail_msg("row %zu: type %d", i, (int)report.type);
        if (report.type == SCR_REPORT_ROWS && rows[i].text_len > SCR_TEXT_MAX_BYTES) {
            assert_int_equal(report.line[0].text_len, SCR_TEXT_MAX_BYTES);
            assert_true(report.line[0].is_cut);
        }
        scr_report_release(&report);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(reads_the_other_reports),
        cmocka_unit_test(refuses_what_the_script_never_says),
        cmocka_unit_test(keeps_to_its_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
