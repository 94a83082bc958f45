/* fcgi/analyze/print.h - chat text and progress on a terminal. */
#ifndef FCGI_ANALYZE_PRINT_H
#define FCGI_ANALYZE_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Writes foreign text; control bytes, also the C1 ones, become '?', so that chat cannot drive the
 * terminal. */
void an_print_safely(FILE *out, const char *text, size_t len);

/* How far a long job is: a bar that is drawn over itself on a terminal, else a line now and then.
 * One thread. */
struct an_progress {
    FILE *out;
    bool is_terminal;
    int64_t every_ms, next_ms, started_ms;
    bool is_drawn;
};

void an_progress_begin(struct an_progress *progress, FILE *out);
/* True when it is time to look up the numbers and call an_progress_show. */
bool an_progress_is_due(const struct an_progress *progress);
void an_progress_show(struct an_progress *progress, int64_t done, int64_t total, int64_t sales);
void an_progress_end(struct an_progress *progress); /* leaves the cursor on a line of its own */

#endif
