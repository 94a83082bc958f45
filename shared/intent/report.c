/* shared/intent/report.c - prints how good the held-out verdicts are. */
#include "shared/intent/report.h"

#include <stdlib.h>
#include <string.h>

#include "shared/intent/metrics.h"

static const struct df_capture_rule any_type = {0.7, (1u << DF_MESSAGE_TYPE_COUNT) - 1};

struct slice {
    const char *lang; /* NULL: all */
    int file;         /* -1: all */
};

static bool is_in(const struct slice *s, const struct df_example *row)
{
    return (s->lang == NULL || strcmp(s->lang, row->lang) == 0) &&
           (s->file < 0 || (uint32_t)s->file == row->file);
}

static void print_slice(FILE *out, const char *name, const struct slice *s,
                        const struct df_dataset *set, const struct df_verdict *verdicts,
                        struct df_scored *scratch)
{
    struct df_counts c = {0};
    size_t n = 0, buyers = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct df_example *row = &set->rows[i];
        if (!is_in(s, row))
            continue;
        df_counts_add(&c, row->is_buyer, df_intent_should_capture(&verdicts[i], &any_type));
        scratch[n++] = (struct df_scored){verdicts[i].probability, row->is_buyer};
        buyers += row->is_buyer;
    }
    (void)fprintf(out, "%-10s %6zu %7zu %9.3f %7.3f %6.3f", name, n, buyers,
                  df_counts_precision(&c), df_counts_recall(&c), df_counts_f1(&c));
    (void)fprintf(out, " %6.3f %6.3f\n", df_metric_auc(scratch, n), df_metric_ece(scratch, n));
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
    size_t said = 0, said_right = 0, there = 0, exact = 0, captured = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct df_example *row = &set->rows[i];
        const struct df_verdict *v = &verdicts[i];
        there += row->value_cents != DF_VALUE_NONE;
        said += v->value_cents != DF_VALUE_NONE;
        said_right += v->value_cents != DF_VALUE_NONE && v->value_cents == row->value_cents;
        if (row->is_buyer && v->is_buyer) {
            captured++;
            exact += v->value_cents == row->value_cents;
        }
    }
    (void)fprintf(out, "estimated_value: precision %.3f, recall %.3f (%zu labelled)",
                  said == 0 ? 0 : (double)said_right / (double)said,
                  there == 0 ? 0 : (double)said_right / (double)there, there);
    (void)fprintf(out, "; exact (or rightly none) for %.3f of buyers found\n",
                  captured == 0 ? 0 : (double)exact / (double)captured);
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
    struct df_scored *scratch = calloc(set->count, sizeof *scratch);
    struct slice all = {NULL, -1};

    if (scratch == NULL)
        return df_error_set(err, DF_ENOMEM, "out of memory");
    (void)fprintf(out, "%-10s %6s %7s %9s %7s %6s %6s %6s\n", "slice", "rows", "buyers",
                  "precision", "recall", "F1", "AUC", "ECE");
    print_slice(out, "all", &all, set, verdicts, scratch);
    for (size_t i = 0; i < set->count; i++) {
        struct slice one = {set->rows[i].lang, -1};
        bool is_first = true;
        for (size_t k = 0; k < i && is_first; k++)
            is_first = strcmp(set->rows[k].lang, one.lang) != 0;
        if (is_first)
            print_slice(out, one.lang, &one, set, verdicts, scratch);
    }
    for (uint32_t f = 0; f < set->file_count; f++) {
        struct slice one = {NULL, (int)f};
        char name[24];
        (void)snprintf(name, sizeof name, "file %u", (unsigned)f + 1);
        print_slice(out, name, &one, set, verdicts, scratch);
    }
    print_types(out, set, verdicts);
    print_values(out, set, verdicts);
    print_items(out, set, verdicts);
    free(scratch);
    return DF_OK;
}
