/* tests/unit/test_scr_client.c - frames that are shared, and queues with bounds. */
#include "scraper/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct scr_packet *frame_of(size_t number, size_t len)
{
    char text[256];

    memset(text, 'x', sizeof text);
    (void)snprintf(text, sizeof text, "%zu", number);
    struct scr_packet *frame = scr_packet_new(text, len);
    assert_non_null(frame);
    return frame;
}

static size_t number_of(const struct scr_packet *frame)
{
    size_t number;
    assert_int_equal(sscanf((const char *)frame->bytes + SCR_FRAME_ROOM, "%zu", &number), 1);
    return number;
}

/* Queues a frame that only the queue holds on to. */
static bool push(struct scr_queue *queue, size_t number, size_t len, size_t count_max,
                 size_t bytes_max)
{
    struct scr_packet *frame = frame_of(number, len);
    bool ok = scr_queue_push(queue, frame, count_max, bytes_max);
    scr_packet_release(frame);
    return ok;
}

static void keeps_the_order_while_it_grows_and_wraps(void **state)
{
    struct scr_queue queue = {0};
    size_t next_in = 0, next_out = 0;

    (void)state;
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 7; i++)
            assert_true(push(&queue, next_in++, 20, 1000, 1 << 20));
        for (int i = 0; i < (round < 100 ? 5 : 9) && !scr_queue_is_empty(&queue); i++) {
            struct scr_packet *frame = scr_queue_take(&queue);
            assert_int_equal(number_of(frame), next_out++);
            scr_packet_release(frame);
        }
        assert_int_equal(queue.count, next_in - next_out);
        assert_int_equal(queue.bytes, (next_in - next_out) * 20);
    }
    scr_queue_release(&queue);
    assert_true(scr_queue_is_empty(&queue));
    assert_null(scr_queue_take(&queue));
}

static void refuses_more_than_its_bounds(void **state)
{
    struct scr_queue queue = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_true(push(&queue, i, 10, 3, 1000));
    assert_false(push(&queue, 3, 10, 3, 1000));
    assert_int_equal(queue.count, 3);
    scr_queue_release(&queue);

    assert_true(push(&queue, 0, 60, 100, 100));
    assert_true(push(&queue, 1, 40, 100, 100));
    assert_false(push(&queue, 2, 1, 100, 100));
    scr_packet_release(scr_queue_take(&queue));
    assert_true(push(&queue, 2, 60, 100, 100));
    scr_queue_release(&queue);

    assert_true(push(&queue, 0, 200, 1, 100)); /* larger than the bound, but alone */
    assert_false(push(&queue, 1, 0, 100, 100));
    scr_queue_release(&queue);
}

static void shares_a_frame_until_the_last_has_sent_it(void **state)
{
    struct scr_queue queues[3] = {{0}, {0}, {0}};
    struct scr_packet *frame = frame_of(7, 10);

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_true(scr_queue_push(&queues[i], frame, 10, 1000));
    scr_packet_release(frame);
    assert_int_equal(frame->references, 3);
    struct scr_packet *taken = scr_queue_take(&queues[0]);
    assert_ptr_equal(taken, frame);
    scr_queue_release(&queues[1]); /* a client that goes */
    assert_int_equal(frame->references, 2);
    scr_packet_release(taken);
    assert_int_equal(frame->references, 1);
    assert_int_equal(number_of(frame), 7);
    scr_queue_release(&queues[0]);
    scr_queue_release(&queues[2]);
    scr_packet_release(NULL);
}

static void gives_memory_back_after_a_burst(void **state)
{
    struct scr_queue queue = {0};

    (void)state;
    for (size_t i = 0; i < 500; i++)
        assert_true(push(&queue, i, 1, 1000, 1 << 20));
    assert_true(queue.capacity >= 500);
    while (!scr_queue_is_empty(&queue))
        scr_packet_release(scr_queue_take(&queue));
    assert_true(queue.capacity <= 8);
    assert_true(push(&queue, 1, 1, 1000, 1 << 20));
    scr_queue_release(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order_while_it_grows_and_wraps),
        cmocka_unit_test(refuses_more_than_its_bounds),
        cmocka_unit_test(shares_a_frame_until_the_last_has_sent_it),
        cmocka_unit_test(gives_memory_back_after_a_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
