// The gateway's sockets without a database: realtime_server_probe hosts the real server with a hub
// that echoes. At the end the program itself: arguments, signals, a database that is away.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { createClient } from 'supabase-js-2119';
import { JWT_SECRET, keyPair, nowSeconds, token } from './lib/tokens.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const preset = process.env.DF_PRESET || 'debug';
const bin = path.resolve(root, process.env.DF_BUILD_DIR || `build/${preset}`, 'bin');
const binary = path.join(bin, 'realtime_server_probe');
const isFast = preset === 'release'; // sanitizers make times and sizes meaningless
const ANON = 'sb_publishable_for_tests';

class Probe {
  static async start(env = {}) {
    const probe = new Probe();
    probe.log = '';
    probe.lines = [];
    probe.child = spawn(binary, {
      env: { PATH: process.env.PATH, LC_ALL: 'C', DATABASE_URL: 'dbname=nowhere', REALTIME_LISTEN: '127.0.0.1:0',
        LOG_LEVEL: 'debug', JWT_SECRET, API_KEYS: `${ANON}=anon`, REALTIME_REFUSE_DELAY_MS: '0', ...env },
    });
    probe.child.stderr.setEncoding('utf8').on('data', (text) => { probe.log += text; });
    readline.createInterface({ input: probe.child.stdout })
      .on('line', (line) => probe.lines.push(JSON.parse(line)));
    probe.ended = new Promise((done) => { probe.child.on('close', (code, signal) => done(code ?? signal)); });
    probe.ended.then((code) => { probe.code = code; });
    probe.port = (await probe.says('port')).port;
    return probe;
  }

  says(key) {
    return until(`"${key}" from the probe: ${this.log.slice(-500)}`, () => {
      if (this.code !== undefined) throw Object.assign(new Error(`ended with ${this.code}: ${this.log.slice(-2000)}`), { final: true });
      const at = this.lines.findIndex((line) => key in line);
      return at >= 0 && this.lines.splice(at, 1)[0];
    });
  }

  tell(line) { this.child.stdin.write(`${line}\n`); }

  stats() {
    this.tell('stats');
    return this.says('stats');
  }

  rssKb() { return Number(/VmRSS:\s*(\d+)/.exec(fs.readFileSync(`/proc/${this.child.pid}/status`, 'utf8'))[1]); }

  // Ends it; fails on another exit status than 0, which a sanitizer's complaint would cause.
  async stop() {
    this.child.stdin.end();
    assert.equal(await within(15_000, 'the end of the probe', this.ended), 0, this.log.slice(-3000));
  }

  ask(where, { method = 'GET', headers = {}, body, socketPath } = {}) {
    return new Promise((resolve, reject) => {
      const began = Date.now();
      const request = http.request({
        timeout: 15_000, agent: false, host: '127.0.0.1', port: this.port, path: where, method, socketPath,
        headers: { ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }), ...headers },
      }, (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece)).on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(pieces).toString();
          let json;
          try { json = JSON.parse(text); } catch { json = undefined; }
          resolve({ status: response.statusCode, headers: response.headers, text, json, ms: Date.now() - began });
        });
      });
      request.on('error', reject).on('timeout', () => request.destroy(new Error(`no answer to ${method} ${where}`)));
      request.end(body);
    });
  }

  socket(query = `apikey=${ANON}&vsn=2.0.0`, { where = '/realtime/v1/websocket', headers = {}, ...options } = {}) {
    return new Client(new WebSocket(`ws://127.0.0.1:${this.port}${where}${query === '' ? '' : `?${query}`}`, { headers, ...options }));
  }

  // What the server says to raw bytes until it closes, or `quietMs` pass.
  raw(bytes, { quietMs = 3000, pieces = [] } = {}) {
    return new Promise((resolve) => {
      let text = '';
      const socket = net.connect(this.port, '127.0.0.1');
      const done = () => { socket.destroy(); resolve(text); };
      socket.setTimeout(quietMs, done);
      socket.on('data', (piece) => { text += piece.toString('latin1'); });
      socket.on('error', done).on('end', done);
      socket.write(bytes);
      pieces.forEach((piece, i) => setTimeout(() => socket.write(piece), 20 * (i + 1)));
    });
  }
}

