/* tests/unit/test_rst_query.c - how the query string of /rest/v1 is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/rest/query.h"

static struct rst_arena arena;
static struct rst_error err;

static int forget(void **state)
{
    (void)state;
    rst_arena_release(&arena);
    arena.max_bytes = 0;
    return 0;
}

static bool parse(struct rst_query *out, const char *text)
{
    memset(&err, 0, sizeof err);
    return rst_query_parse(out, text, strlen(text), &arena, &err);
}

/* --- printing a query back, so that tests can compare text ------------------------------------ */

static void put_field(char *out, const struct rst_field *field)
{
    strcat(out, field->name);
    for (const struct rst_step *step = field->path; step != NULL; step = step->next) {
        strcat(out, step->is_text ? "->>" : "->");
        strcat(out, step->is_index ? "#" : "");
        strcat(out, step->key);
    }
}

static void put_filter(char *out, const struct rst_filter *filter)
{
    static const char *const any[] = {"", "any ", "all "};
    strcat(out, filter->is_negated ? "!(" : "(");
    if (filter->kind == RST_LEAF) {
        char op[32];
        put_field(out, &filter->field);
        (void)snprintf(op, sizeof op, " %d %s", (int)filter->op, any[filter->any]);
        strcat(out, op);
        strcat(out, filter->value);
    } else {
        strcat(out, filter->kind == RST_AND ? "&" : "|");
        for (const struct rst_filter *child = filter->children; child != NULL; child = child->next)
            put_filter(out, child);
    }
    strcat(out, ")");
}

static void expect_filters(const char *text, const char *expected)
{
    char out[4096] = "";
    struct rst_query query;

    if (!parse(&query, text))
        fail_msg("%s: %s (%s)", text, err.message, err.details);
    for (const struct rst_filter *filter = query.filters; filter != NULL; filter = filter->next)
        put_filter(out, filter);
    if (strcmp(out, expected) != 0)
        fail_msg("%s: got %s, not %s", text, out, expected);
}

static void reads_every_operator(void **state)
{
    static const struct {
        const char *text;
        enum rst_op op;
    } rows[] = {
        {"eq", RST_EQ},
        {"neq", RST_NEQ},
        {"lt", RST_LT},
        {"lte", RST_LTE},
        {"gt", RST_GT},
        {"gte", RST_GTE},
        {"match", RST_MATCH},
        {"imatch", RST_IMATCH},
        {"cs", RST_CS},
        {"cd", RST_CD},
        {"ov", RST_OV},
        {"sl", RST_SL},
        {"sr", RST_SR},
        {"nxr", RST_NXR},
        {"nxl", RST_NXL},
        {"adj", RST_ADJ},
        {"isdistinct", RST_ISDISTINCT},
        {"like", RST_LIKE},
        {"ilike", RST_ILIKE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64], expected[64];
        (void)snprintf(text, sizeof text, "a=%s.x.y", rows[i].text);
        (void)snprintf(expected, sizeof expected, "(a %d x.y)", (int)rows[i].op);
        expect_filters(text, expected);
        (void)snprintf(text, sizeof text, "a=not.%s.x.y", rows[i].text);
        (void)snprintf(expected, sizeof expected, "!(a %d x.y)", (int)rows[i].op);
        expect_filters(text, expected);
    }
}

static void reads_values(void **state)
{
    (void)state;
    expect_filters("a=eq.", "(a 0 )");
    expect_filters("a=eq.%22quoted%22,(x)", "(a 0 \"quoted\",(x))");
    expect_filters("a=eq.b+c%2Bd%zz%", "(a 0 b c+d%zz%)");
    expect_filters("a=like.*b*", "(a 6 %b%)");
    expect_filters("a=match.b*", "(a 8 b*)");
    expect_filters("a=eq(any).{1,2}", "(a 0 any {1,2})");
    expect_filters("a=like(all).{*1,2*}", "(a 6 all {%1,2%})");
    expect_filters("a=is.null&a=is.NOT_NULL&a=is.True&a=is.unknown",
                   "(a 11 NULL)(a 11 NOT NULL)(a 11 TRUE)(a 11 UNKNOWN)");
    expect_filters("a->b->>2=eq.1&\"x.y\"=eq.2&a->-1=eq.3", "(a->b->>#2 0 1)(x.y 0 2)(a->#-1 0 3)");
}

