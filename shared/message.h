/* shared/message.h - one chat line as the public contract takes it. Pure. */
#ifndef SHARED_MESSAGE_H
#define SHARED_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/error.h"
#include "shared/uuid.h"

struct json_t;

struct df_message_limits {
    size_t body_max_bytes;
    size_t message_max_bytes;
    size_t username_max_bytes;
};

/* All texts are valid UTF-8 without U+0000, NUL-terminated, and live until df_message_release. */
struct df_message {
    bool has_id; /* the caller sent messageId */
    struct df_uuid id;
    struct df_uuid session;
    const char *username;
    size_t username_len;
    const char *message;
    size_t message_len;
    const char *platform; /* "whatnot" when absent, null, or no string */
    size_t platform_len;
    bool is_staff; /* the host or a moderator of the show, who buys nothing there */
    struct json_t *root; /* private: owns the texts */
    char username_number[32], message_number[32]; /* private: a number or boolean as text */
};

/* Reads and validates a request body (edge contract 1.2 with the improved answers):
 * - message, username, streamSessionId: absent, null, "", 0, false, or (texts) only white space:
 *   DF_EINPUT "Missing required fields: message, username, streamSessionId", exactly.
 *   A body that is an array, number, string or boolean misses them too; null is DF_EINPUT.
 * - message and username may be a number or true: they become the text JavaScript prints.
 *   Arrays and objects: DF_EINPUT that names the field.
 * - streamSessionId that is no UUID text: DF_EINPUT "Invalid streamSessionId: ...".
 * - messageId: absent or null is fine; a UUID text sets has_id; anything else DF_EINPUT.
 * - platform: a string is taken as it is (also ""); absent, null or any other type is "whatnot";
 *   longer than 64 bytes: DF_EINPUT.
 * - role: "host" and "moderator" set is_staff; anything else is nothing special.
 * - texts over their limit: DF_ETOOBIG naming field and limit; body over its limit: DF_ETOOBIG.
 * - unknown keys are ignored.
 * On DF_OK the caller ends *out with df_message_release; otherwise *out holds nothing. Any thread. */
enum df_code df_message_parse(struct df_message *out, const char *body, size_t body_len,
                              const struct df_message_limits *limits,
                              struct df_error *err) DF_MUST_USE;
void df_message_release(struct df_message *message);

#endif