class Client {
  constructor(ws) {
    this.ws = ws;
    this.messages = [];
    this.began = Date.now();
    this.closed = new Promise((done) => { ws.on('close', (code, reason) => done({ code, reason: reason.toString(), ms: Date.now() - this.began })); });
    this.refused = new Promise((done) => { ws.on('unexpected-response', (_, response) => {
      let text = '';
      response.on('data', (piece) => { text += piece; });
      response.on('end', () => { done({ status: response.statusCode, json: JSON.parse(text), ms: Date.now() - this.began }); ws.terminate(); });
    }); });
    this.opened = within(10_000, 'an upgrade', new Promise((done, fail) => { ws.on('open', () => done(this)); ws.on('error', fail); }));
    this.opened.catch(() => {});
    ws.on('message', (data, isBinary) => {
      if (this.onMessage) this.onMessage(data);
      else this.messages.push(isBinary ? data : data.toString());
    });
  }

  next() { return until('a message', () => this.messages.length > 0 && [this.messages.shift()]).then(([m]) => m); }
  async claims() {
    this.ws.send('{"claims":true}');
    return JSON.parse(await this.next());
  }
  async echoes(what = 'still there') {
    this.ws.send(what);
    assert.equal(await this.next(), what);
  }
}

// One server for the tests that need no settings of their own.
let shared;
const common = () => (shared ??= Probe.start());
after(async () => { if (shared) await (await shared).stop(); });

test('upgrades on all its paths, with each vsn, and takes no subprotocol or compression', async () => {
  const probe = await common();
  const rows = [
    [`apikey=${ANON}&vsn=2.0.0`, '/realtime/v1/websocket', 2],
    [`apikey=${ANON}&vsn=1.0.0`, '/realtime/v1/websocket', 1],
    [`apikey=${ANON}`, '/websocket', 1],
    [`apikey=${ANON}&vsn=${encodeURIComponent('~> 2.0.0')}`, '/socket/websocket', 2],
    [`log_level=info&apikey=${ANON}&eventsPerSecond=10&vsn=2.0.0`, '/realtime/v1/socket/websocket', 2],
  ];
  for (const [query, where, vsn] of rows) {
    const client = await probe.socket(query, { where, perMessageDeflate: true }).opened;
    assert.equal(client.ws.extensions, '');
    assert.equal(client.ws.protocol, '');
    assert.deepEqual(await client.claims(), { vsn, role: 'anon', sub: '', claims: { role: 'anon' } });
    client.ws.close(1000);
    assert.equal((await client.closed).code, 1000);
  }
});

test('a token of 2 KB in the request line and large cookies do no harm, and no log holds the key', async () => {
  const probe = await common();
  const jwt = await token({ role: 'authenticated', sub: 'ann', email: 'x'.repeat(1500), aud: 'authenticated' });
  assert.ok(jwt.length > 2000);
  const client = await probe.socket(`apikey=${jwt}&vsn=2.0.0`, { headers: { cookie: `a=${'c'.repeat(8000)}`, origin: 'https://app.example' } }).opened;
  const claims = await client.claims();
  assert.equal(claims.role, 'authenticated');
  assert.equal(claims.sub, 'ann');
  assert.deepEqual(Object.keys(claims.claims), ['aud', 'email', 'iss', 'role', 'sub'], 'sorted, without times');
  // The header wins over the parameter, whichever is first.
  const both = await probe.socket(`apikey=${ANON}`, { headers: { 'x-api-key': jwt } }).opened;
  assert.equal((await both.claims()).role, 'authenticated');
  client.ws.close();
  both.ws.close();
  const refused = await probe.socket(`apikey=${jwt}x&vsn=2.0.0`).refused;
  assert.equal(refused.status, 401);
  assert.ok(!probe.log.includes(jwt.slice(0, 40)) && !probe.log.includes(ANON));
});

