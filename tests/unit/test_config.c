/* tests/unit/test_config.c - settings from the environment and from a file, and how they print. */
#include "shared/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct settings {
    char *name, *secret, *address;
    int64_t workers;
    double threshold;
    int mode;
};

/* clang-format off */
static const struct df_config_key keys[] = {
    {"T_ADDRESS", DF_CONFIG_STR, offsetof(struct settings, address), NULL, 0, 0, 0, NULL, "where to listen"},
    {"T_MODE", DF_CONFIG_CHOICE, offsetof(struct settings, mode), "auto", 0, 0, 0, "off|auto|on", "what to do"},
    {"T_NAME", DF_CONFIG_STR, offsetof(struct settings, name), "nobody", 2, 10, 0, NULL, "who"},
    {"T_SECRET", DF_CONFIG_STR, offsetof(struct settings, secret), NULL, 8, 20, DF_CONFIG_SECRET, NULL, "do not tell"},
    {"T_THRESHOLD", DF_CONFIG_NUMBER, offsetof(struct settings, threshold), "0.7", 0, 1, 0, NULL, "from when on"},
    {"T_WORKERS", DF_CONFIG_INT, offsetof(struct settings, workers), "4", 1, 256, 0, NULL, "how many"},
};
/* clang-format on */
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

static void set(const char *name, const char *value)
{
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static int unset_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < KEY_COUNT; i++)
        (void)unsetenv(keys[i].name);
    return 0;
}

static void fills_defaults_where_nothing_is_set(void **state)
{
    struct settings s;
    struct df_error err;

    (void)state;
    memset(&s, 0xa5, sizeof s); /* a struct of garbage must be fine */
    set("T_NAME", "");
    set("T_MODE", "");
    assert_int_equal(df_config_load(&s, keys, KEY_COUNT, &err), DF_OK);
    assert_string_equal(s.name, "nobody");
    assert_null(s.secret);
    assert_null(s.address);
    assert_int_equal(s.workers, 4);
    assert_true(s.threshold == 0.7);
    assert_int_equal(s.mode, 1);
    df_config_release(&s, keys, KEY_COUNT);
    assert_null(s.name);
    df_config_release(&s, keys, KEY_COUNT);
}

static void reads_every_type(void **state)
{
    struct settings s;

    (void)state;
    set("T_NAME", "somebody");
    set("T_SECRET", "12345678");
    set("T_ADDRESS", "127.0.0.1:80");
    set("T_WORKERS", "256");
    set("T_THRESHOLD", "5e-1");
    set("T_MODE", "on");
    assert_int_equal(df_config_load(&s, keys, KEY_COUNT, NULL), DF_OK);
    assert_string_equal(s.name, "somebody");
    assert_string_equal(s.secret, "12345678");
    assert_string_equal(s.address, "127.0.0.1:80");
    assert_int_equal(s.workers, 256);
    assert_true(s.threshold == 0.5);
    assert_int_equal(s.mode, 2);
    df_config_release(&s, keys, KEY_COUNT);
}

static void refuses_and_says_what_it_accepts(void **state)
{
    /* clang-format off */
    static const struct { const char *name, *value, *want; } rows[] = {
        {"T_WORKERS", "0", "T_WORKERS: \"0\" is not a whole number from 1 to 256"},
        {"T_WORKERS", "257", "T_WORKERS: \"257\" is not a whole number from 1 to 256"},
        {"T_WORKERS", "4x", "T_WORKERS: \"4x\" is not a whole number from 1 to 256"},
        {"T_WORKERS", " 4", NULL}, {"T_WORKERS", "+4", NULL}, {"T_WORKERS", "4.0", NULL},
        {"T_WORKERS", "-", NULL}, {"T_WORKERS", "99999999999999999999", NULL},
        {"T_WORKERS", "-1", NULL}, {"T_WORKERS", "0x10", NULL},
        {"T_THRESHOLD", "1.01", "T_THRESHOLD: \"1.01\" is not a number from 0 to 1"},
        {"T_THRESHOLD", "nan", NULL}, {"T_THRESHOLD", "inf", NULL}, {"T_THRESHOLD", "0x0p1", NULL},
        {"T_THRESHOLD", "0,7", NULL}, {"T_THRESHOLD", "-0.1", NULL}, {"T_THRESHOLD", "e", NULL},
        {"T_MODE", "maybe", "T_MODE: \"maybe\" is not one of off|auto|on"},
        {"T_MODE", "off|auto", NULL}, {"T_MODE", "of", NULL}, {"T_MODE", "ON", NULL},
        {"T_NAME", "x", "T_NAME: \"x\" is not a text of 2 to 10 bytes"},
        {"T_NAME", "12345678901", NULL},
        {"T_SECRET", "hunter2", "T_SECRET: the value (7 bytes, not shown) is not a text of 8 to 20 bytes"},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct settings s;
        struct df_error err;
        unset_all(NULL);
        set(rows[i].name, rows[i].value);
        if (df_config_load(&s, keys, KEY_COUNT, &err) != DF_EINPUT)
            fail_msg("took %s=%s", rows[i].name, rows[i].value);
        assert_memory_equal(err.msg, rows[i].name, strlen(rows[i].name));
        if (rows[i].want != NULL)
            assert_string_equal(err.msg, rows[i].want);
        df_config_release(&s, keys, KEY_COUNT); /* half filled */
    }
}

