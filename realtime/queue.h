/* realtime/queue.h - messages shared by many connections, and what waits for one of them. Knows
 * nothing of sockets. Loop thread. */
#ifndef REALTIME_QUEUE_H
#define REALTIME_QUEUE_H

#include "realtime/server.h"

enum {
    RT_BLOB_ROOM = 32,              /* in front of the bytes, for the WebSocket header */
    RT_CONTROL_EXTRA_BYTES = 65536, /* by which control answers may exceed the limit */
};

struct rt_blob {
    size_t references, len;
    bool is_binary;
    unsigned char bytes[]; /* RT_BLOB_ROOM, then len bytes */
};

/* A ring that grows up to its bound. Zero it before first use; its owner ends it with _release. */
struct rt_queue {
    struct rt_blob **ring; /* private, as all below */
    uint32_t capacity, first, count;
    size_t bytes;
};

void rt_queue_release(struct rt_queue *queue);
/* Takes a reference of its own. False when it would hold more than max_bytes (control messages:
 * RT_CONTROL_EXTRA_BYTES more), or memory is out: nothing was queued. One message always fits into
 * an empty queue. */
bool rt_queue_push(struct rt_queue *queue, struct rt_blob *blob, size_t max_bytes, bool is_control);
/* The oldest, borrowed; NULL when empty. */
struct rt_blob *rt_queue_first(const struct rt_queue *queue);
void rt_queue_pop(struct rt_queue *queue); /* drops the oldest; not when empty */

#endif