test('refuses in the words of Supabase', async () => {
  const probe = await common();
  const ec = await keyPair('ES384', 'k1');
  const rows = [
    ['vsn=2.0.0', 401, 'API key is missing'],
    ['apikey=&vsn=2.0.0', 401, 'API key is missing'],
    ['apikey=nonsense', 401, 'The token provided is not a valid JWT'],
    ['apikey=sb_publishable_unknown', 401, 'The token provided is not a valid JWT'],
    [`apikey=${await token({ role: 'anon', secret: 'another-secret-of-thirty-two-characters!' })}`, 401, 'Failed to validate JWT signature'],
    [`apikey=${await token({ role: 'anon', exp: nowSeconds() - 10 })}`, 401, 'Token has expired'],
    [`apikey=${await token({ role: null })}`, 401, 'Fields `role` and `exp` are required in JWT'],
    [`apikey=${await token({ exp: null })}`, 401, 'Fields `role` and `exp` are required in JWT'],
    [`apikey=${await token({ alg: 'ES384', key: ec.privateKey })}`, 401, /^Failed to generate JWT signer/],
    [`apikey=${await token({ alg: 'none' })}`, 401, /not a valid JWT|Failed to generate JWT signer/],
    [`apikey=${ANON}&vsn=9.9.9`, 400, /vsn/],
  ];
  for (const [query, status, want] of rows) {
    const answer = await within(5000, query, probe.socket(query).refused);
    assert.equal(answer.status, status, query);
    if (typeof want === 'string') assert.deepEqual(answer.json, { error: want }, query);
    else assert.match(answer.json.error, want, query);
  }
  const plain = await probe.ask(`/realtime/v1/websocket?apikey=${ANON}`);
  assert.equal(plain.status, 426);
  assert.equal(plain.headers['sec-websocket-version'], '13');
  assert.equal((await probe.ask('/realtime/v1/websocket', { method: 'POST', body: '' })).status, 405);
});

test('a refusal waits, beyond the cap it comes at once, and who leaves meanwhile frees the place', async (t) => {
  const probe = await Probe.start({ REALTIME_REFUSE_DELAY_MS: '1000', REALTIME_REFUSE_WAITING_MAX: '3' });
  t.after(() => probe.stop());
  const waiting = [probe.socket('').refused, probe.socket('').refused,
    probe.ask('/api/broadcast', { method: 'POST', body: '{}' })];
  await sleep(200);
  const fourth = await probe.socket('').refused;
  assert.ok(fourth.ms < 700, `the fourth came after ${fourth.ms} ms`);
  for (const refused of await Promise.all(waiting)) {
    assert.equal(refused.status, 401);
    assert.ok(refused.ms >= 990 && refused.ms < 3000, `${refused.ms} ms`);
  }
  const leavers = [1, 2, 3].map(() => probe.socket(''));
  await until('three that wait', async () => (await probe.stats()).refused >= 7);
  leavers.forEach((leaver) => { leaver.ws.on('error', () => {}); leaver.ws.terminate(); });
  const late = await until('a place', async () => {
    const answer = await probe.socket('').refused;
    return answer.ms >= 990 && answer;
  });
  assert.equal(late.status, 401);
  assert.equal((await probe.socket().opened).ws.readyState, WebSocket.OPEN, 'a good one never waits');
});

test('one client too many is told so', async (t) => {
  const probe = await Probe.start({ REALTIME_MAX_CLIENTS: '2' });
  t.after(() => probe.stop());
  const [first] = await Promise.all([probe.socket().opened, probe.socket().opened]);
  const refused = await probe.socket().refused;
  assert.deepEqual([refused.status, refused.json.error], [429, 'Too many connected users']);
  first.ws.close();
  await first.closed;
  await until('room for one more', () => probe.socket().opened);
});

test('echoes texts and bytes of any length and in fragments', async () => {
  const probe = await common();
  const client = await probe.socket().opened;
  for (const size of [0, 1, 125, 126, 1023, 1024, 1025, 65_535, 65_536, 65_537, 1_000_000, 3_000_000]) {
    const text = randomBytes(Math.ceil(size / 2)).toString('hex').slice(0, size);
    client.ws.send(text);
    assert.equal(await client.next(), text, `${size} characters`);
    client.ws.send(Buffer.from(text), { binary: true });
    assert.ok(Buffer.from(text).equals(await client.next()), `${size} bytes`);
  }
  client.ws.send('one ', { fin: false });
  client.ws.send('two ', { fin: false });
  client.ws.send('three', { fin: true });
  assert.equal(await client.next(), 'one two three');
  client.ws.ping();
  await within(5000, 'a pong', new Promise((done) => { client.ws.once('pong', done); }));
  client.ws.close(4000, 'bye');
  assert.equal((await client.closed).code, 4000);
});

