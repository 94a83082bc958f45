/* scraper/rules.c - reads the rules file strictly (a typo must not pass for a rule), and puts the
 * page scripts together with what concerns them. */
#include "scraper/rules.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scraper/page/scripts.h"
#include "shared/buf.h"
#include "shared/json.h"

#define RULES_MAX_BYTES  ((size_t)256 << 10)
#define SCRIPT_MAX_BYTES ((size_t)1 << 20)
#define DEFAULT_PATH     "../share/dealflow/scraper-rules.json"

struct scr_rules {
    json_t *root; /* owns the texts */
    const char **blocked;
    char *page_script, *discover_script;
};

/* --- the keys --- */

enum form { FORM_TEXT, FORM_LIST, FORM_WORDS }; /* WORDS: an object of texts */

/* All are required: a file that lacks one was made for another version. */
static const struct key {
    const char *name;
    enum form form;
    bool is_for_pages;
} keys[] = {
    {"announcement_selectors", FORM_LIST, true},
    {"badge_selectors", FORM_LIST, true},
    {"badges", FORM_WORDS, true},
    {"blocked_urls", FORM_LIST, false},
    {"ended_selectors", FORM_LIST, true},
    {"ended_texts", FORM_LIST, true},
    {"highlight_selectors", FORM_LIST, true},
    {"host_selectors", FORM_LIST, true},
    {"list_selectors", FORM_LIST, true},
    {"log_selectors", FORM_LIST, true},
    {"message_box_selectors", FORM_LIST, true},
    {"name_selectors", FORM_LIST, true},
    {"not_chat_selectors", FORM_LIST, true},
    {"row_id_attributes", FORM_LIST, true},
    {"row_index_attributes", FORM_LIST, true},
    {"row_selectors", FORM_LIST, true},
    {"show_link", FORM_TEXT, true},
    {"skip_selectors", FORM_LIST, true},
    {"socket_paths", FORM_LIST, false},
    {"strategies", FORM_LIST, true},
    {"title_selectors", FORM_LIST, true},
    {"user_link", FORM_TEXT, true},
    {"viewer_selectors", FORM_LIST, true},
    {"wall_texts", FORM_LIST, false},
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    }
    return NULL;
}

static bool is_one_of(const json_t *value, const char *const *names)
{
    const char *text = json_string_value(value);

    while (text != NULL && *names != NULL && strcmp(*names, text) != 0)
        names++;
    return text != NULL && *names != NULL;
}

/* An empty entry would match everything or nothing: surely not what was meant. */
static bool is_text(const json_t *value)
{
    return json_is_string(value) && json_string_length(value) > 0;
}

static enum df_code check_list(const struct key *key, const json_t *list, struct df_error *err)
{
    static const char *const strategies[] = {"test-ids", "role-log", "user-links", "structure",
                                             NULL};
    bool is_strategies = strcmp(key->name, "strategies") == 0;
    size_t i;
    json_t *entry;

    if (!json_is_array(list))
        return df_error_set(err, DF_EINPUT, "%s: a list is expected", key->name);
    json_array_foreach(list, i, entry)
    {
        if (!is_text(entry))
            return df_error_set(err, DF_EINPUT, "%s: entry %zu is no text", key->name, i + 1);
        if (is_strategies && !is_one_of(entry, strategies))
            return df_error_set(err, DF_EINPUT, "strategies: unknown entry \"%s\"",
                                json_string_value(entry));
    }
    return DF_OK;
}

static enum df_code check_words(const struct key *key, json_t *words, struct df_error *err)
{
    static const char *const roles[] = {"viewer", "moderator", "host", NULL};
    const char *word;
    json_t *role;

    if (!json_is_object(words))
        return df_error_set(err, DF_EINPUT, "%s: an object is expected", key->name);
    json_object_foreach(words, word, role)
    {
        if (!is_one_of(role, roles))
            return df_error_set(err, DF_EINPUT,
                                "%s: \"%s\" is expected to be viewer, moderator or host", key->name,
                                word);
    }
    return DF_OK;
}

static enum df_code check_value(const struct key *key, json_t *value, struct df_error *err)
{
    switch (key->form) {
    case FORM_LIST:
        return check_list(key, value, err);
    case FORM_WORDS:
        return check_words(key, value, err);
    case FORM_TEXT:
        break;
    }
    return is_text(value) ? DF_OK
                          : df_error_set(err, DF_EINPUT, "%s: a text is expected", key->name);
}

static enum df_code check_rules(json_t *root, struct df_error *err)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return df_error_set(err, DF_EINPUT, "an object is expected");
    json_object_foreach(root, name, value)
    {
        if (strncmp(name, "//", 2) == 0)
            continue;
        const struct key *key = find_key(name);
        if (key == NULL)
            return df_error_set(err, DF_EINPUT, "%s: unknown key", name);
        enum df_code rc = check_value(key, value, err);
        if (rc != DF_OK)
            return rc;
    }
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (json_object_get(root, keys[i].name) == NULL)
            return df_error_set(err, DF_EINPUT, "%s: missing", keys[i].name);
    }
    return DF_OK;
}

/* --- loading --- */

/* The file beside the program that runs, wherever that was installed. */
static enum df_code default_path(char *out, size_t size, struct df_error *err)
{
    char program[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);

    if (len < 0)
        return df_error_set(err, DF_ENOTFOUND, "rules: where is the program? %s", strerror(errno));
    program[len] = '\0';
    char *slash = strrchr(program, '/');
    int dir_len = slash != NULL ? (int)(slash - program) : 0;
    if ((size_t)snprintf(out, size, "%.*s/" DEFAULT_PATH, dir_len, program) >= size)
        return df_error_set(err, DF_ENOTFOUND, "rules: the path of the program is too long");
    return DF_OK;
}

