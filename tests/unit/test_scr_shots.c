/* tests/unit/test_scr_shots.c - the ring of pictures on the disk. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "scraper/shots.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/test_scr_shots.XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int empty_folder(void **state)
{
    char path[400];
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, is_file, alphasort);

    (void)state;
    for (int i = 0; i < n; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        (void)unlink(path);
        free(entry[i]);
    }
    free(entry);
    return rmdir(folder);
}

static int count(void)
{
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, is_file, alphasort);
    for (int i = 0; i < n; i++)
        free(entry[i]);
    free(entry);
    return n;
}

static void keeps_the_newest_and_leaves_foreign_files_alone(void **state)
{
    char path[256] = "", last[256] = "", other[128];
    (void)state;
    (void)snprintf(other, sizeof other, "%s/holiday.png", folder);
    FILE *file = fopen(other, "w");
    assert_non_null(file);
    (void)fclose(file);
    for (int i = 0; i < 5; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "s%d", i); /* several may fall into one millisecond */
        assert_int_equal(scr_shots_write(folder, 3, name, "live", "png", 3, path, sizeof path, NULL),
                         DF_OK);
        memcpy(last, path, sizeof last);
    }
    assert_int_equal(count(), 4); /* three of ours and the other */
    assert_int_equal(access(last, F_OK), 0);
    assert_int_equal(access(other, F_OK), 0);
}

static void says_which_folder_cannot_be_written(void **state)
{
    struct df_error err = {0};
    char path[128];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/no/such/folder", folder);
    assert_int_equal(scr_shots_write(path, 3, "s", "live", "png", 3, NULL, 0, &err),
                     DF_EUNAVAILABLE);
    assert_non_null(strstr(err.msg, "SCREENSHOT_DIR"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_the_newest_and_leaves_foreign_files_alone,
                                        make_folder, empty_folder),
        cmocka_unit_test_setup_teardown(says_which_folder_cannot_be_written, make_folder,
                                        empty_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
