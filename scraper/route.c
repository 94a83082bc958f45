/* scraper/route.c - a table of paths. */
#include "scraper/route.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct entry {
    const char *path; /* ends in a slash: an id follows */
    enum scr_route route;
};

static const struct entry api[] = {
    {"", SCR_ROUTE_ROOT},
    {"/ws", SCR_ROUTE_SOCKET},
    {"/health", SCR_ROUTE_HEALTH},
    {"/api/start-monitoring", SCR_ROUTE_START},
    {"/api/stop-monitoring", SCR_ROUTE_STOP},
    {"/api/streams", SCR_ROUTE_STREAMS},
    {"/api/stream-summary/", SCR_ROUTE_SUMMARY},
    {"/api/screenshot/", SCR_ROUTE_SCREENSHOT},
};
static const struct entry admin[] = {
    {"/metrics", SCR_ROUTE_METRICS},
    {"/healthz", SCR_ROUTE_LIVENESS},
};

/* libwebsockets has decoded the path: a slash may have been %2F. */
static bool take_id(const char *text, size_t len, char *out)
{
    if (len == 0 || len >= SCR_ROUTE_ID_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '/')
            return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static enum scr_route find(const struct entry *table, size_t count, const char *path, char *id)
{
    size_t len = strlen(path);

    id[0] = '\0';
    if (len > 0 && path[len - 1] == '/')
        len--;
    for (size_t i = 0; i < count; i++) {
        size_t want = strlen(table[i].path);
        bool has_id = want > 0 && table[i].path[want - 1] == '/';
        if (len < want || memcmp(path, table[i].path, want) != 0)
            continue;
        if (!has_id && len == want)
            return table[i].route;
        if (has_id)
            return take_id(path + want, len - want, id) ? table[i].route : SCR_ROUTE_NONE;
    }
    return SCR_ROUTE_NONE;
}

enum scr_route scr_route_find(const char *path, char *id)
{
    return find(api, sizeof api / sizeof api[0], path, id);
}

enum scr_route scr_route_find_admin(const char *path)
{
    char id[SCR_ROUTE_ID_MAX];
    return find(admin, sizeof admin / sizeof admin[0], path, id);
}

const char *scr_route_methods(enum scr_route route)
{
    return route == SCR_ROUTE_START || route == SCR_ROUTE_STOP ? "POST, OPTIONS"
                                                               : "GET, HEAD, OPTIONS";
}
