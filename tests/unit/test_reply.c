/* tests/unit/test_reply.c - the public answers, byte for byte (edge contract 1.3 and 2.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/reply.h"

static const struct df_uuid request_id = {
    {1, 2, 3, 4, 5, 6, 0x77, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}};
static struct df_buf out;

static int setup(void **state)
{
    (void)state;
    df_buf_init(&out, 65536);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    df_buf_release(&out);
    return 0;
}

static const char *body(void)
{
    const char *end = strstr(out.data, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void assert_header(const char *line)
{
    char wanted[512];
    (void)snprintf(wanted, sizeof wanted, "\r\n%s", line);
    if (strstr(out.data, wanted) == NULL)
        fail_msg("no header '%s' in:\n%s", line, out.data);
}

/* What every answer must carry; the length is that of the body. */
static void assert_common(const char *content_type)
{
    char length[64], type[96];
    (void)snprintf(length, sizeof length, "content-length: %zu\r\n", strlen(body()));
    (void)snprintf(type, sizeof type, "content-type: %s\r\n", content_type);
    assert_header(length);
    assert_header(type);
    assert_header("access-control-allow-origin: *\r\n");
    assert_header("access-control-allow-headers: authorization, x-client-info, apikey, "
                  "content-type, ");
    assert_header("sb-request-id: 01020304-0506-7708-890a-0b0c0d0e0f10\r\n");
}

static void a_verdict_is_printed_as_the_old_function_did(void **state)
{
    /* clang-format off */
    static const struct {
        struct df_verdict verdict;
        bool captured;
        const char *body;
    } rows[] = {
        {{.is_buyer = true, .confidence = 0.95, .type = DF_DIRECT_PURCHASE}, true,
         "{\"success\":true,\"analyzed\":true,\"analysis\":{\"is_buyer\":true,\"confidence\":0.95,"
         "\"message_type\":\"direct_purchase\",\"auto_captured\":true}}"},
        {{.is_buyer = true, .confidence = 1, .type = DF_PRICING_QUESTION}, false,
         "{\"success\":true,\"analyzed\":true,\"analysis\":{\"is_buyer\":true,\"confidence\":1,"
         "\"message_type\":\"pricing_question\",\"auto_captured\":false}}"},
        {{.is_buyer = false, .confidence = 0, .type = DF_GENERAL}, false,
         "{\"success\":true,\"analyzed\":true,\"analysis\":{\"is_buyer\":false,\"confidence\":0,"
         "\"message_type\":\"general\",\"auto_captured\":false}}"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int status = mrs_reply_analysed(&out, &request_id, &rows[i].verdict, rows[i].captured);
        assert_int_equal(status, 200);
        assert_string_equal(body(), rows[i].body);
        assert_common("application/json");
    }
}

static void a_message_nobody_judged_says_so(void **state)
{
    (void)state;
    assert_int_equal(mrs_reply_skipped(&out, &request_id), 200);
    assert_string_equal(body(), "{\"success\":true,\"analyzed\":false,\"message\":\"Message stored "
                                "(AI analysis skipped)\"}");
    assert_common("application/json");
}

static void a_preflight_is_ok_in_plain_text(void **state)
{
    (void)state;
    assert_int_equal(mrs_reply_preflight(&out, &request_id), 200);
    assert_string_equal(body(), "ok");
    assert_common("text/plain;charset=UTF-8");
    assert_header("access-control-allow-methods: POST, OPTIONS\r\n");
}

static void an_unknown_caller_gets_the_body_of_the_hosted_gateway(void **state)
{
    struct mrs_refusal refusal = {
        .http_status = 401, .code = "UNAUTHORIZED_LEGACY_JWT", .message = "Invalid JWT"};
    (void)state;
    assert_int_equal(mrs_reply_refused(&out, &request_id, &refusal), 401);
    assert_string_equal(body(),
                        "{\"code\":\"UNAUTHORIZED_LEGACY_JWT\",\"message\":\"Invalid JWT\"}");
    assert_header("sb-error-code: UNAUTHORIZED_LEGACY_JWT\r\n");
    assert_common("application/json");
}

static void a_caller_over_the_limit_is_told_when_to_come_back(void **state)
{
    struct mrs_refusal refusal = {
        .http_status = 429, .code = "RATE_LIMITED", .message = "slow", .retry_after_s = 7};
    (void)state;
    assert_int_equal(mrs_reply_refused(&out, &request_id, &refusal), 429);
    assert_string_equal(body(), "{\"error\":\"slow\",\"success\":false}");
    assert_header("retry-after: 7\r\n");
}

static void an_error_has_its_status_and_never_breaks_the_json(void **state)
{
    struct df_error err;
    (void)state;
    df_error_set(&err, DF_EUNAVAILABLE, "a \"quoted\" \\ text");
    assert_int_equal(mrs_reply_error(&out, &request_id, &err, 0), 503);
    assert_string_equal(body(), "{\"error\":\"a \\\"quoted\\\" \\\\ text\",\"success\":false}");
    assert_header("retry-after: 1\r\n");
    assert_header("sb-error-code: UNAVAILABLE\r\n");
    df_error_set(&err, DF_EBUG, "internal detail");
    assert_int_equal(mrs_reply_error(&out, &request_id, &err, 0), 500);
    assert_string_equal(body(), "{\"error\":\"Internal error\",\"success\":false}");
    assert_null(strstr(out.data, "retry-after"));
}

static void a_wrong_method_names_the_right_ones(void **state)
{
    (void)state;
    assert_int_equal(mrs_reply_method(&out, &request_id), 405);
    assert_string_equal(body(), "{\"error\":\"Method not allowed\",\"success\":false}");
    assert_header("allow: POST, OPTIONS\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verdict_is_printed_as_the_old_function_did),
        cmocka_unit_test(a_message_nobody_judged_says_so),
        cmocka_unit_test(a_preflight_is_ok_in_plain_text),
        cmocka_unit_test(an_unknown_caller_gets_the_body_of_the_hosted_gateway),
        cmocka_unit_test(a_caller_over_the_limit_is_told_when_to_come_back),
        cmocka_unit_test(an_error_has_its_status_and_never_breaks_the_json),
        cmocka_unit_test(a_wrong_method_names_the_right_ones),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
