/* scraper/tab_foreign.h - two small readers of bytes that pages and browsers choose: where a frame
 * inside a page leads to, and pictures as the DevTools protocol sends them. Pure; fuzzed. */
#ifndef SCRAPER_TAB_FOREIGN_H
#define SCRAPER_TAB_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "scraper/address.h"

/* May a frame inside a page load this address, as Chromium writes it (numeric hosts in their plain
 * form)? Such frames may come from anywhere in public (advertisements, widgets), by https; never
 * from private or local addresses, unless the policy allows those. The list of allowed hosts is not
 * asked: it is for what is read. */
bool scr_frame_may_load(const char *url, const struct scr_address_policy *policy);

/* Base64 without line breaks, padded or not. The caller frees the result; NULL: something else, or
 * no memory. */
unsigned char *scr_base64_decode(const char *text, size_t text_len, size_t *out_len);

#endif
