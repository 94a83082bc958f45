-- The project's private schema and the record of what was applied to this database.
-- Clients never reach this schema: no rights for anon or authenticated, here or later.

create schema if not exists dealflow;
comment on schema dealflow is
    'DealFlow Monitor: private tables and functions; not for PostgREST or other clients';
revoke all on schema dealflow from public;

create table if not exists dealflow.schema_migrations (
    name text primary key,
    sha256 text not null,
    applied_at timestamptz not null default clock_timestamp()
);
comment on table dealflow.schema_migrations is
    'One row per applied file of sql/migrations, written by sql/migrate in the same transaction';
