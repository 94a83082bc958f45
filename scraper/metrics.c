/* scraper/metrics.c - Prometheus text for METRICS_LISTEN. */
#include <unistd.h>

#include "scraper/proctree.h"
#include "scraper/session.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/json.h"

static void sample(struct df_buf *out, const char *name, const char *type, const char *help,
                   double value)
{
    df_buf_printf(out,
                  "# HELP dealflow_scraper_%s %s\n# TYPE dealflow_scraper_%s %s\n"
                  "dealflow_scraper_%s ",
                  name, help, name, type, name);
    df_json_append_number(out, value);
    df_buf_append_char(out, '\n');
}

static void print_sessions(struct df_buf *out, const struct scr_monitor *monitor)
{
    size_t by_state[SCR_FAILED + 1] = {0};
    uint64_t frames = 0, malformed = 0, recoveries = 0, gaps = 0;

    for (const struct scr_session *s = monitor->sessions; s != NULL; s = s->next) {
        const struct scr_tab_facts *facts = scr_session_facts(s);
        by_state[scr_session_state(s)]++;
        gaps += s->gaps;
        if (facts == NULL)
            continue;
        frames += facts->frames;
        malformed += facts->frames_malformed + facts->reports_malformed;
        recoveries += facts->recoveries;
    }
    df_buf_append_str(out, "# HELP dealflow_scraper_sessions Watched sessions by state\n"
                           "# TYPE dealflow_scraper_sessions gauge\n");
    for (int state = 0; state <= SCR_FAILED; state++)
        df_buf_printf(out, "dealflow_scraper_sessions{state=\"%s\"} %zu\n",
                      scr_state_name((enum scr_state)state), by_state[state]);
    sample(out, "frames", "gauge", "Socket frames of the pages that are open", (double)frames);
    sample(out, "malformed", "gauge", "Frames and reports of these pages that could not be read",
           (double)malformed);
    sample(out, "recoveries", "gauge", "Crashes and hangs of these pages", (double)recoveries);
    sample(out, "gaps", "gauge", "Times that lines may have been missed in these pages",
           (double)gaps);
}

static void print_browser(struct df_buf *out, const struct scr_monitor *monitor)
{
    const struct scr_browser_facts *facts = scr_browser_facts(monitor->parts.browser);
    struct scr_cdp *cdp = scr_browser_cdp(monitor->parts.browser);
    struct scr_cdp_stats cdp_stats = {0};

    if (cdp != NULL)
        scr_cdp_stats_get(cdp, &cdp_stats);
    sample(out, "browser_up", "gauge", "1 while the browser runs", facts->is_up);
    sample(out, "browser_starts_total", "counter", "Starts of the browser", (double)facts->starts);
    sample(out, "browser_pss_bytes", "gauge", "Memory of the browser's processes",
           (double)facts->pss_bytes);
    sample(out, "strays_closed_total", "counter", "Pages closed that belonged to no session",
           (double)scr_browser_strays(monitor->parts.browser));
    sample(out, "cdp_messages", "gauge", "Messages of this browser since its start",
           (double)cdp_stats.messages_in);
    sample(out, "cdp_oversized", "gauge", "Messages over the size limit",
           (double)cdp_stats.oversized);
    sample(out, "cdp_malformed", "gauge", "Messages that are no JSON", (double)cdp_stats.malformed);
}

static void print_delivery(struct df_buf *out, struct scr_monitor *monitor)
{
    struct scr_delivery_stats stats;

    scr_delivery_stats_get(monitor->parts.delivery, &stats);
    sample(out, "captured_total", "counter", "Lines committed to the outbox",
           (double)stats.captured);
    sample(out, "delivered_total", "counter", "Lines the function has stored",
           (double)stats.delivered);
    sample(out, "retried_total", "counter", "Posts that had to be repeated", (double)stats.retried);
    sample(out, "dead_total", "counter", "Lines the function refused for good", (double)stats.dead);
    sample(out, "dropped_total", "counter", "Lines lost because nothing could take them",
           (double)stats.dropped);
    sample(out, "duplicates_total", "counter", "Lines known from before a restart",
           (double)stats.duplicates);
    sample(out, "outbox_pending", "gauge", "Lines waiting for delivery", (double)stats.pending);
    sample(out, "outbox_parked", "gauge", "Of these, waiting for somebody to mend a key or session",
           (double)stats.parked);
    sample(out, "outbox_held", "gauge", "Lines in memory only", (double)stats.held);
    sample(out, "outbox_oldest_seconds", "gauge", "Age of the oldest waiting line",
           (double)stats.oldest_pending_ms / 1000.0);
    sample(out, "outbox_bytes", "gauge", "Size of the outbox file", (double)stats.database_bytes);
    sample(out, "outbox_claiming", "gauge", "1 while lines can be committed", stats.is_claiming);
    sample(out, "post_p50_seconds", "gauge", "Median time of the last posts",
           (double)stats.post_p50_ms / 1000.0);
    sample(out, "post_p99_seconds", "gauge", "99th percentile of the last posts",
           (double)stats.post_p99_ms / 1000.0);
}

static void print_server(struct df_buf *out, const struct scr_monitor *monitor)
{
    struct scr_server_stats stats;

    scr_server_stats_get(monitor->server, &stats);
    sample(out, "requests_total", "counter", "HTTP requests", (double)stats.requests);
    sample(out, "refused_total", "counter", "HTTP requests and clients refused",
           (double)stats.refused);
    sample(out, "clients", "gauge", "WebSocket clients", (double)stats.clients);
    sample(out, "clients_slow_total", "counter", "Clients closed because they stopped reading",
           (double)stats.clients_slow);
    sample(out, "events_sent_total", "counter", "WebSocket messages sent",
           (double)stats.frames_sent);
    sample(out, "event_bytes_total", "counter", "The same in bytes", (double)stats.bytes_sent);
}

char *scr_metrics_text(void *arg)
{
    struct scr_monitor *monitor = arg;
    struct df_buf out;

    df_buf_init(&out, 64 * 1024);
    sample(&out, "uptime_seconds", "gauge", "Time since the start",
           (double)(df_clock_mono_ms() - monitor->started_ms) / 1000.0);
    sample(&out, "pss_bytes", "gauge", "Memory of the daemon without the browser",
           (double)scr_process_pss_bytes(getpid()));
    sample(&out, "lines_total", "counter", "Chat lines that sources reported, known ones included",
           (double)monitor->lines[SCR_CHAT]);
    sample(&out, "lines_new_total", "counter", "Lines of all kinds that were new",
           (double)monitor->lines_new);
    sample(&out, "lines_backlog_total", "counter", "Of these, there before they were looked for",
           (double)monitor->backlog_lines);
    sample(&out, "buyers_total", "counter", "Alerts raised", (double)monitor->buyers);
    sample(&out, "capture_seconds_sum", "counter", "Time from a report to its WebSocket message",
           (double)monitor->commit_ns_sum / 1e9);
    sample(&out, "capture_seconds_count", "counter", "How many of them",
           (double)monitor->commit_count);
    print_sessions(&out, monitor);
    print_browser(&out, monitor);
    print_delivery(&out, monitor);
    print_server(&out, monitor);
    return out.data; /* the server owns it now */
}
