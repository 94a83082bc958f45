/* scraper/line_json.h - texts of a chat line out of a parsed JSON tree. Pure; used by frames.c and
 * report.c only. */
#ifndef SCRAPER_LINE_JSON_H
#define SCRAPER_LINE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/line.h"

struct json_t; /* jansson's */

/* Borrows the string for as long as the tree lives. One over max_bytes is cut in the tree itself,
 * at a character boundary, and *is_cut is set (never cleared). False: no string, or no memory. */
bool scr_json_text(struct json_t *value, size_t max_bytes, const char **text, size_t *text_len,
                   bool *is_cut);

/* Copies a string, cut at a character boundary to fit size bytes with its NUL; "" when there is no
 * string. */
void scr_json_copy(char *out, size_t size, const struct json_t *value);

/* A count that is not negative, from an integer or a whole real; -1 for anything else. */
int64_t scr_json_count(const struct json_t *value);

/* A newcomer's row is this text exactly; one that merely starts so is chat. */
bool scr_text_is_join(const char *text, size_t text_len);

#endif
