/* tests/unit/test_rt_presence.c - who is there, who came, who left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/presence.h"

static struct df_buf out;

static int setup(void **state)
{
    struct rt_presence *presence = NULL;
    df_buf_init(&out, 65536);
    *state = NULL;
    if (rt_presence_new(&presence, NULL) != DF_OK)
        return -1;
    *state = presence;
    return 0;
}

static int teardown(void **state)
{
    rt_presence_free(*state);
    df_buf_release(&out);
    return 0;
}

static const char *track(void **state, const char *source, const char *key, const char *ref,
                         const char *payload)
{
    df_buf_reset(&out);
    return rt_presence_track(*state, source, key, ref, payload, strlen(payload), &out) ? out.data
                                                                                     : NULL;
}

static const char *all(void **state)
{
    df_buf_reset(&out);
    return rt_presence_state(*state, &out) ? out.data : NULL;
}

static void tells_who_came(void **state)
{
    assert_string_equal(track(state, "g/1/1", "ann", "r1", "{\"a\":1}"),
                        "{\"joins\":{\"ann\":{\"metas\":[{\"phx_ref\":\"r1\",\"a\":1}]}},"
                        "\"leaves\":{}}");
    assert_string_equal(track(state, "g/2/1", "ann", "r2", "{}"),
                        "{\"joins\":{\"ann\":{\"metas\":[{\"phx_ref\":\"r2\"}]}},\"leaves\":{}}");
    assert_string_equal(
        all(state),
        "{\"ann\":{\"metas\":[{\"phx_ref\":\"r1\",\"a\":1},{\"phx_ref\":\"r2\"}]}}");
}

static void tracking_again_replaces(void **state)
{
    (void)track(state, "g/1/1", "ann", "r1", "{\"a\":1}");
    assert_string_equal(track(state, "g/1/1", "ann", "r2", "{\"a\":2}"),
                        "{\"joins\":{\"ann\":{\"metas\":[{\"phx_ref\":\"r2\",\"a\":2}]}},"
                        "\"leaves\":{\"ann\":{\"metas\":[{\"phx_ref\":\"r1\",\"a\":1}]}}}");
    assert_int_equal(rt_presence_count(*state), 1);
}

static void tells_who_left_once(void **state)
{
    (void)track(state, "g/1/1", "a\"b", "r1", "{}");
    df_buf_reset(&out);
    assert_true(rt_presence_untrack(*state, "g/1/1", &out));
    assert_string_equal(out.data,
                        "{\"joins\":{},\"leaves\":{\"a\\\"b\":{\"metas\":[{\"phx_ref\":\"r1\"}]}}}");
    df_buf_reset(&out);
    assert_false(rt_presence_untrack(*state, "g/1/1", &out));
    assert_int_equal(out.len, 0);
    assert_string_equal(all(state), "{}");
}

static void forgets_a_gateway_as_a_whole(void **state)
{
    (void)track(state, "g/1/1", "ann", "r1", "{}");
    (void)track(state, "g2/1/1", "bob", "r2", "{}");
    (void)track(state, "g/2/1", "cid", "r3", "{}");
    df_buf_reset(&out);
    assert_true(rt_presence_forget_gateway(*state, "g", &out));
    assert_string_equal(out.data, "{\"joins\":{},\"leaves\":{\"ann\":{\"metas\":[{\"phx_ref\":"
                                  "\"r1\"}]},\"cid\":{\"metas\":[{\"phx_ref\":\"r3\"}]}}}");
    assert_string_equal(all(state), "{\"bob\":{\"metas\":[{\"phx_ref\":\"r2\"}]}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tells_who_came, setup, teardown),
        cmocka_unit_test_setup_teardown(tracking_again_replaces, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_who_left_once, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_a_gateway_as_a_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
