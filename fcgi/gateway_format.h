/* fcgi/gateway_format.h - the text between us and a model server: requests out, verdicts in. Pure:
 * no sockets, no clock. Any thread. Source: edge contract sections 1.4, 1.5 and 3.2. */
#ifndef FCGI_GATEWAY_FORMAT_H
#define FCGI_GATEWAY_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fcgi/gateway.h"
#include "shared/buf.h"
#include "shared/error.h"
#include "shared/intent.h"

#define MRS_TOOL_NAME "detect_purchase"
#define MRS_REQUEST_MAX_BYTES ((size_t)32 * 1024) /* prompt, schema and the capped texts fit */
#define MRS_REPLY_MAX_BYTES ((size_t)256 * 1024)

/* Longest texts a model gets to see, in bytes; cut at a character. */
#define MRS_PROMPT_PLATFORM_MAX 64
#define MRS_PROMPT_USERNAME_MAX 128
#define MRS_PROMPT_MESSAGE_MAX 2000

struct mrs_request_shape {
    const char *model;
    enum mrs_gateway_mode mode; /* not MRS_AI_AUTO */
    bool send_temperature;
    bool send_max_tokens;
};

/* Appends one chat completions request to `out`. The chat line travels as one JSON object inside one
 * string of the user message, so that nothing in it can end that string; control characters are
 * taken out. DF_ETOOBIG: `out` is full. */
enum df_code mrs_gateway_format_request(struct df_buf *out, const struct mrs_request_shape *shape,
                                        const struct df_chat_line *line,
                                        struct df_error *err) DF_MUST_USE;

struct mrs_gateway_reply {
    struct df_verdict verdict;
    int64_t prompt_tokens, completion_tokens; /* 0 when the server did not say */
    bool has_message; /* there was a choices[0].message, so the server did answer */
    bool has_call;    /* ... and a tool call (or a legacy function call) in it */
};

/* Reads the body of a 2xx answer. On DF_OK out->verdict is clean: confidence 0..1, known type, item
 * trimmed and cut, value in cents or DF_VALUE_NONE. Otherwise DF_EUPSTREAM with the text clients see:
 * "No tool call in AI response" when the answer holds no verdict at all, "Unusable AI answer: ..."
 * when it cannot be read; the other fields of *out are set either way. */
enum df_code mrs_gateway_format_reply(const char *body, size_t body_len,
                                      struct mrs_gateway_reply *out,
                                      struct df_error *err) DF_MUST_USE;

/* clang-format off */
enum mrs_refusal {
    MRS_REFUSAL_OTHER,
    MRS_REFUSAL_TEMPERATURE, MRS_REFUSAL_MAX_TOKENS, /* a parameter we can leave out */
    MRS_REFUSAL_MODE,                                /* tools or response_format */
    MRS_REFUSAL_MODEL,                               /* the model is gone or unknown */
};
/* clang-format on */

/* What a 400, 404 or 422 is about, judged by the words of its body (borrowed, any bytes). */
enum mrs_refusal mrs_gateway_format_refusal(int status, const char *body, size_t body_len,
                                            const char *model);

#endif
