/* scraper/delivery_probe.c - a test helper that drives the delivery by JSON lines, one command a
 * line:
 *   {"start":{"outbox_path":...,"supabase_url":...,"service_key":...,...}}   first; prints the
 * watches
 *   {"lines":[{"session":...,"username":...,"text":...,"id":...},...]}      given in one submit
 *   {"flow":{"sessions":[...],"per_second":100,"count":1000,"text":"t"}}    one by one; then
 * latencies
 *   {"burst":{"session":...,"count":20000}}                                 as fast as may be
 *   {"watch":{...}} {"unwatch":session} {"history":session} {"owner":{...}} {"stats":true}
 *   {"quiet":true}  committed lines are counted and not printed
 *   {"stop":drain_ms}  end of input stops with 0
 * Events come out as JSON lines. Not installed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "scraper/delivery.h"
#include "shared/buf.h"
#include "shared/clock.h"
#include "shared/log.h"

#define COMMAND_MAX_BYTES ((size_t)8 << 20)
#define SESSIONS_MAX      64

struct flow {
    char sessions[SESSIONS_MAX][SCR_SESSION_MAX_BYTES + 1];
    char text[64];
    size_t session_count;
    int64_t given, committed, count, cpu_us, began_ns;
    double *took_us; /* NULL: no flow under way */
};

static struct scr_config config;
static struct scr_delivery *delivery;
static struct flow flow;
static int timer_fd;
static bool is_quiet;

static const char *text_of(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

static int64_t number_of(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

static bool flag_of(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static void print_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text != NULL)
        printf("%s\n", text);
    free(text);
    json_decref(object);
}

/* What the delivery thread has used: all but ours. */
static int64_t delivery_cpu_us(void)
{
    struct rusage all, mine;
    if (getrusage(RUSAGE_SELF, &all) != 0 || getrusage(RUSAGE_THREAD, &mine) != 0)
        return 0;
    return ((int64_t)all.ru_utime.tv_sec + all.ru_stime.tv_sec - mine.ru_utime.tv_sec -
            mine.ru_stime.tv_sec) *
               1000000 +
           all.ru_utime.tv_usec + all.ru_stime.tv_usec - mine.ru_utime.tv_usec -
           mine.ru_stime.tv_usec;
}

static int64_t pss_kib(void)
{
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtoll(line + 4, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return kib;
}

/* --- commands -----------------------------------------------------------------------------------
 */

static void print_watches(void)
{
    struct scr_watch_row *rows = NULL;
    size_t count = scr_delivery_watches(delivery, &rows);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "session", rows[i].session, "url",
                            rows[i].url, "request", rows[i].request_json, "messages",
                            (json_int_t)rows[i].messages, "buyers", (json_int_t)rows[i].buyers,
                            "value_cents", (json_int_t)rows[i].value_cents));
        free(rows[i].request_json);
    }
    free(rows);
    print_line(json_pack("{s:s, s:o}", "event", "started", "watches", list));
}

static char *copy_of(const json_t *object, const char *key, const char *fallback)
{
    const char *text = text_of(object, key, fallback);
    return text != NULL ? strdup(text) : NULL;
}

static void do_start(const json_t *settings)
{
    struct df_error err = {0};

    config.outbox_path = copy_of(settings, "outbox_path", NULL);
    config.supabase_url = copy_of(settings, "supabase_url", NULL);
    config.service_key = copy_of(settings, "service_key", NULL);
    config.function_name = copy_of(settings, "function_name", "monitor-realtime-stream");
    config.platform = copy_of(settings, "platform", "whatnot");
    config.delivery_parallel = number_of(settings, "parallel", 16);
    config.delivery_per_stream = number_of(settings, "per_stream", 4);
    config.delivery_timeout_ms = number_of(settings, "timeout_ms", 20000);
    config.outbox_max_rows = number_of(settings, "max_rows", 1000000);
    config.outbox_max_mb = number_of(settings, "max_mb", 512);
    config.outbox_max_age_h = number_of(settings, "max_age_h", 168);
    config.dedup_max = number_of(settings, "dedup_max", 10000);
    enum df_code code = scr_delivery_new(&delivery, &config, &err);
    if (code != DF_OK) {
        print_line(json_pack("{s:s, s:s, s:s}", "event", "failed", "code", df_error_name(code),
                             "message", err.msg));
        fflush(stdout);
        exit(1);
    }
    print_watches();
}

