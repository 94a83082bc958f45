-- The change log as the realtime gateway reads it.
--
-- The gateway's programs connect as a login role of their own (see 0002), which becomes service_role
-- and, for a moment, whoever a subscriber is:
--
--     create role dealflow_realtime login noinherit;
--     grant anon, authenticated, service_role to dealflow_realtime;
--
-- On Postgres 16 and newer a plain grant includes the option set. Custom roles that tokens may name
-- are granted the same way; a token that names any other role sees nothing. The functions
-- dealflow.realtime_* are for service_role only.
--
-- Each entry also keeps which transactions it could see when it was written. Sequence order is not
-- commit order, so this alone says what a client that has a row of the entry surely had before it
-- (see 0020); it costs 1 us of the 41 that an insert of one message takes (commit apart).

alter table dealflow.change_log add column if not exists seen pg_snapshot;
alter table dealflow.change_log alter column seen set default pg_current_snapshot();
comment on column dealflow.change_log.seen is
    'What the statement could see; null in entries older than this column';

-- One page of what became visible between two snapshots, in the order of the log. Stable, so that
-- rows and snapshot are of the same moment. There is always a row: without entries its seq is null.
create or replace function dealflow.realtime_log(
    p_last pg_snapshot,     -- everything it sees was read; null: reads nothing, only tells the time
    p_upto pg_snapshot,     -- null: now
    p_after bigint,         -- seq of the last entry of the page before
    p_limit integer
) returns table (
    snapshot pg_snapshot, seq bigint, stream_session_id uuid, table_schema text, table_name text,
    op text, at text, age_ms bigint, ids uuid[], keys jsonb, old_rows jsonb
)
language plpgsql stable  -- not sql, which would plan it anew for each call
set search_path = ''
as $$
declare
    upto constant pg_snapshot := coalesce(p_upto, pg_catalog.pg_current_snapshot());
begin
    return query
    select upto, c.seq, c.stream_session_id, c.table_schema, c.table_name, c.op,
        pg_catalog.to_char(c.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        (extract(epoch from pg_catalog.clock_timestamp() - c.at) * 1000)::bigint,
        c.ids, c.keys, c.old_rows
    from (select) as always
    left join lateral (
        select *
        from dealflow.change_log l
        where l.xid >= pg_catalog.pg_snapshot_xmin(p_last)
          and not pg_catalog.pg_visible_in_snapshot(l.xid, p_last)
          -- Also without p_upto: a log restored from a dump has transactions of another server.
          and pg_catalog.pg_visible_in_snapshot(l.xid, upto)
          and l.seq > p_after
        order by l.seq
        limit p_limit
    ) as c on true;
end
$$;
comment on function dealflow.realtime_log(pg_snapshot, pg_snapshot, bigint, integer) is
    'A page of what was committed between two snapshots; read by realtime/reader.c';
revoke all on function dealflow.realtime_log(pg_snapshot, pg_snapshot, bigint, integer) from public;
grant execute on function dealflow.realtime_log(pg_snapshot, pg_snapshot, bigint, integer)
    to service_role;
