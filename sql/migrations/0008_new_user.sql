-- A new account gets its profile and its settings row.

-- Must never fail, or nobody could sign up: an account without e-mail (phone, anonymous) or with one
-- that another profile holds gets an address under .invalid, because profiles.email is unique.
create or replace function dealflow.add_user(p_id uuid, p_email text) returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    insert into public.profiles (id, email)
    values (p_id,
        case when p_email is null or exists (select from public.profiles where email = p_email)
            then p_id::pg_catalog.text || '@no-email.invalid' else p_email end)
    on conflict do nothing;
    insert into public.user_settings (user_id)
    select id from public.profiles where id = p_id
    on conflict do nothing;
end
$$;
comment on function dealflow.add_user(uuid, text) is
    'Creates profile and settings row of an account unless they exist';
revoke all on function dealflow.add_user(uuid, text) from public;

create or replace function dealflow.on_new_user() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform dealflow.add_user(new.id, new.email::pg_catalog.text);
    return null;  -- AFTER trigger: the value is ignored
end
$$;
comment on function dealflow.on_new_user() is 'After insert on auth.users';
revoke all on function dealflow.on_new_user() from public;

do $$
begin
    -- An old database has such a trigger already, and schema auth is Supabase's: leave it then.
    if not exists (
        select from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
        where t.tgrelid = 'auth.users'::regclass
          and not t.tgisinternal
          and (p.oid = 'dealflow.on_new_user'::regproc
               or (p.prosrc ~* 'profiles' and p.prosrc ~* 'user_settings'))
    ) then
        -- Triggers run in the order of their names: ours last, where it finds what others made.
        create trigger zz_dealflow_new_user after insert on auth.users
            for each row execute function dealflow.on_new_user();
    end if;

    -- Accounts that are older than the trigger.
    perform dealflow.add_user(u.id, u.email::text)
    from auth.users u
    where not exists (select from public.profiles p where p.id = u.id)
       or not exists (select from public.user_settings s where s.user_id = u.id);
end
$$;
