/* shared/intent/report.c - prints how good the held-out verdicts are. */
#include "shared/intent/report.h"

#include <stdlib.h>
#include <string.h>

#include "shared/intent/metrics.h"

static const struct df_capture_rule any_type = {0.7, (1u << DF_MESSAGE_TYPE_COUNT) - 1};

/* A slice takes the rows for which this is true; `key` is what it is about. */
typedef bool (*slice_test)(const struct df_example *row, const char *key);

static bool is_any(const struct df_example *row, const char *key)
{
    (void)row;
    (void)key;
    return true;
}

static bool is_language(const struct df_example *row, const char *key)
{
    return strcmp(row->lang, key) == 0;
}

static bool is_other_language(const struct df_example *row, const char *key)
{
    return strcmp(row->lang, key) != 0;
}

static bool is_platform(const struct df_example *row, const char *key)
{
    return row->line.platform_len == strlen(key) &&
           memcmp(row->line.platform, key, row->line.platform_len) == 0;
}

static size_t word_count(const struct df_example *row)
{
    const char *m = row->line.message;
    size_t n = 0;

    for (size_t i = 0; i < row->line.message_len; i++)
        n += m[i] != ' ' && (i == 0 || m[i - 1] == ' ');
    return n;
}

/* "3-5": from three to five words */
static bool is_length(const struct df_example *row, const char *key)
{
    size_t n = word_count(row), low = 0, high = 0;

    return sscanf(key, "%zu-%zu", &low, &high) == 2 && n >= low && n <= high;
}

/* The buyers of one type, and all others: what the type costs. */
static bool is_type_or_no_buyer(const struct df_example *row, const char *key)
{
    return !row->is_buyer || strcmp(df_message_type_name(row->type), key) == 0;
}

struct report {
    FILE *out;
    const struct df_dataset *set;
    const struct df_verdict *verdicts;
    struct df_scored *scratch;
};

static void print_slice(const struct report *r, const char *name, slice_test is_in, const char *key)
{
    struct df_counts c = {0};
    size_t n = 0, buyers = 0;

    for (size_t i = 0; i < r->set->count; i++) {
        const struct df_example *row = &r->set->rows[i];
        if (!is_in(row, key))
            continue;
        df_counts_add(&c, row->is_buyer, df_intent_should_capture(&r->verdicts[i], &any_type));
        r->scratch[n++] = (struct df_scored){r->verdicts[i].probability, row->is_buyer};
        buyers += row->is_buyer;
    }
    if (n == 0)
        return;
    (void)fprintf(r->out, "%-29s %6zu %7zu %9.3f %7.3f %6.3f", name, n, buyers,
                  df_counts_precision(&c), df_counts_recall(&c), df_counts_f1(&c));
    (void)fprintf(r->out, " %6.3f %6.3f\n", df_metric_auc(r->scratch, n),
                  df_metric_ece(r->scratch, n));
}

static const struct df_dataset *file_set; /* for is_file: one report at a time */

static bool is_file(const struct df_example *row, const char *key)
{
    return file_set->file_names[row->file] == key;
}

static void print_slices(const struct report *r)
{
    static const char *const platforms[] = {"whatnot", "tiktok", "instagram", "facebook",
                                            "youtube", "ebay",   "other"};
    static const char *const lengths[] = {"1-1", "2-3", "4-6", "7-10", "11-99"};

    print_slice(r, "all", is_any, "");
    for (size_t i = 0; i < r->set->count; i++) {
        const char *lang = r->set->rows[i].lang;
        bool is_first = true;
        for (size_t k = 0; k < i && is_first; k++)
            is_first = strcmp(r->set->rows[k].lang, lang) != 0;
        if (is_first)
            print_slice(r, lang, is_language, lang);
    }
    print_slice(r, "all but en", is_other_language, "en");
    for (int t = 0; t < DF_GENERAL; t++) {
        const char *name = df_message_type_name((enum df_message_type)t);
        print_slice(r, name, is_type_or_no_buyer, name);
    }
    for (size_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++)
        print_slice(r, platforms[i], is_platform, platforms[i]);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "%s words", lengths[i]);
        print_slice(r, name, is_length, lengths[i]);
    }
    file_set = r->set;
    for (uint32_t f = 0; f < r->set->file_count; f++)
        print_slice(r, r->set->file_names[f], is_file, r->set->file_names[f]);
}

