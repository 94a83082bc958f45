-- Filters of subscriptions: turned into SQL, and checked before they are used.
--
-- A condition is {"column":..,"op":..,"not":..,"value":..}, for "in" with "values". Values are compared
-- in the column's own type, with its own operators and collation. Null satisfies no comparison,
-- negated or not, except "is" and "isdistinct".
--
-- Applied anew when it changes.

-- SQL that tells whether row t of the table satisfies the condition; null when there is no such column.
-- Besides the operators of filters there is "which", with "values" and as many "ids": the ids of those
-- values that the column equals. Nothing in it is left to the search path.
create or replace function dealflow.realtime_condition(p_table regclass, p_condition jsonb)
returns text
language plpgsql stable
set search_path = ''
as $$
declare
    wanted constant text := p_condition ->> 'op';
    value constant text := p_condition ->> 'value';
    operator text;
    column_sql text;
    type_sql text;
    type_schema name;
    type_oid oid;
    is_array boolean;
    sql text;
begin
    -- A type's own name means it without a length, which would cut values.
    select pg_catalog.format('t.%I', a.attname), pg_catalog.format('%I.%I', n.nspname, ty.typname),
        n.nspname, ty.oid, ty.typcategory = 'A'
    into column_sql, type_sql, type_schema, type_oid, is_array
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_type ty on ty.oid = a.atttypid
    join pg_catalog.pg_namespace n on n.oid = ty.typnamespace
    where a.attrelid = p_table and a.attname = p_condition ->> 'column'
      and a.attnum > 0 and not a.attisdropped;
    if not found then
        return null;
    end if;

    operator := case wanted
        when 'eq' then '=' when 'neq' then '<>' when 'lt' then '<' when 'lte' then '<='
        when 'gt' then '>' when 'gte' then '>=' when 'in' then '=' when 'isdistinct' then '='
        when 'which' then '='
        when 'like' then '~~' when 'ilike' then '~~*' when 'match' then '~' when 'imatch' then '~*'
        when 'is' then 'is' end;
    if operator is null then
        raise exception 'unknown operator %', wanted;
    end if;
    -- A type of an extension (citext) brings operators of its own, which no search path finds here.
    if type_schema <> 'pg_catalog' then
        select pg_catalog.format('operator(%I.%s)', n.nspname, o.oprname) into sql
        from pg_catalog.pg_operator o
        join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
        where o.oprleft = type_oid and o.oprright = type_oid and o.oprname = operator;
    end if;
    operator := coalesce(sql, pg_catalog.format('operator(pg_catalog.%s)', operator));

    sql := case
        when wanted = 'is' then
            case pg_catalog.lower(value) when 'null' then column_sql || ' is null'
                when 'true' then column_sql || ' is true' when 'false' then column_sql || ' is false'
                when 'unknown' then column_sql || ' is unknown' end
        -- There are no arrays of arrays: such values are cast one by one.
        when wanted = 'in' and is_array then
            pg_catalog.format('case when %1$s is not null then exists (select'
                ' from pg_catalog.unnest(%3$L::pg_catalog.text[]) as v (value) where %1$s %2$s v.value::%4$s) end',
                column_sql, operator,
                array(select pg_catalog.jsonb_array_elements_text(p_condition -> 'values')), type_sql)
        when wanted = 'in' then
            pg_catalog.format('%s %s any (%L::%s[])', column_sql, operator,
                array(select pg_catalog.jsonb_array_elements_text(p_condition -> 'values')), type_sql)
        when wanted = 'which' then
            pg_catalog.format('(select coalesce(pg_catalog.array_agg(v.id), ''{}'')'
                ' from rows from (pg_catalog.unnest(%L::pg_catalog.int4[]), pg_catalog.unnest(%L::%s[]))'
                ' as v (id, value) where %s %s v.value%s)',
                array(select pg_catalog.jsonb_array_elements_text(p_condition -> 'ids')),
                array(select pg_catalog.jsonb_array_elements_text(p_condition -> 'values')),
                case when is_array then 'pg_catalog.text' else type_sql end, column_sql, operator,
                case when is_array then '::' || type_sql else '' end)
        when wanted in ('like', 'ilike', 'match', 'imatch') and type_schema = 'pg_catalog' then
            pg_catalog.format('%s %s %L::pg_catalog.text', column_sql, operator, value)
        when wanted = 'isdistinct' then
            pg_catalog.format('(%1$s is null or not %1$s %2$s %3$L::%4$s)',
                column_sql, operator, value, type_sql)
        else pg_catalog.format('%s %s %L::%s', column_sql, operator, value, type_sql)
    end;
    if sql is null then
        raise exception 'invalid value for operator %', wanted;
    end if;
    if (p_condition ->> 'not')::boolean then
        sql := 'not (' || sql || ')';
    end if;
    return sql;
