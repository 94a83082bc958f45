/* realtime/head.h - the head of an HTTP request, read by ourselves: libwebsockets 4.1 cannot hold a
 * refusal back, drops unknown methods without a word and decodes paths before it looks at them. It
 * only gets to see upgrades that were judged. Pure; foreign bytes (fuzzed). RFC 9112. */
#ifndef REALTIME_HEAD_H
#define REALTIME_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/error.h"

enum { RT_HEAD_MAX_BYTES = 32 << 10, RT_HEAD_NAME_MAX = 255 };

enum rt_method {
    RT_METHOD_OTHER,
    RT_METHOD_GET,
    RT_METHOD_HEAD,
    RT_METHOD_POST,
    RT_METHOD_OPTIONS
};

enum rt_header {
    RT_HEADER_APIKEY,
    RT_HEADER_AUTHORIZATION,
    RT_HEADER_CONTENT_LENGTH,
    RT_HEADER_CONTENT_TYPE,
    RT_HEADER_EXPECT,
    RT_HEADER_TRANSFER_ENCODING,
    RT_HEADER_UPGRADE,
    RT_HEADER_WEBSOCKET_KEY,
    RT_HEADER_WEBSOCKET_VERSION,
    RT_HEADER_X_API_KEY,
    RT_HEADER_COUNT,
};

struct rt_slice {
    const char *text; /* borrowed from the head; NULL: not there */
    size_t len;
};

struct rt_head {
    enum rt_method method;
    struct rt_slice path, query;             /* as sent, still encoded; query without '?' */
    struct rt_slice header[RT_HEADER_COUNT]; /* without blanks around; the first of several */
};

/* Bytes up to and including the empty line, 0 when it has not come yet. */
size_t rt_head_end(const char *bytes, size_t len);

/* bytes is a whole head. Everything points into it. DF_EINPUT: no HTTP/1.x, control bytes, folded
 * lines, two lengths. */
enum df_code rt_head_parse(struct rt_head *out, const char *bytes, size_t len,
                           struct df_error *err) DF_MUST_USE;

/* Without regard to case; false for a header that is not there. */
bool rt_slice_is(struct rt_slice slice, const char *text);
/* A decimal number of at most 15 digits, else -1. */
int64_t rt_slice_number(struct rt_slice slice);

/* The value of a parameter, decoded, with a NUL; its length, or -1 when it is not there, does not
 * fit, or is not encoded properly. The first of several. */
int rt_query_get(struct rt_slice query, const char *name, char *out, size_t out_size);

/* The token of a request: Authorization (HTTP routes only), x-api-key, apikey as header or
 * parameter, in this order. Its length, 0 when there is none; it is cut when it does not fit, which
 * makes it invalid. */
size_t rt_head_token(const struct rt_head *head, bool with_authorization, char *out,
                     size_t out_size);

enum rt_route {
    RT_ROUTE_NONE,
    RT_ROUTE_SOCKET,    /* /websocket, /socket/websocket */
    RT_ROUTE_BATCH,     /* /api/broadcast */
    RT_ROUTE_BROADCAST, /* /api/broadcast/:topic/events/:event */
    RT_ROUTE_HEALTH,    /* /healthz: the process lives */
    RT_ROUTE_READY,     /* /readyz: and reaches its database */
    RT_ROUTE_METRICS,   /* /metrics, METRICS_LISTEN only */
};
struct rt_target {
    enum rt_route route;
    char topic[RT_HEAD_NAME_MAX + 1], event[RT_HEAD_NAME_MAX + 1]; /* BROADCAST: decoded, UTF-8 */
};
/* All but METRICS also below /realtime/v1. A topic or event that is empty, too long, not UTF-8 or
 * holds control bytes is no route. */
void rt_target_parse(struct rt_target *out, struct rt_slice path);

#endif
