/* tests/unit/test_scr_cdp.c - the DevTools pipe against a peer in the same process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "scraper/cdp.h"
#include "scraper/cdp_methods.h"
#include "shared/clock.h"

#define PATIENCE_MS 10000

struct answer {
    int count;
    enum df_code code;
    int64_t value;
    char msg[200];
};

struct bench {
    struct scr_loop *loop;
    struct scr_cdp *cdp;
    int to_us, from_us; /* the peer's ends */
    int events, closed;
    char session[64], method[64], event_text[64], closed_why[64];
    size_t event_bytes;
    int answers_before_closed; /* of `watched`, when on_closed came */
    struct answer *watched;
};

static void on_event(void *arg, const char *session_id, const char *method,
                     const struct json_t *params)
{
    struct bench *bench = arg;
    const char *text = json_string_value(json_object_get(params, "text"));

    assert_true(json_is_object(params));
    bench->events++;
    (void)snprintf(bench->session, sizeof bench->session, "%s", session_id);
    (void)snprintf(bench->method, sizeof bench->method, "%s", method);
    (void)snprintf(bench->event_text, sizeof bench->event_text, "%.60s", text != NULL ? text : "");
    bench->event_bytes = json_string_length(json_object_get(params, "text"));
}

static void on_closed(void *arg, const char *reason)
{
    struct bench *bench = arg;
    bench->closed++;
    (void)snprintf(bench->closed_why, sizeof bench->closed_why, "%s", reason);
    if (bench->watched != NULL)
        bench->answers_before_closed = bench->watched->count;
}

static void on_answer(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct answer *answer = arg;
    answer->count++;
    assert_true((result == NULL) != (err == NULL));
    answer->code = err != NULL ? err->code : DF_OK;
    if (result != NULL)
        answer->value = json_integer_value(json_object_get(result, "value"));
    else
        (void)snprintf(answer->msg, sizeof answer->msg, "%s", err->msg);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct scr_cdp_handlers handlers = {bench, on_event, on_closed};
    int in[2], out[2];

    assert_non_null(bench);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
    assert_int_equal(scr_loop_new(&bench->loop, NULL), DF_OK);
    assert_int_equal(scr_cdp_new(&bench->cdp, bench->loop, in[0], out[0], &handlers, NULL), DF_OK);
    bench->to_us = in[1];
    bench->from_us = out[1];
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    scr_cdp_free(bench->cdp);
    if (bench->to_us >= 0)
        (void)close(bench->to_us);
    if (bench->from_us >= 0)
        (void)close(bench->from_us);
    scr_loop_free(bench->loop);
    free(bench);
    return 0;
}

/* Runs the loop until *count is wanted. */
static void run_until(struct bench *bench, const int *count, int wanted)
{
    int64_t give_up_ms = df_clock_mono_ms() + PATIENCE_MS;
    while (*count < wanted && df_clock_mono_ms() < give_up_ms)
        scr_loop_dispatch(bench->loop, 20);
    assert_int_equal(*count, wanted);
}

/* The peer says these bytes; the loop takes them in between, or a long text would not fit. */
static void peer_says_bytes(struct bench *bench, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(bench->to_us, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
        scr_loop_dispatch(bench->loop, 0);
    }
}

static void peer_says(struct bench *bench, const char *message)
{
    peer_says_bytes(bench, message, strlen(message) + 1);
}

static struct scr_cdp_stats stats_of(const struct bench *bench)
{
    struct scr_cdp_stats stats;
    scr_cdp_stats_get(bench->cdp, &stats);
    return stats;
}

/* What the peer got next, up to the NUL, parsed. */
static json_t *peer_hears(struct bench *bench)
{
    char text[4096];
    size_t len = 0;

    do {
        assert_true(len < sizeof text);
        assert_int_equal(recv(bench->from_us, text + len, 1, MSG_DONTWAIT), 1);
    } while (text[len++] != '\0');
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    return root;
}

