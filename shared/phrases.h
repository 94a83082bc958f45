/* shared/phrases.h - phrases that a seller wants left alone: is one of them in a message? Pure. */
#ifndef SHARED_PHRASES_H
#define SHARED_PHRASES_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"

#define DF_PHRASES_MAX        256 /* of one list; the rest is skipped */
#define DF_PHRASES_MAX_LENGTH 400 /* bytes of one phrase; a longer one is skipped */

struct df_phrases; /* immutable; any number of threads may match */

/* Reads the text of a jsonb value. Wanted is an array of texts; a lone text is a list of one. What
 * else it may hold (null, numbers, objects, nested arrays, blank texts) is skipped, because it is
 * whatever a client wrote into user_settings. On DF_OK the caller owns *out, which is NULL when
 * nothing usable is in it. DF_EINPUT: no JSON. DF_ENOMEM. */
enum df_code df_phrases_parse(struct df_phrases **out, const char *json, size_t json_len,
                              struct df_error *err) DF_MUST_USE;
void df_phrases_free(struct df_phrases *phrases); /* NULL is fine */

/* True if the message holds one of the phrases as whole words: "sold" is in "SOLD!" and not in
 * "unsold". Both sides are compared in the model's canonical form (df_intent_normalise), so case,
 * accents, look-alike letters, stretched letters and repeated blanks do not matter. Where a script
 * writes no blanks between words (Chinese, Japanese, Thai), and for emoji, any place will do.
 * In a message too long for the model (some 150 words) phrases over 37 bytes may be missed.
 * Time grows with message_len times the length of the list. Never allocates. NULL phrases: false.
 */
bool df_phrases_match(const struct df_phrases *phrases, const char *message, size_t message_len);

#endif
