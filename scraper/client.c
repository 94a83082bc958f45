/* scraper/client.c - shared frames and bounded queues of them. */
#include "scraper/client.h"

#include <stdlib.h>
#include <string.h>

enum { RING_FIRST = 8 };

struct scr_packet *scr_packet_new(const char *text, size_t text_len)
{
    struct scr_packet *frame = malloc(sizeof *frame + SCR_FRAME_ROOM + text_len);

    if (frame == NULL)
        return NULL;
    frame->references = 1;
    frame->len = text_len;
    if (text_len > 0)
        memcpy(frame->bytes + SCR_FRAME_ROOM, text, text_len);
    return frame;
}

struct scr_packet *scr_packet_get(struct scr_packet *frame)
{
    frame->references++;
    return frame;
}

void scr_packet_release(struct scr_packet *frame)
{
    if (frame != NULL && --frame->references == 0)
        free(frame);
}

void scr_queue_release(struct scr_queue *queue)
{
    while (queue->count > 0)
        scr_packet_release(scr_queue_take(queue));
    free(queue->ring);
    *queue = (struct scr_queue){0};
}

/* Twice the room, the frames moved to its beginning. */
static bool grow(struct scr_queue *queue)
{
    size_t capacity = queue->capacity == 0 ? RING_FIRST : queue->capacity * 2;
    struct scr_packet **ring = calloc(capacity, sizeof(struct scr_packet *));

    if (ring == NULL)
        return false;
    for (size_t i = 0; i < queue->count; i++)
        ring[i] = queue->ring[(queue->first + i) % queue->capacity];
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->first = 0;
    return true;
}

bool scr_queue_push(struct scr_queue *queue, struct scr_packet *frame, size_t count_max,
                    size_t bytes_max)
{
    if (queue->count > 0 && (queue->count >= count_max || queue->bytes > bytes_max ||
                             frame->len > bytes_max - queue->bytes))
        return false;
    if (queue->count == queue->capacity && !grow(queue))
        return false;
    queue->ring[(queue->first + queue->count) % queue->capacity] = scr_packet_get(frame);
    queue->count++;
    queue->bytes += frame->len;
    return true;
}

struct scr_packet *scr_queue_take(struct scr_queue *queue)
{
    if (queue->count == 0)
        return NULL;
    struct scr_packet *frame = queue->ring[queue->first];
    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    queue->bytes -= frame->len;
    if (queue->count == 0 && queue->capacity > RING_FIRST) { /* a burst is over: give it back */
        free(queue->ring);
        *queue = (struct scr_queue){0};
    }
    return frame;
}

bool scr_queue_is_empty(const struct scr_queue *queue)
{
    return queue->count == 0;
}
