// The daemon under test: scraper/dealflow-scraper as the build made it, on a free port, with its
// outbox, profiles and screenshots in a temporary folder. And a WebSocket client that keeps what it saw.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import WebSocket from 'ws';
import { Child } from './process.mjs';
import { allProcesses, descendants } from './proctree.mjs';
import { baseEnv, binary as functionBinary, root } from './program.mjs';
import { request } from './http.mjs';
import { freePort, until } from './wait.mjs';
import { wallMs } from './fakestream.mjs';

export { root };
// DF_SCRAPER, DF_SCRAPER_RELEASE: binaries elsewhere, for work on one part.
export const binary = path.resolve(process.env.DF_SCRAPER || path.join(path.dirname(functionBinary), 'dealflow-scraper'));
// Times, memory and CPU are promised for this build, whatever the other tests run.
export const releaseBinary = path.resolve(root, process.env.DF_SCRAPER_RELEASE || 'build/release/bin/dealflow-scraper');
export const long = process.env.DF_LONG === '1';

const sanitizerTalk = /ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer/;

export class Scraper {
  // site: a FakeSite that it may open. env: more settings; null leaves one unset.
  // program: the binary. launch: how to start it other than by itself: (binary) => [command, args, options].
  constructor({ site, env = {}, program = binary, launch = (file) => [file, []] } = {}) {
    if (!fs.existsSync(program)) {
      throw new Error(`${path.relative(root, program)} is missing: run tests/run, or build it`);
    }
    this.program = program;
    this.launch = launch;
    this.dir = fs.mkdtempSync(path.join(os.tmpdir(), 'df-scraper-'));
    fs.chmodSync(this.dir, 0o755); // Chromium may run as another user
    this.profiles = path.join(this.dir, 'profiles');
    this.screenshots = path.join(this.dir, 'screenshots');
    this.metricsSocket = path.join(this.dir, 'metrics.sock');
    for (const folder of [this.profiles, this.screenshots]) fs.mkdirSync(folder);
    this.env = {
      API_AUTH: 'off', BIND: '127.0.0.1', METRICS_LISTEN: this.metricsSocket,
      OUTBOX_PATH: path.join(this.dir, 'outbox.db'), SCRAPER_PROFILE_DIR: this.profiles,
      SCREENSHOT_DIR: this.screenshots, SCRAPER_MAX_STREAMS: '20', NAVIGATION_GAP_MS: '50',
      HOME: this.dir, TMPDIR: this.dir,
      ...site?.settings, ...env,
    };
    this.lives = [];
    this.clients = [];
  }

  static async start(options) {
    const scraper = new Scraper(options);
    try {
      return await scraper.start();
    } catch (error) {
      await scraper.stop({ unclean: true }).catch(() => {});
      throw error;
    }
  }

  get child() {
    return this.lives[this.lives.length - 1];
  }

  get pid() {
    return this.child.pid;
  }

  get url() {
    return `http://127.0.0.1:${this.env.PORT}`;
  }

  logs() {
    return this.lives.map((life) => life.text).join('');
  }

  spawn() {
    const env = { ...baseEnv, ...this.env };
    for (const name of Object.keys(env)) if (env[name] === null) delete env[name];
    const [command, args, options] = this.launch(this.program);
    this.lives.push(new Child(command, args, { env, cwd: this.dir, ...options }));
    return this.child;
  }

  async start() {
    this.env.PORT ??= String(await freePort());
    this.spawn();
    await until('the daemon to come up', async () => {
      if (!this.child.running) {
        throw Object.assign(new Error(`it ended with ${this.child.code ?? this.child.signal}`), { final: true });
      }
      return (await this.get('/health')).status === 200;
    }, { timeoutMs: 20_000 }).catch((error) => {
      throw new Error(`${error.message}\n${this.child.text.slice(-3000)}`);
    });
    return this;
  }

  // --- HTTP

