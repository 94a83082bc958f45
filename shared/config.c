/* shared/config.c - the environment, and a file that may stand in for it, read by a table. */
#include "shared/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES 65536

static void *field_of(void *settings, const struct df_config_key *key)
{
    return (char *)settings + key->offset;
}

static const void *const_field_of(const void *settings, const struct df_config_key *key)
{
    return (const char *)settings + key->offset;
}

/* What a key accepts, for messages and --help. */
static const char *describe(char *out, size_t out_size, const struct df_config_key *key)
{
    int n = 0;

    switch (key->type) {
    case DF_CONFIG_STR:
        if (key->max > 0)
            n = snprintf(out, out_size, "a text of %lld to %lld bytes", (long long)key->min,
                         (long long)key->max);
        else
            n = snprintf(out, out_size, "a text");
        break;
    case DF_CONFIG_INT:
        n = snprintf(out, out_size, "a whole number from %lld to %lld", (long long)key->min,
                     (long long)key->max);
        break;
    case DF_CONFIG_NUMBER:
        n = snprintf(out, out_size, "a number from %lld to %lld", (long long)key->min,
                     (long long)key->max);
        break;
    case DF_CONFIG_CHOICE:
        n = snprintf(out, out_size, "one of %s", key->choices);
        break;
    }
    if (n < 0)
        out[0] = '\0';
    return out;
}

static enum df_code refuse(const struct df_config_key *key, const char *value, struct df_error *err)
{
    char accepted[120];

    describe(accepted, sizeof accepted, key);
    if ((key->flags & DF_CONFIG_SECRET) != 0)
        return df_error_set(err, DF_EINPUT, "%s: the value (%zu bytes, not shown) is not %s",
                            key->name, strlen(value), accepted);
    return df_error_set(err, DF_EINPUT, "%s: \"%.40s\"%s is not %s", key->name, value,
                        strlen(value) > 40 ? "..." : "", accepted);
}

/* The place of `value` in "a|b|c", or -1. */
static int find_choice(const char *choices, const char *value)
{
    size_t value_len = strlen(value);

    for (int index = 0;; index++) {
        size_t len = strcspn(choices, "|");
        if (len == value_len && memcmp(choices, value, len) == 0)
            return index;
        if (choices[len] == '\0')
            return -1;
        choices += len + 1;
    }
}

static bool read_int(int64_t *out, const struct df_config_key *key, const char *value)
{
    char *end;

    /* strtoll skips white space and takes a plus; a setting that looks odd is better refused */
    if (value[strspn(value, "-0123456789")] != '\0')
        return false;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || number < key->min || number > key->max)
        return false;
    *out = number;
    return true;
}

static bool read_number(double *out, const struct df_config_key *key, const char *value)
{
    char *end;

    /* no "inf", "nan" or hexadecimal */
    if (value[strspn(value, "-+.0123456789eE")] != '\0')
        return false;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || !(number >= (double)key->min && number <= (double)key->max))
        return false;
    *out = number;
    return true;
}

static enum df_code load_key(void *field, const struct df_config_key *key, const char *value,
                             struct df_error *err)
{
    bool ok = true;

    switch (key->type) {
    case DF_CONFIG_STR: {
        size_t len = strlen(value);
        if (len < (size_t)key->min || (key->max > 0 && len > (size_t)key->max))
            return refuse(key, value, err);
        char *copy = strdup(value);
        if (copy == NULL)
            return df_error_set(err, DF_ENOMEM, "%s: out of memory", key->name);
        *(char **)field = copy;
        break;
    }
    case DF_CONFIG_INT:
        ok = read_int(field, key, value);
        break;
    case DF_CONFIG_NUMBER:
        ok = read_number(field, key, value);
        break;
    case DF_CONFIG_CHOICE: {
        int index = find_choice(key->choices, value);
        ok = index >= 0;
        *(int *)field = ok ? index : 0;
        break;
    }
    }
    return ok ? DF_OK : refuse(key, value, err);
}

static void clear_key(void *field, const struct df_config_key *key)
{
    switch (key->type) {
    case DF_CONFIG_STR:
        *(char **)field = NULL;
        break;
    case DF_CONFIG_INT:
        *(int64_t *)field = 0;
        break;
    case DF_CONFIG_NUMBER:
        *(double *)field = 0;
        break;
    case DF_CONFIG_CHOICE:
        *(int *)field = 0;
        break;
    }
}

/* All fields, before any is filled: a half-filled struct can be released then. */
static void clear_all(void *settings, const struct df_config_key *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++)
        clear_key(field_of(settings, &keys[i]), &keys[i]);
}

/* --- a file of KEY=VALUE lines --- */

struct line {
    const char *name, *value; /* both in the file's text */
};

struct file {
    char *text; /* holds secrets: wiped before it is freed */
    size_t text_len;
    struct line *lines;
    size_t line_count;
};

static void release_file(struct file *file)
{
    if (file->text != NULL)
        explicit_bzero(file->text, file->text_len);
    free(file->text);
    free(file->lines);
    *file = (struct file){0};
}

static enum df_code read_file(struct file *file, const char *path, struct df_error *err)
{
    FILE *stream = fopen(path, "re");

    if (stream == NULL)
        return df_error_set(err, DF_ENOTFOUND, "%s: %s", path, strerror(errno));
    (void)setvbuf(stream, NULL, _IONBF, 0); /* secrets must not stay behind in a freed buffer */
    enum df_code rc = DF_OK;
    file->text = malloc(FILE_MAX_BYTES + 1);
    if (file->text == NULL)
        rc = df_error_set(err, DF_ENOMEM, "%s: out of memory", path);
    if (rc == DF_OK) {
        file->text_len = fread(file->text, 1, FILE_MAX_BYTES + 1, stream);
        if (ferror(stream))
            rc = df_error_set(err, DF_EINPUT, "%s: cannot be read", path);
        else if (file->text_len > FILE_MAX_BYTES)
            rc = df_error_set(err, DF_EINPUT, "%s: larger than %d bytes", path, FILE_MAX_BYTES);
        else
            file->text[file->text_len] = '\0';
    }
    (void)fclose(stream);
    return rc;
}

