/* realtime/window.h - a stretch of the change log becomes events. Reader thread. */
#ifndef REALTIME_WINDOW_H
#define REALTIME_WINDOW_H

#include "realtime/changes_private.h"
#include "realtime/resolve.h"

/* Resolves the entries by the plan of resolver->index and queues what is wanted of them, in order.
 * Otherwise nothing was queued; codes as rt_resolve. The matches of the entries are gone either
 * way. */
enum df_code rt_window_run(struct rt_changes *changes, struct rt_resolver *resolver,
                           struct rt_entry *entries, size_t count,
                           struct df_error *err) DF_MUST_USE;

#endif