static struct scr_capture *capture_of(const json_t *line)
{
    const char *id = text_of(line, "id", "");
    const char *username = text_of(line, "username", "buyer");
    const char *text = text_of(line, "text", "hello");
    struct scr_line from = {.id = id,
                            .id_len = strlen(id),
                            .username = username,
                            .username_len = strlen(username),
                            .text = text,
                            .text_len = strlen(text),
                            .kind = (enum scr_kind)number_of(line, "kind", SCR_CHAT)};
    struct scr_capture *capture = scr_capture_new(text_of(line, "session", ""), &from);

    if (capture == NULL)
        exit(1);
    capture->should_deliver = flag_of(line, "deliver", true);
    capture->is_buyer = flag_of(line, "buyer", false);
    capture->value_cents = number_of(line, "value_cents", -1);
    capture->captured_ms = number_of(line, "captured_ms", capture->captured_ms);
    return capture;
}

static void do_lines(const json_t *lines)
{
    struct scr_capture *first = NULL, **last = &first;

    for (size_t i = 0; i < json_array_size(lines); i++) {
        *last = capture_of(json_array_get(lines, i));
        last = &(*last)->next;
    }
    scr_delivery_submit(delivery, first);
}

static struct scr_capture *flow_capture(int64_t n)
{
    char text[96];
    int len = snprintf(text, sizeof text, "%s %lld", flow.text, (long long)n);
    struct scr_line line = {.id = text,
                            .id_len = (size_t)len,
                            .username = "a_buyer",
                            .username_len = 7,
                            .text = text,
                            .text_len = (size_t)len};
    struct scr_capture *capture =
        scr_capture_new(flow.sessions[(size_t)n % flow.session_count], &line);

    if (capture == NULL)
        exit(1);
    capture->should_deliver = true;
    capture->session_token = (uint64_t)n + 1;
    return capture;
}

static void set_timer(int64_t every_ns)
{
    struct itimerspec spec = {.it_value.tv_nsec = every_ns > 0 ? 1 : 0,
                              .it_interval.tv_sec = every_ns / 1000000000,
                              .it_interval.tv_nsec = every_ns % 1000000000};
    if (timerfd_settime(timer_fd, 0, &spec, NULL) != 0)
        exit(1);
}

static void begin_flow(const json_t *order, const char *text)
{
    const json_t *sessions = json_object_get(order, "sessions");
    size_t count = json_array_size(sessions);

    free(flow.took_us);
    flow = (struct flow){.count = number_of(order, "count", 1), .session_count = 1};
    (void)snprintf(flow.text, sizeof flow.text, "%s", text);
    (void)snprintf(flow.sessions[0], sizeof flow.sessions[0], "%s", text_of(order, "session", ""));
    for (size_t i = 0; i < count && i < SESSIONS_MAX; i++) {
        (void)snprintf(flow.sessions[i], sizeof flow.sessions[i], "%s",
                       json_string_value(json_array_get(sessions, i)));
        flow.session_count = i + 1;
    }
    flow.took_us = calloc((size_t)flow.count, sizeof *flow.took_us);
    if (flow.took_us == NULL)
        exit(1);
    flow.cpu_us = delivery_cpu_us();
    flow.began_ns = df_clock_mono_ns();
}

static void do_flow(const json_t *order)
{
    begin_flow(order, text_of(order, "text", "flow"));
    set_timer(1000000000 / number_of(order, "per_second", 20));
}

static void do_burst(const json_t *order)
{
    struct scr_capture *first = NULL, **last = &first;

    begin_flow(order, text_of(order, "text", "burst"));
    for (; flow.given < flow.count; flow.given++) {
        *last = flow_capture(flow.given);
        last = &(*last)->next;
    }
    flow.began_ns = df_clock_mono_ns();
    scr_delivery_submit(delivery, first);
}

