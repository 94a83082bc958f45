-- What changed, in order, for readers that were away. NOTIFY only wakes them: it is lost for whoever
-- is not listening, while this table is not.
--
-- Sequence order is not commit order: a row with a lower seq may become visible later. So a reader
-- remembers the snapshot it read with, not a number, and asks for what that snapshot could not see:
--
--     select pg_current_snapshot();    -- in the same repeatable read transaction: the next :last
--     select * from dealflow.change_log
--     where xid >= pg_snapshot_xmin(:last) and not pg_visible_in_snapshot(xid, :last)
--     order by seq;
--
-- Every ingest statement pays for this table. Hence one index (the reader's; trimming walks it from
-- its old end), no foreign key, and ids inline in the row: 180 of them are 3 kB, and the detour
-- through compression and TOAST, tried from 2 kB on, costs more than the bytes.

create table if not exists dealflow.change_log (
    seq bigint generated always as identity,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    stream_session_id uuid,
    table_schema text not null,
    table_name text not null,
    op text not null check (op in ('INSERT', 'UPDATE', 'DELETE')),
    ids uuid[],
    keys jsonb,
    old_rows jsonb,
    primary key (xid, seq)
) with (
    fillfactor = 100,  -- rows are never updated
    -- Everything is inserted once and deleted once: vacuum by the share of dead rows only.
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_insert_threshold = -1
);
alter table dealflow.change_log alter column ids set storage plain;

comment on table dealflow.change_log is
    'One row per watched table, session and statement (several when it has more than 180 rows)';
comment on column dealflow.change_log.xid is 'Transaction; read by snapshot, see sql/migrations/0012';
comment on column dealflow.change_log.at is 'clock_timestamp() of the statement, the notification''s commit_timestamp';
comment on column dealflow.change_log.stream_session_id is 'Null for tables without a session';
comment on column dealflow.change_log.ids is
    'Primary keys of the changed rows in the order of the statement, where the key is one uuid';
comment on column dealflow.change_log.keys is
    'The same for any other key: values, or objects of a key of several columns; otherwise null';
comment on column dealflow.change_log.old_rows is
    'UPDATE, DELETE: for each id, in the same order, the old row''s key and the columns filters may name';

-- Called every minute or so by whoever reads the log. Keep longer than the longest transaction and
-- the longest absence a client may catch up on.
create or replace function dealflow.trim_change_log(p_keep interval) returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    cutoff constant timestamptz := pg_catalog.clock_timestamp() - p_keep;
    first_kept xid8;
    deleted bigint;
begin
    if p_keep is null or p_keep < interval '0' then
        raise exception 'trim_change_log: "%" is no age', p_keep using errcode = '22023';
    end if;
    -- Along the index from the oldest row on, so that only rows to be deleted are passed.
    select c.xid into first_kept
    from dealflow.change_log c where c.at >= cutoff
    order by c.xid, c.seq limit 1;
    delete from dealflow.change_log c
    where c.at < cutoff and (first_kept is null or c.xid < first_kept);
    get diagnostics deleted = row_count;
    return deleted;
end
$$;
comment on function dealflow.trim_change_log(interval) is
    'Deletes what is older than the given age from the change log; returns how many rows';

revoke all on dealflow.change_log from public;
revoke all on function dealflow.trim_change_log(interval) from public;
grant usage on schema dealflow to service_role;
grant select on dealflow.change_log to service_role;
grant execute on function dealflow.trim_change_log(interval) to service_role;
