/* scraper/report.h - what the script in the page (page/observer.js) reports through its binding.
 * The payload comes from the page's process and is treated as hostile: size cap, strict parse.
 * Pure; fuzzed. */
#ifndef SCRAPER_REPORT_H
#define SCRAPER_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scraper/line.h"

#define SCR_PAGE_WORLD "dealflow"
#define SCR_PAGE_BINDING "dealflowReport"
#define SCR_REPORT_MAX_BYTES (256u << 10)

/* Expressions for Runtime.evaluate in the isolated world (contextId of that world; returnByValue).
 * Modes: report rows at once; only count them (cheap; while frames are the source). */
#define SCR_PAGE_REPORT "dealflow.mode('report')" /* first sends a snapshot, then additions */
#define SCR_PAGE_COUNT "dealflow.mode('count')"
#define SCR_PAGE_SNAPSHOT "dealflow.snapshot()"   /* sends one snapshot, whatever the mode */
#define SCR_PAGE_FACTS "dealflow.facts()"         /* returns what _parse takes as a facts report */

enum scr_report_type {
    SCR_REPORT_MALFORMED,
    SCR_REPORT_FOUND,    /* a chat list was found; strategy says how */
    SCR_REPORT_LOST,     /* the list is gone */
    SCR_REPORT_ROWS,     /* additions */
    SCR_REPORT_SNAPSHOT, /* everything visible */
    SCR_REPORT_COUNT,    /* how many additions since the last count report */
    SCR_REPORT_FACTS,    /* title, host, viewers, ended, wall text */
};

enum { SCR_REPORT_LINES_MAX = 1000 };

struct scr_report {
    enum scr_report_type type;
    char strategy[32]; /* "test-ids", "role-log", "user-links", "structure" */
    struct scr_line *line; /* owned by the report */
    size_t count;
    uint64_t added;  /* COUNT */
    int64_t viewers; /* FACTS: -1 when not seen */
    bool is_ended;   /* FACTS */
    char title[256], host[128];
    char text[512];  /* FACTS: the beginning of the visible text, for wall marks */
    struct json_t *root; /* private */
};

enum scr_report_type scr_report_parse(struct scr_report *out, const char *payload,
                                      size_t payload_len);
void scr_report_release(struct scr_report *report);

#endif
