// The scraper's outbox and its thread, without a browser: lines go in through delivery_probe, and what
// it reports as committed must end up stored, once, whatever breaks. First against an endpoint that
// misbehaves as the test says, then against the real function, nginx and Postgres.
// DF_LONG=1: outages of 30 s and longer flows.
import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { startSystem, temporaryFolder, FUNCTION, SESSION, OTHER_SESSION } from './lib/system.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { Child, run } from './lib/process.mjs';
import { baseEnv, binary, sanitized } from './lib/program.mjs';
import { sleep, until, freePort } from './lib/wait.mjs';

const long = process.env.DF_LONG === '1';
const probeFile = path.join(path.dirname(binary), 'delivery_probe');
const KEY = 'service-key';
const asRoot = process.getuid() === 0;

// --- the delivery, in a process of its own -------------------------------------------------------

class Probe {
  constructor(settings) {
    this.settings = settings;
    this.events = []; // of all lives
    this.lives = [];
  }

  async start() {
    const child = new Child(probeFile, [], { env: { ...baseEnv }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child = child;
    this.lives.push(child);
    let rest = '';
    child.handle.stdin.on('error', () => {}); // killed while we write
    child.handle.stdout.on('data', (piece) => {
      const lines = (rest + piece).split('\n');
      rest = lines.pop();
      for (const line of lines) this.events.push(JSON.parse(line));
    });
    const before = this.events.length;
    this.tell({ start: this.settings });
    const first = await until('the probe to start', () => this.events[before] ?? (child.running ? undefined : { event: 'ended' }));
    if (first.event !== 'started') throw Object.assign(new Error(`${first.event}: ${first.message}`), { said: first });
    this.watches = first.watches;
    return this;
  }

  tell(command) {
    this.child.handle.stdin.write(`${JSON.stringify(command)}\n`);
  }

  lines(...lines) {
    this.tell({ lines });
  }

  all(event) {
    return this.events.filter((each) => each.event === event);
  }

  // Waits for an event that fits, from position `from` on.
  async sees(event, fits = () => true, { from = 0, timeoutMs = 20_000 } = {}) {
    return until(`event ${event}`, () => this.events.slice(from).find((each) => each.event === event && fits(each)), { timeoutMs })
      .catch((error) => { throw new Error(`${error.message}\n${this.child.text.slice(-2000)}`); });
  }

  async stats() {
    const from = this.events.length;
    this.tell({ stats: true });
    return this.sees('stats', () => true, { from });
  }

  // Waits until the figures fit.
  async becomes(what, fits, timeoutMs = 30_000) {
    let last;
    return until(what, async () => {
      last = await this.stats();
      return fits(last) && last;
    }, { timeoutMs, everyMs: 30 }).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify(last)}`);
    });
  }

  delivered(n) {
    return this.becomes(`${n} deliveries`, (s) => s.delivered >= n && s.pending === 0);
  }

  async kill() {
    await this.child.stop('SIGKILL');
  }

  async stop(drainMs = 2000) {
    if (!this.child?.running) return;
    this.tell({ stop: drainMs });
    await this.child.ended;
    this.check();
    assert.equal(this.child.code, 0, this.child.text.slice(-3000));
  }

  // No sanitizer may have complained, in any life.
  check() {
    for (const life of this.lives) assert.doesNotMatch(life.text, /Sanitizer|runtime error:/);
  }
}

// --- an endpoint that does as it is told ---------------------------------------------------------

class Endpoint {
  constructor() {
    this.requests = []; // {at, method, url, headers, body, json, status}
    this.answer = () => 200;
    this.open = 0;
    this.openMax = 0;
  }

  async start() {
    this.port ??= await freePort();
    this.server = http.createServer((request, response) => {
      this.openMax = Math.max(this.openMax, ++this.open);
      response.on('close', () => { this.open--; });
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', async () => {
        const body = Buffer.concat(pieces).toString();
        const seen = { at: performance.now(), method: request.method, url: request.url, headers: request.headers, body };
        if (body) seen.json = JSON.parse(body);
        this.requests.push(seen);
        const said = await this.answer(seen, this.requests.length);
        if (said === 'drop') { request.socket.destroy(); return; }
        const { status = 200, headers = {}, text = '{"success":true,"analyzed":false}' } = typeof said === 'number' ? { status: said } : said;
        seen.status = status;
        response.writeHead(status, { 'content-type': 'application/json', ...headers });
        response.end(text);
      });
    });
    await new Promise((done) => { this.server.listen(this.port, '127.0.0.1', done); });
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async stop() {
    if (!this.server) return;
    const closed = new Promise((done) => { this.server.close(done); });
    this.server.closeAllConnections();
    await closed;
    this.server = undefined;
  }

  texts(status) {
    return this.requests.filter((each) => each.json && (status === undefined || each.status === status)).map((each) => each.json.message);
  }
}

// Runs `what` with an endpoint and a delivery that posts to it; ends both.
async function withEndpoint(what, settings = {}) {
  const dir = temporaryFolder('delivery');
  const endpoint = await new Endpoint().start();
  const probe = new Probe({
    outbox_path: path.join(dir, 'outbox.db'), supabase_url: endpoint.url, service_key: KEY, ...settings,
  });
  try {
    await probe.start();
    await what(probe, endpoint, dir);
    await probe.stop();
  } finally {
    await probe.kill();
    await endpoint.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
}

const line = (text, more = {}) => ({ session: SESSION, username: 'buyer.1', text, ...more });
const lines = (n, more = {}, prefix = 'line') => Array.from({ length: n }, (_, i) => line(`${prefix} ${i}`, more));

// Asks the file itself; the probe must have ended.
async function inFile(file, sql) {
  const { code, stdout, text } = await run('sqlite3', ['-readonly', file, sql]);
  assert.equal(code, 0, text);
  return stdout.trim();
}

describe('answers of the function', () => {
  test('a line is posted as the contract says, and told before', async () => withEndpoint(async (probe, endpoint) => {
    probe.lines(line('I\'ll "take" it 👋\u0001', { username: 'dave.thrifts', id: 'f1' }));
    const told = await probe.sees('committed');
    await probe.delivered(1);
    const [post] = endpoint.requests;
    assert.equal(post.method, 'POST');
    assert.equal(post.url, FUNCTION);
    assert.equal(post.headers.authorization, `Bearer ${KEY}`);
    assert.equal(post.headers.apikey, KEY);
    assert.equal(post.headers['content-type'], 'application/json');
    assert.equal(post.headers.expect, undefined);
    assert.deepEqual(post.json, {
      message: 'I\'ll "take" it 👋\u0001', username: 'dave.thrifts', streamSessionId: SESSION,
      platform: 'whatnot', messageId: told.id,
    });
    assert.equal(endpoint.requests.length, 1);
  }));

  test('lines of a session arrive in order, over kept connections', async () => withEndpoint(async (probe, endpoint) => {
    const sockets = new Set();
    endpoint.server.on('connection', (socket) => sockets.add(socket));
    probe.lines(...lines(200));
    await probe.delivered(200);
    assert.deepEqual(endpoint.texts(), lines(200).map((each) => each.text));
    assert.equal(endpoint.openMax, 1);
    assert.equal(sockets.size, 1);
  }));

  test('what is not to be delivered is kept and never posted', async () => withEndpoint(async (probe, endpoint) => {
    probe.lines(line('joined', { deliver: false }), line('mine'), line('x', { deliver: false, session: 'no-uuid' }));
    await probe.delivered(1);
    await until('three committed', () => probe.all('committed').length === 3);
    assert.deepEqual(endpoint.texts(), ['mine']);
  }));

  for (const status of [400, 409, 413]) {
    test(`${status}: the line goes to the dead letters, is not tried again, the next ones pass`, async () => withEndpoint(async (probe, endpoint) => {
      endpoint.answer = ({ json }) => (json.message === 'line 1' ? status : 200);
      probe.lines(...lines(4));
      const stats = await probe.becomes('three delivered', (s) => s.delivered === 3 && s.pending === 0);
      assert.equal(stats.dead, 1);
      assert.deepEqual(endpoint.texts(), ['line 0', 'line 1', 'line 2', 'line 3']);
      await probe.stop();
      assert.equal(await inFile(probe.settings.outbox_path, 'select status, text from dead_letter'), `${status}|line 1`);
      assert.doesNotMatch(probe.child.text.replace(/\{.*\}/g, ''), /line 1/, 'no chat text in the log');
    }));
  }

  for (const status of [408, 429, 500, 502, 503, 504, 'drop']) {
    test(`${status}: tried again under the same id, order kept`, async () => withEndpoint(async (probe, endpoint) => {
      endpoint.answer = (_, n) => (n === 2 || n === 3 ? status : 200);
      probe.lines(...lines(5));
      const stats = await probe.delivered(5);
      // libcurl itself sends once more when a kept connection breaks before the answer.
      assert.ok(stats.retried >= (status === 'drop' ? 1 : 2));
      assert.deepEqual(endpoint.texts(200), lines(5).map((each) => each.text));
      const ids = endpoint.requests.filter((each) => each.json.message === 'line 1').map((each) => each.json.messageId);
      assert.ok(ids.length >= 2);
      assert.equal(new Set(ids).size, 1);
    }));
  }

  for (const [name, value] of [['seconds', () => '2'], ['a date', () => new Date(Date.now() + 3000).toUTCString()]]) {
    test(`Retry-After in ${name} is respected`, async () => withEndpoint(async (probe, endpoint) => {
      endpoint.answer = (_, n) => (n === 1 ? { status: 429, headers: { 'retry-after': value() } } : 200);
      probe.lines(...lines(3), ...lines(3, { session: OTHER_SESSION }));
      await probe.delivered(6);
      // What was under way already does not count.
      const waited = endpoint.requests.slice(2).find((each) => each.status === 200).at - endpoint.requests[0].at;
      assert.ok(waited >= 1900 && waited < 5000, `waited ${Math.round(waited)} ms`);
    }));
  }

  for (const status of [403, 404, 405]) {
    test(`${status}: the session is parked with an alarm, others go on`, async () => withEndpoint(async (probe, endpoint) => {
      endpoint.answer = ({ json }) => (json.streamSessionId === SESSION ? status : 200);
      probe.lines(...lines(3), ...lines(3, { session: OTHER_SESSION }, 'other'));
      const stats = await probe.becomes('the others delivered', (s) => s.delivered === 3 && s.parked === 3);
      assert.match(stats.alarm, new RegExp(`refuses session ${SESSION} .status ${status}`));
      await probe.sees('alarm', (each) => each.text === stats.alarm);
      assert.deepEqual(endpoint.texts(status), ['line 0'], 'asked once, not for each line');
      // A restart asks anew; now the session is known.
      endpoint.answer = () => 200;
      await probe.stop();
      await probe.start();
      await probe.delivered(3);
      assert.equal((await probe.stats()).alarm, '');
      assert.deepEqual(endpoint.texts(200).filter((text) => text.startsWith('line')), ['line 0', 'line 1', 'line 2']);
    }));
  }

  for (const [status, hint] of [[401, /SUPABASE_SERVICE_ROLE_KEY/], [302, /SUPABASE_URL/], [402, /credit/]]) {
    test(`${status}: everything is parked with an alarm, nothing is lost`, async () => withEndpoint(async (probe, endpoint) => {
      endpoint.answer = () => ({ status, headers: status === 302 ? { location: 'http://127.0.0.1:9/' } : {} });
      probe.lines(...lines(3), ...lines(3, { session: OTHER_SESSION }));
      const stats = await probe.becomes('all parked', (s) => s.parked === 6);
      assert.match(stats.alarm, hint);
      assert.ok(endpoint.requests.length <= 2, 'one of each session at most');
      endpoint.answer = () => 200;
      await probe.stop();
      await probe.start();
      await probe.delivered(6);
    }));
  }

  test('one line that always fails does not hold up other sessions', async () => withEndpoint(async (probe, endpoint) => {
    endpoint.answer = ({ json }) => (json.message === 'bad' ? 502 : 200);
    probe.lines(line('bad'), ...lines(3));
    probe.tell({ quiet: true });
    probe.tell({ flow: { sessions: [OTHER_SESSION], per_second: 20, count: 60, text: 'other' } });
    // Its own session goes on as well, once it has failed often enough while others passed.
    const stats = await probe.becomes('all but one', (s) => s.delivered === 63 && s.pending === 1);
    assert.equal(stats.dead, 0);
    endpoint.answer = () => 200;
    await probe.delivered(64);
  }));

  test('a slow function gets several at once, within the limits, and every session its turn', async () => withEndpoint(async (probe, endpoint) => {
    endpoint.answer = async () => { await sleep(100); return 200; };
    probe.lines(...lines(120));
    await until('a backlog under way', () => endpoint.requests.length > 5);
    const at = endpoint.requests.length;
    probe.lines(...lines(3, { session: OTHER_SESSION }, 'other'));
    await probe.delivered(123);
    assert.ok(endpoint.openMax > 1 && endpoint.openMax <= 4 + 1, `${endpoint.openMax} at once`);
    const others = endpoint.texts().map((text, i) => [text, i]).filter(([text]) => text.startsWith('other')).map(([, i]) => i);
    assert.ok(others[0] - at < 12 && others[2] - at < 36, `served at ${others} from ${at} on`);
    assert.deepEqual(endpoint.texts().filter((text) => text.startsWith('other')), ['other 0', 'other 1', 'other 2']);
  }));

  test('an answer without end is cut, its status counts', async () => withEndpoint(async (probe, endpoint) => {
    endpoint.answer = () => ({ status: 200, text: 'x'.repeat(1 << 20) });
    probe.lines(...lines(3));
    await probe.delivered(3);
    assert.equal(endpoint.requests.length, 3);
  }));
});

describe('the endpoint away', () => {
  const seconds = long ? 60 : 5;
  test(`down for ${seconds} s at 5/s: asked by one post at a time, then all in order, each once`, async (t) => withEndpoint(async (probe, endpoint) => {
    const others = Array.from({ length: 5 }, () => randomUUID());
    probe.lines(...lines(1));
    await probe.delivered(1);
    await endpoint.stop();
    probe.tell({ flow: { session: SESSION, per_second: 5, count: 5 * seconds, text: 'flow' } });
    for (const session of others) probe.lines(line('other', { session }));
    await probe.sees('flow', () => true, { timeoutMs: (seconds + 20) * 1000 });
    const before = await probe.stats();
    assert.equal(before.pending, 5 * seconds + 5);
    // One post every so often, however many wait.
    assert.ok(before.retried < 20 + seconds / 2, `${before.retried} tries`);
    const moment = performance.now();
    await endpoint.start();
    await probe.delivered(1 + 5 * seconds + 5);
    const took = performance.now() - moment;
    t.diagnostic(`drained ${5 * seconds + 5} lines ${Math.round(took)} ms after it was back, ${before.retried} tries while down`);
    assert.ok(took < 1000 * (2 + seconds / 3), `${Math.round(took)} ms`);
    assert.deepEqual(endpoint.texts().filter((text) => text.startsWith('flow')), Array.from({ length: 5 * seconds }, (_, i) => `flow ${i}`));
    assert.equal(new Set(endpoint.requests.map((each) => each.json.messageId)).size, endpoint.requests.length);
  }));

  test('an alarm after ten seconds, over with the first answer', async () => withEndpoint(async (probe, endpoint) => {
    await endpoint.stop();
    probe.lines(...lines(2));
    await probe.sees('alarm', (each) => /does not take lines/.test(each.text), { timeoutMs: 15_000 });
    await endpoint.start();
    await probe.delivered(2);
    await probe.sees('alarm', (each) => each.text === '');
  }));

  test('without address or key lines are kept, with an alarm', async () => withEndpoint(async (probe, endpoint) => {
    await probe.stop();
    const { service_key: key, ...unset } = probe.settings;
    probe.settings = unset;
    await probe.start();
    probe.lines(...lines(5));
    await probe.becomes('kept', (s) => s.pending === 5 && /not set/.test(s.alarm));
    await probe.stop();
    probe.settings = { ...unset, service_key: key };
    await probe.start();
    await probe.delivered(5);
    assert.deepEqual(endpoint.texts(), lines(5).map((each) => each.text));
  }));

  test('an address or key that cannot be one stops the start', async () => withEndpoint(async (probe) => {
    await probe.stop();
    for (const bad of [{ supabase_url: 'ftp://x' }, { supabase_url: 'http://a b' }, { service_key: 'a\nX-Evil: 1' }]) {
      const other = new Probe({ ...probe.settings, ...bad });
      await assert.rejects(other.start(), (error) => error.said.code === 'INVALID_INPUT');
      await other.child.ended;
      other.check();
    }
  }));

  test('a stop drains what can be delivered, and does not wait for an endpoint that is away', async () => withEndpoint(async (probe, endpoint) => {
    endpoint.answer = async () => { await sleep(20); return 200; };
    probe.lines(...lines(20));
    await probe.sees('committed');
    await probe.stop(5000);
    assert.equal(endpoint.texts(200).length, 20);
    await endpoint.stop();
    await probe.start();
    probe.lines(...lines(3));
    await probe.becomes('a try', (s) => s.retried > 0);
    const began = performance.now();
    await probe.stop(10_000);
    assert.ok(performance.now() - began < 3000);
  }));
});

describe('the outbox', () => {
  test('kill -9 in mid flight: nothing told is lost, nothing new under an old id', async () => withEndpoint(async (probe, endpoint) => {
    endpoint.answer = async () => { await sleep(2); return 200; };
    for (let life = 0; life < 4; life++) {
      const from = probe.events.length;
      probe.tell({ flow: { sessions: [SESSION, OTHER_SESSION], per_second: 400, count: 100_000, text: `life ${life}:` } });
      await until('a hundred told', () => probe.events.slice(from).filter((each) => each.event === 'committed').length > 100);
      await probe.kill();
      await probe.start();
    }
    await probe.becomes('all delivered', (s) => s.pending === 0);
    const told = probe.all('committed');
    const taken = new Map();
    for (const { json } of endpoint.requests) taken.set(json.messageId, (taken.get(json.messageId) ?? new Set()).add(json.message));
    for (const { id, text } of told) assert.deepEqual([...(taken.get(id) ?? [])], [text]);
    for (const texts of taken.values()) assert.equal(texts.size, 1);
    const all = [...taken.values()].map(([text]) => text);
    assert.equal(new Set(all).size, all.length, 'no text under two ids');
  }));

  test('a restart knows identities, counters, watches and the tail', async () => withEndpoint(async (probe) => {
    assert.deepEqual(probe.watches, []);
    probe.tell({ watch: { session: SESSION, url: 'https://x/live/1', request: '{"autoDiscover":true}' } });
    probe.tell({ watch: { session: 'gone', url: 'https://x/live/2' } });
    probe.lines(line('mine', { id: 'f1', buyer: true, value_cents: 4500 }), line('W'), line('W'));
    probe.tell({ unwatch: 'gone' });
    await probe.delivered(3);
    const [first] = probe.all('committed');
    await probe.kill();
    await probe.start();
    assert.deepEqual(probe.watches, [{
      session: SESSION, url: 'https://x/live/1', request: '{"autoDiscover":true}', messages: 3, buyers: 1, value_cents: 4500,
    }]);
    probe.lines(line('mine', { id: 'f1' }));
    const again = await probe.sees('duplicate');
    assert.equal(again.id, first.id);
    probe.tell({ history: SESSION });
    await probe.sees('history', (each) => each.is_last);
    assert.deepEqual(probe.all('history').map((each) => [each.text, each.id, each.is_last]),
      [['mine', 'f1', false], ['W', '', false], ['W', '', false], [undefined, undefined, true]]);
    probe.tell({ history: 'never seen' });
    await until('the end of an empty history', () => probe.all('history').filter((each) => each.is_last).length === 2);
  }));

  test('only so much is kept of what is delivered', async () => withEndpoint(async (probe) => {
    probe.tell({ quiet: true });
    for (let round = 0; round < 4; round++) {
      probe.tell({ burst: { session: SESSION, count: 700, text: `round ${round}` } });
      await probe.delivered(700 * (round + 1));
    }
    // It is trimmed with the next save after so many.
    await sleep(1500);
    await probe.stop();
    const kept = Number(await inFile(probe.settings.outbox_path, 'select count(*) from line'));
    assert.ok(kept >= 200 && kept < 1000, `${kept} lines kept of 2800`);
    assert.equal(await inFile(probe.settings.outbox_path, 'select count(*) <= 1500 from identity'), '1');
  }, { dedup_max: 500 }));

  test('a second daemon on the same file is refused and harms nothing', async () => withEndpoint(async (probe) => {
    const second = new Probe(probe.settings);
    await assert.rejects(second.start(), (error) => error.said.code === 'UNAVAILABLE' && /in use/.test(error.said.message));
    second.check();
    probe.lines(...lines(3));
    await probe.delivered(3);
  }));

  test('OUTBOX_MAX_ROWS: the rest is held, told as held, and committed when there is room', async () => withEndpoint(async (probe, endpoint) => {
    await endpoint.stop();
    probe.lines(...lines(80));
    const full = await probe.becomes('the bound', (s) => s.captured === 50);
    assert.equal(full.held, 30);
    assert.equal(full.claiming, false);
    assert.match(full.alarm, /OUTBOX_MAX_ROWS/);
    assert.equal(probe.all('held').length, 30);
    await endpoint.start();
    const after = await probe.becomes('all delivered', (s) => s.delivered === 80);
    assert.equal(after.held, 0);
    await probe.becomes('claiming again', (s) => s.claiming && s.alarm === '');
    assert.deepEqual(probe.all('committed').map((each) => each.text), lines(80).map((each) => each.text));
    assert.deepEqual(endpoint.texts(), lines(80).map((each) => each.text));
  }, { max_rows: 50 }));

  test('memory for held lines is bounded too: the newest are dropped, with an alarm', async () => withEndpoint(async (probe, endpoint) => {
    await endpoint.stop();
    probe.tell({ quiet: true });
    probe.lines(...lines(10_100));
    const full = await probe.becomes('a loss', (s) => s.dropped > 0);
    assert.equal(full.captured, 50);
    assert.equal(full.held, 10_000);
    assert.equal(full.dropped, 50);
    assert.match(full.alarm, /LINES ARE LOST/);
    assert.deepEqual(probe.all('dropped').map((each) => each.text), lines(10_100).slice(10_050).map((each) => each.text));
    await endpoint.start();
    await probe.becomes('the others delivered', (s) => s.delivered === 10_050, 60_000);
  }, { max_rows: 50 }));

  test('OUTBOX_MAX_MB bounds the file', async () => withEndpoint(async (probe, endpoint) => {
    await endpoint.stop();
    const text = 'x'.repeat(3000);
    for (let i = 0; i < 8; i++) probe.lines(...Array.from({ length: 100 }, () => line(text)));
    const full = await probe.becomes('the bound', (s) => s.held > 0);
    assert.match(full.alarm, /OUTBOX_MAX_MB/);
    await probe.becomes('all judged', (s) => s.held + s.captured === 800);
    const size = fs.statSync(probe.settings.outbox_path).size + fs.statSync(`${probe.settings.outbox_path}-wal`).size;
    assert.ok(size < 8 << 20, `${size} bytes`);
    await endpoint.start();
    await probe.becomes('all delivered', (s) => s.delivered === 800 && s.held === 0, 60_000);
  }, { max_mb: 1 }));

  test('lines over OUTBOX_MAX_AGE_H go to the dead letters, with an alarm', async () => withEndpoint(async (probe, endpoint) => {
    await endpoint.stop();
    const old = Date.now() - 3 * 3_600_000;
    probe.lines(line('old 1', { captured_ms: old }), line('old 2', { captured_ms: old }), line('new'));
    await until('three committed', () => probe.all('committed').length === 3);
    await probe.stop(0);
    await probe.start(); // the first look at ages is at the start
    const stats = await probe.becomes('two dead', (s) => s.dead === 2);
    assert.equal(stats.pending, 1);
    assert.match(stats.alarm, /OUTBOX_MAX_AGE_H/);
    await endpoint.start();
    await probe.delivered(1);
    assert.deepEqual(endpoint.texts(), ['new']);
    await probe.stop();
    assert.equal(await inFile(probe.settings.outbox_path, 'select group_concat(text) from dead_letter'), 'old 1,old 2');
  }, { max_age_h: 1 }));

  test('a full disk: held; delivering makes room by itself, and all is committed in order', { skip: !asRoot && 'mounts a tmpfs: needs root' }, async () => {
    const dir = temporaryFolder('full');
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=14m', 'none', dir]);
    assert.equal(mounted.code, 0, mounted.text);
    try {
      await withEndpoint(async (probe, endpoint) => {
        await endpoint.stop();
        const text = 'y'.repeat(2000);
        const count = 3500;
        const sent = Array.from({ length: count }, (_, i) => line(`${i} ${text}`));
        for (let i = 0; i < count; i += 50) probe.lines(...sent.slice(i, i + 50));
        const full = await probe.becomes('a full disk', (s) => s.held > 0 && s.held + s.captured === count);
        assert.match(full.alarm, /no room on the disk/);
        assert.equal(full.claiming, false);
        assert.equal(full.dropped, 0);
        assert.equal(probe.all('committed').length, full.captured);
        await probe.kill(); // and what was committed survives even now; what was held does not
        await probe.start();
        await probe.becomes('the backlog', (s) => s.pending === full.captured);
        const again = sent.slice(full.captured).map((each) => ({ ...each }));
        for (let i = 0; i < again.length; i += 50) probe.lines(...again.slice(i, i + 50));
        await probe.becomes('a full disk again', (s) => s.held + s.captured === again.length && s.held > 0);
        await endpoint.start();
        await probe.becomes('all delivered', (s) => s.delivered === count && s.held === 0 && s.claiming, 60_000);
        const numbers = Array.from({ length: count }, (_, i) => i);
        assert.deepEqual(probe.all('committed').map((each) => parseInt(each.text, 10)), numbers);
        assert.deepEqual(endpoint.texts(200).map((each) => parseInt(each, 10)), numbers);
      }, { outbox_path: path.join(dir, 'outbox.db'), per_stream: 1 });
    } finally {
      await run('umount', [dir]);
      fs.rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('who owns a session', () => {
  test('is asked with the caller\'s own token', async () => withEndpoint(async (probe, endpoint) => {
    const ask = async (token, session, jwt) => {
      const from = probe.events.length;
      probe.tell({ owner: { token, session, jwt } });
      const { is_owner: isOwner, status } = await probe.sees('owner', (each) => each.token === token, { from });
      return [isOwner, status];
    };
    endpoint.answer = () => ({ text: `[{"id":"${SESSION}"}]` });
    assert.deepEqual(await ask(1, SESSION, 'a.b.c'), [true, 200]);
    const [asked] = endpoint.requests;
    assert.equal(asked.method, 'GET');
    assert.equal(asked.url, `/rest/v1/stream_sessions?id=eq.${SESSION}&select=id`);
    assert.equal(asked.headers.authorization, 'Bearer a.b.c');
    assert.equal(asked.headers.apikey, 'a.b.c');
    for (const [said, want] of [[{ text: '[]' }, [false, 200]], [{ text: '{"id":1}' }, [false, 200]], [{ text: '[oops' }, [false, 200]],
      [404, [false, 404]], [{ status: 401, text: '[{"id":1}]' }, [false, 401]], ['drop', [false, 0]]]) {
      endpoint.answer = () => said;
      assert.deepEqual(await ask(2, SESSION, 'a.b.c'), want);
    }
    const count = endpoint.requests.length;
    endpoint.answer = () => ({ text: '[{}]' });
    assert.deepEqual(await ask(3, 'x&id=neq.1', 'a.b.c'), [false, 0]);
    assert.deepEqual(await ask(4, SESSION, 'a\r\nX-Evil: 1'), [false, 0]);
    assert.deepEqual(await ask(5, SESSION, ''), [false, 0]);
    assert.equal(endpoint.requests.length, count);
    // Many at once: each gets its own answer.
    const many = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(100 + i, SESSION, 'a.b.c')));
    assert.ok(many.every(([isOwner]) => isOwner));
    assert.ok(endpoint.openMax <= 8);
  }));
});

// --- the real thing ------------------------------------------------------------------------------

// Every committed line is there once, under its id, and nothing else; `ordered`: also in order.
async function equal(system, probe, { ordered }) {
  const { rows } = await system.db.query('select id, message, stream_session_id as session from public.chat_messages order by created_at, id');
  const told = probe.all('committed');
  const byId = new Map(told.map((each) => [each.id, each]));
  assert.equal(byId.size, told.length, 'each id told once');
  assert.equal(rows.length, told.length, 'stored what was told');
  for (const row of rows) {
    assert.equal(byId.get(row.id)?.text, row.message);
    assert.equal(byId.get(row.id)?.session, row.session);
  }
  if (!ordered) return;
  for (const session of [SESSION, OTHER_SESSION]) {
    assert.deepEqual(rows.filter((row) => row.session === session).map((row) => row.message),
      told.filter((each) => each.session === session).map((each) => each.text));
  }
}

async function withSystem(what, options = {}) {
  const system = await startSystem({ env: { ANALYZER: 'local' }, ...options });
  const probe = new Probe({
    outbox_path: path.join(system.dir, 'outbox.db'), supabase_url: system.nginx.url, service_key: await system.token(),
  });
  try {
    await probe.start();
    await what(probe, system);
    await probe.stop();
  } finally {
    await probe.kill();
    await system.stop();
  }
}

describe('with the real function', () => {
  const outage = long ? 30_000 : 2_500;

  test('function, nginx and Postgres away in turn at 20/s, and three kills with signal 9', async (t) => withSystem(async (probe, system) => {
    const flow = () => probe.tell({ flow: { sessions: [SESSION, OTHER_SESSION], per_second: 20, count: 1_000_000, text: `part ${probe.lives.length}:` } });
    const parts = {
      function: [() => system.program.child.stop('SIGKILL'), () => system.program.start()],
      nginx: [() => system.nginx.stop(), () => system.nginx.start()],
      Postgres: [() => system.postgres.stop('immediate'), async () => { await system.postgres.start(); await system.reconnect(); }],
    };
    for (const [name, [down, up]] of Object.entries(parts)) {
      flow();
      await until('some deliveries', async () => (await probe.stats()).delivered > 10);
      await down();
      await sleep(outage / 2); // the length of the outage is what is tested
      await probe.kill();
      await probe.start();
      flow();
      await sleep(outage / 2);
      await up();
      const moment = performance.now();
      const { captured } = await probe.stats();
      await probe.becomes('the backlog to be gone', (s) => s.delivered >= captured && s.pending < 5);
      t.diagnostic(`${name}: caught up ${Math.round(performance.now() - moment)} ms after it was back`);
      await probe.stop(5000);
      await probe.start();
    }
    await probe.becomes('nothing owed', (s) => s.pending === 0);
    // A line that was under way when its process was killed was told by none and may be stored.
    const { rows } = await system.db.query('select id, message from public.chat_messages');
    const told = new Set(probe.all('committed').map((each) => each.id));
    for (const { id } of probe.all('committed')) assert.ok(rows.some((row) => row.id === id));
    const untold = rows.filter((row) => !told.has(row.id));
    assert.ok(untold.length <= 6, `${untold.length} stored that were not told`);
    assert.equal(new Set(rows.map((row) => row.message)).size, rows.length, 'nothing twice');
    t.diagnostic(`${rows.length} stored, ${told.size} told`);
  }, { postgres: await startPostgres() }));

  test('an outage in one life: stored equals told, in order', async () => withSystem(async (probe, system) => {
    probe.tell({ flow: { sessions: [SESSION, OTHER_SESSION], per_second: 50, count: 300, text: 'flow' } });
    await until('some deliveries', async () => (await probe.stats()).delivered > 20);
    await system.program.child.stop('SIGKILL');
    await until('a backlog', async () => (await probe.stats()).pending > 100);
    await system.program.start();
    await probe.sees('flow');
    await probe.delivered(300);
    await equal(system, probe, { ordered: true });
  }));

  test('a line known under another text is buried, an unknown session parked', async () => withSystem(async (probe, system) => {
    const unknown = randomUUID();
    probe.lines(line('mine'), line('lost', { session: unknown }));
    const stats = await probe.becomes('one of two', (s) => s.delivered === 1 && s.parked === 1);
    assert.match(stats.alarm, new RegExp(unknown));
    await system.db.query('insert into public.stream_sessions (id, user_id, platform) select $1, user_id, platform from public.stream_sessions where id = $2', [unknown, SESSION]);
    await probe.stop();
    await probe.start();
    await probe.delivered(1);
    await equal(system, probe, { ordered: false });
  }));

  test('the wrong key: parked, and delivered with the right one', async () => withSystem(async (probe, system) => {
    await probe.stop();
    const right = probe.settings;
    probe.settings = { ...right, service_key: 'wrong' };
    await probe.start();
    probe.lines(...lines(5));
    await probe.becomes('an alarm', (s) => s.parked === 5 && /SERVICE_ROLE_KEY/.test(s.alarm));
    await probe.stop();
    probe.settings = right;
    await probe.start();
    await probe.delivered(5);
    await equal(system, probe, { ordered: true });
  }));

  test('figures: how soon a line is safe', async (t) => withSystem(async (probe) => {
    probe.tell({ quiet: true });
    for (const [rate, count] of [[20, 60], [100, 300]]) {
      const from = probe.events.length;
      probe.tell({ flow: { sessions: [SESSION, OTHER_SESSION], per_second: rate, count, text: `rate ${rate}` } });
      const f = await probe.sees('flow', () => true, { from });
      t.diagnostic(`${rate}/s: p50 ${Math.round(f.p50_us)} us, p99 ${Math.round(f.p99_us)} us, delivery thread ${f.cpu_percent.toFixed(2)} % of a core`);
      if (!sanitized) assert.ok(f.p50_us < 2000, `p50 ${f.p50_us} us`);
    }
  }));
});
