/* scraper/discover_parse.c - what the index page's script returned, checked. The page may have had
 * a hand in it: every field is data to be judged. */
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scraper/address.h"
#include "scraper/discover.h"
#include "shared/json.h"

#define LIST_MAX_BYTES (4u << 20)
#define VIEWERS_MAX    1000000000

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int64_t viewers_of_number(double number)
{
    return number >= 0 && number <= VIEWERS_MAX ? (int64_t)llround(number) : -1;
}

/* "1.2K" is 1200, "1,963" is 1963, "2M" two million; -1 for what is no count. A point or comma
 * before exactly three digits groups them unless a unit follows. */
static int64_t viewers_of_text(const char *text)
{
    double whole = 0, fraction = 0, scale = 1;
    int groups = 0, digits = 0;
    bool is_grouped = true;

    text += strspn(text, " ");
    if (!is_digit(*text))
        return -1;
    for (; is_digit(*text) && digits < 12; text++, digits++)
        whole = whole * 10 + (*text - '0');
    double grouped = whole;
    while ((*text == '.' || *text == ',') && is_digit(text[1])) {
        int length = 0;
        for (text++; is_digit(*text) && length < 12; text++, length++) {
            grouped = grouped * 10 + (*text - '0');
            scale /= 10;
            if (groups == 0)
                fraction += (*text - '0') * scale;
        }
        is_grouped = is_grouped && length == 3;
        groups++;
    }
    text += strspn(text, " ");
    if (*text == 'k' || *text == 'K' || *text == 'm' || *text == 'M')
        return groups > 1 ? -1
                          : viewers_of_number((whole + fraction) *
                                              (*text == 'k' || *text == 'K' ? 1e3 : 1e6));
    if (groups > 0 && is_grouped)
        return viewers_of_number(grouped);
    return groups > 1 ? -1 : viewers_of_number(whole + fraction);
}

static int64_t viewers_of(const json_t *value)
{
    if (json_is_number(value))
        return viewers_of_number(json_number_value(value));
    return json_is_string(value) ? viewers_of_text(json_string_value(value)) : -1;
}

/* Cuts at a character, not inside one. The text is valid UTF-8: it came through df_json_parse. */
static void copy_text(char *out, size_t out_size, const json_t *value)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = strlen(text);

    if (len >= out_size) {
        len = out_size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

static bool read_show(struct scr_show *show, struct scr_address *address, const json_t *item,
                      const struct scr_address_policy *policy)
{
    const json_t *url = json_object_get(item, "url");

    if (!json_is_string(url) ||
        scr_address_parse(address, json_string_value(url), json_string_length(url), policy, NULL) !=
            DF_OK ||
        address->show_id[0] == '\0')
        return false;
    (void)snprintf(show->url, sizeof show->url, "%s", address->url);
    copy_text(show->title, sizeof show->title, json_object_get(item, "title"));
    copy_text(show->host, sizeof show->host, json_object_get(item, "host"));
    show->viewers = viewers_of(json_object_get(item, "viewers"));
    return true;
}

static bool is_known(const struct scr_show *show, size_t count, const char *url)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(show[i].url, url) == 0)
            return true;
    return false;
}

/* Keeps the order of viewers, the page's order among equals; who does not fit is the smallest. */
static size_t insert(struct scr_show *out, size_t count, size_t max, const struct scr_show *show)
{
    size_t at = count;

    while (at > 0 && out[at - 1].viewers < show->viewers)
        at--;
    if (at == max)
        return count;
    if (count == max)
        count--;
    memmove(&out[at + 1], &out[at], (count - at) * sizeof *out);
    out[at] = *show;
    return count + 1;
}

size_t scr_discover_parse(struct scr_show *out, size_t max, const char *json, size_t json_len,
                          const struct scr_config *config)
{
    const struct scr_address_policy policy = {.allowed_hosts = config->allowed_hosts,
                                              .allow_private = config->allow_private == SCR_ON};
    json_t *root = NULL, *item;
    struct scr_address address;
    struct scr_show show;
    size_t count = 0, i;

    if (df_json_parse(&root, json, json_len, LIST_MAX_BYTES, NULL) != DF_OK)
        return 0;
    json_array_foreach(root, i, item) if (read_show(&show, &address, item, &policy) &&
                                          !is_known(out, count, show.url)) count =
        insert(out, count, max, &show);
    json_decref(root);
    return count;
}