static void a_command_and_its_answer_find_each_other(void **state)
{
    struct bench *bench = *state;
    struct answer first = {0}, second = {0};

    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 1000, on_answer, &first);
    scr_cdp_send(bench->cdp, "S1", "Page.navigate", json_pack("{s:s}", "url", "https://x.test/"),
                 1000, on_answer, &second);
    json_t *one = peer_hears(bench), *two = peer_hears(bench);
    assert_int_equal(json_object_size(one), 2);
    assert_string_equal(json_string_value(json_object_get(one, "method")), "Browser.getVersion");
    assert_string_equal(json_string_value(json_object_get(two, "sessionId")), "S1");
    assert_string_equal(json_string_value(json_object_get(json_object_get(two, "params"), "url")),
                        "https://x.test/");
    for (int i = 1; i >= 0; i--) { /* answered in the other order */
        char text[100];
        json_t *asked = i == 1 ? two : one;
        (void)snprintf(text, sizeof text, "{\"id\":%d,\"result\":{\"value\":%d}}",
                       (int)json_integer_value(json_object_get(asked, "id")), 10 + i);
        peer_says(bench, text);
    }
    run_until(bench, &first.count, 1);
    run_until(bench, &second.count, 1);
    assert_int_equal(first.value, 10);
    assert_int_equal(second.value, 11);
    json_decref(one);
    json_decref(two);
}

static void the_browsers_refusal_is_an_upstream_error(void **state)
{
    struct bench *bench = *state;
    struct answer answer = {0}, odd = {0};

    scr_cdp_send(bench->cdp, NULL, "Target.closeTarget", NULL, 1000, on_answer, &answer);
    scr_cdp_send(bench->cdp, NULL, "Target.closeTarget", NULL, 1000, on_answer, &odd);
    peer_says(bench, "{\"id\":1,\"error\":{\"code\":-32602,\"message\":\"No target\\u0007\"}}");
    peer_says(bench, "{\"id\":2,\"result\":[]}");
    run_until(bench, &answer.count, 1);
    run_until(bench, &odd.count, 1);
    assert_int_equal(answer.code, DF_EUPSTREAM);
    assert_string_equal(answer.msg, "Target.closeTarget: No target?");
    assert_int_equal(odd.code, DF_EUPSTREAM);
}

static void a_missing_answer_is_a_timeout_and_a_late_one_is_counted(void **state)
{
    struct bench *bench = *state;
    struct answer slow = {0}, patient = {0};

    scr_cdp_send(bench->cdp, "S", "Runtime.evaluate", NULL, 60000, on_answer, &patient);
    scr_cdp_send(bench->cdp, "S", "Runtime.evaluate", NULL, 30, on_answer, &slow);
    run_until(bench, &slow.count, 1);
    assert_int_equal(slow.code, DF_ETIMEOUT);
    peer_says(bench, "{\"id\":2,\"result\":{}}");
    peer_says(bench, "{\"id\":99,\"result\":{}}");
    peer_says(bench, "{\"id\":1,\"result\":{\"value\":3}}");
    run_until(bench, &patient.count, 1);
    assert_int_equal(patient.value, 3);
    assert_int_equal(slow.count, 1);
    assert_int_equal(stats_of(bench).late_replies, 2);
}

