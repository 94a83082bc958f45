/* shared/intent/net_lines.c - the data set as the network reads it, and which tokens it knows. */
#include <stdlib.h>
#include <string.h>

#include "shared/intent/net_train.h"
#include "shared/intent/roles.h"

#define KNOWN_MIN 2 /* a token that comes once teaches nothing that its letters do not */

struct named {
    uint32_t name, count;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    return (x->name > y->name) - (x->name < y->name);
}

static int by_count(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return by_name(a, b);
}

static void give_row(struct df_net_lines *lines, uint32_t name, uint16_t row)
{
    size_t at = df_net_place(name);

    while (lines->rows[at] != 0)
        at = (at + 1) % DF_NET_INDEX;
    lines->keys[at] = name;
    lines->rows[at] = row;
}

static size_t row_of(const struct df_net_lines *lines, uint32_t name)
{
    size_t at = df_net_place(name);

    for (; lines->rows[at] != 0; at = (at + 1) % DF_NET_INDEX)
        if (lines->keys[at] == name)
            return lines->rows[at];
    return DF_NET_UNKNOWN;
}

/* Counts the names and gives rows to the most frequent. */
static bool give_rows(struct df_net_lines *lines, const struct df_dataset *set)
{
    static struct df_text text; /* one thread reads the data */
    size_t room = set->count * 8 + 64, n = 0, kept = 0;
    struct named *all = calloc(room, sizeof *all);

    for (size_t i = 0; all != NULL && i < set->count; i++) {
        const struct df_chat_line *line = &set->rows[i].line;
        if (df_role_of(line->username, line->username_len) == DF_ROLE_HOST)
            continue;
        df_text_read(&text, line->message, line->message_len);
        for (size_t t = 0; t < text.token_count; t++) {
            if (n == room) {
                struct named *more = reallocarray(all, room *= 2, sizeof *all);
                if (more == NULL) {
                    free(all);
                    return false;
                }
                all = more;
            }
            all[n++] = (struct named){df_net_name(&text, &text.tokens[t]), 1};
        }
    }
    if (all == NULL)
        return false;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && all[kept - 1].name == all[i].name)
            all[kept - 1].count++;
        else
            all[kept++] = all[i];
    }
    qsort(all, kept, sizeof *all, by_count);
    for (size_t i = 0; i < kept && i + DF_NET_FIRST_WORD < DF_NET_WORDS; i++)
        if (all[i].count >= KNOWN_MIN)
            give_row(lines, all[i].name, (uint16_t)(i + DF_NET_FIRST_WORD));
    free(all);
    return true;
}

static bool read_line(struct df_net_lines *lines, size_t i, const struct df_text *text)
{
    struct df_net_line *line = &lines->lines[i];
    size_t n = text->token_count < DF_NET_LINE_MAX ? text->token_count : DF_NET_LINE_MAX;

    line->tokens = calloc(n + 2, sizeof *line->tokens);
    if (line->tokens == NULL)
        return false;
    line->count = n + 2;
    line->tokens[0].row = DF_NET_BEGIN;
    line->tokens[n + 1].row = DF_NET_END;
    for (size_t t = 0; t < n; t++) {
        struct df_net_token *token = &line->tokens[t + 1];
        token->row = (uint16_t)row_of(lines, df_net_name(text, &text->tokens[t]));
        token->classes = df_net_classes(&text->tokens[t]);
        token->char_count = (uint16_t)df_net_chars(text, &text->tokens[t], token->chars);
    }
    for (size_t t = 0; t < n + 2; t++)
        if (line->tokens[t].row != DF_NET_UNKNOWN)
            lines->words[line->tokens[t].row] = &line->tokens[t];
    return true;
}

struct df_net_lines *df_net_lines_new(const struct df_dataset *set)
{
    static struct df_text text;
    struct df_net_lines *lines = calloc(1, sizeof *lines);

    if (lines == NULL)
        return NULL;
    lines->count = set->count;
    lines->lines = calloc(set->count + 1, sizeof *lines->lines);
    if (lines->lines == NULL || !give_rows(lines, set))
        goto failed;
    for (size_t i = 0; i < set->count; i++) {
        const struct df_chat_line *line = &set->rows[i].line;
        if (df_role_of(line->username, line->username_len) == DF_ROLE_HOST)
            continue;
        df_text_read(&text, line->message, line->message_len);
        if (text.token_count > 0 && !read_line(lines, i, &text))
            goto failed;
    }
    return lines;
failed:
    df_net_lines_free(lines);
    return NULL;
}

void df_net_lines_free(struct df_net_lines *lines)
{
    for (size_t i = 0; lines != NULL && lines->lines != NULL && i < lines->count; i++)
        free(lines->lines[i].tokens);
    if (lines != NULL)
        free(lines->lines);
    free(lines);
}
