// Joining channels: replies, ids, several bindings and channels, refusals, and that rows flow from the
// moment that is promised. Numbers are those of the acceptance checklist for the protocol.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { long, slack, startRealtime } from './lib/realtime.mjs';
import { OTHER_SESSION, SESSION } from './lib/system.mjs';
import { until, within } from './lib/wait.mjs';

const of = (session) => ({ event: 'INSERT', schema: 'public', table: 'chat_messages', filter: `stream_session_id=eq.${session}` });
const ALL = { event: '*', schema: 'public', table: 'chat_messages' };
const CHANNELS_MAX = 100;

describe('joining', () => {
  let world;
  let service;
  before(async () => {
    world = await startRealtime({ env: { REALTIME_JOINS_PER_10S: '100000' } });
    service = await world.key('service_role');
  });
  after(() => world?.stop());

  test('10. subscribe() reaches SUBSCRIBED in under 200 ms in both serializers', async () => {
    for (const vsn of ['2.0.0', '1.0.0']) {
      const times = [];
      for (let i = 0; i < 5; i++) {
        const client = await world.client({ role: 'service_role', vsn });
        const feed = await client.subscribe('quick', [of(SESSION)]);
        times.push(feed.has('SUBSCRIBED').at - feed.began); // the connection included
        await feed.live();
        await client.close();
      }
      times.sort((a, b) => a - b);
      assert.ok(times[2] < 200 * slack, `${vsn}: ${times.map((ms) => ms.toFixed(0))} ms`);
    }
  });

  describe('all at once', { concurrency: true }, () => {
    test('11. the reply repeats bindings byte for byte and in order', async () => {
      const filters = [
        `stream_session_id=eq.${SESSION}`, ` stream_session_id=eq.${SESSION} `, `stream_session_id=eq.${SESSION.toUpperCase()}`,
        'message=eq."a, \\"quoted\\" text"', 'username=in.(a,"b,c",  d)', 'message=eq.日本語 é 😀', 'message=like.50%', 'message=eq.',
        'message=eq.a=b.c', 'created_at=gte.2026-01-01T00:00:00+00:00', 'message=match.^[a-z]{2,}$', 'message=eq.\u2028\u0007/</script>',
        `platform=eq.whatnot,username=not.in.(x,y),message=not.is.null`, '', null,
      ];
      for (const vsn of ['2.0.0', '1.0.0']) {
        const bindings = filters.map((filter, i) => ({ event: ['INSERT', '*', 'UPDATE', 'DELETE'][i % 4], schema: 'public',
          table: 'chat_messages', ...(filter === null ? {} : { filter }) }));
        const raw = await world.raw({ vsn, key: service });
        const { status, response } = await raw.join('realtime:echo', { bindings });
        assert.equal(status, 'ok');
        assert.equal(response.postgres_changes.length, bindings.length);
        response.postgres_changes.forEach(({ id, filter, ...rest }, i) => {
          assert.ok(id);
          if (filter !== null || bindings[i].filter !== undefined) assert.equal(filter, bindings[i].filter);
          assert.deepEqual(rest, { event: bindings[i].event, schema: 'public', table: 'chat_messages' });
        });
        raw.ws.close();

        const client = await world.client({ vsn, role: 'service_role' }); // and the library compares by itself
        await client.subscribe('echo', bindings.filter((each) => each.filter !== ''));
      }
    });

    test('11. odd spellings of event, schema and table come back as they were', async () => {
      const bindings = [{ event: 'insert', schema: 'public', table: 'chat_messages' }, { event: '*', schema: '*' },
        { event: '*', schema: 'public' }, { event: 'Update', schema: 'public', table: 'chat_messages', filter: undefined },
        { event: 'INSERT', table: 'chat_messages' }];
      const client = await world.client({ role: 'service_role' });
      const feed = await client.subscribe('spellings', bindings);
      assert.equal(feed.has('CHANNEL_ERROR'), undefined);
    });

    test('12. ids are numbers, not zero, unique on the connection, the same in reply and event', async () => {
      const raw = await world.raw({ key: service });
      const ids = [];
      for (const topic of ['realtime:a', 'realtime:b', 'realtime:c']) {
        const { postgres_changes: bindings } = await raw.joined(topic, { bindings: [of(SESSION), ALL, of(OTHER_SESSION)] });
        ids.push(...bindings.map((each) => each.id));
      }
      assert.equal(ids.length, 9);
      assert.equal(new Set(ids).size, 9);
      for (const id of ids) assert.ok(Number.isInteger(id) && id > 0, String(id));
      const { id } = await world.say(SESSION, 'for ids');
      for (const [i, topic] of ['realtime:a', 'realtime:b', 'realtime:c'].entries()) {
        const frame = await raw.next('the row', (each) => each.topic === topic && each.payload.data?.record?.id === id);
        assert.deepEqual(frame.payload.ids.sort(), ids.slice(i * 3, i * 3 + 2));
        assert.equal(frame.join_ref, null);
        assert.equal(frame.ref, null);
      }
    });

    test('13. a join without bindings gets an empty list and reaches SUBSCRIBED', async () => {
      for (const vsn of ['2.0.0', '1.0.0']) {
        const raw = await world.raw({ vsn });
        assert.deepEqual(await raw.join('realtime:empty'), { status: 'ok', response: { postgres_changes: [] } });
        const bare = await raw.ask('realtime:bare', 'phx_join', {}); // no config at all
        assert.deepEqual(bare.payload, { status: 'ok', response: { postgres_changes: [] } });
        const client = await world.client({ vsn });
        await client.subscribe('empty');
      }
    });

    test('14. extra keys do no harm', async () => {
      const client = await world.client({ role: 'service_role' });
      const feed = await client.subscribe('extra', [{ ...of(SESSION), x_note: { deep: [1, null, 'two'] }, id: 4711, label: 'mine' }],
        { postgres_changes_options: { wait: false, colour: 'red' }, broadcast: { ack: true, volume: 3 } });
      await feed.live();
      const { id } = await world.say(SESSION, 'extra');
      await feed.row((row) => row.id === id);

      const raw = await world.raw({ key: service });
      const { postgres_changes: [echoed] } = await raw.joined('realtime:extra', {
        bindings: [{ ...of(SESSION), id: 99_999, x_after: null, extra: 'kept' }, null],
        config: { colour: 'green', presence: null, private: 'false', postgres_changes_options: { x: 1 } }, version: 'x', more: [1],
      });
      assert.equal(echoed.filter, of(SESSION).filter);
      const { id: second } = await world.say(SESSION, 'extra again');
      const frame = await raw.next('the row', (each) => each.payload.data?.record?.id === second);
      assert.deepEqual(frame.payload.ids, [echoed.id]);
    });

    test('15. two bindings each get their own; a change for both is one frame', async () => {
      const client = await world.client({ role: 'service_role' });
      const feed = await client.subscribe('two', [of(SESSION), ALL]);
      await feed.live();
      const both = await world.say(SESSION, 'for both');
      const one = await world.say(OTHER_SESSION, 'for one');
      await client.settle();
      const got = (row) => feed.events.filter((event) => event.new.id === row.id).map((event) => event.binding).sort();
      assert.deepEqual(got(both), [0, 1]);
      assert.deepEqual(got(one), [1]);
      const frames = client.received('two', 'postgres_changes').filter((frame) => [both.id, one.id].includes(frame.payload.data.record.id));
      assert.deepEqual(frames.map((frame) => frame.payload.ids.length), [2, 1]);
    });

    test('16. two channels with the same binding get each change exactly once', async () => {
      const client = await world.client({ role: 'service_role' });
      const feeds = await Promise.all(['left', 'right'].map((name) => client.subscribe(name, [of(SESSION)])));
      for (const feed of feeds) await feed.live();
      const said = [];
      for (let i = 0; i < 25; i++) said.push((await world.say(SESSION, `twin ${i}`)).id);
      await client.settle();
      for (const feed of feeds) assert.deepEqual(feed.rows.map((row) => row.id).filter((id) => said.includes(id)), said);
    });

    test('17. joining a live topic again closes the old channel and answers the new one', async () => {
      for (const vsn of ['2.0.0', '1.0.0']) {
        const raw = await world.raw({ vsn, key: service });
        const topic = 'realtime:again';
        const first = await raw.joined(topic, { bindings: [of(SESSION)] });
        const oldRef = raw.joinRefs.get(topic);
        const second = await raw.joined(topic, { bindings: [of(SESSION)] });
        const close = raw.of(topic, 'phx_close');
        assert.equal(close.length, 1);
        assert.equal(close[0].ref, oldRef);
        if (vsn === '2.0.0') assert.equal(close[0].join_ref, oldRef);
        assert.ok(raw.frames.indexOf(close[0]) < raw.frames.findIndex((frame) => frame.ref === raw.joinRefs.get(topic)));
        await raw.live(topic, 2);
        const { id } = await world.say(SESSION, 'again');
        await raw.settle(world);
        const frames = raw.changes(topic).filter((frame) => frame.payload.data.record.id === id);
        assert.equal(frames.length, 1);
        assert.deepEqual(frames[0].payload.ids, [second.postgres_changes[0].id]);
        assert.notEqual(second.postgres_changes[0].id, first.postgres_changes[0].id);
        // What carries the old join_ref is stale.
        raw.send({ join_ref: oldRef, ref: 'stale', topic, event: 'phx_leave', payload: {} });
        await raw.heartbeat();
        const { id: later } = await world.say(SESSION, 'still here');
        if (vsn === '2.0.0') await raw.next('a row', (each) => each.payload.data?.record?.id === later);
      }
    });

    test('18. topics outside realtime: and without a name are refused with a reason', async () => {
      const raw = await world.raw({ key: service });
      for (const [topic, reason] of [['room', 'unmatched topic'], ['phoenix', 'unmatched topic'], ['Realtime:room', 'unmatched topic'],
        ['realtime:', 'TopicNameRequired: You must provide a topic name']]) {
        assert.deepEqual(await raw.join(topic, { bindings: [of(SESSION)] }), { status: 'error', response: { reason } }, topic);
      }
      const unknown = await raw.ask('realtime:never joined', 'broadcast', { type: 'broadcast', event: 'x', payload: {} });
      assert.deepEqual(unknown.payload, { status: 'error', response: { reason: 'unmatched topic' } });
      const leave = await raw.ask('realtime:never joined', 'phx_leave');
      assert.deepEqual(leave.payload, { status: 'ok', response: {} });
      await raw.joined('realtime:room', { bindings: [of(SESSION)] }); // the socket is none the worse
    });

    test(`19. channel ${CHANNELS_MAX + 1} is refused, the others go on`, async () => {
      const raw = await world.raw({ key: service });
      for (let i = 1; i <= CHANNELS_MAX; i++) {
        const { status } = await raw.join(`realtime:many ${i}`, { bindings: i === 1 || i === CHANNELS_MAX ? [of(SESSION)] : [] });
        assert.equal(status, 'ok', `channel ${i}`);
      }
      const over = { status: 'error', response: { reason: 'ChannelRateLimitReached: Too many channels' } };
      assert.deepEqual(await raw.join('realtime:one too many', { bindings: [of(SESSION)] }), over);
      await raw.live(`realtime:many ${CHANNELS_MAX}`);
      const { id } = await world.say(SESSION, 'many');
      for (const i of [1, CHANNELS_MAX]) {
        await raw.next('the row', (each) => each.topic === `realtime:many ${i}` && each.payload.data?.record?.id === id);
      }
      // Room again after a leave.
      assert.equal((await raw.ask('realtime:many 2', 'phx_leave')).payload.status, 'ok');
      assert.equal((await raw.join('realtime:one too many')).status, 'ok');
    });

    test('20. wait: true holds the reply until rows flow', async () => {
      const client = await world.client({ role: 'service_role' });
      for (let i = 0; i < 10; i++) {
        const feed = client.feed(`waiting ${i}`, [of(SESSION)], { postgres_changes_options: { wait: true } });
        feed.subscribe();
        await feed.subscribed();
        const { id } = await world.say(SESSION, `waited ${i}`); // without waiting for the system message
        await feed.row((row) => row.id === id);
        await feed.live();
      }
    });

    test('20. wait: true refuses a binding that cannot work, instead of a message later', async () => {
      const raw = await world.raw({ key: service });
      const config = { postgres_changes_options: { wait: true, timeout: 5000 } };
      for (const [binding, reason] of [
        [{ ...ALL, filter: 'no_such_column=eq.1' }, /^RealtimeDisabledForConfiguration: .*invalid column for filter no_such_column/],
        [{ ...ALL, filter: 'message=foo.hey' }, /^RealtimeDisabledForConfiguration: Error parsing `filter` params: \["foo", "hey"\]/],
        [{ ...ALL, table: 'no_such_table' }, /^RealtimeDisabledForConfiguration: Unable to subscribe to changes with given parameters/],
      ]) {
        const { status, response } = await raw.join('realtime:never', { bindings: [binding], config });
        assert.equal(status, 'error');
        assert.match(response.reason, reason);
      }
    });

    const runs = long ? 1000 : 150;
    test(`21. a row inserted right after the system message is delivered, ${runs} times of ${runs}`, async () => {
      const raw = await world.raw({ key: service });
      for (let i = 0; i < runs; i++) {
        const topic = `realtime:soon ${i}`;
        const reply = await raw.join(topic, { bindings: [of(SESSION)] });
        assert.equal(reply.status, 'ok');
        const system = await raw.next('the confirmation', (frame) => frame.topic === topic && frame.event === 'system');
        assert.deepEqual(system.payload, { extension: 'postgres_changes', status: 'ok', message: 'Subscribed to PostgreSQL',
          channel: topic.slice('realtime:'.length) });
        assert.equal(system.join_ref, raw.joinRefs.get(topic));
        assert.equal(system.ref, null);
        const { id } = await world.say(SESSION, `soon ${i}`);
        await raw.next(`row ${i}`, (frame) => frame.topic === topic && frame.payload.data?.record?.id === id, { timeoutMs: 5_000 * slack });
        await raw.ask(topic, 'phx_leave');
        raw.frames.length = 0;
      }
    });

    test('joins beyond the rate close the socket and tell why', async () => {
      const strict = await world.addGateway({ REALTIME_JOINS_PER_10S: '10' });
      const raw = await world.raw({ url: strict.url, key: service });
      for (let i = 0; i < 10; i++) assert.equal((await raw.join(`realtime:rate ${i}`)).status, 'ok');
      const refused = await raw.join('realtime:rate 11');
      assert.deepEqual(refused, { status: 'error', response: { reason: 'ClientJoinRateLimitReached: Too many joins per second' } });
      assert.equal((await within(10_000, 'the close', raw.closed)).code, 1001);
      const next = await world.raw({ url: strict.url, key: service }); // another connection is another account
      assert.equal((await next.join('realtime:rate')).status, 'ok');
    });

    test('connections beyond the limit are refused', async () => {
      const small = await world.addGateway({ REALTIME_MAX_CLIENTS: '3', REALTIME_REFUSE_DELAY_MS: '50' });
      const raws = [];
      for (let i = 0; i < 3; i++) raws.push(await world.raw({ url: small.url, key: service }));
      const refused = await world.raw({ url: small.url, key: service }).then(() => 'opened', (error) => error.message);
      assert.match(refused, /429|1006|1013|opened/);
      if (refused === 'opened') assert.fail('the fourth connection was let in');
      raws[0].ws.close();
      await raws[0].closed;
      await until('room for another', () => world.raw({ url: small.url, key: service }));
    });
  });
});
