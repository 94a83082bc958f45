/* fcgi/spend.c - leases of the day's budget, see sql/migrations/0024_ai_budget.sql. */
#include "fcgi/spend.h"

#include <string.h>

#include "shared/clock.h"
#include "shared/log.h"

enum { STATEMENT_MS = 2000, PAUSE_MS = 1000, DAY_MS = 86400000 };

const char mrs_spend_sql[] =
    "select dealflow.lease_ai_budget(date '1970-01-01' + (($2::int8[])[1])::int,"
    " ($1::text[])[1], ($2::int8[])[2], ($2::int8[])[3])";

static const char *const unit_names[] = {
    [MRS_BUDGET_CALLS] = "calls", [MRS_BUDGET_TOKENS] = "tokens", [MRS_BUDGET_CENTS] = "cents"};

void mrs_spend_init(struct mrs_spend *spend)
{
    memset(spend, 0, sizeof *spend);
    df_pg_array_init(&spend->words, 1024);
    df_pg_array_init(&spend->numbers, 1024);
}

void mrs_spend_release(struct mrs_spend *spend)
{
    df_pg_array_release(&spend->words);
    df_pg_array_release(&spend->numbers);
}

static enum df_code lease(struct mrs_spend *spend, struct df_pg *pg, enum mrs_budget_unit unit,
                          int64_t limit, int64_t wanted, int64_t *granted, struct df_error *err)
{
    struct pg_result *result = NULL;
    const struct df_pg_array *params[] = {&spend->words, &spend->numbers};
    const char *name = unit_names[unit];

    *granted = 0;
    enum df_code rc = df_pg_connect(pg, err);
    if (rc != DF_OK)
        return rc;
    df_pg_array_begin(&spend->words, DF_PG_TEXT);
    df_pg_array_add_text(&spend->words, name, strlen(name));
    df_pg_array_begin(&spend->numbers, DF_PG_INT8);
    df_pg_array_add_int8(&spend->numbers, spend->day);
    df_pg_array_add_int8(&spend->numbers, limit);
    df_pg_array_add_int8(&spend->numbers, wanted);
    rc = df_pg_execute(pg, MRS_SPEND_STATEMENT, params, 2, df_clock_mono_ms() + STATEMENT_MS,
                       &result, err);
    if (rc == DF_OK && df_pg_rows(result) == 1)
        *granted = df_pg_get_int8(result, 0, 0);
    df_pg_result_free(result);
    return rc;
}

static void note_refusal(struct mrs_spend *spend, bool is_refused, enum mrs_budget_unit unit)
{
    if (is_refused && !spend->was_refused)
        df_log(DF_LOG_WARN, "ai_budget_reached",
               "unit=%s effect=\"the embedded model decides until the next day (UTC)\""
               " hint=\"AI_BUDGET_DAY\"",
               unit_names[unit]);
    spend->was_refused = is_refused;
}

void mrs_spend_tend(struct mrs_spend *spend, struct mrs_gateway *gateway, struct df_pg *pg)
{
    enum mrs_budget_unit unit;
    struct df_error err = {0};
    int64_t limit = 0, granted = 0;
    int64_t now_ms = df_clock_mono_ms();
    int64_t day = df_clock_wall_ms() / DAY_MS;
    char quoted[256];

    if (day != spend->day) { /* yesterday's money is not worth anything today */
        (void)mrs_gateway_budget_surrender(gateway);
        spend->day = day;
        spend->next_ms = 0;
        spend->was_refused = false;
    }
    int64_t wanted = mrs_gateway_budget_wants(gateway, &unit, &limit);
    if (wanted == 0 || now_ms < spend->next_ms)
        return;
    if (lease(spend, pg, unit, limit, wanted, &granted, &err) != DF_OK) {
        spend->next_ms = now_ms + PAUSE_MS;
        df_log(DF_LOG_WARN, "ai_budget_unknown", "code=%s error=%s", df_error_name(err.code),
               df_log_quote(quoted, sizeof quoted, err.msg));
        return;
    }
    if (granted == 0)
        spend->next_ms = now_ms + PAUSE_MS;
    note_refusal(spend, granted == 0, unit);
    mrs_gateway_budget_grant(gateway, granted);
}

void mrs_spend_end(struct mrs_spend *spend, struct mrs_gateway *gateway, struct df_pg *pg)
{
    enum mrs_budget_unit unit;
    struct df_error err = {0};
    int64_t limit = 0, granted = 0;

    (void)mrs_gateway_budget_wants(gateway, &unit, &limit);
    int64_t left = mrs_gateway_budget_surrender(gateway);
    if (left > 0 && limit > 0 &&
        lease(spend, pg, unit, limit, -left, &granted, &err) != DF_OK)
        df_log(DF_LOG_WARN, "ai_budget_not_returned", "points=%lld unit=%s", (long long)left,
               unit_names[unit]);
}
