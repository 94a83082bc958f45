/* fcgi/rest/answer.c - what goes back to the caller. */
#include "fcgi/rest/answer.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPOSED                                                                                    \
    "access-control-expose-headers: Content-Encoding, Content-Location, Content-Range, "           \
    "Content-Type, Date, Location, Server, Transfer-Encoding, Range-Unit\r\n"

/* For clients that do not say in advance what they will send. */
#define USUAL_HEADERS                                                                              \
    "authorization, x-client-info, apikey, content-type, prefer, range, accept, accept-profile, "  \
    "content-profile, x-supabase-api-version, x-retry-count, traceparent, tracestate, baggage"

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {206, "Partial Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return "Status";
}

static void begin(struct df_buf *out, int status)
{
    df_buf_reset(out);
    df_buf_printf(out, "Status: %d %s\r\naccess-control-allow-origin: *\r\n" EXPOSED, status,
                  reason_of(status));
}

static void end(struct df_buf *out, const char *type, const char *body, size_t body_len,
                bool sends_body)
{
    if (type != NULL)
        df_buf_printf(out, "content-type: %s; charset=utf-8\r\n", type);
    /* HEAD: the length is not known without the body, so it is left out. */
    if (sends_body)
        df_buf_printf(out, "content-length: %zu\r\n", body_len);
    df_buf_append_str(out, "\r\n");
    if (sends_body)
        df_buf_append(out, body, body_len);
}

/* Names of headers and nothing else, or they would become headers of ours. */
static bool is_header_list(const char *text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ";
    return text != NULL && *text != '\0' && strspn(text, allowed) == strlen(text) &&
           strlen(text) < 2048;
}

int rst_answer_preflight(struct df_buf *out, const char *asked_headers)
{
    begin(out, 200);
    df_buf_append_str(out,
                      "access-control-allow-methods: GET, POST, PATCH, DELETE, OPTIONS, HEAD\r\n"
                      "access-control-max-age: 86400\r\n"
                      "access-control-allow-headers: ");
    df_buf_append_str(out, is_header_list(asked_headers) ? asked_headers : USUAL_HEADERS);
    df_buf_append_str(out, "\r\n");
    end(out, NULL, "", 0, true);
    return 200;
}

int rst_answer_error(struct df_buf *out, const struct rst_error *err, bool is_head)
{
    struct df_buf body;

    df_buf_init(&body, 65536);
    if (err->code[0] != '\0') {
        rst_error_print(err, &body);
    } else { /* as the hosted gateway says it */
        df_buf_append_str(&body, "{\"message\":\"");
        df_buf_append_str(&body, err->message); /* texts of caller.c: nothing to escape */
        df_buf_append_str(&body, "\",\"hint\":\"");
        df_buf_append_str(&body, err->hint);
        df_buf_append_str(&body, "\"}");
    }
    begin(out, err->status);
    if (err->status == 401)
        df_buf_append_str(out, strncmp(err->code, "PGRST30", 7) == 0
                                   ? "www-authenticate: Bearer error=\"invalid_token\"\r\n"
                                   : "www-authenticate: Bearer\r\n");
    if (err->status == 405)
        df_buf_append_str(out, "allow: GET, POST, PATCH, DELETE, OPTIONS, HEAD\r\n");
    if (err->status == 503)
        df_buf_append_str(out, "retry-after: 1\r\n");
    end(out, "application/json", body.data == NULL ? "" : body.data, body.len, !is_head);
    df_buf_release(&body);
    return err->status;
}

/* --- results --------------------------------------------------------------------------------- */

int64_t rst_rows_of(const struct rst_statement *statement, const struct pg_result *result)
{
    const char *text =
        statement->has_result ? PQgetvalue(result, 0, 0) : PQcmdTuples((PGresult *)result);
    return strtoll(text, NULL, 10);
}

bool rst_check_rows(const struct rst_head *head, int64_t rows, struct rst_error *err)
{
    if (head->wants_object && rows != 1 &&
        (head->method == RST_GET || head->method == RST_HEAD || head->returns == RST_RETURN_ROWS)) {
        (void)rst_fail(err, 406, "PGRST116", "Cannot coerce the result to a single JSON object");
        return rst_details(err, "The result contains %lld rows", (long long)rows);
    }
    if (head->max_affected >= 0 && head->method != RST_GET && head->method != RST_HEAD &&
        head->method != RST_POST && rows > head->max_affected) {
        (void)rst_fail(err, 400, "PGRST124",
                       "Query result exceeds max-affected preference constraint");
        return rst_details(err, "The query affects %lld rows", (long long)rows);
    }
    return true;
}

static const char *field(const PGresult *result, int which)
{
    return PQresultErrorField(result, which);
}

void rst_error_from_result(struct rst_error *err, const struct pg_result *result, bool is_anon)
{
    const char *state = field(result, PG_DIAG_SQLSTATE);
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);

    if (state == NULL) {
        (void)rst_fail(err, 503, "PGRST001", "Database client error. Retrying the connection.");
        return;
    }
    if (message == NULL)
        message = "";
    (void)rst_fail(err, rst_status_of(state, message, is_anon), state, "%s", message);
    if (field(result, PG_DIAG_MESSAGE_DETAIL) != NULL)
        (void)rst_details(err, "%s", field(result, PG_DIAG_MESSAGE_DETAIL));
    if (field(result, PG_DIAG_MESSAGE_HINT) != NULL)
        (void)rst_hint(err, "%s", field(result, PG_DIAG_MESSAGE_HINT));
}

