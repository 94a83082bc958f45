/* realtime/hub.h - channels: joins and leaves, bindings and their plan, fan-out of row changes,
 * broadcast and presence, expiry of tokens. Loop thread only. */
#ifndef REALTIME_HUB_H
#define REALTIME_HUB_H

#include "realtime/access.h"
#include "realtime/changes.h"
#include "realtime/config.h"
#include "realtime/server.h"

struct rt_hub;

/* All borrowed and alive until rt_hub_free; the server is set before it runs. */
enum df_code rt_hub_new(struct rt_hub **out, const struct rt_config *config,
                        struct rt_access *access, struct rt_changes *changes,
                        struct df_error *err) DF_MUST_USE;
void rt_hub_free(struct rt_hub *hub);
void rt_hub_set_server(struct rt_hub *hub, struct rt_server *server);
void rt_hub_set_access(struct rt_hub *hub, struct rt_access *access);
void rt_hub_handlers(struct rt_hub *hub, struct rt_server_handlers *out);

struct rt_hub_stats {
    uint64_t channels, bindings, filters, claim_sets, joins, joins_refused, deliveries, changes;
    uint64_t broadcasts, presences, malformed, slow_channels, expired, catch_ups;
};
void rt_hub_stats_get(const struct rt_hub *hub, struct rt_hub_stats *out);

#endif