  async call(method, where, body, { headers = {}, timeoutMs = 60_000 } = {}) {
    const answer = await request(this.url + where, {
      method, timeoutMs, headers: body === undefined ? headers : { 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    let json;
    try {
      json = JSON.parse(answer.body);
    } catch {
      // a picture, or a bug that the caller will assert on
    }
    return { ...answer, json };
  }

  get(where, options) {
    return this.call('GET', where, undefined, options);
  }

  // POST start-monitoring as it is: {status, json}.
  begin(body, options) {
    return this.call('POST', '/api/start-monitoring', body, options);
  }

  // Watches an address for a new session, and fails when the daemon does not. Returns the session id.
  async watch(url, { sessionId = randomUUID(), ...more } = {}) {
    const answer = await this.begin({ url, sessionId, ...more });
    assert.equal(answer.status, 200, `start-monitoring ${url}: ${answer.status} ${answer.body}`);
    assert.equal(answer.json.status, 'monitoring');
    return sessionId;
  }

  unwatch(sessionId) {
    return this.call('POST', '/api/stop-monitoring', { sessionId });
  }

  async health() {
    const answer = await this.get('/health');
    assert.equal(answer.status, 200, answer.body);
    return answer.json;
  }

  // What /health says of one session; undefined when it has none such.
  async session(sessionId) {
    return (await this.health()).sessions.find((each) => each.sessionId === sessionId);
  }

  // Waits until a session is in one of these states (and reads from `source`, when given).
  async reaches(sessionId, states, { source, timeoutMs = 20_000 } = {}) {
    const wanted = [].concat(states);
    let seen;
    await until(`session ${sessionId} to be ${wanted.join(' or ')}${source ? ` by ${source}` : ''}`, async () => {
      seen = await this.session(sessionId);
      if (seen && wanted.includes(seen.state) && (!source || seen.source === source)) return true;
      throw new Error(`it is ${JSON.stringify(seen)}`);
    }, { timeoutMs, everyMs: 25 });
    return seen;
  }

  // The value of one metric, labels as printed; undefined when it is not there.
  async metrics() {
    return (await request({ socketPath: this.metricsSocket, path: '/metrics' })).body;
  }

  async metric(name) {
    const line = (await this.metrics()).split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  // --- WebSocket

  async client(options) {
    const client = new Client(this, options);
    this.clients.push(client);
    await client.open();
    return client;
  }

  // --- processes

  browserProcesses() {
    return descendants(this.pid);
  }

  // Every process, whoever its parent is now, whose command line names our profile folder.
  strayBrowsers() {
    return allProcesses().filter((each) => {
      try {
        return each.pid !== process.pid && fs.readFileSync(`/proc/${each.pid}/cmdline`, 'utf8').includes(this.profiles);
      } catch {
        return false;
      }
    });
  }

  leftProfiles() {
    return fs.readdirSync(this.profiles);
  }

  async kill9() {
    await this.child.stop('SIGKILL');
  }

  // Ends it. A leak, a sanitizer's complaint, another exit status than 0, a process or a profile left
  // behind is a failed test. unclean: the test broke it in its own way; only complaints count.
  async stop({ unclean = false } = {}) {
    for (const client of this.clients) client.close();
    const problems = [];
    if (this.child) {
      const ended = await this.child.stop(unclean ? 'SIGKILL' : 'SIGTERM');
      if (!unclean && ended.code !== 0) {
        problems.push(`the daemon ended with ${ended.code ?? ended.signal}:\n${ended.text.slice(-4000)}`);
      }
      for (const life of this.lives) {
        const at = life.text.search(sanitizerTalk);
        if (at >= 0) problems.push(`a sanitizer complained:\n${life.text.slice(at, at + 6000)}`);
      }
      if (unclean) {
        await until('the browser to end with its daemon', () => this.strayBrowsers().length === 0).catch((error) => problems.push(error.message));
      } else {
        const stray = this.strayBrowsers();
        if (stray.length) problems.push(`browser processes left: ${stray.map((each) => `${each.pid} ${each.name}`)}`);
        const left = this.leftProfiles();
        if (left.length) problems.push(`profile folders left: ${left}`);
      }
    }
    fs.rmSync(this.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    if (problems.length) throw new Error(problems.join('\n'));
  }
}

// A WebSocket client. Every event is kept with the time it came (`at`, epoch ms with fractions).
export class Client {
  constructor(scraper, { path: where = '/ws', protocols, headers } = {}) {
    this.url = scraper.url.replace('http', 'ws') + where;
    this.protocols = protocols;
    this.options = { headers, perMessageDeflate: false };
    this.events = [];
    this.isOpen = false;
  }

  async open() {
    const socket = this.protocols ? new WebSocket(this.url, this.protocols, this.options) : new WebSocket(this.url, this.options);
    this.socket = socket;
    socket.on('message', (bytes) => {
      const at = wallMs();
      this.events.push({ ...JSON.parse(bytes), at });
    });
    socket.on('close', (code, reason) => {
      this.isOpen = false;
      this.closed = { code, reason: String(reason), at: wallMs() };
    });
    await new Promise((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    socket.on('error', () => {}); // 'close' follows and is what tests look at
    this.isOpen = true;
    await this.sees((event) => event.type === 'hello', { what: 'hello' });
  }

  // The captured chat of a session, in order: {username, message, at, messageId, ...}.
  messages(sessionId) {
    return this.events
      .filter((event) => event.type === 'new_message' && event.sessionId === sessionId)
      .map((event) => ({ ...event.message, messageId: event.messageId, captured: event.captured, at: event.at }));
  }

  of(type, sessionId) {
    return this.events.filter((event) => event.type === type && (sessionId === undefined || event.sessionId === sessionId));
  }

  states(sessionId) {
    return this.of('stream_state', sessionId).map((event) => event.state);
  }

  // Waits for an event at or after position `from` of its events.
  async sees(match, { from = 0, what = 'an event', timeoutMs = 15_000 } = {}) {
    return until(`${what} on the WebSocket`, () => {
      for (let i = from; i < this.events.length; i++) if (match(this.events[i])) return this.events[i];
      if (this.closed) throw Object.assign(new Error(`it was closed: ${JSON.stringify(this.closed)}`), { final: true });
      return undefined;
    }, { timeoutMs, everyMs: 5 });
  }

  async seesState(sessionId, states, options = {}) {
    const wanted = [].concat(states);
    return this.sees((event) => event.type === 'stream_state' && event.sessionId === sessionId && wanted.includes(event.state),
      { what: `state ${wanted.join(' or ')}`, ...options });
  }

  close() {
    this.socket?.terminate();
  }
}
