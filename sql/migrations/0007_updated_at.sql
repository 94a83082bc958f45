-- Keeps updated_at of profiles and user_settings.

create or replace function dealflow.touch_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.updated_at = pg_catalog.now();
    return new;
end
$$;
comment on function dealflow.touch_updated_at() is 'Before update on profiles and user_settings';
revoke all on function dealflow.touch_updated_at() from public;

create or replace trigger dealflow_touch_updated_at before update on public.profiles
    for each row execute function dealflow.touch_updated_at();
create or replace trigger dealflow_touch_updated_at before update on public.user_settings
    for each row execute function dealflow.touch_updated_at();
