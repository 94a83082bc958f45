/* tests/unit/test_rt_registry.c - ids of filters and claim sets, and the plans made of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/registry.h"
#include "shared/buf.h"

static struct rt_registry *registry;
static struct df_buf text;

static int set_up(void **state)
{
    (void)state;
    df_buf_init(&text, 65536);
    return rt_registry_new(&registry, NULL) == DF_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    rt_registry_free(registry);
    df_buf_release(&text);
    return 0;
}

static struct rt_want *want(const char *filter, const char *claims)
{
    struct rt_want *out = rt_registry_acquire(registry, "public", "t", 1, "", filter, claims);
    assert_non_null(out);
    return out;
}

static void put_texts(struct df_buf *out, char *const *list, size_t count)
{
    (void)df_buf_append_str(out, " |");
    for (size_t i = 0; i < count; i++)
        (void)df_buf_printf(out, " %s", list[i] == NULL ? "-" : list[i]);
}

/* Publishes, and says what the plan is: "1: f0/c0 f0/c1 | a - | x y". */
static const char *plan(void)
{
    struct rt_plan *made = rt_registry_plan(registry);

    assert_non_null(made);
    df_buf_reset(&text);
    (void)df_buf_printf(&text, "%llu:", (unsigned long long)made->version);
    for (size_t i = 0; i < made->interest_count; i++)
        (void)df_buf_printf(&text, " f%u/c%u", made->interest[i].filter_id,
                            made->interest[i].claims_id);
    put_texts(&text, made->filter, made->filter_count);
    put_texts(&text, made->claims, made->claims_count);
    rt_plan_free(made);
    return text.data;
}

static void equal_wants_are_one(void **state)
{
    (void)state;
    struct rt_want *a = want("a", "x");
    assert_ptr_equal(want("a", "x"), a);
    assert_ptr_not_equal(want("a", "y"), a);
    assert_string_equal(plan(), "1: f0/c0 f0/c1 | a | x y");
    assert_false(rt_registry_is_changed(registry));
    assert_ptr_equal(want("a", "x"), a);
    assert_false(rt_registry_is_changed(registry));
    /* The same text about another table is another filter. */
    struct rt_want *b = rt_registry_acquire(registry, "public", "u", 1, "", "a", "x");
    assert_int_equal(b->filter_id, 1);
    assert_int_equal(rt_registry_filter_count(registry), 2);
    assert_int_equal(rt_registry_claims_count(registry), 2);
}

static void wants_live_from_the_plan_that_has_them(void **state)
{
    (void)state;
    struct rt_want *a = want("a", "x");
    assert_false(rt_registry_is_live(registry, a));
    (void)plan();
    struct rt_want *b = want("b", "x");
    assert_false(rt_registry_is_live(registry, a));
    rt_registry_acknowledge(registry, 1);
    assert_true(rt_registry_is_live(registry, a));
    assert_false(rt_registry_is_live(registry, b));
    (void)plan();
    rt_registry_acknowledge(registry, 2);
    assert_true(rt_registry_is_live(registry, b));
}

static void ids_are_free_when_the_reader_has_forgotten_them(void **state)
{
    (void)state;
    struct rt_want *a = want("a", "x");
    (void)plan();
    rt_registry_acknowledge(registry, 1);
    rt_registry_release(registry, a);
    assert_true(rt_registry_is_changed(registry));
    assert_string_equal(plan(), "2: | - | -");
    assert_int_equal(want("b", "y")->filter_id, 1); /* rows of a's may be on their way */
    assert_string_equal(plan(), "3: f1/c1 | - b | - y");
    rt_registry_acknowledge(registry, 1);
    assert_int_equal(want("c", "z")->filter_id, 2);
    rt_registry_acknowledge(registry, 2);
    struct rt_want *d = want("d", "w");
    assert_int_equal(d->filter_id, 0);
    assert_int_equal(d->claims_id, 0);
}

static void a_want_can_come_back_before_the_plan(void **state)
{
    (void)state;
    struct rt_want *a = want("a", "x");
    (void)plan();
    rt_registry_acknowledge(registry, 1);
    rt_registry_release(registry, a);
    assert_ptr_equal(want("a", "x"), a);
    assert_true(rt_registry_is_live(registry, a));
    assert_string_equal(plan(), "2: f0/c0 | a | x");
}

static void many_wants_come_and_go(void **state)
{
    struct rt_want *wants[400];
    char filter[16], claims[16];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 400; i++) {
            (void)snprintf(filter, sizeof filter, "f%zu", i % 20);
            (void)snprintf(claims, sizeof claims, "c%zu", i / 20);
            wants[i] = want(filter, claims);
        }
        (void)plan();
        rt_registry_acknowledge(registry, rt_registry_published(registry));
        assert_int_equal(rt_registry_filter_count(registry), 20);
        assert_int_equal(rt_registry_claims_end(registry), 20);
        assert_int_equal(rt_registry_of_filter(registry, wants[7]->filter_id).count, 20);
        for (size_t i = 0; i < 400; i++)
            rt_registry_release(registry, wants[i * 7 % 400]);
        (void)plan();
        rt_registry_acknowledge(registry, rt_registry_published(registry));
        assert_int_equal(rt_registry_filter_count(registry), 0);
        assert_int_equal(rt_registry_claims_count(registry), 0);
    }
}

static void touching_makes_a_version(void **state)
{
    (void)state;
    (void)want("a", "x");
    (void)plan();
    assert_int_equal(rt_registry_touch(registry), 2);
    assert_true(rt_registry_is_changed(registry));
    assert_string_equal(plan(), "2: f0/c0 | a | x");
}

static void count_wants(void *arg, struct rt_want *failed)
{
    size_t *count = arg;
    assert_true(failed->is_failed);
    (*count)++;
}

static void what_failed_is_tried_afresh_by_newcomers(void **state)
{
    size_t count = 0;
    (void)state;
    struct rt_want *a = want("a", "x");
    (void)want("a", "y");
    (void)want("b", "x");
    rt_registry_fail(registry, true, 0, count_wants, &count);
    assert_int_equal(count, 2);
    struct rt_want *again = want("a", "x");
    assert_int_equal(again->filter_id, 2);
    count = 0;
    rt_registry_fail(registry, false, a->claims_id, count_wants, &count);
    assert_int_equal(count, 3);
    assert_int_equal(want("b", "x")->claims_id, 2);
    count = 0;
    rt_registry_fail(registry, true, 99, count_wants, &count);
    assert_int_equal(count, 0);
    rt_registry_release(registry, a); /* the failed one goes without taking the new one's name */
    (void)plan();
    struct rt_want *newest = want("a", "x"); /* perhaps where a was */
    assert_false(newest->is_failed);
    assert_ptr_not_equal(newest, again);
    assert_int_equal(rt_registry_of_filter(registry, 99).count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(equal_wants_are_one),
        TEST(wants_live_from_the_plan_that_has_them),
        TEST(ids_are_free_when_the_reader_has_forgotten_them),
        TEST(a_want_can_come_back_before_the_plan),
        TEST(many_wants_come_and_go),
        TEST(touching_makes_a_version),
        TEST(what_failed_is_tried_afresh_by_newcomers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
