/* scraper/client_message.h - what a WebSocket client may say. Pure; fuzzed. */
#ifndef SCRAPER_CLIENT_MESSAGE_H
#define SCRAPER_CLIENT_MESSAGE_H

#include <stddef.h>

#include "shared/error.h"

#define SCR_CLIENT_MESSAGE_MAX_BYTES (64u << 10)

enum scr_client_verb {
    SCR_CLIENT_BAD,    /* no JSON object, or one that says nothing we know: err says what */
    SCR_CLIENT_AUTH,   /* {type|action: "auth", token} */
    SCR_CLIENT_PING,   /* {type|action: "ping"} */
    SCR_CLIENT_ACTION, /* {action: "monitor", ...}: for the program */
};

struct json_t;

struct scr_client_message {
    enum scr_client_verb verb;
    const char *token;   /* AUTH: borrowed from root, "" when it is missing or no text */
    struct json_t *root; /* owned; NULL when there is none */
};

/* Always fills *out; end with _release. */
enum scr_client_verb scr_client_message_parse(struct scr_client_message *out, const char *text,
                                              size_t text_len, struct df_error *err);
void scr_client_message_release(struct scr_client_message *message); /* wipes the token */

#endif
