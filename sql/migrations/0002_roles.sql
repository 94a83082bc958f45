-- The three roles Supabase gives to API callers. Where they exist nothing is changed.
--
-- The programs log in as a role of their own, which the deployment creates, not a migration, because
-- it carries a password or depends on how the machine authenticates. It needs nothing but to become
-- service_role (monitor-realtime-stream) or to act for a caller (gateway, rest):
--
--     create role dealflow_function login noinherit;
--     grant service_role to dealflow_function;                    -- Postgres 15
--     grant service_role to dealflow_function with set true;      -- Postgres 16 and newer
--     alter role dealflow_function set role = 'service_role';     -- every connection starts as it
--
-- The gateway's and rest's role is granted anon and authenticated as well, the way Supabase's
-- authenticator is.

do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
        comment on role anon is 'A caller without a user token; sees no table of DealFlow';
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'authenticated') then
        create role authenticated nologin noinherit;
        comment on role authenticated is 'A signed-in user; row level security decides what is seen';
    end if;
    if not exists (select from pg_catalog.pg_roles where rolname = 'service_role') then
        create role service_role nologin noinherit bypassrls;
        comment on role service_role is 'Trusted programs; row level security does not apply';
    end if;
exception
    -- Roles belong to the whole server, the migration lock to one database: another database may
    -- be migrated at this moment and have made them first.
    when duplicate_object or unique_violation then
        raise exception using
            errcode = 'serialization_failure',
            message = 'another database of this server is creating the same roles just now',
            hint = 'Run the migration again.';
end
$$;
