-- What private channels need of Supabase Realtime: policies on realtime.messages decide who may
-- join, and they ask realtime.topic() for the channel's name. Untouched where it exists.

do $$
begin
    if pg_catalog.to_regnamespace('realtime') is null then
        create schema realtime;
        comment on schema realtime is 'Stand-in for Supabase Realtime on a plain Postgres';
        grant usage on schema realtime to anon, authenticated, service_role;
    end if;

    if pg_catalog.to_regclass('realtime.messages') is null then
        create table realtime.messages (
            id uuid primary key default gen_random_uuid(),
            topic text not null,
            extension text not null,
            event text,
            payload jsonb,
            private boolean default false,
            inserted_at timestamp not null default now(),
            updated_at timestamp not null default now()
        );
        comment on table realtime.messages is
            'Never filled: rows are tried in a transaction that is rolled back, to ask the policies';
        -- Rights without a policy show nothing; whoever wants private channels writes the policy.
        alter table realtime.messages enable row level security;
        grant select, insert on realtime.messages to anon, authenticated;
        grant select, insert, update, delete on realtime.messages to service_role;
    end if;

    if pg_catalog.to_regprocedure('realtime.topic()') is null then
        create function realtime.topic() returns text
        language sql stable
        return nullif(pg_catalog.current_setting('realtime.topic', true), '');
        comment on function realtime.topic() is 'Channel that is being joined, for policies';
    end if;
end
$$;
