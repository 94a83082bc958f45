-- Supabase Realtime, and any logical subscriber, reads this publication. Missing tables are added;
-- what it holds already stays. (The old system forgot sales_captured.)

do $$
declare
    wanted text;
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        -- Not a warning that wal_level is below logical: it may stay so until somebody subscribes.
        perform set_config('client_min_messages', 'error', true);
        create publication supabase_realtime;
    end if;
    foreach wanted in array array['chat_messages', 'sales_captured', 'stream_sessions'] loop
        -- The view also lists what "for all tables" and "for tables in schema" bring along.
        if not exists (
            select from pg_catalog.pg_publication_tables
            where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = wanted
        ) then
            execute format('alter publication supabase_realtime add table public.%I', wanted);
        end if;
    end loop;
end
$$;