end
$$;
comment on function dealflow.realtime_condition(regclass, jsonb) is
    'A condition of a filter as SQL about row t; null when the column does not exist';
revoke all on function dealflow.realtime_condition(regclass, jsonb) from public;

create or replace function dealflow.realtime_is_watched(p_table regclass) returns boolean
language plpgsql stable  -- not sql, which would plan it anew for each call
set search_path = ''
as $$
begin
    return exists (
        select from pg_catalog.pg_trigger t
        where t.tgrelid = p_table and t.tgname = 'dealflow_watch_insert' and t.tgenabled in ('O', 'A'));
end
$$;
comment on function dealflow.realtime_is_watched(regclass) is
    'True for tables with the triggers of dealflow.watch_table()';
revoke all on function dealflow.realtime_is_watched(regclass) from public;

-- The tables whose changes can be subscribed to.
create or replace view dealflow.realtime_tables as
    select t.tgrelid::regclass as table_oid, n.nspname as table_schema, c.relname as table_name
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where t.tgname = 'dealflow_watch_insert' and t.tgenabled in ('O', 'A');
comment on view dealflow.realtime_tables is
    'Tables with the triggers of dealflow.watch_table(): what can be subscribed to';
revoke all on dealflow.realtime_tables from public;
grant select on dealflow.realtime_tables to service_role;

-- What is wrong with the conditions and columns for this role and table, as an error.
create or replace function dealflow.realtime_check_table(
    p_role text, p_table regclass, p_filter jsonb, p_select jsonb
) returns void
language plpgsql
set search_path = ''
as $$
declare
    condition jsonb;
    name text;
    sql text;
