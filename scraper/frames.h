/* scraper/frames.h - reads the text frames of the site's own live socket: Phoenix channels,
 * serializer 2, [join ref, ref, topic, event, payload]. Pure; foreign bytes (fuzzed).
 * Source: the page's socket as public projects describe it; fields we do not know are ignored. */
#ifndef SCRAPER_FRAMES_H
#define SCRAPER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/line.h"

enum scr_frame_type {
    SCR_FRAME_OTHER,     /* heartbeat, presence, bids, ... : not ours */
    SCR_FRAME_MALFORMED, /* counted, nothing else */
    SCR_FRAME_JOINED,    /* phx_reply ok on a chat topic */
    SCR_FRAME_MESSAGE,   /* new_msg: one line */
    SCR_FRAME_LATEST,    /* latest_messages: lines, turned round to oldest first */
    SCR_FRAME_UPDATE,    /* livestream_update: status, viewers, title, host where present */
    SCR_FRAME_VIEWERS,   /* livestream_view_count_updated */
    SCR_FRAME_LIFE,      /* user_joined, product_sold, ...: a sign of life of the show */
};

enum { SCR_FRAME_LINES_MAX = 500 };

struct scr_frame {
    enum scr_frame_type type;
    char topic_show[128]; /* what follows "chat:" (or another prefix) in the topic, "" when none */
    struct scr_line *line; /* owned by the frame */
    size_t count;
    int64_t viewers; /* -1 when absent */
    char status[16]; /* "CREATED", "PLAYING", "STOPPED", "ENDED", "CANCELLED", or "" */
    char title[256];
    char host[128];
    struct json_t *root; /* private: owns the texts */
};

/* Reads one frame. Cheap for frames of no interest (they are recognised before a full parse).
 * Never fails for want of memory otherwise than by SCR_FRAME_MALFORMED. End with _release. */
enum scr_frame_type scr_frame_parse(struct scr_frame *out, const char *text, size_t text_len);
void scr_frame_release(struct scr_frame *frame);

#endif
