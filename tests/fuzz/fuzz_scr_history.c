/* tests/fuzz/fuzz_scr_history.c - random reports about one chat. Each byte is an act: the chat goes
 * on, or a source reports what it sees of it. Where all texts differ, the verdicts must be exact;
 * where they repeat, an id may still be new once only. Input: first byte the mode, then the acts.
 */
#include "scraper/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

enum { SAID_MAX = 4096, WINDOW_MAX = 63 };

struct chat {
    struct scr_history *history;
    bool has_repeats; /* texts come from a handful */
    size_t said;      /* lines 0..said were reported once */
    int64_t now_ms;
    char text[SAID_MAX + 256][8], id[SAID_MAX + 256][8];
};

static struct scr_line line_of(struct chat *chat, size_t number, bool has_id)
{
    (void)snprintf(chat->text[number], sizeof chat->text[number], "%zu",
                   chat->has_repeats ? number * number % 7 % 3 : number);
    (void)snprintf(chat->id[number], sizeof chat->id[number], "%zu", number);
    const char *id = has_id ? chat->id[number] : "";
    const char *text = chat->text[number];
    return (struct scr_line){.id = id,
                             .username = "u",
                             .text = text,
                             .id_len = strlen(id),
                             .username_len = 1,
                             .text_len = strlen(text)};
}

/* A source reports lines first..end; those from `said` on are new. */
static void report(struct chat *chat, bool is_frames, bool is_snapshot, size_t first, size_t end)
{
    struct scr_line lines[2 * WINDOW_MAX + 2];
    bool is_new[2 * WINDOW_MAX + 2], is_gap;
    struct scr_lines all = {is_frames ? SCR_SOURCE_FRAMES : SCR_SOURCE_DOCUMENT, is_snapshot, lines,
                            end - first};

    for (size_t i = first; i < end; i++)
        lines[i - first] = line_of(chat, i, is_frames);
    scr_history_judge(chat->history, &all, is_new, &is_gap, chat->now_ms);
    for (size_t i = first; i < end && !chat->has_repeats; i++)
        MUST(is_new[i - first] == (i >= chat->said));
    MUST(chat->has_repeats || !is_gap);
    if (is_frames) { /* once more: by their ids all are known now */
        scr_history_judge(chat->history, &all, is_new, &is_gap, chat->now_ms);
        for (size_t i = first; i < end; i++)
            MUST(!is_new[i - first]);
        MUST(!is_gap);
    }
    if (end > chat->said)
        chat->said = end;
}

static void act(struct chat *chat, uint8_t what)
{
    size_t amount = what >> 2 & 15, back = amount < chat->said ? amount : chat->said;

    chat->now_ms += what >> 6;
    switch (what & 3) {
    case 0: /* additions */
        report(chat, what & 0x40, false, chat->said, chat->said + 1 + amount % 4);
        break;
    case 1: /* a snapshot that ends with the newest known line */
        report(chat, what & 0x40, true, chat->said - back, chat->said);
        break;
    case 2: /* one that hangs over */
        report(chat, what & 0x40, true, chat->said - (back > 0 || chat->said == 0 ? back : 1),
               chat->said + 1 + amount % 3);
        break;
    default: /* what one source reported just now, the other reports too */
        chat->now_ms += 10000;
        if (chat->said > 0)
            report(chat, what & 0x40, false, chat->said, chat->said + 1);
        if (chat->said > 0)
            report(chat, !(what & 0x40), false, chat->said - 1, chat->said);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct chat chat;

    if (size == 0)
        return 0;
    memset(&chat, 0, sizeof chat);
    chat.has_repeats = data[0] & 1;
    MUST(scr_history_new(&chat.history, data[0] & 2 ? 1000 : 300, 1000, NULL) == DF_OK);
    for (size_t i = 1; i < size && chat.said < SAID_MAX; i++) {
        act(&chat, data[i]);
        MUST(scr_history_count(chat.history) <= (data[0] & 2 ? 1000 : 300));
    }
    scr_history_free(chat.history);
    return 0;
}