static void what_is_not_in_the_table_is_never_sent(void **state)
{
    static const char *const acts[] = {"Input.dispatchMouseEvent",
                                       "Input.insertText",
                                       "Network.setCookie",
                                       "Page.crash",
                                       "",
                                       "Page.navigat",
                                       "Page.navigateX"};
    struct bench *bench = *state;
    char byte;

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct answer answer = {0};
        scr_cdp_send(bench->cdp, "S", acts[i], json_object(), 1000, on_answer, &answer);
        assert_int_equal(answer.count, 0); /* never from inside the call */
        run_until(bench, &answer.count, 1);
        assert_int_equal(answer.code, DF_EBUG);
    }
    assert_int_equal(recv(bench->from_us, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(stats_of(bench).commands, 0);
}

static void tables_are_found_by_whole_names(void **state)
{
    (void)state;
    assert_string_equal(scr_cdp_command("Browser.closeX", 13), "Browser.close");
    assert_string_equal(scr_cdp_command("Target.setDiscoverTargets", 25),
                        "Target.setDiscoverTargets");
    assert_null(scr_cdp_command("Browser.clos", 12));
    assert_string_equal(scr_cdp_event("Fetch.requestPaused", 19), "Fetch.requestPaused");
    assert_string_equal(scr_cdp_event("Target.targetInfoChanged", 24), "Target.targetInfoChanged");
    assert_null(scr_cdp_event("Network.dataReceived", 20));
}

static void wanted_events_arrive_with_session_and_params(void **state)
{
    struct bench *bench = *state;

    peer_says(bench, "{\"method\":\"Runtime.bindingCalled\",\"params\":{\"text\":\"hi\"},"
                     "\"sessionId\":\"ABC\"}");
    run_until(bench, &bench->events, 1);
    assert_string_equal(bench->session, "ABC");
    assert_string_equal(bench->method, "Runtime.bindingCalled");
    assert_string_equal(bench->event_text, "hi");
    peer_says(bench, "{\"method\":\"Target.targetDestroyed\"}"); /* no params: an empty object */
    run_until(bench, &bench->events, 2);
    assert_string_equal(bench->session, "");
    /* another order of keys, blanks: not what Chromium writes today, but the same JSON */
    peer_says(bench, " { \"params\" : {\"text\":\"x\"}, \"method\" : \"Page.loadEventFired\" }");
    run_until(bench, &bench->events, 3);
    assert_string_equal(bench->event_text, "x");
}

static void other_events_are_dropped_before_they_are_parsed(void **state)
{
    struct bench *bench = *state;

    peer_says(bench, "{\"method\":\"Network.dataReceived\", this is not even JSON");
    peer_says(bench, "{\"params\":{},\"method\":\"Network.dataReceived\"}");
    scr_loop_dispatch(bench->loop, 0);
    struct scr_cdp_stats stats = stats_of(bench);
    assert_int_equal(stats.messages_in, 2);
    assert_int_equal(stats.events_ignored, 2);
    assert_int_equal(stats.malformed, 0);
    assert_int_equal(bench->events, 0);
}

static void nonsense_is_counted_and_changes_nothing(void **state)
{
    static const char *const nonsense[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"id\":\"1\"}",
        "\xff\xfe",
        "{\"method\":5}",
        "{\"method\":\"Page.loadEventFired\",\"params\":[]}",
        "{\"method\":\"Page.loadEventFired\",\"params\":{},\"sessionId\":"
        "\"0123456789012345678901234567890123456789012345678901234567890123\"}",
    };
    struct bench *bench = *state;
    struct answer answer = {0};

    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 5000, on_answer, &answer);
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        peer_says(bench, nonsense[i]);
    char deep[2000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    peer_says(bench, deep);
    peer_says(bench, "{\"id\":1,\"result\":{\"value\":7}}");
    run_until(bench, &answer.count, 1);
    assert_int_equal(answer.value, 7);
    assert_int_equal(bench->events, 0);
    assert_int_equal(stats_of(bench).malformed, sizeof nonsense / sizeof nonsense[0] + 1);
}

static void messages_may_come_in_any_pieces(void **state)
{
    static const char talk[] = "{\"method\":\"Page.loadEventFired\",\"params\":{\"text\":\"a\"}}\0"
                               "{\"method\":\"Network.dataReceived\",\"params\":{}}\0"
                               "{\"method\":\"Page.loadEventFired\",\"params\":{\"text\":\"b\"}}";
    struct bench *bench = *state;

    for (size_t cut = 1; cut < sizeof talk; cut++) {
        int before = bench->events;
        peer_says_bytes(bench, talk, cut);
        peer_says_bytes(bench, talk + cut, sizeof talk - cut);
        run_until(bench, &bench->events, before + 2);
        assert_string_equal(bench->event_text, "b");
    }
    for (size_t i = 0; i < sizeof talk; i++)
        peer_says_bytes(bench, talk + i, 1);
    run_until(bench, &bench->events, 2 * (int)sizeof talk);
    assert_int_equal(stats_of(bench).malformed, 0);
}

/* An event whose text has this many bytes. */
static char *long_event(size_t text_bytes, size_t *len)
{
    static const char head[] = "{\"method\":\"Page.loadEventFired\",\"params\":{\"text\":\"",
                      tail[] = "\"}}";
    char *event = malloc(sizeof head + text_bytes + sizeof tail);

    assert_non_null(event);
    memcpy(event, head, sizeof head - 1);
    memset(event + sizeof head - 1, 'x', text_bytes);
    memcpy(event + sizeof head - 1 + text_bytes, tail, sizeof tail); /* with the NUL */
    *len = sizeof head - 1 + text_bytes + sizeof tail;
    return event;
}

static void a_picture_of_five_megabytes_arrives_whole(void **state)
{
    struct bench *bench = *state;
    size_t len;
    char *event = long_event(5u << 20, &len);

    peer_says_bytes(bench, event, len);
    free(event);
    run_until(bench, &bench->events, 1);
    assert_int_equal(bench->event_bytes, 5u << 20);
}

static void a_message_over_the_limit_is_dropped_and_the_next_one_read(void **state)
{
    struct bench *bench = *state;
    static const char after[] = "{\"method\":\"Page.loadEventFired\",\"params\":{\"text\":\"ok\"}}";
    size_t len;
    char *event = long_event(SCR_CDP_MESSAGE_MAX_BYTES, &len);

    peer_says_bytes(bench, event, len);
    free(event);
    peer_says_bytes(bench, after, sizeof after);
    run_until(bench, &bench->events, 1);
    assert_string_equal(bench->event_text, "ok");
    assert_int_equal(stats_of(bench).oversized, 1);
    assert_int_equal(stats_of(bench).malformed, 0);
}

static void at_the_end_everybody_is_answered_first(void **state)
{
    struct bench *bench = *state;
    struct answer waiting = {0}, after = {0};

    bench->watched = &waiting;
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, on_answer, &waiting);
    (void)close(bench->to_us);
    bench->to_us = -1;
    run_until(bench, &bench->closed, 1);
    assert_int_equal(waiting.count, 1);
    assert_int_equal(waiting.code, DF_EUPSTREAM);
    assert_int_equal(bench->answers_before_closed, 1);
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, on_answer, &after);
    assert_int_equal(after.count, 0);
    run_until(bench, &after.count, 1);
    assert_int_equal(after.code, DF_EUPSTREAM);
    assert_int_equal(bench->closed, 1);
}

