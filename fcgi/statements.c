/* fcgi/statements.c - the SQL of storing, verdict and capture, for many rows in one statement. */
#include "fcgi/batch.h"
#include "fcgi/sale_sql.h"

/* Arrays in, one row per id that was inserted and per sale out: who is missing among the inserted
 * is worked out here, because joining the answer to the input again costs Postgres more than it
 * costs us. clock_timestamp() per row keeps the order of arrival inside a batch.
 *
 * `target` reads each session once; rows of an unknown session, or of somebody else's, drop out of
 * the join instead of failing the batch. */
static const char store_message_sql[] =
    "with input as materialized ("
    " select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[])"
    "   as t(id, session_id, owner, username, message, platform)),"
    " target as materialized ("
    " select s.id, s.user_id from public.stream_sessions s"
    "  where s.id = any (array(select distinct session_id from input))),"
    " stored as ("
    " insert into public.chat_messages"
    "   (id, stream_session_id, username, message, platform, created_at)"
    " select i.id, t.id, i.username, i.message, i.platform, clock_timestamp()"
    "   from input i join target t on t.id = i.session_id"
    "  where i.owner is null or i.owner = t.user_id"
    " on conflict (id) do nothing returning id)"
    " select 'm'::text, id, null::uuid from stored"
    " union all select 't', id, user_id from target";

static const char store_judged_sql[] =
    "with input as materialized ("
    " select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],"
    "   $7::bool[], $8::float8[], $9::text[], $10::text[], $11::int8[], $12::text[], $13::text[],"
    "   $14::bool[])"
    "   as t(id, session_id, owner, username, message, platform, is_buyer, confidence,"
    "        message_type, item, value_cents, analyzer, model, capture)),"
    " target as materialized ("
    " select s.id, s.user_id from public.stream_sessions s"
    "  where s.id = any (array(select distinct session_id from input))),"
    " stored as ("
    " insert into public.chat_messages"
    "   (id, stream_session_id, username, message, platform, created_at)"
    " select i.id, t.id, i.username, i.message, i.platform, clock_timestamp()"
    "   from input i join target t on t.id = i.session_id"
    "  where i.owner is null or i.owner = t.user_id"
    " on conflict (id) do nothing returning id),"
    " judged as materialized ("
    " select i.*, t.user_id, i.capture and t.user_id is not null and i.platform" CAN_BE_SOLD
    "   from stored join input i using (id) join target t on t.id = i.session_id),"
    " analysed as ("
    " insert into public.message_analysis (message_id, is_buyer, confidence, message_type,"
    "   item_description, estimated_value, analyzer, model, captured)"
    " select j.id, j.is_buyer, j.confidence, j.message_type, j.item, j.value_cents::numeric / 100,"
    "   j.analyzer, j.model, j.captured from judged j)," SALE_AND_COUNTERS
    " select 'm'::text, id, null::uuid from stored"
    " union all select 't', id, user_id from target"
    " union all select 's', id, null from sold";

/* --- the fast way ---
 * Callers who may write to any session, which is nearly all there is: no owner to compare, and the
 * foreign key finds an unknown session. It fails the statement then, which is run again the careful
 * way; so are the batches of the next second. A quarter more messages a second at 32 and 128
 * connections. The variants with conflicts are for ids that callers chose. */
#define INSERT_INPUT(columns)                                                                      \
    " insert into public.chat_messages"                                                            \
    "   (id, stream_session_id, username, message, platform, created_at)"                          \
    " select " columns ", clock_timestamp() from "

#define FAST_MESSAGE                                                                               \
    INSERT_INPUT("t.*")                                                                            \
    "unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) as t"

#define FAST_JUDGED(conflict, only_stored)                                                         \
    "with input as materialized ("                                                                 \
    " select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[],"            \
    "   $6::bool[], $7::float8[], $8::text[], $9::text[], $10::int8[], $11::text[], $12::text[],"  \
    "   $13::bool[])"                                                                              \
    "   as t(id, session_id, username, message, platform, is_buyer, confidence,"                   \
    "        message_type, item, value_cents, analyzer, model, capture)),"                         \
    " stored as (" INSERT_INPUT(                                                                   \
        "i.id, i.session_id, i.username, i.message, i.platform") "input i" conflict "),"           \
                                                                 " judged as materialized ("       \
                                                                 " select i.*, s.user_id, "        \
                                                                 "s.user_id is not null and "      \
                                                                 "i.platform" CAN_BE_SOLD          \
                                                                 "   from input i join "           \
                                                                 "public.stream_sessions s on "    \
                                                                 "s.id = i.session_id"             \
                                                                 "  where i.capture" only_stored   \
                                                                 ")," SALE_AND_COUNTERS ","        \
                                                                 " analysed as ("                  \
                                                                 " insert into "                   \
                                                                 "public.message_analysis "        \
                                                                 "(message_id, is_buyer, "         \
                                                                 "confidence, message_type,"       \
                                                                 "   item_description, "           \
                                                                 "estimated_value, analyzer, "     \
                                                                 "model, captured)"                \
                                                                 " select i.id, i.is_buyer, "      \
                                                                 "i.confidence, i.message_type, "  \
                                                                 "i.item, i.value_cents::numeric " \
                                                                 "/ 100,"                          \
                                                                 "   i.analyzer, i.model, "        \
                                                                 "i.capture and i.id in (select "  \
                                                                 "id from sold)"                   \
                                                                 "   from input i where "          \
                                                                 "true" only_stored ")"            \
                                                                 " select 's'::text, id, "         \
                                                                 "null::uuid from sold"