test('messages that wait together arrive in order, whole, with pings between', async () => {
  const probe = await Probe.start();
  const clients = await Promise.all([probe.socket().opened, probe.socket().opened]);
  const sizes = [30, 125, 126, 127, 8191, 8192, 8193, 65_536, 65_537, 40, 200_000, 41, 42, ...Array.from({ length: 500 }, (_, i) => 60 + i)];
  const pinger = setInterval(() => clients.forEach((client) => client.ws.ping('ping')), 1);
  probe.tell(sizes.map((size) => `send ${size}`).join('\n'));
  for (const client of clients) {
    await until('all of them', () => client.messages.length === sizes.length);
    assert.deepEqual(client.messages.map((text) => text.length), sizes);
    client.messages.forEach((text, i) => assert.equal(JSON.parse(text).n, i));
  }
  clearInterval(pinger);
  await probe.stop();
});

test('a message over the limit closes only the connection it came from', async (t) => {
  const probe = await Probe.start({ REALTIME_FRAME_MAX_BYTES: '100000' });
  t.after(() => probe.stop());
  const other = await probe.socket().opened;
  const whole = await probe.socket().opened;
  whole.ws.send('x'.repeat(100_000));
  assert.equal((await whole.next()).length, 100_000);
  whole.ws.send('x'.repeat(100_001));
  assert.equal((await within(8000, 'the close', whole.closed)).code, 1009);
  const pieces = await probe.socket().opened;
  pieces.ws.send('x'.repeat(60_000), { fin: false });
  pieces.ws.send('x'.repeat(60_000), { fin: true });
  assert.equal((await within(8000, 'the close', pieces.closed)).code, 1009);
  await other.echoes();
  assert.equal((await probe.stats()).closedOversized, 2);
});

