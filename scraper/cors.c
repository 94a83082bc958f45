/* scraper/cors.c - compares an origin with the list as browsers send it: scheme://host[:port]. */
#include "scraper/cors.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static bool is_any(const char *list)
{
    return strcmp(list, "*") == 0;
}

static bool is_listed(const char *list, const char *origin)
{
    size_t origin_len = strlen(origin);

    for (const char *item = list; item != NULL;) {
        const char *end = strchrnul(item, ',');
        const char *next = *end == ',' ? end + 1 : NULL;
        while (item < end && *item == ' ')
            item++;
        while (end > item && (end[-1] == ' ' || end[-1] == '/'))
            end--;
        if ((size_t)(end - item) == origin_len && strncasecmp(item, origin, origin_len) == 0)
            return true;
        item = next;
    }
    return false;
}

bool scr_cors_allows(const char *list, const char *origin)
{
    return origin == NULL || origin[0] == '\0' || is_any(list) || is_listed(list, origin);
}

const char *scr_cors_value(const char *list, const char *origin)
{
    if (is_any(list))
        return "*";
    if (origin == NULL || origin[0] == '\0' || !is_listed(list, origin))
        return NULL;
    return origin;
}
