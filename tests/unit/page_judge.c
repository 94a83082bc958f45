/* tests/unit/page_judge.c - what a test in another language needs of the page part.
 *   page_judge --script RULES     prints the script for pages
 *   page_judge --discover RULES   prints the script for the index page
 *   page_judge                    judges: each line of stdin is one letter (D: a report of the
 * page's script, P: the same while polling, F: a frame) and the payload; each line of stdout is
 * {"type", "gap", "strategy", "facts", "added", "lines": [[name, text, kind, role, is_new], ...]}
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/frames.h"
#include "scraper/history.h"
#include "scraper/report.h"
#include "scraper/rules.h"
#include "shared/clock.h"

static struct scr_history *history;

static json_t *judge(enum scr_source source, bool is_snapshot, const struct scr_line *line,
                     size_t count, bool *is_gap)
{
    static bool is_new[SCR_REPORT_LINES_MAX];
    const struct scr_lines lines = {source, is_snapshot, line, count};
    json_t *out = json_array();

    scr_history_judge(history, &lines, is_new, is_gap, df_clock_mono_ms());
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, json_pack("[s, s, s, s, b]", line[i].username, line[i].text,
                                             scr_kind_name(line[i].kind),
                                             scr_role_name(line[i].role), (int)is_new[i]));
    return out;
}

static json_t *take_frame(const char *payload, size_t len)
{
    struct scr_frame frame;
    bool is_gap = false;
    enum scr_frame_type type = scr_frame_parse(&frame, payload, len);
    json_t *lines =
        judge(SCR_SOURCE_FRAMES, type == SCR_FRAME_LATEST, frame.line, frame.count, &is_gap);
    json_t *out = json_pack("{s:s, s:i, s:b, s:o}", "type", "frame", "frame", (int)type, "gap",
                            (int)is_gap, "lines", lines);

    scr_frame_release(&frame);
    return out;
}

static json_t *take_report(enum scr_source source, const char *payload, size_t len)
{
    static const char *const names[] = {"malformed", "found", "lost", "rows",
                                        "snapshot",  "count", "facts"};
    struct scr_report report;
    bool is_gap = false;
    enum scr_report_type type = scr_report_parse(&report, payload, len);
    json_t *lines = judge(source, type == SCR_REPORT_SNAPSHOT, report.line, report.count, &is_gap);
    json_t *out = json_pack(
        "{s:s, s:b, s:s, s:I, s:o, s:{s:s, s:s, s:I, s:b, s:s}}", "type", names[type], "gap",
        (int)is_gap, "strategy", report.strategy, "added", (json_int_t)report.added, "lines", lines,
        "facts", "title", report.title, "host", report.host, "viewers", (json_int_t)report.viewers,
        "ended", (int)report.is_ended, "text", report.text);

    scr_report_release(&report);
    return out;
}

static int print_script(const char *option, const char *path)
{
    struct scr_rules *rules;
    struct df_error err;

    if (scr_rules_load(&rules, path, &err) != DF_OK) {
        (void)fprintf(stderr, "page_judge: %s\n", err.msg);
        return 1;
    }
    (void)fputs(strcmp(option, "--discover") == 0 ? scr_rules_discover_script(rules)
                                                  : scr_rules_page_script(rules),
                stdout);
    scr_rules_free(rules);
    return 0;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    if (argc == 3)
        return print_script(argv[1], argv[2]);
    if (scr_history_new(&history, 10000, 300000, NULL) != DF_OK)
        return 1;
    while ((len = getline(&line, &size, stdin)) > 1) {
        size_t payload_len = (size_t)len - 2; /* without the letter and the line's end */
        json_t *out = line[0] == 'F'
                          ? take_frame(line + 1, payload_len)
                          : take_report(line[0] == 'P' ? SCR_SOURCE_POLLING : SCR_SOURCE_DOCUMENT,
                                        line + 1, payload_len);
        if (out == NULL || json_dumpf(out, stdout, JSON_COMPACT) != 0)
            return 1;
        (void)putchar('\n');
        (void)fflush(stdout);
        json_decref(out);
    }
    free(line);
    scr_history_free(history);
    return 0;
}
