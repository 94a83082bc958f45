-- What changed, as subscribers may see it: rows and filters by a privileged read, once for all; row
-- level security by becoming each claim set in turn.
--
-- Applied anew when it changes.

-- SQL for the array of filters that row t satisfies; o.old holds the known columns of a deleted row.
-- Nothing in it is left to the search path.
create or replace function dealflow.realtime_passed(p_table regclass, p_op text, p_filters jsonb)
returns text
language plpgsql stable
set search_path = ''
as $$
declare
    filter jsonb;
    condition jsonb;
    one text;
    every text;
    parts text := '';
    single text := '';
begin
    for filter in select pg_catalog.jsonb_array_elements(p_filters) loop
        if filter ? 'column' then
            one := dealflow.realtime_condition(p_table, filter || '{"op": "which"}');
            if one is not null then
                parts := parts || case p_op when 'DELETE'
                    then pg_catalog.format(' operator(pg_catalog.||) case when o.old operator(pg_catalog.?) %L then %s else ''{}'' end',
                        filter ->> 'column', one)
                    else ' operator(pg_catalog.||) ' || one end;
            end if;
            continue;
        end if;
        every := null;
        for condition in select pg_catalog.jsonb_array_elements(filter -> 'conditions') loop
            one := coalesce(dealflow.realtime_condition(p_table, condition), 'false');
            if p_op = 'DELETE' then
                one := pg_catalog.format('o.old operator(pg_catalog.?) %L and %s', condition ->> 'column', one);
            end if;
            every := coalesce(every || ' and ', '') || one;
        end loop;
        single := single || pg_catalog.format(', case when %s then %s end', every, filter -> 'id');
    end loop;
    return 'pg_catalog.array_remove(array[null::pg_catalog.int4' || single || '], null)' || parts;
end
$$;
comment on function dealflow.realtime_passed(regclass, text, jsonb) is
    'The filters of dealflow.realtime_rows() as SQL about row t';
revoke all on function dealflow.realtime_passed(regclass, text, jsonb) from public;

-- The rows that are still there, once for each role that may read their key. p_filters is a list of
--     {"id":7,"conditions":[..]}                            one filter
--     {"column":"user_id","ids":[8,9],"values":["a","b"]}   filters that compare one column by "eq"
-- Of a DELETE only the key is shown, and filters ask the columns that the log kept: a condition on
-- any other column does not hold.
create or replace function dealflow.realtime_rows(
    p_schema text, p_table text, p_op text, p_ids uuid[], p_keys jsonb, p_old_rows jsonb,
    p_roles text[], p_filters jsonb
) returns table (
    n bigint,              -- which id or key, from 1
    role text,
    is_visible boolean,    -- row level security does not apply; otherwise ask realtime_visible()
    key text,
    shown_columns text,
    new_record text,
    old_record text,
    passed integer[]       -- filters
)
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set plan_cache_mode = force_generic_plan
as $$
declare
    rel regclass;
    access jsonb;
    columns jsonb;
    names name[];
    key_names name[];
    key_sql text;          -- the key of row t as JSON
    old_sql text;          -- the same for the old row
    join_sql text;         -- t is the row of key k
    n_sql text := 'k.n';
    source_sql text;
    statement text;
    prepared text;
    old_name text;