test('garbage ends only the connection it came from', async () => {
  const probe = await common();
  const other = await probe.socket().opened;
  const handshake = `GET /websocket?apikey=${ANON} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
  const rows = [
    ['\x16\x03\x01\x02\x00\x01', /^$/],
    ['GET /\r\n\r\n', /^HTTP\/1.1 400 /],
    ['GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n', /^HTTP\/1.1 400 /],
    ['BREW /websocket HTTP/1.1\r\n\r\n', /^HTTP\/1.1 405 /],
    [`GET / HTTP/1.1\r\nA: ${'x'.repeat(40_000)}\r\n\r\n`, /^HTTP\/1.1 431 /],
    [handshake.replace('13', '8'), /^HTTP\/1.1 426 /],
    [handshake.replace('nonce', 'no').replace('dGhlIHNhbXBsZSBub25jZQ==', 'short'), /^HTTP\/1.1 400 /],
    [`${handshake}\x81\x85`, /^HTTP\/1.1 400 /],
    [handshake.replace('Upgrade: websocket', 'Upgrade: h2c'), /^HTTP\/1.1 426 /],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', /^HTTP\/1.1 400 /],
  ];
  for (const [bytes, want] of rows) assert.match(await probe.raw(bytes), want, JSON.stringify(bytes.slice(0, 60)));
  // Bytes after the upgrade that are no frames: unmasked, reserved bits, unknown opcodes, bad UTF-8.
  const frames = [[0x81, 0x01, 0x41], [0xf1, 0x80, 0, 0, 0, 0], [0x83, 0x80, 0, 0, 0, 0],
    [0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0], [0x81, 0x81, 0, 0, 0, 0, 0xff], [0x80, 0x81, 0, 0, 0, 0, 0x41],
    [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]];
  for (const frame of frames) {
    const text = await probe.raw(handshake, { pieces: [Buffer.from(frame)] });
    assert.match(text, /^HTTP\/1.1 101 /, `frame ${frame}`);
  }
  for (let i = 0; i < 20; i++) await probe.raw(handshake, { pieces: [randomBytes(400)], quietMs: 200 });
  await other.echoes();
  other.ws.close();
  // A head that drips in is read; one that stops half-way holds nobody up.
  const halves = net.connect(probe.port, '127.0.0.1').on('error', () => {});
  halves.write('GET /websocket');
  const dripped = await probe.raw(handshake.slice(0, 10), { pieces: [handshake.slice(10, 60), handshake.slice(60)], quietMs: 500 });
  assert.match(dripped, /^HTTP\/1.1 101 /);
  halves.destroy();
});

test('a client that never reads fills its own queue only', async (t) => {
  const probe = await Probe.start({ REALTIME_QUEUE_MAX_BYTES: '3000000' });
  t.after(() => probe.stop());
  const reader = await probe.socket().opened;
  const sleeper = await probe.socket().opened;
  const numbers = [];
  let worstMs = 0;
  reader.onMessage = (data) => {
    const message = JSON.parse(data.toString());
    numbers.push(message.n);
    worstMs = Math.max(worstMs, Number(process.hrtime.bigint()) / 1e6 - message.ns / 1e6);
  };
  sleeper.ws._socket.pause(); // the kernel's buffers fill, then the server's queue
  const before = probe.rssKb();
  probe.tell('pace 400 200 50000');
  await probe.says('paced');
  await until('all messages', () => numbers.length === 400);
  assert.deepEqual(numbers, Array.from({ length: 400 }, (_, i) => i), 'none missing, in order');
  const stats = await until('the slow one cut', async () => {
    const now = await probe.stats();
    return now.connections === 1 && now;
  });
  assert.equal(stats.slow, 1);
  assert.equal(stats.closedSlow, 1);
  if (isFast) {
    assert.ok(worstMs < 250, `${worstMs} ms`);
    assert.ok(probe.rssKb() - before < 16_000, `${before} -> ${probe.rssKb()} kB`);
  }
  sleeper.ws._socket.resume();
  await within(8000, 'the end of the slow one', sleeper.closed);
});

test('a connection without any frame is pinged, then closed; one that answers lives', async (t) => {
  const probe = await Probe.start({ REALTIME_IDLE_MS: '1500' });
  t.after(() => probe.stop());
  const alive = await probe.socket().opened;
  const dead = await probe.socket(undefined, { autoPong: false }).opened;
  let pings = 0;
  dead.ws.on('ping', () => { pings++; });
  const end = await within(8000, 'the idle close', dead.closed);
  assert.equal(end.code, 1000);
  assert.ok(end.ms >= 1400, `after ${end.ms} ms`);
  assert.equal(pings, 1);
  assert.equal((await probe.stats()).closedIdle, 1);
  await sleep(Math.max(0, 3500 - (Date.now() - alive.began)));
  await alive.echoes(); // has only answered pings for more than twice the limit
});

test('broadcast routes: who may, what arrives, what is refused', async () => {
  const probe = await common();
  const jwt = await token({ role: 'authenticated', sub: 'ann' });
  const json = { 'content-type': 'application/json', apikey: ANON };
  const one = '/realtime/v1/api/broadcast/room%3A1/events/my%20ev';
  const rows = [
    // where, headers, body, status, what the hub was told
    [`${one}?apikey=${ANON}&vsn=2.0.0`, { 'content-type': 'application/json' }, '{"a":1}', 202, { role: 'anon', topic: 'room:1', event: 'my ev', private: false, json: true, body: '{"a":1}' }],
    [`${one}?private=true`, { ...json, authorization: `Bearer ${jwt}` }, '{}', 202, { role: 'authenticated', private: true }],
    [one, { ...json, 'content-type': 'application/json; charset=utf-8' }, '{}', 202, { json: true }],
    [one, { ...json, 'content-type': 'application/octet-stream' }, 'raw', 202, { json: false, body: 'raw' }],
    [one, { ...json, 'content-type': 'text/plain' }, 'x', 415],
    [one, { apikey: ANON }, 'x', 415],
    ['/api/broadcast', json, '{"messages":[]}', 202, { topic: '-', event: '-', body: '{"messages":[]}' }],
    ['/api/broadcast', json, '', 202, { body: '' }],
    ['/api/broadcast', { 'content-type': 'application/json' }, '{}', 401],
    ['/api/broadcast', { ...json, authorization: 'Bearer wrong' }, '{}', 401],
    ['/api/broadcast', json, 'x'.repeat(5_000_001), 413],
    ['/api/broadcast/a/events/', json, '{}', 404],
    ['/api/broadcast/a%ff/events/b', json, '{}', 404],
  ];
  for (const [where, headers, body, status, want] of rows) {
    const answer = await probe.ask(where, { method: 'POST', headers, body });
    const what = `${where} ${JSON.stringify(headers)}`;
    assert.equal(answer.status, status, what);
    assert.equal(answer.headers['access-control-allow-origin'], '*', what);
    for (const [key, value] of Object.entries(want ?? {})) assert.equal(answer.json[key], value, `${what} ${key}`);
    if (status === 401) assert.deepEqual(answer.json, { message: 'Unauthorized' });
  }
  const big = await probe.ask(one, { method: 'POST', headers: { ...json, expect: '100-continue' }, body: 'x'.repeat(4_000_000) });
  assert.equal(big.json.body.length, 4_000_000);
  const empty = await probe.ask(one, { method: 'POST', headers: json, body: 'empty' });
  assert.deepEqual([empty.status, empty.text], [202, '']);
  const preflight = await probe.ask(one, { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' } });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers['access-control-allow-headers'], /authorization.*apikey.*content-type/);
  assert.match(preflight.headers['access-control-allow-methods'], /POST/);
  assert.equal((await probe.ask(one)).headers.allow, 'POST, OPTIONS');
  const chunked = await probe.raw(`POST /api/broadcast HTTP/1.1\r\nHost: x\r\napikey: ${ANON}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`);
  assert.match(chunked, /^HTTP\/1.1 411 /);
  assert.equal(chunked.match(/HTTP\/1.1 /g).length, 1, 'the body is not read as a request');
  const pieces = await probe.raw(`POST ${one} HTTP/1.1\r\nHost: x\r\napikey: ${ANON}\r\ncontent-type: application/json\r\nContent-Length: 7\r\n\r\n{"a`, { pieces: ['":', '1}'] });
  assert.match(pieces, /"body":"\{\\"a\\":1\}"/);
});

