/* scraper/proctree.h - processes below us, from /proc: memory, orphans, reaping. */
#ifndef SCRAPER_PROCTREE_H
#define SCRAPER_PROCTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sum of the proportional set sizes (smaps_rollup) of `root` and all its descendants, 0 when it is
 * gone. Any thread; takes about a millisecond a process. A process whose memory map
 * we may not read (a sandboxed one of another user) counts with its resident size less half of what it
 * shares. */
int64_t scr_proctree_pss_bytes(pid_t root);
/* The same for one process. */
int64_t scr_process_pss_bytes(pid_t pid);
/* `root` and its descendants: for who wants to measure them one by one. Returns how many were written
 * (at most max), 0 when root is gone. */
size_t scr_proctree_list(pid_t root, pid_t *out, size_t max);
/* Descendants of `root` whose program lies in `folder` (without a slash at its end). A browser's crash
 * handlers leave its process group and its tree; as the nearest subreaper we get them as children. */
size_t scr_proctree_list_from(pid_t root, const char *folder, pid_t *out, size_t max);
/* Is `pid` alive (not a zombie) and was it started at start_ticks (field 22 of /proc/PID/stat)?
 * start_ticks 0: any. */
bool scr_process_is_alive(pid_t pid, uint64_t start_ticks);
uint64_t scr_process_start_ticks(pid_t pid); /* 0 when it is gone */

#endif