static enum df_code read_rules(json_t **out, const char *path, struct df_error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    enum df_code rc;

    *out = NULL;
    if (file == NULL)
        return df_error_set(err, DF_ENOTFOUND, "%s", strerror(errno));
    text = malloc(RULES_MAX_BYTES + 1); /* one more shows that the file is too long */
    if (text == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
        goto out;
    }
    size_t len = fread(text, 1, RULES_MAX_BYTES + 1, file);
    if (ferror(file)) {
        rc = df_error_set(err, DF_ENOTFOUND, "%s", strerror(errno));
        goto out;
    }
    rc = df_json_parse(out, text, len, RULES_MAX_BYTES, err);
    if (rc == DF_ETOOBIG)
        rc = df_error_set(err, DF_EINPUT, "larger than %zu bytes", RULES_MAX_BYTES);
out:
    free(text);
    (void)fclose(file);
    return rc;
}

/* (() => { 'use strict'; const rules = {...}; PIECES })() with the keys that concern pages. */
static char *make_script(const json_t *root, const char *const *pieces)
{
    struct df_buf script;
    json_t *part = json_object();
    char *text = NULL;
    bool is_complete = part != NULL;

    for (size_t i = 0; i < KEY_COUNT && is_complete; i++) {
        if (keys[i].is_for_pages)
            is_complete =
                json_object_set(part, keys[i].name, json_object_get(root, keys[i].name)) == 0;
    }
    if (is_complete)
        text = json_dumps(part, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(part);
    df_buf_init(&script, SCRIPT_MAX_BYTES);
    (void)df_buf_append_str(&script, "(() => {\n'use strict';\nconst rules = ");
    (void)df_buf_append_str(&script, text != NULL ? text : "");
    (void)df_buf_append_str(&script, ";\n");
    while (*pieces != NULL)
        (void)df_buf_append_str(&script, *pieces++);
    (void)df_buf_append_str(&script, "})()");
    bool is_made = text != NULL && !script.failed;
    free(text);
    if (is_made)
        return script.data; /* from malloc: the caller's */
    df_buf_release(&script);
    return NULL;
}

static enum df_code build(struct scr_rules *rules, struct df_error *err)
{
    static const char *const page[] = {
        scr_page_count, scr_page_rows,  scr_page_sequence, scr_page_find,
        scr_page_facts, scr_page_cells, scr_page_observer, NULL};
    static const char *const discover[] = {scr_page_count, scr_page_discover, NULL};
    const json_t *blocked = json_object_get(rules->root, "blocked_urls");
    size_t count = json_array_size(blocked);

    rules->page_script = make_script(rules->root, page);
    rules->discover_script = make_script(rules->root, discover);
    rules->blocked = calloc(count + 1, sizeof *rules->blocked);
    if (rules->page_script == NULL || rules->discover_script == NULL || rules->blocked == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        rules->blocked[i] = json_string_value(json_array_get(blocked, i));
    return DF_OK;
}

enum df_code scr_rules_load(struct scr_rules **out, const char *path, struct df_error *err)
{
    char beside[PATH_MAX];
    enum df_code rc = DF_OK;

    *out = NULL;
    if (path == NULL) {
        rc = default_path(beside, sizeof beside, err);
        path = beside;
    }
    if (rc != DF_OK)
        return rc;
    struct scr_rules *rules = calloc(1, sizeof *rules);
    if (rules == NULL)
        return df_error_set(err, DF_ENOMEM, "rules: out of memory");
    rc = read_rules(&rules->root, path, err);
    if (rc == DF_OK)
        rc = check_rules(rules->root, err);
    if (rc == DF_OK)
        rc = build(rules, err);
    if (rc == DF_OK) {
        *out = rules;
        return DF_OK;
    }
    scr_rules_free(rules);
    df_error_wrap(err, path);
    return rc;
}

void scr_rules_free(struct scr_rules *rules)
{
    if (rules == NULL)
        return;
    free(rules->page_script);
    free(rules->discover_script);
    free(rules->blocked);
    json_decref(rules->root);
    free(rules);
}

/* --- questions --- */

/* Does text[0..len) match a pattern in which * stands for any characters? Steps back only to the
 * last star, which is enough and keeps it linear in practice. */
static bool matches(const char *pattern, const char *text, size_t len)
{
    const char *end = text + len, *star = NULL, *resume = NULL;

    while (text < end) {
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool scr_rules_is_live_socket(const struct scr_rules *rules, const char *url)
{
    const char *path = strstr(url, "://");
    size_t i;
    json_t *pattern;

    path = path != NULL ? strpbrk(path + 3, "/?#") : NULL;
    if (path == NULL)
        return false;
    json_array_foreach(json_object_get(rules->root, "socket_paths"), i, pattern)
    {
        if (matches(json_string_value(pattern), path, strcspn(path, "?#")))
            return true;
    }
    return false;
}

const char *scr_rules_wall(const struct scr_rules *rules, const char *text)
{
    size_t i;
    json_t *entry;

    json_array_foreach(json_object_get(rules->root, "wall_texts"), i, entry)
    {
        if (strcasestr(text, json_string_value(entry)) != NULL)
            return json_string_value(entry);
    }
    return NULL;
}

const char *const *scr_rules_blocked(const struct scr_rules *rules)
{
    return rules->blocked;
}

const char *scr_rules_page_script(const struct scr_rules *rules)
{
    return rules->page_script;
}

const char *scr_rules_discover_script(const struct scr_rules *rules)
{
    return rules->discover_script;
}