test('the client library is let in, and its heartbeat and httpSend arrive', async (t) => {
  const probe = await common();
  globalThis.WebSocket ??= WebSocket;
  for (const vsn of ['2.0.0', '1.0.0']) {
    const client = createClient(`http://127.0.0.1:${probe.port}`, ANON, {
      realtime: { vsn, transport: WebSocket, heartbeatIntervalMs: 300 } });
    t.after(() => client.realtime.disconnect());
    client.realtime.connect();
    await until('a connected client', () => client.realtime.isConnected());
    const before = (await probe.stats()).framesIn;
    await until('a heartbeat', async () => (await probe.stats()).framesIn > before);
    const sent = await within(5000, 'httpSend', client.channel('room:1').httpSend('my ev', { a: 1 }));
    assert.equal(sent.success, true);
  }
});

test('health, readiness and metrics, on a port and on a unix socket', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'df-rt-'));
  const socketPath = path.join(dir, 'admin.sock');
  const probe = await Probe.start({ METRICS_LISTEN: socketPath, REALTIME_LISTEN: path.join(dir, 'api.sock') });
  t.after(async () => {
    await probe.stop();
    assert.deepEqual(fs.readdirSync(dir), [], 'its sockets are gone');
    fs.rmSync(dir, { recursive: true });
  });
  assert.equal(probe.port, 0);
  assert.equal(fs.statSync(socketPath).mode & 0o777, 0o660);
  const api = path.join(dir, 'api.sock');
  for (const where of [socketPath, api]) {
    assert.deepEqual((await probe.ask('/healthz', { socketPath: where })).json, { status: 'ok' });
    assert.equal((await probe.ask('/readyz', { socketPath: where })).status, 503);
  }
  probe.tell('ready 1');
  await probe.says('ready');
  assert.equal((await probe.ask('/realtime/v1/readyz', { socketPath: api })).status, 200);
  assert.equal((await probe.ask('/metrics', { socketPath: api })).status, 404, 'not for everybody');
  const client = new Client(new WebSocket(`ws+unix:${api}:/websocket?apikey=${ANON}`));
  await client.opened;
  const metrics = (await probe.ask('/metrics', { socketPath })).text;
  assert.match(metrics, /^probe_up 1$/m);
  assert.match(metrics, /^dealflow_realtime_connections 1$/m);
  for (const [, name] of metrics.matchAll(/^(dealflow_\w+) /gm)) assert.match(metrics, new RegExp(`^# TYPE ${name} (gauge|counter)$`, 'm'));
  const head = await probe.ask('/metrics', { socketPath, method: 'HEAD' });
  assert.deepEqual([head.status, head.text], [200, '']);
  assert.ok(Number(head.headers['content-length']) > 100);
  for (const where of ['/websocket', '/api/broadcast']) assert.equal((await probe.ask(where, { socketPath })).status, 404);
  client.ws.close();
});

