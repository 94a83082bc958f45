/* fcgi/analyze/line.h - one line of `dealflow-analyze --jsonl`: a chat line in, a verdict out.
 * Pure. */
#ifndef FCGI_ANALYZE_LINE_H
#define FCGI_ANALYZE_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/buf.h"
#include "shared/error.h"
#include "shared/intent.h"

struct json_t;

/* The texts of `chat` live until an_line_release, or as long as the bytes that were parsed. */
struct an_line {
    struct df_chat_line chat;
    struct json_t *root;                          /* private: owns the texts, or NULL */
    char username_number[32], message_number[32]; /* private: a number or boolean as text */
};

/* Reads {"username":...,"message":...,"platform":...} from bytes without their newline; blanks and
 * a carriage return around it are fine.
 * - message must be there: a text (also an empty one), or a number or true, which become text;
 * - username may be absent or null: an author of whom nothing is known;
 * - platform: absent, null or no text is "whatnot", as in the function;
 * - other keys are ignored, the last of equal keys wins, bad UTF-8 becomes U+FFFD.
 * On DF_OK the caller ends *out with an_line_release; otherwise *out holds nothing.
 * DF_EINPUT: empty, not JSON, no object, no message; err->msg quotes nothing of the line.
 * DF_ENOMEM. Any thread. */
enum df_code an_line_parse(struct an_line *out, const char *bytes, size_t len,
                           struct df_error *err) DF_MUST_USE;
void an_line_release(struct an_line *line);

/* Appends {"is_buyer":...,"confidence":...,"message_type":...,"item_description":...,
 * "estimated_value":...} and a newline. The fields are those of the tool detect_purchase (edge
 * contract 1.5): item_description is "" and estimated_value 0 when there is none. confidence is cut
 * to six decimals, never rounded up, so that comparing it with a threshold of up to six decimals
 * gives what comparing the verdict gives. False when out of room (see df_buf). */
bool an_verdict_append(struct df_buf *out, const struct df_verdict *verdict);

/* What stands for a line that could not be read: no buyer, confidence 0. */
extern const struct df_verdict an_no_verdict;

#endif
