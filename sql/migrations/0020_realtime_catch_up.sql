-- What a client missed: rows after the last one it has, up to where live delivery to it begins.
--
-- Rows reach clients in the order in which transactions became visible, which no number tells. The
-- gateway remembers it: the snapshots between which it read ("cuts", see realtime/cuts.h). An entry
-- was delivered with the first cut that sees it, among those of one cut by seq. So when this gateway
-- delivered the client's last row, all that was delivered before it is known, and each row comes once.
--
-- When it did not (it was restarted meanwhile, or the client was with another gateway), what the
-- entry of that row could see when it was written was delivered before it, and missed is all it could
-- not see. Nothing is left out by this, but what was written at the same moment as the entry and
-- delivered before it comes a second time.
--
-- Where the log was trimmed beyond the position, rows are taken from the table by the time they were
-- made (created_at, inserted_at, captured_at or started_at), as INSERT.
--
-- Applied anew when it changes.

-- The transaction at which entries of that time begin, about: along the primary key, because entries
-- are hardly out of order, and an index on the time would cost every insert.
create or replace function dealflow.realtime_xid_at(p_at timestamptz) returns xid8
language plpgsql stable
set search_path = ''
as $$
declare
    low bigint := (select c.xid::text::bigint from dealflow.change_log c order by c.xid, c.seq limit 1);
    high bigint := (select c.xid::text::bigint from dealflow.change_log c
        order by c.xid desc, c.seq desc limit 1);
    middle bigint;
    found_xid bigint;
    found_at timestamptz;
begin
    while low < high loop
        middle := (low + high) / 2;
        select c.xid::text::bigint, c.at into found_xid, found_at
        from dealflow.change_log c where c.xid >= middle::text::xid8
        order by c.xid, c.seq limit 1;
        if found_at < p_at then
            low := found_xid + 1;
        else
            high := middle;
        end if;
    end loop;
    return low::text::xid8;
end
$$;
comment on function dealflow.realtime_xid_at(timestamptz) is
    'About the first transaction of the change log that is not older; null when the log is empty';
revoke all on function dealflow.realtime_xid_at(timestamptz) from public;

-- The column that tells when a row was made, null when there is none.
create or replace function dealflow.realtime_time_column(p_table regclass) returns name
language sql stable
set search_path = ''
as $$
    select a.attname
    from pg_catalog.pg_attribute a
    where a.attrelid = p_table and not a.attisdropped
      and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype)
      and a.attname in ('created_at', 'inserted_at', 'captured_at', 'started_at')
    order by pg_catalog.array_position(
        array['created_at', 'inserted_at', 'captured_at', 'started_at'], a.attname::text)
    limit 1
$$;
comment on function dealflow.realtime_time_column(regclass) is
    'The column by which missed rows are found when the change log does not reach back';
revoke all on function dealflow.realtime_time_column(regclass) from public;

-- Where the client is. p_after is the key of its last row, or a timestamp. The place is
--     log    entry (xid, seq) of the change log, of whose ids the first `had` were delivered
--     time   the same, but the client may have had other entries than what that one saw
--     table  rows made at made_at after the row of that key (null: all of that moment)
--     error  says why there is none
create or replace function dealflow.realtime_position(
    p_schema text, p_table text, p_ops text[], p_session uuid, p_after text,
    out place text, out seen pg_snapshot, out xid xid8, out seq bigint, out had integer,
    out made_at timestamptz, out key jsonb, out reason text
)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
    rel constant regclass := pg_catalog.to_regclass(pg_catalog.format('%I.%I', p_schema, p_table));
    time_column constant name := dealflow.realtime_time_column(rel);
    key_columns name[];
    key_type text;
    candidates jsonb := '[]';  -- keys of rows that may be the client's last one
    is_key boolean := false;
    is_single boolean;
    start xid8;
    entry record;