static void makes_array_literals_of_lists(void **state)
{
    (void)state;
    expect_filters("a=in.(1,2)", "(a 10 {\"1\",\"2\"})");
    expect_filters("a=in.()", "(a 10 {})");
    expect_filters("a=in.(\"b,c\",d)", "(a 10 {\"b,c\",\"d\"})");
    expect_filters("a=in.(\"q\\\"\\\\\")", "(a 10 {\"q\\\"\\\\\"})");
    expect_filters("a=in.(b\"c)", "(a 10 {\"b\\\"c\"})");
    expect_filters("a=in.(,)", "(a 10 {\"\",\"\"})");
    expect_filters("a=in.(\\,{})", "(a 10 {\"\\\\\",\"{}\"})");
}

static void reads_trees(void **state)
{
    (void)state;
    expect_filters("or=(a.eq.1,b.gt.2)", "(|(a 0 1)(b 4 2))");
    expect_filters("not.and=(a.eq.1)", "!(&(a 0 1))");
    expect_filters("and=(a.not.eq.1,not.or(b.is.null,c.in.(1,2)),d.eq.\"x,)\")",
                   "(&!(a 0 1)!(|(b 11 NULL)(c 10 {\"1\",\"2\"}))(d 0 x,)))");
    expect_filters("or=(a.cs.{1,2},b.eq.{\",\"},c.eq.{x)", "(|(a 13 {1,2})(b 0 {\",\"})(c 0 {x))");
    expect_filters("or=(a->>b.eq.1,not.eq.2)", "(|(a->>b 0 1)(not 0 2))");
    expect_filters("a=eq.1&or=(b.eq.2)&c=eq.3", "(a 0 1)(|(b 0 2))(c 0 3)");
}

static void refuses_what_is_no_filter(void **state)
{
    static const struct {
        const char *text, *code, *message, *details;
    } rows[] = {
        {"id=foo", "PGRST100", "\"failed to parse filter (foo)\" (line 1, column 1)",
         "unexpected \"f\" expecting \"not\" or operator (eq, gt, ...)"},
        {"id=", "PGRST100", "\"failed to parse filter ()\" (line 1, column 1)",
         "unexpected end of input expecting \"not\" or operator (eq, gt, ...)"},
        {"id=eq", "PGRST100", NULL, "unexpected end of input expecting delimiter (.)"},
        {"id=in(any).(1)", "PGRST100", NULL, "unexpected \"(\" expecting delimiter (.)"},
        {"id=not.not.eq.1", "PGRST100", NULL, NULL},
        {"id=is.x", "PGRST100", "\"failed to parse filter (is.x)\" (line 1, column 4)", NULL},
        {"id=in.1", "PGRST100", NULL, "unexpected \"1\" expecting \"(\""},
        {"id=in.(1", "PGRST100", NULL, NULL},
        {"id=in.(1)x", "PGRST100", NULL, "unexpected \"x\" expecting end of input"},
        {"or=()", "PGRST100", NULL, NULL},
        {"or=a.eq.1", "PGRST100", "\"failed to parse logic tree (a.eq.1)\" (line 1, column 1)",
         NULL},
        {"or=(a.eq.1", "PGRST100", NULL, NULL},
        {"or=(a.eq.1))", "PGRST100", NULL, NULL},
        {"or=(a)", "PGRST100", NULL, "unexpected \")\" expecting delimiter (.)"},
        {"=eq.1", "PGRST100", NULL, NULL},
        {"(a)=eq.1", "PGRST100", NULL, NULL},
        {"\"a=eq.1", "PGRST100", NULL, "unexpected end of input expecting a closing quote"},
        {"a->=eq.1", "PGRST100", NULL, NULL},
        {"other.a=eq.1", "PGRST108", "'other' is not an embedded resource in this request", NULL},
        {"other.order=a", "PGRST108", NULL, NULL},
        {"a=eq.%00", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00", NULL},
        {"a%00=eq.1", "22021", NULL, NULL},
        {"order=", "PGRST100", NULL, NULL},
        {"order=a.up", "PGRST100", NULL, NULL},
        {"order=a.asc.desc", "PGRST100", NULL, NULL},
        {"order=a.nullsfirst.asc", "PGRST100", NULL, NULL},
        {"order=a,", "PGRST100", NULL, NULL},
        {"order=other(a)", "PGRST108", NULL, NULL},
        {"limit=", "PGRST100", NULL, NULL},
        {"limit=1x", "PGRST100", NULL, NULL},
        {"limit=-1", "PGRST103", NULL, "Limit should be greater than or equal to zero."},
        {"offset=-1", "PGRST103", NULL, "Offset should be greater than or equal to zero."},
        {"select=a,", "PGRST100", NULL, NULL},
        {"select=a::", "PGRST100", NULL, NULL},
        {"select=a:b:c", "PGRST100", NULL, NULL},
        {"select=a\"b:c", "PGRST100", NULL, NULL},
        {"select=a,other(*)", "PGRST200", NULL, NULL},
        {"select=x:other!fk(id)", "PGRST200", NULL, NULL},
        {"select=...other(id)", "PGRST200", NULL, NULL},
        {"select=a.sum()", "PGRST123", NULL, NULL},
        {"select=total:count()", "PGRST123", NULL, NULL},
        {"select=a.max()::text", "PGRST123", NULL, NULL},
        {"columns=a->b", "PGRST100", NULL, NULL},
        {"on_conflict=,", "PGRST100", NULL, NULL},
    };
    struct rst_query query;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (parse(&query, rows[i].text))
            fail_msg("%s was taken", rows[i].text);
        if (strcmp(err.code, rows[i].code) != 0 ||
            (rows[i].message != NULL && strcmp(err.message, rows[i].message) != 0) ||
            (rows[i].details != NULL &&
             (!err.has_details || strcmp(err.details, rows[i].details) != 0)))
            fail_msg("%s: %s %s (%s)", rows[i].text, err.code, err.message, err.details);
    }
}

