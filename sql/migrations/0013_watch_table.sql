-- Triggers that log and announce the changes of a table.
--
-- For each table, session and statement: one row in dealflow.change_log and one notification on
-- channel dealflow,
--     {"schema":..,"table":..,"type":..,"stream_session_id":..,"ids":[..],"commit_timestamp":..}
-- Ids and never rows: anybody may LISTEN, and a payload must stay below 8000 bytes; who reads on
-- does so under a role of his own. Statements of many rows are split, 180 uuids to a payload. Postgres
-- sends equal notifications of one transaction once, so two updates of a row within a millisecond may
-- be one notification; the log has both. A changed primary key is an UPDATE of the new key whose old
-- row is null.
--
-- Statement level, because a row trigger sends 64 notifications for 64 messages. One function per
-- table, written here, because a function for all tables needs dynamic SQL, which is planned anew
-- for each statement; these are planned once per connection. Cost of an insert into chat_messages with
-- and without (Postgres 15, CPU per statement): 1 row 123 and 54 us, of which the log takes 35; 64 rows
-- of one session 1,140 and 1,030 us. What remains is the foreign key, checked row by row.

create or replace function dealflow.watch_table(
    p_table regclass,
    p_session_column name default 'stream_session_id',
    p_old_columns name[] default '{}'
) returns void
language plpgsql
set search_path = ''
as $watch$
declare
    schema_name name;
    table_name name;
    function_name text;
    key_columns name[];
    key_is_uuid boolean;
    key text;                      -- SQL for the key of row r
    session text := 'null::pg_catalog.uuid';
    join_old text;                 -- joins o, the old state of r
    updated_old text;              -- SQL for the kept columns of o, deleted_old the same for r
    deleted_old text;
    step text;                     -- SQL for how many keys go into one notification
    slice_of_ids text;             -- SQL for the two columns ids and keys of the log
    json_ids text;                 -- SQL for the keys as a JSON array
    body text := '';
    op record;