begin
    if not dealflow.realtime_is_watched(rel) then
        place := 'error';
        reason := 'the table is not watched';
        return;
    end if;
    select array_agg(a.attname), min(pg_catalog.format_type(a.atttypid, -1))
    into key_columns, key_type
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = rel and i.indisprimary;

    -- A key, if it has its form; where any text has it, if there is such a row.
    if pg_catalog.cardinality(key_columns) = 1 then
        begin
            execute pg_catalog.format('select to_jsonb($1::%s)', key_type) into key using p_after;
            execute pg_catalog.format('select %s from %s t where t.%I = $1::%s',
                case when time_column is null then 'null::timestamptz'
                    else pg_catalog.format('t.%I::timestamptz', time_column) end,
                rel, key_columns[1], key_type)
            into made_at using p_after;
            is_key := made_at is not null or key_type in ('uuid', 'smallint', 'integer', 'bigint');
        exception when data_exception then
            null;
        end;
    end if;
    if is_key then
        candidates := pg_catalog.jsonb_build_array(key);
        -- The row is gone: a time-ordered id still tells its time.
        if made_at is null and key_type = 'uuid' and p_after ~* '^.{14}7' then
            made_at := pg_catalog.to_timestamp(
                ('x' || pg_catalog.left(pg_catalog.replace(p_after, '-', ''), 12))::bit(48)::bigint / 1000.0);
        end if;
    else
        key := null;
        begin
            made_at := p_after::timestamptz;
        exception when data_exception then
            place := 'error';
            reason := 'x_after is neither the id of a row nor a timestamp';
            return;
        end;
        if time_column is not null and pg_catalog.cardinality(key_columns) = 1 then
            execute pg_catalog.format('select coalesce(jsonb_agg(to_jsonb(t.%1$I)), ''[]'') from ('
                'select t.%1$I from %2$s t where t.%3$I = $1 %4$s limit 1000) as t',
                key_columns[1], rel, time_column,
                case when p_session is not null then 'and t.stream_session_id = $2' else '' end)
            into candidates using made_at, p_session;
        end if;
    end if;

    -- The entry of that row: near its time, else among the last ones.
    if candidates <> '[]' then
        is_single := pg_catalog.jsonb_array_length(candidates) = 1;
        for start in
            select dealflow.realtime_xid_at(made_at - interval '10 s') where made_at is not null
            union all
            select coalesce(
                (select c.xid from dealflow.change_log c order by c.xid desc, c.seq desc offset 50000 limit 1),
                (select c.xid from dealflow.change_log c order by c.xid, c.seq limit 1))
        loop
            select c.* into entry
            from (
                select l.xid, l.seq, l.seen, coalesce(pg_catalog.to_jsonb(l.ids), l.keys) as keys,
                    l.table_schema, l.table_name, l.op, l.stream_session_id
                from dealflow.change_log l
                where l.xid >= start
                order by l.xid, l.seq
                limit 100000
            ) as c
            where c.table_schema = p_schema and c.table_name = p_table and c.op = any (p_ops)
              and (p_session is null or c.stream_session_id = p_session)
              and exists (select from pg_catalog.jsonb_array_elements(candidates) k where c.keys @> k)
            -- Of several rows what the one written first saw was delivered before any of them.
            order by case when is_single then c.xid end, c.seq
            limit 1;
            exit when found;
        end loop;
        if entry.seen is not null then
            place := case when is_single then 'log' else 'time' end;
            seen := entry.seen;
            xid := entry.xid;
            seq := entry.seq;
            -- Several rows of one moment: which of them the client has is not known.
            had := case when not is_single then 0 else (
                select k.n from pg_catalog.jsonb_array_elements(entry.keys) with ordinality as k (key, n)
                where k.key = candidates -> 0 limit 1) end;
            return;
        end if;
    elsif made_at is not null then
        -- The commit_timestamp of an event, which has milliseconds: it comes again, with whatever else
        -- has that time. An entry is hardly ever a second later than its transaction's first.
        select l.xid, l.seq, l.seen, 0 as had into entry
        from dealflow.change_log l
        where l.xid >= dealflow.realtime_xid_at(made_at - interval '10 s')
          and l.xid <= dealflow.realtime_xid_at(made_at + interval '10 s')
          and l.at >= made_at and l.at < made_at + interval '1 ms'
          and l.table_schema = p_schema and l.table_name = p_table and l.op = any (p_ops)
          and (p_session is null or l.stream_session_id = p_session)
        order by l.seq
        limit 1;
        if not found then
            -- A time of no row: after the newest entry that is not later.
            select l.xid, l.seq, l.seen, 1000000000 as had into entry
            from dealflow.change_log l
            where l.xid <= dealflow.realtime_xid_at(made_at) and l.at <= made_at
            order by l.xid desc, l.seq desc
            limit 1;
        end if;
        if entry.seen is not null then
            place := 'time';
            seen := entry.seen;
            xid := entry.xid;
            seq := entry.seq;
            had := entry.had;
            return;
        end if;
    end if;

    if made_at is null or time_column is null or pg_catalog.cardinality(key_columns) > 1 then
        place := 'error';
        reason := 'x_after is too long ago: the change log does not reach back that far';
    else
        place := 'table';
        if p_ops <> array['INSERT'] then
            reason := 'the change log does not reach back to x_after: changes and deletions of that time are missing';
        end if;
    end if;
