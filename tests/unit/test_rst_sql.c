/* tests/unit/test_rst_sql.c - the statement that a request becomes, word for word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/rest/sql.h"
#include "tests/unit/rst_catalog_sample.h"

static struct rst_arena arena;
static struct rst_error err;
static struct rst_statement statement;
static struct rst_catalog *catalog;

static int set_up(void **state)
{
    (void)state;
    catalog = sample_catalog();
    return 0;
}

static int take_down(void **state)
{
    (void)state;
    rst_catalog_free(catalog);
    return 0;
}

static int forget(void **state)
{
    (void)state;
    rst_statement_release(&statement);
    rst_arena_release(&arena);
    return 0;
}

static struct rst_head head_of(enum rst_method method, const char *table)
{
    return (struct rst_head){.method = method,
                             .table = table,
                             .max_affected = -1,
                             .range_first = -1,
                             .range_last = INT64_MAX};
}

static bool build(const struct rst_head *head, const char *text, const char *json)
{
    struct rst_query query;
    struct rst_body body;

    rst_statement_release(&statement);
    memset(&err, 0, sizeof err);
    statement = (struct rst_statement){0};
    if (!rst_query_parse(&query, text, strlen(text), &arena, &err) ||
        (json != NULL &&
         !rst_body_read(&body, json, strlen(json), NULL, query.columns != NULL, &arena, &err)))
        return false;
    return rst_sql_build(&statement, head, &query, json == NULL ? NULL : &body, catalog, 1000,
                         &arena, &err);
}

/* params: each followed by '|'. */
static void expect(const struct rst_head *head, const char *text, const char *json, const char *sql,
                   const char *params)
{
    char found[1024] = "";

    if (!build(head, text, json))
        fail_msg("%s: %s %s", text, err.code, err.message);
    for (int i = 0; i < statement.param_count; i++) {
        strcat(found, statement.params[i]);
        strcat(found, "|");
    }
    assert_string_equal(statement.sql.data, sql);
    assert_string_equal(found, params);
}

#define ROWS "SELECT pg_catalog.count(*), coalesce(pg_catalog.json_agg(_dealflow_row), '[]')"

static void reads(void **state)
{
    struct rst_head head = head_of(RST_GET, "things");
    (void)state;
    expect(&head, "", NULL,
           ROWS ", NULL FROM (SELECT things.* FROM public.things LIMIT 1000) _dealflow_row", "");
    expect(
        &head,
        "select=id,x:n,name::varchar,data->a->>0&name=eq.one&or=(id.gt.1,not.and(n.is.null,"
        "id.in.(1,2)))&order=n.desc.nullslast,data->>k&limit=5&offset=2",
        NULL,
        ROWS
        ", NULL FROM (SELECT things.id, things.n AS \"x\", CAST(things.name AS varchar) AS name, "
        "(things.data -> $4::pg_catalog.text ->> $5::pg_catalog.int4) AS \"a\" "
        "FROM public.things WHERE (things.name = $1) AND ((things.id > $2) OR NOT "
        "((things.n IS NULL) AND (things.id = ANY ($3)))) "
        "ORDER BY things.n DESC NULLS LAST, (things.data ->> $6::pg_catalog.text) LIMIT 5 "
        "OFFSET $7::pg_catalog.int8) _dealflow_row",
        "one|1|{\"1\",\"2\"}|a|0|k|2|");
}

static void reads_odd_names_as_the_catalogue_writes_them(void **state)
{
    struct rst_head head = head_of(RST_GET, "things");
    (void)state;
    expect(&head, "select=%22Odd%20%5C%22one%22&%22Odd%20%5C%22one%22=eq.x", NULL,
           ROWS ", NULL FROM (SELECT things.\"Odd \"\"one\" FROM public.things WHERE "
                "(things.\"Odd \"\"one\" = $1) LIMIT 1000) _dealflow_row",
           "x|");
}

static void counts_with_the_same_parameters(void **state)
{
    struct rst_head head = head_of(RST_HEAD, "things");
    head.counts = true;
    (void)state;
    expect(&head, "id=gt.5&limit=1", NULL,
           "SELECT pg_catalog.count(*), '', (SELECT pg_catalog.count(*) FROM public.things WHERE "
           "(things.id > $1)) FROM (SELECT things.* FROM public.things WHERE (things.id > $1) "
           "LIMIT 1) _dealflow_row",
           "5|");
}

