/* tests/unit/test_scr_rules.c - the rules file: what is taken, what is refused, what it answers. */
#include "scraper/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct scr_rules *rules;

static int load_rules(void **state)
{
    struct df_error err;

    (void)state;
    return scr_rules_load(&rules, RULES_FILE, &err) == DF_OK ? 0 : -1;
}

static int free_rules(void **state)
{
    (void)state;
    scr_rules_free(rules);
    return 0;
}

static void knows_the_chat_socket(void **state)
{
    /* clang-format off */
    static const struct { const char *url; bool want; } rows[] = {
        {"wss://www.whatnot.com/services/live/socket/websocket?vsn=2.0.0", true},
        {"ws://127.0.0.1:8099/services/live/socket/websocket", true},
        {"wss://h/services/auction/socket/websocket?x=/services/live/socket/websocket", false},
        {"wss://h/a/services/live/socket/websocket", false},
        {"wss://h/services/live/socket/websocket/x", false},
        {"wss://h", false},
        {"wss://h?/services/live/socket/websocket", false},
        {"/services/live/socket/websocket", false},
        {"", false},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (scr_rules_is_live_socket(rules, rows[i].url) != rows[i].want)
            fail_msg("row %zu: %s", i, rows[i].url);
    }
}

static void knows_a_wall(void **state)
{
    (void)state;
    assert_string_equal(scr_rules_wall(rules, "Just a MOMENT..."), "just a moment");
    assert_string_equal(scr_rules_wall(rules, "Access denied You do not"), "access denied");
    assert_null(scr_rules_wall(rules, "VINTAGE VAULT deals"));
    assert_null(scr_rules_wall(rules, ""));
}

static void lists_what_is_blocked(void **state)
{
    const char *const *blocked = scr_rules_blocked(rules);
    size_t count = 0;

    (void)state;
    assert_string_equal(blocked[0], "*.png");
    while (blocked[count] != NULL)
        assert_int_equal(blocked[count++][0], '*');
    assert_true(count > 20);
}

static void puts_scripts_together(void **state)
{
    static const char *const parts[] = {
        "'use strict'",      "const rules = {",      "const readCount =",
        "const readRow =",   "const compareLists =", "const findList =",
        "const readFacts =", "const readCells =",    "globalThis.dealflow ="};
    const char *script = scr_rules_page_script(rules);
    const char *at = script;

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        at = strstr(at, parts[i]);
        if (at == NULL)
            fail_msg("%s is missing or too early", parts[i]);
    }
    assert_string_equal(script + strlen(script) - 4, "})()");
    assert_non_null(strstr(script, "\"row_selectors\":[\"[data-testid=\\\"chat-message\\\"]\"]"));
    assert_null(strstr(script, "\"//"));         /* remarks stay at home */
    assert_null(strstr(script, "blocked_urls")); /* and what is not for pages */
    assert_non_null(strstr(scr_rules_discover_script(rules), "rules.show_link"));
    assert_non_null(strstr(scr_rules_discover_script(rules), "const readCount ="));
}

/* Writes the rules with one piece of text in place of another and loads that. */
static enum df_code load_changed(const char *from, const char *to, struct df_error *err)
{
    static char text[65536];
    char path[] = "/tmp/dealflow-rules-XXXXXX";
    struct scr_rules *changed;
    FILE *file = fopen(RULES_FILE, "rb");

    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[len] = '\0';
    char *at = strstr(text, from);
    assert_non_null(at);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    file = fdopen(fd, "wb");
    assert_non_null(file);
    assert_true(fprintf(file, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    assert_int_equal(fclose(file), 0);
    enum df_code rc = scr_rules_load(&changed, path, err);
    assert_int_equal(unlink(path), 0);
    scr_rules_free(changed);
    return rc;
}

static void names_the_key_at_fault(void **state)
{
    /* clang-format off */
    static const struct { const char *from, *to, *want; } rows[] = {
        {"\"wall_texts\"", "\"wall_text\"", "wall_text: unknown key"},
        {"\"badges\"", "\"//b\"", "badges: missing"},
        {"\"*.png\"", "7", "blocked_urls: entry 1 is no text"},
        {"\"*.png?*\"", "\"\"", "blocked_urls: entry 2 is no text"},
        {"\"role-log\"", "\"role\"", "strategies: unknown entry \"role\""},
        {"\"mod\": \"moderator\"", "\"mod\": \"king\"", "badges: \"mod\" is expected"},
        {"[\"/services/live/socket/websocket\"]", "{}", "socket_paths: a list is expected"},
        {"{", "[", "Invalid JSON"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct df_error err;
        if (load_changed(rows[i].from, rows[i].to, &err) != DF_EINPUT ||
            strstr(err.msg, rows[i].want) == NULL)
            fail_msg("row %zu: %s", i, err.msg);
    }
}

static void takes_patterns_with_stars(void **state)
{
    /* clang-format off */
    static const struct { const char *pattern, *path; bool want; } rows[] = {
        {"/live/*/websocket", "/live/a/b/websocket", true},
        {"/live/*/websocket", "/live/websocket", false},
        {"*/websocket", "/x/websocket", true},
        {"/live*", "/live", true},
        {"*a*b", "/aab", true},
        {"*a*b", "/aaba", false},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[4096], url[64], path[] = "/tmp/dealflow-rules-XXXXXX";
        struct scr_rules *own;
        struct df_error err;
        FILE *from = fopen(RULES_FILE, "rb");
        int fd = mkstemp(path);
        assert_true(fd >= 0 && from != NULL);
        FILE *to = fdopen(fd, "wb");
        while (fgets(text, sizeof text, from) != NULL) {
            if (strstr(text, "\"socket_paths\":") != NULL)
                (void)snprintf(text, sizeof text, "\"socket_paths\": [\"%s\"],", rows[i].pattern);
            assert_true(fputs(text, to) >= 0);
        }
        (void)fclose(from);
        assert_int_equal(fclose(to), 0);
        assert_int_equal(scr_rules_load(&own, path, &err), DF_OK);
        assert_int_equal(unlink(path), 0);
        (void)snprintf(url, sizeof url, "wss://h%s?q", rows[i].path);
        if (scr_rules_is_live_socket(own, url) != rows[i].want)
            fail_msg("row %zu", i);
        scr_rules_free(own);
    }
}

static void says_when_there_is_no_file(void **state)
{
    struct scr_rules *none;
    struct df_error err;

    (void)state;
    assert_int_equal(scr_rules_load(&none, "/nowhere/rules.json", &err), DF_ENOTFOUND);
    assert_null(none);
    assert_non_null(strstr(err.msg, "/nowhere/rules.json: "));
}

static void finds_the_file_beside_the_program(void **state)
{
    struct scr_rules *installed;
    struct df_error err;

    (void)state;
    if (scr_rules_load(&installed, NULL, &err) != DF_OK)
        fail_msg("%s", err.msg);
    scr_rules_free(installed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_the_chat_socket),
        cmocka_unit_test(knows_a_wall),
        cmocka_unit_test(lists_what_is_blocked),
        cmocka_unit_test(puts_scripts_together),
        cmocka_unit_test(names_the_key_at_fault),
        cmocka_unit_test(takes_patterns_with_stars),
        cmocka_unit_test(says_when_there_is_no_file),
        cmocka_unit_test(finds_the_file_beside_the_program),
    };

    return cmocka_run_group_tests(tests, load_rules, free_rules);
}
