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
#define MRS_BATCH_TOOL_NAME "detect_purchases"
#define MRS_REQUEST_MAX_BYTES ((size_t)192 * 1024) /* prompt, schema and the capped texts fit */
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

/* Numbers of the lines of a batch: line k is first + k * step. Chosen anew for each call and with
 * gaps, so that a model that counts by itself, or is off by one, names no line at all instead of a
 * neighbour; and so that nobody in the chat knows the number of a line. */
struct mrs_numbering {
    int first, step;
};
struct mrs_numbering mrs_numbering_from(uint32_t random); /* any number */

/* The same request about 2..MRS_BATCH_LINES_MAX lines of one platform. The answer names each line
 * once, a buyer with its verdict, all others by number alone: few tokens, and complete. */
enum df_code mrs_gateway_format_batch(struct df_buf *out, const struct mrs_request_shape *shape,
                                      const struct df_chat_line *const *lines, size_t count,
                                      const struct mrs_numbering *numbering,
                                      struct df_error *err) DF_MUST_USE;

/* The cap on the answer's tokens that such a request sets. */
int64_t mrs_gateway_format_max_tokens(size_t line_count);

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

struct mrs_batch_reply {
    size_t clear_count; /* lines with a verdict */
    size_t stray_count; /* entries with a number that is no line's, or with none */
    bool is_clear[MRS_BATCH_LINES_MAX]; /* named exactly once */
    struct df_verdict verdicts[MRS_BATCH_LINES_MAX]; /* of the clear ones, clean as above; lines
                                                        among the others have confidence 0 */
    int64_t prompt_tokens, completion_tokens;
    bool has_message, has_call;
};

/* Reads the answer about `count` lines. A line that is missing or named twice is not clear; the rest
 * of the answer counts all the same. Codes as above; DF_OK when at least one line is clear. */
enum df_code mrs_gateway_format_batch_reply(const char *body, size_t body_len,
                                            const struct mrs_numbering *numbering, size_t count,
                                            struct mrs_batch_reply *out,
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
