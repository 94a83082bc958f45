-- The day's budget for the model server, shared by all programs and by their next lives.
--
-- Money is leased before it is spent: monitor-realtime-stream takes a part of what is left of the
-- day, spends it without asking here again, and gives back what it still has when it ends. A program
-- that is killed loses its lease, so that the limit holds in any case. Days are UTC.

create table if not exists dealflow.ai_budget (
    day date not null,
    unit text not null check (unit in ('calls', 'tokens', 'cents')),
    leased bigint not null check (leased >= 0),
    primary key (day, unit)
);
comment on table dealflow.ai_budget is 'What of each day''s AI_BUDGET_DAY the programs have leased';
comment on column dealflow.ai_budget.leased is
    'Calls, tokens, or millionths of a cent; what a program gave back is taken off again';

-- Returns how much of p_wanted is granted: 0 when the day's limit is reached. A negative p_wanted
-- gives that much back, on the day it was leased on or after it, and returns 0.
create or replace function dealflow.lease_ai_budget(
    p_day date, p_unit text, p_limit bigint, p_wanted bigint
) returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    before bigint;
    granted bigint;
begin
    if p_day is null or p_limit is null or p_limit < 0 or p_wanted is null then
        raise exception 'lease_ai_budget: day, limit and wanted must be given, the limit not negative'
            using errcode = '22023';
    end if;
    insert into dealflow.ai_budget as b (day, unit, leased) values (p_day, p_unit, 0)
    on conflict (day, unit) do nothing;
    select b.leased into strict before
    from dealflow.ai_budget b where b.day = p_day and b.unit = p_unit for update;
    -- Below 0: given back. A limit that was lowered since grants nothing.
    granted := case when p_wanted < 0 then p_wanted else greatest(least(p_wanted, p_limit - before), 0) end;
    update dealflow.ai_budget b set leased = greatest(before + granted, 0)
    where b.day = p_day and b.unit = p_unit;
    return greatest(granted, 0);
end
$$;
comment on function dealflow.lease_ai_budget(date, text, bigint, bigint) is
    'Takes a part of a day''s budget for the model server, or gives it back; see sql/migrations/0024';

revoke all on dealflow.ai_budget from public;
revoke all on function dealflow.lease_ai_budget(date, text, bigint, bigint) from public;
grant select on dealflow.ai_budget to service_role;
grant execute on function dealflow.lease_ai_budget(date, text, bigint, bigint) to service_role;