static void stops_at_deep_trees(void **state)
{
    struct rst_query query;
    char text[4096] = "and=";
    (void)state;
    for (int depth = 1; depth < 1000; depth++)
        strcat(text, "(or");
    assert_false(parse(&query, text));
    assert_string_equal(err.code, "PGRST100");
    assert_string_equal(err.details, "more than 32 levels of and(...) and or(...)");
}

static void reads_select_order_and_limits(void **state)
{
    struct rst_query query;
    (void)state;
    assert_true(parse(&query, "select=*,x:a->>b::text,\"odd,name\"&order=a.desc.nullslast,b->c,"
                              "d.nullsfirst&limit=7&offset=8&columns=a,%22b,c%22&on_conflict=a&"
                              "apikey=k.e.y&&"));
    const struct rst_item *item = query.items;
    assert_true(item->is_star);
    item = item->next;
    assert_string_equal(item->alias, "x");
    assert_string_equal(item->field.name, "a");
    assert_string_equal(item->field.path->key, "b");
    assert_string_equal(item->cast, "text");
    assert_string_equal(item->next->field.name, "odd,name");
    assert_null(item->next->next);
    const struct rst_order *order = query.orders;
    assert_true(order->is_descending && order->has_direction);
    assert_int_equal(order->nulls, RST_NULLS_LAST);
    assert_string_equal(order->next->field.path->key, "c");
    assert_false(order->next->has_direction);
    assert_int_equal(order->next->next->nulls, RST_NULLS_FIRST);
    assert_int_equal(query.limit, 7);
    assert_int_equal(query.offset, 8);
    assert_true(query.has_columns);
    assert_string_equal(query.columns->next->name, "b,c");
    assert_string_equal(query.on_conflict->name, "a");
    assert_null(query.filters);
}

static void starts_empty(void **state)
{
    struct rst_query query;
    (void)state;
    assert_true(parse(&query, ""));
    assert_null(query.items);
    assert_int_equal(query.limit, -1);
    assert_true(parse(&query, "select=&limit=99999999999999999999"));
    assert_null(query.items);
    assert_int_equal(query.limit, INT64_MAX);
}

static void survives_an_exhausted_arena(void **state)
{
    static const char text[] = "select=a,b->c&or=(a.eq.1,b.in.(1,2,\"3\"))&order=a.desc&columns=x&"
                               "a=like.x*&offset=5";
    struct rst_query query;
    (void)state;
    arena.max_bytes = 1;
    assert_false(parse(&query, text));
    assert_string_equal(err.code, "53200");
    assert_int_equal(err.status, 503);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(reads_every_operator, forget),
        cmocka_unit_test_teardown(reads_values, forget),
        cmocka_unit_test_teardown(makes_array_literals_of_lists, forget),
        cmocka_unit_test_teardown(reads_trees, forget),
        cmocka_unit_test_teardown(refuses_what_is_no_filter, forget),
        cmocka_unit_test_teardown(stops_at_deep_trees, forget),
        cmocka_unit_test_teardown(reads_select_order_and_limits, forget),
        cmocka_unit_test_teardown(starts_empty, forget),
        cmocka_unit_test_teardown(survives_an_exhausted_arena, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
