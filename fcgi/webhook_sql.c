/* fcgi/webhook_sql.c - deliveries are claimed for a lease, settled, and thrown away at last. */
#include "fcgi/webhook_sql.h"

/* $1 owners to leave out, $5 for each the url to leave out or null for all, $2 how many of one
 * owner, $3 how many owners, $4 the lease in seconds.
 *
 * Owners are found by skipping along the index from one to the next, so a million deliveries of one
 * of them cost no more than one; which of them come first is by chance, so that none is always
 * last. Address and secret are those of now: a corrected address helps what waits already. */
static const char claim_sql[] =
    "with recursive owners (user_id) as ("
    " (select d.user_id from public.webhook_deliveries d where d.state = 'waiting'"
    "   order by d.user_id limit 1)"
    " union all"
    " select (select d.user_id from public.webhook_deliveries d"
    "    where d.state = 'waiting' and d.user_id > o.user_id order by d.user_id limit 1)"
    "   from owners o where o.user_id is not null),"
    " chosen as materialized ("
    " select o.user_id from owners o left join public.user_settings u on u.user_id = o.user_id"
    "  where o.user_id is not null and not exists ("
    "    select from unnest($1::uuid[], $5::text[]) as closed (user_id, url)"
    "     where closed.user_id = o.user_id"
    "       and (closed.url is null or closed.url = coalesce(u.webhook_url, '')))"
    "   and exists ("
    "    select from public.webhook_deliveries d where d.state = 'waiting'"
    "      and d.user_id = o.user_id and d.next_attempt_at <= clock_timestamp())"
    "  order by random() limit ($3::int8[])[1]),"
    " due as materialized ("
    " select p.sale_id from chosen c cross join lateral ("
    "   select d.sale_id from public.webhook_deliveries d"
    "    where d.state = 'waiting' and d.user_id = c.user_id"
    "      and d.next_attempt_at <= clock_timestamp()"
    "    order by d.next_attempt_at limit ($2::int8[])[1] for update skip locked) p)"
    " update public.webhook_deliveries d"
    "   set next_attempt_at = clock_timestamp() + make_interval(secs => ($4::float8[])[1])"
    "   from due where d.sale_id = due.sale_id"
    " returning d.sale_id, d.user_id, d.attempts, d.body,"
    "   (select u.webhook_url from public.user_settings u where u.user_id = d.user_id),"
    "   (select s.secret from public.webhook_secrets s where s.user_id = d.user_id)";

/* $1 sales, $2 states, $3 attempts made, $4 HTTP statuses, $5 errors, $6 seconds until the next. */
static const char settle_sql[] =
    "update public.webhook_deliveries d set state = i.state, attempts = i.attempts,"
    "  last_status = i.status, last_error = i.error,"
    "  next_attempt_at = clock_timestamp() + make_interval(secs => i.wait_s),"
    "  finished_at = case when i.state <> 'waiting' then clock_timestamp() end"
    " from unnest($1::uuid[], $2::text[], $3::int8[], $4::int8[], $5::text[], $6::float8[])"
    "   as i (sale_id, state, attempts, status, error, wait_s)"
    " where d.sale_id = i.sale_id and d.state = 'waiting'";

static const char trim_sql[] =
    "delete from public.webhook_deliveries where sale_id in ("
    " select sale_id from public.webhook_deliveries where state <> 'waiting'"
    "   and finished_at < clock_timestamp() - make_interval(secs => ($1::int8[])[1])"
    "  order by finished_at limit 10000)";

const struct df_pg_statement mrs_webhook_statements[] = {
    {"claim_webhooks", claim_sql},
    {"settle_webhooks", settle_sql},
    {"trim_webhooks", trim_sql},
};
const size_t mrs_webhook_statement_count =
    sizeof mrs_webhook_statements / sizeof mrs_webhook_statements[0];
