-- The tables whose changes subscribers hear of. Of an old row the log keeps the key and what a filter
-- may reasonably name; not the chat text.

do $$
begin
    perform dealflow.watch_table('public.chat_messages', 'stream_session_id',
        '{stream_session_id,username,platform,created_at}');
    perform dealflow.watch_table('public.sales_captured', 'stream_session_id',
        '{user_id,stream_session_id,platform,buyer_username,estimated_value,captured_at,created_at}');
    -- A session's own id is its session: who watches one show need not hear of the others.
    perform dealflow.watch_table('public.stream_sessions', 'id',
        '{user_id,platform,started_at,ended_at,total_sales_caught,total_revenue_recovered,created_at}');
end
$$;
