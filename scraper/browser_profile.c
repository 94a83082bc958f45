/* scraper/browser_profile.c - makes, finds and removes profile folders. */
#include "scraper/browser_profile.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scraper/proctree.h"
#include "shared/log.h"

enum { PATH_BYTES = 1200, OPEN_FOLDERS = 16 };

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    (void)(type == FTW_DP ? rmdir(path) : unlink(path));
    return 0; /* whatever failed: go on, remove what can be removed */
}

bool scr_profile_remove(const char *path)
{
    struct stat info;

    (void)nftw(path, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    return lstat(path, &info) != 0 && errno == ENOENT;
}

static enum df_code make_folders(const char *root, struct df_error *err)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s", root);

    if (n <= 0 || (size_t)n >= sizeof path)
        return df_error_set(err, DF_EINPUT, "profile folder: the path is empty or too long");
    for (char *at = path + 1;; at++) {
        char was = *at;
        if (was != '/' && was != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return df_error_set(err, DF_EUNAVAILABLE, "profile folder %s: %s", path,
                                strerror(errno));
        *at = was;
        if (was == '\0')
            return DF_OK;
    }
}

/* run-PID-TICKS-N, and nothing else. */
static bool parse_name(const char *name, pid_t *pid, uint64_t *ticks)
{
    long long number;
    unsigned int serial;
    int end = 0;

    if (sscanf(name, "run-%lld-%" SCNu64 "-%u%n", &number, ticks, &serial, &end) != 3 ||
        name[end] != '\0' || number <= 0 || number > INT32_MAX)
        return false;
    *pid = (pid_t)number;
    return true;
}

static void sweep(const char *root, DIR *folder)
{
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_BYTES + 300], quoted[200];
        pid_t pid;
        uint64_t ticks;

        if (!parse_name(entry->d_name, &pid, &ticks) || scr_process_is_alive(pid, ticks))
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        bool is_gone = scr_profile_remove(path);
        df_log(is_gone ? DF_LOG_INFO : DF_LOG_WARN,
               is_gone ? "profile_swept" : "profile_sweep_failed", "folder=%s",
               df_log_quote(quoted, sizeof quoted, entry->d_name));
    }
}

enum df_code scr_profile_root_open(const char *root, struct df_error *err)
{
    struct stat info;
    enum df_code rc = make_folders(root, err);

    if (rc != DF_OK)
        return rc;
    if (lstat(root, &info) != 0)
        return df_error_set(err, DF_EUNAVAILABLE, "profile folder %s: %s", root, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return df_error_set(err, DF_EDENIED, "profile folder %s is not a folder (or is a link)",
                            root);
    if (info.st_uid != geteuid())
        return df_error_set(err, DF_EDENIED, "profile folder %s belongs to user %ld, not to us",
                            root, (long)info.st_uid);
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return df_error_set(err, DF_EDENIED,
                            "profile folder %s can be written by others: chmod go-w it", root);
    DIR *folder = opendir(root);
    if (folder == NULL || access(root, W_OK | X_OK) != 0) {
        rc = df_error_set(err, DF_EUNAVAILABLE, "profile folder %s: %s", root, strerror(errno));
    } else {
        sweep(root, folder);
    }
    if (folder != NULL)
        (void)closedir(folder);
    return rc;
}

enum df_code scr_profile_new(const char *root, char *out, size_t out_size, struct df_error *err)
{
    uint64_t ticks = scr_process_start_ticks(getpid());
    char tmp[PATH_BYTES];

    for (unsigned serial = 1;; serial++) {
        int n = snprintf(out, out_size, "%s/run-%ld-%" PRIu64 "-%u", root, (long)getpid(), ticks,
                         serial);
        if (n < 0 || (size_t)n >= out_size || (size_t)n + sizeof "/tmp" > sizeof tmp)
            return df_error_set(err, DF_ETOOBIG, "profile folder: the path is too long");
        if (mkdir(out, 0700) == 0)
            break;
        if (errno != EEXIST)
            return df_error_set(err, DF_EUNAVAILABLE, "profile folder %s: %s", out,
                                strerror(errno));
    }
    (void)snprintf(tmp, sizeof tmp, "%s/tmp", out);
    if (mkdir(tmp, 0700) != 0) {
        int why = errno;
        (void)scr_profile_remove(out);
        return df_error_set(err, DF_EUNAVAILABLE, "profile folder %s: %s", tmp, strerror(why));
    }
    return DF_OK;
}