test('keys that were withdrawn let nobody in any more', async (t) => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'df-rt-')), 'env');
  fs.writeFileSync(file, `API_KEYS=${ANON}=anon,sb_secret_for_tests=service_role\n`);
  const probe = await Probe.start({ DEALFLOW_ENV_FILE: file });
  t.after(async () => {
    await probe.stop();
    fs.rmSync(path.dirname(file), { recursive: true });
  });
  const before = await probe.socket('apikey=sb_secret_for_tests').opened;
  fs.writeFileSync(file, `API_KEYS=${ANON}=anon\n`);
  probe.tell('keys');
  await probe.says('keys');
  assert.equal((await probe.socket('apikey=sb_secret_for_tests').refused).status, 401);
  assert.equal((await before.claims()).role, 'service_role', 'who is in stays in');
});

test('the end sends everybody away with 1012, spread over time', async () => {
  const probe = await Probe.start({ DRAIN_MS: '1500' });
  const clients = await Promise.all(Array.from({ length: 40 }, () => probe.socket().opened));
  const deaf = await probe.socket().opened;
  deaf.ws._socket.pause();
  probe.tell('stop');
  const began = Date.now();
  const ends = await Promise.all(clients.map(async (client) => {
    const { code, reason } = await within(10_000, 'a close', client.closed);
    return { code, reason, ms: Date.now() - began };
  }));
  for (const { code, reason } of ends) assert.deepEqual([code, reason], [1012, 'service restart']);
  const times = ends.map(({ ms }) => ms).sort((a, b) => a - b);
  assert.ok(times[30] - times[9] > 250, `half of them within ${times[30] - times[9]} ms`);
  assert.equal(await within(10_000, 'the end', probe.ended), 0, probe.log.slice(-3000));
  assert.ok(Date.now() - began < 8000, 'one that does not answer does not hold it up');
  deaf.ws.terminate();
  assert.equal(await new Promise((done) => { net.connect(probe.port, '127.0.0.1').on('error', (e) => done(e.code)).on('connect', () => done('open')); }), 'ECONNREFUSED');
});

test('what is queued goes out before the close', async () => {
  const probe = await common();
  const client = await probe.socket().opened;
  client.ws.send('x'.repeat(500_000));
  assert.equal((await client.next()).length, 500_000);
  probe.tell('send 400000\nsend 20\nclose 4321');
  const end = await within(8000, 'the close', client.closed);
  assert.deepEqual([end.code, end.reason], [4321, 'as asked']);
  assert.deepEqual(client.messages.map((text) => text.length), [400_000, 20]);
});

test('five hundred clients read 128 messages a second', { skip: !isFast && 'times under a sanitizer say nothing' }, async (t) => {
  const probe = await Probe.start({ LOG_LEVEL: 'info' });
  t.after(() => probe.stop());
  const clients = await Promise.all(Array.from({ length: 500 }, () => probe.socket().opened));
  let got = 0;
  for (const client of clients) client.onMessage = () => { got++; };
  const kb = probe.rssKb();
  probe.tell('pace 128 128 500');
  await until('64,000 messages', () => got === 64_000, { timeoutMs: 20_000 });
  assert.ok(probe.rssKb() - kb < 20_000, `${kb} -> ${probe.rssKb()} kB`);
});

// --- the program ---------------------------------------------------------------------------------

const program = path.join(bin, 'dealflow-realtime');
const settings = { PATH: process.env.PATH, LC_ALL: 'C', JWT_SECRET, DATABASE_URL: 'host=/nowhere connect_timeout=2' };