static void send_again(void *arg, const struct json_t *result, const struct df_error *err)
{
    struct bench *bench = arg;
    (void)result;
    assert_int_equal(err->code, DF_EUPSTREAM);
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, send_again, bench);
}

static void who_always_tries_again_does_not_hold_up_the_end(void **state)
{
    struct bench *bench = *state;

    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, send_again, bench);
    (void)close(bench->to_us);
    bench->to_us = -1;
    run_until(bench, &bench->closed, 1);
}

static void a_closed_command_side_is_an_end_too(void **state)
{
    struct bench *bench = *state;
    struct answer answer = {0};

    (void)close(bench->from_us);
    bench->from_us = -1;
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, on_answer, &answer);
    assert_int_equal(answer.count, 0);
    assert_int_equal(bench->closed, 0);
    run_until(bench, &bench->closed, 1);
    assert_int_equal(answer.code, DF_EUPSTREAM);
}

static void who_waits_for_an_abandoned_browser_is_told(void **state)
{
    struct bench *bench = *state;
    struct answer waiting = {0}, after = {0};

    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, on_answer, &waiting);
    scr_cdp_abandon(bench->cdp, "it hangs");
    assert_int_equal(waiting.count, 1);
    assert_int_equal(waiting.code, DF_EUPSTREAM);
    assert_string_equal(waiting.msg, "Browser.getVersion: it hangs");
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 60000, on_answer, &after);
    assert_int_equal(after.count, 0);
    scr_cdp_abandon(bench->cdp, "again");
    assert_int_equal(after.count, 1);
    assert_int_equal(after.code, DF_EUPSTREAM);
    assert_int_equal(bench->closed, 0);
}

