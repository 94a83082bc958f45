-- Private channels and broadcasts: what policies on realtime.messages allow, and how messages get from
-- one gateway to the others and from SQL to all of them.

-- May these claims read from and write to a private topic? Asked the way Supabase does: a row is put
-- into realtime.messages and looked for, and another one written, in the caller's role; all of it is
-- undone. Not "security definer", because it becomes that role.
create or replace function dealflow.realtime_may(
    p_claims text, p_topic text, p_extension text, out can_read boolean, out can_write boolean
)
language plpgsql
-- As PostgREST has it: policies may call functions without naming their schema.
set search_path = public, extensions
as $$
declare
    wanted constant jsonb := p_claims;
    tried constant uuid := pg_catalog.gen_random_uuid();
begin
    can_read := false;
    can_write := false;
    -- The name "none" would make us the login role again.
    if not exists (select from pg_catalog.pg_roles r where r.rolname = wanted ->> 'role') then
        return;
    end if;
    begin
        insert into realtime.messages (id, topic, extension) values (tried, p_topic, p_extension);
        perform pg_catalog.set_config('role', wanted ->> 'role', true),
            pg_catalog.set_config('request.jwt.claims', p_claims, true),
            pg_catalog.set_config('request.jwt.claim.sub', coalesce(wanted ->> 'sub', ''), true),
            pg_catalog.set_config('request.jwt.claim.role', wanted ->> 'role', true),
            pg_catalog.set_config('realtime.topic', p_topic, true);
        begin
            can_read := exists (select from realtime.messages m where m.id = tried);
        exception when others then
            null; -- a policy that fails allows nothing
        end;
        begin
            insert into realtime.messages (topic, extension) values (p_topic, p_extension);
            can_write := true;
        exception when others then
            null;
        end;
        raise exception 'undo' using errcode = 'DF001';
    exception
        when sqlstate 'DF001' or insufficient_privilege then
            null; -- role and settings are as before
    end;
end
$$;
comment on function dealflow.realtime_may(text, text, text) is
    'What the policies on realtime.messages say about a private topic; called by realtime/control.c';
revoke all on function dealflow.realtime_may(text, text, text) from public;
grant execute on function dealflow.realtime_may(text, text, text) to service_role;

-- Messages that no notification can hold, for the moment until every gateway has fetched them.
create table if not exists dealflow.realtime_messages (
    id bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    body text not null
);
alter table dealflow.realtime_messages alter column body set storage external; -- speed, not space
comment on table dealflow.realtime_messages is
    'Broadcasts above the size of a notification; kept for a minute';
revoke all on dealflow.realtime_messages from public;

-- Announces messages on channel dealflow_realtime, in order, as "<gateway> <n> <text>" or
-- "<gateway> #<id>" for dealflow.realtime_message(id). The number keeps equal messages of one
-- transaction apart, which Postgres would send once.
create or replace function dealflow.realtime_send(p_gateway text, p_texts text[]) returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    one text;
    n integer := 0;
    payload text;
    new_id bigint;
begin
    foreach one in array p_texts loop
        n := n + 1;
        payload := p_gateway || ' ' || n || ' ' || one;
        if pg_catalog.octet_length(payload) > 7900 then
            delete from dealflow.realtime_messages
            where at < pg_catalog.clock_timestamp() - interval '1 minute';
            insert into dealflow.realtime_messages (body) values (one) returning id into new_id;
            payload := p_gateway || ' #' || new_id;
        end if;
        perform pg_catalog.pg_notify('dealflow_realtime', payload);
    end loop;
end
$$;
comment on function dealflow.realtime_send(text, text[]) is
    'Sends messages to all gateways but the one named; called by realtime/control.c and realtime.send()';
revoke all on function dealflow.realtime_send(text, text[]) from public;
grant execute on function dealflow.realtime_send(text, text[]) to service_role;

create or replace function dealflow.realtime_message(p_id bigint) returns text
language sql stable
security definer
set search_path = ''
return (select body from dealflow.realtime_messages where id = p_id);
comment on function dealflow.realtime_message(bigint) is
    'A message announced by its id; null when it is too old';
revoke all on function dealflow.realtime_message(bigint) from public;
grant execute on function dealflow.realtime_message(bigint) to service_role;

-- Broadcasts from SQL, as on Supabase. Only in the schema that 0004 made: on Supabase it is Supabase's,
-- and a function of ours would be in the way of its updates. They reach every gateway on commit as
-- {"sql":true,"id":..,"topic":..,"event":..,"payload":..,"private":..}. For service_role: whoever
-- else should send writes a function of his own that is "security definer".
do $do$
begin
    if pg_catalog.obj_description(pg_catalog.to_regnamespace('realtime'), 'pg_namespace')
        is distinct from 'Stand-in for Supabase Realtime on a plain Postgres'
    then
        return;
    end if;

    if pg_catalog.to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then
        create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
        returns void
        language plpgsql
        security definer
        set search_path = ''
        as $$
        declare
            message_id constant uuid := pg_catalog.gen_random_uuid();
        begin
            perform dealflow.realtime_send('sql', array[pg_catalog.json_build_object(
                'sql', true, 'id', message_id, 'topic', topic, 'event', event,
                'payload', case when pg_catalog.jsonb_typeof(payload) = 'object' and not payload ? 'id'
                    then payload || pg_catalog.jsonb_build_object('id', message_id) else payload end,
                'private', coalesce(private, true))::text]);
        end
        $$;
        comment on function realtime.send(jsonb, text, text, boolean) is
            'Broadcasts an event to the subscribers of a topic when the transaction commits';
        revoke all on function realtime.send(jsonb, text, text, boolean) from public;
        grant execute on function realtime.send(jsonb, text, text, boolean) to service_role;
    end if;

    if pg_catalog.to_regprocedure('realtime.broadcast_changes(text,text,text,text,text,record,record,text)') is null then
        create function realtime.broadcast_changes(
            topic_name text, event_name text, operation text, table_name text, table_schema text,
            new record, old record, level text default 'ROW')
        returns void
        language plpgsql
        security definer
        set search_path = ''
        as $$
        begin
            if level = 'STATEMENT' then
                raise exception 'function can only be triggered for each row, not for each statement';
            end if;
            perform realtime.send(pg_catalog.jsonb_build_object('schema', table_schema,
                'table', table_name, 'operation', operation, 'record', pg_catalog.to_jsonb(new),
                'old_record', pg_catalog.to_jsonb(old)), event_name, topic_name);
        end
        $$;
        comment on function realtime.broadcast_changes(text, text, text, text, text, record, record, text) is
            'Broadcasts a row from a trigger to the private topic of that name';
        revoke all on function
            realtime.broadcast_changes(text, text, text, text, text, record, record, text) from public;
        grant execute on function
            realtime.broadcast_changes(text, text, text, text, text, record, record, text)
            to service_role;
    end if;
end
$do$;
