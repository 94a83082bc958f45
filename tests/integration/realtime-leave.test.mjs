// Leaving, and what happens when gateway, database or network go away. Numbers are those of the
// acceptance checklist for the protocol.
import test, { after, afterEach, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { long, slack, startRealtime } from './lib/realtime.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const MINE = { event: 'INSERT', schema: 'public', table: 'chat_messages', filter: `stream_session_id=eq.${SESSION}` };
const ALL = { event: '*', schema: 'public', table: 'chat_messages' };
const QUICK = { reconnectAfterMs: () => 100 }; // only where waiting for the library is not the point

describe('leaving and failing', () => {
  let world;
  before(async () => {
    world = await startRealtime({ postgres: await startPostgres() });
  });
  // Or each would be given the 50,000 rows of one test, in this very process.
  afterEach(() => Promise.all(world.clients.splice(0).map((client) => client.close())));
  after(() => world?.stop());

  test('39. removeChannel() resolves ok, and no event of that topic is sent afterwards', async () => {
    const writer = await world.system.connect();
    let writing = true;
    const load = (async () => {
      while (writing) {
        await writer.query("insert into public.chat_messages (stream_session_id, username, message) values ($1, 'x', 'load')", [SESSION]);
      }
    })();
    for (const vsn of ['2.0.0', '1.0.0']) {
      const client = await world.client({ user: OWNER, vsn });
      for (let i = 0; i < 10; i++) {
        const feed = await client.subscribe(`gone ${i}`, [MINE]);
        await feed.row(() => true);
        assert.equal(await client.supabase.removeChannel(feed.channel), 'ok');
      }
      await client.settle();
      for (let i = 0; i < 10; i++) {
        const frames = client.received(`gone ${i}`);
        const leave = client.trace.map((each) => each.dir === '>' && each.text ? JSON.parse(each.text) : null)
          .map((each) => (Array.isArray(each) ? { ref: each[1], topic: each[2], event: each[3] } : each))
          .find((each) => each?.topic === `realtime:gone ${i}` && each.event === 'phx_leave');
        const at = frames.findIndex((frame) => frame.event === 'phx_reply' && frame.ref === leave.ref);
        assert.ok(at > 0);
        assert.deepEqual(frames[at].payload, { status: 'ok', response: {} });
        assert.deepEqual(frames.slice(at + 1).map((frame) => frame.event), ['phx_close']);
      }
    }
    writing = false;
    await load;
  });

  test('39. a socket that just closes leaves nothing behind', async () => {
    const before = await world.gateway.metric('dealflow_realtime_channels');
    assert.equal(typeof before, 'number');
    const raws = await Promise.all(Array.from({ length: 20 }, () => world.raw({ role: 'service_role' })));
    await Promise.all(raws.map((raw) => raw.joined('realtime:crowd', { bindings: [ALL] })));
    assert.equal(await world.gateway.metric('dealflow_realtime_channels'), before + 20);
    for (const raw of raws) raw.ws.terminate();
    await until('the channels to go', async () => (await world.gateway.metric('dealflow_realtime_channels')) === before);
  });

  test('40. after a kill of the gateway the client comes back by itself and gets new rows', async () => {
    const client = await world.client({ user: OWNER }); // with the library's own times
    const feed = await client.subscribe('phoenix', [MINE, { ...MINE, event: '*' }]);
    await feed.live();
    await world.gateway.restart('SIGKILL');
    await feed.status('CHANNEL_ERROR');
    const from = feed.statuses.length;
    await feed.subscribed({ from, timeoutMs: 20_000 });
    await feed.live({ from: 1 });
    const row = await world.say(SESSION, 'after the kill');
    await feed.row((each) => each.id === row.id);
    await client.settle();
    assert.equal(feed.rows.filter((each) => each.id === row.id).length, 2); // once for each binding
    assert.ok(!feed.has('CLOSED'));
  });

  test('41. Postgres away: sockets stay open, and what was committed meanwhile is delivered once', async () => {
    const awayMs = long ? 10_000 : 2_000;
    const client = await world.client({ user: OWNER });
    const feed = await client.subscribe('outage', [MINE]);
    await feed.live();
    const first = await world.say(SESSION, 'before');
    await feed.row((row) => row.id === first.id);
    const { postgres } = world.system;
    await postgres.kill9();
    await until('the gateway to notice', async () => (await world.gateway.get('/readyz')).status === 503);
    await sleep(awayMs); // the length of the outage
    assert.equal((await (await world.raw()).heartbeat()).payload.status, 'ok'); // new sockets, too
    await postgres.start();
    await world.system.reconnect();
    const second = await world.say(SESSION, 'right after the start');
    await feed.row((row) => row.id === second.id, { timeoutMs: 20_000 });
    // And committed while the gateway certainly could not listen.
    const missed = await world.withoutDatabase(async () => {
      const rows = [];
      for (let i = 0; i < 300; i++) rows.push((await world.say(SESSION, `missed ${i}`)).id);
      return rows;
    });
    await feed.row((row) => row.id === missed[299], { timeoutMs: 20_000 });
    await client.settle();
    assert.deepEqual(feed.rows.map((row) => row.id), [first.id, second.id, ...missed]);
    assert.deepEqual(feed.statuses.map((each) => each.status), ['SUBSCRIBED']);
    assert.equal(client.sockets.length, 1);
    await until('the gateway to be ready', async () => (await world.gateway.get('/readyz')).status === 200);
  });

  test('20. wait: true times out with the documented reason while Postgres is down', async () => {
    await world.withoutDatabase(async () => {
      const raw = await world.raw({ role: 'service_role' });
      const began = performance.now();
      const reply = await raw.join('realtime:waiting', { bindings: [MINE], config: { postgres_changes_options: { wait: true, timeout: 1000 } } });
      assert.deepEqual(reply, { status: 'error', response: {
        reason: 'PostgresChangesSubscribeTimeout: Timed out after 1000ms waiting for the postgres_changes subscription' } });
      assert.ok(performance.now() - began > 900);
      // Without wait the channel is there at once, and rows flow when Postgres is back.
      assert.equal((await raw.join('realtime:patient', { bindings: [MINE] })).status, 'ok');
      assert.deepEqual(raw.of('realtime:patient', 'system'), []);
    });
    const client = await world.client({ role: 'service_role' });
    await client.settle();
    const patient = world.raws[world.raws.length - 1];
    await patient.live('realtime:patient');
    const row = await world.say(SESSION, 'at last');
    await until('the row', () => patient.records('realtime:patient').some((each) => each.id === row.id));
  });

  describe('42. catch-up', () => {
    test('42. with x_after a client cut off receives every row it missed, once each', async () => {
      const awayMs = long ? 30_000 : 1_500;
      const client = await world.client({ user: OWNER, realtime: { reconnectAfterMs: () => awayMs } });
      const feed = client.feed('cut', [{ ...MINE, x_after: null }]);
      feed.subscribe();
      await feed.subscribed();
      await feed.live();
      const ids = [];
      const say = async (n, session = SESSION) => {
        for (let i = 0; i < n; i++) {
          const { id } = await world.say(session, `row ${ids.length}`);
          if (session === SESSION) ids.push(id);
        }
      };
      await say(20);
      await feed.row((row) => row.id === ids[19]);
      const from = feed.statuses.length;
      client.cut();
      await feed.status('CHANNEL_ERROR');
      await say(150);
      await say(50, OTHER_SESSION);
      await feed.subscribed({ from, timeoutMs: awayMs + 15_000 }); // perhaps it is already
      await say(20);
      await feed.row((row) => row.id === ids[189], { timeoutMs: 20_000 });
      await client.settle();
      assert.deepEqual(feed.rows.map((row) => row.id), ids);
    });

    test('42. a timestamp is a position too', async () => {
      const before = await world.say(SESSION, 'position');
      const rows = [];
      for (let i = 0; i < 5; i++) rows.push((await world.say(SESSION, `later ${i}`)).id);
      const { rows: [{ at }] } = await world.db.query('select created_at::text as at from public.chat_messages where id = $1', [before.id]);
      const client = await world.client({ user: OWNER });
      const feed = await client.subscribe('by time', [{ ...MINE, x_after: at }]);
      await feed.row((row) => row.id === rows[4]);
      await client.settle();
      const got = feed.rows.map((row) => row.id);
      assert.deepEqual(got.filter((id) => id !== before.id), rows);
    });

    test('42. what is wrong with a position is said', async () => {
      const client = await world.client({ user: OWNER });
      const feed = await client.subscribe('nowhere', [{ ...MINE, x_after: 'the day before yesterday' }]);
      await feed.system(/x_after/);
      const row = await world.say(SESSION, 'live all the same');
      await feed.row((each) => each.id === row.id);
    });

    test('42. policies and filters hold for missed rows', async () => {
      const mark = await world.say(SESSION, 'from here');
      await world.say(OTHER_SESSION, 'not mine');
      const mine = await world.say(SESSION, 'mine');
      const [owner, anon] = [await world.client({ user: OWNER }), await world.client()];
      const feeds = [await owner.subscribe('missed', [{ ...ALL, x_after: mark.id }]), await anon.subscribe('missed', [{ ...ALL, x_after: mark.id }])];
      await feeds[0].row((row) => row.id === mine.id);
      for (const client of [owner, anon]) await client.settle();
      assert.deepEqual(feeds[0].rows.map((row) => row.id), [mine.id]);
      assert.deepEqual(feeds[1].rows, []);
    });

    const many = long ? 50_000 : 5_000;
    test(`42. ${many} missed rows come in pages, and nobody else waits for them`, { timeout: 180_000 }, async () => {
      const mark = await world.say(SESSION, 'a long absence');
      const { rows } = await world.db.query(
        `insert into public.chat_messages (stream_session_id, username, message)
         select $1, 'missed', 'line ' || n from generate_series(1, $2::int) n returning id`, [SESSION, many]);
      const other = await world.client({ user: OWNER });
      const live = await other.subscribe('live', [MINE]);
      await live.live();
      await other.settle();
      const client = await world.client({ user: OWNER });
      const feed = client.feed('absent', [{ ...MINE, x_after: mark.id }]);
      feed.subscribe();
      const times = [];
      const written = [];
      while (feed.events.length < many && times.length < 2000) {
        const began = performance.now();
        const row = await world.say(SESSION, 'meanwhile');
        written.push(row.id);
        await live.row((each) => each.id === row.id);
        times.push(performance.now() - began);
        await sleep(10);
      }
      await feed.row((row) => row.id === written[written.length - 1], { timeoutMs: 60_000 });
      await client.settle();
      assert.deepEqual(feed.rows.map((row) => row.id), [...rows.map((row) => row.id), ...written]);
      times.sort((a, b) => a - b);
      assert.ok(times[Math.floor(times.length * 0.95)] < 200 * slack, `the other waited ${times[Math.floor(times.length * 0.95)]} ms`);
    });
  });

  test('43. a client that stops reading is dropped; memory is bounded, and the others see no delay', { timeout: 120_000 }, async () => {
    const gateway = await world.addGateway({ REALTIME_QUEUE_MAX_BYTES: '1048576', REALTIME_BROADCAST_MAX_BYTES: '1000000' });
    const key = await world.key('service_role');
    const good = await world.raw({ url: gateway.url, key });
    const stuck = await world.raw({ url: gateway.url, key });
    for (const raw of [good, stuck]) await raw.joined('realtime:heavy', { bindings: [MINE] });
    await good.settle(world);
    const before = gateway.rss();
    stuck.ws.pause();
    const times = [];
    const text = 'x'.repeat(60_000);
    for (let i = 0; i < 200; i++) { // 12 MB, and the kernel's buffers take some of it
      const began = performance.now();
      const row = await world.say(SESSION, text);
      await good.next('the row', (frame) => frame.payload.data?.record?.id === row.id);
      times.push(performance.now() - began);
    }
    times.sort((a, b) => a - b);
    assert.ok(times[190] < 100 * slack, `p95 of the others: ${times[190]} ms`);
    assert.ok(gateway.rss() - before < (slack === 1 ? 16 : 64), `${gateway.rss() - before} MiB more`);
    // It reads again: it is told, and it may come back.
    stuck.ws.resume();
    const ended = await Promise.race([stuck.closed.then(() => 'closed'),
      stuck.next('phx_error', (frame) => frame.event === 'phx_error', { timeoutMs: 20_000 }).then(() => 'phx_error', () => 'nothing')]);
    assert.notEqual(ended, 'nothing');
    assert.ok(stuck.changes('realtime:heavy').length < 200, 'it was sent everything: nothing was tested');
    const seen = stuck.records('realtime:heavy').map((row) => row.id);
    const all = good.records('realtime:heavy').map((row) => row.id);
    assert.deepEqual(seen, all.slice(0, seen.length)); // never a silent gap
    await gateway.stop();
  });

  test('44. a graceful shutdown spreads its closes, with code 1012', async () => {
    const drainMs = 2_000;
    const gateway = await world.addGateway({ DRAIN_MS: String(drainMs) });
    const raws = await Promise.all(Array.from({ length: 60 }, () => world.raw({ url: gateway.url, role: 'service_role' })));
    await Promise.all(raws.map((raw) => raw.joined('realtime:drained', { bindings: [MINE] })));
    const began = performance.now();
    const stopped = gateway.stop(); // fails unless it ends with 0
    const closes = await within(drainMs + 10_000, 'the closes', Promise.all(raws.map((raw) => raw.closed)));
    await stopped;
    assert.deepEqual([...new Set(closes.map((close) => close.code))], [1012]);
    const times = closes.map((close) => close.at - began).sort((a, b) => a - b);
    assert.ok(times[59] - times[0] > drainMs * 0.4, `all within ${times[59] - times[0]} ms`);
    assert.ok(times[59] < drainMs + 2_500 * slack);
    assert.ok(performance.now() - began < drainMs + 5_000 * slack);
  });

  test('44. a second signal ends it at once, and SIGHUP does not end it', async () => {
    const gateway = await world.addGateway({ DRAIN_MS: '20000' });
    const raw = await world.raw({ url: gateway.url });
    gateway.kill('SIGHUP');
    assert.equal((await raw.heartbeat()).payload.status, 'ok');
    gateway.kill('SIGTERM');
    await gateway.child.sees(/drain|stop|shut|end/i);
    gateway.kill('SIGTERM');
    const { code, signal } = await within(5_000, 'the end', gateway.child.ended);
    assert.equal(code ?? signal, 1);
    gateway.lives.length = 0; // it ended as it should
  });
});

describe('a client that comes back', () => {
  let world;
  before(async () => {
    world = await startRealtime();
  });
  after(() => world?.stop());

  test('41. the connection to the database may be cut again and again', async () => {
    const client = await world.client({ user: OWNER, realtime: QUICK });
    const feed = await client.subscribe('cuts', [MINE]);
    await feed.live();
    const ids = [];
    const count = long ? 300 : 120;
    for (let i = 0; i < count; i++) {
      if (i % 30 === 15) await until('a connection to cut', () => world.cutDatabase());
      ids.push((await world.say(SESSION, `n ${i}`)).id);
    }
    await feed.row((row) => row.id === ids[count - 1], { timeoutMs: 20_000 });
    await client.settle();
    assert.deepEqual(feed.rows.map((row) => row.id), ids);
  });
});
