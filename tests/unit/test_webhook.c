/* Unit tests of fcgi/webhook_lanes.c and of the signature in fcgi/webhook_call.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/webhook_call.h"
#include "fcgi/webhook_lanes.h"

static const struct df_uuid owner = {.bytes = {1}};
static const struct df_uuid other = {.bytes = {2}};

static void begin(struct mrs_lanes *lanes, const struct df_uuid *who)
{
    assert_int_equal(mrs_lanes_begin(lanes, who, NULL), DF_OK);
}

static void signs_as_anybody_can_check(void **state)
{
    char out[MRS_SIGNATURE_SIZE];
    const char *body = "{\"id\":\"1\"}";
    (void)state;
    assert_int_equal(mrs_webhook_sign(out, "whsec_test", 1700000000, body, strlen(body), NULL), DF_OK);
    /* printf '1700000000.{"id":"1"}' | openssl dgst -sha256 -hmac whsec_test */
    assert_string_equal(out, "t=1700000000,v1=11bf4466ea17c3df3fd743af0b435368e16b7a05eb8eced85e8c4670767bdec5");
}

static void a_lane_with_an_open_call_is_closed(void **state)
{
    struct mrs_lanes lanes;
    (void)state;
    mrs_lanes_init(&lanes, 1);
    begin(&lanes, &owner);
    assert_true(mrs_lanes_is_closed(&lanes.list[0], 0));
    mrs_lanes_end(&lanes, &owner, MRS_CALL_SUCCEEDED, "u", 1000, 5);
    assert_false(mrs_lanes_is_closed(&lanes.list[0], 5));
    mrs_lanes_forget_idle(&lanes, 5);
    assert_int_equal(lanes.count, 0);
    mrs_lanes_release(&lanes);
}

static void failures_pause_a_lane_longer_and_longer(void **state)
{
    struct mrs_lanes lanes;
    int64_t now = 0, longest = 0;
    (void)state;
    mrs_lanes_init(&lanes, 1);
    for (int i = 0; i < 12; i++) {
        begin(&lanes, &owner);
        mrs_lanes_end(&lanes, &owner, MRS_CALL_FAILED, "u", 1000, now);
        int64_t wait = lanes.list[0].pause_ms - now, full = (int64_t)1000 << i;
        full = full > 60000 ? 60000 : full;
        assert_true(wait >= full / 2 && wait <= 60000);
        assert_true(mrs_lanes_is_closed(&lanes.list[0], now + wait - 1));
        assert_false(mrs_lanes_is_closed(&lanes.list[0], now + wait));
        longest = wait > longest ? wait : longest;
        now += wait;
    }
    assert_true(longest >= 30000);
    begin(&lanes, &other); /* another owner's lane knows nothing of it */
    mrs_lanes_end(&lanes, &other, MRS_CALL_FAILED, "u", 1000, now);
    assert_true(lanes.list[1].pause_ms - now <= 1000);
    begin(&lanes, &owner);
    mrs_lanes_end(&lanes, &owner, MRS_CALL_SUCCEEDED, "u", 1000, now);
    assert_false(mrs_lanes_is_closed(&lanes.list[0], now));
    mrs_lanes_release(&lanes);
}

static void calls_that_fail_together_count_once_and_another_url_begins_anew(void **state)
{
    struct mrs_lanes lanes;
    (void)state;
    mrs_lanes_init(&lanes, 1);
    for (int i = 0; i < 4; i++)
        begin(&lanes, &owner);
    for (int i = 0; i < 4; i++)
        mrs_lanes_end(&lanes, &owner, MRS_CALL_FAILED, "u", 1000, 0);
    assert_int_equal(lanes.list[0].failures, 1);
    assert_true(lanes.list[0].pause_ms <= 1000);
    begin(&lanes, &owner);
    mrs_lanes_end(&lanes, &owner, MRS_CALL_FAILED, "u", 1000, 2000);
    assert_int_equal(lanes.list[0].failures, 2);
    begin(&lanes, &owner);
    mrs_lanes_end(&lanes, &owner, MRS_CALL_FAILED, "v", 1000, 2001);
    assert_int_equal(lanes.list[0].failures, 1);
    assert_string_equal(lanes.list[0].url, "v");
    mrs_lanes_release(&lanes);
}

static void waits_double_up_to_an_hour(void **state)
{
    (void)state;
    for (int attempts = 0; attempts < 70; attempts++) {
        int64_t full = attempts > 20 ? MRS_BACKOFF_MAX_MS : (int64_t)1000 << attempts;
        full = full > MRS_BACKOFF_MAX_MS ? MRS_BACKOFF_MAX_MS : full;
        assert_int_equal(mrs_backoff_ms(1000, attempts, 0), full / 2);
        int64_t wait = mrs_backoff_ms(1000, attempts, 0x7fffffff);
        assert_true(wait >= full / 2 && wait <= full);
    }
}

static void refuses_addresses_that_cannot_be_called(void **state)
{
    static const struct {
        const char *url;
        bool allow_private;
        const char *why;
    } rows[] = {
        {NULL, false, "webhook_url is not set"},
        {"", false, "webhook_url is not set"},
        {"http://example.com/", false, "must begin with https"},
        {"ftp://example.com/", true, "must begin with https"},
        {"not an address", false, "not an address"},
        {"https://", false, "not an address"},
        {"https://exa mple.com/", false, "not an address"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct mrs_webhook_event event = {
            .url = rows[i].url, .body = "{}", .secret = "whsec_x"};
        const struct mrs_webhook_policy policy = {rows[i].allow_private, 1000};
        struct mrs_webhook_call *call;
        struct df_error err = {0};
        if (mrs_webhook_call_new(&call, &event, &policy, &err) != DF_EINPUT ||
            strstr(err.msg, rows[i].why) == NULL || call != NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_as_anybody_can_check),
        cmocka_unit_test(a_lane_with_an_open_call_is_closed),
        cmocka_unit_test(failures_pause_a_lane_longer_and_longer),
        cmocka_unit_test(calls_that_fail_together_count_once_and_another_url_begins_anew),
        cmocka_unit_test(waits_double_up_to_an_hour),
        cmocka_unit_test(refuses_addresses_that_cannot_be_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
