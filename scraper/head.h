/* scraper/head.h - the head of an HTTP request before libwebsockets sees it.
 *
 * libwebsockets 4.1 keeps the list of subprotocols in 128 bytes and only answers with names that it
 * was given at the start. Browsers can hand over a token in no other way than as a subprotocol
 * (bearer.<jwt>), which is longer and differs each time. So the header gets another name on its way
 * in, and the answer to it is added by us. Pure; fuzzed. */
#ifndef SCRAPER_HEAD_H
#define SCRAPER_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#define SCR_HEAD_MAX_BYTES (16u << 10)

/* Bytes up to and including the empty line, 0 when it has not come yet. */
size_t scr_head_end(const char *bytes, size_t len);

/* Is the method one that libwebsockets answers at all? It drops the others without a word. */
bool scr_head_has_known_method(const char *bytes, size_t len);

/* Does the first line hold a control byte, encoded or not? libwebsockets decodes the path before it
 * looks for the end of the line. */
bool scr_head_has_control_bytes(const char *bytes, size_t len);

/* Of a GET: renames Sec-WebSocket-Protocol to X-Auth-Token in place, and hides every Upgrade that
 * is not to websocket (HTTP/2 in clear text), so that such a request is answered as if it were not
 * there. True when something was changed. */
bool scr_head_prepare(char *bytes, size_t head_len);

/* What a client offers in its list of subprotocols. Pointers are borrowed from the list. */
struct scr_offer {
    const char *token; /* of "bearer.<token>"; NULL when there is none */
    size_t token_len;
    const char *answer; /* the subprotocol to agree to: "dealflow", else the one with the token;
                           NULL: none of them is ours */
    size_t answer_len;
};
void scr_head_offer(struct scr_offer *out, const char *list, size_t list_len);

#endif