end
$$;
comment on function dealflow.realtime_position(text, text, text[], uuid, text) is
    'Where in the change log, or in the table, a client''s last row is; called by realtime/catch_up.c';
revoke all on function dealflow.realtime_position(text, text, text[], uuid, text) from public;
grant execute on function dealflow.realtime_position(text, text, text[], uuid, text) to service_role;

-- The form of this function before it knew the order of delivery.
drop function if exists dealflow.realtime_missed(text, text, text[], uuid, pg_snapshot, xid8, bigint,
    integer, pg_snapshot, pg_snapshot, bigint, bigint, integer);

-- A page of the log in the order of delivery: what the cuts see (of what only the last one sees, the
-- entries up to p_upto_seq), less what the client had: all that p_last sees, all that p_seen sees, the
-- first p_had ids of the entry p_seq, and what its transaction logged before it. At most
-- p_limit rows, unless one entry has more; the page after the last is empty. Columns as in
-- dealflow.realtime_log(), but for `cut`: which of the cuts, from 1.
create or replace function dealflow.realtime_missed(
    p_schema text, p_table text, p_ops text[], p_session uuid,
    p_seen pg_snapshot, p_xid xid8, p_seq bigint, p_had integer,    -- null, 0, -, 0: nothing
    p_last pg_snapshot, p_cuts pg_snapshot[], p_upto_seq bigint,    -- p_last null: nothing
    p_after_cut integer, p_after_seq bigint, p_limit integer        -- end of the page before
) returns table (
    cut integer, seq bigint, stream_session_id uuid, table_schema text, table_name text,
    op text, at text, age_ms bigint, ids uuid[], keys jsonb, old_rows jsonb
)
language sql stable
security definer
set search_path = ''
as $$
    select c.cut, c.seq, c.stream_session_id, c.table_schema, c.table_name, c.op,
        pg_catalog.to_char(c.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 0::bigint,
        c.ids[1 + c.had :],
        case when c.had = 0 then c.keys else (
            select pg_catalog.jsonb_agg(k.key order by k.n)
            from pg_catalog.jsonb_array_elements(c.keys) with ordinality as k (key, n)
            where k.n > c.had) end,
        case when c.had = 0 then c.old_rows else (
            select pg_catalog.jsonb_agg(o.old order by o.n)
            from pg_catalog.jsonb_array_elements(c.old_rows) with ordinality as o (old, n)
            where o.n > c.had) end
    from (
        select l.*, of_cut.n as cut, case when l.seq = p_seq then p_had else 0 end as had,
            sum(coalesce(pg_catalog.cardinality(l.ids), pg_catalog.jsonb_array_length(l.keys)))
                over (order by of_cut.n, l.seq) as row_count,
            pg_catalog.row_number() over (order by of_cut.n, l.seq) as place
        from dealflow.change_log l
        cross join lateral (
            select case pg_catalog.cardinality(p_cuts) when 1 then 1 else (
                select min(k.n)::integer from pg_catalog.unnest(p_cuts) with ordinality as k (snapshot, n)
                where pg_catalog.pg_visible_in_snapshot(l.xid, k.snapshot)) end as n
        ) as of_cut
        where l.xid >= coalesce(pg_catalog.pg_snapshot_xmin(p_last),
                least(pg_catalog.pg_snapshot_xmin(p_seen), p_xid))
          and l.xid < pg_catalog.pg_snapshot_xmax(p_cuts[pg_catalog.cardinality(p_cuts)])
          and pg_catalog.pg_visible_in_snapshot(l.xid, p_cuts[pg_catalog.cardinality(p_cuts)])
          and (p_last is null or not pg_catalog.pg_visible_in_snapshot(l.xid, p_last))
          -- A transaction's own id is not among those its snapshot names as running.
          and (p_seen is null or l.xid = p_xid or not pg_catalog.pg_visible_in_snapshot(l.xid, p_seen))
          and not (l.xid = p_xid and l.seq < p_seq)
          and not (l.seq = p_seq and p_had >=
              coalesce(pg_catalog.cardinality(l.ids), pg_catalog.jsonb_array_length(l.keys)))
          and l.table_schema = p_schema and l.table_name = p_table and l.op = any (p_ops)
          and (p_session is null or l.stream_session_id = p_session)
          and (of_cut.n > p_after_cut or of_cut.n = p_after_cut and l.seq > p_after_seq)
          and (of_cut.n < pg_catalog.cardinality(p_cuts) or l.seq <= p_upto_seq)
        order by of_cut.n, l.seq
        limit p_limit
    ) as c
    where c.row_count <= p_limit or c.place = 1
    order by c.cut, c.seq
$$;
comment on function dealflow.realtime_missed(text, text, text[], uuid, pg_snapshot, xid8, bigint,
    integer, pg_snapshot, pg_snapshot[], bigint, integer, bigint, integer) is
    'A page of what a client missed; called by realtime/catch_up.c';
revoke all on function dealflow.realtime_missed(text, text, text[], uuid, pg_snapshot, xid8, bigint,
    integer, pg_snapshot, pg_snapshot[], bigint, integer, bigint, integer) from public;
grant execute on function dealflow.realtime_missed(text, text, text[], uuid, pg_snapshot, xid8, bigint,
    integer, pg_snapshot, pg_snapshot[], bigint, integer, bigint, integer) to service_role;

-- The same from the table: a page of rows by their time, each as an entry of its own, whose `made_at`
-- and key are the next position. Rows that will come live are left out.
create or replace function dealflow.realtime_made(
    p_schema text, p_table text, p_session uuid, p_made_at timestamptz, p_key jsonb,
    p_last pg_snapshot, p_upto pg_snapshot, p_upto_seq bigint, p_limit integer
) returns table (
    made_at timestamptz, key jsonb, stream_session_id uuid, table_schema text, table_name text,
    op text, at text, age_ms bigint, ids uuid[], keys jsonb, old_rows jsonb
)
language plpgsql stable
security definer
set search_path = ''
as $$
declare
    rel constant regclass := pg_catalog.to_regclass(pg_catalog.format('%I.%I', p_schema, p_table));
    time_column constant name := dealflow.realtime_time_column(rel);
    key_column name;
    key_type text;
    has_session boolean;
    live jsonb;
begin
    select a.attname, pg_catalog.format_type(a.atttypid, -1) into strict key_column, key_type
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indrelid = rel and i.indisprimary and dealflow.realtime_is_watched(rel);
    has_session := exists (select from pg_catalog.pg_attribute a
        where a.attrelid = rel and a.attname = 'stream_session_id' and not a.attisdropped);
    select coalesce(pg_catalog.jsonb_agg(k), '[]') into live
    from dealflow.change_log l
    cross join lateral pg_catalog.jsonb_array_elements(coalesce(pg_catalog.to_jsonb(l.ids), l.keys)) k
    where l.xid >= pg_catalog.pg_snapshot_xmin(p_last)
      and not (pg_catalog.pg_visible_in_snapshot(l.xid, p_last)
          or pg_catalog.pg_visible_in_snapshot(l.xid, p_upto) and l.seq <= p_upto_seq)
      and l.table_schema = p_schema and l.table_name = p_table and l.op = 'INSERT';

    return query execute pg_catalog.format($sql$
        select t.%2$I::timestamptz, to_jsonb(t.%3$I), %5$s, $5, $6, 'INSERT',
            to_char(t.%2$I::timestamptz at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 0::bigint,
            %6$s, null::jsonb
        from %1$s t
        where %7$s and ($3 is null or %5$s = $3)
          and not exists (select from jsonb_array_elements($7) k where k = to_jsonb(t.%3$I))
        order by t.%2$I, t.%3$I
        limit $4$sql$,
        rel, time_column, key_column, key_type,
        case when has_session then 't.stream_session_id' else 'null::uuid' end,
        case key_type when 'uuid' then pg_catalog.format('array[t.%I], null::jsonb', key_column)
            else pg_catalog.format('null::uuid[], jsonb_build_array(t.%I)', key_column) end,
        case when p_key is null then pg_catalog.format('t.%I >= $1', time_column)
            else pg_catalog.format('(t.%I, t.%I) > ($1, ($2 #>> ''{}'')::%s)',
                time_column, key_column, key_type) end)
    using p_made_at, p_key, p_session, p_limit, p_schema, p_table, live;
end
$$;
comment on function dealflow.realtime_made(text, text, uuid, timestamptz, jsonb, pg_snapshot,
    pg_snapshot, bigint, integer) is
    'A page of rows that the change log no longer has; called by realtime/catch_up.c';
revoke all on function dealflow.realtime_made(text, text, uuid, timestamptz, jsonb, pg_snapshot,
    pg_snapshot, bigint, integer) from public;
grant execute on function dealflow.realtime_made(text, text, uuid, timestamptz, jsonb, pg_snapshot,
    pg_snapshot, bigint, integer) to service_role;
