/* realtime/metrics.c - the server's own figures as Prometheus text, after the hub's. */
#include <stdlib.h>

#include "realtime/server_private.h"

char *rt_server_metrics(const struct rt_server *server)
{
    const struct rt_server_stats *stats = &server->stats;
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"connections", "gauge", "WebSockets that are open", stats->connections},
        {"connections_total", "counter", "WebSockets ever opened", stats->connections_ever},
        {"refused_total", "counter", "Requests and upgrades refused", stats->refused},
        {"refusals_waiting", "gauge", "Sockets made to wait for their refusal",
         server->waiting_count},
        {"frames_in_total", "counter", "Messages of clients", stats->frames_in},
        {"frames_out_total", "counter", "Messages written to clients", stats->frames_out},
        {"bytes_in_total", "counter", "Bytes of clients' messages", stats->bytes_in},
        {"bytes_out_total", "counter", "Bytes of messages written", stats->bytes_out},
        {"closed_idle_total", "counter", "Connections closed because nothing came from them",
         stats->closed_idle},
        {"closed_slow_total", "counter", "Connections cut while messages waited for them",
         stats->closed_slow},
        {"closed_oversized_total", "counter", "Connections closed for a message over the limit",
         stats->closed_oversized},
    };
    struct df_buf out;
    char *text = server->handlers.on_metrics(server->handlers.arg);

    df_buf_init(&out, 1 << 20);
    if (text != NULL)
        (void)df_buf_append_str(&out, text);
    free(text);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        (void)df_buf_printf(&out,
                            "# HELP dealflow_realtime_%s %s\n# TYPE dealflow_realtime_%s %s\n"
                            "dealflow_realtime_%s %llu\n",
                            rows[i].name, rows[i].help, rows[i].name, rows[i].type, rows[i].name,
                            (unsigned long long)rows[i].value);
    if (out.failed)
        df_buf_release(&out);
    return out.data;
}
