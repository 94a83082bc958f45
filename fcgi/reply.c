/* fcgi/reply.c - headers and bodies of every answer the program gives. */
#include "fcgi/reply.h"

#include <string.h>

#include "shared/json.h"

/* The four names of the old function first, in its order; browsers of newer clients need the rest
 * (edge contract 2.5). */
#define CORS_HEADERS                                                                               \
    "access-control-allow-origin: *\r\n"                                                           \
    "access-control-allow-headers: authorization, x-client-info, apikey, content-type, "           \
    "traceparent, tracestate, baggage, x-region, x-supabase-client-platform, "                     \
    "x-supabase-client-platform-version, x-supabase-client-runtime, "                              \
    "x-supabase-client-runtime-version\r\n"

struct reply {
    int status;
    const char *content_type;
    const char *error_code; /* sb-error-code, or NULL */
    const char *more;       /* further header lines, each with CRLF, or NULL */
    int64_t retry_after_s;  /* 0: none */
    const char *body;
    size_t body_len;
};

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 402:
        return "Payment Required";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 429:
        return "Too Many Requests";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return "Internal Server Error";
    }
}

static void append_number(struct df_buf *out, uint64_t value)
{
    char digits[20];
    size_t used = sizeof digits;
    do {
        digits[--used] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    df_buf_append(out, digits + used, sizeof digits - used);
}

/* Appends instead of printf: this runs once for every chat line. */
static int write_reply(struct df_buf *out, const struct df_uuid *request_id,
                       const struct reply *reply)
{
    char id[DF_UUID_TEXT_SIZE];
    df_uuid_format(id, request_id);
    df_buf_reset(out);
    df_buf_append_str(out, "Status: ");
    append_number(out, (uint64_t)reply->status);
    df_buf_append_char(out, ' ');
    df_buf_append_str(out, reason_of(reply->status));
    df_buf_append_str(out, "\r\ncontent-type: ");
    df_buf_append_str(out, reply->content_type);
    df_buf_append_str(out, "\r\ncontent-length: ");
    append_number(out, reply->body_len);
    df_buf_append_str(out, "\r\n" CORS_HEADERS "sb-request-id: ");
    df_buf_append_str(out, id);
    df_buf_append_str(out, "\r\n");
    if (reply->error_code != NULL) {
        df_buf_append_str(out, "sb-error-code: ");
        df_buf_append_str(out, reply->error_code);
        df_buf_append_str(out, "\r\n");
    }
    if (reply->retry_after_s > 0) {
        df_buf_append_str(out, "retry-after: ");
        append_number(out, (uint64_t)reply->retry_after_s);
        df_buf_append_str(out, "\r\n");
    }
    if (reply->more != NULL)
        df_buf_append_str(out, reply->more);
    df_buf_append_str(out, "\r\n");
    df_buf_append(out, reply->body, reply->body_len);
    return reply->status;
}

static int write_json(struct df_buf *out, const struct df_uuid *request_id, struct reply *reply,
                      struct df_buf *body)
{
    reply->content_type = "application/json";
    reply->body = body->data == NULL ? "" : body->data;
    reply->body_len = body->len;
    int status = write_reply(out, request_id, reply);
    df_buf_release(body);
    return status;
}

int mrs_reply_preflight(struct df_buf *out, const struct df_uuid *request_id)
{
    struct reply reply = {.status = 200,
                          .content_type = "text/plain;charset=UTF-8",
                          .more = "access-control-allow-methods: POST, OPTIONS\r\n"
                                  "access-control-max-age: 86400\r\n",
                          .body = "ok",
                          .body_len = 2};
    return write_reply(out, request_id, &reply);
}

static int write_failure(struct df_buf *out, const struct df_uuid *request_id, struct reply *reply,
                         const char *text)
{
    struct df_buf body;
    df_buf_init(&body, 4096);
    df_buf_append_str(&body, "{\"error\":");
    df_json_append_string(&body, text, strlen(text));
    df_buf_append_str(&body, ",\"success\":false}");
    return write_json(out, request_id, reply, &body);
}

int mrs_reply_method(struct df_buf *out, const struct df_uuid *request_id)
{
    struct reply reply = {
        .status = 405, .error_code = df_error_name(DF_EMETHOD), .more = "allow: POST, OPTIONS\r\n"};
    return write_failure(out, request_id, &reply, "Method not allowed");
}

int mrs_reply_refused(struct df_buf *out, const struct df_uuid *request_id,
                      const struct mrs_refusal *refusal)
{
    struct reply reply = {.status = refusal->http_status,
                          .error_code = refusal->code,
                          .retry_after_s = refusal->retry_after_s};
    if (refusal->http_status != 401)
        return write_failure(out, request_id, &reply, refusal->message);
    struct df_buf body; /* the hosted gateway's own shape */
    df_buf_init(&body, 4096);
    df_buf_append_str(&body, "{\"code\":");
    df_json_append_string(&body, refusal->code, strlen(refusal->code));
    df_buf_append_str(&body, ",\"message\":");
    df_json_append_string(&body, refusal->message, strlen(refusal->message));
    df_buf_append_str(&body, "}");
    return write_json(out, request_id, &reply, &body);
}

int mrs_reply_error(struct df_buf *out, const struct df_uuid *request_id,
                    const struct df_error *error, int64_t retry_after_s)
{
    int status = df_error_http_status(error->code);
    struct reply reply = {.status = status, .error_code = df_error_name(error->code)};
    if (status == 429 || status == 503)
        reply.retry_after_s = retry_after_s > 0 ? retry_after_s : 1;
    return write_failure(out, request_id, &reply,
                         error->code == DF_EBUG ? "Internal error" : error->msg);
}

int mrs_reply_skipped(struct df_buf *out, const struct df_uuid *request_id)
{
    static const char body[] = "{\"success\":true,\"analyzed\":false,\"message\":\"Message stored "
                               "(AI analysis skipped)\"}";
    struct reply reply = {.status = 200,
                          .content_type = "application/json",
                          .body = body,
                          .body_len = sizeof body - 1};
    return write_reply(out, request_id, &reply);
}

int mrs_reply_analysed(struct df_buf *out, const struct df_uuid *request_id,
                       const struct df_verdict *verdict, bool captured)
{
    struct df_buf body;
    struct reply reply = {.status = 200};
    df_buf_init(&body, 4096);
    df_buf_reserve(&body, 200);
    df_buf_append_str(&body, "{\"success\":true,\"analyzed\":true,\"analysis\":{\"is_buyer\":");
    df_buf_append_str(&body, verdict->is_buyer ? "true" : "false");
    df_buf_append_str(&body, ",\"confidence\":");
    df_json_append_number(&body, verdict->confidence);
    df_buf_append_str(&body, ",\"message_type\":\"");
    df_buf_append_str(&body, df_message_type_name(verdict->type));
    df_buf_append_str(&body, "\",\"auto_captured\":");
    df_buf_append_str(&body, captured ? "true}}" : "false}}");
    return write_json(out, request_id, &reply, &body);
}
