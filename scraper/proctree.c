/* scraper/proctree.c - what /proc says about the processes below us. */
#include "scraper/proctree.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALL_FILE = 4096, TREE_MAX = 1024 };

struct stat_line {
    char state;
    pid_t parent;
    uint64_t start_ticks;
};

/* Reads /proc/PID/NAME; false when it is gone or not ours to read. */
static bool read_small(pid_t pid, const char *name, char *out, size_t out_size)
{
    char path[64];
    size_t len = 0;
    ssize_t n = -1;

    (void)snprintf(path, sizeof path, "/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    while (len + 1 < out_size && (n = read(fd, out + len, out_size - 1 - len)) > 0)
        len += (size_t)n;
    (void)close(fd);
    out[len] = '\0';
    return len > 0 && n >= 0;
}

/* Fields 3, 4 and 22. The second one, the name, is in brackets and may hold anything, brackets and
 * blanks included: what follows its last bracket is safe. */
static bool read_stat(pid_t pid, struct stat_line *out)
{
    char text[SMALL_FILE], *at;
    long parent = 0;
    unsigned long long ticks = 0;

    if (!read_small(pid, "stat", text, sizeof text) || (at = strrchr(text, ')')) == NULL)
        return false;
    if (sscanf(at + 1,
               " %c %ld %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
               &out->state, &parent, &ticks) != 3)
        return false;
    out->parent = (pid_t)parent;
    out->start_ticks = ticks;
    return true;
}

uint64_t scr_process_start_ticks(pid_t pid)
{
    struct stat_line line;
    return read_stat(pid, &line) ? line.start_ticks : 0;
}

bool scr_process_is_alive(pid_t pid, uint64_t start_ticks)
{
    struct stat_line line;

    if (pid <= 0 || !read_stat(pid, &line) || line.state == 'Z' || line.state == 'X')
        return false;
    return start_ticks == 0 || line.start_ticks == start_ticks;
}

/* --- memory ---------------------------------------------------------------------------------- */

/* A renderer inside a sandbox hides its map from us when we are an ordinary user; its sizes in
 * pages stay readable. */
static int64_t estimate_bytes(pid_t pid)
{
    char text[SMALL_FILE];
    long long size, resident, shared;

    if (!read_small(pid, "statm", text, sizeof text) ||
        sscanf(text, "%lld %lld %lld", &size, &resident, &shared) != 3 || resident < shared)
        return 0;
    return (resident - shared / 2) * sysconf(_SC_PAGESIZE);
}

int64_t scr_process_pss_bytes(pid_t pid)
{
    char text[SMALL_FILE];
    long long kib;

    if (!read_small(pid, "smaps_rollup", text, sizeof text))
        return estimate_bytes(pid);
    const char *at = strstr(text, "\nPss:");
    return at != NULL && sscanf(at, " Pss: %lld kB", &kib) == 1 ? (int64_t)kib * 1024 : 0;
}

struct parenthood {
    pid_t pid, parent;
};

/* Every process of the machine with its parent; the caller frees it. */
static struct parenthood *list_all(size_t *count)
{
    size_t capacity = 256;
    struct parenthood *all = malloc(capacity * sizeof *all);
    DIR *proc = opendir("/proc");

    *count = 0;
    for (struct dirent *entry; all != NULL && proc != NULL && (entry = readdir(proc)) != NULL;) {
        struct stat_line line;
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (!read_stat(pid, &line))
            continue;
        if (*count == capacity) {
            struct parenthood *grown = reallocarray(all, capacity * 2, sizeof *all);
            if (grown == NULL)
                break;
            all = grown;
            capacity *= 2;
        }
        all[(*count)++] = (struct parenthood){pid, line.parent};
    }
    if (proc != NULL)
        (void)closedir(proc);
    return all;
}

size_t scr_proctree_list(pid_t root, pid_t *out, size_t max)
{
    size_t all_count, count = 0;
    struct parenthood *all = list_all(&all_count);

    for (size_t i = 0; i < all_count && count == 0 && max > 0; i++)
        if (all[i].pid == root)
            out[count++] = root;
    for (size_t done = 0; done < count; done++) /* out is also the queue of who to look below */
        for (size_t i = 0; i < all_count && count < max; i++)
            if (all[i].parent == out[done] && all[i].pid != root)
                out[count++] = all[i].pid;
    free(all);
    return count;
}

/* A process that is ending has no program any more, and no status to be reaped yet: it counts,
 * because it may be one of those asked for and is still there. A zombie does not. */
static bool runs_from(pid_t pid, const char *folder)
{
    char link[64], program[4096];
    size_t len = strlen(folder);

    (void)snprintf(link, sizeof link, "/proc/%ld/exe", (long)pid);
    ssize_t n = readlink(link, program, sizeof program);
    if (n < 0)
        return errno == ENOENT && scr_process_is_alive(pid, 0);
    return (size_t)n > len && memcmp(program, folder, len) == 0 && program[len] == '/';
}

size_t scr_proctree_list_from(pid_t root, const char *folder, pid_t *out, size_t max)
{
    pid_t tree[TREE_MAX];
    size_t all = scr_proctree_list(root, tree, TREE_MAX), count = 0;

    for (size_t i = 1; i < all && count < max; i++)
        if (runs_from(tree[i], folder))
            out[count++] = tree[i];
    return count;
}

int64_t scr_proctree_pss_bytes(pid_t root)
{
    pid_t tree[TREE_MAX];
    size_t count = scr_proctree_list(root, tree, TREE_MAX);
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += scr_process_pss_bytes(tree[i]);
    return sum;
}
