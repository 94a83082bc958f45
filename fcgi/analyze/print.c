/* fcgi/analyze/print.c - safe text, and a progress bar. */
#include "fcgi/analyze/print.h"

#include <string.h>
#include <unistd.h>

#include "shared/clock.h"

enum { TERMINAL_EVERY_MS = 200, PLAIN_EVERY_MS = 2000, BAR_WIDTH = 30 };

void an_print_safely(FILE *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        /* C1 controls are 0xC2 0x80..0x9F; some terminals obey them. */
        bool is_c1 = c == 0xC2 && i + 1 < len && (unsigned char)text[i + 1] < 0xA0;
        if (c < 0x20 || c == 0x7F || is_c1)
            (void)fputc('?', out);
        else
            (void)fputc(c, out);
        i += is_c1;
    }
}

void an_progress_begin(struct an_progress *p, FILE *out)
{
    int64_t now = df_clock_mono_ms();
    *p = (struct an_progress){
        .out = out, .is_terminal = isatty(fileno(out)) != 0, .started_ms = now};
    p->every_ms = p->is_terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS;
    p->next_ms = now + p->every_ms;
}

bool an_progress_is_due(const struct an_progress *p)
{
    return df_clock_mono_ms() >= p->next_ms;
}

static void draw_bar(const struct an_progress *p, int64_t done, int64_t total)
{
    char bar[BAR_WIDTH + 1];
    int filled = total == 0 ? BAR_WIDTH : (int)(done * BAR_WIDTH / total);

    memset(bar, '#', (size_t)filled);
    memset(bar + filled, ' ', (size_t)(BAR_WIDTH - filled));
    bar[BAR_WIDTH] = '\0';
    (void)fprintf(p->out, "\r[%s] %3lld%%  ", bar,
                  (long long)(total == 0 ? 100 : done * 100 / total));
}

void an_progress_show(struct an_progress *p, int64_t done, int64_t total, int64_t sales)
{
    int64_t now = df_clock_mono_ms();

    if (p->is_terminal)
        draw_bar(p, done, total);
    (void)fprintf(p->out, "%lld of %lld lines, %lld new sales", (long long)done, (long long)total,
                  (long long)sales);
    if (p->is_terminal && done > 0 && done < total)
        (void)fprintf(p->out, ", %lld s left ",
                      (long long)((now - p->started_ms) * (total - done) / done / 1000));
    (void)fputs(p->is_terminal ? "\033[K" : "\n", p->out);
    (void)fflush(p->out);
    p->is_drawn = true;
    p->next_ms = now + p->every_ms;
}

void an_progress_end(struct an_progress *p)
{
    if (p->is_terminal && p->is_drawn)
        (void)fputc('\n', p->out);
    (void)fflush(p->out);
    p->is_drawn = false;
}