static void write_file(char path[32], const char *text)
{
    (void)snprintf(path, 32, "/tmp/df_config_XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void lets_a_file_win_over_the_environment(void **state)
{
    struct settings s;
    struct df_error err;
    char path[32];

    (void)state;
    set("T_WORKERS", "7");
    set("T_ADDRESS", "from the environment");
    set("T_THRESHOLD", "0.1");
    write_file(path, "# a comment\nT_NAME=\"two words\"\r\n\nT_WORKERS=8\nT_WORKERS=9\n"
                     "not a line\nT_MODE='off'\n  T_SECRET=a=b=c=d # x\nT_THRESHOLD=\nXT_NAME=zz");
    assert_int_equal(df_config_load_file(&s, keys, KEY_COUNT, path, &err), DF_OK);
    assert_string_equal(s.name, "two words");
    assert_int_equal(s.workers, 9);
    assert_string_equal(s.address, "from the environment");
    assert_int_equal(s.mode, 0);
    assert_string_equal(s.secret, "a=b=c=d # x");
    assert_true(s.threshold == 0.7); /* emptied in the file: the default, not the environment */
    df_config_release(&s, keys, KEY_COUNT);
    assert_int_equal(unlink(path), 0);

    write_file(path, "T_WORKERS=many\n");
    assert_int_equal(df_config_load_file(&s, keys, KEY_COUNT, path, &err), DF_EINPUT);
    assert_memory_equal(err.msg, "T_WORKERS: ", 11);
    df_config_release(&s, keys, KEY_COUNT);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(df_config_load_file(&s, keys, KEY_COUNT, path, &err), DF_ENOTFOUND);
    df_config_release(&s, keys, KEY_COUNT);
    assert_int_equal(df_config_load_file(&s, keys, KEY_COUNT, "/tmp", &err), DF_EINPUT);
    df_config_release(&s, keys, KEY_COUNT);
}

static void takes_a_file_of_any_shape(void **state)
{
    static const char *const texts[] = {"",
                                        "\n",
                                        "=",
                                        "T_NAME",
                                        "T_NAME=",
                                        "T_NAME=\"",
                                        "T_NAME='\n\n"
                                        "T_NAME=\"\"\r\n",
                                        "=x\n T_WORKERS = 5\n",
                                        "T_WORKERS=3"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct settings s;
        char path[32];
        write_file(path, texts[i]);
        enum df_code rc = df_config_load_file(&s, keys, KEY_COUNT, path, NULL);
        /* only T_NAME=" is too short a name: its quote does not close */
        assert_int_equal(rc, strcmp(texts[i], "T_NAME=\"") == 0 ? DF_EINPUT : DF_OK);
        if (rc == DF_OK)
            assert_int_equal(s.workers, i == 8 ? 3 : 4);
        df_config_release(&s, keys, KEY_COUNT);
        assert_int_equal(unlink(path), 0);
    }
}

static void prints_help_one_setting_a_line(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    df_config_print_help(out, keys, KEY_COUNT);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "  T_ADDRESS    where to listen\n"
                              "  T_MODE       what to do: off|auto|on [auto]\n"
                              "  T_NAME       who [nobody]\n"
                              "  T_SECRET     do not tell\n"
                              "  T_THRESHOLD  from when on [0.7]\n"
                              "  T_WORKERS    how many [4]\n");
    free(text);
}

static void prints_values_but_no_secret(void **state)
{
    struct settings s;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    set("T_SECRET", "hunter2hunter2");
    set("T_ADDRESS", "a\nT_NAME=forged");
    set("T_MODE", "on");
    assert_int_equal(df_config_load(&s, keys, KEY_COUNT, NULL), DF_OK);
    df_config_print_values(out, &s, keys, KEY_COUNT);
    df_config_release(&s, keys, KEY_COUNT);
    unset_all(NULL);
    assert_int_equal(df_config_load(&s, keys, KEY_COUNT, NULL), DF_OK);
    df_config_print_values(out, &s, keys, KEY_COUNT);
    df_config_release(&s, keys, KEY_COUNT);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "T_ADDRESS=a?T_NAME=forged\nT_MODE=on\nT_NAME=nobody\n"
                              "T_SECRET=(set)\nT_THRESHOLD=0.7\nT_WORKERS=4\n"
                              "T_ADDRESS=\nT_MODE=auto\nT_NAME=nobody\n"
                              "T_SECRET=(unset)\nT_THRESHOLD=0.7\nT_WORKERS=4\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fills_defaults_where_nothing_is_set, unset_all),
        cmocka_unit_test_setup(reads_every_type, unset_all),
        cmocka_unit_test_setup(refuses_and_says_what_it_accepts, unset_all),
        cmocka_unit_test_setup(lets_a_file_win_over_the_environment, unset_all),
        cmocka_unit_test_setup(takes_a_file_of_any_shape, unset_all),
        cmocka_unit_test_setup(prints_help_one_setting_a_line, unset_all),
        cmocka_unit_test_setup(prints_values_but_no_secret, unset_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
