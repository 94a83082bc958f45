// Broadcast and presence with the real client library, in both serializers: the calls that the
// library's own integration tests make, and more. Checklist 45 to 47.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { parseBroadcast, startRealtime, token } from './lib/realtime.mjs';
import { OTHER_OWNER, OWNER } from './lib/system.mjs';
import { until, within } from './lib/wait.mjs';

// Signed-in users may read rooms, and write to those whose name does not end in -quiet.
const SQL = `
  create policy read_rooms on realtime.messages for select to authenticated
    using (realtime.topic() like 'room-%' and extension in ('broadcast', 'presence'));
  create policy write_rooms on realtime.messages for insert to authenticated
    with check (realtime.topic() like 'room-%' and realtime.topic() not like '%-quiet' and extension in ('broadcast', 'presence'))`;

let rooms = 0;
const room = () => `room-${process.pid}-${++rooms}`;

describe('broadcast and presence', { concurrency: true }, () => {
  let world;
  before(async () => {
    world = await startRealtime({ sql: SQL, env: { REALTIME_REFUSE_DELAY_MS: '50', REALTIME_MESSAGES_PER_S: '1000' } });
  });
  after(() => world?.stop());

  // A channel with everything it hears.
  async function join(client, name, config = {}, { event = '*', presence = false } = {}) {
    const feed = client.feed(name, [], config);
    feed.heard = [];
    feed.presences = [];
    feed.channel.on('broadcast', { event }, (payload) => feed.heard.push(payload));
    if (presence) {
      for (const kind of ['sync', 'join', 'leave']) {
        feed.channel.on('presence', { event: kind }, (payload) => feed.presences.push({ ...payload, event: kind }));
      }
    }
    feed.subscribe();
    await feed.subscribed();
    return feed;
  }
  const heard = (feed, event, options) => until(`${event} on ${feed.name}`, () => feed.heard.find((each) => each.event === event), { everyMs: 2, ...options });
  const send = (feed, event, payload = {}) => feed.channel.send({ type: 'broadcast', event, payload });

  for (const vsn of ['2.0.0', '1.0.0']) {
    describe(`vsn ${vsn}`, { concurrency: true }, () => {
      test('45. send() with self reaches the sender and the others, with its payload', async () => {
        const name = room();
        const [one, two, deaf] = await Promise.all([world.client({ vsn }), world.client({ vsn: '2.0.0' }), world.client({ vsn: '1.0.0' })]);
        const feeds = [await join(one, name, { broadcast: { self: true } }), await join(two, name), await join(deaf, name)];
        const payload = { message: 'test', nested: { list: [1, 'é 😀', null] } };
        assert.equal(await send(feeds[0], 'test-event', payload), 'ok');
        for (const feed of feeds) {
          const got = await heard(feed, 'test-event');
          assert.equal(got.type, 'broadcast');
          assert.deepEqual(got.payload, payload);
        }
        assert.equal(one.supabase.realtime.getChannels().length, 1);
      });

      test('45. without self the sender hears nothing; other topics neither', async () => {
        const name = room();
        const [one, two] = await Promise.all([world.client({ vsn }), world.client({ vsn })]);
        const feeds = [await join(one, name), await join(two, name), await join(two, room())];
        await send(feeds[0], 'quiet');
        await heard(feeds[1], 'quiet');
        await send(feeds[1], 'after'); // what came before it has been delivered
        await heard(feeds[0], 'after');
        assert.deepEqual(feeds[0].heard.map((each) => each.event), ['after']);
        assert.deepEqual(feeds[2].heard, []);
      });

      test('45. send() with ack resolves ok after the server has it', async () => {
        const name = room();
        const [one, two] = await Promise.all([world.client({ vsn }), world.client({ vsn })]);
        const feeds = [await join(one, name, { broadcast: { ack: true } }), await join(two, name)];
        for (let i = 0; i < 20; i++) assert.equal(await within(5_000, 'the ack', send(feeds[0], `n ${i}`, { i })), 'ok');
        await heard(feeds[1], 'n 19');
        assert.deepEqual(feeds[1].heard.map((each) => each.payload.i), Array.from({ length: 20 }, (_, i) => i)); // in order
      });

      test('45. a private channel works for whom the policies let in', async () => {
        const name = room();
        const [one, two, anon] = await Promise.all([world.client({ vsn, user: OWNER }), world.client({ vsn, user: OTHER_OWNER }), world.client({ vsn })]);
        const config = { private: true, broadcast: { self: true, ack: true } };
        const feeds = [await join(one, name, config), await join(two, name, config)];
        assert.equal(await send(feeds[0], 'inside', { a: 1 }), 'ok');
        for (const feed of feeds) assert.deepEqual((await heard(feed, 'inside')).payload, { a: 1 });
        const outside = anon.feed(name, [], config);
        outside.subscribe();
        assert.match((await outside.status('CHANNEL_ERROR')).error, /^Unauthorized: You do not have permissions to read from this Channel topic: room-/);
      });

      test('45. public and private channels of one name are two rooms', async () => {
        const name = room();
        const [one, two, three] = await Promise.all([world.client({ vsn, user: OWNER }), world.client({ vsn }), world.client({ vsn, user: OWNER })]);
        const feeds = [await join(one, name, { private: true }), await join(two, name), await join(three, name, { private: true })];
        await send(feeds[1], 'from outside');
        await send(feeds[0], 'from inside');
        await heard(feeds[2], 'from inside');
        await send(feeds[2], 'again');
        await heard(feeds[0], 'again');
        assert.deepEqual([feeds[0], feeds[1], feeds[2]].map((feed) => feed.heard.map((each) => each.event)), [['again'], [], ['from inside']]);
      });

      test('45. who may read but not write is not heard', async () => {
        const name = `${room()}-quiet`;
        const [one, two] = await Promise.all([world.client({ vsn, user: OWNER }), world.client({ vsn, user: OTHER_OWNER })]);
        const config = { private: true, broadcast: { self: true } };
        const feeds = [await join(one, name, config), await join(two, name, config)];
        await send(feeds[0], 'silenced');
        const service = await world.client({ role: 'service_role', vsn });
        const loud = await join(service, name, config);
        await send(loud, 'heard');
        for (const feed of feeds) await heard(feed, 'heard');
        for (const feed of feeds) assert.deepEqual(feed.heard.map((each) => each.event), ['heard']);
      });

      test('46. track() and untrack() resolve ok, and everybody sees who is there', async () => {
        const name = room();
        const [one, two] = await Promise.all([world.client({ vsn }), world.client({ vsn })]);
        const a = await join(one, name, { presence: { key: 'alice' } }, { presence: true });
        await until('the first sync', () => a.presences.some((each) => each.event === 'sync'));
        assert.deepEqual(a.channel.presenceState(), {});
        assert.equal(await within(5_000, 'track', a.channel.track({ mood: 'good' })), 'ok');
        await until('her own presence', () => a.channel.presenceState().alice);
        const b = await join(two, name, { presence: { key: 'bob' } }, { presence: true });
        await until('the state', () => b.channel.presenceState().alice);
        const [{ presence_ref: reference, ...meta }] = b.channel.presenceState().alice;
        assert.deepEqual(meta, { mood: 'good' });
        assert.equal(typeof reference, 'string');
        assert.equal(await b.channel.track({ seat: 2 }), 'ok');
        const came = await until('the join', () => a.presences.find((each) => each.event === 'join' && each.key === 'bob'));
        assert.deepEqual(came.newPresences.map(({ seat }) => seat), [2]);
        assert.equal(await b.channel.track({ seat: 3 }), 'ok'); // again: replaced
        await until('the new seat', () => a.channel.presenceState().bob?.some((each) => each.seat === 3));
        assert.deepEqual(a.channel.presenceState().bob.map(({ seat }) => seat), [3]);
        assert.equal(await within(5_000, 'untrack', b.channel.untrack()), 'ok');
        const left = await until('the leave', () => a.presences.filter((each) => each.event === 'leave' && each.key === 'bob').pop());
        assert.equal(left.leftPresences.length, 1);
        await until('bob to be gone', () => !a.channel.presenceState().bob);
        assert.equal(await b.channel.untrack(), 'ok'); // not there: still answered
      });

      test('46. who leaves, closes or is cut off is gone for the others', async () => {
        const name = room();
        const [watcher, ...others] = await Promise.all(Array.from({ length: 4 }, () => world.client({ vsn })));
        const seen = await join(watcher, name, {}, { presence: true });
        const feeds = [];
        for (const [i, client] of others.entries()) {
          const feed = await join(client, name, { presence: { key: `guest-${i}` } }, { presence: true });
          await feed.channel.track({ i });
          feeds.push(feed);
        }
        await until('all of them', () => Object.keys(seen.channel.presenceState()).length === 3);
        await others[0].supabase.removeChannel(feeds[0].channel);
        others[1].supabase.realtime.disconnect();
        others[2].supabase.realtime.disconnect(); // or it would come back
        others[2].cut();
        await until('all to be gone', () => Object.keys(seen.channel.presenceState()).length === 0);
        assert.deepEqual(seen.presences.filter((each) => each.event === 'leave').map((each) => each.key).sort(), ['guest-0', 'guest-1', 'guest-2']);
      });

      test('46. without a key each one gets a key of their own', async () => {
        const name = room();
        const [one, two] = await Promise.all([world.client({ vsn }), world.client({ vsn })]);
        const feeds = [await join(one, name, {}, { presence: true }), await join(two, name, {}, { presence: true })];
        for (const [i, feed] of feeds.entries()) await feed.channel.track({ i });
        await until('both', () => feeds.every((feed) => Object.keys(feed.channel.presenceState()).length === 2));
        assert.deepEqual(Object.keys(feeds[0].channel.presenceState()).sort(), Object.keys(feeds[1].channel.presenceState()).sort());
      });

      test('47. httpSend(): JSON to a public and a private channel, and raw bytes', async () => {
        const [one, two] = await Promise.all([world.client({ vsn, user: OWNER }), world.client({ user: OTHER_OWNER })]);
        const names = [room(), room(), room()];
        const listeners = [await join(two, names[0]), await join(two, names[1], { private: true }), await join(two, names[2], { private: true })];
        const payload = { message: 'over HTTP', é: [1] };
        assert.deepEqual(await one.supabase.channel(names[0]).httpSend('my ev/ent é', payload), { success: true });
        assert.deepEqual((await heard(listeners[0], 'my ev/ent é')).payload, payload);
        assert.deepEqual(await one.supabase.channel(names[1], { config: { private: true } }).httpSend('inside', payload), { success: true });
        assert.deepEqual((await heard(listeners[1], 'inside')).payload, payload);
        const bytes = new Uint8Array([0, 1, 2, 250, 255]);
        assert.deepEqual(await one.supabase.channel(names[2], { config: { private: true } }).httpSend('bytes', bytes), { success: true });
        assert.deepEqual([...new Uint8Array((await heard(listeners[2], 'bytes')).payload)], [...bytes]);
      });

      test('47. send() before subscribe() goes over HTTP and resolves ok', async (t) => {
        t.mock.method(console, 'warn', () => {}); // the library says so
        const name = room();
        const [one, two] = await Promise.all([world.client({ vsn }), world.client({ vsn })]);
        const listener = await join(two, name);
        const feed = one.feed(name);
        assert.equal(await within(5_000, 'send', send(feed, 'early', { a: 1 })), 'ok');
        assert.deepEqual((await heard(listener, 'early')).payload, { a: 1 });
      });

      test('a token of its own joins, as the library\'s test of custom tokens has it', async () => {
        const access = await token({ role: 'anon', sub: '1234567890', iss: 'supabase-demo' });
        const client = await world.client({ vsn, accessToken: async () => access });
        const feed = await client.subscribe('test-channel');
        assert.equal(client.supabase.realtime.accessTokenValue, access);
        assert.ok(!feed.has('CHANNEL_ERROR'));
      });
    });
  }

  test('45. binary frames: kind 3 in, kind 4 out; raw bytes are not shown to 1.0.0', async () => {
    const topic = `realtime:${room()}`;
    const [sender, modern, old] = await Promise.all([world.raw(), world.raw(), world.raw({ vsn: '1.0.0' })]);
    for (const raw of [sender, modern, old]) await raw.joined(topic, { config: { broadcast: { ack: true, self: true } } });
    const ref = sender.pushBinary(topic, 'typing', { u: 'é' });
    assert.deepEqual((await sender.reply(ref)).payload, { status: 'ok', response: {} });
    const rawRef = sender.pushBinary(topic, 'blob', Buffer.from([0, 255, 3, 4]));
    await sender.reply(rawRef);
    const last = sender.pushBinary(topic, 'last', { n: 1 }, { metadata: '{"x":1}' });
    await sender.reply(last);
    for (const raw of [sender, modern]) {
      await until('three broadcasts', () => raw.broadcasts.length + raw.of(topic, 'broadcast').length === 3);
      const blob = raw.broadcasts.find((each) => each.event === 'blob');
      assert.deepEqual([...blob.payload], [0, 255, 3, 4]);
      assert.equal(blob.topic, topic);
    }
    await until('two broadcasts', () => old.of(topic, 'broadcast').some((frame) => frame.payload.event === 'last'));
    assert.deepEqual(old.of(topic, 'broadcast').map((frame) => [frame.payload.type, frame.payload.event, frame.payload.payload]),
      [['broadcast', 'typing', { u: 'é' }], ['broadcast', 'last', { n: 1 }]]);
    assert.deepEqual(old.broadcasts, []);
  });

  test('45. the recorded kind 3 frame of the library is understood', async () => {
    const raw = await world.raw();
    raw.ref = 5;
    await raw.joined('realtime:chat-room', { config: { broadcast: { ack: true, self: true } } });
    assert.equal(raw.joinRefs.get('realtime:chat-room'), '6');
    raw.ws.send(Buffer.from(`0301011206000136377265616c74696d653a636861742d726f6f6d747970696e677b2275223a22c3a9227d`, 'hex'));
    assert.deepEqual((await raw.reply('7')).payload, { status: 'ok', response: {} });
    await until('the echo', () => raw.broadcasts.length + raw.of('realtime:chat-room', 'broadcast').length === 1);
    assert.throws(() => parseBroadcast(Buffer.from([3, 0])), /no broadcast/);
  });

  test('45. a broadcast above the limit is refused with ack, and reaches nobody', async () => {
    const small = await world.addGateway({ REALTIME_BROADCAST_MAX_BYTES: '2000' });
    const topic = `realtime:${room()}`;
    const [raw, other] = [await world.raw({ url: small.url }), await world.raw({ url: small.url })];
    for (const each of [raw, other]) await each.joined(topic, { config: { broadcast: { ack: true } } });
    const reply = await raw.reply(raw.pushBinary(topic, 'big', { text: 'x'.repeat(4000) }));
    assert.equal(reply.payload.status, 'error');
    assert.deepEqual(reply.payload.response, { error: 'payload_size_exceeded' });
    assert.equal((await raw.reply(raw.pushBinary(topic, 'small', {}))).payload.status, 'ok');
    await until('the small one', () => other.broadcasts.length + other.of(topic, 'broadcast').length === 1);
  });

  test('46. presence for a client that did not ask for it is answered, too', async () => {
    const topic = `realtime:${room()}`;
    const raw = await world.raw();
    await raw.joined(topic);
    assert.deepEqual((await raw.ask(topic, 'presence', { type: 'presence', event: 'track', payload: { a: 1 } })).payload, { status: 'ok', response: {} });
    assert.deepEqual(raw.of(topic, 'presence_state'), []);
    const watcher = await world.raw();
    await watcher.joined(topic, { config: { presence: { key: '', enabled: true } } });
    const state = await watcher.next('the state', (frame) => frame.event === 'presence_state');
    const [[, { metas }]] = Object.entries(state.payload);
    assert.equal(metas[0].a, 1);
    assert.equal(typeof metas[0].phx_ref, 'string');
  });

  describe('47. the HTTP door', { concurrency: true }, () => {
    const post = async (where, body, { role = 'anon', type = 'application/json', headers } = {}) =>
      world.system.request(`/realtime/v1/api/broadcast${where}`, { method: 'POST',
        headers: headers ?? { apikey: await world.key(role), 'content-type': type }, body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body) });

    test('a batch reaches its topics; the answer is 202 without a body', async () => {
      const names = [room(), room()];
      const client = await world.client();
      const feeds = [await join(client, names[0]), await join(client, names[1])];
      const { status, body } = await post('', { messages: names.map((topic, i) => ({ topic, event: `b ${i}`, payload: { i }, private: false })) });
      assert.deepEqual([status, body], [202, '']);
      for (const [i, feed] of feeds.entries()) assert.deepEqual((await heard(feed, `b ${i}`)).payload, { i });
    });

    test('the key may come as apikey, as Authorization, or in the query', async () => {
      const key = await world.key('anon');
      const body = JSON.stringify({ messages: [{ topic: room(), event: 'e', payload: {} }] });
      const json = { 'content-type': 'application/json' };
      assert.equal((await post('', body, { headers: { ...json, apikey: key } })).status, 202);
      assert.equal((await post('', body, { headers: { ...json, apikey: key, authorization: `Bearer ${await token({ role: 'authenticated', sub: OWNER })}` } })).status, 202);
      assert.equal((await post(`?apikey=${key}&vsn=2.0.0`, body, { headers: json })).status, 202);
    });

    test('wrong requests get 401, 415 and 422, never a hang', async () => {
      const name = room();
      for (const headers of [{ 'content-type': 'application/json' }, { 'content-type': 'application/json', apikey: 'rubbish' },
        { 'content-type': 'application/json', apikey: await token({ role: 'anon', secret: 'somebody else made this, with a secret' }) }]) {
        const { status, body } = await post('', { messages: [] }, { headers });
        assert.equal(status, 401);
        assert.deepEqual(JSON.parse(body), { message: 'Unauthorized' });
      }
      for (const body of ['', '{', '[]', '{}', '{"messages":1}', { messages: [{ event: 'e', payload: {} }] }, { messages: [{ topic: name, payload: {} }] }, { messages: ['x'] }]) {
        const { status } = await post('', body);
        assert.equal(status, 422, JSON.stringify(body));
      }
      assert.equal((await post(`/${name}/events/e`, 'hello', { type: 'text/plain' })).status, 415);
      assert.equal((await post(`/${name}/events/e`, '{', {})).status, 422);
      assert.ok([404, 405].includes((await world.system.request('/realtime/v1/api/broadcast')).status));
    });

    test('a private message without permission gets 202 and vanishes', async () => {
      const name = room();
      const client = await world.client({ user: OWNER });
      const feed = await join(client, name, { private: true });
      assert.equal((await post('', { messages: [{ topic: name, event: 'anonymous', payload: {}, private: true }] })).status, 202);
      assert.equal((await post(`/${name}/events/anonymous?private=true`, {})).status, 202);
      assert.equal((await post(`/${name}/events/allowed?private=true`, { a: 1 }, { role: 'service_role' })).status, 202);
      await heard(feed, 'allowed');
      assert.deepEqual(feed.heard.map((each) => each.event), ['allowed']);
    });

    test('a body above the limit gets 413', async () => {
      const { status } = await post(`/${room()}/events/e`, JSON.stringify({ x: 'y'.repeat(3_200_000) }));
      assert.equal(status, 413);
    });
  });

  test('realtime.send() and broadcast_changes() from SQL reach the topic on commit', async () => {
    const name = room();
    const client = await world.client({ user: OWNER });
    const outsider = await world.client();
    const feed = await join(client, name, { private: true });
    const open = await join(outsider, name);
    const db = await world.system.connect();
    await db.query('begin');
    await db.query("select realtime.send('{\"from\": \"sql\"}', 'event', $1, true)", [name]);
    await db.query("select realtime.send('{\"from\": \"sql\"}', 'open event', $1, false)", [name]);
    await db.query('commit');
    assert.equal((await heard(feed, 'event')).payload.from, 'sql');
    assert.equal((await heard(open, 'open event')).payload.from, 'sql');
    assert.deepEqual([feed.heard.length, open.heard.length], [1, 1]);
    const big = 'x'.repeat(20_000); // more than a notification holds
    await db.query("select realtime.send(jsonb_build_object('big', $2::text), 'big', $1, true)", [name, big]);
    assert.equal((await heard(feed, 'big')).payload.big, big);
  });

  test('limits of messages and presences end the channel with the documented words', async () => {
    const strict = await world.addGateway({ REALTIME_MESSAGES_PER_S: '5', REALTIME_PRESENCE_PER_S: '2' });
    const topic = `realtime:${room()}`;
    for (const [event, payload, text] of [
      ['broadcast', { type: 'broadcast', event: 'e', payload: {} }, /^Too many messages per second$/],
      ['presence', { type: 'presence', event: 'track', payload: {} }, /^(Too many presence messages per second|Client presence rate limit exceeded)$/]]) {
      const raw = await world.raw({ url: strict.url });
      await raw.joined(topic, { config: { presence: { key: randomUUID(), enabled: true } } });
      for (let i = 0; i < 1000 && raw.of(topic, 'phx_close').length === 0; i++) {
        raw.send({ join_ref: raw.joinRefs.get(topic), ref: `f${i}`, topic, event, payload });
        if (i % 50 === 49) await raw.heartbeat();
      }
      await raw.next('the close', (frame) => frame.topic === topic && frame.event === 'phx_close');
      const system = raw.of(topic, 'system').find((frame) => frame.payload.status === 'error');
      assert.equal(system.payload.extension, 'system');
      assert.match(system.payload.message, text);
      assert.equal((await raw.heartbeat()).payload.status, 'ok'); // the connection stays
    }
  });
});
