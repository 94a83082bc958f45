/* scraper/line.h - a chat line as a source saw it, before anybody knows whether it is new. */
#ifndef SCRAPER_LINE_H
#define SCRAPER_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCR_TEXT_MAX_BYTES 4000 /* longer texts are cut at a character boundary and flagged */
#define SCR_NAME_MAX_BYTES 256

enum scr_kind { SCR_CHAT, SCR_JOIN, SCR_ANNOUNCEMENT };
enum scr_role { SCR_VIEWER, SCR_MODERATOR, SCR_HOST };
enum scr_source { SCR_SOURCE_NONE, SCR_SOURCE_FRAMES, SCR_SOURCE_DOCUMENT, SCR_SOURCE_POLLING };

/* All texts are borrowed, valid UTF-8, NUL-terminated. */
struct scr_line {
    const char *id; /* frames: the payload's id, "" when it has none; rows: "" */
    const char *username, *text;
    size_t id_len, username_len, text_len;
    enum scr_kind kind;
    enum scr_role role;
    bool is_highlighted;
    bool is_cut; /* text or name was longer than the limit */
};

/* Lines of one report of one source, oldest first. Borrowed for the call. */
struct scr_lines {
    enum scr_source source;
    bool is_snapshot; /* everything that is visible now (a new mount, a latest_messages frame, the
                         moment a source takes over): history decides which of it is new. Otherwise
                         lines that the source itself knows to be additions. */
    const struct scr_line *line;
    size_t count;
};

/* "chat", "join", "announcement"; "viewer", ...; "frames", "document", "polling", "none". */
const char *scr_kind_name(enum scr_kind kind);
const char *scr_role_name(enum scr_role role);
const char *scr_source_name(enum scr_source source);

#endif
