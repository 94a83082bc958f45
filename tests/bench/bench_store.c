/* tests/bench/bench_store.c - what Postgres alone takes for a chat row: no HTTP, no program.
 * BATCH 1 is the bare prepared insert that group commit is compared with; a larger BATCH is the
 * shape of the program's store statement (unnest joined with stream_sessions, conflicts ignored).
 * usage: bench_store CONNINFO SECONDS BATCH
 * prints one line: rows=N commits=N rows_per_s=X mean_ms=X p50_ms=X p99_ms=X */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/stats.h"

#define BATCH_MAX    1024
#define TEXT_PER_ROW 64

static const char single_sql[] =
    "insert into public.chat_messages (stream_session_id, username, message, platform) "
    "values ($1, $2, $3, $4)";
static const char batch_sql[] =
    "insert into public.chat_messages (id, stream_session_id, username, message, platform, "
    "created_at) select gen_random_uuid(), s.id, m.username, m.message, m.platform, "
    "clock_timestamp() from unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) "
    "as m(session_id, username, message, platform) "
    "join public.stream_sessions s on s.id = m.session_id on conflict do nothing";

static void die(PGconn *conn, const char *what)
{
    fprintf(stderr, "bench_store: %s: %s", what, PQerrorMessage(conn));
    exit(71);
}

/* The sessions rows are spread over; the caller frees the result with PQclear. */
static PGresult *load_sessions(PGconn *conn)
{
    PGresult *result = PQexec(conn, "select id from public.stream_sessions order by id");

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) == 0)
        die(conn, "sessions (is there one?)");
    return result;
}

/* Writes the four parameters of the next statement: plain values, or array literals of `batch`. */
static void fill(char *texts[4], const PGresult *sessions, int batch, uint64_t *row)
{
    size_t at[4] = {0};
    const size_t room = (size_t)batch * TEXT_PER_ROW + 8;

    for (int i = 0; i < batch; i++, (*row)++) {
        const char *open = batch == 1 ? "" : i == 0 ? "{" : ",";
        const char *shut = batch > 1 && i == batch - 1 ? "}" : "";
        int session = (int)(*row % (uint64_t)PQntuples(sessions));

        at[0] += (size_t)snprintf(texts[0] + at[0], room - at[0], "%s%s%s", open,
                                  PQgetvalue(sessions, session, 0), shut);
        at[1] += (size_t)snprintf(texts[1] + at[1], room - at[1], "%sviewer_%03d%s", open,
                                  (int)(*row % 997), shut);
        at[2] += (size_t)snprintf(texts[2] + at[2], room - at[2],
                                  "%sis number %llu still up for grabs tonight%s", open,
                                  (unsigned long long)(*row % 100000), shut);
        at[3] += (size_t)snprintf(texts[3] + at[3], room - at[3], "%swhatnot%s", open, shut);
    }
}

static void insert_once(PGconn *conn, char *texts[4])
{
    PGresult *result = PQexecPrepared(conn, "store", 4, (const char *const *)texts, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        die(conn, "insert");
    PQclear(result);
}

static void measure(PGconn *conn, long seconds, int batch)
{
    struct bench_samples samples = {0};
    PGresult *sessions = load_sessions(conn);
    uint64_t row = 0;
    char *texts[4];
    int64_t start, now;
    double p50, p99, took_s;

    for (int i = 0; i < 4; i++) {
        texts[i] = malloc((size_t)batch * TEXT_PER_ROW + 8);
        if (texts[i] == NULL)
            exit(70);
    }
    start = now = bench_now_ns();
    while (now - start < seconds * 1000000000LL) {
        int64_t after;

        fill(texts, sessions, batch, &row);
        insert_once(conn, texts);
        after = bench_now_ns();
        bench_samples_add(&samples, after - now);
        now = after;
    }
    took_s = (double)(now - start) / 1e9;
    p50 = bench_samples_percentile_ms(&samples, 0.5);
    p99 = bench_samples_percentile_ms(&samples, 0.99);
    printf("rows=%llu commits=%zu rows_per_s=%.0f mean_ms=%.3f p50_ms=%.3f p99_ms=%.3f\n",
           (unsigned long long)row, samples.count, (double)row / took_s,
           took_s * 1e3 / (double)samples.count, p50, p99);
    for (int i = 0; i < 4; i++)
        free(texts[i]);
    PQclear(sessions);
    bench_samples_release(&samples);
}

int main(int argc, char **argv)
{
    long seconds = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    long batch = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    PGresult *prepared;
    PGconn *conn;

    if (seconds < 1 || batch < 1 || batch > BATCH_MAX) {
        fprintf(stderr, "usage: bench_store CONNINFO SECONDS BATCH\n");
        return 64;
    }
    conn = PQconnectdb(argv[1]);
    if (PQstatus(conn) != CONNECTION_OK)
        die(conn, "connect");
    prepared = PQprepare(conn, "store", batch == 1 ? single_sql : batch_sql, 4, NULL);
    if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
        die(conn, "prepare");
    PQclear(prepared);
    measure(conn, seconds, (int)batch);
    PQfinish(conn);
    return 0;
}
