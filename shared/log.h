/* shared/log.h - logfmt to stderr, one line and one write(2) an event.
 * Never pass tokens, connection strings, bodies, query strings, or (above debug) chat text. */
#ifndef SHARED_LOG_H
#define SHARED_LOG_H

#include <stdbool.h>

enum df_log_level { DF_LOG_DEBUG, DF_LOG_INFO, DF_LOG_WARN, DF_LOG_ERROR };

/* Sets program name (borrowed for the life of the process) and level; call in main before threads
 * start. The level may be changed later from any thread with df_log_set_level. */
void df_log_init(const char *prog, enum df_log_level level);
void df_log_set_level(enum df_log_level level);

/* True and *out set when name is debug, info, warn or error. */
bool df_log_level_parse(const char *name, enum df_log_level *out);

/* Writes `ts=.. level=.. prog=.. event=.. <fmt>`. The caller writes key=value pairs itself; values
 * that may hold spaces, quotes or control bytes go through df_log_quote first. Lines over 1 KiB are
 * cut. Any thread. */
void df_log(enum df_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies text into out (size out_size) as a quoted logfmt value with control bytes, quotes and
 * backslashes escaped; cut to fit. Returns out. */
const char *df_log_quote(char *out, unsigned long out_size, const char *text);

#endif