static void who_is_forgotten_hears_nothing(void **state)
{
    struct bench *bench = *state;
    struct answer gone = {0}, here = {0};

    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 5000, on_answer, &gone);
    scr_cdp_send(bench->cdp, "", "Browser.getVersion", NULL, 5000, on_answer, &here);
    scr_cdp_forget(bench->cdp, &gone);
    peer_says(bench, "{\"id\":1,\"result\":{}}");
    peer_says(bench, "{\"id\":2,\"result\":{}}");
    run_until(bench, &here.count, 1);
    assert_int_equal(gone.count, 0);
    assert_int_equal(stats_of(bench).late_replies, 0);
}

static void a_peer_that_reads_slowly_gets_everything_in_order(void **state)
{
    enum { COUNT = 400, PAD = 20000 };
    struct bench *bench = *state;
    static char pad[PAD + 1], heard[PAD + 200];
    size_t len = 0;

    memset(pad, 'p', PAD);
    for (int i = 0; i < COUNT; i++) /* 8 MB: far more than the socket holds */
        scr_cdp_send(bench->cdp, "S", "Runtime.evaluate", json_pack("{s:s}", "expression", pad),
                     60000, NULL, NULL);
    for (int next = 1; next <= COUNT;) {
        char bytes[65536];
        ssize_t n = recv(bench->from_us, bytes, sizeof bytes, MSG_DONTWAIT);
        scr_loop_dispatch(bench->loop, n > 0 ? 0 : 20);
        for (ssize_t i = 0; i < n; i++) {
            assert_true(len < sizeof heard);
            heard[len++] = bytes[i];
            if (bytes[i] != '\0')
                continue;
            json_t *root = json_loads(heard, 0, NULL);
            assert_int_equal(json_integer_value(json_object_get(root, "id")), next++);
            json_decref(root);
            len = 0;
        }
    }
    assert_int_equal(len, 0);
}

static void a_peer_that_never_reads_is_a_broken_pipe(void **state)
{
    struct bench *bench = *state;
    size_t len = 4u << 20;
    char *pad = malloc(len + 1);

    assert_non_null(pad);
    memset(pad, 'p', len);
    pad[len] = '\0';
    for (int i = 0; i < 20 && bench->closed == 0; i++) {
        scr_cdp_send(bench->cdp, "S", "Runtime.evaluate", json_pack("{s:s}", "expression", pad),
                     60000, NULL, NULL);
        scr_loop_dispatch(bench->loop, 0);
    }
    free(pad);
    run_until(bench, &bench->closed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_command_and_its_answer_find_each_other),
        TEST(the_browsers_refusal_is_an_upstream_error),
        TEST(a_missing_answer_is_a_timeout_and_a_late_one_is_counted),
        TEST(what_is_not_in_the_table_is_never_sent),
        cmocka_unit_test(tables_are_found_by_whole_names),
        TEST(wanted_events_arrive_with_session_and_params),
        TEST(other_events_are_dropped_before_they_are_parsed),
        TEST(nonsense_is_counted_and_changes_nothing),
        TEST(messages_may_come_in_any_pieces),
        TEST(a_picture_of_five_megabytes_arrives_whole),
        TEST(a_message_over_the_limit_is_dropped_and_the_next_one_read),
        TEST(at_the_end_everybody_is_answered_first),
        TEST(who_always_tries_again_does_not_hold_up_the_end),
        TEST(a_closed_command_side_is_an_end_too),
        TEST(who_waits_for_an_abandoned_browser_is_told),
        TEST(who_is_forgotten_hears_nothing),
        TEST(a_peer_that_reads_slowly_gets_everything_in_order),
        TEST(a_peer_that_never_reads_is_a_broken_pipe),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