/* Cuts one line into name and value; false when it is no KEY=VALUE line. */
static bool cut_line(struct line *out, char *line)
{
    line += strspn(line, " \t");
    size_t name_len =
        strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    if (name_len == 0 || line[name_len] != '=')
        return false;
    char *value = line + name_len + 1;
    size_t len = strlen(value);
    while (len > 0 && strchr(" \t\r", value[len - 1]) != NULL)
        len--;
    if (len >= 2 && (value[0] == '"' || value[0] == '\'') && value[len - 1] == value[0]) {
        value++;
        len -= 2;
    }
    value[len] = '\0';
    line[name_len] = '\0';
    *out = (struct line){line, value};
    return true;
}

static enum df_code cut_lines(struct file *file, struct df_error *err)
{
    size_t count = 1;

    for (size_t i = 0; i < file->text_len; i++)
        count += file->text[i] == '\n';
    file->lines = calloc(count, sizeof *file->lines);
    if (file->lines == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (char *line = file->text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        if (cut_line(&file->lines[file->line_count], line))
            file->line_count++;
    }
    return DF_OK;
}

/* What counts for a key: the file's last word, else the environment's, else the default. */
static const char *value_of(const struct file *file, const struct df_config_key *key)
{
    const char *value = NULL;

    for (size_t i = file->line_count; i-- > 0 && value == NULL;) {
        if (strcmp(file->lines[i].name, key->name) == 0)
            value = file->lines[i].value;
    }
    if (value == NULL)
        value = getenv(key->name);
    return value == NULL || value[0] == '\0' ? key->fallback : value;
}

static enum df_code load(void *settings, const struct df_config_key *keys, size_t key_count,
                         const struct file *file, struct df_error *err)
{
    for (size_t i = 0; i < key_count; i++) {
        const char *value = value_of(file, &keys[i]);
        if (value == NULL)
            continue;
        enum df_code rc = load_key(field_of(settings, &keys[i]), &keys[i], value, err);
        if (rc != DF_OK)
            return rc;
    }
    return DF_OK;
}

enum df_code df_config_load(void *settings, const struct df_config_key *keys, size_t key_count,
                            struct df_error *err)
{
    const struct file none = {0};

    clear_all(settings, keys, key_count);
    return load(settings, keys, key_count, &none, err);
}

enum df_code df_config_load_file(void *settings, const struct df_config_key *keys, size_t key_count,
                                 const char *path, struct df_error *err)
{
    struct file file = {0};

    clear_all(settings, keys, key_count);
    enum df_code rc = read_file(&file, path, err);
    if (rc == DF_OK)
        rc = cut_lines(&file, err);
    if (rc == DF_OK)
        rc = load(settings, keys, key_count, &file, err);
    release_file(&file);
    return rc;
}

void df_config_release(void *settings, const struct df_config_key *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        if (keys[i].type != DF_CONFIG_STR)
            continue;
        char **text = field_of(settings, &keys[i]);
        if (*text != NULL && (keys[i].flags & DF_CONFIG_SECRET) != 0)
            explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}

void df_config_print_help(FILE *out, const struct df_config_key *keys, size_t key_count)
{
    int width = 0;

    for (size_t i = 0; i < key_count; i++) {
        int len = (int)strlen(keys[i].name);
        width = len > width ? len : width;
    }
    for (size_t i = 0; i < key_count; i++) {
        const struct df_config_key *key = &keys[i];
        (void)fprintf(out, "  %-*s  %s", width, key->name, key->help);
        if (key->type == DF_CONFIG_CHOICE)
            (void)fprintf(out, ": %s", key->choices);
        if (key->fallback != NULL && key->fallback[0] != '\0')
            (void)fprintf(out, " [%s]", key->fallback);
        (void)fputc('\n', out);
    }
}

static void print_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool control = (unsigned char)*text < 0x20 || *text == 0x7f;
        (void)fputc(control ? '?' : *text, out); /* a newline in a value must not fake a line */
    }
}

static void print_choice(FILE *out, const char *choices, int index)
{
    for (; index > 0 && *choices != '\0'; index--) {
        choices += strcspn(choices, "|");
        choices += *choices == '|';
    }
    (void)fprintf(out, "%.*s", (int)strcspn(choices, "|"), choices);
}

void df_config_print_values(FILE *out, const void *settings, const struct df_config_key *keys,
                            size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        const struct df_config_key *key = &keys[i];
        const void *field = const_field_of(settings, key);
        const char *text = key->type == DF_CONFIG_STR ? *(char *const *)field : NULL;

        (void)fprintf(out, "%s=", key->name);
        if ((key->flags & DF_CONFIG_SECRET) != 0)
            (void)fputs(text != NULL ? "(set)" : "(unset)", out);
        else if (key->type == DF_CONFIG_STR)
            print_text(out, text != NULL ? text : "");
        else if (key->type == DF_CONFIG_INT)
            (void)fprintf(out, "%lld", (long long)*(const int64_t *)field);
        else if (key->type == DF_CONFIG_NUMBER)
            (void)fprintf(out, "%.15g", *(const double *)field);
        else
            print_choice(out, key->choices, *(const int *)field);
        (void)fputc('\n', out);
    }
}
