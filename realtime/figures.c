/* realtime/figures.c - the hub and the database side as Prometheus text. */
#include "realtime/hub_private.h"

enum { TEXT_MAX_BYTES = 65536 };

static void put(struct df_buf *out, const char *name, const char *type, const char *help,
                double value)
{
    (void)df_buf_printf(out,
                        "# HELP dealflow_realtime_%s %s\n# TYPE dealflow_realtime_%s %s\n"
                        "dealflow_realtime_%s %.10g\n",
                        name, help, name, type, name, value);
}

static void put_hub(struct df_buf *out, const struct rt_hub *hub)
{
    struct rt_hub_stats stats;

    rt_hub_stats_get(hub, &stats);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"channels", "gauge", "Channels that clients are in", stats.channels},
        {"bindings", "gauge", "Row subscriptions of all channels", stats.bindings},
        {"filters", "gauge", "Distinct filters among them", stats.filters},
        {"claim_sets", "gauge", "Distinct claim sets that rows are checked for", stats.claim_sets},
        {"joins_total", "counter", "Joins that were answered ok", stats.joins},
        {"joins_refused_total", "counter", "Joins that were refused", stats.joins_refused},
        {"changes_total", "counter", "Changed rows given to the fan-out", stats.changes},
        {"deliveries_total", "counter", "Row events put into clients' queues", stats.deliveries},
        {"broadcasts_total", "counter", "Broadcasts of clients", stats.broadcasts},
        {"presence_messages_total", "counter", "Presence messages of clients", stats.presences},
        {"malformed_frames_total", "counter", "Frames that were ignored", stats.malformed},
        {"slow_channels_total", "counter", "Channels ended because the client reads too slowly",
         stats.slow_channels},
        {"expired_channels_total", "counter", "Channels ended because their token expired",
         stats.expired},
        {"catch_ups_total", "counter", "Subscriptions that asked for missed rows", stats.catch_ups},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        put(out, rows[i].name, rows[i].type, rows[i].help, (double)rows[i].value);
}

static void put_changes(struct df_buf *out, struct rt_changes *changes)
{
    struct rt_changes_stats stats;

    rt_changes_stats_get(changes, &stats);
    put(out, "database_up", "gauge", "1 while changes are being read", stats.is_up ? 1 : 0);
    put(out, "log_entries_total", "counter", "Entries of the change log read",
        (double)stats.log_entries);
    put(out, "rows_total", "counter", "Rows resolved for at least one claim set",
        (double)stats.rows);
    put(out, "queries_total", "counter", "Statements run to resolve rows", (double)stats.batches);
    put(out, "reconnects_total", "counter", "Times the database came back",
        (double)stats.reconnects);
    put(out, "questions_total", "counter", "Questions about bindings, policies and missed rows",
        (double)stats.questions);
    put(out, "lag_seconds", "gauge", "Age of the newest log entry when it was read",
        (double)stats.lag_ms / 1e3);
    put(out, "query_p50_seconds", "gauge", "Median time of the last statements",
        (double)stats.query_p50_us / 1e6);
    put(out, "query_p99_seconds", "gauge", "Their 99th percentile",
        (double)stats.query_p99_us / 1e6);
}

char *rt_hub_metrics(struct rt_hub *hub)
{
    struct df_buf out;

    df_buf_init(&out, TEXT_MAX_BYTES);
    put_hub(&out, hub);
    put_changes(&out, hub->changes);
    if (out.failed)
        df_buf_release(&out);
    return out.data;
}