begin
    -- A column that the role may not read is none: its name would tell, and its values be guessed.
    for name in
        select c ->> 'column' from pg_catalog.jsonb_array_elements(p_filter) c
    loop
        if not exists (
            select from pg_catalog.pg_attribute a
            where a.attrelid = p_table and a.attname = name and a.attnum > 0 and not a.attisdropped
              and pg_catalog.has_column_privilege(p_role, p_table, a.attnum, 'select')
        ) then
            raise exception 'invalid column for filter %', name;
        end if;
    end loop;
    for name in
        select pg_catalog.jsonb_array_elements_text(p_select)
    loop
        if not exists (
            select from pg_catalog.pg_attribute a
            where a.attrelid = p_table and a.attname = name and a.attnum > 0 and not a.attisdropped
              and pg_catalog.has_column_privilege(p_role, p_table, a.attnum, 'select')
        ) then
            raise exception 'invalid column for select %', name;
        end if;
    end loop;
    for condition in
        select pg_catalog.jsonb_array_elements(p_filter)
    loop
        if pg_catalog.jsonb_array_length(condition -> 'values') > 100 then
            raise exception 'too many values for `in` filter. Maximum 100';
        end if;
        sql := dealflow.realtime_condition(p_table, condition);
        -- Casts fail here, and operators that the type does not have.
        execute pg_catalog.format('select %s from %s t limit 0', sql, p_table);
        -- A pattern is read only where it meets a value.
        if condition ->> 'op' in ('match', 'imatch') then
            execute pg_catalog.format('select '''' ~ %L', condition ->> 'value');
        elsif condition ->> 'op' in ('like', 'ilike') and condition ->> 'value' ~ '(^|[^\\])(\\\\)*\\$' then
            raise exception 'LIKE pattern must not end with escape character' using errcode = '22025';
        end if;
    end loop;
end
$$;
comment on function dealflow.realtime_check_table(text, regclass, jsonb, jsonb) is
    'Raises what is wrong with a filter; part of dealflow.realtime_check()';
revoke all on function dealflow.realtime_check_table(text, regclass, jsonb, jsonb) from public;

-- Null when this role may subscribe so; otherwise the words of Supabase Realtime, but for the event,
-- which is not known here: it belongs between "[" and "schema:".
create or replace function dealflow.realtime_check(
    p_role text, p_schema text, p_table text, p_filter jsonb, p_select jsonb
) returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
    parameters text;
    target record;
    is_watched boolean := false;
    state text;
    reason text;
begin
    select pg_catalog.format('[schema: %s, table: %s, filters: [%s], select: %s]', p_schema, p_table,
        (select pg_catalog.string_agg(pg_catalog.format('{%s, %s, %s, %s}', c -> 'column', c -> 'op',
                coalesce(c -> 'value', c -> 'values'), coalesce(c -> 'not', 'false')), ', ' order by n)
         from pg_catalog.jsonb_array_elements(p_filter) with ordinality as list (c, n)),
        case when p_select = '[]' then 'nil' else p_select::text end)
    into parameters;
    -- What is wrong comes after it, and must not be cut off.
    if pg_catalog.length(parameters) > 300 then
        parameters := pg_catalog.left(parameters, 296) || '...]';
    end if;

    if not exists (select from pg_catalog.pg_roles where rolname = p_role) then
        return pg_catalog.format('role "%s" does not exist', p_role);
    end if;
    if p_select <> '[]' and '*' in (p_schema, p_table) then
        return 'Column selection is not supported for wildcard subscriptions.'
            ' Please specify both a schema and a table';
    end if;
    for target in
        select t.table_oid from dealflow.realtime_tables t
        where p_schema in ('*', t.table_schema) and p_table in ('*', t.table_name)
    loop
        is_watched := true;
        perform dealflow.realtime_check_table(p_role, target.table_oid, p_filter, p_select);
    end loop;
    if not is_watched then
        return 'Unable to subscribe to changes with given parameters. Please check Realtime is enabled'
            ' for the given connect parameters: ' || parameters;
    end if;
    return null;
exception when others then
    get stacked diagnostics state = returned_sqlstate, reason = message_text;
    return pg_catalog.format('Unable to subscribe to changes with given parameters. An exception happened'
        ' so please check your connect parameters: %s. Exception: ERROR %s%s %s', parameters, state,
        case state when 'P0001' then ' (raise_exception)'
            when '22P02' then ' (invalid_text_representation)'
            when '22007' then ' (invalid_datetime_format)'
            when '22008' then ' (datetime_field_overflow)'
            when '22003' then ' (numeric_value_out_of_range)'
            when '22025' then ' (invalid_escape_sequence)'
            when '2201B' then ' (invalid_regular_expression)'
            when '42804' then ' (datatype_mismatch)'
            when '42883' then ' (undefined_function)' else '' end,
        pg_catalog.replace(reason, 'pg_catalog.', ''));
end
$$;
comment on function dealflow.realtime_check(text, text, text, jsonb, jsonb) is
    'Null when the role may subscribe to the table with this filter and columns, else what is wrong';
revoke all on function dealflow.realtime_check(text, text, text, jsonb, jsonb) from public;
grant execute on function dealflow.realtime_check(text, text, text, jsonb, jsonb) to service_role;
