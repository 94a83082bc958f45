/* tests/unit/test_rt_config.c - settings of the gateway: defaults, and what must fit together. */
#include "realtime/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define ENOUGH "DATABASE_URL=dbname=x", "JWT_SECRET=" SECRET

/* "NAME=value" pairs, NULL at the end. */
static void set_all(const char *const *pairs)
{
    char name[64];

    for (size_t i = 0; i < rt_config_key_count; i++)
        (void)unsetenv(rt_config_keys[i].name);
    (void)unsetenv("DEALFLOW_ENV_FILE");
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
    static const char *const pairs[] = {ENOUGH, NULL};
    struct rt_config config;
    struct df_error err = {0};

    (void)state;
    set_all(pairs);
    if (rt_config_load(&config, &err) != DF_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(config.database_url, "dbname=x");
    assert_string_equal(config.listen, "127.0.0.1:4000");
    assert_null(config.metrics_listen);
    assert_int_equal(config.clients_max, 10000);
    assert_int_equal(config.channels_max, 100);
    assert_int_equal(config.joins_per_10s, 100);
    assert_int_equal(config.messages_per_s, 100);
    assert_int_equal(config.presence_per_s, 20);
    assert_int_equal(config.frame_max_bytes, 5000000);
    assert_int_equal(config.broadcast_max_bytes, 3000000);
    assert_int_equal(config.queue_max_bytes, 4 << 20);
    assert_int_equal(config.idle_ms, 60000);
    assert_int_equal(config.refuse_delay_ms, 1000);
    assert_int_equal(config.refuse_waiting_max, 256);
    assert_int_equal(config.expiry_grace_ms, 25000);
    assert_int_equal(config.catch_up_max_rows, 100000);
    assert_int_equal(config.drain_ms, 5000);
    assert_int_equal(config.wait_default_ms, 15000);
    assert_int_equal(config.private_channels, RT_PRIVATE_POLICIES);
    assert_string_equal(config.log_level, "info");
    rt_config_release(&config);
}

static void says_what_is_missing_or_does_not_fit(void **state)
{
    /* clang-format off */
    static const struct { const char *pairs[5]; const char *why; } rows[] = {
        {{"JWT_SECRET=" SECRET}, "DATABASE_URL is not set"},
        {{"DATABASE_URL=x"}, "nobody could connect"},
        {{"DATABASE_URL=x", "JWT_SECRET=short"}, "JWT_SECRET: the value (5 bytes, not shown)"},
        {{ENOUGH, "LOG_LEVEL=loud"}, "LOG_LEVEL"},
        {{ENOUGH, "PRIVATE_CHANNELS=maybe"}, "PRIVATE_CHANNELS"},
        {{ENOUGH, "REALTIME_IDLE_MS=10"}, "REALTIME_IDLE_MS"},
        {{ENOUGH, "REALTIME_WAIT_MS=20001"}, "REALTIME_WAIT_MS"},
        {{ENOUGH, "REALTIME_QUEUE_MAX_BYTES=1000"}, "REALTIME_QUEUE_MAX_BYTES"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rt_config config;
        struct df_error err = {0};
        set_all(rows[i].pairs);
        assert_int_equal(rt_config_load(&config, &err), DF_EINPUT);
        if (strstr(err.msg, rows[i].why) == NULL)
            fail_msg("row %zu: \"%s\"", i, err.msg);
        assert_null(config.database_url); /* released */
    }
}

static void any_kind_of_key_lets_somebody_in(void **state)
{
    static const char *const rows[] = {"JWT_SECRET=" SECRET, "JWKS_FILE=/nowhere",
                                       "API_KEYS=sb_secret_1=service_role"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const pairs[] = {"DATABASE_URL=x", rows[i], NULL};
        struct rt_config config;
        set_all(pairs);
        assert_int_equal(rt_config_load(&config, NULL), DF_OK);
        rt_config_release(&config);
    }
}

static void a_file_wins_over_the_environment(void **state)
{
    char path[] = "/tmp/df-rt-config-XXXXXX";
    char pair[64];
    int fd = mkstemp(path);
    static const char text[] = "REALTIME_MAX_CLIENTS=7\n";

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    (void)close(fd);
    (void)snprintf(pair, sizeof pair, "DEALFLOW_ENV_FILE=%s", path);
    const char *const pairs[] = {ENOUGH, "REALTIME_MAX_CLIENTS=8", pair, NULL};
    struct rt_config config;
    set_all(pairs);
    assert_int_equal(rt_config_load(&config, NULL), DF_OK);
    assert_int_equal(config.clients_max, 7);
    rt_config_release(&config);
    (void)unlink(path);
    assert_int_equal(rt_config_load(&config, NULL), DF_ENOTFOUND);
}

static void the_table_is_sorted_and_says_what_each_is_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < rt_config_key_count; i++) {
        const struct df_config_key *key = &rt_config_keys[i];
        if (i > 0 && strcmp(rt_config_keys[i - 1].name, key->name) >= 0)
            fail_msg("%s is not in alphabetical order", key->name);
        if (strlen(key->help) < 10 || strchr(key->help, '\n') != NULL)
            fail_msg("%s has no help of one line", key->name);
        bool is_secret = strstr(key->name, "API_KEYS") != NULL ||
                         strstr(key->name, "SECRET") != NULL ||
                         strcmp(key->name, "DATABASE_URL") == 0;
        assert_int_equal(key->flags == DF_CONFIG_SECRET, is_secret);
        if (key->offset >= sizeof(struct rt_config))
            fail_msg("%s lies outside", key->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_every_setting),
        cmocka_unit_test(says_what_is_missing_or_does_not_fit),
        cmocka_unit_test(any_kind_of_key_lets_somebody_in),
        cmocka_unit_test(a_file_wins_over_the_environment),
        cmocka_unit_test(the_table_is_sorted_and_says_what_each_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
