/* tests/unit/test_rt_hub_missed.c - x_after: what a client missed, then what is new. */
#include "hub_fakes.h"

#define AFTER(id)                                                                                  \
    "{\"presence\":{\"enabled\":false},\"postgres_changes\":[{\"event\":\"INSERT\","               \
    "\"schema\":\"public\",\"table\":\"chat_messages\",\"x_after\":\"" id "\"}]}"

static struct rt_connection *client;
static uint64_t search; /* the token of the search going on */

static void begin(void)
{
    client = open_client(RT_VSN_2);
    join(client, "room", AFTER("3"));
    assert_non_null(strstr(hear(client), "\"x_after\":\"3\",\"id\":1}]}"));
    assert_non_null(strstr(hear(client), "Subscribed to PostgreSQL"));
    assert_int_equal(last_catch_up.count, 1);
    assert_string_equal(last_catch_up.what, "3");
    assert_int_equal(last_catch_up.version, last_plan->version);
    search = last_catch_up.token;
}

static void missed(uint64_t token, const char *id)
{
    (void)put_row("INSERT", id);
    event_last->type = RT_EVENT_CATCH_UP;
    event_last->token = token;
    event_last->is_ok = true;
    event_last->row->filter_count = event_last->row->claims_count = 0;
    run();
}

static void found_all(uint64_t token, const char *error)
{
    struct rt_changes_event *event = put_event(RT_EVENT_CATCH_UP);
    event->token = token;
    event->is_last = true;
    event->is_ok = error[0] == '\0';
    (void)snprintf(event->error, sizeof event->error, "%s", error);
    run();
}

static void live(const char *id)
{
    (void)put_row("INSERT", id);
    run();
}

/* The ids of the rows that came, as "4 5 ". */
static const char *rows_heard(void)
{
    static char text[4096];
    size_t len = 0;

    text[0] = '\0';
    for (const char *frame = hear(client); frame[0] != '\0'; frame = hear(client)) {
        const char *record = strstr(frame, "\"record\":{\"id\": ");
        int id_len = record == NULL ? 0 : (int)strcspn(record + 16, ",");
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s ", id_len,
                                record == NULL ? "" : record + 16);
    }
    client->queued_bytes = 0;
    return text;
}

static void missed_rows_come_first(void **state)
{
    (void)state;
    begin();
    live("6");
    missed(search, "4");
    live("7");
    missed(search, "5");
    assert_string_equal(rows_heard(), "4 5 ");
    found_all(search, "");
    assert_string_equal(rows_heard(), "6 7 ");
    live("8");
    assert_string_equal(rows_heard(), "8 ");
    close_client(client);
}

static void rows_before_the_search_are_found_by_it(void **state)
{
    (void)state;
    client = open_client(RT_VSN_2);
    join(client, "other",
         "{\"presence\":{\"enabled\":false},\"postgres_changes\":[{\"event\":\"INSERT\","
         "\"schema\":\"public\",\"table\":\"chat_messages\"}]}");
    hear_all(client);
    hold_plans = true;
    join(client, "room", AFTER("3"));
    hear_all(client);
    assert_int_equal(last_catch_up.count, 0); /* live delivery has no known beginning yet */
    live("4");
    assert_string_equal(rows_heard(), "4 "); /* the other channel's */
    hold_plans = false;
    run();
    assert_int_equal(last_catch_up.count, 1);
    missed(last_catch_up.token, "4");
    found_all(last_catch_up.token, "");
    assert_string_equal(rows_heard(), "4 ");
    live("5");
    assert_string_equal(rows_heard(), "5 5 ");
    close_client(client);
}

static void what_is_incomplete_is_told(void **state)
{
    (void)state;
    begin();
    found_all(search, "too long ago");
    assert_non_null(strstr(hear(client), "\"status\":\"error\",\"message\":\"too long ago\""));
    live("7");
    assert_string_equal(rows_heard(), "7 ");
    close_client(client);
}

