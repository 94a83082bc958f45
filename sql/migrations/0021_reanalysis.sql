-- Whole sessions judged again on request (dealflow-analyze --session), by any number of workers.
--
-- A run is cut into parts when it begins. A worker takes a part with "for update skip locked", and
-- commits verdicts, sales, counters and done_at of that part together: whatever is killed meanwhile,
-- a part is done once or not at all, and the next worker goes on where the last one was.

create table if not exists dealflow.reanalysis_runs (
    id uuid primary key default gen_random_uuid(),
    stream_session_id uuid not null references public.stream_sessions (id) on delete cascade,
    analyzer text not null check (analyzer in ('local', 'gateway', 'hybrid')),
    threshold double precision not null check (threshold between 0 and 1),
    message_types text[] not null,
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    abandoned boolean not null default false
);
comment on table dealflow.reanalysis_runs is 'One request to judge a session again';
comment on column dealflow.reanalysis_runs.message_types is 'Which types of verdict may become a sale';
comment on column dealflow.reanalysis_runs.abandoned is 'Ended by --restart before all was done';

-- One at a time for each session: two runs would undo each other's verdicts.
create unique index if not exists reanalysis_runs_open on dealflow.reanalysis_runs (stream_session_id)
    where finished_at is null;

create table if not exists dealflow.reanalysis_parts (
    run_id uuid not null references dealflow.reanalysis_runs (id) on delete cascade,
    part integer not null,
    message_ids uuid[] not null,
    done_at timestamptz,
    judged integer not null default 0,
    unanswered integer not null default 0,
    buyers integer not null default 0,
    new_sales integer not null default 0,
    kept_sales integer not null default 0,
    primary key (run_id, part)
);
comment on table dealflow.reanalysis_parts is 'A piece of a run: what one transaction does';
comment on column dealflow.reanalysis_parts.unanswered is
    'Lines whose old verdict stands, because the model server gave no usable answer';
comment on column dealflow.reanalysis_parts.kept_sales is
    'Sales that the new verdict would not make; they stay';

create index if not exists reanalysis_parts_open on dealflow.reanalysis_parts (run_id, part)
    where done_at is null;

-- Row level security without a policy: the service alone.
alter table dealflow.reanalysis_runs enable row level security;
alter table dealflow.reanalysis_parts enable row level security;
revoke all on dealflow.reanalysis_runs, dealflow.reanalysis_parts from public;
grant select, insert, update, delete on dealflow.reanalysis_runs, dealflow.reanalysis_parts
    to service_role;

-- Begins a run, or finds the one that is under way. No row: no such session.
create or replace function dealflow.begin_reanalysis(
    p_session uuid,
    p_analyzer text,
    p_threshold double precision,
    p_types text[],
    p_part_lines integer,
    p_restart boolean
) returns table (run_id uuid, analyzer text, threshold double precision, message_types text[])
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
    new_run uuid;
begin
    if not exists (select from public.stream_sessions where id = p_session) then
        return;
    end if;
    if p_restart then
        update dealflow.reanalysis_runs
        set finished_at = pg_catalog.clock_timestamp(), abandoned = true
        where stream_session_id = p_session and finished_at is null;
    end if;
    insert into dealflow.reanalysis_runs (stream_session_id, analyzer, threshold, message_types)
    values (p_session, p_analyzer, p_threshold, p_types)
    on conflict (stream_session_id) where finished_at is null do nothing
    returning id into new_run;
    if new_run is not null then
        insert into dealflow.reanalysis_parts (run_id, part, message_ids)
        select new_run, line.n / p_part_lines, pg_catalog.array_agg(line.id order by line.n)
        from (select m.id, pg_catalog.row_number() over (order by m.created_at, m.id) - 1 as n
              from public.chat_messages m where m.stream_session_id = p_session) as line
        group by line.n / p_part_lines;
    end if;
    return query
    select r.id, r.analyzer, r.threshold, r.message_types
    from dealflow.reanalysis_runs r
    where r.stream_session_id = p_session and r.finished_at is null;
end
$$;
comment on function dealflow.begin_reanalysis(uuid, text, double precision, text[], integer, boolean) is
    'Begins to judge a session again, or joins the run under way; called by fcgi/analyze/session.c';
revoke all on function
    dealflow.begin_reanalysis(uuid, text, double precision, text[], integer, boolean) from public;
grant execute on function
    dealflow.begin_reanalysis(uuid, text, double precision, text[], integer, boolean) to service_role;
