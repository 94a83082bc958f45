/* test_rt_plan.c - which interests a change concerns, and what forms filters have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/join.h"
#include "realtime/plan.h"

#define SESSION_A "aaaaaaaa-0000-4000-8000-000000000001"
#define SESSION_B "bbbbbbbb-0000-4000-8000-000000000001"

struct wish {
    const char *schema, *table;
    unsigned events;
    const char *session;
    uint32_t filter_id, claims_id;
};

/* clang-format off */
static const struct wish wishes[] = {
    {"public", "chat",  RT_ALL,    SESSION_A, 1, 0},
    {"public", "chat",  RT_ALL,    SESSION_B, 2, 0},
    {"public", "chat",  RT_INSERT, "",        0, 0},
    {"public", "chat",  RT_DELETE, "",        0, 1},
    {"public", "*",     RT_UPDATE, "",        0, 0},
    {"*",      "*",     RT_ALL,    "",        0, 1},
    {"*",      "chat",  RT_ALL,    "",        0, 1},
    {"public", "sales", RT_ALL,    "",        0, 0},
    {"other",  "chat",  RT_ALL,    "",        0, 0},
};
/* clang-format on */
enum { WISHES = sizeof wishes / sizeof wishes[0] };

static struct rt_plan *make_plan(const char *second_filter)
{
    struct rt_plan *plan = calloc(1, sizeof *plan);

    assert_non_null(plan);
    plan->interest = calloc(WISHES, sizeof *plan->interest);
    plan->filter = calloc(3, sizeof *plan->filter);
    plan->claims = calloc(2, sizeof *plan->claims);
    assert_true(plan->interest != NULL && plan->filter != NULL && plan->claims != NULL);
    for (size_t i = 0; i < WISHES; i++) {
        struct rt_interest *interest = &plan->interest[plan->interest_count++];
        (void)snprintf(interest->schema, sizeof interest->schema, "%s", wishes[i].schema);
        (void)snprintf(interest->table, sizeof interest->table, "%s", wishes[i].table);
        (void)snprintf(interest->session, sizeof interest->session, "%s", wishes[i].session);
        interest->events = wishes[i].events;
        interest->filter_id = wishes[i].filter_id;
        interest->claims_id = wishes[i].claims_id;
    }
    plan->filter_count = 3;
    plan->filter[0] = strdup("[]");
    plan->filter[1] = strdup("[1]");
    plan->filter[2] = strdup(second_filter);
    plan->claims_count = 2;
    plan->claims[0] = strdup("{\"role\":\"authenticated\",\"sub\":\"x\"}");
    plan->claims[1] = strdup("{\"sub\":\"x\"}");
    return plan;
}

/* The wishes found, as digits in ascending order. */
static const char *found(const struct rt_index *index, const char *schema, const char *table,
                         unsigned event, const char *session)
{
    static char text[WISHES + 1];
    bool is_in[WISHES] = {false};
    struct rt_matches matches = {0};
    size_t len = 0;

    assert_true(rt_index_match(index, schema, table, event, session, &matches));
    for (size_t i = 0; i < matches.count; i++) {
        size_t which = (size_t)(matches.at[i] - index->plan->interest);
        assert_false(is_in[which]); /* each once */
        is_in[which] = true;
    }
    for (size_t i = 0; i < WISHES; i++)
        if (is_in[i])
            text[len++] = (char)('0' + i);
    text[len] = '\0';
    rt_matches_release(&matches);
    return text;
}

static void finds_what_a_change_concerns(void **state)
{
    struct rt_index *index = rt_index_new(make_plan("[2]"), NULL);

    (void)state;
    assert_non_null(index);
    assert_string_equal(found(index, "public", "chat", RT_INSERT, SESSION_A), "0256");
    assert_string_equal(found(index, "public", "chat", RT_DELETE, SESSION_B), "1356");
    assert_string_equal(found(index, "public", "chat", RT_UPDATE, "other session"), "456");
    assert_string_equal(found(index, "public", "sales", RT_UPDATE, ""), "457");
    assert_string_equal(found(index, "public", "cha", RT_INSERT, ""), "5");
    assert_string_equal(found(index, "zzz", "zzz", RT_INSERT, SESSION_A), "5");
    assert_string_equal(found(index, "public", "chat", 0, SESSION_A), "");
    rt_index_free(index);
}

