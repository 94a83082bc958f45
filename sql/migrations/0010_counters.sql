-- Adds a sale to a session's counters. Only the service may: the old system let everybody.

do $$
begin
    -- "create or replace" cannot change a result type; an old function may have another one.
    if exists (
        select from pg_catalog.pg_proc
        where oid = pg_catalog.to_regprocedure('public.increment_stream_stats(uuid, numeric)')
          and prorettype <> 'void'::regtype
    ) then
        drop function public.increment_stream_stats(uuid, numeric);
    end if;
end
$$;

create or replace function public.increment_stream_stats(p_stream_id uuid, p_value decimal default 0)
returns void
language sql
security definer
set search_path = ''
as $$
    update public.stream_sessions
    set total_sales_caught = total_sales_caught + 1,
        total_revenue_recovered = total_revenue_recovered + coalesce(p_value, 0)
    where id = p_stream_id
$$;
comment on function public.increment_stream_stats(uuid, numeric) is
    'One more sale of the given value in a session; an unknown session is ignored';
-- By name as well: Supabase's default privileges grant to each role, not only to public.
revoke all on function public.increment_stream_stats(uuid, numeric) from public, anon, authenticated;
grant execute on function public.increment_stream_stats(uuid, numeric) to service_role;
