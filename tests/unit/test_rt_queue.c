/* tests/unit/test_rt_queue.c - messages that many share, and the bound of what waits for one. */
#include "realtime/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rt_blob *blob_of(size_t len)
{
    char text[512];

    memset(text, 'x', sizeof text);
    struct rt_blob *blob = rt_blob_new(text, len, false);
    assert_non_null(blob);
    return blob;
}

static void keeps_order_over_a_ring_that_grows(void **state)
{
    struct rt_queue queue = {0};
    unsigned pushed = 0, popped = 0;
    char text[16];

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 7; i++) {
            int n = snprintf(text, sizeof text, "%u", pushed++);
            struct rt_blob *blob = rt_blob_new(text, (size_t)n, round % 2 == 0);
            assert_true(rt_queue_push(&queue, blob, 100000, false));
            rt_blob_drop(blob); /* the queue holds its own */
        }
        for (int i = 0; i < (round < 10 ? 3 : 11) && rt_queue_first(&queue) != NULL; i++) {
            const struct rt_blob *first = rt_queue_first(&queue);
            (void)snprintf(text, sizeof text, "%u", popped++);
            assert_int_equal(first->len, strlen(text));
            assert_memory_equal(first->bytes + RT_BLOB_ROOM, text, first->len);
            rt_queue_pop(&queue);
        }
    }
    assert_int_equal(queue.count, pushed - popped);
    rt_queue_release(&queue);
    assert_null(queue.ring);
    assert_int_equal(queue.bytes, 0);
}

static void one_message_is_freed_with_its_last_reader(void **state)
{
    struct rt_queue one = {0}, two = {0};
    struct rt_blob *blob = blob_of(10);

    (void)state;
    assert_true(rt_queue_push(&one, blob, 100, false));
    assert_true(rt_queue_push(&two, blob, 100, false));
    assert_int_equal(blob->references, 3);
    rt_blob_drop(rt_blob_keep(blob));
    rt_blob_drop(blob);
    rt_queue_pop(&one);
    assert_int_equal(rt_queue_first(&two)->references, 1);
    rt_queue_release(&one);
    rt_queue_release(&two); /* a leak, or a second free, would end the test */
    rt_blob_drop(NULL);
}

static void refuses_what_passes_the_bound(void **state)
{
    struct rt_queue queue = {0};
    struct rt_blob *big = blob_of(300), *small = blob_of(1), *exact = blob_of(100);

    (void)state;
    assert_true(rt_queue_push(&queue, big, 100, false)); /* alone it always fits */
    assert_false(rt_queue_push(&queue, small, 100, false));
    assert_int_equal(small->references, 1);
    assert_true(rt_queue_push(&queue, small, 100, true)); /* answers may */
    rt_queue_pop(&queue);
    assert_int_equal(queue.bytes, 1);
    assert_false(rt_queue_push(&queue, exact, 100, false));
    rt_queue_pop(&queue);
    assert_true(rt_queue_push(&queue, exact, 100, false));
    for (size_t i = 0; i < RT_CONTROL_EXTRA_BYTES / 100 + 1; i++)
        (void)rt_queue_push(&queue, exact, 100, true);
    assert_true(queue.bytes <= 100 + RT_CONTROL_EXTRA_BYTES);
    assert_false(rt_queue_push(&queue, exact, 100, true)); /* but not without end */
    rt_queue_release(&queue);
    rt_blob_drop(big);
    rt_blob_drop(small);
    rt_blob_drop(exact);
}

static void gives_the_memory_of_a_burst_back(void **state)
{
    struct rt_queue queue = {0};
    struct rt_blob *blob = blob_of(1);

    (void)state;
    for (int i = 0; i < 1000; i++)
        assert_true(rt_queue_push(&queue, blob, 100000, false));
    assert_true(queue.capacity >= 1000);
    while (rt_queue_first(&queue) != NULL)
        rt_queue_pop(&queue);
    assert_int_equal(queue.capacity, 0);
    assert_int_equal(blob->references, 1);
    rt_blob_drop(blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_over_a_ring_that_grows),
        cmocka_unit_test(one_message_is_freed_with_its_last_reader),
        cmocka_unit_test(refuses_what_passes_the_bound),
        cmocka_unit_test(gives_the_memory_of_a_burst_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