static void do_watch(const json_t *order)
{
    struct scr_watch_row row = {0};

    (void)snprintf(row.session, sizeof row.session, "%s", text_of(order, "session", ""));
    (void)snprintf(row.url, sizeof row.url, "%s", text_of(order, "url", ""));
    row.request_json = copy_of(order, "request", "{}");
    row.started_ms = df_clock_wall_ms();
    scr_delivery_watch_put(delivery, &row);
    free(row.request_json);
}

static void print_stats(void)
{
    struct scr_delivery_stats s;

    scr_delivery_stats_get(delivery, &s);
    print_line(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:s, s:I, s:I, s:I}",
        "event", "stats", "captured", (json_int_t)s.captured, "delivered", (json_int_t)s.delivered,
        "retried", (json_int_t)s.retried, "parked", (json_int_t)s.parked, "dead",
        (json_int_t)s.dead, "dropped", (json_int_t)s.dropped, "duplicates",
        (json_int_t)s.duplicates, "pending", (json_int_t)s.pending, "held", (json_int_t)s.held,
        "oldest_ms", (json_int_t)s.oldest_pending_ms, "bytes", (json_int_t)s.database_bytes,
        "claiming", s.is_claiming, "alarm", s.alarm, "p50_ms", (json_int_t)s.post_p50_ms, "p99_ms",
        (json_int_t)s.post_p99_ms, "pss_kib", (json_int_t)pss_kib()));
}

/* False: it is time to end. */
static bool do_command(const char *text, size_t len)
{
    json_t *command = json_loadb(text, len, 0, NULL);
    const json_t *what = NULL;
    bool goes_on = true;

    if ((what = json_object_get(command, "start")) != NULL) {
        do_start(what);
    } else if (delivery == NULL) {
        exit(64);
    } else if ((what = json_object_get(command, "lines")) != NULL) {
        do_lines(what);
    } else if ((what = json_object_get(command, "flow")) != NULL) {
        do_flow(what);
    } else if ((what = json_object_get(command, "burst")) != NULL) {
        do_burst(what);
    } else if ((what = json_object_get(command, "watch")) != NULL) {
        do_watch(what);
    } else if ((what = json_object_get(command, "unwatch")) != NULL) {
        scr_delivery_watch_remove(delivery, json_string_value(what));
    } else if ((what = json_object_get(command, "history")) != NULL) {
        scr_delivery_load_history(delivery, json_string_value(what), 7);
    } else if ((what = json_object_get(command, "owner")) != NULL) {
        scr_delivery_ask_owner(delivery, text_of(what, "session", ""), text_of(what, "jwt", ""),
                               (uint64_t)number_of(what, "token", 0));
    } else if ((what = json_object_get(command, "quiet")) != NULL) {
        is_quiet = json_is_true(what);
    } else if ((what = json_object_get(command, "stop")) != NULL) {
        scr_delivery_free(delivery, (int64_t)json_integer_value(what));
        delivery = NULL;
        goes_on = false;
    } else if (json_object_get(command, "stats") != NULL) {
        print_stats();
    } else {
        exit(64);
    }
    json_decref(command);
    return goes_on;
}

