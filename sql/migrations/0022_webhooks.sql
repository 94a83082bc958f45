-- Each captured sale to the address in user_settings.webhook_url.
--
-- The trigger below puts a delivery into a table in the transaction of the sale, wherever the sale
-- comes from; the program monitor-realtime-stream sends it until the receiver says 2xx. So a sale is
-- delivered at least once, and the receiver tells repeats by the id.
--
-- A body is signed with the user's secret, which the user reads from webhook_secrets and replaces by
-- calling rotate_webhook_secret(). Header: X-DealFlow-Signature: t=<unix seconds>,v1=<hex>, where v1
-- is the HMAC-SHA256 of "<t>.<body>".

create table if not exists public.webhook_secrets (
    user_id uuid primary key references public.profiles (id) on delete cascade,
    secret text not null,
    created_at timestamptz not null default clock_timestamp()
);
comment on table public.webhook_secrets is
    'What a user''s webhook calls are signed with; made when webhook_url is set';

create table if not exists public.webhook_deliveries (
    sale_id uuid primary key,  -- no reference: a sale that is deleted was captured all the same
    user_id uuid not null references public.profiles (id) on delete cascade,
    body text not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'dead')),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default clock_timestamp(),
    last_status integer,
    last_error text,
    created_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
comment on table public.webhook_deliveries is 'Captured sales on their way to their owner''s webhook_url';
comment on column public.webhook_deliveries.body is 'What is sent, byte for byte, at every attempt';
comment on column public.webhook_deliveries.state is
    'dead: given up after WEBHOOK_ATTEMPTS_MAX attempts; last_error says why. Set back to waiting to try again';
comment on column public.webhook_deliveries.next_attempt_at is
    'Not before; while an attempt is under way, when it is taken for lost';
comment on column public.webhook_deliveries.last_status is 'HTTP status of the last answer, if there was one';

create index if not exists webhook_deliveries_waiting
    on public.webhook_deliveries (user_id, next_attempt_at) where state = 'waiting';
create index if not exists webhook_deliveries_finished
    on public.webhook_deliveries (finished_at) where state <> 'waiting';
-- Small, and empty where nobody uses webhooks: what the trigger on sales looks at.
create index if not exists user_settings_webhook
    on public.user_settings (user_id) where webhook_url is not null;

alter table public.webhook_secrets enable row level security;
alter table public.webhook_deliveries enable row level security;
revoke all on public.webhook_secrets, public.webhook_deliveries from public, anon, authenticated;
grant select on public.webhook_secrets, public.webhook_deliveries to authenticated;
grant select, insert, update, delete on public.webhook_secrets, public.webhook_deliveries to service_role;

drop policy if exists dealflow_owner_select on public.webhook_secrets;
create policy dealflow_owner_select on public.webhook_secrets for select to authenticated
    using (user_id = (select auth.uid()));
drop policy if exists dealflow_owner_select on public.webhook_deliveries;
create policy dealflow_owner_select on public.webhook_deliveries for select to authenticated
    using (user_id = (select auth.uid()));

-- --- secrets

-- Two version 4 uuids: 244 random bits from the server's strong source, without an extension.
create or replace function dealflow.new_webhook_secret() returns text
language sql volatile
set search_path = ''
as $$
    select 'whsec_' || pg_catalog.replace(
        pg_catalog.gen_random_uuid()::text || pg_catalog.gen_random_uuid()::text, '-', '')
$$;
comment on function dealflow.new_webhook_secret() is 'A new random secret';
revoke all on function dealflow.new_webhook_secret() from public;

create or replace function dealflow.on_webhook_url() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.webhook_secrets (user_id, secret)
    values (new.user_id, dealflow.new_webhook_secret())
    on conflict (user_id) do nothing;
    return null;  -- AFTER trigger: the value is ignored
end
$$;
comment on function dealflow.on_webhook_url() is 'A user who sets webhook_url gets a secret';
revoke all on function dealflow.on_webhook_url() from public;
create or replace trigger dealflow_webhook_url after insert or update of webhook_url
    on public.user_settings
    for each row when (new.webhook_url is not null) execute function dealflow.on_webhook_url();

insert into public.webhook_secrets (user_id, secret)
select user_id, dealflow.new_webhook_secret() from public.user_settings where webhook_url is not null
on conflict (user_id) do nothing;

create or replace function public.rotate_webhook_secret() returns text
language sql volatile
security definer
set search_path = ''
as $$
    insert into public.webhook_secrets as s (user_id, secret)
    select p.id, dealflow.new_webhook_secret() from public.profiles p where p.id = auth.uid()
    on conflict (user_id) do update
    set secret = excluded.secret, created_at = pg_catalog.clock_timestamp()
    returning s.secret
$$;
comment on function public.rotate_webhook_secret() is
    'Replaces the caller''s webhook secret and returns the new one; null for who is no user';
revoke all on function public.rotate_webhook_secret() from public, anon;
grant execute on function public.rotate_webhook_secret() to authenticated;

-- --- sales

create or replace function dealflow.enqueue_webhooks() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- Where nobody uses webhooks this look at an empty index is all there is.
    if not exists (select from public.user_settings u where u.webhook_url is not null) then
        return null;
    end if;
    insert into public.webhook_deliveries (sale_id, user_id, body)
    select r.id, r.user_id, pg_catalog.json_build_object(
        'id', r.id,
        'type', 'sale.captured',
        'created_at', r.captured_at,
        'sale', pg_catalog.json_build_object(
            'id', r.id, 'user_id', r.user_id, 'stream_session_id', r.stream_session_id,
            'platform', r.platform, 'buyer_username', r.buyer_username,
            'message_text', r.message_text, 'item_description', r.item_description,
            'estimated_value', r.estimated_value, 'captured_at', r.captured_at),
        'session', case when s.id is not null then pg_catalog.json_build_object(
            'id', s.id, 'platform', s.platform, 'started_at', s.started_at) end)::text
    from new_rows r  -- transition table of the statement
    join public.user_settings u on u.user_id = r.user_id and u.webhook_url is not null
    left join public.stream_sessions s on s.id = r.stream_session_id
    on conflict (sale_id) do nothing;
    if found then
        perform pg_catalog.pg_notify('dealflow_webhooks', '');
    end if;
    return null;  -- AFTER trigger: the value is ignored
end
$$;
comment on function dealflow.enqueue_webhooks() is
    'AFTER INSERT FOR EACH STATEMENT on sales_captured; channel dealflow_webhooks wakes fcgi/webhooks.c';
revoke all on function dealflow.enqueue_webhooks() from public;
create or replace trigger dealflow_webhooks after insert on public.sales_captured
    referencing new table as new_rows for each statement execute function dealflow.enqueue_webhooks();
