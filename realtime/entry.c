/* realtime/entry.c - entries of the change log out of a result. */
#include "realtime/entry.h"

#include <stdbool.h>
#include <stdlib.h>

#include <libpq-fe.h>

/* The columns that the functions have in common; before them come two of each one's own. */
enum { SEQ = 1, SESSION, SCHEMA, TABLE, OP, AT, AGE, IDS, KEYS, OLD_ROWS };

size_t rt_entry_count(const struct pg_result *result)
{
    int rows = PQntuples(result);
    /* realtime_log always has a row, for the snapshot. */
    return rows == 1 && PQgetisnull(result, 0, TABLE) ? 0 : (size_t)rows;
}

static const char *text_or_null(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* The members of a JSON array, or the elements of an array of uuids. */
static size_t count_members(const char *array)
{
    size_t count = 0;
    int depth = 0;
    bool in_string = false, is_empty = true;

    for (const char *at = array + 1; *at != '\0'; at++) {
        if (in_string) {
            if (*at == '\\' && at[1] != '\0')
                at++;
            else if (*at == '"')
                in_string = false;
            continue;
        }
        if (*at == '"')
            in_string = true;
        else if (*at == '[' || *at == '{')
            depth++;
        else if (*at == ']' || *at == '}')
            depth--;
        else if (*at == ',' && depth == 0)
            count++;
        if (*at != ' ' && depth >= 0)
            is_empty = false;
    }
    return is_empty ? 0 : count + 1;
}

void rt_entry_read(struct rt_entry *out, const struct pg_result *result, size_t row)
{
    int r = (int)row;

    *out = (struct rt_entry){
        .seq = strtoll(PQgetvalue(result, r, SEQ), NULL, 10),
        .schema = PQgetvalue(result, r, SCHEMA),
        .table = PQgetvalue(result, r, TABLE),
        .op = PQgetvalue(result, r, OP),
        .at = PQgetvalue(result, r, AT),
        .session = PQgetvalue(result, r, SESSION),
        .ids = text_or_null(result, r, IDS),
        .keys = text_or_null(result, r, KEYS),
        .old_rows = text_or_null(result, r, OLD_ROWS),
        .age_ms = strtoll(PQgetvalue(result, r, AGE), NULL, 10),
    };
    if (out->ids != NULL)
        out->row_count = count_members(out->ids);
    else if (out->keys != NULL)
        out->row_count = count_members(out->keys);
}
