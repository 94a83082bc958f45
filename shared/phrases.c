/* shared/phrases.c - canonical forms of phrases, looked for in canonical pieces of a message. */
#include "shared/phrases.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent.h"
#include "shared/json.h"

enum {
    JSON_MAX_BYTES = 1 << 20,
    FORM_BYTES = 4096,
    WINDOW_BYTES = 150, /* surely within what the model normalises at once, whatever the letters */
};

struct phrase {
    char *form;
    size_t len;
};

struct df_phrases {
    size_t count;
    struct phrase list[];
};

/* --- words ----------------------------------------------------------------------------------- */

static uint32_t char_at(const char *text, size_t len, size_t at)
{
    unsigned char c = (unsigned char)text[at];
    int more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    uint32_t point = more == 0 ? c : c & (0x3FU >> more);
    for (int i = 1; i <= more && at + (size_t)i < len; i++)
        point = point << 6 | ((unsigned char)text[at + (size_t)i] & 0x3FU);
    return point;
}

static size_t start_of_last(const char *text, size_t len)
{
    size_t at = len - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return at;
}

/* Part of a word that blanks separate from the next: letters and digits of the alphabets that do
 * so, up to Greek Extended, without Thai, Lao, Tibetan and Burmese. */
static bool is_word_char(uint32_t c)
{
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return c >= 0xC0 && c < 0x2000 && c != 0xD7 && c != 0xF7 && !(c >= 0xE00 && c < 0x10A0);
}

/* --- the list -------------------------------------------------------------------------------- */

static enum df_code add(struct df_phrases *phrases, const json_t *value, struct df_error *err)
{
    char form[2 * DF_PHRASES_MAX_LENGTH];
    if (!json_is_string(value) || phrases->count == DF_PHRASES_MAX ||
        json_string_length(value) > DF_PHRASES_MAX_LENGTH)
        return DF_OK;
    size_t len =
        df_intent_normalise(json_string_value(value), json_string_length(value), form, sizeof form);
    if (len == 0)
        return DF_OK;
    char *copy = malloc(len);
    if (copy == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    memcpy(copy, form, len);
    phrases->list[phrases->count++] = (struct phrase){copy, len};
    return DF_OK;
}

enum df_code df_phrases_parse(struct df_phrases **out, const char *json, size_t json_len,
                              struct df_error *err)
{
    json_t *root = NULL;

    *out = NULL;
    enum df_code rc = df_json_parse(&root, json, json_len, JSON_MAX_BYTES, err);
    if (rc != DF_OK)
        return rc;
    size_t room = json_is_array(root) ? json_array_size(root) : 1;
    if (room > DF_PHRASES_MAX)
        room = DF_PHRASES_MAX;
    struct df_phrases *phrases = calloc(1, sizeof *phrases + room * sizeof phrases->list[0]);
    if (phrases == NULL)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    else if (json_is_string(root))
        rc = add(phrases, root, err);
    for (size_t i = 0; rc == DF_OK && i < json_array_size(root) && phrases->count < room; i++)
        rc = add(phrases, json_array_get(root, i), err);
    json_decref(root);
    if (rc != DF_OK || phrases->count == 0) {
        df_phrases_free(phrases);
        phrases = NULL;
    }
    *out = phrases;
    return rc;
}

void df_phrases_free(struct df_phrases *phrases)
{
    for (size_t i = 0; phrases != NULL && i < phrases->count; i++)
        free(phrases->list[i].form);
    free(phrases);
}

/* --- the search ------------------------------------------------------------------------------ */

static bool is_at_word_border(const char *text, size_t len, size_t at, size_t phrase_len)
{
    size_t end = at + phrase_len;
    bool starts_inside = at > 0 && is_word_char(char_at(text, len, at)) &&
                         is_word_char(char_at(text, len, start_of_last(text, at)));
    bool ends_inside = end < len && is_word_char(char_at(text, len, start_of_last(text, end))) &&
                       is_word_char(char_at(text, len, end));
    return !starts_inside && !ends_inside;
}

static bool holds(const char *text, size_t len, const struct phrase *phrase)
{
    size_t from = 0;

    while (len - from >= phrase->len) {
        const char *hit = memmem(text + from, len - from, phrase->form, phrase->len);
        if (hit == NULL)
            return false;
        size_t at = (size_t)(hit - text);
        if (is_at_word_border(text, len, at, phrase->len))
            return true;
        from = at + 1;
    }
    return false;
}

/* How many bytes of the rest make half a window: up to a blank if there is one. */
static size_t half_window(const char *text, size_t len)
{
    size_t cut = WINDOW_BYTES / 2;

    if (len <= cut)
        return len;
    while (cut > WINDOW_BYTES / 4 && text[cut] != ' ')
        cut--;
    if (text[cut] == ' ')
        return cut;
    for (cut = WINDOW_BYTES / 2; ((unsigned char)text[cut] & 0xC0) == 0x80 && cut > 1;)
        cut--; /* one endless word: at least not inside a character */
    return cut;
}

static bool form_holds_one(const struct df_phrases *phrases, const char *form, size_t len)
{
    for (size_t i = 0; i < phrases->count; i++) {
        if (holds(form, len, &phrases->list[i]))
            return true;
    }
    return false;
}

/* A message too long for one form: each half window together with the next one. */
static bool windows_hold_one(const struct df_phrases *phrases, const char *message, size_t len)
{
    char form[FORM_BYTES];

    for (size_t at = 0; at < len;) {
        size_t first = half_window(message + at, len - at);
        size_t second = half_window(message + at + first, len - at - first);
        size_t form_len = df_intent_normalise(message + at, first + second, form, sizeof form);
        if (form_holds_one(phrases, form, form_len))
            return true;
        if (at + first + second >= len)
            return false;
        at += first;
    }
    return false;
}

bool df_phrases_match(const struct df_phrases *phrases, const char *message, size_t message_len)
{
    char form[FORM_BYTES];

    if (phrases == NULL)
        return false;
    size_t form_len = df_intent_normalise(message, message_len, form, sizeof form);
    return form_len > 0 ? form_holds_one(phrases, form, form_len)
                        : windows_hold_one(phrases, message, message_len);
}
