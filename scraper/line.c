/* scraper/line.c - names of what a chat line can be. */
#include "scraper/line.h"

const char *scr_kind_name(enum scr_kind kind)
{
    static const char *const names[] = {"chat", "join", "announcement"};
    return names[kind];
}

const char *scr_role_name(enum scr_role role)
{
    static const char *const names[] = {"viewer", "moderator", "host"};
    return names[role];
}

const char *scr_source_name(enum scr_source source)
{
    static const char *const names[] = {"none", "frames", "document", "polling"};
    return names[source];
}