static void leaves_no_session_out_when_it_is_not_known(void **state)
{
    struct rt_index *index = rt_index_new(make_plan("[2]"), NULL);

    (void)state;
    assert_string_equal(found(index, "public", "chat", RT_INSERT, ""), "01256");
    rt_index_free(index);
}

static void without_a_plan_nobody_is_concerned(void **state)
{
    struct rt_matches matches = {0};

    (void)state;
    assert_true(rt_index_match(NULL, "public", "chat", RT_INSERT, "", &matches));
    assert_int_equal(matches.count, 0);
}

static void what_is_broken_stays_so_while_it_is_the_same(void **state)
{
    struct rt_index *first = rt_index_new(make_plan("[2]"), NULL), *second = NULL, *third = NULL;

    (void)state;
    first->is_broken_filter[1] = first->is_broken_filter[2] = true;
    first->is_broken_claims[1] = true;
    assert_string_equal(found(first, "public", "chat", RT_INSERT, SESSION_A), "2");
    second = rt_index_new(make_plan("[2]"), first);
    assert_string_equal(found(second, "public", "chat", RT_INSERT, SESSION_B), "2");
    third = rt_index_new(make_plan("[3]"), second);
    assert_string_equal(found(third, "public", "chat", RT_INSERT, SESSION_B), "12");
    rt_index_free(first);
    rt_index_free(second);
    rt_index_free(third);
}

static void reads_roles_once(void **state)
{
    struct rt_index *index = rt_index_new(make_plan("[2]"), NULL);

    (void)state;
    assert_string_equal(rt_index_role(index, 0), "authenticated");
    assert_ptr_equal(rt_index_role(index, 0), rt_index_role(index, 0));
    assert_string_equal(rt_index_role(index, 1), "");
    rt_index_free(index);
}

#define EQ(column, value)                                                                          \
    "[{\"column\":\"" column "\",\"op\":\"eq\",\"not\":false,\"value\":\"" value "\"}]"

static void knows_the_forms_of_filters(void **state)
{
    /* clang-format off */
    static const struct { const char *filter; enum rt_form form; const char *column, *value; } rows[] = {
        {"[]", RT_FORM_ALL, NULL, NULL},
        {EQ("stream_session_id", SESSION_A), RT_FORM_SESSION, NULL, NULL},
        {EQ("stream_session_id", "short"), RT_FORM_EQUAL, "\"stream_session_id\"", "\"short\""},
        {EQ("user_id", "7"), RT_FORM_EQUAL, "\"user_id\"", "\"7\""},
        {EQ("a\\\"b", "c\\\\"), RT_FORM_EQUAL, "\"a\\\"b\"", "\"c\\\\\""},
        {EQ("a", ""), RT_FORM_EQUAL, "\"a\"", "\"\""},
        {"[{\"column\":\"a\",\"op\":\"eq\",\"not\":true,\"value\":\"b\"}]", RT_FORM_GENERAL, NULL, NULL},
        {"[{\"column\":\"a\",\"op\":\"neq\",\"not\":false,\"value\":\"b\"}]", RT_FORM_GENERAL, NULL, NULL},
        {"[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"b\"},{\"column\":\"c\"}]", RT_FORM_GENERAL, NULL, NULL},
        {"[{\"column\":\"a\",\"op\":\"eq\",\"not\":false,\"value\":\"b\\", RT_FORM_GENERAL, NULL, NULL},
        {"[{\"column\":", RT_FORM_GENERAL, NULL, NULL},
        {"", RT_FORM_GENERAL, NULL, NULL},
    };
    /* clang-format on */

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_filter_form form = rt_filter_form(rows[i].filter);
        if (form.form != rows[i].form)
            fail_msg("row %zu: form %d", i, (int)form.form);
        if (rows[i].column == NULL)
            continue;
        assert_int_equal(form.column_len, strlen(rows[i].column));
        assert_memory_equal(form.column, rows[i].column, form.column_len);
        assert_int_equal(form.value_len, strlen(rows[i].value));
        assert_memory_equal(form.value, rows[i].value, form.value_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_change_concerns),
        cmocka_unit_test(leaves_no_session_out_when_it_is_not_known),
        cmocka_unit_test(without_a_plan_nobody_is_concerned),
        cmocka_unit_test(what_is_broken_stays_so_while_it_is_the_same),
        cmocka_unit_test(reads_roles_once),
        cmocka_unit_test(knows_the_forms_of_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
