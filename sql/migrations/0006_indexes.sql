-- The old system's indexes. An old database has them under names of its own, so they are looked for
-- by what they index; a second copy would slow down every insert.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('sales_captured', 'user_id'),
            ('sales_captured', 'captured_at DESC'),
            ('stream_sessions', 'user_id'),
            ('stream_sessions', 'started_at DESC'),
            ('chat_messages', 'stream_session_id, created_at DESC')
        ) as list (table_name, keys)
    loop
        if not exists (
            select from pg_catalog.pg_index
            where indrelid = ('public.' || wanted.table_name)::regclass
              and indpred is null
              and pg_catalog.pg_get_indexdef(indexrelid)
                  like '% USING btree (' || replace(wanted.keys, '_', '\_') || ')%'
        ) then
            execute format('create index on public.%I (%s)', wanted.table_name, wanted.keys);
        end if;
    end loop;
end
$$;
