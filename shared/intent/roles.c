/* shared/intent/roles.c - host, moderator and bot marks in usernames. */
#include "shared/intent/roles.h"

#include <stdbool.h>
#include <string.h>

#define NAME_MAX_BYTES    128
#define SEGMENT_MAX_BYTES 32

struct segment {
    char text[SEGMENT_MAX_BYTES + 1]; /* lower case */
    size_t len;
};

static const char *const host_words[] = {
    "host",
    "hosts",
    "cohost",
    "mod",
    "mods",
    "moderator",
    "moderators",
    "moderador",
    "moderadora",
    "moderation",
    "automod",
    "modbot",
    "bot",
    "bots",
    "admin",
    "admins",
    "staff",
    "official",
    "livehost",
    "hostlive",
    "auctioneer",
    "adminteam",
    "modteam",
    "moderateur",
    "mod\xc3\xa9rateur",
    "mod\xc3\xa9ration",
    "moderacion",
};

/* Words that end like a bot and are none. */
static const char *const not_bots[] = {"robot", "notabot", "talbot", "cabot",
                                       "abbot", "turbot",  "sabot"};

static const char *const seller_words[] = {"live",     "shop", "store",    "seller",
                                           "boutique", "team", "auctions", "support"};

static bool is_any(const struct segment *s, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (s->text[0] == words[i][0] && strcmp(s->text, words[i]) == 0)
            return true;
    return false;
}

#define IS_ANY(segment, words) is_any(segment, words, sizeof(words) / sizeof(words)[0])

static bool ends_with(const struct segment *s, const char *tail)
{
    size_t n = strlen(tail);
    return s->len > n && strcmp(s->text + s->len - n, tail) == 0;
}

static bool is_host_segment(const struct segment *s)
{
    if (IS_ANY(s, host_words))
        return true;
    if (ends_with(s, "bot"))
        return !IS_ANY(s, not_bots);
    /* "hostbigmike", but not hosta, hostage, hostel, hostess, hostile */
    if (s->len >= 7 && strncmp(s->text, "host", 4) == 0 && strchr("aei", s->text[4]) == NULL)
        return true;
    return ends_with(s, "moderator") || ends_with(s, "cohost");
}

enum letter { OTHER, LOWER, UPPER, WIDE };

static enum letter letter_of(unsigned char c)
{
    if (c >= 'a' && c <= 'z')
        return LOWER;
    if (c >= 'A' && c <= 'Z')
        return UPPER;
    return c >= 0x80 ? WIDE : OTHER; /* part of a longer word in some other script */
}

/* Takes the next run of letters, cut before a capital that follows a small letter. */
static bool next_segment(const unsigned char *name, size_t len, size_t *at, struct segment *out)
{
    enum letter last = OTHER;

    out->len = 0;
    while (*at < len && letter_of(name[*at]) == OTHER)
        (*at)++;
    for (; *at < len; (*at)++) {
        enum letter now = letter_of(name[*at]);
        if (now == OTHER || (now == UPPER && last == LOWER))
            break;
        last = now;
        if (out->len < SEGMENT_MAX_BYTES)
            out->text[out->len++] = (char)(now == UPPER ? name[*at] + 32 : name[*at]);
    }
    out->text[out->len] = '\0';
    return out->len > 0;
}

enum df_role df_role_of(const char *username, size_t username_len)
{
    size_t len = username_len < NAME_MAX_BYTES ? username_len : NAME_MAX_BYTES;
    size_t at = 0;
    bool denied = false, sellerish = false;
    struct segment s;

    while (next_segment((const unsigned char *)username, len, &at, &s)) {
        if (!denied && is_host_segment(&s))
            return DF_ROLE_HOST;
        /* "not_a_bot", "no_mod_gus", "wannabe mod" */
        denied = strcmp(s.text, "not") == 0 || strcmp(s.text, "no") == 0 ||
                 strcmp(s.text, "non") == 0 || strcmp(s.text, "ex") == 0 ||
                 (denied && strcmp(s.text, "a") == 0);
        sellerish = sellerish || IS_ANY(&s, seller_words);
    }
    return sellerish ? DF_ROLE_SELLERISH : DF_ROLE_VIEWER;
}
