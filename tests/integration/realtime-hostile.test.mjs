// A client that sends garbage, floods, stalls or never reads harms only itself.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { long, slack, startRealtime } from './lib/realtime.mjs';
import { SESSION } from './lib/system.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const MINE = { event: 'INSERT', schema: 'public', table: 'chat_messages', filter: `stream_session_id=eq.${SESSION}` };
const RSS_MAX_MIB = slack === 1 ? 64 : 250; // more than before; a sanitizer keeps what was freed for a while

describe('hostile clients', () => {
  let world;
  let key;
  let good;
  let rssBefore;
  let connections;
  before(async () => {
    world = await startRealtime({ env: { REALTIME_IDLE_MS: '5000', REALTIME_QUEUE_MAX_BYTES: '1048576',
      REALTIME_BROADCAST_MAX_BYTES: '1000000' } });
    key = await world.key('service_role');
    good = await world.raw({ key });
    await good.joined('realtime:good', { bindings: [MINE] });
    rssBefore = world.gateway.rss();
    // They are given up after ten seconds, while the others attack.
    connections = await Promise.all(Array.from({ length: 200 }, socket));
    connections.forEach((connection, i) => {
      connection.resume();
      if (i % 2) connection.write('GET /realtime/v1/websocket HTTP/1.1\r\nHost: x\r\n');
    });
  });
  after(() => world?.stop());

  // The good one's heartbeats and rows go on in time while `attack` runs.
  async function undisturbed(attack) {
    let attacking = true;
    const times = [];
    const watch = (async () => {
      do {
        const began = performance.now();
        assert.equal((await good.heartbeat()).payload.status, 'ok');
        const row = await world.say(SESSION, 'undisturbed');
        await good.next('the row', (frame) => frame.payload.data?.record?.id === row.id);
        times.push(performance.now() - began);
        good.frames.length = 0;
        await sleep(20); // the pace
      } while (attacking);
    })();
    try {
      await Promise.race([attack(), watch]);
    } finally {
      attacking = false;
    }
    await watch;
    times.sort((a, b) => a - b);
    const p95 = times[Math.floor((times.length - 1) * 0.95)];
    assert.ok(p95 < 100 * slack, `p95 of the others ${p95} ms`);
    assert.ok(world.gateway.child.running);
    assert.ok(world.gateway.rss() - rssBefore < RSS_MAX_MIB, `${world.gateway.rss() - rssBefore} MiB more than before`);
  }

  async function socket() {
    const connection = net.connect(world.gateway.port, '127.0.0.1');
    connection.on('error', () => {});
    await once(connection, 'connect');
    return connection;
  }

  const upgrade = () => `GET /realtime/v1/websocket?apikey=${key}&vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n`
    + 'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyAxNg==\r\n\r\n';

  test('garbage instead of HTTP, and instead of WebSocket frames', () => undisturbed(async () => {
    const rounds = long ? 2_000 : 200;
    for (let i = 0; i < rounds; i++) {
      const connection = await socket();
      if (i % 2) {
        connection.write(upgrade());
        await Promise.race([once(connection, 'data'), once(connection, 'close')]);
      }
      connection.write(randomBytes(1 + (i * 37) % 3000));
      connection.resume();
      if (i % 3) connection.end();
      else connection.destroy();
    }
  }));

  test('random frames that are well formed', () => undisturbed(async () => {
    const raw = await world.raw({ key });
    const words = ['phx_join', 'phx_leave', 'heartbeat', 'access_token', 'broadcast', 'presence', 'postgres_changes', '', 'realtime:x', 'phoenix', null, 7, [], {}];
    const any = () => words[Math.floor(Math.random() * words.length)];
    for (let i = 0; i < (long ? 20_000 : 3_000) && !raw.isClosed; i++) {
      raw.ws.send(i % 5 === 0 ? randomBytes(i % 200) : JSON.stringify([any(), any(), any(), any(), { config: { postgres_changes: [any(), { event: any(), schema: any(), table: any(), filter: any() }], broadcast: any(), presence: any() } }]));
      if (i % 200 === 199) await sleep(5); // or it would only test our own buffers
    }
    raw.ws.terminate();
  }));

  test('a flood of frames', () => undisturbed(async () => {
    const raw = await world.raw({ key });
    await raw.join('realtime:flood');
    const frame = raw.text({ join_ref: '1', ref: 'f', topic: 'realtime:flood', event: 'broadcast', payload: { type: 'broadcast', event: 'e', payload: { x: 'y'.repeat(500) } } });
    const end = Date.now() + (long ? 30_000 : 3_000);
    while (Date.now() < end && !raw.isClosed) {
      for (let i = 0; i < 500; i++) raw.ws.send(frame);
      if (raw.ws.bufferedAmount > 1 << 20) await sleep(10); // it is the gateway that reads no faster
      else await sleep(0);
    }
    raw.ws.terminate();
  }));

  test('a flood of heartbeats whose answers are never read', () => undisturbed(async () => {
    const raw = await world.raw({ key });
    raw.ws.pause();
    const frame = raw.text({ ref: 'h'.repeat(60), topic: 'phoenix', event: 'heartbeat', payload: {} });
    const end = Date.now() + (long ? 30_000 : 3_000);
    while (Date.now() < end && !raw.isClosed) {
      for (let i = 0; i < 500; i++) raw.ws.send(frame);
      await sleep(raw.ws.bufferedAmount > 1 << 20 ? 20 : 0);
    }
    raw.ws.terminate();
  }));

  test('fifty clients that never read', { timeout: 120_000 }, () => undisturbed(async () => {
    const raws = await Promise.all(Array.from({ length: 50 }, () => world.raw({ key })));
    await Promise.all(raws.map((raw) => raw.joined('realtime:stuck', { bindings: [MINE] })));
    for (const raw of raws) raw.ws.pause();
    for (let i = 0; i < 300; i++) { // 1.5 MB for each, beyond what the kernel takes
      await world.say(SESSION, 'x'.repeat(5_000));
      await sleep(3); // the pace
    }
    for (const raw of raws) raw.ws.terminate();
  }));

  test('refusals by the hundred do not hold up who is let in', () => undisturbed(async () => {
    const refused = Array.from({ length: 600 }, () => world.raw({ key: 'rubbish' }).then(() => 'opened', () => 'refused'));
    const began = performance.now();
    const raw = await world.raw({ key });
    assert.equal((await raw.join('realtime:patient')).status, 'ok');
    assert.ok(performance.now() - began < 2_000 * slack);
    assert.deepEqual([...new Set(await Promise.all(refused))], ['refused']);
    raw.ws.terminate();
  }));

  test('joining and leaving without pause', () => undisturbed(async () => {
    const raw = await world.raw({ key });
    for (let i = 0; i < (long ? 2_000 : 300) && !raw.isClosed; i++) {
      raw.send({ join_ref: `${i}`, ref: `${i}`, topic: `realtime:t${i % 7}`, event: 'phx_join', payload: { config: { postgres_changes: [MINE, { ...MINE, filter: `message=eq.${i}` }] } } });
      if (i % 3 === 0) raw.send({ join_ref: `${i}`, ref: `l${i}`, topic: `realtime:t${i % 7}`, event: 'phx_leave', payload: {} });
      if (i % 50 === 49) await sleep(20);
    }
    raw.ws.terminate();
  }));

  test('a fragmented frame that never ends is bounded', () => undisturbed(async () => {
    const connection = await socket();
    connection.write(upgrade());
    await once(connection, 'data');
    connection.resume();
    const piece = Buffer.alloc(65_536, 0x20);
    const header = (opcode) => { // a masked fragment of 64 KiB, its mask zero
      const head = Buffer.alloc(14);
      head[0] = opcode;
      head[1] = 0x80 | 127;
      head.writeBigUInt64BE(BigInt(piece.length), 2);
      return head;
    };
    let sent = 0;
    for (; sent < 300 && !connection.destroyed && connection.writable; sent++) {
      const ok = connection.write(Buffer.concat([header(sent === 0 ? 0x01 : 0x00), piece]));
      if (!ok) await Promise.race([once(connection, 'drain'), once(connection, 'close')]);
    }
    await until('the gateway to close it', () => connection.destroyed || connection.readableEnded, { timeoutMs: 15_000 });
    connection.destroy();
  }));

  test('connections that never ask anything, or never finish asking', () => undisturbed(async () => {
    await within(60_000, 'the gateway to give up on them', Promise.all(connections.map((connection) =>
      connection.closed ? undefined : once(connection, 'close'))));
  }));

  test('it all left nothing behind', async () => {
    let left;
    await until('the channels to be gone', async () => (left = await world.gateway.metric('dealflow_realtime_channels')) === 1, { timeoutMs: 20_000 })
      .catch((error) => { throw new Error(`${error.message}: there are ${left}`); });
  });
});
