/* realtime/queue.c - shared messages and bounded queues of them. */
#include "realtime/queue.h"

#include <stdlib.h>
#include <string.h>

enum { RING_FIRST = 8 };

struct rt_blob *rt_blob_new(const void *bytes, size_t len, bool is_binary)
{
    struct rt_blob *blob = malloc(sizeof *blob + RT_BLOB_ROOM + len);

    if (blob == NULL)
        return NULL;
    blob->references = 1;
    blob->len = len;
    blob->is_binary = is_binary;
    if (len > 0)
        memcpy(blob->bytes + RT_BLOB_ROOM, bytes, len);
    return blob;
}

struct rt_blob *rt_blob_keep(struct rt_blob *blob)
{
    blob->references++;
    return blob;
}

void rt_blob_drop(struct rt_blob *blob)
{
    if (blob != NULL && --blob->references == 0)
        free(blob);
}

void rt_queue_release(struct rt_queue *queue)
{
    while (queue->count > 0)
        rt_queue_pop(queue);
    free(queue->ring);
    *queue = (struct rt_queue){0};
}

/* Twice the room, the messages moved to its beginning. */
static bool grow(struct rt_queue *queue)
{
    uint32_t capacity = queue->capacity == 0 ? RING_FIRST : queue->capacity * 2;
    struct rt_blob **ring =
        capacity > queue->capacity ? calloc(capacity, sizeof(struct rt_blob *)) : NULL;

    if (ring == NULL)
        return false;
    for (uint32_t i = 0; i < queue->count; i++)
        ring[i] = queue->ring[(queue->first + i) % queue->capacity];
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->first = 0;
    return true;
}

bool rt_queue_push(struct rt_queue *queue, struct rt_blob *blob, size_t max_bytes, bool is_control)
{
    size_t limit = is_control ? max_bytes + RT_CONTROL_EXTRA_BYTES : max_bytes;

    if (queue->count > 0 && (queue->bytes > limit || blob->len > limit - queue->bytes))
        return false;
    if (queue->count == queue->capacity && !grow(queue))
        return false;
    queue->ring[(queue->first + queue->count) % queue->capacity] = rt_blob_keep(blob);
    queue->count++;
    queue->bytes += blob->len;
    return true;
}

struct rt_blob *rt_queue_first(const struct rt_queue *queue)
{
    return queue->count == 0 ? NULL : queue->ring[queue->first];
}

void rt_queue_pop(struct rt_queue *queue)
{
    struct rt_blob *blob = queue->ring[queue->first];

    queue->first = (queue->first + 1) % queue->capacity;
    queue->count--;
    queue->bytes -= blob->len;
    rt_blob_drop(blob);
    if (queue->count == 0 && queue->capacity > RING_FIRST) { /* a burst is over: give it back */
        free(queue->ring);
        *queue = (struct rt_queue){0};
    }
}
