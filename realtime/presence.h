/* realtime/presence.h - who is in a channel: keys, their metas, what changed. Pure; one per topic.
 * Metas come from local connections and from other gateways alike. */
#ifndef REALTIME_PRESENCE_H
#define REALTIME_PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/buf.h"
#include "shared/error.h"

struct rt_presence;

enum df_code rt_presence_new(struct rt_presence **out, struct df_error *err) DF_MUST_USE;
void rt_presence_free(struct rt_presence *presence);

/* source names one channel of one gateway ("<gateway>/<connection>/<channel>"): it holds one meta a
 * key. Tracking again replaces it (a diff with a leave and a join). payload is a JSON object text.
 * Appends {"joins":{..},"leaves":{..}} to diff. phx_ref is unique text. */
bool rt_presence_track(struct rt_presence *presence, const char *source, const char *key,
                       const char *phx_ref, const char *payload, size_t payload_len,
                       struct df_buf *diff);
/* False: it was not there, nothing appended. */
bool rt_presence_untrack(struct rt_presence *presence, const char *source, struct df_buf *diff);
/* Everybody of a gateway that is gone. */
bool rt_presence_forget_gateway(struct rt_presence *presence, const char *gateway,
                                struct df_buf *diff);
/* Appends {"key":{"metas":[{"phx_ref":..,...}]}}. */
bool rt_presence_state(const struct rt_presence *presence, struct df_buf *out);
size_t rt_presence_count(const struct rt_presence *presence);

#endif