static void limits_to_what_all_say(void **state)
{
    static const struct {
        const char *text;
        int64_t first, last, limit, offset;
    } rows[] = {
        {"", -1, INT64_MAX, 1000, 0},
        {"limit=5000", -1, INT64_MAX, 1000, 0},
        {"limit=0", -1, INT64_MAX, 0, 0},
        {"", 0, 9, 10, 0},
        {"", 5, INT64_MAX, 1000, 5},
        {"limit=3", 1, 9, 2, 1},
        {"limit=3&offset=4", 1, 9, 3, 4},
        {"limit=3&offset=4", 6, 9, 1, 6},
        {"limit=1", 2, 9, 0, 2},
        {"offset=9223372036854775807", -1, INT64_MAX, 0, INT64_MAX},
        {"limit=9223372036854775807&offset=9223372036854775806", -1, INT64_MAX, 1, INT64_MAX - 1},
        {"", INT64_MAX, INT64_MAX, 0, INT64_MAX},
        {"", 0, INT64_MAX - 1, 1000, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rst_head head = head_of(RST_GET, "things");
        char limit[40];
        head.range_first = rows[i].first;
        head.range_last = rows[i].last;
        assert_true(build(&head, rows[i].text, NULL));
        (void)snprintf(limit, sizeof limit, "LIMIT %lld", (long long)rows[i].limit);
        if (strstr(statement.sql.data, limit) == NULL || statement.offset != rows[i].offset)
            fail_msg("row %zu: %s, offset %lld", i, statement.sql.data,
                     (long long)statement.offset);
    }
}

static void inserts(void **state)
{
    struct rst_head head = head_of(RST_POST, "things");
    (void)state;
    expect(
        &head, "", "{\"id\":1,\"name\":\"x\"}",
        "INSERT INTO public.things(id, name) SELECT _dealflow_body.id, _dealflow_body.name FROM "
        "pg_catalog.json_to_record($1::pg_catalog.json) AS _dealflow_body(id integer, name text)",
        "{\"id\":1,\"name\":\"x\"}|");
    assert_false(statement.has_result);
    expect(&head, "", "{}", "INSERT INTO public.things DEFAULT VALUES", "");
    head.returns = RST_RETURN_ROWS;
    expect(&head, "columns=id,n&select=id", "[{\"id\":1},{\"n\":2}]",
           "WITH _dealflow_row AS (INSERT INTO public.things(id, n) SELECT _dealflow_body.id, "
           "_dealflow_body.n FROM pg_catalog.json_to_recordset($1::pg_catalog.json) AS "
           "_dealflow_body(id integer, n numeric(10,2)) RETURNING things.id) " ROWS
           ", NULL FROM _dealflow_row",
           "[{\"id\":1},{\"n\":2}]|");
    assert_true(statement.has_result);
    expect(&head, "", "[]",
           "WITH _dealflow_row AS (SELECT things.* FROM public.things WHERE false) " ROWS
           ", NULL FROM _dealflow_row",
           "");
}

static void fills_in_defaults(void **state)
{
    struct rst_head head = head_of(RST_POST, "pairs");
    head.missing_is_default = true;
    (void)state;
    expect(&head, "columns=a,b,at", "[{\"b\":null}]",
           "INSERT INTO public.pairs(a, b, at) SELECT _dealflow_body.a, _dealflow_body.b, "
           "_dealflow_body.at FROM pg_catalog.jsonb_to_recordset((SELECT pg_catalog.jsonb_agg("
           "pg_catalog.jsonb_build_object($1::pg_catalog.text, gen_random_uuid(), "
           "$2::pg_catalog.text, now()) || _dealflow_each) FROM "
           "pg_catalog.jsonb_array_elements($3::pg_catalog.jsonb) AS _dealflow_each)) AS "
           "_dealflow_body(a uuid, b uuid, at timestamp with time zone)",
           "a|at|[{\"b\":null}]|");
}

static void upserts(void **state)
{
    struct rst_head head = head_of(RST_POST, "pairs");
    static const char insert[] =
        "INSERT INTO public.pairs(a) SELECT _dealflow_body.a FROM "
        "pg_catalog.json_to_record($1::pg_catalog.json) AS _dealflow_body(a uuid)";
    char expected[512];
    (void)state;
    head.resolution = RST_MERGE;
    (void)snprintf(expected, sizeof expected, "%s ON CONFLICT (a, b) DO UPDATE SET a = EXCLUDED.a",
                   insert);
    expect(&head, "", "{\"a\":1}", expected, "{\"a\":1}|");
    head.resolution = RST_IGNORE;
    (void)snprintf(expected, sizeof expected, "%s ON CONFLICT (at) DO NOTHING", insert);
    expect(&head, "on_conflict=at", "{\"a\":1}", expected, "{\"a\":1}|");
    head.table = "seen"; /* without a key there is nothing to conflict with */
    assert_true(build(&head, "", "{\"id\":1}"));
    assert_null(strstr(statement.sql.data, "CONFLICT"));
    assert_false(build(&head, "on_conflict=nope", "{\"id\":1}"));
    assert_string_equal(err.code, "42703");
}

static void says_where_a_row_went(void **state)
{
    struct rst_head head = head_of(RST_POST, "pairs");
    head.returns = RST_RETURN_HEADERS;
    (void)state;
    assert_true(build(&head, "", "{\"a\":1}"));
    assert_non_null(strstr(statement.sql.data, " RETURNING pairs.b, pairs.a) SELECT "
                                               "pg_catalog.count(*), ''"));
    head.table = "seen";
    assert_true(build(&head, "", "{\"id\":1}"));
    assert_false(statement.has_result);
}

static void updates_and_deletes(void **state)
{
    struct rst_head head = head_of(RST_PATCH, "things");
    (void)state;
    expect(&head, "id=eq.1", "{\"name\":null}",
           "UPDATE public.things SET name = _dealflow_body.name FROM "
           "pg_catalog.json_to_record($1::pg_catalog.json) AS _dealflow_body(name text) WHERE "
           "(things.id = $2)",
           "{\"name\":null}|1|");
    assert_false(build(&head, "", "{\"name\":null}"));
    assert_string_equal(err.message, "UPDATE requires a WHERE clause");
    assert_false(build(&head, "id=eq.1", "[{\"id\":1},{\"id\":2}]"));
    assert_string_equal(err.code, "PGRST102");
    expect(&head, "id=eq.1", "{}", "SELECT things.* FROM public.things WHERE false", "");
    head.method = RST_DELETE;
    head.returns = RST_RETURN_ROWS;
    expect(&head, "id=lt.9&select=id", NULL,
           "WITH _dealflow_row AS (DELETE FROM public.things WHERE (things.id < $1) RETURNING "
           "things.id) " ROWS ", NULL FROM _dealflow_row",
           "9|");
    assert_false(build(&head, "", NULL));
    assert_string_equal(err.message, "DELETE requires a WHERE clause");
}

static void refuses_names_that_are_not_there(void **state)
{
    static const struct {
        enum rst_method method;
        const char *table, *text, *json, *code;
        int status;
    } rows[] = {
        {RST_GET, "nope", "", NULL, "PGRST205", 404},
        {RST_GET, "Things", "", NULL, "PGRST205", 404},
        {RST_GET, "public.things", "", NULL, "PGRST205", 404},
        {RST_GET, "", "", NULL, "PGRST205", 404},
        {RST_GET, "things", "select=nope", NULL, "42703", 400},
        {RST_GET, "things", "select=ID", NULL, "42703", 400},
        {RST_GET, "things", "nope=eq.1", NULL, "42703", 400},
        {RST_GET, "things", "order=nope", NULL, "42703", 400},
        {RST_GET, "things", "select=id::regclass", NULL, "42704", 400},
        {RST_GET, "things", "select=data->a\"b", NULL, "PGRST100", 400},
        {RST_POST, "things", "", "{\"nope\":1}", "PGRST204", 400},
        {RST_POST, "things", "columns=nope", "{\"id\":1}", "PGRST204", 400},
        {RST_PATCH, "things", "id=eq.1", "{\"nope\":1}", "PGRST204", 400},
        {RST_DELETE, "things", "nope=eq.1", NULL, "42703", 400},
        {RST_POST, "things", "", "[{\"id\":1},{\"n\":1}]", "PGRST102", 400},
        {RST_POST, "things", "", "[{\"id\":1},2]", "PGRST102", 400},
        {RST_POST, "things", "", "\"x\"", "PGRST102", 400},
        {RST_POST, "things", "", "", "PGRST102", 400},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rst_head head = head_of(rows[i].method, rows[i].table);
        if (build(&head, rows[i].text, rows[i].json))
            fail_msg("row %zu became %s", i, statement.sql.data);
        if (strcmp(err.code, rows[i].code) != 0 || err.status != rows[i].status)
            fail_msg("row %zu: %d %s", i, err.status, err.code);
    }
}

static void takes_no_more_values_than_fit(void **state)
{
    struct rst_head head = head_of(RST_GET, "things");
    static char text[RST_PARAMS_MAX * 8 + 64];
    (void)state;
    text[0] = '\0';
    char *end = text;
    for (int i = 0; i <= RST_PARAMS_MAX; i++)
        end = stpcpy(end, "id=eq.1&");
    assert_false(build(&head, text, NULL));
    assert_string_equal(err.code, "PGRST100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads, forget),
        cmocka_unit_test_teardown(reads_odd_names_as_the_catalogue_writes_them, forget),
        cmocka_unit_test_teardown(counts_with_the_same_parameters, forget),
        cmocka_unit_test_teardown(limits_to_what_all_say, forget),
        cmocka_unit_test_teardown(inserts, forget),
        cmocka_unit_test_teardown(fills_in_defaults, forget),
        cmocka_unit_test_teardown(upserts, forget),
        cmocka_unit_test_teardown(says_where_a_row_went, forget),
        cmocka_unit_test_teardown(updates_and_deletes, forget),
        cmocka_unit_test_teardown(refuses_names_that_are_not_there, forget),
        cmocka_unit_test_teardown(takes_no_more_values_than_fit, forget),
    };
    return cmocka_run_group_tests(tests, set_up, take_down);
}
