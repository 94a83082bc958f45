/* tests/fuzz/fuzz_scr_report.c - reports come from the page's process: whatever comes, a report is
 * either refused or holds lines within the limits. */
#include "scraper/report.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(claim)                                                                                \
    do {                                                                                           \
        if (!(claim))                                                                              \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scr_report report;
    char *text = malloc(size + (size == 0));

    MUST(text != NULL);
    memcpy(text, data, size);
    enum scr_report_type type = scr_report_parse(&report, text, size);
    free(text); /* the report must not need it any more */
    MUST(type == report.type && report.count <= SCR_REPORT_LINES_MAX && report.viewers >= -1);
    MUST(report.count == 0 || type == SCR_REPORT_ROWS || type == SCR_REPORT_SNAPSHOT);
    for (size_t i = 0; i < report.count; i++) {
        const struct scr_line *line = &report.line[i];
        MUST(line->text_len > 0 && line->text_len <= SCR_TEXT_MAX_BYTES);
        MUST(line->username_len <= SCR_NAME_MAX_BYTES && line->id_len == 0);
        MUST(line->username_len > 0 || line->kind == SCR_ANNOUNCEMENT);
        MUST(strlen(line->text) == line->text_len);
    }
    scr_report_release(&report);
    return 0;
}
