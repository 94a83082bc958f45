-- Every verdict, so that thresholds can be revisited and the model judged.

create table if not exists public.message_analysis (
    message_id uuid primary key references public.chat_messages (id) on delete cascade,
    is_buyer boolean not null,
    confidence double precision not null check (confidence between 0 and 1),
    message_type text not null,
    item_description text,
    estimated_value numeric(10,2),
    analyzer text not null,
    model text,
    analyzed_at timestamptz not null default clock_timestamp(),
    captured boolean not null default false
);
comment on table public.message_analysis is 'The verdict on a chat message; written by the service';
comment on column public.message_analysis.analyzer is
    'local, gateway, or local-fallback: decided while the model server failed, to be judged again';
comment on column public.message_analysis.captured is 'Whether the message became a row of sales_captured';

create index if not exists message_analysis_fallback on public.message_analysis (analyzed_at)
    where analyzer = 'local-fallback';
comment on index public.message_analysis_fallback is 'Verdicts to be judged again, oldest first';
