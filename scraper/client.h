/* scraper/client.h - what a WebSocket client still has to be sent: frames, encoded once and shared
 * by all clients, in a queue bounded by count and bytes. Knows nothing of sockets. Loop thread. */
#ifndef SCRAPER_CLIENT_H
#define SCRAPER_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCR_FRAME_ROOM 32 /* in front of the text, for the WebSocket header (LWS_PRE or more) */

struct scr_packet {
    size_t references, len;
    unsigned char bytes[]; /* SCR_FRAME_ROOM, then len bytes of text */
};

/* A copy of the text with one reference, which the caller owns; NULL for lack of memory. */
struct scr_packet *scr_packet_new(const char *text, size_t text_len);
struct scr_packet *scr_packet_get(struct scr_packet *frame); /* one reference more */
void scr_packet_release(struct scr_packet *frame);          /* one less; NULL is fine */

/* A ring that grows up to its bound. Zero it before first use; its owner ends it with _release. */
struct scr_queue {
    struct scr_packet **ring; /* private, as all below */
    size_t capacity, first, count, bytes;
};

void scr_queue_release(struct scr_queue *queue);
/* Takes a reference of its own. False when one more frame or its bytes would pass a bound, or
 * memory is out: nothing was queued. A single frame always fits into an empty queue. */
bool scr_queue_push(struct scr_queue *queue, struct scr_packet *frame, size_t count_max,
                    size_t bytes_max);
/* The oldest frame, whose reference moves to the caller; NULL when empty. */
struct scr_packet *scr_queue_take(struct scr_queue *queue);
bool scr_queue_is_empty(const struct scr_queue *queue);

#endif
