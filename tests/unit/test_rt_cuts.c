/* test_rt_cuts.c - the order of delivery: snapshots, what is remembered of them, and a client's way
 * through them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "realtime/cuts.h"
#include "realtime/stretch.h"

static void sees_as_postgres_does(void **state)
{
    /* clang-format off */
    static const struct { const char *snapshot; uint64_t xid; bool want; } rows[] = {
        {"10:10:", 9, true},       {"10:10:", 10, false},    {"10:20:10,15", 10, false},
        {"10:20:10,15", 11, true}, {"10:20:10,15", 15, false}, {"10:20:10,15", 19, true},
        {"10:20:10,15", 20, false}, {"10:20:10,15", 21, false},
        {"4294967296:4294967299:4294967297", 4294967296u, true},
        {"4294967296:4294967299:4294967297", 4294967297u, false},
        {"4294967296:4294967299:4294967297", 4294967298u, true},
        {"", 0, false}, {"7", 7, false}, {"x:y:z", 1, false},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rt_snapshot_sees(rows[i].snapshot, rows[i].xid) != rows[i].want)
            fail_msg("row %zu: %s and %llu", i, rows[i].snapshot, (unsigned long long)rows[i].xid);
}

static void finds_the_first_read_that_sees_a_transaction(void **state)
{
    struct rt_cuts cuts = {0};

    (void)state;
    assert_int_equal(rt_cuts_newest(&cuts), 0);
    assert_null(rt_cuts_get(&cuts, 1));
    assert_int_equal(rt_cuts_add(&cuts, "5:5:", RT_CUT_UNKNOWN), 1);
    assert_int_equal(rt_cuts_add(&cuts, "5:8:5", 2), 2);
    assert_int_equal(rt_cuts_add(&cuts, "8:8:", 1), 3);
    rt_cuts_replace(&cuts, "9:9:");
    rt_cuts_add_entries(&cuts, 4);
    assert_int_equal(rt_cuts_get(&cuts, 3)->entries, 5);
    assert_int_equal(rt_cuts_find(&cuts, 4), 1); /* the base */
    assert_int_equal(rt_cuts_find(&cuts, 5), 3); /* ran on while 6 was read */
    assert_int_equal(rt_cuts_find(&cuts, 6), 2);
    assert_int_equal(rt_cuts_find(&cuts, 8), 3);
    assert_int_equal(rt_cuts_find(&cuts, 9), 4); /* not yet */
    rt_cuts_release(&cuts);
}

static void forgets_the_oldest(void **state)
{
    struct rt_cuts cuts = {0};
    char snapshot[40];

    (void)state;
    for (int i = 1; i <= 200000; i++) {
        (void)snprintf(snapshot, sizeof snapshot, "%d:%d:", i, i);
        assert_int_equal(rt_cuts_add(&cuts, snapshot, 1), i);
    }
    assert_int_equal(rt_cuts_newest(&cuts), 200000);
    assert_int_equal(cuts.base, 200000 - 65536 + 1);
    assert_null(rt_cuts_get(&cuts, cuts.base - 1));
    assert_int_equal(rt_cuts_find(&cuts, 150000), 150001);
    assert_int_equal(rt_cuts_find(&cuts, 3), cuts.base);
    assert_true(cuts.cap <= (size_t)2 * 65536 * 2);
    rt_cuts_release(&cuts);

    /* A snapshot of many running transactions counts by its length. */
    char *large = malloc(1 << 20);
    assert_non_null(large);
    memset(large, '1', (1 << 20) - 1);
    large[(1 << 20) - 1] = '\0';
    for (int i = 1; i <= 20; i++)
        assert_int_equal(rt_cuts_add(&cuts, large, 1), i);
    assert_true(cuts.bytes <= (size_t)8 << 20);
    assert_true(rt_cuts_newest(&cuts) - cuts.base + 1 >= 7);
    free(large);
    rt_cuts_release(&cuts);
}

/* --- a way through them -------------------------------------------------------------------------
 */

static void add(struct rt_cuts *cuts, const char *snapshot, uint32_t entries)
{
    assert_int_not_equal(rt_cuts_add(cuts, snapshot, entries), 0);
}

/* What the next stretch asks for, as "last {cuts} upto after", "over" at the end. */
static const char *next(struct rt_stretch *stretch, const struct rt_cuts *cuts,
                        const struct rt_place *until)
{
    static char text[400];
    struct df_error err = {0};
    bool is_over = false;

    assert_int_equal(rt_stretch_next(stretch, cuts, until, &is_over, &err), DF_OK);
    if (is_over)
        return "over";
    (void)snprintf(text, sizeof text, "%s %s %s %s.%s%s",
                   stretch->last == NULL ? "-" : stretch->last, stretch->cuts.data,
                   strlen(stretch->upto_seq) > 18 ? "all" : stretch->upto_seq, stretch->after_cut,
                   stretch->after_seq, stretch->is_known ? "" : " unknown");
    return text;
}

