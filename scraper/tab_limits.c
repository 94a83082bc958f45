/* scraper/tab_limits.c - the tables of pauses, and counting within ten minutes. */
#include "scraper/tab_limits.h"

void scr_window_add(struct scr_window *window, int64_t now_ms)
{
    window->at_ms[window->next] = now_ms;
    window->next = (window->next + 1) % SCR_WINDOW_SLOTS;
    if (window->used < SCR_WINDOW_SLOTS)
        window->used++;
}

size_t scr_window_count(const struct scr_window *window, int64_t now_ms)
{
    size_t count = 0;

    for (size_t i = 0; i < window->used; i++)
        count += now_ms - window->at_ms[i] < SCR_WINDOW_MS;
    return count;
}

int64_t scr_window_wait_ms(const struct scr_window *window, int64_t now_ms)
{
    if (scr_window_count(window, now_ms) < SCR_WINDOW_SLOTS)
        return 0;
    return window->at_ms[window->next] + SCR_WINDOW_MS -
           now_ms; /* a full ring's next is its oldest */
}

static int64_t entry(const int64_t *table, size_t count, size_t nth)
{
    return table[nth < count ? nth : count - 1];
}

int64_t scr_recovery_pause_ms(size_t nth)
{
    static const int64_t pauses[] = {500, 1000, 2000, 5000, 10000, 30000};
    return entry(pauses, sizeof pauses / sizeof pauses[0], nth);
}

int64_t scr_blocked_pause_ms(size_t nth)
{
    static const int64_t pauses[] = {60000, 120000, 300000, 600000, 1800000};
    return entry(pauses, sizeof pauses / sizeof pauses[0], nth);
}

int64_t scr_reload_pause_ms(size_t nth)
{
    static const int64_t pauses[] = {60000, 600000};
    return entry(pauses, sizeof pauses / sizeof pauses[0], nth);
}
