-- Who sees and changes what. A user: own rows only. The service: everything. anon: nothing.
-- Two locks on each door: table rights, then policies. auth.uid() stands in a sub-select so that it
-- is computed once per statement instead of once per row.

alter table public.profiles enable row level security;
alter table public.user_settings enable row level security;
alter table public.stream_sessions enable row level security;
alter table public.chat_messages enable row level security;
alter table public.sales_captured enable row level security;
alter table public.message_analysis enable row level security;

-- Supabase's default privileges give all rights to all roles, truncate included, which no policy
-- stops. Take everything, give back what is meant.
revoke all on public.profiles, public.user_settings, public.stream_sessions, public.chat_messages,
    public.sales_captured, public.message_analysis from public, anon, authenticated;
grant select, update on public.profiles to authenticated;
grant select, insert, update on public.user_settings to authenticated;
grant select, insert, update, delete on public.stream_sessions to authenticated;
grant select on public.chat_messages to authenticated;
grant select, update, delete on public.sales_captured to authenticated;
grant select on public.message_analysis to authenticated;

grant usage on schema public to authenticated, service_role;
grant select, insert, update, delete on public.profiles, public.user_settings,
    public.stream_sessions, public.chat_messages, public.sales_captured, public.message_analysis
    to service_role;

-- Policies of an old database, whatever their names. Those that open a door which is to be shut go;
-- the others stay and get the faster form of auth.uid(), which means the same.
do $$
declare
    p record;
    uid constant text := '(?<!SELECT )auth\.uid\(\)';
    clauses text;
begin
    for p in
        select * from pg_catalog.pg_policies
        where schemaname = 'public'
          and tablename in ('profiles', 'user_settings', 'stream_sessions', 'chat_messages',
                            'sales_captured', 'message_analysis')
          and permissive = 'PERMISSIVE'
          and roles && array['public', 'anon', 'authenticated']::name[]
    loop
        if (p.tablename in ('chat_messages', 'message_analysis') and p.cmd <> 'SELECT')
            or (p.tablename = 'sales_captured' and p.cmd in ('INSERT', 'ALL'))
            or 'true' in (coalesce(p.qual, ''), coalesce(p.with_check, ''))
        then
            raise warning 'policy "%" on % is removed: it let % do % with rows of others, or write what only the service may',
                p.policyname, p.tablename, array_to_string(p.roles, ', '), p.cmd;
            execute format('drop policy %I on public.%I', p.policyname, p.tablename);
        elsif p.qual ~ uid or p.with_check ~ uid then
            clauses := '';
            if p.qual is not null then
                clauses := format(' using (%s)',
                    regexp_replace(p.qual, uid, '(select auth.uid())', 'g'));
            end if;
            if p.with_check is not null then
                clauses := clauses || format(' with check (%s)',
                    regexp_replace(p.with_check, uid, '(select auth.uid())', 'g'));
            end if;
            execute format('alter policy %I on public.%I%s', p.policyname, p.tablename, clauses);
        end if;
    end loop;
end
$$;

drop policy if exists dealflow_owner_select on public.profiles;
create policy dealflow_owner_select on public.profiles for select to authenticated
    using (id = (select auth.uid()));
drop policy if exists dealflow_owner_update on public.profiles;
create policy dealflow_owner_update on public.profiles for update to authenticated
    using (id = (select auth.uid())) with check (id = (select auth.uid()));

drop policy if exists dealflow_owner_select on public.user_settings;
create policy dealflow_owner_select on public.user_settings for select to authenticated
    using (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_insert on public.user_settings;
create policy dealflow_owner_insert on public.user_settings for insert to authenticated
    with check (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_update on public.user_settings;
create policy dealflow_owner_update on public.user_settings for update to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

drop policy if exists dealflow_owner_select on public.stream_sessions;
create policy dealflow_owner_select on public.stream_sessions for select to authenticated
    using (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_insert on public.stream_sessions;
create policy dealflow_owner_insert on public.stream_sessions for insert to authenticated
    with check (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_update on public.stream_sessions;
create policy dealflow_owner_update on public.stream_sessions for update to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_delete on public.stream_sessions;
create policy dealflow_owner_delete on public.stream_sessions for delete to authenticated
    using (user_id = (select auth.uid()));

drop policy if exists dealflow_owner_select on public.sales_captured;
create policy dealflow_owner_select on public.sales_captured for select to authenticated
    using (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_update on public.sales_captured;
create policy dealflow_owner_update on public.sales_captured for update to authenticated
    using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_delete on public.sales_captured;
create policy dealflow_owner_delete on public.sales_captured for delete to authenticated
    using (user_id = (select auth.uid()));

drop policy if exists dealflow_owner_select on public.chat_messages;
create policy dealflow_owner_select on public.chat_messages for select to authenticated
    using (exists (
        select from public.stream_sessions s
        where s.id = stream_session_id and s.user_id = (select auth.uid())));

-- Whoever sees a message sees its verdict: the policy of chat_messages applies inside.
drop policy if exists dealflow_owner_select on public.message_analysis;
create policy dealflow_owner_select on public.message_analysis for select to authenticated
    using (exists (select from public.chat_messages m where m.id = message_id));
