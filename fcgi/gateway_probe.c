/* fcgi/gateway_probe.c - a test helper that drives the gateway by JSON lines, one command a line:
 *   {"options":{"base_url":...,"models":...,"timeout_ms":...,...}}   first line; later: reload
 *   {"ask":"some text","id":1,"user":...,"show":7,"patient":true}   in a thread of its own; prints {"id":1,"code":...,"ms":...}
 *   {"burst":4000,"parallel":512}    many asks; prints rate, latencies and memory
 *   {"stats":true}                   prints the counters
 * End of input: waits for the asks under way, frees the gateway, exits. Not installed. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "fcgi/gateway.h"
#include "shared/clock.h"

#define STACK_BYTES ((size_t)256 * 1024) /* as the program's workers */
#define LINE_MAX_BYTES 65536

static struct mrs_gateway *gateway;
static _Atomic int asks_under_way;

struct one_ask {
    json_int_t id;
    char *text, *user;
    struct df_uuid show;
    bool is_patient;
    sem_t done;
};

struct burst {
    _Atomic int64_t left;
    _Atomic int64_t next_slot, ok_count;
    double *latencies_ms;
};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
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

static struct mrs_gateway_options read_options(const json_t *object)
{
    return (struct mrs_gateway_options){
        .base_url = text_of(object, "base_url"),
        .api_key = text_of(object, "api_key"),
        .models = text_of(object, "models"),
        .extra_headers = text_of(object, "extra_headers"),
        .mode = (enum mrs_gateway_mode)number_of(object, "mode", MRS_AI_TOOL),
        .timeout_ms = number_of(object, "timeout_ms", 5000),
        .connect_timeout_ms = number_of(object, "connect_timeout_ms", 2000),
        .in_flight_max = number_of(object, "in_flight_max", 64),
        .use_breaker = flag_of(object, "use_breaker", true),
        .retry_billed = flag_of(object, "retry_billed", false),
        .send_temperature = flag_of(object, "send_temperature", true),
        .send_max_tokens = flag_of(object, "send_max_tokens", true),
        .batch_ms = number_of(object, "batch_ms", 0),
        .batch_max = number_of(object, "batch_max", 20),
        .cache_max = number_of(object, "cache_max", 0),
        .cache_ttl_ms = number_of(object, "cache_ttl_ms", 60000),
        .budget = {.unit = (enum mrs_budget_unit)number_of(object, "budget_unit", 0),
                   .session = number_of(object, "budget_session", 0),
                   .price_in = 0.3,
                   .price_out = 2.5},
    };
}

/* Prints and flushes in one go: threads write here at the same time. */
static void print_line(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    if (text != NULL) {
        printf("%s\n", text);
        fflush(stdout);
    }
    free(text);
    json_decref(object);
}

static struct df_chat_line line_of(const char *text, const char *user)
{
    return (struct df_chat_line){.platform = "whatnot", .platform_len = 7,
                                 .username = user, .username_len = strlen(user),
                                 .message = text, .message_len = strlen(text)};
}

static void on_done(struct mrs_ask *ask)
{
    (void)sem_post(ask->context);
}

/* As the program does it: remembered answers first. */
static enum df_code ask_one(struct one_ask *one, const struct df_chat_line *line,
                            struct mrs_gateway_answer *answer, struct df_error *err, bool *cached)
{
    struct mrs_ask ask = {.line = line,
                          .out = answer,
                          .err = err,
                          .on_done = on_done,
                          .context = &one->done,
                          .session = one->show,
                          .is_patient = one->is_patient};

    *cached = mrs_gateway_recall(gateway, line, answer);
    if (*cached)
        return DF_OK;
    (void)sem_init(&one->done, 0, 0);
    enum df_code code = mrs_gateway_submit(gateway, &ask);
    if (code == DF_OK) {
        while (sem_wait(&one->done) != 0) {
        }
        code = ask.code;
    }
    (void)sem_destroy(&one->done);
    return code;
}

static void *run_ask(void *user)
{
    struct one_ask *one = user;
    struct df_chat_line line = line_of(one->text, one->user);
    struct mrs_gateway_answer answer;
    struct df_error err = {0};
    bool cached = false;
    int64_t start_ns = df_clock_mono_ns();
    enum df_code code = ask_one(one, &line, &answer, &err, &cached);
    double ms = (double)(df_clock_mono_ns() - start_ns) / 1e6;

    print_line(json_pack("{s:I, s:s, s:s, s:f, s:b, s:f, s:s, s:s, s:I, s:s, s:i, s:I, s:I, s:b, s:b}", "id",
                         one->id, "code", df_error_name(code), "error", code == DF_OK ? "" : err.msg,
                         "ms", ms, "is_buyer", answer.verdict.is_buyer, "confidence",
                         answer.verdict.confidence, "type",
                         df_message_type_name(answer.verdict.type), "item", answer.verdict.item,
                         "value_cents", (json_int_t)answer.verdict.value_cents, "model",
                         answer.model, "status", answer.upstream_status, "retry_after_s",
                         (json_int_t)answer.retry_after_s, "prompt_tokens",
                         (json_int_t)answer.prompt_tokens, "cached", cached, "over_budget",
                         answer.over_budget));
    free(one->text);
    free(one->user);
    free(one);
    asks_under_way--;
    return NULL;
}

