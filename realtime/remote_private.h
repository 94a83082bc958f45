/* realtime/remote_private.h - what we know of other gateways, and what we tell them. */
#ifndef REALTIME_REMOTE_PRIVATE_H
#define REALTIME_REMOTE_PRIVATE_H

#include <jansson.h>

#include "realtime/hub_private.h"
#include "shared/uuid.h"

enum { RT_GATEWAYS_MAX = 64, RT_REMOTE_TEXT_MAX_BYTES = 16 << 20 };

struct rt_gateway {
    char id[DF_UUID_TEXT_SIZE];
    int64_t heard_ms, asked_ms;
    json_int_t n;    /* of its last message about people */
    json_int_t part; /* of "all" that comes next */
};

struct rt_remote {
    struct rt_gateway *gateway[RT_GATEWAYS_MAX];
    size_t gateway_count;
    struct rt_map people; /* by source */
    json_int_t n;         /* of our own last message about people */
    int64_t hello_ms;     /* when the next is due */
};

/* remote_send.c */
void rt_remote_hello(struct rt_hub *hub, bool is_new);
void rt_remote_ask(struct rt_hub *hub, struct rt_gateway *gateway); /* for everybody it has */
void rt_remote_say_all(struct rt_hub *hub);

#endif
