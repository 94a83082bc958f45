-- The five tables of the old system, column by column as its clients know them: they select *.
-- New facts go into new tables. Existing tables and their rows are left as they are.

create table if not exists public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    email text not null unique,
    stripe_customer_id text unique,
    stripe_subscription_id text,
    subscription_status text not null default 'none'
        check (subscription_status in ('none', 'trial', 'active', 'cancelled', 'past_due')),
    trial_ends_at timestamptz,
    subscription_ends_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table public.profiles is 'One row per user, made when the account is made';

create table if not exists public.stream_sessions (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles (id) on delete cascade,
    platform text not null
        check (platform in ('tiktok', 'instagram', 'youtube', 'whatnot', 'facebook')),
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    total_sales_caught integer not null default 0,
    total_revenue_recovered decimal(10,2) not null default 0,
    created_at timestamptz not null default now()
);
comment on table public.stream_sessions is 'One live show that is watched; counters by increment_stream_stats';

create table if not exists public.sales_captured (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references public.profiles (id) on delete cascade,
    stream_session_id uuid references public.stream_sessions (id) on delete set null,
    platform text not null
        check (platform in ('tiktok', 'instagram', 'youtube', 'whatnot', 'facebook')),
    buyer_username text not null,
    message_text text not null,
    item_description text,
    estimated_value decimal(10,2),
    captured_at timestamptz not null default now(),
    created_at timestamptz not null default now()
);
comment on table public.sales_captured is
    'Buyers found in chat; id equals the chat message''s id, so a message is a sale at most once';

create table if not exists public.chat_messages (
    id uuid primary key default gen_random_uuid(),
    stream_session_id uuid not null references public.stream_sessions (id) on delete cascade,
    username text not null,
    message text not null,
    platform text not null default 'whatnot',
    created_at timestamptz default now()
);
comment on table public.chat_messages is 'Every chat line of a session; only the service writes here';

create table if not exists public.user_settings (
    user_id uuid primary key references public.profiles (id) on delete cascade,
    alert_sound_enabled boolean not null default true,
    auto_reply_enabled boolean not null default false,
    webhook_url text,
    ignored_phrases jsonb default '[]',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
comment on table public.user_settings is 'What a seller set in the dashboard';

-- Counters are updated with every sale; room in the page keeps those updates off the indexes.
alter table public.stream_sessions set (fillfactor = 70);
