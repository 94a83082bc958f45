/* realtime/changes_probe.c - a test helper that drives the database side by JSON lines:
 *   {"plan":{"version":1,"interests":[{"schema","table","events","session","filter","claims"}]}}
 *   {"check":{"role","schema","table","filter","select"},"token":1}
 *   {"policy":{"claims","topic","extension"},"token":2}
 *   {"catch_up":{"schema","table","events","filter","session","claims","x_after","until",
 *                "cut","seq","n","is_live"},"token":3}     the last four, or none, are a spot
 *   {"cancel":3}   {"send":"text"}   {"stats":true}
 *   {"hold":true}  takes no events until {"hold":false}
 *   {"quiet":true} counts rows and measures how late they are, instead of printing them
 * Each event is a line on standard output. Filters and claims are JSON texts; a plan's distinct
 * ones are numbered in order of appearance. DATABASE_URL names the database. Ends with its input.
 * Not installed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "realtime/changes.h"
#include "realtime/config.h"
#include "shared/log.h"

static struct rt_changes *changes;
static int wake_fd;
static bool is_held, is_quiet;
static uint64_t quiet_rows;
static int64_t late_us[100000]; /* of quiet rows: from created_at to here */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(object, key));
}

static void on_wake(void *arg)
{
    uint64_t one = 1;
    (void)arg;
    while (write(wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* --- output --------------------------------------------------------------------------------------
 */

static void print_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text != NULL)
        printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(object);
}

static json_t *parsed(const char *text)
{
    return text == NULL ? json_null() : json_loads(text, JSON_DECODE_ANY, NULL);
}

static json_t *ids_of(const uint32_t *ids, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer(ids[i]));
    return array;
}

static json_t *rows_of(const struct rt_changes_event *event)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < event->row_count; i++) {
        const struct rt_row *row = &event->row[i];
        json_array_append_new(
            rows, json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "role", row->role, "n",
                            (int)row->n, "id", parsed(row->id), "columns", parsed(row->columns),
                            "record", parsed(row->record), "old_record", parsed(row->old_record),
                            "filters", ids_of(row->filter_ids, row->filter_count), "claims",
                            ids_of(row->claims_ids, row->claims_count)));
    }
    return rows;
}

/* How long ago the row was made, by the microseconds of its created_at (UTC). */
static void measure(const struct rt_row *row)
{
    struct timespec now;
    double seconds = 0;
    struct tm tm = {0};
    const char *at = row->record == NULL ? NULL : strstr(row->record, "\"created_at\": \"");

    if (at != NULL && sscanf(at + 15, "%d-%d-%dT%d:%d:%lf", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                             &tm.tm_hour, &tm.tm_min, &seconds) == 6) {
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        int64_t made_us = (int64_t)timegm(&tm) * 1000000 + (int64_t)(seconds * 1e6);
        late_us[quiet_rows % (sizeof late_us / sizeof late_us[0])] =
            (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - made_us;
    }
    quiet_rows++;
}

static void print_event(const struct rt_changes_event *event)
{
    static const char *const names[] = {"changes",  "plan",      "checked", "policy",
                                        "catch_up", "broadcast", "state",   "failed"};
    json_t *out = json_pack("{s:s}", "event", names[event->type]);

    switch (event->type) {
    case RT_EVENT_CHANGES:
    case RT_EVENT_CATCH_UP:
        json_object_update_new(
            out,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:s, s:o}", "schema",
                      event->schema, "table", event->table, "op", event->op, "session",
                      event->session, "at", event->commit_timestamp, "cut", (json_int_t)event->cut,
                      "seq", (json_int_t)event->seq, "plan", (json_int_t)event->plan_version,
                      "token", (json_int_t)event->token, "ok", event->is_ok, "last", event->is_last,
                      "error", event->error, "rows", rows_of(event)));
        break;
    case RT_EVENT_PLAN:
        json_object_set_new(out, "version", json_integer((json_int_t)event->plan_version));
        break;
    case RT_EVENT_CHECKED:
    case RT_EVENT_POLICY:
        json_object_update_new(out, json_pack("{s:I, s:b, s:s, s:b, s:b}", "token",
                                              (json_int_t)event->token, "ok", event->is_ok, "error",
                                              event->error, "read", event->can_read, "write",
                                              event->can_write));
        break;
    case RT_EVENT_BROADCAST:
        json_object_set_new(out, "text", json_string(event->text));
        break;
    case RT_EVENT_STATE:
        json_object_set_new(out, "up", json_boolean(event->is_up));
        break;
    case RT_EVENT_FAILED:
        json_object_update_new(out, json_pack("{s:s, s:I, s:s}", "what",
                                              event->is_filter ? "filter" : "claims", "id",
                                              (json_int_t)event->failed_id, "error", event->error));
        break;
    }
    print_line(out);
}