static void goes_from_the_last_row_to_live_delivery(void **state)
{
    struct rt_cuts cuts = {0};
    struct rt_stretch stretch;
    char last[] = "30:30:", upto[] = "30:44:30", none[] = "";
    const struct rt_place middle = {.last = last, .upto = upto, .seq = 70, .cut = 4};
    const struct rt_place end = {.last = last, .upto = none, .cut = 4};

    (void)state;
    add(&cuts, "10:10:", RT_CUT_UNKNOWN);
    add(&cuts, "10:20:10", 3);
    add(&cuts, "20:25:", 990);
    add(&cuts, "30:30:", 8);
    add(&cuts, "30:44:30", 5);

    /* Transaction 12 was read with the second cut. Its other entries come first, then the rest. */
    rt_stretch_init(&stretch);
    assert_true(rt_stretch_begin_at_entry(&stretch, &cuts, 12, 40));
    assert_string_equal(next(&stretch, &cuts, &middle),
                        "10:10: {\"10:20:10\",\"20:25:\"} all 1.39");
    assert_string_equal(next(&stretch, &cuts, &middle), "20:25: {\"30:30:\",\"30:44:30\"} 70 0.-1");
    assert_string_equal(next(&stretch, &cuts, &middle), "over");
    rt_stretch_release(&stretch);

    /* A spot says the same. */
    rt_stretch_init(&stretch);
    const struct rt_spot spot = {.cut = 4, .seq = 55, .n = 1};
    assert_true(rt_stretch_begin_at_spot(&stretch, &cuts, &spot));
    assert_string_equal(next(&stretch, &cuts, &end), "20:25: {\"30:30:\"} all 1.54");
    assert_string_equal(next(&stretch, &cuts, &end), "over");
    rt_stretch_release(&stretch);

    /* What was before the base, and what nobody has read, have no place. */
    rt_stretch_init(&stretch);
    assert_false(rt_stretch_begin_at_entry(&stretch, &cuts, 9, 1));
    assert_false(rt_stretch_begin_at_entry(&stretch, &cuts, 44, 1));
    assert_false(rt_stretch_begin_at_spot(&stretch, &cuts, &(struct rt_spot){.cut = 1, .seq = 5}));
    assert_false(rt_stretch_begin_at_spot(&stretch, &cuts, &(struct rt_spot){.cut = 9, .seq = 5}));
    rt_stretch_begin(&stretch, &cuts);
    assert_string_equal(next(&stretch, &cuts, &end), "- {\"10:10:\"} all 0.-1 unknown");
    assert_string_equal(next(&stretch, &cuts, &end), "10:10: {\"10:20:10\",\"20:25:\"} all 0.-1");
    rt_stretch_release(&stretch);
    rt_cuts_release(&cuts);
}

static void goes_on_when_cuts_are_forgotten(void **state)
{
    struct rt_cuts cuts = {0};
    struct rt_stretch stretch;
    char last[] = "30:30:", upto[] = "30:44:30", snapshot[40];
    const struct rt_place until = {.last = last, .upto = upto, .seq = 70, .cut = 4};

    (void)state;
    add(&cuts, "10:10:", RT_CUT_UNKNOWN);
    add(&cuts, "10:20:10", 3000);
    add(&cuts, "20:25:", 10);
    add(&cuts, "30:30:", 8);
    rt_stretch_init(&stretch);
    assert_true(rt_stretch_begin_at_entry(&stretch, &cuts, 12, 40));
    assert_string_equal(next(&stretch, &cuts, &until), "10:10: {\"10:20:10\"} all 1.39");
    for (int i = 50; i < 50 + 70000; i++) {
        (void)snprintf(snapshot, sizeof snapshot, "%d:%d:", i, i);
        add(&cuts, snapshot, 1);
    }
    /* What is left, without its order. */
    assert_string_equal(next(&stretch, &cuts, &until), "10:20:10 {\"30:30:\"} all 0.-1 unknown");
    assert_string_equal(next(&stretch, &cuts, &until), "30:30: {\"30:44:30\"} 70 0.-1 unknown");
    assert_string_equal(next(&stretch, &cuts, &until), "over");
    rt_stretch_release(&stretch);

    /* A live binding has had all that was forgotten. */
    rt_stretch_init(&stretch);
    const struct rt_spot spot = {.cut = 3, .seq = 55, .n = 1, .is_live = true};
    const struct rt_place now = {
        .last = snapshot, .upto = last + strlen(last), .cut = rt_cuts_newest(&cuts)};
    assert_true(rt_stretch_begin_at_spot(&stretch, &cuts, &spot));
    assert_int_equal(stretch.first, cuts.base + 1);
    assert_int_not_equal(strcmp(next(&stretch, &cuts, &now), "over"), 0);
    assert_true(stretch.is_known);
    assert_string_equal(stretch.after_cut, "0");
    rt_stretch_release(&stretch);
    rt_cuts_release(&cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sees_as_postgres_does),
        cmocka_unit_test(finds_the_first_read_that_sees_a_transaction),
        cmocka_unit_test(forgets_the_oldest),
        cmocka_unit_test(goes_from_the_last_row_to_live_delivery),
        cmocka_unit_test(goes_on_when_cuts_are_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
