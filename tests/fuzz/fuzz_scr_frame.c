/* tests/fuzz/fuzz_scr_frame.c - frames of a socket that is not ours: whatever comes, a frame is
 * either refused or holds lines within the limits. */
#include "scraper/frames.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scr_frame frame;
    char *text = malloc(size + (size == 0));

    MUST(text != NULL);
    memcpy(text, data, size);
    enum scr_frame_type type = scr_frame_parse(&frame, text, size);
    free(text); /* the frame must not need it any more */
    MUST(type == frame.type && frame.count <= SCR_FRAME_LINES_MAX && frame.viewers >= -1);
    MUST(frame.count == 0 || type == SCR_FRAME_MESSAGE || type == SCR_FRAME_LATEST);
    MUST(type != SCR_FRAME_MESSAGE || frame.count == 1);
    for (size_t i = 0; i < frame.count; i++) {
        const struct scr_line *line = &frame.line[i];
        MUST(line->text_len > 0 && line->text_len <= SCR_TEXT_MAX_BYTES);
        MUST(line->username_len > 0 && line->username_len <= SCR_NAME_MAX_BYTES);
        MUST(strlen(line->text) == line->text_len && strlen(line->id) == line->id_len);
        MUST(strlen(line->username) == line->username_len);
    }
    scr_frame_release(&frame);
    return 0;
}
