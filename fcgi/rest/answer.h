/* fcgi/rest/answer.h - whole CGI answers: status, headers, body. */
#ifndef FCGI_REST_ANSWER_H
#define FCGI_REST_ANSWER_H

#include "fcgi/rest/db.h"
#include "fcgi/rest/head.h"
#include "fcgi/rest/sql.h"

/* Each empties `out`, writes into it and returns the HTTP status. */
int rst_answer_preflight(struct df_buf *out, const char *asked_headers); /* may be NULL */
int rst_answer_error(struct df_buf *out, const struct rst_error *err, bool is_head);
/* The result of a statement that was committed. *err is scratch. */
int rst_answer_result(struct df_buf *out, const struct rst_head *head,
                      const struct rst_statement *statement, const struct pg_result *result,
                      struct rst_error *err);

/* What Postgres said, as PostgREST passes it on. */
void rst_error_from_result(struct rst_error *err, const struct pg_result *result, bool is_anon);
/* How many rows a statement returned or changed. */
int64_t rst_rows_of(const struct rst_statement *statement, const struct pg_result *result);
/* PGRST116 and PGRST124: false when that many rows are not what the request allows. */
bool rst_check_rows(const struct rst_head *head, int64_t rows, struct rst_error *err);

#endif
