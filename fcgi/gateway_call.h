/* fcgi/gateway_call.h - one HTTP request to a model server: the easy handle and its buffers. All of
 * it on the gateway's thread. */
#ifndef FCGI_GATEWAY_CALL_H
#define FCGI_GATEWAY_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/gateway_format.h"
#include "fcgi/gateway_settings.h"
#include "shared/buf.h"

struct mrs_ask; /* who is waiting; private to gateway.c */

struct mrs_call {
    void *easy;                    /* a CURL; libcurl's header stays in the .c files */
    struct mrs_ask *ask;           /* borrowed */
    struct mrs_settings *settings; /* one reference while under way */
    size_t model;
    enum mrs_gateway_mode mode;
    bool sent_temperature, sent_max_tokens;
    struct mrs_numbering numbering; /* of the lines of a batch */
    size_t line_count;
    struct df_buf request, response;
    size_t sent;       /* bytes of request handed to libcurl */
    bool is_too_big;   /* the response hit MRS_REPLY_MAX_BYTES */
    bool *has_address; /* borrowed; set once the server's name was resolved */
    struct mrs_call *prev, *next;
};

/* DF_ENOMEM. The caller owns *out. */
enum df_code mrs_call_new(struct mrs_call **out, bool *has_address, struct df_error *err) DF_MUST_USE;
void mrs_call_free(struct mrs_call *call); /* NULL is fine */

/* Writes the request about line_count lines (1..MRS_BATCH_LINES_MAX; their numbers come from
 * `random`) and points the handle at the server; `settings` gains a reference. Nothing is sent yet.
 * DF_ENOMEM, DF_ETOOBIG. */
enum df_code mrs_call_prepare(struct mrs_call *call, struct mrs_settings *settings,
                              const struct mrs_request_shape *shape,
                              const struct df_chat_line *const *lines, size_t line_count,
                              uint32_t random, int64_t left_ms, struct df_error *err) DF_MUST_USE;
/* After the handle left the multi handle: drops the settings, empties the buffers. */
void mrs_call_reset(struct mrs_call *call);

/* True when no byte of the request's body left us, so that it cannot have been billed. */
bool mrs_call_is_unsent(const struct mrs_call *call);

#endif
