/* tests/bench/fanout_writer.c - inserts rows at a steady rate, each a statement and a commit of its
 * own, and puts the time at which the commit was called into it.
 *
 * usage: bench_fanout_writer CONNINFO TABLE RATE_PER_S SECONDS TEAMS
 *   TABLE  has columns team int, sent_us bigint and body text; row i is of team i modulo TEAMS
 * prints one line: written=N seconds=X late_ms=X (how far behind its pace it was at most) */
#include <errno.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/stats.h"

enum { RATE_MAX = 10000, SQL_MAX = 256 };

static PGconn *prepare(const char *conninfo, const char *table)
{
    PGconn *db = PQconnectdb(conninfo);
    char sql[SQL_MAX];
    char *name = PQescapeIdentifier(db, table, strlen(table));
    PGresult *result;

    if (PQstatus(db) != CONNECTION_OK || name == NULL)
        goto fail;
    (void)snprintf(sql, sizeof sql,
                   "insert into public.%s (team, sent_us, body) values ($1, $2, $3)", name);
    PQfreemem(name);
    result = PQprepare(db, "add", sql, 0, NULL);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        goto fail;
    PQclear(result);
    return db;
fail:
    fprintf(stderr, "bench_fanout_writer: %s", PQerrorMessage(db));
    exit(69);
}

static void add(PGconn *db, long team)
{
    char team_text[24], sent_text[24];
    const char *values[] = {team_text, sent_text,
                            "I will take the blue one in size M, how much is shipping?"};
    PGresult *result;

    (void)snprintf(team_text, sizeof team_text, "%ld", team);
    (void)snprintf(sent_text, sizeof sent_text, "%lld", (long long)(bench_now_ns() / 1000));
    result = PQexecPrepared(db, "add", 3, values, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        fprintf(stderr, "bench_fanout_writer: %s", PQerrorMessage(db));
        exit(69);
    }
    PQclear(result);
}

int main(int argc, char **argv)
{
    long rate = argc == 6 ? strtol(argv[3], NULL, 10) : 0;
    long seconds = argc == 6 ? strtol(argv[4], NULL, 10) : 0;
    long teams = argc == 6 ? strtol(argv[5], NULL, 10) : 0;
    int64_t began, due, late = 0;
    PGconn *db;

    if (rate < 1 || rate > RATE_MAX || seconds < 1 || teams < 1) {
        fprintf(stderr, "usage: bench_fanout_writer CONNINFO TABLE RATE_PER_S SECONDS TEAMS\n");
        return 64;
    }
    db = prepare(argv[1], argv[2]);
    began = due = bench_now_ns();
    for (long i = 0; i < rate * seconds; i++, due += 1000000000 / rate) {
        struct timespec at = {due / 1000000000, due % 1000000000};

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            continue;
        if (bench_now_ns() - due > late)
            late = bench_now_ns() - due;
        add(db, i % teams);
    }
    printf("written=%ld seconds=%.3f late_ms=%.1f\n", rate * seconds,
           (double)(bench_now_ns() - began) / 1e9, (double)late / 1e6);
    PQfinish(db);
    return 0;
}
