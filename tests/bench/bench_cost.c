/* tests/bench/bench_cost.c - runs labelled chat as a stream through the switches that save calls, and
 * prints what would be sent and answered, for the driver (tests/bench/cost) to count tokens.
 *
 * Input: the table of tests/intent/hybrid (verdicts of models that have not seen the rows). Each row
 * comes as often as its weight says (frequent-weights.txt: "mine" fifty times, most lines once), in
 * a fixed random order, one line a second, in shows of three hours. Routes, cache and request
 * formats are the program's own; the clock is the stream's, and the server always knows.
 *
 * Output, JSON lines: {"fixed":{"one":REQUEST,"many":REQUEST}} once; for each variant
 * {"call":VARIANT,"many":0|1,"user":CONTENT,"answer":ARGUMENTS} and at its end
 * {"variant":VARIANT,"lines":..,"asked":..,"calls":..,"hits":..,"skipped":..,"f1":..}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "fcgi/gateway_cache.h"
#include "fcgi/gateway_format.h"
#include "fcgi/gateway_orders.h"
#include "fcgi/gateway_route.h"
#include "shared/intent.h"
#include "shared/intent/metrics.h"

#define SHOW_LINES 10800 /* three hours at a line a second */
#define CACHE_MAX  4096
#define CACHE_MS   (3600 * 1000)
#define HOST_LIST  "*bot,*bot*,mod*,*mod,*moderator*,*host*,*admin*"

struct row {
    char *memory;
    struct df_chat_line line;
    struct df_verdict truth, said;
    double low, high; /* the band of the model that judged it */
    unsigned weight;
};

struct variant {
    const char *name;
    bool is_hybrid, is_local, use_cache;
    const char *prefilter, *skip_users;
    int batch_ms, batch_max;
    int budget; /* calls a show; 0: none */
};

/* clang-format off */
static const struct variant variants[] = {
    {.name = "local only", .is_local = true},
    {.name = "every line"},
    {.name = "skip hosts and bots by name", .skip_users = HOST_LIST},
    {.name = "prefilter", .prefilter = "on"},
    {.name = "cache", .use_cache = true},
    {.name = "batch 10 s", .batch_ms = 10000, .batch_max = 20},
    {.name = "batch 30 s", .batch_ms = 30000, .batch_max = 50},
    {.name = "budget 1000 calls a show", .budget = 1000},
    {.name = "prefilter + cache", .prefilter = "on", .use_cache = true},
    {.name = "prefilter + cache + batch 10 s", .prefilter = "on", .use_cache = true, .batch_ms = 10000, .batch_max = 20},
    {.name = "prefilter + cache + batch 30 s", .prefilter = "on", .use_cache = true, .batch_ms = 30000, .batch_max = 50},
    {.name = "hybrid", .is_hybrid = true},
    {.name = "hybrid + prefilter", .is_hybrid = true, .prefilter = "on"},
    {.name = "hybrid + cache", .is_hybrid = true, .use_cache = true},
    {.name = "hybrid + batch 10 s", .is_hybrid = true, .batch_ms = 10000, .batch_max = 20},
    {.name = "hybrid + batch 30 s", .is_hybrid = true, .batch_ms = 30000, .batch_max = 50},
    {.name = "hybrid + cache + batch 30 s", .is_hybrid = true, .use_cache = true, .batch_ms = 30000, .batch_max = 50},
    {.name = "hybrid + all of them", .is_hybrid = true, .prefilter = "on", .use_cache = true, .batch_ms = 30000, .batch_max = 50, .skip_users = HOST_LIST},
};
/* clang-format on */

static struct row *rows;
static size_t row_count;

static void fail(const char *why)
{
    (void)fprintf(stderr, "bench_cost: %s\n", why);
    exit(EXIT_FAILURE);
}

static void *must(void *p)
{
    if (p == NULL)
        fail("out of memory");
    return p;
}

static void print_json(json_t *value)
{
    char *text = must(json_dumps(value, JSON_COMPACT));
    (void)puts(text);
    free(text);
    json_decref(value);
}

/* --- input ------------------------------------------------------------------------------------ */

struct band {
    double low, high;
};

static void read_row(char **fields, const struct band *bands)
{
    struct row *row = &rows[row_count++];
    unsigned fold = (unsigned)strtoul(fields[1], NULL, 10) % 8;

    *row = (struct row){.memory = NULL, .weight = (unsigned)strtoul(fields[2], NULL, 10)};
    row->line = (struct df_chat_line){
        .platform = fields[3], .platform_len = strlen(fields[3]),
        .username = fields[4], .username_len = strlen(fields[4]),
        .message = fields[5],  .message_len = strlen(fields[5]),
    };
    row->truth.is_buyer = fields[6][0] == '1';
    row->truth.confidence = row->truth.is_buyer ? 0.95 : 0.05;
    (void)df_message_type_parse(&row->truth.type, fields[7], strlen(fields[7]));
    row->truth.value_cents = strtoll(fields[8], NULL, 10);
    (void)snprintf(row->truth.item, sizeof row->truth.item, "%s", fields[9]);
    row->said.confidence = strtod(fields[11], NULL);
    row->said.is_buyer = fields[12][0] == '1';
    row->low = bands[fold].low;
    row->high = bands[fold].high;
}