begin
    rel := pg_catalog.to_regclass(pg_catalog.format('%I.%I', p_schema, p_table));
    if not dealflow.realtime_is_watched(rel) then
        return;
    end if;

    -- One look at the catalog for all that depends on columns. The types by a subquery each, because
    -- a join with pg_type hashes all of it.
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname, 'type', a.typname)),
        array_agg(a.attname),
        array_agg(a.attname) filter (where a.is_key),
        string_agg(pg_catalog.format('%1$L, t.%1$I', a.attname), ', ') filter (where a.is_key),
        string_agg(pg_catalog.format('%1$L, o.old operator(pg_catalog.->) %1$L', a.attname), ', ') filter (where a.is_key),
        string_agg(pg_catalog.format('t.%1$I operator(pg_catalog.=) k.%1$I', a.attname), ' and ')
            filter (where a.is_key)
    into columns, names, key_names, key_sql, old_sql, join_sql
    from (
        select a.attname, a.attnum = any (i.indkey) as is_key,
            (select ty.typname from pg_catalog.pg_type ty where ty.oid = a.atttypid) as typname
        from pg_catalog.pg_index i
        join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and not a.attisdropped
        where i.indrelid = rel and i.indisprimary
        order by a.attnum
    ) as a;

    -- Who may read the key, and what besides. No role but those that we may become.
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('role', r.rolname,
        'is_visible', p_op = 'DELETE' or r.rolsuper or r.rolbypassrls or not c.relrowsecurity,
        'is_all', denied.names = '{}', 'denied', denied.names))
    into access
    from pg_catalog.pg_class c
    join pg_catalog.pg_roles r on r.rolname = any (p_roles)
        and pg_catalog.pg_has_role(session_user, r.oid, 'member')
        and pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'usage')
    cross join lateral (
        select case when not pg_catalog.has_table_privilege(r.oid, rel, 'select') then array(
            select name from pg_catalog.unnest(names) name
            where not pg_catalog.has_column_privilege(r.oid, rel, name, 'select')) else '{}' end as names
    ) as denied
    where c.oid = rel and not denied.names && key_names;
    if access is null then
        return;
    end if;

    if p_op = 'DELETE' then
        n_sql := 'o.n';
        source_sql := pg_catalog.format('pg_catalog.jsonb_array_elements($3) with ordinality as o (old, n)'
            ' cross join lateral pg_catalog.jsonb_populate_record(null::%s, o.old) as t', rel);
    elsif p_ids is not null then
        source_sql := pg_catalog.format('pg_catalog.unnest($1) with ordinality as k (key, n)'
            ' join %s t on t.%I operator(pg_catalog.=) k.key', rel, key_names[1]);
    else
        n_sql := 'e.n';
        source_sql := pg_catalog.format('pg_catalog.jsonb_array_elements($2) with ordinality as e (key, n)'
            ' cross join lateral pg_catalog.jsonb_populate_record(null::%1$s, %2$s) as k'
            ' join %1$s t on %3$s',
            rel, case pg_catalog.cardinality(key_names) when 1
                then pg_catalog.format('pg_catalog.jsonb_build_object(%L, e.key)', key_names[1])
                else 'e.key' end,
            join_sql);
    end if;
    if p_op <> 'DELETE' then
        source_sql := source_sql || pg_catalog.format(' cross join lateral (select $3 operator(pg_catalog.->)'
            ' (%s operator(pg_catalog.-) 1)::pg_catalog.int4 as old) as o', n_sql);
    end if;
    key_sql := case pg_catalog.cardinality(key_names) when 1
        then pg_catalog.format('pg_catalog.to_jsonb(t.%I)', key_names[1])
        else 'pg_catalog.jsonb_build_object(' || key_sql || ')' end;
    old_sql := 'pg_catalog.jsonb_build_object(' || old_sql || ')';

    statement := pg_catalog.format($sql$
        select r.n, a.role, a.is_visible, r.key::pg_catalog.text, a.shown::pg_catalog.text,
            (case when a.is_all then r.record else r.record operator(pg_catalog.-) a.denied end)
                ::pg_catalog.text,
            r.old::pg_catalog.text, r.passed
        from (
            select %s as n, %s as key, %s as record, %s as old, %s as passed
            from %s
            offset 0
        ) as r
        cross join (
            select a.*, case when a.is_all then $5 else (
                select pg_catalog.jsonb_agg(list.one order by list.place)
                from pg_catalog.jsonb_array_elements($5) with ordinality as list (one, place)
                where (list.one operator(pg_catalog.->>) 'name') operator(pg_catalog.<>) all (a.denied)
                ) end as shown
            from pg_catalog.jsonb_to_recordset($4) as a (role pg_catalog.text, is_all pg_catalog.bool,
                is_visible pg_catalog.bool, denied pg_catalog.text[])
            offset 0
        ) as a
        order by r.n$sql$,
        n_sql, key_sql,
        -- "t" alone would be a column of that name, if there is one.
        case p_op when 'DELETE' then 'null::pg_catalog.jsonb' else 'pg_catalog.to_jsonb(t.*)' end,
        case p_op when 'INSERT' then 'null::pg_catalog.jsonb' when 'DELETE' then old_sql
            else 'case pg_catalog.jsonb_typeof(o.old) when ''object'' then ' || old_sql
                || ' else ''{}'' end' end,
        case when p_filters is null then '''{}''::pg_catalog.int4[]'
            else dealflow.realtime_passed(rel, p_op, p_filters) end,
        source_sql);
    -- The statement is the same until the table changes or other filters are asked. Planning it takes
    -- longer than running it, so the session keeps the last few, under names that hold their text.
    -- Code in policies runs in this session too, and could have put another statement under this name,
    -- or this very text while functions of its own came first in the search path: hence the comparison,
    -- and hence nothing in the statement is left to the search path.
    prepared := 'dealflow_' || pg_catalog.md5(statement);
    statement := pg_catalog.format('prepare %I (pg_catalog.uuid[], pg_catalog.jsonb, pg_catalog.jsonb,'
        ' pg_catalog.jsonb, pg_catalog.jsonb) as ', prepared) || statement;
    if statement is distinct from (
        select p.statement from pg_catalog.pg_prepared_statements p where p.name = prepared)
    then
        for old_name in
            select p.name
            from (select *, pg_catalog.row_number() over (order by prepare_time desc) as age
                  from pg_catalog.pg_prepared_statements where name like 'dealflow\_%') as p
            where p.name = prepared or p.age > 63
        loop
            execute pg_catalog.format('deallocate %I', old_name);
        end loop;
        execute statement;
    end if;
    return query execute pg_catalog.format('execute %I (%L, %L, %L, %L, %L)',
        prepared, p_ids, p_keys, p_old_rows, access, columns);
end
$$;
comment on function dealflow.realtime_rows(text, text, text, uuid[], jsonb, jsonb, text[], jsonb) is
    'Changed rows as each role may read them, and the filters they pass; called by realtime/resolve.c';
revoke all on function dealflow.realtime_rows(text, text, text, uuid[], jsonb, jsonb, text[], jsonb)
    from public;
grant execute on function
    dealflow.realtime_rows(text, text, text, uuid[], jsonb, jsonb, text[], jsonb) to service_role;

-- Which of the rows do these claim sets see? For each, p_keys has the rows to be asked about: a
-- uuid[] where the primary key is one uuid, otherwise a JSON array of keys. Not "security definer",
-- because Postgres lets no such function change the role: who calls it must be able to become the
-- roles of the claims. An error (a role that does not exist, a policy that fails) is told for the
-- claim set it belongs to; the others are answered.
--
-- One statement is prepared for each table and role and kept in the session: planning it for each
-- claim set would cost ten times as much as running it. Its name holds its text, so that another
-- key or type makes another one.
create or replace function dealflow.realtime_visible(
    p_schema text, p_table text, p_claims text[], p_keys text[]
) returns table (claims integer, seen bigint[], error text)
language plpgsql
-- As PostgREST has it: policies may call functions without naming their schema. The names below are
-- qualified, because others may write there.
set search_path = public, extensions
set plan_cache_mode = force_generic_plan
as $$
declare
    role_before constant text := pg_catalog.current_setting('role');
    role_now text;
    wanted jsonb;
    statement text;
    prepared text;
begin
    select case
        when pg_catalog.count(*) = 1 and pg_catalog.min(a.atttypid) = 'pg_catalog.uuid'::pg_catalog.regtype::pg_catalog.oid
        then pg_catalog.format(
            '(pg_catalog.uuid[]) as select pg_catalog.array_agg(k.n) from pg_catalog.unnest($1)'
            ' with ordinality as k (key, n) join %I.%I t on t.%I operator(pg_catalog.=) k.key',
            p_schema, p_table, pg_catalog.min(a.attname::pg_catalog.text))
        else pg_catalog.format(
            '(pg_catalog.jsonb) as select pg_catalog.array_agg(e.n)'
            ' from pg_catalog.jsonb_array_elements($1) with ordinality as e (key, n)'
            ' cross join lateral pg_catalog.jsonb_populate_record(null::%1$I.%2$I, %3$s) as k'
            ' join %1$I.%2$I t on %4$s', p_schema, p_table,
            case pg_catalog.count(*) when 1 then pg_catalog.format(
                    'pg_catalog.jsonb_build_object(%L, e.key)', pg_catalog.min(a.attname::pg_catalog.text))
                else 'e.key' end,
            pg_catalog.string_agg(
                pg_catalog.format('t.%1$I operator(pg_catalog.=) k.%1$I', a.attname), ' and '))
        end
    into statement
    from pg_catalog.pg_index i
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
    where i.indisprimary
        and i.indrelid = pg_catalog.to_regclass(pg_catalog.format('%I.%I', p_schema, p_table));

    for i in 1 .. pg_catalog.cardinality(p_claims) loop
        claims := i;
        seen := null;
        error := null;
        begin
            wanted := p_claims[i];
            if role_now is distinct from wanted ->> 'role' then
                role_now := wanted ->> 'role';
                -- The name "none" would make us the login role again.
                if not exists (select from pg_catalog.pg_roles r where r.rolname = role_now) then
                    raise exception 'role "%" does not exist', role_now;
                end if;
                perform pg_catalog.set_config('role', role_now, true);
                prepared := 'dealflow_' || pg_catalog.md5(role_now || statement);
                if not exists (select from pg_catalog.pg_prepared_statements p where p.name = prepared) then
                    execute pg_catalog.format('prepare %I', prepared) || statement;
                end if;
            end if;
            perform pg_catalog.set_config('request.jwt.claims', p_claims[i], true),
                pg_catalog.set_config('request.jwt.claim.sub', coalesce(wanted ->> 'sub', ''), true),
                pg_catalog.set_config('request.jwt.claim.role', role_now, true);
            execute pg_catalog.format('execute %I (%L)', prepared, p_keys[i]) into seen;
        exception when others then
            error := sqlerrm;
            role_now := null;
        end;
        return next;
    end loop;
    perform pg_catalog.set_config('role', role_before, true);
end
$$;
comment on function dealflow.realtime_visible(text, text, text[], text[]) is
    'The rows that each claim set sees under row level security; called by realtime/resolve.c';
revoke all on function dealflow.realtime_visible(text, text, text[], text[]) from public;
grant execute on function dealflow.realtime_visible(text, text, text[], text[]) to service_role;