begin
    select n.nspname, c.relname into strict schema_name, table_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = p_table;

    select array_agg(a.attname order by k.n), array_agg(a.atttypid) = array['uuid'::regtype::oid]
    into key_columns, key_is_uuid
    from pg_index i
    cross join unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = p_table and i.indisprimary;
    if key_columns is null then
        raise exception 'watch_table: % has no primary key', p_table using errcode = '42P16';
    end if;

    if exists (
        select from pg_attribute
        where attrelid = p_table and attname = p_session_column and atttypid = 'uuid'::regtype
    ) then
        session := format('r.%I', p_session_column);
    elsif p_session_column <> 'stream_session_id' then
        raise exception 'watch_table: % has no column % of type uuid', p_table, p_session_column
            using errcode = '42703';
    end if;

    -- Old columns: the key first, each once. A column that does not exist fails right here.
    select string_agg(format('%1$L, o.%1$I', c), ', ' order by n),
           string_agg(format('%1$L, r.%1$I', c), ', ' order by n)
    into updated_old, deleted_old
    from (select c, min(n) as n from unnest(key_columns || p_old_columns) with ordinality as u (c, n)
          group by c) as kept;
    execute format('select %s from %s r limit 0', deleted_old, p_table);
    updated_old := format('case when o.%I is not null then pg_catalog.jsonb_build_object(%s) end',
        key_columns[1], updated_old);
    deleted_old := format('pg_catalog.jsonb_build_object(%s)', deleted_old);

    select string_agg(format('o.%1$I = r.%1$I', c), ' and ') into join_old
    from unnest(key_columns) c;

    if key_is_uuid then
        key := format('r.%I', key_columns[1]);
        -- 180 * 39 bytes, two names of at most 126 bytes each, 200 bytes for the rest: below 8000.
        step := '180';
        slice_of_ids := 'ids[i:i + 179], null::pg_catalog.jsonb';
        json_ids := $$'["' || pg_catalog.array_to_string(ids, '","') || '"]'$$;
    else
        select case when count(*) = 1 then format('pg_catalog.to_jsonb(r.%I)', min(c))
                    else format('pg_catalog.jsonb_build_object(%s)',
                                string_agg(format('%1$L, r.%1$I', c), ', ' order by n)) end
        into key from unnest(key_columns) with ordinality as u (c, n);
        -- In bytes, by the longest key of the session; at least one.
        step := '7000 / least(longest + 2, 7000)';
        slice_of_ids := format('null::pg_catalog.uuid[], pg_catalog.to_jsonb(ids[i:i + %s - 1])', step);
        -- A key that fits into no payload must not fail the statement: the log has it.
        json_ids := $$case when pg_catalog.octet_length(keys::pg_catalog.text) <= 7200
                then keys::pg_catalog.text else '[]' end$$;
    end if;

    for op in
        select * from (values
            ('INSERT', 'new_rows r', null),
            ('UPDATE', format('new_rows r left join old_rows o on %s', join_old), updated_old),
            ('DELETE', 'old_rows r', deleted_old)
        ) as list (name, source, old_row)
    loop
        body := body || format($template$
    if tg_op = %3$L then
        for done in
            insert into dealflow.change_log
                (table_schema, table_name, op, stream_session_id, ids, keys, old_rows)
            select %1$L, %2$L, %3$L, session, %8$s, %9$s
            from (
                select *, pg_catalog.generate_series(1, pg_catalog.cardinality(ids), %7$s) as i
                from (
                    select %4$s as session, pg_catalog.array_agg(%5$s) as ids%10$s%11$s
                    from %6$s
                    group by 1
                ) as of_session
            ) as slice
            returning pg_catalog.pg_notify('dealflow', %12$L
                || coalesce('"' || stream_session_id || '"', 'null') || ',"ids":' || %13$s
                || ',"commit_timestamp":"' || pg_catalog.to_char(
                    at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') || '"}')
        loop
        end loop;
    end if;$template$,
            schema_name, table_name, op.name, session, key, op.source, step, slice_of_ids,
            case when op.old_row is null then 'null::pg_catalog.jsonb'
                 else format('pg_catalog.to_jsonb(old_rows[i:i + %s - 1])', step) end,
            case when op.old_row is null then ''
                 else format(', pg_catalog.array_agg(%s) as old_rows', op.old_row) end,
            case when key_is_uuid then ''
                 else format(', pg_catalog.max(pg_catalog.octet_length((%s)::pg_catalog.text)) as longest', key) end,
            format('{"schema":%s,"table":%s,"type":"%s","stream_session_id":',
                to_json(schema_name::text), to_json(table_name::text), op.name),
            json_ids);
    end loop;

    function_name := format('watch_%s_%s', schema_name, table_name);
    if octet_length(function_name) > 63 then
        function_name := left(function_name, 30) || '_' || md5(function_name);
    end if;
    function_name := format('dealflow.%I()', function_name);
    -- Hashing keeps the order of the statement within a session, sorting would not; and a plan made
    -- for a statement of one row must not loop over ten thousand squared. Postgres expresses both by
    -- huge costs, which must not start the JIT compiler.
    execute format($template$
create or replace function %s returns trigger
language plpgsql
security definer
set search_path = ''
set enable_sort = off
set enable_nestloop = off
set jit = off
as %L$template$, function_name, format('
declare
    done record;
begin%s
    return null;  -- AFTER trigger: the value is ignored
end
', body));
    execute format('revoke all on function %s from public', function_name);
    execute format('comment on function %s is %L', function_name,
        format('Logs and announces changes of %s; written by dealflow.watch_table()', p_table));

    execute format('create or replace trigger dealflow_watch_insert after insert on %s'
        ' referencing new table as new_rows for each statement execute function %s',
        p_table, function_name);
    execute format('create or replace trigger dealflow_watch_update after update on %s'
        ' referencing old table as old_rows new table as new_rows for each statement'
        ' execute function %s', p_table, function_name);
    execute format('create or replace trigger dealflow_watch_delete after delete on %s'
        ' referencing old table as old_rows for each statement execute function %s',
        p_table, function_name);
end
$watch$;
comment on function dealflow.watch_table(regclass, name, name[]) is
    'Adds triggers that log and announce changes of a table with a primary key. Session column: '
    'a uuid column, ignored when the default one is missing. Old columns: kept of old rows beside the key. '
    'Again after a change of key or name; harmless when repeated.';
revoke all on function dealflow.watch_table(regclass, name, name[]) from public;