static void a_slow_reader_gets_all_in_its_time(void **state)
{
    char id[8];
    (void)state;
    begin();
    config.queue_max_bytes = 3000;
    hear_all(client);
    for (int i = 4; i < 30; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        missed(search, id);
    }
    assert_int_equal(last_cancel.token, search); /* more than may wait was found */
    live("30");                                  /* will be found by the next search */
    assert_true(client->queued_bytes < 3000);
    int last = 3, wanted = 3, used = 0;
    for (int i = 0; i < 10; i++) {
        const char *at = rows_heard();
        for (; sscanf(at, "%d %n", &last, &used) == 1; at += used)
            assert_int_equal(last, ++wanted);
        tick(250);
    }
    assert_true(last > 10 && last < 30);
    assert_int_equal(last_catch_up.count, 2);
    assert_int_equal(atoi(last_catch_up.what), last); /* goes on from the last row it has */
    missed(search, "99");                             /* of the search that was ended */
    assert_string_equal(rows_heard(), "");
    close_client(client);
}

static void another_person_is_searched_for_anew(void **state)
{
    (void)state;
    begin();
    missed(search, "4");
    say(client, "[\"1\",\"5\",\"realtime:room\",\"access_token\",{\"access_token\":\"authenticated "
                "ann 60\"}]");
    assert_int_equal(last_cancel.token, search);
    assert_int_equal(last_catch_up.count, 2);
    assert_string_equal(last_catch_up.what, "4");
    assert_non_null(strstr(last_catch_up.role, "ann"));
    close_client(client);
}

static void rows_left_out_after_expiry_are_missed_rows(void **state)
{
    (void)state;
    client = open_client(RT_VSN_2);
    say(client, "[\"1\",\"1\",\"realtime:room\",\"phx_join\",{\"access_token\":\"anon ann 10\","
                "\"config\":" AFTER("3") "}]");
    found_all(last_catch_up.token, "");
    live("4");
    tick(11000);
    live("5");
    hear_all(client);
    say(client,
        "[\"1\",\"5\",\"realtime:room\",\"access_token\",{\"access_token\":\"anon ann 60\"}]");
    assert_int_equal(last_catch_up.count, 2);
    assert_int_equal(last_spot.cut, 7); /* of row 4, the last one it has */
    assert_int_equal(last_spot.seq, 4);
    assert_int_equal(last_spot.n, 1);
    assert_false(last_spot.is_live); /* row 5 was left out */
    close_client(client);
}

static void leaving_ends_the_search(void **state)
{
    (void)state;
    begin();
    missed(search, "4");
    hear_all(client);
    say(client, "[\"1\",\"2\",\"realtime:room\",\"phx_leave\",{}]");
    assert_int_equal(last_cancel.token, search);
    hear_all(client);
    missed(search, "5");
    found_all(search, "");
    assert_string_equal(rows_heard(), "");
    close_client(client);
}

static void live_rows_that_wait_are_bounded(void **state)
{
    char id[8];
    (void)state;
    begin();
    config.queue_max_bytes = 3000;
    for (int i = 10; i < 40; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        live(id);
    }
    assert_true(last_cancel.count >= 1);
    tick(250);
    assert_true(last_catch_up.count >= 2);
    assert_string_equal(last_catch_up.what, "3"); /* none was delivered: from where it was */
    close_client(client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_hub, tear_down_hub)
    const struct CMUnitTest tests[] = {
        TEST(missed_rows_come_first),
        TEST(rows_before_the_search_are_found_by_it),
        TEST(what_is_incomplete_is_told),
        TEST(a_slow_reader_gets_all_in_its_time),
        TEST(another_person_is_searched_for_anew),
        TEST(rows_left_out_after_expiry_are_missed_rows),
        TEST(leaving_ends_the_search),
        TEST(live_rows_that_wait_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