/* --- events -------------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void end_flow(void)
{
    double seconds = (double)(df_clock_mono_ns() - flow.began_ns) / 1e9;
    int64_t cpu_us = delivery_cpu_us() - flow.cpu_us;

    qsort(flow.took_us, (size_t)flow.count, sizeof *flow.took_us, by_size);
    print_line(json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "event", "flow", "per_second",
                         (double)flow.count / seconds, "p50_us", flow.took_us[flow.count / 2],
                         "p99_us", flow.took_us[flow.count * 99 / 100], "max_us",
                         flow.took_us[flow.count - 1], "cpu_percent",
                         (double)cpu_us / 10000.0 / seconds));
    free(flow.took_us);
    flow.took_us = NULL;
}

static void count_flow(const struct scr_delivery_event *event)
{
    int64_t n = (int64_t)event->capture->session_token - 1;

    if (flow.took_us == NULL || n < 0 || event->type == SCR_EVENT_HELD)
        return;
    flow.took_us[n] = (double)(df_clock_mono_ns() - event->capture->seen_ns) / 1000.0;
    if (++flow.committed == flow.count)
        end_flow();
}

static void print_capture(const struct scr_delivery_event *event)
{
    static const char *const names[] = {"committed", "duplicate", "held", "dropped"};
    const struct scr_capture *capture = event->capture;
    char id[DF_UUID_TEXT_SIZE];

    df_uuid_format(id, &capture->id);
    if (!is_quiet || event->type != SCR_EVENT_COMMITTED)
        print_line(json_pack("{s:s, s:s, s:s, s:s}", "event", names[event->type], "session",
                             capture->session, "id", id, "text", capture->text));
    count_flow(event);
}

static void print_event(const struct scr_delivery_event *event)
{
    switch (event->type) {
    case SCR_EVENT_ALARM:
        print_line(json_pack("{s:s, s:s}", "event", "alarm", "text", event->alarm));
        break;
    case SCR_EVENT_OWNER:
        print_line(json_pack("{s:s, s:I, s:b, s:i}", "event", "owner", "token",
                             (json_int_t)event->token, "is_owner", event->is_owner, "status",
                             event->http_status));
        break;
    case SCR_EVENT_HISTORY:
        print_line(json_pack("{s:s, s:I, s:b, s:s*, s:s*}", "event", "history", "token",
                             (json_int_t)event->token, "is_last", event->is_last, "text",
                             event->capture != NULL ? event->capture->text : NULL, "id",
                             event->capture != NULL ? event->capture->line_id : NULL));
        break;
    default:
        print_capture(event);
    }
}

static void take_events(void)
{
    struct scr_delivery_event *event = scr_delivery_take(delivery);

    while (event != NULL) {
        struct scr_delivery_event *next = event->next;
        print_event(event);
        scr_delivery_event_free(event);
        event = next;
    }
}

/* --- loop ---------------------------------------------------------------------------------------
 */

static void tick(void)
{
    uint64_t ticks = 0;

    if (read(timer_fd, &ticks, sizeof ticks) < 0)
        return;
    for (; ticks > 0 && flow.given < flow.count; ticks--)
        scr_delivery_submit(delivery, flow_capture(flow.given++));
    if (flow.given == flow.count)
        set_timer(0);
}

/* Runs the commands that are complete. False: it is time to end. */
static bool read_commands(struct df_buf *input)
{
    char *end = NULL;

    if (!df_buf_reserve(input, 65536))
        return false;
    ssize_t n = read(STDIN_FILENO, input->data + input->len, 65536);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    input->len += (size_t)n;
    while ((end = memchr(input->data, '\n', input->len)) != NULL) {
        size_t line_len = (size_t)(end - input->data);
        if (!do_command(input->data, line_len))
            return false;
        input->len -= line_len + 1;
        memmove(input->data, end + 1, input->len);
    }
    return true;
}

int main(void)
{
    struct df_buf input;
    bool goes_on = true;

    df_log_init("delivery_probe", DF_LOG_INFO);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    df_buf_init(&input, COMMAND_MAX_BYTES);
    while (goes_on) {
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0},
                               {timer_fd, POLLIN, 0},
                               {delivery != NULL ? scr_delivery_fd(delivery) : -1, POLLIN, 0}};
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return 1;
        if ((fds[2].revents & POLLIN) != 0)
            take_events();
        if ((fds[1].revents & POLLIN) != 0)
            tick();
        if ((fds[0].revents & (POLLIN | POLLHUP)) != 0)
            goes_on = read_commands(&input);
        (void)fflush(stdout);
    }
    scr_delivery_free(delivery, 0);
    free(flow.took_us);
    free(config.outbox_path);
    free(config.supabase_url);
    free(config.service_key);
    free(config.function_name);
    free(config.platform);
    df_buf_release(&input);
    (void)close(timer_fd);
    curl_global_cleanup();
    return 0;
}
