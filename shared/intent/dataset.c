/* shared/intent/dataset.c - reads the labelled chat lines. */
#include "shared/intent/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/text.h"

enum column { PLATFORM, USERNAME, MESSAGE, IS_BUYER, IS_DIRECT, TYPE, ITEM, VALUE, LANG, COLUMNS };

#define FILE_MAX_BYTES (64u << 20)

static enum df_code read_file(char **out, const char *folder, const char *name,
                              struct df_error *err)
{
    char path[4096];
    char *text = NULL;
    FILE *file = NULL;
    enum df_code rc = DF_OK;
    long size;

    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return df_error_set(err, DF_EINPUT, "path too long: %s", name);
    file = fopen(path, "rb");
    if (file == NULL)
        return df_error_set(err, DF_ENOTFOUND, "%s: %s", path, strerror(errno));
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || size > (long)FILE_MAX_BYTES ||
        fseek(file, 0, SEEK_SET) != 0) {
        rc = df_error_set(err, DF_EINPUT, "%s: cannot be measured or too big", path);
        goto out;
    }
    text = malloc((size_t)size + 1);
    if (text == NULL) {
        rc = df_error_set(err, DF_ENOMEM, "%s: out of memory", path);
        goto out;
    }
    if (fread(text, 1, (size_t)size, file) != (size_t)size) {
        rc = df_error_set(err, DF_EINPUT, "%s: short read", path);
        goto out;
    }
    text[size] = '\0';
    *out = text;
    text = NULL;
out:
    free(text);
    (void)fclose(file);
    return rc;
}

