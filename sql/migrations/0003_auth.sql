-- What policies need of Supabase Auth: auth.users and the functions that read the caller's claims.
-- Each object is made only where it is missing; on Supabase this file changes nothing.

do $$
begin
    if pg_catalog.to_regnamespace('auth') is null then
        create schema auth;
        comment on schema auth is 'Stand-in for Supabase Auth on a plain Postgres';
        grant usage on schema auth to anon, authenticated, service_role;
    end if;

    if pg_catalog.to_regclass('auth.users') is null then
        create table auth.users (
            id uuid primary key default gen_random_uuid(),
            email text unique,
            raw_user_meta_data jsonb not null default '{}',
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        comment on table auth.users is 'Accounts; the part of Supabase''s table that DealFlow needs';
        revoke all on auth.users from public, anon, authenticated;
        grant select, insert, update, delete on auth.users to service_role;
    end if;

    -- Both spellings of the claims: one setting per claim is what old PostgREST versions sent.
    if pg_catalog.to_regprocedure('auth.jwt()') is null then
        create function auth.jwt() returns jsonb
        language sql stable
        set search_path = ''
        return coalesce(
            nullif(pg_catalog.current_setting('request.jwt.claim', true), ''),
            nullif(pg_catalog.current_setting('request.jwt.claims', true), ''))::jsonb;
        comment on function auth.jwt() is 'The claims of the caller''s token, null without one';
    end if;

    -- No "set" clause on the next two: it would keep Postgres from inlining them into policies.
    if pg_catalog.to_regprocedure('auth.uid()') is null then
        create function auth.uid() returns uuid
        language sql stable
        return coalesce(
            nullif(pg_catalog.current_setting('request.jwt.claim.sub', true), ''),
            nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
        comment on function auth.uid() is 'The caller''s user id, null for anon';
    end if;

    if pg_catalog.to_regprocedure('auth.role()') is null then
        create function auth.role() returns text
        language sql stable
        return coalesce(
            nullif(pg_catalog.current_setting('request.jwt.claim.role', true), ''),
            nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::jsonb ->> 'role');
        comment on function auth.role() is 'The role named by the caller''s token';
    end if;
end
$$;