static void take_events(void)
{
    struct rt_changes_event *event = NULL;

    while (!is_held && (event = rt_changes_take(changes)) != NULL) {
        bool is_counted = is_quiet && event->type == RT_EVENT_CHANGES;
        for (size_t i = 0; is_counted && i < event->row_count; i++)
            measure(&event->row[i]);
        if (!is_counted)
            print_event(event);
        rt_changes_event_free(event);
    }
}

static int compare_late(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static void print_stats(void)
{
    struct rt_changes_stats stats;
    const size_t size = sizeof late_us / sizeof late_us[0];
    size_t count = quiet_rows < size ? (size_t)quiet_rows : size;

    rt_changes_stats_get(changes, &stats);
    qsort(late_us, count, sizeof late_us[0], compare_late);
    print_line(json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", "stats", "up",
        stats.is_up, "entries", (json_int_t)stats.log_entries, "rows", (json_int_t)stats.rows,
        "reconnects", (json_int_t)stats.reconnects, "questions", (json_int_t)stats.questions,
        "batches", (json_int_t)stats.batches, "query_p50_us", (json_int_t)stats.query_p50_us,
        "query_p99_us", (json_int_t)stats.query_p99_us, "quiet_rows", (json_int_t)quiet_rows,
        "late_p50_us", (json_int_t)(count == 0 ? 0 : late_us[count / 2]), "late_p99_us",
        (json_int_t)(count == 0 ? 0 : late_us[count * 99 / 100])));
    quiet_rows = 0;
}

/* --- input ---------------------------------------------------------------------------------------
 */

static uint32_t number_in(char **list, size_t *count, const char *text)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(list[i], text) == 0)
            return (uint32_t)i;
    list[*count] = strdup(text);
    return (uint32_t)(*count)++;
}

static void publish(const json_t *from)
{
    const json_t *interests = json_object_get(from, "interests");
    size_t count = json_array_size(interests);
    struct rt_plan *plan = calloc(1, sizeof *plan);

    if (plan == NULL)
        return;
    plan->version = number_of(from, "version");
    plan->interest = calloc(count + 1, sizeof *plan->interest);
    plan->filter = calloc(count + 1, sizeof *plan->filter);
    plan->claims = calloc(count + 1, sizeof *plan->claims);
    for (size_t i = 0; i < count; i++) {
        const json_t *one = json_array_get(interests, i);
        struct rt_interest *interest = &plan->interest[plan->interest_count++];
        (void)snprintf(interest->schema, sizeof interest->schema, "%s", text_of(one, "schema"));
        (void)snprintf(interest->table, sizeof interest->table, "%s", text_of(one, "table"));
        (void)snprintf(interest->session, sizeof interest->session, "%s", text_of(one, "session"));
        interest->events = (unsigned)number_of(one, "events");
        interest->filter_id = number_in(plan->filter, &plan->filter_count, text_of(one, "filter"));
        interest->claims_id = number_in(plan->claims, &plan->claims_count, text_of(one, "claims"));
    }
    rt_changes_publish(changes, plan);
}

