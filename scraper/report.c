/* scraper/report.c - reads what the script in the page says. The forms, each one JSON object:
 *   {"t":"found","s":"test-ids"}                     {"t":"lost"}
 *   {"t":"rows","s":"test-ids","l":[LINE,...]}       {"t":"snapshot","s":"role-log","l":[LINE,...]}
 *   {"t":"count","n":12}
 *   {"t":"facts","title":"","host":"","viewers":N or null,"ended":false,"text":""}
 * LINE is [name, text, kind, role, highlighted, cut]: 0 chat, 1 join, 2 announcement; 0 viewer,
 * 1 moderator, 2 host; 0 or 1; 0 or 1. Anything else is malformed as a whole: we wrote the script,
 * so a form we do not know was not made by it. */
#include "scraper/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/line_json.h"
#include "shared/json.h"

enum { LINE_FIELDS = 6 };

static bool small_number(const json_t *value, json_int_t max, json_int_t *out)
{
    if (!json_is_integer(value))
        return false;
    *out = json_integer_value(value);
    return *out >= 0 && *out <= max;
}

static bool read_line(struct scr_line *line, const json_t *row)
{
    json_int_t kind, role, is_highlighted, is_cut;

    line->id = "";
    if (!json_is_array(row) || json_array_size(row) != LINE_FIELDS ||
        !scr_json_text(json_array_get(row, 0), SCR_NAME_MAX_BYTES, &line->username,
                       &line->username_len, &line->is_cut) ||
        !scr_json_text(json_array_get(row, 1), SCR_TEXT_MAX_BYTES, &line->text, &line->text_len,
                       &line->is_cut) ||
        !small_number(json_array_get(row, 2), SCR_ANNOUNCEMENT, &kind) ||
        !small_number(json_array_get(row, 3), SCR_HOST, &role) ||
        !small_number(json_array_get(row, 4), 1, &is_highlighted) ||
        !small_number(json_array_get(row, 5), 1, &is_cut))
        return false;
    /* Only an announcement may come without a name. */
    if (line->text_len == 0 || (line->username_len == 0 && kind != SCR_ANNOUNCEMENT))
        return false;
    line->kind = (enum scr_kind)kind;
    line->role = (enum scr_role)role;
    line->is_highlighted = is_highlighted != 0;
    line->is_cut |= is_cut != 0;
    return true;
}

static bool read_lines(struct scr_report *out, const json_t *rows)
{
    size_t count = json_array_size(rows);

    if (!json_is_array(rows) || count > SCR_REPORT_LINES_MAX)
        return false;
    if (count == 0)
        return true;
    out->line = calloc(count, sizeof *out->line);
    if (out->line == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!read_line(&out->line[i], json_array_get(rows, i)))
            return false;
    }
    out->count = count;
    return true;
}

static bool read_strategy(struct scr_report *out, const json_t *root)
{
    scr_json_copy(out->strategy, sizeof out->strategy, json_object_get(root, "s"));
    return out->strategy[0] != '\0';
}

static bool read_count(struct scr_report *out, const json_t *root)
{
    const json_t *added = json_object_get(root, "n");

    if (!json_is_integer(added) || json_integer_value(added) < 0)
        return false;
    out->added = (uint64_t)json_integer_value(added);
    return true;
}

static bool read_facts(struct scr_report *out, const json_t *root)
{
    const json_t *viewers = json_object_get(root, "viewers");
    const json_t *ended = json_object_get(root, "ended");

    out->viewers = scr_json_count(viewers);
    if (!json_is_boolean(ended) || (out->viewers < 0 && !json_is_null(viewers)))
        return false;
    out->is_ended = json_is_true(ended);
    scr_json_copy(out->title, sizeof out->title, json_object_get(root, "title"));
    scr_json_copy(out->host, sizeof out->host, json_object_get(root, "host"));
    scr_json_copy(out->text, sizeof out->text, json_object_get(root, "text"));
    return true;
}

static enum scr_report_type read_report(struct scr_report *out, const json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "t"));
    const json_t *rows = json_object_get(root, "l");

    if (type == NULL)
        return SCR_REPORT_MALFORMED;
    if (strcmp(type, "rows") == 0 && read_strategy(out, root) && read_lines(out, rows))
        return SCR_REPORT_ROWS;
    if (strcmp(type, "snapshot") == 0 && read_strategy(out, root) && read_lines(out, rows))
        return SCR_REPORT_SNAPSHOT;
    if (strcmp(type, "count") == 0 && read_count(out, root))
        return SCR_REPORT_COUNT;
    if (strcmp(type, "facts") == 0 && read_facts(out, root))
        return SCR_REPORT_FACTS;
    if (strcmp(type, "found") == 0 && read_strategy(out, root))
        return SCR_REPORT_FOUND;
    return strcmp(type, "lost") == 0 ? SCR_REPORT_LOST : SCR_REPORT_MALFORMED;
}

enum scr_report_type scr_report_parse(struct scr_report *out, const char *payload,
                                      size_t payload_len)
{
    json_t *root;

    memset(out, 0, sizeof *out);
    out->viewers = -1;
    if (df_json_parse(&root, payload, payload_len, SCR_REPORT_MAX_BYTES, NULL) != DF_OK)
        return out->type = SCR_REPORT_MALFORMED;
    out->root = root;
    return out->type = read_report(out, root);
}

void scr_report_release(struct scr_report *report)
{
    free(report->line);
    json_decref(report->root);
    report->line = NULL;
    report->root = NULL;
    report->count = 0;
}
