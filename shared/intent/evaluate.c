/* shared/intent/evaluate.c - cross-validation through the very function that runs in production. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/intent/report.h"
#include "shared/intent/trainer.h"

#define FOLDS 5 /* by cluster; which one is a hash, so that it never changes for a row */

static uint32_t part_of(const struct df_example *row, enum trainer_split split)
{
    return split == BY_FILE ? row->file : df_hash_mix(1, row->cluster) % FOLDS;
}

/* Rows outside the part, without those whose twin is in it. */
static void choose_rows(const struct df_dataset *set, enum trainer_split split, uint32_t part,
                        uint8_t *use)
{
    uint8_t *is_touched = trainer_alloc(set->count, 1); /* by cluster */

    for (size_t i = 0; i < set->count; i++)
        if (part_of(&set->rows[i], split) == part)
            is_touched[set->rows[i].cluster] = 1;
    for (size_t i = 0; i < set->count; i++)
        use[i] = is_touched[set->rows[i].cluster] == 0;
    free(is_touched);
}

static int write_rows(const char *path, const struct df_dataset *set,
                      const struct df_verdict *verdicts)
{
    FILE *file = fopen(path, "w");
    bool ok = file != NULL;

    for (size_t i = 0; i < set->count && ok; i++) {
        const struct df_example *row = &set->rows[i];
        const struct df_verdict *v = &verdicts[i];
        ok = fprintf(file, "%u\t%d\t%s\t%lld\t%s\t%.4f\t%s\t%lld\t%s\t%s\t%s\n",
                     (unsigned)row->file + 1, row->is_buyer, df_message_type_name(row->type),
                     (long long)row->value_cents, row->item, v->confidence,
                     df_message_type_name(v->type), (long long)v->value_cents, v->item, row->lang,
                     row->line.message) > 0;
    }
    ok = file != NULL && fclose(file) == 0 && ok;
    if (!ok)
        perror(path);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int trainer_evaluate(const struct trainer *t, enum trainer_split split, const char *rows_path)
{
    const struct df_dataset *set = &t->set;
    struct df_verdict *verdicts = trainer_alloc(set->count, sizeof *verdicts);
    struct df_weights *w = trainer_alloc(1, sizeof *w);
    uint8_t *use = trainer_alloc(set->count, 1);
    uint32_t parts = split == BY_FILE ? set->file_count : FOLDS;
    struct df_error err;
    enum df_code rc;
    int status;

    for (uint32_t part = 0; part < parts; part++) {
        choose_rows(set, split, part, use);
        trainer_build(t, use, w);
        for (size_t i = 0; i < set->count; i++)
            if (part_of(&set->rows[i], split) == part)
                df_weights_classify(w, &set->rows[i].line, &verdicts[i]);
        (void)fprintf(stderr, "part %u of %u: cut %.3f\n", (unsigned)part + 1, (unsigned)parts,
                      (double)w->cut);
    }
    rc = df_report_print(stdout, set, verdicts, &err);
    if (rc != DF_OK)
        (void)fprintf(stderr, "intent_train: %s\n", err.msg);
    status = rc == DF_OK ? EXIT_SUCCESS : EXIT_FAILURE;
    if (status == EXIT_SUCCESS && rows_path != NULL)
        status = write_rows(rows_path, set, verdicts);
    free(verdicts);
    free(w);
    free(use);
    return status;
}