test('the program explains itself and refuses what it does not know', () => {
  const run = (args, env = settings) => spawnSync(program, args, { env, encoding: 'utf8', timeout: 20_000 });
  const help = run(['--help']);
  assert.equal(help.status, 0);
  assert.match(help.stdout, /^usage: dealflow-realtime/);
  assert.match(help.stdout, /REALTIME_LISTEN/);
  assert.match(run(['--version']).stdout, /^dealflow-realtime \d+\.\d+\.\d+ \(\w+\)\n$/);
  assert.match(run(['--print-settings']).stdout, /^#REALTIME_IDLE_MS=60000$/m);
  const check = run(['--check']);
  assert.equal(check.status, 0);
  assert.match(check.stdout, /^JWT_SECRET=\(set\)$/m);
  assert.match(check.stdout, /^DATABASE_URL=\(set\)$/m);
  assert.ok(!check.stdout.includes(JWT_SECRET));
  for (const args of [['--chek'], ['--check', 'x'], ['x']]) assert.equal(run(args).status, 64);
  const wrong = [
    [{}, /DATABASE_URL is not set/],
    [{ DATABASE_URL: 'x' }, /nobody could connect/],
    [{ ...settings, API_KEYS: 'x' }, /API_KEYS: entry 1/],
    [{ ...settings, REALTIME_LISTEN: 'nowhere' }, /REALTIME_LISTEN: nowhere: use/],
    [{ ...settings, REALTIME_LISTEN: '192.0.2.1:4000' }, /REALTIME_LISTEN: cannot listen on 192\.0\.2\.1:4000/],
    [{ ...settings, REALTIME_LISTEN: '127.0.0.1:0', METRICS_LISTEN: '/nowhere/x' }, /METRICS_LISTEN: cannot listen/],
  ];
  for (const [env, why] of wrong) {
    const { status, stderr } = run([], env);
    assert.equal(status, 78, String(why));
    assert.match(stderr, why);
  }
});

async function startProgram(env) {
  const child = spawn(program, { env: { ...settings, REALTIME_LISTEN: '127.0.0.1:0', REALTIME_REFUSE_DELAY_MS: '0', ...env } });
  const running = { child, log: '' };
  child.stderr.setEncoding('utf8').on('data', (text) => { running.log += text; });
  running.ended = new Promise((done) => { child.on('close', (code, signal) => done(code ?? signal)); });
  running.ended.then((code) => { running.code = code; });
  running.logs = (pattern) => until(`${pattern} in the log: ${running.log.slice(-500)}`, () => {
    const match = pattern.exec(running.log);
    if (!match && running.code !== undefined) throw Object.assign(new Error(`ended with ${running.code}: ${running.log.slice(-2000)}`), { final: true });
    return match;
  });
  running.port = Number((await running.logs(/event=started .* port=(\d+)/))[1]);
  return running;
}

test('the program lives without its database, takes new keys, and ends in order', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'df-rt-'));
  const file = path.join(dir, 'env');
  t.after(() => fs.rmSync(dir, { recursive: true }));
  fs.writeFileSync(file, `API_KEYS=${ANON}=anon\n`);
  const running = await startProgram({ DEALFLOW_ENV_FILE: file, DRAIN_MS: '300' });
  t.after(() => running.child.kill('SIGKILL'));
  const probe = Object.assign(new Probe(), { port: running.port });
  assert.equal((await probe.ask('/healthz')).status, 200);
  assert.equal((await probe.ask('/readyz')).status, 503);
  const client = await probe.socket().opened;
  client.ws.send('[null,"7","phoenix","heartbeat",{}]');
  assert.deepEqual(JSON.parse(await client.next()), [null, '7', 'phoenix', 'phx_reply', { status: 'ok', response: {} }]);

  assert.equal((await probe.socket('apikey=sb_secret_new_one').refused).status, 401);
  fs.writeFileSync(file, 'API_KEYS=sb_secret_new_one=service_role\n');
  running.child.kill('SIGHUP');
  await running.logs(/event=keys_reloaded/);
  await probe.socket('apikey=sb_secret_new_one').opened;
  assert.equal((await probe.socket().refused).status, 401);
  fs.writeFileSync(file, 'API_KEYS=wrong\n');
  running.child.kill('SIGHUP');
  await running.logs(/event=reload_failed error="API_KEYS: entry 1/);
  await probe.socket('apikey=sb_secret_new_one').opened;

  running.child.kill('SIGTERM');
  assert.equal((await within(8000, 'the close', client.closed)).code, 1012);
  assert.equal(await within(10_000, 'the end', running.ended), 0, running.log.slice(-3000));
  assert.ok(!running.log.includes('sb_secret') && !running.log.includes(JWT_SECRET));
});

test('a second signal ends the program at once', async (t) => {
  const running = await startProgram({ API_KEYS: `${ANON}=anon`, DRAIN_MS: '60000' });
  t.after(() => running.child.kill('SIGKILL'));
  await Object.assign(new Probe(), { port: running.port }).socket().opened;
  running.child.kill('SIGTERM');
  await running.logs(/event=drain_started/);
  running.child.kill('SIGINT');
  assert.equal(await within(8000, 'the end', running.ended), 1);
});
