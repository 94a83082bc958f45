// Who sees which row: policies, grants, tokens that change, expire or are forged, private channels.
// Numbers are those of the acceptance checklist for the protocol.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { nowSeconds, startRealtime, token, uuid } from './lib/realtime.mjs';
import { OTHER_OWNER, OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const ALL = { event: '*', schema: 'public', table: 'chat_messages' };
const PRIVATE = { private: true };

// locked: a table whose policies let nobody in. partial: a column that users may not read. teams:
// policies on other claims than the subject, one of them failing. custom_role: a role of an app's own.
const SQL = `
  create table public.locked (id uuid primary key default gen_random_uuid(), note text);
  alter table public.locked enable row level security;
  create table public.partial (id uuid primary key default gen_random_uuid(), open text, secret text, more int default 1);
  alter table public.partial enable row level security;
  create policy everybody on public.partial for select to authenticated using (true);
  create table public.teams (id uuid primary key default gen_random_uuid(), team text, owner uuid);
  alter table public.teams enable row level security;
  create policy of_team on public.teams for select to authenticated
    using (team = (select auth.jwt() -> 'app_metadata' ->> 'team'));
  create policy of_anon on public.teams for select to anon using (team = 'public');
  create role custom_role nologin noinherit;
  grant custom_role to dealflow_realtime;
  grant usage on schema public, auth to custom_role;
  create policy of_custom on public.teams for select to custom_role using (team = 'custom');
  grant select on public.locked, public.teams to anon, authenticated, service_role, custom_role;
  grant select on public.marks to custom_role;
  grant select (id, open, more) on public.partial to authenticated;
  grant select on public.partial to service_role;
  select dealflow.watch_table('public.locked'), dealflow.watch_table('public.partial'), dealflow.watch_table('public.teams');
  create policy read_rooms on realtime.messages for select to authenticated
    using (realtime.topic() like 'room-%' and extension in ('broadcast', 'presence'));
  create policy write_rooms on realtime.messages for insert to authenticated
    with check (realtime.topic() = 'room-' || (select auth.uid())::text)`;

describe('authorization', { concurrency: true }, () => {
  let world;
  before(async () => {
    world = await startRealtime({ sql: SQL, env: { REALTIME_REFUSE_DELAY_MS: '100', REALTIME_EXPIRY_GRACE_MS: '1500' } });
  });
  after(() => world?.stop());

  const user = (sub, claims) => token({ role: 'authenticated', sub, ...claims });

  test('32. row level security without a policy: only service_role receives the row', async () => {
    const binding = { event: '*', schema: 'public', table: 'locked' };
    const clients = await Promise.all([world.client(), world.client({ user: OWNER }), world.client({ role: 'service_role' })]);
    const feeds = await Promise.all(clients.map((client) => client.subscribe('locked', [binding])));
    for (const feed of feeds) await feed.live();
    const { rows: [row] } = await world.db.query("insert into public.locked (note) values ('secret') returning id");
    await feeds[2].row((each) => each.id === row.id);
    await world.db.query("update public.locked set note = 'changed'");
    for (const client of clients) await client.settle();
    assert.deepEqual(feeds.map((feed) => feed.events.filter((event) => event.eventType !== 'DELETE').length), [0, 0, 2]);
    for (const client of clients.slice(0, 2)) assert.doesNotMatch(JSON.stringify(client.trace.filter((each) => each.dir === '<')), /secret|changed/);
  });

  test('33. policies on auth.uid() are honoured per subscriber', async () => {
    const clients = await Promise.all([OWNER, OTHER_OWNER, uuid(99)].map((sub) => world.client({ user: sub })));
    clients.push(await world.client());
    const feeds = await Promise.all(clients.map((client) => client.subscribe('mine', [ALL])));
    for (const feed of feeds) await feed.live();
    const mine = await world.say(SESSION, 'for the owner');
    const theirs = await world.say(OTHER_SESSION, 'for the other');
    for (const client of clients) await client.settle();
    const got = feeds.map((feed) => feed.rows.map((row) => row.id).filter((id) => [mine.id, theirs.id].includes(id)));
    assert.deepEqual(got, [[mine.id], [theirs.id], [], []]);
    for (const feed of feeds.slice(0, 2)) assert.ok(feed.rows.every((row) => row.stream_session_id === (feed === feeds[0] ? SESSION : OTHER_SESSION)));
  });

  test('33. a filter cannot look past a policy', async () => {
    const client = await world.client({ user: OTHER_OWNER });
    const feed = await client.subscribe('peeking', [{ ...ALL, filter: `stream_session_id=eq.${SESSION}` }, { ...ALL, event: 'INSERT', filter: 'message=like.%secret%' }]);
    await feed.live();
    await world.say(SESSION, 'a secret');
    await client.settle();
    assert.deepEqual(feed.events, []);
  });

  test('33. the newest token of the channel counts, without a rejoin', async () => {
    let current = await user(OWNER);
    const client = await world.client({ accessToken: async () => current });
    const feed = await client.subscribe('changing', [ALL]);
    await feed.live();
    const before = await world.say(SESSION, 'as the owner');
    await feed.row((row) => row.id === before.id);
    current = await user(OTHER_OWNER);
    const from = feed.systems.length;
    await client.supabase.realtime.setAuth();
    await feed.live({ from });
    const unseen = await world.say(SESSION, 'no longer mine');
    const seen = await world.say(OTHER_SESSION, 'mine now');
    await feed.row((row) => row.id === seen.id);
    await client.settle();
    assert.ok(!feed.rows.some((row) => row.id === unseen.id));
    assert.equal(client.trace.filter((each) => each.dir === '>' && /phx_join/.test(each.text) && /changing/.test(each.text)).length, 1);
  });

  test('33. two channels of one socket may act for two people', async () => {
    const raw = await world.raw();
    await raw.joined('realtime:first', { bindings: [ALL], token: await user(OWNER) });
    await raw.joined('realtime:second', { bindings: [ALL], token: await user(OTHER_OWNER) });
    await raw.joined('realtime:third', { bindings: [ALL] });
    const [a, b] = [await world.say(SESSION, 'first'), await world.say(OTHER_SESSION, 'second')];
    await raw.settle(world);
    const got = (topic) => raw.records(topic).map((row) => row.id).filter((id) => [a.id, b.id].includes(id));
    assert.deepEqual([got('realtime:first'), got('realtime:second'), got('realtime:third')], [[a.id], [b.id], []]);
  });

  test('33. policies see every claim, and custom roles are roles', async () => {
    const binding = { event: 'INSERT', schema: 'public', table: 'teams' };
    const tokens = [await user(OWNER, { app_metadata: { team: 'red' } }), await user(OWNER, { app_metadata: { team: 'blue' } }),
      await user(OWNER), await token({ role: 'anon' }), await token({ role: 'custom_role' })];
    const raws = await Promise.all(tokens.map(() => world.raw()));
    for (const [i, raw] of raws.entries()) await raw.joined('realtime:teams', { bindings: [binding], token: tokens[i] });
    await world.db.query("insert into public.teams (team) values ('red'), ('blue'), ('public'), ('custom')");
    for (const raw of raws) await raw.settle(world);
    assert.deepEqual(raws.map((raw) => raw.records('realtime:teams').map((row) => row.team)), [['red'], ['blue'], [], ['public'], ['custom']]);
  });

  test('33. a role that is none gets nothing', async () => {
    for (const role of ['postgres', 'no_such_role', 'dealflow_realtime', 'none', 'pg_read_all_data', 'public', '"x', 'anon; reset role']) {
      const raw = await world.raw();
      const access = await token({ role, sub: OWNER });
      await raw.join('realtime:nobody', { bindings: [ALL], token: access });
      const row = await world.say(SESSION, `as ${role}`);
      const witness = await world.raw({ role: 'service_role' });
      await witness.settle(world);
      assert.ok(!raw.records('realtime:nobody').some((each) => each?.id === row.id), role);
      raw.ws.terminate();
      witness.ws.terminate();
    }
  });

  test('34. columns without SELECT are in neither record nor columns', async () => {
    const binding = { event: '*', schema: 'public', table: 'partial' };
    const clients = [await world.client({ user: OWNER }), await world.client({ role: 'service_role' })];
    const feeds = await Promise.all(clients.map((client) => client.subscribe('partial', [binding])));
    for (const feed of feeds) await feed.live();
    const { rows: [row] } = await world.db.query("insert into public.partial (open, secret) values ('o', 'hidden') returning id");
    for (const feed of feeds) await feed.row((each) => each.id === row.id);
    await world.db.query("update public.partial set secret = 'hidden too'");
    await world.db.query('delete from public.partial');
    for (const client of clients) await client.settle();
    assert.deepEqual(feeds[0].rows[0], { id: row.id, open: 'o', more: 1 });
    assert.deepEqual(feeds[1].rows[0], { id: row.id, open: 'o', secret: 'hidden', more: 1 });
    const names = clients[0].received('partial', 'postgres_changes').map((frame) => frame.payload.data.columns.map((column) => column.name));
    assert.deepEqual(names[0], ['id', 'open', 'more']);
    assert.doesNotMatch(JSON.stringify(clients[0].trace.filter((each) => each.dir === '<')), /hidden|"secret"/);
  });

  test('35. a join without access_token is of the role of the apikey', async () => {
    const raws = [await world.raw({ role: 'service_role' }), await world.raw({ role: 'anon' })];
    for (const raw of raws) await raw.joined('realtime:by key', { bindings: [ALL] });
    const row = await world.say(SESSION, 'by key');
    for (const raw of raws) await raw.settle(world);
    assert.deepEqual(raws.map((raw) => raw.records('realtime:by key').some((each) => each.id === row.id)), [true, false]);
  });

  test('35. an access_token later lifts the channel without a rejoin', async () => {
    // For anon the filter's column does not even exist: that is said, and forgotten with the token.
    for (const [vsn, binding] of [['2.0.0', ALL], ['1.0.0', ALL], ['2.0.0', { ...ALL, filter: `stream_session_id=eq.${SESSION}` }]]) {
      const raw = await world.raw({ vsn });
      const topic = 'realtime:lifted';
      assert.equal((await raw.join(topic, { bindings: [binding] })).status, 'ok');
      const first = await raw.next('the answer to the bindings', (frame) => frame.topic === topic && frame.event === 'system');
      assert.equal(first.payload.status, binding.filter ? 'error' : 'ok');
      raw.send({ join_ref: raw.joinRefs.get(topic), ref: 'x1', topic, event: 'access_token', payload: { access_token: await user(OWNER) } });
      await raw.live(topic, binding.filter ? 1 : 2);
      const row = await world.say(SESSION, 'lifted');
      await until('the row', () => raw.records(topic).some((each) => each.id === row.id));
      assert.equal(raw.frames.find((frame) => frame.ref === 'x1'), undefined); // no reply
    }
  });

  test('36. an access_token that is null, unchanged or sb_* is ignored', async () => {
    const raw = await world.raw();
    const topic = 'realtime:stays';
    const access = await user(OWNER);
    await raw.joined(topic, { bindings: [ALL], token: access });
    for (const value of [null, access, 'sb_publishable_abc', 'sb_secret_abc', access]) {
      raw.send({ join_ref: raw.joinRefs.get(topic), ref: 'x', topic, event: 'access_token', payload: { access_token: value } });
    }
    await raw.heartbeat();
    const row = await world.say(SESSION, 'stays');
    await until('the row', () => raw.records(topic).some((each) => each.id === row.id));
    assert.deepEqual([raw.of(topic, 'phx_close'), raw.of(topic, 'phx_error'), raw.of(topic, 'system').filter((each) => each.payload.status === 'error')], [[], [], []]);
  });

  test('36. a forged or expired one ends the channel with a system error, and only the channel', async () => {
    for (const [bad, text] of [[await user(OTHER_OWNER, { secret: 'somebody else made this, with a secret' }), /signature/i],
      ['rubbish', /not a valid JWT/], [await user(OTHER_OWNER, { exp: nowSeconds() - 5 }), /expired/]]) {
      const raw = await world.raw();
      await raw.joined('realtime:kept', { bindings: [ALL], token: await user(OWNER) });
      const topic = 'realtime:ended';
      await raw.joined(topic, { bindings: [ALL], token: await user(OWNER) });
      raw.send({ join_ref: raw.joinRefs.get(topic), ref: 'x', topic, event: 'access_token', payload: { access_token: bad } });
      const close = await raw.next('the close', (frame) => frame.topic === topic && ['phx_close', 'phx_error'].includes(frame.event));
      const system = raw.of(topic, 'system').find((frame) => frame.payload.status === 'error');
      assert.equal(system.payload.extension, 'system');
      assert.match(system.payload.message, text);
      assert.ok(raw.frames.indexOf(system) < raw.frames.indexOf(close));
      const row = await world.say(SESSION, 'after the forgery');
      await until('the row', () => raw.records('realtime:kept').some((each) => each.id === row.id));
      await raw.settle(world);
      assert.ok(!raw.records(topic).some((each) => each.id === row.id));
    }
  });

  test('36. a bad token in the join is refused with the documented reason', async () => {
    for (const [bad, reason] of [
      [await user(OWNER, { exp: nowSeconds() - 30 }), /^InvalidJWTToken: Token has expired \d+ seconds ago$/],
      [await token({ role: null, sub: OWNER }), /^InvalidJWTToken: Fields `role` and `exp` are required in JWT$/],
      ['a.b.c', /^MalformedJWT: The token provided is not a valid JWT$/],
      [await user(OWNER, { secret: 'somebody else made this, with a secret' }), /^JwtSignatureError: Failed to validate JWT signature$/],
    ]) {
      const raw = await world.raw();
      const { status, response } = await raw.join('realtime:bad', { bindings: [ALL], token: bad });
      assert.equal(status, 'error');
      assert.match(response.reason, reason);
      assert.equal((await raw.join('realtime:bad', { bindings: [ALL], token: 'sb_publishable_x' })).status, 'ok'); // as if there were none
    }
  });

  test('37. after exp no row comes; with a fresh token the client is SUBSCRIBED again within 5 s', async () => {
    const exp = nowSeconds() + 4;
    let fresh = false;
    const old = await user(OWNER, { exp });
    const young = await user(OWNER);
    const client = await world.client({ accessToken: async () => (fresh ? young : old) });
    const feed = await client.subscribe('expiring', [ALL]);
    await feed.live();
    const first = await world.say(SESSION, 'in time');
    await feed.row((row) => row.id === first.id);
    await sleep(exp * 1000 - Date.now() + 200); // this is about the clock
    const late = await world.say(SESSION, 'too late');
    await feed.system(/Token has expired/);
    await feed.status('CHANNEL_ERROR');
    fresh = true;
    await client.supabase.realtime.setAuth();
    const from = feed.statuses.length;
    const began = performance.now();
    await feed.subscribed({ from, timeoutMs: 5_000 });
    assert.ok(performance.now() - began < 5_000);
    assert.ok(!feed.rows.some((row) => row.id === late.id));
    await feed.live({ from: 1 });
    const again = await world.say(SESSION, 'again');
    await feed.row((row) => row.id === again.id);
    assert.ok(!feed.statuses.some((each) => each.status === 'CLOSED')); // the library would never come back from that
  });

  test('37. a fresh token within the grace keeps the channel as it is', async () => {
    const exp = nowSeconds() + 3;
    const raw = await world.raw();
    const topic = 'realtime:grace';
    await raw.joined(topic, { bindings: [ALL], token: await user(OWNER, { exp }) });
    await sleep(exp * 1000 - Date.now() + 500); // the clock again; the grace is 1.5 s here
    const silent = await world.say(SESSION, 'in the grace');
    await raw.settle(world); // it was looked at before the fresh token comes; marks are by the apikey
    raw.send({ join_ref: raw.joinRefs.get(topic), ref: 'x', topic, event: 'access_token', payload: { access_token: await user(OWNER) } });
    await raw.live(topic, 2);
    const row = await world.say(SESSION, 'with the fresh one');
    await until('the row', () => raw.records(topic).some((each) => each.id === row.id));
    assert.ok(!raw.records(topic).some((each) => each.id === silent.id));
    assert.deepEqual([...raw.of(topic, 'phx_error'), ...raw.of(topic, 'phx_close')], []);
  });

  test('37. an apikey that expires later ends what hangs on it', async () => {
    const raw = await world.raw({ key: await token({ role: 'service_role', exp: nowSeconds() + 3 }) });
    const topic = 'realtime:key expires';
    await raw.joined(topic, { bindings: [ALL] });
    await raw.next('the error', (frame) => frame.topic === topic && frame.event === 'phx_error', { timeoutMs: 15_000 });
    assert.ok(raw.of(topic, 'system').some((frame) => /Token has expired/.test(frame.payload.message)));
  });

  test('38. private: true without permission is refused, with permission it is joined', async () => {
    const owner = await user(OWNER);
    for (const vsn of ['2.0.0', '1.0.0']) {
      const raw = await world.raw({ vsn });
      const refused = (name) => ({ status: 'error',
        response: { reason: `Unauthorized: You do not have permissions to read from this Channel topic: ${name}` } });
      assert.deepEqual(await raw.join('realtime:secret', { config: PRIVATE, token: owner }), refused('secret'));
      assert.deepEqual(await raw.join('realtime:room-1', { config: PRIVATE }), refused('room-1')); // anon
      assert.equal((await raw.join('realtime:room-1', { config: PRIVATE, token: owner })).status, 'ok');
      assert.equal((await raw.join('realtime:secret', { token: owner })).status, 'ok'); // public: no policy is asked
    }
    const client = await world.client({ user: OWNER });
    const feed = client.feed('secret', [], { private: true });
    feed.subscribe();
    const { error } = await feed.status('CHANNEL_ERROR');
    assert.equal(error, 'Unauthorized: You do not have permissions to read from this Channel topic: secret');
  });

  // As Supabase's documentation of authorization has them.
  const DOCUMENTED = `
    create table public.rooms_users (user_id uuid, room_topic text, primary key (user_id, room_topic));
    alter table public.rooms_users enable row level security;
    grant select on public.rooms_users to authenticated;
    create policy "authenticated users can see their rooms" on public.rooms_users for select to authenticated
    using ( (select auth.uid()) = user_id );
    insert into public.rooms_users values ('${OWNER}', 'members');
    create policy "authenticated can read messages on topic" on "realtime"."messages" for select to authenticated
    using ( exists ( select user_id from rooms_users where user_id = (select auth.uid()) and room_topic = (select realtime.topic())
      and realtime.messages.extension in ('broadcast') ) );
    create policy "authenticated can send broadcast on topic" on "realtime"."messages" for insert to authenticated
    with check ( exists ( select user_id from rooms_users where user_id = (select auth.uid()) and room_topic = (select realtime.topic())
      and realtime.messages.extension in ('broadcast') ) );
    create policy "everybody may listen to the news" on "realtime"."messages" for select to authenticated, anon
    using ( (select realtime.topic()) = 'news' and realtime.messages.extension in ('broadcast', 'presence') );
    create policy "authenticated can track presence in the news" on "realtime"."messages" for insert to authenticated
    with check ( realtime.topic() = 'news' and extension = 'presence' )`;

  test("38. policies written as in Supabase's documentation", async () => {
    await world.db.query(DOCUMENTED);
    const [owner, other, anon] = [await world.client({ user: OWNER }), await world.client({ user: OTHER_OWNER }), await world.client()];
    const enter = async (client, name) => {
      const feed = client.feed(name, [], { private: true, broadcast: { self: true, ack: true } });
      feed.heard = [];
      feed.channel.on('broadcast', { event: '*' }, (payload) => feed.heard.push(payload.event));
      feed.channel.on('presence', { event: 'sync' }, () => {});
      feed.subscribe();
      await Promise.race([feed.subscribed(), feed.status('CHANNEL_ERROR')]);
      return feed;
    };
    // A row of rooms_users decides, whose own policy asks auth.uid().
    const member = await enter(owner, 'members');
    assert.ok(member.has('SUBSCRIBED'), JSON.stringify(member.statuses));
    assert.equal(await member.channel.send({ type: 'broadcast', event: 'hello', payload: {} }), 'ok');
    await until('the broadcast', () => member.heard.includes('hello'));
    for (const client of [other, anon]) {
      const feed = await enter(client, 'members');
      assert.match(feed.statuses[0].error, /^Unauthorized: You do not have permissions to read from this Channel topic: members$/);
    }
    // Some may only listen, some also be seen, nobody speak.
    const [seen, listener] = [await enter(owner, 'news'), await enter(anon, 'news')];
    assert.ok(seen.has('SUBSCRIBED') && listener.has('SUBSCRIBED'));
    assert.equal(await seen.channel.track({ name: 'owner' }), 'ok');
    await until('the presence', () => Object.keys(listener.channel.presenceState()).length === 1);
    void seen.channel.send({ type: 'broadcast', event: 'spoken', payload: {} });
    const service = await world.client({ role: 'service_role' });
    assert.deepEqual(await service.supabase.channel('news', { config: { private: true } }).httpSend('headline', { n: 1 }), { success: true });
    for (const feed of [seen, listener]) await until('the headline', () => feed.heard.includes('headline'));
    assert.deepEqual([seen.heard, listener.heard], [['headline'], ['headline']]);
  });

  test('38. losing the permission with a new token ends the channel', async () => {
    const raw = await world.raw();
    const topic = 'realtime:room-2';
    await raw.joined(topic, { config: PRIVATE, token: await user(OWNER) });
    raw.send({ join_ref: raw.joinRefs.get(topic), ref: 'x', topic, event: 'access_token', payload: { access_token: await token({ role: 'anon' }) } });
    await raw.next('the end', (frame) => frame.topic === topic && ['phx_close', 'phx_error'].includes(frame.event));
    assert.ok(raw.of(topic, 'system').some((frame) =>
      frame.payload.message === 'You no longer have permission to read from this Channel topic: room-2'));
  });

  test('38. PRIVATE_CHANNELS=refuse refuses them all', async () => {
    const strict = await world.addGateway({ PRIVATE_CHANNELS: 'refuse', REALTIME_REFUSE_DELAY_MS: '50' });
    const raw = await world.raw({ url: strict.url, role: 'service_role' });
    const { status, response } = await raw.join('realtime:room-1', { config: PRIVATE, token: await user(OWNER) });
    assert.equal(status, 'error');
    assert.match(response.reason, /^Unauthorized: /);
    assert.equal((await raw.join('realtime:room-1')).status, 'ok');
  });

  test("the gateway's login role reads no table by itself", async () => {
    const { rows } = await world.db.query(`
      select has_table_privilege('dealflow_realtime', 'public.chat_messages', 'select') as reads, rolsuper, rolbypassrls, rolinherit
      from pg_roles where rolname = 'dealflow_realtime'`);
    assert.deepEqual(rows, [{ reads: false, rolsuper: false, rolbypassrls: false, rolinherit: false }]);
  });

  test('keys that are no tokens count when they are configured', async () => {
    const gateway = await world.addGateway({ API_KEYS: 'sb_publishable_door=anon,sb_secret_door=service_role' });
    const raw = await world.raw({ url: gateway.url, key: 'sb_secret_door' });
    await raw.joined('realtime:by sb key', { bindings: [ALL], token: 'sb_secret_door' });
    const row = await world.say(SESSION, 'by sb key');
    await until('the row', () => raw.records('realtime:by sb key').some((each) => each.id === row.id));
    await assert.rejects(world.raw({ url: gateway.url, key: 'sb_secret_other' }));
    const client = await world.client({ url: gateway.url, key: 'sb_publishable_door', user: OWNER });
    const feed = await client.subscribe('by sb key', [ALL]);
    await feed.live();
    const mine = await world.say(SESSION, 'as a user');
    await feed.row((each) => each.id === mine.id);
    await within(5_000, 'leaving', client.close());
  });
});
