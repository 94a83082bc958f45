/* realtime/join.h - what a phx_join asks for. Pure; foreign (fuzzed through the frame). */
#ifndef REALTIME_JOIN_H
#define REALTIME_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/error.h"

struct json_t;

enum { RT_BINDINGS_MAX = 100, RT_CONDITIONS_MAX = 32, RT_IN_MAX = 100 };

enum rt_event_mask { RT_INSERT = 1, RT_UPDATE = 2, RT_DELETE = 4, RT_ALL = 7 };

/* One .on('postgres_changes', ...) of the app. */
struct rt_binding_request {
    const struct json_t *given; /* borrowed from the payload: echoed as it came, plus id */
    unsigned events;            /* rt_event_mask */
    char schema[64], table[64]; /* "*" is a wildcard; "" when absent (see has_target) */
    bool has_target;            /* schema or table was there */
    char *filter;     /* heap: canonical JSON of the parsed conditions, "[]" when there is none;
                         [{"column":"a","op":"eq","not":false,"value":"x"},{"op":"in","values":[..]}..] */
    char *select;     /* heap: JSON array of column names, "[]" for all */
    char session[37]; /* set when a condition is stream_session_id=eq.<uuid>: the pre-filter */
    char *x_after;    /* heap: the position after which missed rows are wanted, NULL when none */
    char error[512];  /* what is wrong with filter or select, in Supabase's words; "" when nothing */
};

struct rt_join {
    bool broadcast_ack, broadcast_self;
    bool is_private, presence_enabled;
    bool replay;            /* config.broadcast.replay was asked for */
    int64_t replay_since_ms;
    int64_t replay_limit;
    char presence_key[128]; /* "" when the app gave none */
    bool wait;
    int64_t wait_timeout_ms;      /* -1 when not given */
    const char *access_token;     /* borrowed, NULL when none or when it starts with sb_ */
    struct rt_binding_request *binding;
    size_t binding_count;
};

/* Never refuses (Supabase does not either): what is invalid gets its default or its binding's error.
 * DF_ENOMEM; DF_ETOOBIG over RT_BINDINGS_MAX. payload is borrowed and must outlive *out. */
enum df_code rt_join_parse(struct rt_join *out, const struct json_t *payload,
                           struct df_error *err) DF_MUST_USE;
void rt_join_release(struct rt_join *join);

/* Parses one filter text into canonical JSON (appended to out); error gets Supabase's text, e.g.
 * "Error parsing `filter` params: [\"foo\", \"hey\"]". session (37 bytes) as above. False: error. */
bool rt_filter_parse(struct df_buf *out, const char *text, size_t text_len, char *session,
                     char *error, size_t error_size);

#endif
