/* tests/unit/test_scr_config.c - settings of the daemon: defaults, and what must fit together. */
#include "scraper/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECRET "0123456789abcdef0123456789abcdef"

/* "NAME=value" pairs, NULL at the end. */
static void set_all(const char *const *pairs)
{
    static const char *const around[] = {"RENDER", "DEALFLOW_ENV_FILE", "STATE_DIRECTORY",
                                         "XDG_STATE_HOME"};
    char name[64];

    for (size_t i = 0; i < scr_config_key_count; i++)
        (void)unsetenv(scr_config_keys[i].name);
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++)
        (void)unsetenv(around[i]);
    assert_int_equal(setenv("HOME", "/home/ann", 1), 0);
    for (; *pairs != NULL; pairs++) {
        size_t len = strcspn(*pairs, "=");
        assert_true(len < sizeof name);
        memcpy(name, *pairs, len);
        name[len] = '\0';
        assert_int_equal(setenv(name, *pairs + len + 1, 1), 0);
    }
}

static void fills_every_setting(void **state)
{
    static const char *const pairs[] = {"SUPABASE_SERVICE_ROLE_KEY=" SECRET, NULL};
    struct scr_config config;
    struct df_error err = {0};

    (void)state;
    set_all(pairs);
    if (scr_config_load(&config, &err) != DF_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(config.api_auth, SCR_AUTH_REQUIRED);
    assert_string_equal(config.bind, "127.0.0.1");
    assert_int_equal(config.port, 3001);
    assert_int_equal(config.poll_interval_ms, 1500);
    assert_int_equal(config.dedup_max, 10000);
    assert_int_equal(config.dedup_ttl_ms, 300000);
    assert_int_equal(config.backlog, SCR_ON);
    assert_int_equal(config.allow_private, SCR_OFF);
    assert_int_equal(config.save_screenshot, SCR_OFF);
    assert_string_equal(config.allowed_hosts, "whatnot.com");
    assert_string_equal(config.outbox_path, "/home/ann/.local/state/dealflow/outbox.sqlite");
    assert_string_equal(config.profile_root, "/home/ann/.local/state/dealflow/profiles");
    assert_string_equal(config.screenshot_dir, "/home/ann/.local/state/dealflow/screenshots");
    assert_null(config.supabase_url);
    scr_config_release(&config);
}

static void finds_the_state_folder(void **state)
{
    static const char *const systemd[] = {"API_AUTH=off", "STATE_DIRECTORY=/var/lib/a:/var/lib/b",
                                          "XDG_STATE_HOME=/x", NULL};
    static const char *const xdg[] = {"API_AUTH=off", "XDG_STATE_HOME=/x", NULL};
    static const char *const homeless[] = {"API_AUTH=off", "HOME=/", NULL};
    static const char *const chosen[] = {"API_AUTH=off", "OUTBOX_PATH=/tmp/o", NULL};
    /* clang-format off */
    const struct { const char *const *pairs; const char *want; } rows[] = {
        {systemd, "/var/lib/a/outbox.sqlite"}, {xdg, "/x/dealflow/outbox.sqlite"},
        {homeless, "/var/lib/dealflow/outbox.sqlite"}, {chosen, "/tmp/o"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_config config;
        set_all(rows[i].pairs);
        assert_int_equal(scr_config_load(&config, NULL), DF_OK);
        assert_string_equal(config.outbox_path, rows[i].want);
        scr_config_release(&config);
    }
}

static void lets_nobody_in_without_a_token_unless_told(void **state)
{
    /* clang-format off */
    static const struct {
        const char *pairs[5];
        const char *why; /* NULL: accepted */
        int want_auth; const char *want_bind;
    } rows[] = {
        {{NULL}, "set SUPABASE_SERVICE_ROLE_KEY", 0, NULL},
        {{NULL}, "API_AUTH=off for a local try", 0, NULL},
        {{"API_AUTH=required"}, "set SUPABASE_SERVICE_ROLE_KEY", 0, NULL},
        {{"API_AUTH=off"}, NULL, SCR_AUTH_OFF, "127.0.0.1"},
        {{"API_AUTH=off", "BIND=localhost"}, NULL, SCR_AUTH_OFF, "127.0.0.1"},
        {{"API_AUTH=off", "BIND=127.8.8.8"}, NULL, SCR_AUTH_OFF, "127.8.8.8"},
        {{"API_AUTH=off", "BIND=::1"}, NULL, SCR_AUTH_OFF, "::1"},
        {{"API_AUTH=off", "BIND=0.0.0.0"}, "let everybody in", 0, NULL},
        {{"API_AUTH=off", "BIND=::"}, "let everybody in", 0, NULL},
        {{"API_AUTH=off", "RENDER=true"}, "let everybody in", 0, NULL},
        {{"RENDER=true"}, "nobody could call", 0, NULL},
        {{"RENDER=true", "JWT_SECRET=" SECRET}, NULL, SCR_AUTH_REQUIRED, "0.0.0.0"},
        {{"RENDER=true", "BIND=10.0.0.1", "API_KEYS=sb_secret_1=service_role"}, NULL, SCR_AUTH_REQUIRED, "10.0.0.1"},
        {{"JWKS_FILE=/nowhere"}, NULL, SCR_AUTH_REQUIRED, "127.0.0.1"},
        {{"API_AUTH=off", "BIND=eth0"}, "BIND: \"eth0\" is no IP address", 0, NULL},
        {{"API_AUTH=none"}, "API_AUTH", 0, NULL},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_config config;
        struct df_error err = {0};
        set_all(rows[i].pairs);
        enum df_code rc = scr_config_load(&config, &err);
        if ((rc == DF_OK) != (rows[i].why == NULL))
            fail_msg("row %zu: %s", i, rc == DF_OK ? "accepted" : err.msg);
        if (rc != DF_OK) {
            if (strstr(err.msg, rows[i].why) == NULL)
                fail_msg("row %zu: \"%s\"", i, err.msg);
            assert_null(config.bind);
            continue;
        }
        assert_int_equal(config.api_auth, rows[i].want_auth);
        assert_string_equal(config.bind, rows[i].want_bind);
        scr_config_release(&config);
    }
}

static void refuses_what_does_not_fit_together(void **state)
{
    /* clang-format off */
    static const struct { const char *pairs[5]; const char *why; } rows[] = {
        {{"SUPABASE_URL=http://127.0.0.1:8080"}, "SUPABASE_SERVICE_ROLE_KEY"},
        {{"SUPABASE_URL=example.com", "SUPABASE_SERVICE_ROLE_KEY=" SECRET}, "SUPABASE_URL must begin"},
        {{"LOG_LEVEL=loud"}, "LOG_LEVEL"},
        {{"DELIVERY_PARALLEL=2", "DELIVERY_PER_STREAM=3"}, "DELIVERY_PER_STREAM"},
        {{"SCRAPER_BASE_URL=https://example.com/"}, "SCRAPER_BASE_URL: example.com:443 is not one of"},
        {{"SCRAPER_BASE_URL=http://whatnot.com/"}, "SCRAPER_BASE_URL: "},
        {{"POLL_INTERVAL_MS=1,500"}, "POLL_INTERVAL_MS"},
        {{"SUPABASE_SERVICE_ROLE_KEY=short"}, "SUPABASE_SERVICE_ROLE_KEY: the value (5 bytes, not shown)"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct scr_config config;
        struct df_error err = {0};
        set_all(rows[i].pairs);
        (void)setenv("API_AUTH", "off", 1);
        assert_int_equal(scr_config_load(&config, &err), DF_EINPUT);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: \"%s\"", i, err.msg);
    }
}

static void takes_the_guides_ways_to_say_yes(void **state)
{
    static const struct {
        const char *pair;
        int want;
    } rows[] = {{"DEALFLOW_SAVE_SCREENSHOT=true", SCR_ON},
                {"DEALFLOW_SAVE_SCREENSHOT=1", SCR_ON},
                {"DEALFLOW_SAVE_SCREENSHOT=false", SCR_OFF},
                {"DEALFLOW_SAVE_SCREENSHOT=0", SCR_OFF}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const pairs[] = {"API_AUTH=off", rows[i].pair, NULL};
        struct scr_config config;
        set_all(pairs);
        assert_int_equal(scr_config_load(&config, NULL), DF_OK);
        assert_int_equal(config.save_screenshot, rows[i].want);
        scr_config_release(&config);
    }
}

static void the_table_is_sorted_and_says_what_each_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < scr_config_key_count; i++) {
        const struct df_config_key *key = &scr_config_keys[i];
        if (i > 0 && strcmp(scr_config_keys[i - 1].name, key->name) >= 0)
            fail_msg("%s is not in alphabetical order", key->name);
        if (strlen(key->help) < 10 || strchr(key->help, '\n') != NULL)
            fail_msg("%s has no help of one line", key->name);
        bool is_secret = strstr(key->name, "KEY") != NULL || strstr(key->name, "SECRET") != NULL;
        assert_int_equal(key->flags == DF_CONFIG_SECRET, is_secret);
        if (key->offset >= sizeof(struct scr_config))
            fail_msg("%s lies outside", key->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_every_setting),
        cmocka_unit_test(finds_the_state_folder),
        cmocka_unit_test(lets_nobody_in_without_a_token_unless_told),
        cmocka_unit_test(refuses_what_does_not_fit_together),
        cmocka_unit_test(takes_the_guides_ways_to_say_yes),
        cmocka_unit_test(the_table_is_sorted_and_says_what_each_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
