/* tests/unit/test_rst_head.c - request line, headers, and the status of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/rest/head.h"

struct given {
    const char *method, *uri, *accept, *prefer, *range, *accept_profile, *content_profile;
};

static struct rst_arena arena;
static struct rst_error err;

static const char *param(void *ctx, const char *name)
{
    const struct given *given = ctx;
    const struct {
        const char *name, *value;
    } all[] = {{"REQUEST_METHOD", given->method == NULL ? "GET" : given->method},
               {"REQUEST_URI", given->uri == NULL ? "/rest/v1/t?x=eq.1" : given->uri},
               {"HTTP_ACCEPT", given->accept},
               {"HTTP_PREFER", given->prefer},
               {"HTTP_RANGE", given->range},
               {"HTTP_ACCEPT_PROFILE", given->accept_profile},
               {"HTTP_CONTENT_PROFILE", given->content_profile}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(all[i].name, name) == 0)
            return all[i].value;
    }
    return NULL;
}

static bool read_head(struct rst_head *out, struct given given)
{
    const struct mrs_io io = {.ctx = &given, .param = param};
    memset(&err, 0, sizeof err);
    return rst_head_read(out, &io, "public", &arena, &err);
}

static int forget(void **state)
{
    (void)state;
    rst_arena_release(&arena);
    return 0;
}

static void reads_method_and_table(void **state)
{
    struct rst_head head;
    (void)state;
    assert_true(read_head(&head, (struct given){.method = "PATCH", .uri = "/rest/v1/a%20b?c=d"}));
    assert_int_equal(head.method, RST_PATCH);
    assert_string_equal(head.table, "a b");
    assert_int_equal(head.range_first, -1);
}

static void refuses_what_is_not_served(void **state)
{
    static const struct {
        struct given given;
        int status;
        const char *code;
    } rows[] = {
        {{.method = "PUT"}, 405, "PGRST117"},
        {{.method = "get"}, 405, "PGRST117"},
        {{.method = ""}, 405, "PGRST117"},
        {{.uri = "/rest/v1/"}, 404, "PGRST126"},
        {{.uri = "/rest/v1/?x=1"}, 404, "PGRST126"},
        {{.uri = "/rest/v1/rpc/f"}, 404, "PGRST202"},
        {{.uri = "/rest/v1/a/b"}, 404, "PGRST125"},
        {{.uri = "/rest/v1/a%2fb"}, 404, "PGRST125"},
        {{.uri = "/rest/v1/a%00b"}, 400, "22021"},
        {{.accept = "text/csv"}, 406, "PGRST107"},
        {{.accept = "application/vnd.pgrst.plan+json"}, 406, "PGRST107"},
        {{.accept = ","}, 406, "PGRST107"},
        {{.accept_profile = "auth"}, 406, "PGRST106"},
        {{.method = "POST", .content_profile = "auth"}, 406, "PGRST106"},
        {{.range = "9-1"}, 416, "PGRST103"},
        {{.prefer = "handling=strict, x=y"}, 400, "PGRST122"},
    };
    struct rst_head head;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (read_head(&head, rows[i].given) || err.status != rows[i].status ||
            strcmp(err.code, rows[i].code) != 0)
            fail_msg("row %zu: %d %s %s", i, err.status, err.code, err.message);
    }
}

static void reads_accept(void **state)
{
    static const struct {
        const char *accept;
        bool wants_object, strips_nulls;
    } rows[] = {
        {NULL, false, false},
        {"*/*", false, false},
        {"text/html, application/json;q=0.9", false, false},
        {"application/vnd.pgrst.object+json", true, false},
        {"application/vnd.pgrst.object+json;nulls=stripped", true, true},
        {"APPLICATION/VND.PGRST.ARRAY+JSON ; nulls=stripped, */*", false, true},
        {"text/html, application/vnd.pgrst.object+json", true, false},
    };
    struct rst_head head;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!read_head(&head, (struct given){.accept = rows[i].accept}) ||
            head.wants_object != rows[i].wants_object || head.strips_nulls != rows[i].strips_nulls)
            fail_msg("row %zu", i);
    }
}

