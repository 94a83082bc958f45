/* shared/log.c - formats one logfmt line on the stack and writes it in one piece. */
#include "shared/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *program = "dealflow";
static _Atomic int threshold = DF_LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void df_log_init(const char *prog, enum df_log_level level)
{
    program = prog;
    df_log_set_level(level);
}

void df_log_set_level(enum df_log_level level)
{
    atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool df_log_level_parse(const char *name, enum df_log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *out = (enum df_log_level)i;
            return true;
        }
    }
    return false;
}

const char *df_log_quote(char *out, unsigned long out_size, const char *text)
{
    size_t used = 0;

    if (out_size < 3) {
        if (out_size > 0)
            out[0] = '\0';
        return out;
    }
    out[used++] = '"';
    for (; *text != '\0' && used + 3 < out_size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out[used++] = '\\';
            out[used++] = (char)c;
        } else {
            out[used++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
        }
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}

void df_log(enum df_log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
        return;

    char line[1024];
    struct timespec now = {0};
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(line, sizeof line, "ts=%Y-%m-%dT%H:%M:%S", &utc);
    int n = snprintf(line + used, sizeof line - used, ".%03ldZ level=%s prog=%s event=%s%s",
                     now.tv_nsec / 1000000, level_names[level], program, event,
                     fmt[0] == '\0' ? "" : " ");
    if (n > 0)
        used += (size_t)n < sizeof line - used ? (size_t)n : sizeof line - used - 1;
    va_list ap;
    va_start(ap, fmt);
    n = vsnprintf(line + used, sizeof line - used, fmt, ap);
    va_end(ap);
    if (n > 0)
        used += (size_t)n < sizeof line - used ? (size_t)n : sizeof line - used - 1;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    for (size_t i = 0; i < used; i++) { /* a value with a newline must not forge a second line */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[used++] = '\n';
    /* A log that cannot be written must not stop the program, hence no retry and no error. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}
