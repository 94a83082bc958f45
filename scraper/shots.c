/* scraper/shots.c - the ring of pictures. */
#include "scraper/shots.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/clock.h"
#include "shared/log.h"

static const char prefix[] = "dealflow-";

static int is_ours(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return strncmp(entry->d_name, prefix, sizeof prefix - 1) == 0 && n > 4 &&
           strcmp(entry->d_name + n - 4, ".png") == 0;
}

/* Names begin with the time, so alphabetical order is age. */
static void remove_oldest(int folder_fd, const char *folder, size_t keep)
{
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, is_ours, alphasort);

    for (int i = 0; i < n; i++) {
        if ((size_t)i + keep < (size_t)n)
            (void)unlinkat(folder_fd, entry[i]->d_name, 0);
        free(entry[i]);
    }
    free(entry);
}

static bool write_all(int fd, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void file_name(char *out, size_t out_size, const char *name, const char *why)
{
    struct tm parts;
    int64_t now_ms = df_clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    char at[24] = "";

    if (gmtime_r(&seconds, &parts) != NULL)
        (void)strftime(at, sizeof at, "%Y%m%dT%H%M%S", &parts);
    (void)snprintf(out, out_size, "%s%s.%03d-%s-%s.png", prefix, at, (int)(now_ms % 1000), name, why);
}

enum df_code scr_shots_write(const char *folder, size_t keep, const char *name, const char *why,
                             const void *png, size_t png_len, char *path, size_t path_size,
                             struct df_error *err)
{
    char file[160];
    enum df_code rc = DF_OK;

    if (mkdir(folder, 0750) != 0 && errno != EEXIST)
        return df_error_set(err, DF_EUNAVAILABLE, "SCREENSHOT_DIR: cannot make %s: %s", folder,
                            strerror(errno));
    int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return df_error_set(err, DF_EUNAVAILABLE, "SCREENSHOT_DIR: cannot open %s: %s", folder,
                            strerror(errno));
    file_name(file, sizeof file, name, why);
    int fd = openat(folder_fd, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0 || !write_all(fd, png, png_len)) {
        rc = df_error_set(err, DF_EUNAVAILABLE, "cannot write %s/%s: %s", folder, file,
                          strerror(errno));
        (void)unlinkat(folder_fd, file, 0);
    }
    if (fd >= 0)
        (void)close(fd);
    if (rc == DF_OK && path != NULL)
        (void)snprintf(path, path_size, "%s/%s", folder, file);
    remove_oldest(folder_fd, folder, keep);
    (void)close(folder_fd);
    return rc;
}

struct pending {
    struct scr_shots *shots;
    const char *why; /* a literal */
};

static void on_png(void *arg, const unsigned char *png, size_t png_len, const struct df_error *err)
{
    struct pending *pending = arg;
    const struct scr_config *config = pending->shots->config;
    struct df_error failed = {0};
    char path[PATH_MAX], quoted[PATH_MAX];

    pending->shots->is_busy = false;
    if (png == NULL)
        df_log(DF_LOG_WARN, "screenshot_failed", "stream=%s why=%s", pending->shots->name,
               df_log_quote(quoted, sizeof quoted, err->msg));
    else if (scr_shots_write(config->screenshot_dir, (size_t)config->screenshot_keep,
                             pending->shots->name, pending->why, png, png_len, path, sizeof path,
                             &failed) != DF_OK)
        df_log(DF_LOG_WARN, "screenshot_failed", "stream=%s why=%s", pending->shots->name,
               df_log_quote(quoted, sizeof quoted, failed.msg));
    else
        df_log(DF_LOG_INFO, "screenshot_saved", "stream=%s file=%s", pending->shots->name,
               df_log_quote(quoted, sizeof quoted, path));
    free(pending);
}

void scr_shots_take(struct scr_shots *shots, struct scr_tab *tab, const char *why)
{
    int64_t now_ms = df_clock_mono_ms();

    if (shots->config->save_screenshot == SCR_OFF || shots->config->screenshot_keep == 0 ||
        shots->is_busy || (shots->last_ms != 0 && now_ms - shots->last_ms < SCR_SHOT_GAP_MS))
        return;
    struct pending *pending = malloc(sizeof *pending);
    if (pending == NULL)
        return;
    *pending = (struct pending){.shots = shots, .why = why};
    shots->is_busy = true;
    shots->last_ms = now_ms;
    scr_tab_screenshot(tab, on_png, pending);
}
