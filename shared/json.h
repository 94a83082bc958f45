/* shared/json.h - the only way foreign JSON comes in, and how numbers and strings go out. Pure. */
#ifndef SHARED_JSON_H
#define SHARED_JSON_H

#include <stddef.h>

#include "shared/buf.h"
#include "shared/error.h"

struct json_t; /* jansson's; its typedef is json_t */

#define DF_JSON_DEPTH_MAX 64 /* open brackets; 2,047 crash a 128 KiB stack inside jansson */

/* Parses one JSON value of any type from foreign bytes. Before jansson sees them, one scan checks
 * the nesting depth, skips a BOM, and turns invalid UTF-8, U+0000 (raw in a string or as \u0000) and
 * lone surrogate escapes into U+FFFD, and rewrites numbers jansson refuses (integers beyond int64,
 * reals beyond double) into ones it takes (a real; a saturated +-1.7976931348623157e308), so that
 * they are harmless where the key is ignored. Duplicate keys: the last wins.
 * On DF_OK the caller owns *out (json_decref). Otherwise *out is NULL:
 * DF_EINPUT not JSON (message as JSON.parse users expect: "Unexpected end of JSON input" for an
 * empty or blank body, else "Invalid JSON: <why> at byte <n>", never quoting the body), or nested
 * too deeply; DF_ETOOBIG body_len > max_bytes; DF_ENOMEM.
 * Any thread; stack use below 32 KiB at any input. Source: edge contract section 1.2. */
enum df_code df_json_parse(struct json_t **out, const char *body, size_t body_len,
                           size_t max_bytes, struct df_error *err) DF_MUST_USE;

/* Appends a finite number as JavaScript prints it: the shortest text that reads back as the same
 * double (0.7, 1, 100, 1e21, 1e-7, -0 as 0). NaN and infinities become null. False when out of room
 * (see df_buf). Source: ECMA-262 Number::toString. */
bool df_json_append_number(struct df_buf *buf, double value);

/* Appends a JSON string literal with quotes; control bytes, quote and backslash escaped, valid UTF-8
 * passed through, invalid bytes become U+FFFD. False when out of room. */
bool df_json_append_string(struct df_buf *buf, const char *text, size_t text_len);

#endif