static void read_table(const char *path, double share)
{
    struct band bands[8] = {{0, 0}};
    size_t room = 0, room_lines = 0;
    char *line = NULL;
    FILE *file = fopen(path, "r");

    if (file == NULL)
        fail("cannot open the table");
    while (getline(&line, &room, file) > 0) {
        char *fields[14] = {NULL}, *rest = must(strdup(line)), *memory = rest;
        size_t n = 0;
        while (n < 14 && (fields[n] = strsep(&rest, "\t\n")) != NULL)
            n++;
        if (strcmp(fields[0], "band") == 0 && n >= 5 && strtod(fields[2], NULL) == share)
            bands[strtoul(fields[1], NULL, 10) % 8] =
                (struct band){strtod(fields[3], NULL), strtod(fields[4], NULL)};
        if (strcmp(fields[0], "row") != 0 || n != 14) {
            free(memory);
            continue;
        }
        if (row_count == room_lines) {
            room_lines = room_lines == 0 ? 4096 : room_lines * 2;
            rows = must(realloc(rows, room_lines * sizeof *rows));
        }
        read_row(fields, bands);
        rows[row_count - 1].memory = memory;
    }
    free(line);
    (void)fclose(file);
    if (row_count == 0)
        fail("the table holds no rows");
}

/* Row numbers in the order they are said. */
static size_t make_stream(size_t **out)
{
    size_t count = 0, n = 0;
    uint64_t random = 42;

    for (size_t i = 0; i < row_count; i++)
        count += rows[i].weight;
    *out = must(calloc(count, sizeof **out));
    for (size_t i = 0; i < row_count; i++) {
        for (unsigned k = 0; k < rows[i].weight; k++)
            (*out)[n++] = i;
    }
    for (size_t i = count - 1; i > 0; i--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t k = (size_t)((random >> 33) % (i + 1));
        size_t kept = (*out)[i];
        (*out)[i] = (*out)[k];
        (*out)[k] = kept;
    }
    return count;
}

/* --- what is sent ----------------------------------------------------------------------------- */

struct run {
    const struct variant *variant;
    struct mrs_route_rules *rules;
    struct mrs_cache *cache;
    const struct row *batch[MRS_BATCH_LINES_MAX];
    size_t batch_count;
    int64_t batch_due_ms;
    int show_calls;
    size_t asked, calls, hits, skipped;
    struct df_counts counts;
    uint32_t random;
};

static json_t *request_of(const struct row *const *lines, size_t count,
                          const struct mrs_numbering *numbering)
{
    const struct mrs_request_shape shape = {
        .model = "m", .mode = MRS_AI_TOOL, .send_temperature = true, .send_max_tokens = true};
    const struct df_chat_line *chat[MRS_BATCH_LINES_MAX];
    struct df_buf out;

    for (size_t i = 0; i < count; i++)
        chat[i] = &lines[i]->line;
    df_buf_init(&out, MRS_REQUEST_MAX_BYTES);
    enum df_code rc = count == 1 ? mrs_gateway_format_request(&out, &shape, chat[0], NULL)
                                 : mrs_gateway_format_batch(&out, &shape, chat, count, numbering, NULL);
    json_t *request = rc == DF_OK ? json_loadb(out.data, out.len, 0, NULL) : NULL;
    df_buf_release(&out);
    return must(request);
}