static void ask(const json_t *line)
{
    uint64_t token = number_of(line, "token");
    const json_t *q = json_object_get(line, "catch_up");
    const struct rt_spot spot = {.cut = number_of(q, "cut"),
                                 .seq = (int64_t)number_of(q, "seq"),
                                 .n = (uint32_t)number_of(q, "n"),
                                 .is_live = json_is_true(json_object_get(q, "is_live"))};

    if ((q = json_object_get(line, "check")) != NULL)
        rt_changes_check(changes, token, text_of(q, "role"), text_of(q, "schema"),
                         text_of(q, "table"), text_of(q, "filter"), text_of(q, "select"));
    else if ((q = json_object_get(line, "policy")) != NULL)
        rt_changes_policy(changes, token, text_of(q, "claims"), text_of(q, "topic"),
                          text_of(q, "extension"));
    else if ((q = json_object_get(line, "catch_up")) != NULL)
        rt_changes_catch_up(changes, token, text_of(q, "schema"), text_of(q, "table"),
                            (unsigned)number_of(q, "events"), text_of(q, "filter"),
                            text_of(q, "session"), text_of(q, "claims"), text_of(q, "x_after"),
                            &spot, number_of(q, "until"));
}

static void run_line(const char *text)
{
    json_t *line = json_loads(text, 0, NULL);
    const json_t *value = NULL;

    if ((value = json_object_get(line, "plan")) != NULL)
        publish(value);
    else if ((value = json_object_get(line, "cancel")) != NULL)
        rt_changes_cancel(changes, (uint64_t)json_integer_value(value));
    else if ((value = json_object_get(line, "send")) != NULL)
        rt_changes_send(changes, json_string_value(value), json_string_length(value));
    else if ((value = json_object_get(line, "hold")) != NULL)
        is_held = json_is_true(value);
    else if ((value = json_object_get(line, "quiet")) != NULL)
        is_quiet = json_is_true(value);
    else if (json_object_get(line, "stats") != NULL)
        print_stats();
    else
        ask(line);
    json_decref(line);
}

/* Reads what there is; false at the end of input. */
static bool read_lines(void)
{
    static char *buffer;
    static size_t len, cap;

    if (cap - len < 65536) {
        char *more = realloc(buffer, cap + (1 << 20));
        if (more == NULL)
            return false;
        buffer = more;
        cap += 1 << 20;
    }
    ssize_t n = read(STDIN_FILENO, buffer + len, cap - len - 1);
    if (n <= 0) {
        free(buffer);
        buffer = NULL;
        return false;
    }
    len += (size_t)n;
    buffer[len] = '\0';
    char *at = buffer;
    for (char *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        run_line(at);
    }
    len -= (size_t)(at - buffer);
    memmove(buffer, at, len);
    return true;
}

int main(void)
{
    struct rt_config config = {.database_url = getenv("DATABASE_URL"), .catch_up_max_rows = 100000};
    struct df_error err = {0};
    const char *max = getenv("REALTIME_CATCH_UP_MAX_ROWS");

    if (config.database_url == NULL)
        return 64;
    if (max != NULL)
        config.catch_up_max_rows = strtoll(max, NULL, 10);
    df_log_init("changes_probe", DF_LOG_INFO);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd < 0 || rt_changes_new(&changes, &config, on_wake, NULL, &err) != DF_OK) {
        fprintf(stderr, "changes_probe: %s\n", err.msg);
        return 1;
    }
    for (;;) {
        struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {wake_fd, POLLIN, 0}};
        uint64_t count = 0;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        if (fds[1].revents != 0)
            (void)!read(wake_fd, &count, sizeof count);
        if (fds[0].revents != 0 && !read_lines())
            break;
        take_events();
    }
    rt_changes_free(changes);
    (void)close(wake_fd);
    return 0;
}