static void reads_prefer(void **state)
{
    struct rst_head head;
    char applied[200];
    (void)state;
    assert_true(read_head(&head, (struct given){.method = "POST",
                                                .prefer = " return=representation,,Count=Exact ,"
                                                          "resolution=merge-duplicates,"
                                                          "missing=default,unknown"}));
    assert_int_equal(head.returns, RST_RETURN_ROWS);
    assert_int_equal(head.resolution, RST_MERGE);
    assert_true(head.counts && head.missing_is_default);
    rst_head_applied(&head, applied, sizeof applied);
    assert_string_equal(applied, "resolution=merge-duplicates, missing=default, "
                                 "return=representation, count=exact");
    assert_true(read_head(&head, (struct given){.prefer = "return=minimal, count=planned"}));
    rst_head_applied(&head, applied, sizeof applied);
    assert_string_equal(applied, "count=planned"); /* a read returns what it returns */
    assert_true(read_head(&head, (struct given){.method = "PATCH",
                                                .prefer = "max-affected=9223372036854775807,"
                                                          "handling=strict,missing=null,"
                                                          "return=headers-only,count=estimated,"
                                                          "resolution=ignore-duplicates"}));
    assert_int_equal(head.max_affected, INT64_MAX);
    rst_head_applied(&head, applied, sizeof applied);
    assert_non_null(strstr(applied, "max-affected=9223372036854775807"));
    assert_true(read_head(&head, (struct given){.prefer = "max-affected=5"}));
    assert_int_equal(head.max_affected, -1); /* without handling=strict it is no word */
}

static void reads_range(void **state)
{
    static const struct {
        const char *method, *range;
        int64_t first, last;
    } rows[] = {
        {"GET", "0-9", 0, 9},
        {"HEAD", "5-", 5, INT64_MAX},
        {"GET", "99999999999999999999-", INT64_MAX, INT64_MAX},
        {"GET", "bytes=0-9", -1, INT64_MAX},
        {"GET", "0-9,20-29", -1, INT64_MAX},
        {"GET", "-5", -1, INT64_MAX},
        {"GET", "", -1, INT64_MAX},
        {"PATCH", "0-9", -1, INT64_MAX},
    };
    struct rst_head head;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!read_head(&head, (struct given){.method = rows[i].method, .range = rows[i].range}) ||
            head.range_first != rows[i].first || head.range_last != rows[i].last)
            fail_msg("row %zu: %lld", i, (long long)head.range_first);
    }
}

static void knows_the_status_of_each_sqlstate(void **state)
{
    static const struct {
        const char *sqlstate, *message;
        bool is_anon;
        int status;
    } rows[] = {
        {"42501", "", true, 401},
        {"42501", "", false, 403},
        {"23505", "", false, 409},
        {"23503", "", false, 409},
        {"23502", "", false, 400},
        {"22P02", "", false, 400},
        {"42703", "", false, 400},
        {"42P01", "", false, 404},
        {"42883", "", false, 404},
        {"57014", "", false, 500},
        {"57P01", "", false, 503},
        {"53300", "", false, 503},
        {"08006", "", false, 503},
        {"25006", "", false, 405},
        {"40001", "", false, 500},
        {"P0001", "", false, 400},
        {"P0002", "", false, 500},
        {"PT418", "", false, 418},
        {"PT999", "", false, 500},
        {"XX000", "", false, 500},
        {"28P01", "", false, 403},
        {"21000", "UPDATE requires a WHERE clause", false, 400},
        {"21000", "cardinality", false, 500},
        {"22023", "role \"x\" does not exist", false, 401},
        {"22023", "other", false, 400},
        {"", "", false, 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int status = rst_status_of(rows[i].sqlstate, rows[i].message, rows[i].is_anon);
        if (status != rows[i].status)
            fail_msg("%s: %d", rows[i].sqlstate, status);
    }
}

static void prints_errors_as_json(void **state)
{
    struct df_buf out;
    (void)state;
    df_buf_init(&out, 4096);
    (void)rst_fail(&err, 400, "PGRST100", "a \"%s\"\n\xff", "quote");
    rst_error_print(&err, &out);
    assert_string_equal(out.data, "{\"code\":\"PGRST100\",\"details\":null,\"hint\":null,"
                                  "\"message\":\"a \\\"quote\\\"\\n\xef\xbf\xbd\"}");
    (void)rst_details(&err, "d");
    (void)rst_hint(&err, "h");
    df_buf_reset(&out);
    rst_error_print(&err, &out);
    assert_non_null(strstr(out.data, "\"details\":\"d\",\"hint\":\"h\""));
    df_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_method_and_table, forget),
        cmocka_unit_test_teardown(refuses_what_is_not_served, forget),
        cmocka_unit_test_teardown(reads_accept, forget),
        cmocka_unit_test_teardown(reads_prefer, forget),
        cmocka_unit_test_teardown(reads_range, forget),
        cmocka_unit_test(knows_the_status_of_each_sqlstate),
        cmocka_unit_test(prints_errors_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
