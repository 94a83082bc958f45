/* fcgi/sale_sql.h - the part of a statement that turns judged lines into sales, in one place.
 *
 * SALE_AND_COUNTERS reads a query `judged` with id, session_id, user_id, platform, username, message,
 * item, value_cents and captured; it inserts the sales, adds them to their sessions' counters, and
 * leaves a query `sold`. */
#ifndef FCGI_SALE_SQL_H
#define FCGI_SALE_SQL_H

/* The five platforms are the check constraint of sales_captured: a line from elsewhere is stored
 * and judged, but cannot become a sale. The running total saturates, so that a full session counter
 * can never refuse a sale. */
#define SALE_AND_COUNTERS                                                                          \
    " sold as ("                                                                                   \
    " insert into public.sales_captured (id, user_id, stream_session_id, platform,"                \
    "   buyer_username, message_text, item_description, estimated_value)"                          \
    " select j.id, j.user_id, j.session_id, j.platform, j.username, j.message, j.item,"            \
    "   j.value_cents::numeric / 100"                                                              \
    "   from judged j where j.captured"                                                            \
    " on conflict (id) do nothing returning id, stream_session_id, estimated_value),"              \
    " counted as ("                                                                                \
    " update public.stream_sessions s set"                                                         \
    "   total_sales_caught = s.total_sales_caught + d.sales,"                                      \
    "   total_revenue_recovered = least(s.total_revenue_recovered + d.revenue, 99999999.99)"       \
    "   from (select stream_session_id, count(*)::int as sales,"                                   \
    "           coalesce(sum(estimated_value), 0) as revenue from sold group by 1) d"              \
    "  where s.id = d.stream_session_id)"

#define CAN_BE_SOLD " in ('tiktok', 'instagram', 'youtube', 'whatnot', 'facebook') as captured"

#endif