static json_t *number(double value)
{
    return value == (double)(json_int_t)value ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *value_of(const struct df_verdict *v)
{
    return number(v->value_cents == DF_VALUE_NONE ? 0 : (double)v->value_cents / 100);
}

static char *answer_of(const struct row *const *lines, size_t count,
                       const struct mrs_numbering *numbering)
{
    const struct df_verdict *v = &lines[0]->truth;
    json_t *answer = NULL;

    if (count == 1) {
        answer = json_pack("{s:b, s:o, s:s, s:o, s:s}", "is_buyer", v->is_buyer, "confidence",
                           json_real(v->confidence), "item_description", v->item, "estimated_value",
                           value_of(v), "message_type", df_message_type_name(v->type));
    } else {
        json_t *buyers = json_array(), *others = json_array();
        for (size_t i = 0; i < count; i++) {
            int n = numbering->first + (int)i * numbering->step;
            v = &lines[i]->truth;
            if (!v->is_buyer)
                (void)json_array_append_new(others, json_integer(n));
            else
                (void)json_array_append_new(
                    buyers, json_pack("{s:i, s:s, s:o, s:s, s:o}", "i", n, "t",
                                      df_message_type_name(v->type), "c", json_real(v->confidence),
                                      "d", v->item, "v", value_of(v)));
        }
        answer = json_pack("{s:o, s:o}", "buyers", buyers, "others", others);
    }
    char *text = must(json_dumps(must(answer), JSON_COMPACT | JSON_REAL_PRECISION(4)));
    json_decref(answer);
    return text;
}

static void call(struct run *run, const struct row *const *lines, size_t count, int64_t now_ms)
{
    run->random = run->random * 1664525 + 1013904223;
    const struct mrs_numbering numbering = mrs_numbering_from(run->random >> 8);
    json_t *request = request_of(lines, count, &numbering);
    char *answer = answer_of(lines, count, &numbering);
    json_t *user = json_object_get(json_array_get(json_object_get(request, "messages"), 1), "content");

    print_json(json_pack("{s:s, s:b, s:O, s:s}", "call", run->variant->name, "many", count > 1, "user",
                         user, "answer", answer));
    free(answer);
    json_decref(request);
    run->calls++;
    run->asked += count;
    run->show_calls++;
    for (size_t i = 0; i < count; i++) {
        df_counts_add(&run->counts, lines[i]->truth.is_buyer, lines[i]->truth.is_buyer);
        if (run->variant->use_cache)
            mrs_cache_put(run->cache, &lines[i]->line, now_ms, &lines[i]->truth, "m");
    }
}

static void flush(struct run *run, int64_t now_ms)
{
    if (run->batch_count > 0)
        call(run, run->batch, run->batch_count, now_ms);
    run->batch_count = 0;
}

static void decide_locally(struct run *run, const struct row *row)
{
    df_counts_add(&run->counts, row->truth.is_buyer,
                  row->said.is_buyer && row->said.confidence >= 0.7);
    run->skipped++;
}

static void hear(struct run *run, const struct row *row, int64_t now_ms)
{
    const struct variant *v = run->variant;
    struct df_verdict known;
    char model[96];

    if (v->is_local ||
        (v->is_hybrid && !(row->said.confidence >= row->low && row->said.confidence < row->high)) ||
        !mrs_route_wants_user(run->rules, &row->line) ||
        !mrs_route_has_word(run->rules, &row->line) ||
        (v->is_hybrid && mrs_orders_in(row->line.message, row->line.message_len))) {
        decide_locally(run, row);
        return;
    }
    if (v->use_cache && mrs_cache_get(run->cache, &row->line, now_ms, &known, model, sizeof model)) {
        df_counts_add(&run->counts, row->truth.is_buyer, known.is_buyer);
        run->hits++;
        return;
    }
    if (v->budget > 0 && run->show_calls >= v->budget) {
        decide_locally(run, row);
        return;
    }
    if (v->batch_ms == 0 || mrs_orders_in(row->line.message, row->line.message_len)) {
        call(run, &row, 1, now_ms);
        return;
    }
    if (run->batch_count == 0)
        run->batch_due_ms = now_ms + v->batch_ms;
    run->batch[run->batch_count++] = row;
    if (run->batch_count == (size_t)v->batch_max)
        flush(run, now_ms);
}

static void run_variant(const struct variant *variant, const size_t *stream, size_t count)
{
    struct run run = {.variant = variant, .random = 7};
    const struct mrs_route_options options = {.is_hybrid = variant->is_hybrid,
                                              .prefilter = variant->prefilter,
                                              .skip_users = variant->skip_users};

    if (mrs_route_rules_new(&run.rules, &options, NULL) != DF_OK ||
        mrs_cache_new(&run.cache, CACHE_MAX, CACHE_MS, NULL) != DF_OK)
        fail("cannot set up a variant");
    for (size_t i = 0; i < count; i++) {
        int64_t now_ms = (int64_t)i * 1000;
        if (i % SHOW_LINES == 0) { /* the next show: its lines travel alone, its budget is new */
            flush(&run, now_ms);
            run.show_calls = 0;
        }
        if (run.batch_count > 0 && now_ms >= run.batch_due_ms)
            flush(&run, now_ms);
        hear(&run, &rows[stream[i]], now_ms);
    }
    flush(&run, (int64_t)count * 1000);
    print_json(json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "variant", variant->name, "lines",
                         (json_int_t)count, "asked", (json_int_t)run.asked, "calls",
                         (json_int_t)run.calls, "hits", (json_int_t)run.hits, "skipped",
                         (json_int_t)run.skipped, "f1", df_counts_f1(&run.counts)));
    mrs_cache_free(run.cache);
    mrs_route_rules_free(run.rules);
}

int main(int argc, char **argv)
{
    size_t *stream = NULL;
    const struct mrs_numbering numbering = {100, 11};

    if (argc != 3) {
        (void)fputs("usage: bench_cost TABLE SHARE     see tests/bench/cost\n", stderr);
        return 64;
    }
    read_table(argv[1], strtod(argv[2], NULL));
    size_t count = make_stream(&stream);
    const struct row *two[] = {&rows[0], &rows[0]};
    print_json(json_pack("{s:{s:o, s:o}}", "fixed", "one", request_of(two, 1, &numbering), "many",
                         request_of(two, 2, &numbering)));
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        run_variant(&variants[i], stream, count);
    for (size_t i = 0; i < row_count; i++)
        free(rows[i].memory);
    free(rows);
    free(stream);
    return 0;
}
