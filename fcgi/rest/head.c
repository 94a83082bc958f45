/* fcgi/rest/head.c - method, path, Accept, Prefer, Range, profiles. */
#include "fcgi/rest/head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fcgi/rest/query.h"

static const char *param(const struct mrs_io *io, const char *name)
{
    const char *value = io->param(io->ctx, name);
    return value == NULL ? "" : value;
}

/* --- the request line ------------------------------------------------------------------------ */

static bool read_method(struct rst_head *out, const char *method, struct rst_error *err)
{
    static const struct {
        const char *name;
        enum rst_method method;
    } methods[] = {{"GET", RST_GET},
                   {"HEAD", RST_HEAD},
                   {"POST", RST_POST},
                   {"PATCH", RST_PATCH},
                   {"DELETE", RST_DELETE}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(methods[i].name, method) == 0) {
            out->method = methods[i].method;
            return true;
        }
    }
    return rst_fail(err, 405, "PGRST117", "Unsupported HTTP method: %s", method);
}

static bool read_path(struct rst_head *out, const char *path, struct rst_arena *arena,
                      struct rst_error *err)
{
    static const char prefix[] = "/rest/v1";

    if (strncmp(path, prefix, sizeof prefix - 1) == 0)
        path += sizeof prefix - 1;
    path += *path == '/';
    size_t len = strcspn(path, "?");
    if (len == 0)
        return rst_fail(err, 404, "PGRST126", "Root endpoint metadata is disabled");
    /* '+' is a plus sign in a path, but no table of ours has one: the decoder may be shared. */
    char *name = rst_url_decode(path, len, arena, err);
    if (name == NULL)
        return false;
    if (strncmp(name, "rpc/", 4) == 0) {
        name += 4;
        (void)rst_fail(err, 404, "PGRST202", "Could not find the function %s in the schema cache",
                       name);
        (void)rst_details(err, "dealflow-rest does not call functions.");
        return rst_hint(err, "Let POSTGREST_URL point to a PostgREST to call functions.");
    }
    if (strchr(name, '/') != NULL)
        return rst_fail(err, 404, "PGRST125", "Invalid path specified in request URL");
    out->table = name;
    return true;
}

/* --- headers --------------------------------------------------------------------------------- */

/* The next item of a comma list, without blanks around it; false at the end. */
static bool next_item(const char **list, const char **item, size_t *len)
{
    *list += strspn(*list, ", \t");
    if (**list == '\0')
        return false;
    *item = *list;
    *len = strcspn(*list, ",");
    *list += *len;
    while (*len > 0 && ((*item)[*len - 1] == ' ' || (*item)[*len - 1] == '\t'))
        (*len)--;
    return true;
}

static bool is(const char *item, size_t len, const char *text)
{
    return strlen(text) == len && strncasecmp(item, text, len) == 0;
}

static bool read_accept(struct rst_head *out, const char *accept, struct rst_error *err)
{
    const char *rest = accept, *item;
    size_t len;

    if (*accept == '\0')
        return true;
    while (next_item(&rest, &item, &len)) {
        size_t type_len = strcspn(item, ";,");
        if (type_len > len)
            type_len = len;
        while (type_len > 0 && item[type_len - 1] == ' ')
            type_len--;
        bool is_object = is(item, type_len, "application/vnd.pgrst.object+json") ||
                         is(item, type_len, "application/vnd.pgrst.object");
        bool is_array = is(item, type_len, "application/vnd.pgrst.array+json") ||
                        is(item, type_len, "application/vnd.pgrst.array");
        if (is_object || is_array) {
            out->wants_object = is_object;
            out->strips_nulls = memmem(item, len, "nulls=stripped", 14) != NULL;
            return true;
        }
        if (is(item, type_len, "*/*") || is(item, type_len, "application/json") ||
            is(item, type_len, "application/*"))
            return true;
    }
    return rst_fail(err, 406, "PGRST107", "None of these media types are available: %s", accept);
}

static bool read_preference(struct rst_head *out, const char *item, size_t len)
{
    static const char affected[] = "max-affected=";

    if (is(item, len, "return=minimal") || is(item, len, "return=headers-only") ||
        is(item, len, "return=representation")) {
        out->has_return = true;
        out->returns = item[7] == 'm'   ? RST_RETURN_MINIMAL
                       : item[7] == 'h' ? RST_RETURN_HEADERS
                                        : RST_RETURN_ROWS;
    } else if (is(item, len, "resolution=merge-duplicates")) {
        out->resolution = RST_MERGE;
    } else if (is(item, len, "resolution=ignore-duplicates")) {
        out->resolution = RST_IGNORE;
    } else if (is(item, len, "count=exact") || is(item, len, "count=planned") ||
               is(item, len, "count=estimated")) {
        out->counts = true;
        out->count_word = item[6] == 'p' ? "planned" : item[7] == 's' ? "estimated" : "exact";
    } else if (is(item, len, "missing=default") || is(item, len, "missing=null")) {
        out->has_missing = true;
        out->missing_is_default = item[8] == 'd';
    } else if (is(item, len, "handling=strict") || is(item, len, "handling=lenient")) {
        out->is_strict = item[9] == 's';
    } else if (len > sizeof affected - 1 && len < 40 &&
               strncasecmp(item, affected, sizeof affected - 1) == 0) {
        char *end;
        long long n = strtoll(item + sizeof affected - 1, &end, 10);
        if (end != item + len || n < 0)
            return false;
        out->max_affected = n;
    } else {
        return false;
    }
    return true;
}

