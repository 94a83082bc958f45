/* fcgi/rest/query_select.c - select=*,alias:column->>key::cast. Embedded resources and aggregates
 * are recognised and refused. */
#include <string.h>

#include "fcgi/rest/query_parts.h"

#define STOPS ".,():!"

static bool refuse_embedding(struct rst_reader *reader, const char *name)
{
    (void)rst_fail(reader->err, 400, "PGRST200",
                   "Could not find a relationship to '%s' in the schema cache", name);
    (void)rst_details(reader->err, "dealflow-rest does not embed rows of other tables.");
    return rst_hint(reader->err,
                    "Ask for '%s' in a request of its own, or let POSTGREST_URL point to a "
                    "PostgREST.",
                    name);
}

static bool refuse_aggregate(struct rst_reader *reader)
{
    return rst_fail(reader->err, 400, "PGRST123", "Use of aggregate functions is not allowed");
}

/* column.sum() or count() */
static bool is_aggregate(const char *at)
{
    static const char *const names[] = {"avg()", "count()", "max()", "min()", "sum()"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(at, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

/* An alias goes into the statement, quoted, so its bytes are limited to what a name needs. */
static bool is_plain_name(const char *name)
{
    for (const char *c = name; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        if (!is_letter && !(byte >= '0' && byte <= '9') && byte < 0x80 &&
            strchr("_$ -", byte) == NULL)
            return false;
    }
    return strlen(name) <= 63;
}

static bool read_cast(struct rst_reader *reader, struct rst_item *item)
{
    reader->at += 2;
    size_t len = strcspn(reader->at, ",.()");
    item->cast = rst_copy(reader->arena, reader->at, len);
    if (item->cast == NULL)
        return rst_no_memory(reader->err);
    if (len == 0)
        return rst_unexpected(reader, "a type");
    reader->at += len;
    return true;
}

static bool read_item(struct rst_reader *reader, struct rst_item *item)
{
    if (strncmp(reader->at, "...", 3) == 0) {
        struct rst_field spread;
        reader->at += 3;
        return rst_read_field(reader, STOPS, &spread) && refuse_embedding(reader, spread.name);
    }
    if (is_aggregate(reader->at))
        return refuse_aggregate(reader);
    if (reader->at[0] == '*') {
        item->is_star = true;
        reader->at++;
        return true;
    }
    if (!rst_read_field(reader, STOPS, &item->field))
        return false;
    if (reader->at[0] == ':' && reader->at[1] != ':' && item->field.path == NULL) {
        item->alias = item->field.name;
        if (!is_plain_name(item->alias)) {
            (void)rst_unexpected(reader, "an alias of letters, digits, \"_\", \"$\", \"-\" and "
                                         "spaces, at most 63 bytes");
            return false;
        }
        reader->at++;
        if (is_aggregate(reader->at))
            return refuse_aggregate(reader);
        if (!rst_read_field(reader, STOPS, &item->field))
            return false;
    }
    if (*reader->at == '(' || *reader->at == '!')
        return refuse_embedding(reader, item->field.name);
    if (*reader->at == '.' && is_aggregate(reader->at + 1))
        return refuse_aggregate(reader);
    if (reader->at[0] == ':' && reader->at[1] == ':' && !read_cast(reader, item))
        return false;
    if (*reader->at == '.' && is_aggregate(reader->at + 1))
        return refuse_aggregate(reader);
    return true;
}

bool rst_read_select(struct rst_reader *reader, struct rst_item **out)
{
    struct rst_item **tail = out;

    *out = NULL;
    if (*reader->at == '\0')
        return true;
    for (;; reader->at++) {
        *tail = rst_alloc(reader->arena, sizeof **tail);
        if (*tail == NULL)
            return rst_no_memory(reader->err);
        if (!read_item(reader, *tail))
            return false;
        tail = &(*tail)->next;
        if (*reader->at == '\0')
            return true;
        if (*reader->at != ',')
            return rst_unexpected(reader, "\",\" or end of input");
    }
}