/* Takes the next line off *rest and ends it with NUL; NULL at the end. */
static char *take_line(char **rest)
{
    char *line = *rest;
    char *end;

    if (*line == '\0')
        return NULL;
    end = strchr(line, '\n');
    if (end == NULL) {
        *rest = line + strlen(line);
        return line;
    }
    *end = '\0';
    *rest = end + 1;
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

static bool split(char *line, char **fields)
{
    size_t n = 0;

    fields[n++] = line;
    for (; *line != '\0'; line++) {
        if (*line != '\t')
            continue;
        if (n == COLUMNS)
            return false;
        *line = '\0';
        fields[n++] = line + 1;
    }
    return n == COLUMNS;
}

static bool parse_row(struct df_example *row, char **fields)
{
    double value;
    char *end;

    if (!df_message_type_parse(&row->type, fields[TYPE], strlen(fields[TYPE])) ||
        (strcmp(fields[IS_BUYER], "0") != 0 && strcmp(fields[IS_BUYER], "1") != 0))
        return false;
    errno = 0;
    value = strtod(fields[VALUE], &end);
    if (errno != 0 || end == fields[VALUE] || *end != '\0' || !(value >= 0 && value < 1e8))
        return false;
    row->line = (struct df_chat_line){fields[PLATFORM],         fields[USERNAME],
                                      fields[MESSAGE],          strlen(fields[PLATFORM]),
                                      strlen(fields[USERNAME]), strlen(fields[MESSAGE])};
    row->is_buyer = fields[IS_BUYER][0] == '1';
    row->item = fields[ITEM];
    row->lang = fields[LANG];
    row->value_cents = value > 0 ? (int64_t)(value * 100 + 0.5) : DF_VALUE_NONE;
    row->weight = 1;
    return row->is_buyer == (row->type != DF_GENERAL);
}

static enum df_code add_row(struct df_dataset *set, const struct df_example *row,
                            struct df_error *err)
{
    if (set->count == set->capacity) {
        size_t capacity = set->capacity == 0 ? 4096 : set->capacity * 2;
        struct df_example *rows = reallocarray(set->rows, capacity, sizeof *rows);
        if (rows == NULL)
            return df_error_set(err, DF_ENOMEM, "out of memory");
        set->rows = rows;
        set->capacity = capacity;
    }
    set->rows[set->count++] = *row;
    return DF_OK;
}

static enum df_code read_tsv(struct df_dataset *set, const char *name, char *text,
                             struct df_error *err)
{
    char *rest = text;
    char *line = take_line(&rest); /* the header */
    size_t line_number = 1;

    while (line != NULL && (line = take_line(&rest)) != NULL) {
        struct df_example row = {.file = set->file_count};
        char *fields[COLUMNS];
        enum df_code rc;
        line_number++;
        if (!split(line, fields) || !parse_row(&row, fields))
            return df_error_set(err, DF_EINPUT, "%s:%zu: malformed row", name, line_number);
        rc = add_row(set, &row, err);
        if (rc != DF_OK)
            return rc;
    }
    set->file_count++;
    return DF_OK;
}

static int by_message(const void *a, const void *b)
{
    const struct df_example *const *x = a, *const *y = b;
    return strcmp((*x)->line.message, (*y)->line.message);
}

/* "message <tab> weight" lines; every row whose message is listed gets the weight. */
static enum df_code apply_weights(struct df_dataset *set, char *text, struct df_error *err)
{
    struct df_example **sorted = calloc(set->count, sizeof *sorted);
    char *rest = text;
    char *line = take_line(&rest);

    if (sorted == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    for (size_t i = 0; i < set->count; i++)
        sorted[i] = &set->rows[i];
    qsort(sorted, set->count, sizeof *sorted, by_message);
    while (line != NULL && (line = take_line(&rest)) != NULL) {
        char *tab = strchr(line, '\t');
        unsigned long weight = tab == NULL ? 0 : strtoul(tab + 1, NULL, 10);
        size_t low = 0, high = set->count;
        if (weight < 1 || weight > 1000) {
            free(sorted);
            return df_error_set(err, DF_EINPUT, "frequent-weights.txt: malformed line");
        }
        *tab = '\0';
        while (low < high) { /* the first row that is not before the message */
            size_t mid = (low + high) / 2;
            if (strcmp(sorted[mid]->line.message, line) < 0)
                low = mid + 1;
            else
                high = mid;
        }
        for (; low < set->count && strcmp(sorted[low]->line.message, line) == 0; low++)
            sorted[low]->weight = (uint32_t)weight;
    }
    free(sorted);
    return DF_OK;
}

static int is_tsv(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name);
    return n > 4 && strcmp(entry->d_name + n - 4, ".tsv") == 0;
}

/* By bytes, not by locale: the order of the rows must be the same everywhere. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

enum df_code df_dataset_read(struct df_dataset *out, const char *folder, struct df_error *err)
{
    struct dirent **names = NULL;
    struct df_error ignored;
    char *weights = NULL;
    enum df_code rc = DF_OK;
    int n = scandir(folder, &names, is_tsv, by_name);

    *out = (struct df_dataset){0};
    if (n < 0)
        return df_error_set(err, DF_ENOTFOUND, "%s: %s", folder, strerror(errno));
    out->texts = calloc((size_t)n + 1, sizeof *out->texts);
    out->file_names = calloc((size_t)n + 1, sizeof *out->file_names);
    if (out->texts == NULL || out->file_names == NULL)
        rc = df_error_set(err, DF_ENOMEM, "out of memory");
    for (int i = 0; i < n && rc == DF_OK; i++) {
        rc = read_file(&out->texts[out->text_count], folder, names[i]->d_name, err);
        if (rc == DF_OK &&
            (out->file_names[i] = strndup(names[i]->d_name, strlen(names[i]->d_name) - 4)) == NULL)
            rc = df_error_set(err, DF_ENOMEM, "out of memory");
        if (rc == DF_OK)
            rc = read_tsv(out, names[i]->d_name, out->texts[out->text_count++], err);
    }
    if (rc == DF_OK && out->count == 0)
        rc = df_error_set(err, DF_ENOTFOUND, "%s: no labelled rows", folder);
    if (rc == DF_OK && read_file(&weights, folder, "frequent-weights.txt", &ignored) == DF_OK)
        rc = apply_weights(out, weights, err);
    free(weights);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (rc != DF_OK)
        df_dataset_release(out);
    return rc;
}

void df_dataset_release(struct df_dataset *set)
{
    for (size_t i = 0; i < set->text_count; i++)
        free(set->texts[i]);
    for (size_t i = 0; set->file_names != NULL && i < set->text_count; i++)
        free(set->file_names[i]);
    free(set->file_names);
    free(set->texts);
    free(set->rows);
    *set = (struct df_dataset){0};
}
