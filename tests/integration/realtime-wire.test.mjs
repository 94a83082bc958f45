// The gateway's sockets: upgrades and their refusals, both serializers, heartbeats, broken frames.
// Numbers are those of the acceptance checklist for the protocol.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { knock, long, slack, startRealtime, token } from './lib/realtime.mjs';
import { OWNER, SESSION } from './lib/system.mjs';
import { tokenWithHeader, nowSeconds } from './lib/tokens.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const INSERTS = { event: 'INSERT', schema: 'public', table: 'chat_messages', filter: `stream_session_id=eq.${SESSION}` };
const TOPIC = 'realtime:room';

describe('sockets', () => {
  let world;
  let anon;
  before(async () => {
    world = await startRealtime();
    anon = await world.key('anon');
  });
  after(() => world?.stop());

  describe('upgrades', { concurrency: true }, () => {
    for (const vsn of ['2.0.0', '1.0.0', null]) {
      test(`1. an upgrade through nginx succeeds with ${vsn === null ? 'no vsn, which means 1.0.0' : `vsn ${vsn}`}`, async () => {
        const raw = await world.raw({ url: world.url, vsn });
        const reply = await raw.heartbeat();
        assert.deepEqual(reply.payload, { status: 'ok', response: {} });
        raw.ws.close();
        await raw.closed;
      });
    }

    test('2. an upgrade needs no sub-protocol, takes an Origin, and compression may be declined', async () => {
      for (const headers of [{}, { origin: 'https://dashboard.example' },
        { 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits' }]) {
        for (const url of [world.url, world.gateway.url]) {
          const answer = await knock(url, { apikey: anon, vsn: '2.0.0', headers });
          assert.equal(answer.status, 101, JSON.stringify(headers));
          assert.equal(answer.headers['sec-websocket-protocol'], undefined);
          assert.match(answer.headers['sec-websocket-extensions'] ?? '', /^(permessage-deflate.*)?$/);
        }
      }
      const offering = await world.raw({ url: world.url, options: { perMessageDeflate: true } });
      assert.equal((await offering.heartbeat()).payload.status, 'ok');
    });

    test('3. a key of 2 KB gets through, and no log holds it', async () => {
      const key = await token({ role: 'service_role', note: 'x'.repeat(1400) });
      assert.ok(key.length > 2000, `${key.length} bytes`);
      const raw = await world.raw({ url: world.url, key });
      await raw.joined('realtime:with-long-key', { bindings: [INSERTS], token: key });
      raw.ws.close();
      await raw.closed;
      const refused = await token({ role: 'anon', secret: 'another secret, as long as it has to be' });
      assert.equal((await knock(world.url, { apikey: refused })).status, 401);
      const logs = world.system.nginx.logs() + world.gateway.logs();
      for (const secret of [key, refused, anon]) {
        for (const part of secret.split('.').slice(1)) assert.ok(!logs.includes(part), 'a log holds a key');
      }
      assert.match(logs, /\/realtime\/v1\/websocket/); // or nothing was tested
    });

    const refusals = {
      'a missing key': [() => undefined, /^API key is missing$/],
      'an expired key': [() => token({ role: 'anon', exp: nowSeconds() - 10 }), /^Token has expired/],
      'a key without a role': [() => token({ role: null }), /^Fields `role` and `exp` are required in JWT$/],
      'a key without exp': [() => token({ role: 'anon', exp: null }), /^Fields `role` and `exp` are required in JWT$/],
      'a malformed key': [() => 'not-a-token', /^The token provided is not a valid JWT$/],
      'a key of another secret': [() => token({ role: 'anon', secret: 'another secret, as long as it has to be' }),
        /^Failed to validate JWT signature$/],
      'a key without a signature': [() => token({ role: 'anon', alg: 'none' }), /^(Failed to generate JWT signer|The token provided is not a valid JWT|Failed to validate JWT signature)/],
      'a key of no known algorithm': [() => tokenWithHeader({ alg: 'HS1', typ: 'JWT' }), /^(Failed to generate JWT signer|The token provided is not a valid JWT)/],
    };
    for (const [name, [make, text]] of Object.entries(refusals)) {
      test(`4. ${name} gets 401 with a text, after a pause`, async () => {
        const apikey = await make();
        for (const url of [world.url, world.gateway.url]) {
          const answer = await knock(url, { apikey, vsn: '2.0.0' });
          assert.equal(answer.status, 401);
          assert.match(answer.headers['content-type'], /^application\/json/);
          assert.match(JSON.parse(answer.body).error, text);
          assert.ok(answer.ms >= 900, `refused after ${answer.ms} ms: that does not slow a storm`);
        }
      });
    }

    test('4. the key of the header x-api-key counts first', async () => {
      const answer = await knock(world.gateway.url, { apikey: 'rubbish', vsn: '2.0.0', headers: { 'x-api-key': anon } });
      assert.equal(answer.status, 101);
    });

    test('4. what the app sees of a refusal is one CHANNEL_ERROR', async () => {
      const client = await world.client({ key: 'rubbish' });
      const feed = client.feed('refused', [INSERTS]);
      feed.subscribe();
      const { error } = await feed.status('CHANNEL_ERROR');
      assert.match(error, /transport failure|socket closed|1006/);
    });

    for (const vsn of ['9.9.9', '0.1.0', 'two']) {
      test(`5. vsn "${vsn}" is refused cleanly`, async () => {
        for (const url of [world.url, world.gateway.url]) {
          const answer = await knock(url, { apikey: anon, vsn });
          assert.ok(answer.status >= 400 && answer.status < 500, String(answer.status));
          assert.equal(typeof JSON.parse(answer.body).error, 'string');
        }
      });
    }

    test('another path and a plain GET are answered, not hung', async () => {
      for (const where of ['/realtime/v1/elsewhere', '/realtime/v1/websocket?apikey=x', '/socket/websocket']) {
        const { status } = await world.system.request(where);
        assert.ok(status >= 400 && status < 500, `${where}: ${status}`);
      }
    });
  });

  for (const vsn of ['2.0.0', '1.0.0']) {
    test(`6. heartbeats of ${vsn} are answered within 100 ms under load`, async () => {
      const writer = await world.system.connect();
      const service = await world.key('service_role');
      const readers = await Promise.all(Array.from({ length: 10 }, () => world.raw({ vsn, key: service })));
      for (const reader of readers) await reader.joined(TOPIC, { bindings: [{ ...INSERTS, filter: undefined }] });
      let writing = true;
      let written = 0;
      const load = (async () => {
        while (writing) {
          await writer.query(`insert into public.chat_messages (stream_session_id, username, message)
            select $1, 'load', 'line ' || n from generate_series(1, 4) n`, [SESSION]);
          written += 4;
          await sleep(20); // the pace of the load
        }
      })();
      const raw = await world.raw({ vsn, url: world.url });
      const times = [];
      for (let i = 0; i < 50; i++) {
        const began = performance.now();
        const reply = await raw.heartbeat();
        times.push(performance.now() - began);
        assert.equal(reply.topic, 'phoenix');
        assert.equal(reply.ref, String(i + 1));
        assert.deepEqual(reply.payload, { status: 'ok', response: {} });
        if (vsn === '2.0.0') assert.equal(reply.join_ref, null);
        else assert.ok(!('join_ref' in reply));
        await sleep(20);
      }
      writing = false;
      await load;
      await until('all rows', () => readers.every((reader) => reader.changes(TOPIC).length === written), { timeoutMs: 30_000 });
      times.sort((a, b) => a - b);
      assert.ok(times[47] < 100 * slack, `p95 ${times[47]} ms`);
      for (const reader of readers) reader.ws.terminate();
    });
  }

  test('8. what is no frame is ignored, and the socket stays usable', async () => {
    const service = await world.key('service_role');
    for (const vsn of ['2.0.0', '1.0.0']) {
      const raw = await world.raw({ vsn, key: service });
      await raw.joined(TOPIC, { bindings: [INSERTS] });
      for (const rubbish of ['', 'hello', '{', '[]', '[1,2,3]', '["1","r","realtime:room","phx_join"]', 'null', '7', '"x"', '{}',
        '{"topic":1,"event":2,"payload":3,"ref":4}', `["1","r","${'t'.repeat(5000)}","phx_join",{}]`, '[null,null,null,null,null]',
        `${'['.repeat(3000)}${']'.repeat(3000)}`, '["1","r","realtime:room","no such event",{}]', '["99","r","realtime:room","access_token",{}]',
        '["1","r","realtime:room","broadcast","text"]', '["1","r","realtime:room","presence",[]]']) {
        raw.ws.send(rubbish);
      }
      for (const bytes of [[], [0], [1, 2, 3], [2, 0, 0, 0, 0], [3], [3, 255, 255, 255, 255, 255, 1], [3, 0, 0, 0, 0, 0, 9],
        [4, 0, 0, 0, 0], [255, 255, 255], [3, 1, 1, 1, 1, 0, 1, 49, 50, 0, 0, 0x7b]]) {
        raw.ws.send(Buffer.from(bytes));
      }
      assert.equal((await raw.heartbeat()).payload.status, 'ok');
      await world.say(SESSION, `after rubbish ${vsn}`);
      await until('a row', () => raw.records(TOPIC).some((row) => row.message === `after rubbish ${vsn}`));
    }
  });

  test('8. text that is not UTF-8 ends its connection only, as RFC 6455 8.1 has it', async () => {
    const raw = await world.raw();
    raw.ws.send(Buffer.from([0x22, 0xff, 0xfe, 0x22]), { binary: false });
    assert.equal((await within(10_000, 'the close', raw.closed)).code, 1007);
  });

  test('9. a frame above the limit closes only its connection', async () => {
    const service = await world.key('service_role');
    const big = await world.raw({ key: service });
    const other = await world.raw({ key: service });
    await other.joined(TOPIC, { bindings: [INSERTS] });
    big.send({ topic: TOPIC, event: 'broadcast', payload: { x: 'y'.repeat(4_000_000) } }); // below it
    assert.equal((await big.heartbeat()).payload.status, 'ok');
    big.send({ topic: TOPIC, event: 'broadcast', payload: { x: 'y'.repeat(5_100_000) } });
    const { code } = await within(10_000, 'the close', big.closed);
    assert.ok([1009, 1006].includes(code), `closed with ${code}`);
    await world.say(SESSION, 'after the big one');
    await until('a row on the other socket', () => other.records(TOPIC).some((row) => row.message === 'after the big one'));
  });

  test('the gateway tells what it does, on its own door only', async () => {
    const { status, body } = await world.gateway.get('/metrics');
    assert.equal(status, 200);
    assert.match(body, /^dealflow_realtime_\w+(\{.*\})? \d+/m);
    assert.equal((await world.gateway.get('/readyz')).status, 200);
    assert.equal((await world.system.request('/realtime/v1/metrics')).status, 404);
    assert.equal((await world.system.request('/metrics')).status, 404);
  });
});

describe('7. time', { concurrency: true }, () => {
  let world;
  const idleMs = long ? 60_000 : 2_000;
  const aliveMs = long ? 600_000 : 3 * idleMs;
  before(async () => {
    world = await startRealtime({ env: long ? {} : { REALTIME_IDLE_MS: String(idleMs) } });
  });
  after(() => world?.stop());

  test(`7. a connection silent for ${idleMs / 1000} s is closed`, async () => {
    const began = performance.now();
    // Answers to pings are signs of life.
    const silent = await world.raw({ url: world.url, role: 'service_role', options: { autoPong: false } });
    await silent.joined(TOPIC, { bindings: [INSERTS] }); // rows that it gets are no sign of life
    const { at } = await within(idleMs * 2 + 5_000, 'the close', silent.closed);
    assert.ok(at - began >= idleMs * 0.9, `closed after ${at - began} ms`);
  });

  test(`7. one with heartbeats lives for ${aliveMs / 1000} s and still gets rows`, async () => {
    const client = await world.client({ user: OWNER, realtime: long ? {} : { heartbeatIntervalMs: idleMs / 2 } });
    const feed = await client.subscribe('room', [INSERTS]);
    await feed.live();
    await sleep(aliveMs);
    await world.say(SESSION, 'still there?');
    await feed.row((row) => row.message === 'still there?');
    assert.deepEqual(feed.statuses.map((each) => each.status), ['SUBSCRIBED']);
    assert.equal(client.sockets.length, 1);
  });
});
