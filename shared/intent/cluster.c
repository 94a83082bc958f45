/* shared/intent/cluster.c - groups near-duplicate rows, so that no evaluation fold is judged on a
 * line whose twin was trained on. */
#include "shared/intent/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "shared/intent/text.h"

#define GRAM 4

struct grams {
    uint32_t *hashes; /* sorted, distinct */
    size_t count;
};

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* 4-grams over the folded message, words separated by one space, with a space at both ends. */
static bool read_grams(struct grams *out, const struct df_chat_line *line)
{
    static struct df_text text; /* the trainer has one thread; this is too big for comfort */
    uint32_t flat[DF_TEXT_MAX_CHARS + DF_TEXT_MAX_TOKENS + 3];
    size_t n = 0, kept = 0;

    df_text_read(&text, line->message, line->message_len);
    for (size_t t = 0; t < text.token_count; t++) {
        if (t == 0 || !text.tokens[t].glued)
            flat[n++] = ' ';
        for (size_t i = text.tokens[t].start; i < text.tokens[t].end; i++)
            flat[n++] = text.chars[i];
    }
    flat[n++] = ' ';
    out->count = n >= GRAM ? n - GRAM + 1 : 1;
    out->hashes = malloc(out->count * sizeof *out->hashes);
    if (out->hashes == NULL)
        return false;
    for (size_t i = 0; i < out->count; i++) {
        uint32_t h = 0x811c9dc5u;
        for (size_t k = i; k < i + GRAM && k < n; k++)
            h = df_hash_mix(h, flat[k]);
        out->hashes[i] = h;
    }
    qsort(out->hashes, out->count, sizeof *out->hashes, by_value);
    for (size_t i = 0; i < out->count; i++)
        if (i == 0 || out->hashes[i] != out->hashes[i - 1])
            out->hashes[kept++] = out->hashes[i];
    out->count = kept;
    return true;
}

static uint32_t find(struct df_dataset *set, uint32_t i)
{
    while (set->rows[i].cluster != i) {
        set->rows[i].cluster = set->rows[set->rows[i].cluster].cluster;
        i = set->rows[i].cluster;
    }
    return i;
}

struct posting {
    uint32_t gram, row;
};

static int by_gram(const void *a, const void *b)
{
    const struct posting *x = a, *y = b;
    if (x->gram != y->gram)
        return x->gram < y->gram ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static const struct posting *first_of(const struct posting *all, size_t count, uint32_t gram)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (all[mid].gram < gram)
            low = mid + 1;
        else
            high = mid;
    }
    return all + low;
}

/* Joins row i with every later row that shares enough grams; shared[] is all zero before and
 * after. */
static void join_row(struct df_dataset *set, const struct grams *grams, uint32_t i,
                     const struct posting *all, size_t count, uint32_t *shared, uint32_t *touched)
{
    size_t touched_count = 0;

    for (size_t g = 0; g < grams[i].count; g++) {
        const struct posting *p = first_of(all, count, grams[i].hashes[g]);
        for (; p < all + count && p->gram == grams[i].hashes[g]; p++) {
            if (p->row <= i)
                continue;
            if (shared[p->row]++ == 0)
                touched[touched_count++] = p->row;
        }
    }
    for (size_t k = 0; k < touched_count; k++) {
        uint32_t j = touched[k];
        size_t together = grams[i].count + grams[j].count - shared[j];
        if (shared[j] * 10 >= together * 6)
            set->rows[find(set, j)].cluster = find(set, i);
        shared[j] = 0;
    }
}

enum df_code df_dataset_cluster(struct df_dataset *set, struct df_error *err)
{
    struct grams *grams = calloc(set->count, sizeof *grams);
    uint32_t *shared = calloc(set->count, sizeof *shared);
    uint32_t *touched = calloc(set->count, sizeof *touched);
    struct posting *all = NULL;
    size_t total = 0, n = 0;
    enum df_code rc = df_error_set(err, DF_ENOMEM, "out of memory");

    if (grams == NULL || shared == NULL || touched == NULL)
        goto out;
    for (size_t i = 0; i < set->count; i++) {
        if (!read_grams(&grams[i], &set->rows[i].line))
            goto out;
        total += grams[i].count;
        set->rows[i].cluster = (uint32_t)i;
    }
    all = calloc(total, sizeof *all);
    if (all == NULL)
        goto out;
    for (size_t i = 0; i < set->count; i++)
        for (size_t g = 0; g < grams[i].count; g++)
            all[n++] = (struct posting){grams[i].hashes[g], (uint32_t)i};
    qsort(all, n, sizeof *all, by_gram);
    for (uint32_t i = 0; i < set->count; i++)
        join_row(set, grams, i, all, n, shared, touched);
    for (uint32_t i = 0; i < set->count; i++)
        set->rows[i].cluster = find(set, i);
    rc = DF_OK;
out:
    for (size_t i = 0; grams != NULL && i < set->count; i++)
        free(grams[i].hashes);
    free(grams);
    free(shared);
    free(touched);
    free(all);
    return rc;
}