static void print_types(FILE *out, const struct df_dataset *set, const struct df_verdict *verdicts)
{
    size_t table[DF_MESSAGE_TYPE_COUNT][DF_MESSAGE_TYPE_COUNT] = {{0}};
    size_t right = 0, found = 0;

    for (size_t i = 0; i < set->count; i++) {
        if (!set->rows[i].is_buyer)
            continue;
        table[set->rows[i].type][verdicts[i].type]++;
        if (verdicts[i].is_buyer) {
            found++;
            right += set->rows[i].type == verdicts[i].type;
        }
    }
    (void)fprintf(out, "message_type among buyers found: %.3f (%zu of %zu)\n",
                  found == 0 ? 0 : (double)right / (double)found, right, found);
    for (int t = 0; t < DF_GENERAL; t++) {
        (void)fprintf(out, "  %-17s ->", df_message_type_name((enum df_message_type)t));
        for (int k = 0; k < DF_MESSAGE_TYPE_COUNT; k++)
            (void)fprintf(out, " %6zu", table[t][k]);
        (void)fputs(t == 0 ? "  (direct product pricing interest general)\n" : "\n", out);
    }
}

static void print_values(FILE *out, const struct df_dataset *set, const struct df_verdict *verdicts)
{
    size_t there = 0, exact = 0, none = 0, invented = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct df_example *row = &set->rows[i];
        const struct df_verdict *v = &verdicts[i];
        if (row->value_cents != DF_VALUE_NONE) {
            there++;
            exact += v->value_cents == row->value_cents;
        } else {
            none++;
            invented += v->value_cents != DF_VALUE_NONE;
        }
    }
    (void)fprintf(out, "estimated_value: exact in %.3f of %zu rows that have one",
                  there == 0 ? 0 : (double)exact / (double)there, there);
    (void)fprintf(out, ", invented in %.4f of %zu that have none\n",
                  none == 0 ? 0 : (double)invented / (double)none, none);
}

static void print_items(FILE *out, const struct df_dataset *set, const struct df_verdict *verdicts)
{
    size_t said = 0, overlap = 0, exact = 0, there = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct df_example *row = &set->rows[i];
        const char *item = verdicts[i].item;
        there += row->item[0] != '\0';
        if (item[0] == '\0')
            continue;
        said++;
        exact += strcmp(item, row->item) == 0;
        overlap += row->item[0] != '\0' &&
                   (strstr(item, row->item) != NULL || strstr(row->item, item) != NULL);
    }
    (void)fprintf(out,
                  "item_description: said %zu, of these %.3f exact, %.3f exact or overlapping"
                  "; %zu labelled, %.3f found\n",
                  said, said == 0 ? 0 : (double)exact / (double)said,
                  said == 0 ? 0 : (double)overlap / (double)said, there,
                  there == 0 ? 0 : (double)overlap / (double)there);
}

enum df_code df_report_print(FILE *out, const struct df_dataset *set,
                             const struct df_verdict *verdicts, struct df_error *err)
{
    struct report r = {out, set, verdicts, calloc(set->count, sizeof *r.scratch)};

    if (r.scratch == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    (void)fprintf(out, "%-29s %6s %7s %9s %7s %6s %6s %6s\n", "slice", "rows", "buyers",
                  "precision", "recall", "F1", "AUC", "ECE");
    print_slices(&r);
    print_types(out, set, verdicts);
    print_values(out, set, verdicts);
    print_items(out, set, verdicts);
    free(r.scratch);
    return DF_OK;
}