/* Content-Range: 0-24/100. total NULL: not counted. first -1: no such part, as after an insert. */
static void put_range(struct df_buf *out, int64_t first, int64_t rows, const char *total)
{
    df_buf_append_str(out, "content-range: ");
    if (first < 0 || rows == 0)
        df_buf_append_char(out, '*');
    else
        df_buf_printf(out, "%lld-%lld", (long long)first, (long long)(first + rows - 1));
    df_buf_printf(out, "/%s\r\n", total == NULL ? "*" : total);
}

static void put_applied(struct df_buf *out, const struct rst_head *head)
{
    char applied[200];
    rst_head_applied(head, applied, sizeof applied);
    if (applied[0] != '\0')
        df_buf_printf(out, "preference-applied: %s\r\n", applied);
}

static const char *type_of(const struct rst_head *head)
{
    if (head->wants_object)
        return head->strips_nulls ? "application/vnd.pgrst.object+json;nulls=stripped"
                                  : "application/vnd.pgrst.object+json";
    return head->strips_nulls ? "application/vnd.pgrst.array+json;nulls=stripped"
                              : "application/json";
}

static int answer_read(struct df_buf *out, const struct rst_head *head,
                       const struct rst_statement *statement, const PGresult *result, int64_t rows,
                       struct rst_error *err)
{
    int status = 200;
    const char *total = PQgetisnull(result, 0, 2) ? NULL : PQgetvalue(result, 0, 2);

    if (total != NULL) {
        int64_t all = strtoll(total, NULL, 10);
        if (statement->offset > all) {
            (void)rst_fail(err, 416, "PGRST103", "Requested range not satisfiable");
            (void)rst_details(err, "An offset of %lld was requested, but there are only %lld rows.",
                              (long long)statement->offset, (long long)all);
            return rst_answer_error(out, err, head->method == RST_HEAD);
        }
        status = rows < all ? 206 : 200;
    }
    begin(out, status);
    put_range(out, statement->offset, rows, total);
    put_applied(out, head);
    end(out, type_of(head), PQgetvalue(result, 0, 1), (size_t)PQgetlength(result, 0, 1),
        head->method != RST_HEAD);
    return status;
}

static void put_encoded(struct df_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || (c != 0 && strchr("-_.~", c) != NULL);
        if (is_plain)
            df_buf_append_char(out, (char)c);
        else
            df_buf_printf(out, "%%%02X", c);
    }
}

/* Where the one row that was inserted is to be found. */
static void put_location(struct df_buf *out, const struct rst_statement *statement,
                         const PGresult *result)
{
    const struct rst_table *table = statement->table;
    int column = 2;

    df_buf_append_str(out, "location: /");
    put_encoded(out, table->name);
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].key_position == 0)
            continue;
        df_buf_append_char(out, column == 2 ? '?' : '&');
        put_encoded(out, table->columns[i].name);
        df_buf_append_str(out, "=eq.");
        put_encoded(out, PQgetvalue(result, 0, column++));
    }
    df_buf_append_str(out, "\r\n");
}

static int answer_write(struct df_buf *out, const struct rst_head *head,
                        const struct rst_statement *statement, const PGresult *result, int64_t rows)
{
    bool has_rows = head->returns == RST_RETURN_ROWS;
    int status = head->method == RST_POST ? 201 : has_rows ? 200 : 204;
    char total[24];

    (void)snprintf(total, sizeof total, "%lld", (long long)rows);
    begin(out, status);
    put_range(out, head->method == RST_PATCH ? 0 : -1, rows, head->counts ? total : NULL);
    put_applied(out, head);
    if (head->returns == RST_RETURN_HEADERS && statement->has_result && rows == 1)
        put_location(out, statement, result);
    if (has_rows)
        end(out, type_of(head), PQgetvalue(result, 0, 1), (size_t)PQgetlength(result, 0, 1), true);
    else
        end(out, NULL, "", 0, status != 204);
    return status;
}

int rst_answer_result(struct df_buf *out, const struct rst_head *head,
                      const struct rst_statement *statement, const struct pg_result *result,
                      struct rst_error *err)
{
    int64_t rows = rst_rows_of(statement, result);
    bool reads = head->method == RST_GET || head->method == RST_HEAD;

    if (!rst_check_rows(head, rows, err))
        return rst_answer_error(out, err, head->method == RST_HEAD);
    int status = reads ? answer_read(out, head, statement, result, rows, err)
                       : answer_write(out, head, statement, result, rows);
    if (!out->failed)
        return status;
    (void)rst_fail(err, 500, "54000", "The answer is larger than this server sends");
    (void)rst_hint(err, "Ask for fewer rows (limit) or columns (select).");
    return rst_answer_error(out, err, head->method == RST_HEAD);
}