#define RETURN_NEW " on conflict (id) do nothing returning id"

static const char fast_message_sql[] = FAST_MESSAGE;
/* A lone message, which is what a quiet system writes: no function scan, no tuple store. */
static const char fast_message_one_sql[] =
    "insert into public.chat_messages"
    "   (id, stream_session_id, username, message, platform, created_at)"
    " values (($1::uuid[])[1], ($2::uuid[])[1], ($3::text[])[1], ($4::text[])[1], ($5::text[])[1],"
    "   clock_timestamp())";
static const char fast_message_ids_sql[] =
    "with stored as (" FAST_MESSAGE RETURN_NEW ") select 'm'::text, id, null::uuid from stored";
static const char fast_judged_sql[] = FAST_JUDGED("", "");
static const char fast_judged_ids_sql[] = FAST_JUDGED(
    RETURN_NEW,
    " and i.id in (select id from stored)") " union all select 'm', id, null from stored";

/* The message is there already. A verdict that somebody else wrote meanwhile stays. */
static const char add_verdict_sql[] =
    "with input as materialized ("
    " select * from unnest($1::uuid[], $2::bool[], $3::float8[], $4::text[], $5::text[], "
    "$6::int8[],"
    "   $7::text[], $8::text[], $9::bool[])"
    "   as t(id, is_buyer, confidence, message_type, item, value_cents, analyzer, model, capture)),"
    " candidate as materialized ("
    " select i.*, m.stream_session_id as session_id, m.username, m.message, m.platform, s.user_id,"
    "   i.capture and s.user_id is not null and m.platform" CAN_BE_SOLD
    "   from input i join public.chat_messages m on m.id = i.id"
    "   join public.stream_sessions s on s.id = m.stream_session_id),"
    " analysed as ("
    " insert into public.message_analysis (message_id, is_buyer, confidence, message_type,"
    "   item_description, estimated_value, analyzer, model, captured)"
    " select c.id, c.is_buyer, c.confidence, c.message_type, c.item, c.value_cents::numeric / 100,"
    "   c.analyzer, c.model, c.captured from candidate c"
    " on conflict (message_id) do nothing returning message_id),"
    " judged as materialized ("
    " select c.* from candidate c join analysed a on a.message_id = c.id)," SALE_AND_COUNTERS
    " select 'm'::text, message_id, null::uuid from analysed"
    " union all select 's', id, null from sold";

/* A fallback verdict gives way to the model server's. A sale that was made stays made. */
static const char replace_verdict_sql[] =
    "with input as materialized ("
    " select * from unnest($1::uuid[], $2::bool[], $3::float8[], $4::text[], $5::text[], "
    "$6::int8[],"
    "   $7::text[], $8::text[], $9::bool[])"
    "   as t(id, is_buyer, confidence, message_type, item, value_cents, analyzer, model, capture)),"
    " judged as materialized ("
    " select i.*, m.stream_session_id as session_id, m.username, m.message, m.platform, s.user_id,"
    "   a.captured as had_sale, i.capture and s.user_id is not null and m.platform" CAN_BE_SOLD
    "   from input i join public.chat_messages m on m.id = i.id"
    "   join public.stream_sessions s on s.id = m.stream_session_id"
    "   join public.message_analysis a on a.message_id = i.id"
    "  where a.analyzer = '" MRS_ANALYZER_FALLBACK "'),"
    " analysed as ("
    " update public.message_analysis a set is_buyer = j.is_buyer, confidence = j.confidence,"
    "   message_type = j.message_type, item_description = j.item,"
    "   estimated_value = j.value_cents::numeric / 100, analyzer = j.analyzer, model = j.model,"
    "   analyzed_at = clock_timestamp(), captured = j.captured or j.had_sale"
    "   from judged j where a.message_id = j.id returning a.message_id)," SALE_AND_COUNTERS
    " select 'm'::text, message_id, null::uuid from analysed"
    " union all select 's', id, null from sold";

static const char find_messages_sql[] =
    "select m.id, m.stream_session_id, m.username, m.message, m.platform,"
    "  a.is_buyer, a.confidence, a.message_type, a.captured"
    "  from public.chat_messages m left join public.message_analysis a on a.message_id = m.id"
    " where m.id = any ($1::uuid[])";

const struct df_pg_statement mrs_batch_statements[] = {
    {"store_message", store_message_sql},       {"store_judged", store_judged_sql},
    {"fast_message", fast_message_sql},         {"fast_message_one", fast_message_one_sql},
    {"fast_message_ids", fast_message_ids_sql}, {"fast_judged", fast_judged_sql},
    {"fast_judged_ids", fast_judged_ids_sql},   {"add_verdict", add_verdict_sql},
    {"replace_verdict", replace_verdict_sql},   {"find_messages", find_messages_sql},
    MRS_IGNORED_STATEMENT,
};
const size_t mrs_batch_statement_count =
    sizeof mrs_batch_statements / sizeof mrs_batch_statements[0];
