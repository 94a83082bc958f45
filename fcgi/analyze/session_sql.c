/* fcgi/analyze/session_sql.c - parts are claimed, judged and marked; dry runs only read. */
#include "fcgi/analyze/session_sql.h"

#include "fcgi/ignored.h"
#include "fcgi/sale_sql.h"
#include "fcgi/spend.h"

#define LINE_COLUMNS                                                                               \
    " m.id, m.username, m.message, m.platform, coalesce(a.captured, false), s.id is not null"

#define LINE_FACTS                                                                                 \
    "  left join public.message_analysis a on a.message_id = m.id"                                 \
    "  left join public.sales_captured s on s.id = m.id"

static const char begin_sql[] =
    "select run_id, analyzer, threshold, array_to_string(message_types, ',')"
    "  from dealflow.begin_reanalysis(($1::uuid[])[1], ($2::text[])[1], ($3::float8[])[1],"
    "    $4::text[], ($5::int8[])[1]::int, ($6::bool[])[1])";

static const char claim_sql[] =
    "with claimed as materialized ("
    " select p.part, p.message_ids from dealflow.reanalysis_parts p"
    "  where p.run_id = ($1::uuid[])[1] and p.done_at is null"
    "  order by p.part limit 1 for update skip locked)"
    " select c.part," LINE_COLUMNS "  from claimed c"
    "  left join public.chat_messages m on m.id = any (c.message_ids)" LINE_FACTS;

/* As the function writes a verdict, but in place of one that may be there. What became a sale once
 * does not become one again: its owner may have deleted it. */
static const char write_sql[] =
    "with input as materialized ("
    " select * from unnest($1::uuid[], $2::bool[], $3::float8[], $4::text[], $5::text[],"
    "   $6::int8[], $7::text[], $8::text[], $9::bool[])"
    "   as t(id, is_buyer, confidence, message_type, item, value_cents, analyzer, model, capture)),"
    " judged as materialized ("
    " select i.*, m.stream_session_id as session_id, m.username, m.message, m.platform, s.user_id,"
    "   i.capture and not coalesce(a.captured, false) and m.platform" CAN_BE_SOLD
    "   from input i join public.chat_messages m on m.id = i.id"
    "   join public.stream_sessions s on s.id = m.stream_session_id"
    "   left join public.message_analysis a on a.message_id = i.id),"
    " analysed as ("
    " insert into public.message_analysis as a (message_id, is_buyer, confidence, message_type,"
    "   item_description, estimated_value, analyzer, model, captured)"
    " select j.id, j.is_buyer, j.confidence, j.message_type, j.item, j.value_cents::numeric / 100,"
    "   j.analyzer, j.model, j.captured from judged j"
    " on conflict (message_id) do update set is_buyer = excluded.is_buyer,"
    "   confidence = excluded.confidence, message_type = excluded.message_type,"
    "   item_description = excluded.item_description, estimated_value = excluded.estimated_value,"
    "   analyzer = excluded.analyzer, model = excluded.model, analyzed_at = clock_timestamp(),"
    "   captured = a.captured or excluded.captured)," SALE_AND_COUNTERS " select id from sold";

static const char part_done_sql[] =
    "update dealflow.reanalysis_parts set done_at = clock_timestamp(), judged = ($3::int8[])[1],"
    "  unanswered = ($3::int8[])[2], buyers = ($3::int8[])[3], new_sales = ($3::int8[])[4],"
    "  kept_sales = ($3::int8[])[5]"
    " where run_id = ($1::uuid[])[1] and part = ($2::int8[])[1]";

static const char totals_sql[] =
    "select coalesce(sum(cardinality(message_ids)), 0)::int8,"
    "  coalesce(sum(cardinality(message_ids)) filter (where done_at is not null), 0)::int8,"
    "  coalesce(sum(judged), 0)::int8, coalesce(sum(unanswered), 0)::int8,"
    "  coalesce(sum(buyers), 0)::int8, coalesce(sum(new_sales), 0)::int8,"
    "  coalesce(sum(kept_sales), 0)::int8,"
    "  count(*) filter (where done_at is null)"
    " from dealflow.reanalysis_parts where run_id = ($1::uuid[])[1]";

static const char finish_sql[] =
    "update dealflow.reanalysis_runs set finished_at = clock_timestamp()"
    " where id = ($1::uuid[])[1] and finished_at is null";

static const char abandoned_sql[] =
    "select abandoned from dealflow.reanalysis_runs where id = ($1::uuid[])[1]";

static const char kept_sql[] =
    "select s.id, a.confidence, s.buyer_username, s.message_text"
    " from public.sales_captured s join public.message_analysis a on a.message_id = s.id"
    " where s.stream_session_id = ($1::uuid[])[1]"
    "  and not (a.is_buyer and a.confidence >= ($2::float8[])[1] and a.message_type = any "
    "($3::text[]))"
    " order by a.confidence, s.id limit 20";

static const char ids_sql[] = "select m.id from public.stream_sessions t"
                              "  left join public.chat_messages m on m.stream_session_id = t.id"
                              " where t.id = ($1::uuid[])[1] order by m.created_at, m.id";

static const char read_sql[] = "select 0," LINE_COLUMNS "  from public.chat_messages m" LINE_FACTS
                               " where m.id = any ($1::uuid[]) order by m.created_at, m.id";

const struct df_pg_statement an_session_statements[] = {
    {"begin_run", begin_sql},        {"claim_part", claim_sql},
    {"write_lines", write_sql},      {"part_done", part_done_sql},
    {"run_totals", totals_sql},      {"finish_run", finish_sql},
    {"is_abandoned", abandoned_sql}, {"kept_sales", kept_sql},
    {"session_ids", ids_sql},        {"read_lines", read_sql},
    MRS_IGNORED_STATEMENT,           {MRS_SPEND_STATEMENT, mrs_spend_sql},
};
const size_t an_session_statement_count =
    sizeof an_session_statements / sizeof an_session_statements[0];