static bool read_prefer(struct rst_head *out, const char *prefer, struct rst_error *err)
{
    const char *rest = prefer, *item;
    size_t len;
    char unknown[256] = "";

    while (next_item(&rest, &item, &len)) {
        if (!read_preference(out, item, len)) {
            size_t used = strlen(unknown);
            (void)snprintf(unknown + used, sizeof unknown - used, "%s%.*s", used > 0 ? ", " : "",
                           (int)(len > 100 ? 100 : len), item);
        }
    }
    if (!out->is_strict)
        out->max_affected = -1; /* PostgREST wants both words */
    if (out->is_strict && unknown[0] != '\0') {
        (void)rst_fail(err, 400, "PGRST122", "Invalid preferences given with handling=strict");
        return rst_details(err, "Invalid preferences: %s", unknown);
    }
    return true;
}

/* "0-9" or "10-"; what is no such range is ignored, as HTTP says. */
static bool read_range(struct rst_head *out, const char *range, struct rst_error *err)
{
    size_t first_len = strspn(range, "0123456789");
    size_t last_len = range[first_len] == '-' ? strspn(range + first_len + 1, "0123456789") : 0;

    out->range_first = -1;
    out->range_last = INT64_MAX;
    if (first_len == 0 || range[first_len] != '-' || range[first_len + 1 + last_len] != '\0' ||
        (out->method != RST_GET && out->method != RST_HEAD))
        return true;
    errno = 0;
    out->range_first = strtoll(range, NULL, 10); /* INT64_MAX beyond that */
    if (last_len > 0)
        out->range_last = strtoll(range + first_len + 1, NULL, 10);
    if (out->range_first > out->range_last) {
        (void)rst_fail(err, 416, "PGRST103", "Requested range not satisfiable");
        return rst_details(err, "The lower boundary must be lower than or equal to the upper "
                                "boundary in the Range header.");
    }
    return true;
}

static bool read_profile(const struct rst_head *head, const struct mrs_io *io, const char *schema,
                         struct rst_error *err)
{
    bool reads = head->method == RST_GET || head->method == RST_HEAD;
    const char *profile = param(io, reads ? "HTTP_ACCEPT_PROFILE" : "HTTP_CONTENT_PROFILE");

    if (*profile == '\0' || strcmp(profile, schema) == 0)
        return true;
    (void)rst_fail(err, 406, "PGRST106", "Invalid schema: %s", profile);
    return rst_hint(err, "Only the following schemas are exposed: %s", schema);
}

bool rst_head_read(struct rst_head *out, const struct mrs_io *io, const char *schema,
                   struct rst_arena *arena, struct rst_error *err)
{
    *out = (struct rst_head){.max_affected = -1, .range_first = -1, .range_last = INT64_MAX};
    return read_method(out, param(io, "REQUEST_METHOD"), err) &&
           read_path(out, param(io, "REQUEST_URI"), arena, err) &&
           read_profile(out, io, schema, err) && read_accept(out, param(io, "HTTP_ACCEPT"), err) &&
           read_prefer(out, param(io, "HTTP_PREFER"), err) &&
           read_range(out, param(io, "HTTP_RANGE"), err);
}

void rst_head_applied(const struct rst_head *head, char *out, size_t out_size)
{
    static const char *const returns[] = {"return=minimal", "return=headers-only",
                                          "return=representation"};
    const char *parts[5];
    char count[32], affected[64];
    size_t used = 0, parts_used = 0;
    bool writes = head->method != RST_GET && head->method != RST_HEAD;

    if (writes && head->resolution != RST_NO_RESOLUTION)
        parts[parts_used++] = head->resolution == RST_MERGE ? "resolution=merge-duplicates"
                                                            : "resolution=ignore-duplicates";
    if (writes && head->has_missing)
        parts[parts_used++] = head->missing_is_default ? "missing=default" : "missing=null";
    if (writes && head->has_return)
        parts[parts_used++] = returns[head->returns];
    if (head->counts) {
        (void)snprintf(count, sizeof count, "count=%s", head->count_word);
        parts[parts_used++] = count;
    }
    if (head->max_affected >= 0) {
        (void)snprintf(affected, sizeof affected, "handling=strict, max-affected=%lld",
                       (long long)head->max_affected);
        parts[parts_used++] = affected;
    }
    out[0] = '\0';
    for (size_t i = 0; i < parts_used && used < out_size; i++)
        used += (size_t)snprintf(out + used, out_size - used, "%s%s", i > 0 ? ", " : "", parts[i]);
}
