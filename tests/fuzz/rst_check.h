/* tests/fuzz/rst_check.h - what must hold for every statement of dealflow-rest, whatever was asked:
 * nothing a caller wrote stands in it but an alias of harmless letters. */
#ifndef TESTS_RST_CHECK_H
#define TESTS_RST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/rest/sql.h"
#include "tests/unit/rst_catalog_sample.h"

/* Between double quotes: an alias, or the one odd name of the catalogue. */
static const char *skip_quoted(const char *at)
{
    static const char odd[] = "\"Odd \"\"one\"";
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$ -";

    if (strncmp(at, odd, sizeof odd - 1) == 0)
        return at + sizeof odd - 1;
    for (at++; *at != '"'; at++) {
        if (*at == '\0' || ((unsigned char)*at < 0x80 && strchr(letters, *at) == NULL))
            abort();
    }
    return at + 1;
}

/* Between single quotes: our own texts. */
static const char *skip_literal(const char *at)
{
    static const char *const own[] = {"'[]'", "'null'", "'none'", "''"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strncmp(at, own[i], strlen(own[i])) == 0)
            return at + strlen(own[i]);
    }
    abort();
}

static void check_sql(const struct rst_statement *statement)
{
    long highest = 0;

    if (statement->sql.data == NULL || strlen(statement->sql.data) != statement->sql.len)
        abort();
    for (const char *at = statement->sql.data; *at != '\0';) {
        if (*at == '"') {
            at = skip_quoted(at);
        } else if (*at == '\'') {
            at = skip_literal(at);
        } else if (*at == ';' || *at == '\\' || (unsigned char)*at < 0x20 ||
                   (unsigned char)*at >= 0x7f || strncmp(at, "--", 2) == 0 ||
                   strncmp(at, "/*", 2) == 0) {
            abort();
        } else if (*at == '$') {
            char *end;
            long number = strtol(at + 1, &end, 10);
            if (end == at + 1 || number < 1 || number > statement->param_count)
                abort();
            highest = number > highest ? number : highest;
            at = end;
        } else {
            at++;
        }
    }
    if (highest != statement->param_count)
        abort();
    for (int i = 0; i < statement->param_count; i++) {
        if (statement->params[i] == NULL)
            abort();
    }
}

/* An error says which one it is. */
static void check_error(const struct rst_error *err)
{
    struct df_buf out;

    if (err->status < 400 || err->status > 599 || err->code[0] == '\0' || err->message[0] == '\0')
        abort();
    df_buf_init(&out, 1 << 16);
    rst_error_print(err, &out);
    if (out.failed)
        abort();
    df_buf_release(&out);
}

static struct rst_catalog *the_catalog(void)
{
    static struct rst_catalog *catalog; /* reachable to the end: no leak */
    if (catalog == NULL)
        catalog = sample_catalog();
    return catalog;
}

/* Builds the statement and checks it or the error. */
static void try_statement(enum rst_method method, enum rst_return returns, const char *table,
                          const struct rst_query *query, const struct rst_body *body,
                          struct rst_arena *arena)
{
    struct rst_error err = {0};
    struct rst_statement statement;
    const struct rst_head head = {.method = method,
                                  .table = table,
                                  .returns = returns,
                                  .counts = method == RST_HEAD,
                                  .resolution = method == RST_POST ? RST_MERGE : RST_NO_RESOLUTION,
                                  .missing_is_default = returns == RST_RETURN_ROWS,
                                  .max_affected = -1,
                                  .range_first = -1,
                                  .range_last = INT64_MAX};

    if (rst_sql_build(&statement, &head, query, body, the_catalog(), 1000, arena, &err))
        check_sql(&statement);
    else
        check_error(&err);
    rst_statement_release(&statement);
}

#endif