static int start_thread(pthread_t *thread, void *(*main_function)(void *), void *user)
{
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    int failed = pthread_create(thread, &attr, main_function, user);
    (void)pthread_attr_destroy(&attr);
    return failed;
}

static void start_ask(const json_t *command)
{
    pthread_t thread;
    struct one_ask *one = calloc(1, sizeof *one);

    if (one == NULL)
        exit(1);
    one->id = number_of(command, "id", 0);
    one->text = strdup(text_of(command, "ask"));
    one->user = strdup(text_of(command, "user") == NULL ? "test_buyer" : text_of(command, "user"));
    one->show.bytes[15] = (unsigned char)number_of(command, "show", 0);
    one->is_patient = flag_of(command, "patient", false);
    asks_under_way++;
    if (one->text == NULL || one->user == NULL || start_thread(&thread, run_ask, one) != 0)
        exit(1);
    (void)pthread_detach(thread);
}

static void *run_burst(void *user)
{
    struct burst *burst = user;
    struct df_chat_line line = line_of("I will take the red jacket for $45!", "test_buyer");

    while (burst->left-- > 0) {
        struct mrs_gateway_answer answer;
        int64_t start_ns = df_clock_mono_ns();
        if (mrs_gateway_ask(gateway, &line, &answer, NULL) == DF_OK)
            burst->ok_count++;
        burst->latencies_ms[burst->next_slot++] = (double)(df_clock_mono_ns() - start_ns) / 1e6;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int64_t status_kib(const char *field)
{
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtoll(line + strlen(field), NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return kib;
}

static void do_burst(const json_t *command)
{
    int64_t asks = number_of(command, "burst", 1);
    int64_t parallel = number_of(command, "parallel", 1);
    struct burst burst = {.left = asks};
    pthread_t *threads = calloc((size_t)parallel, sizeof *threads);
    burst.latencies_ms = calloc((size_t)asks, sizeof *burst.latencies_ms);
    if (threads == NULL || burst.latencies_ms == NULL)
        exit(1);
    int64_t start_ns = df_clock_mono_ns();
    for (int64_t i = 0; i < parallel; i++) {
        if (start_thread(&threads[i], run_burst, &burst) != 0)
            exit(1);
    }
    for (int64_t i = 0; i < parallel; i++)
        (void)pthread_join(threads[i], NULL);
    double seconds = (double)(df_clock_mono_ns() - start_ns) / 1e9;
    qsort(burst.latencies_ms, (size_t)asks, sizeof *burst.latencies_ms, by_size);
    print_line(json_pack("{s:I, s:f, s:f, s:f, s:I, s:I}", "ok", (json_int_t)burst.ok_count,
                         "per_second", (double)asks / seconds, "p50_ms",
                         burst.latencies_ms[asks / 2], "p99_ms", burst.latencies_ms[asks * 99 / 100],
                         "rss_kib", (json_int_t)status_kib("VmRSS:"), "peak_kib",
                         (json_int_t)status_kib("VmHWM:")));
    free(burst.latencies_ms);
    free(threads);
}

static void print_stats(void)
{
    struct mrs_gateway_stats s;
    mrs_gateway_stats(gateway, &s);
    print_line(json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b}",
                         "lines", (json_int_t)s.lines, "batches", (json_int_t)s.batches,
                         "batch_gaps", (json_int_t)s.batch_gaps, "cache_hits",
                         (json_int_t)s.cache_hits, "cache_entries", (json_int_t)s.cache_entries,
                         "over_budget", (json_int_t)s.over_budget, "micro_usd",
                         (json_int_t)s.micro_usd, "calls", (json_int_t)s.calls,
                         "answers", (json_int_t)s.answers, "failures", (json_int_t)s.failures,
                         "retries", (json_int_t)s.retries, "short_circuits",
                         (json_int_t)s.short_circuits, "in_flight", (json_int_t)s.in_flight, "queued",
                         (json_int_t)s.queued, "breaker_open", s.breaker_open));
}

static void apply_options(const json_t *object)
{
    struct df_error err = {0};
    struct mrs_gateway_options options = read_options(object);
    enum df_code code = gateway == NULL ? mrs_gateway_new(&gateway, &options, &err)
                                        : mrs_gateway_reload(gateway, &options, &err);
    print_line(json_pack("{s:s, s:s}", "options", df_error_name(code), "error", err.msg));
}

int main(void)
{
    static char line[LINE_MAX_BYTES];

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL) {
        json_t *command = json_loads(line, 0, NULL);
        if (json_object_get(command, "options") != NULL)
            apply_options(json_object_get(command, "options"));
        else if (gateway == NULL || command == NULL)
            return 64;
        else if (json_object_get(command, "ask") != NULL)
            start_ask(command);
        else if (json_object_get(command, "burst") != NULL)
            do_burst(command);
        else
            print_stats();
        json_decref(command);
    }
    mrs_gateway_free(gateway); /* what is still asked ends with UNAVAILABLE */
    while (asks_under_way > 0)
        (void)sched_yield();
    curl_global_cleanup();
    return 0;
}
