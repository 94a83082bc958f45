// The gateway under test, realtime/dealflow-realtime, as the build made it, behind the real nginx and
// on a real Postgres; subscribers with the real client library; and a socket that speaks the protocol
// frame by frame.
//
//   const world = await startRealtime();      // Postgres, gateway, nginx; program: true: the function too
//   const client = await world.client({ user: OWNER });
//   const feed = await client.subscribe('name', [{ event, schema, table, filter }]);
//   await feed.live();                        // rows flow from here on
//   await client.settle();                    // all that was committed before has been delivered
//   feed.rows                                 // what the callbacks got
//   await world.stop();                       // fails when the gateway left a leak or a complaint
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import WebSocket from 'ws';
import { createClient } from 'supabase-js-2119';
import { binary as functionBinary, Program, root, sanitized } from './program.mjs';
import { startSystem } from './system.mjs';
import { nowSeconds, token } from './tokens.mjs';
import { accepts, freePort, until, within } from './wait.mjs';

export const long = process.env.DF_LONG === '1';
// How much slower a sanitizer makes the gateway, generously: limits in milliseconds are stretched.
export const slack = sanitized ? 5 : 1;
// DF_REALTIME: a binary elsewhere, for work on one part.
export const binary = path.resolve(
  process.env.DF_REALTIME || path.join(path.dirname(functionBinary), 'dealflow-realtime'));
export const CLIENT = '2.119.1';

if (!fs.existsSync(binary)) {
  throw new Error(`${path.relative(root, binary)} is missing: run tests/run, or build it`);
}

export const uuid = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

// --- the program --------------------------------------------------------------------------------

export class Gateway extends Program {
  constructor(dir, port, env) {
    fs.mkdirSync(dir, { recursive: true });
    super(dir, { REALTIME_LISTEN: `127.0.0.1:${port}`, FCGI_SOCKET: null, ...env }, () => [binary, []]);
    this.port = port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async up() {
    await until('the gateway to come up', async () => {
      if (!this.child.running) {
        throw Object.assign(new Error(`it ended with ${this.child.code ?? this.child.signal}`), { final: true });
      }
      return accepts(this.port);
    }, { timeoutMs: 20_000 }).catch((error) => {
      throw new Error(`${error.message}\n${this.child.text.slice(-3000)}`);
    });
  }

  // Resident memory in MiB, now.
  rss() {
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) / 1024;
  }
}

// --- the world ----------------------------------------------------------------------------------

// Tables that tests need besides the product's own. Marks tell a client that it has seen everything.
const TABLES = `
  create table public.marks (id uuid primary key default gen_random_uuid(), name text not null);
  grant select on public.marks to anon, authenticated, service_role;
  select dealflow.watch_table('public.marks')`;

// The gateway logs in as a role of its own that may only become the three others.
const ROLE = `
  do $$
  begin
    if not exists (select from pg_roles where rolname = 'dealflow_realtime') then
      create role dealflow_realtime login noinherit;
      grant anon, authenticated, service_role to dealflow_realtime;
    end if;
  end
  $$`;

class World {
  constructor(system) {
    this.system = system;
    this.gateways = [];
    this.clients = [];
    this.raws = [];
  }

  get db() {
    return this.system.db;
  }

  get gateway() {
    return this.gateways[0];
  }

  get url() {
    return this.system.nginx.url;
  }

  gatewayUrl() {
    return this.system.postgres.socketUrl('dealflow_realtime', this.system.database);
  }

  async addGateway(env, begin = true) {
    const gateway = this.makeGateway(await freePort(), env);
    if (begin) await gateway.start();
    return gateway;
  }

  makeGateway(port, env) {
    const gateway = new Gateway(path.join(this.system.dir, `realtime-${this.gateways.length}`), port, {
      DATABASE_URL: this.gatewayUrl(), JWT_SECRET: this.system.settings.JWT_SECRET, ...env,
    });
    this.gateways.push(gateway);
    return gateway;
  }

  // Cuts the gateways' connections to the database; they are allowed to come back.
  async cutDatabase() {
    const { rows } = await this.db.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where usename = 'dealflow_realtime' and datname = current_database()`);
    return rows.length;
  }

  // Runs `during` while the gateways cannot reach the database.
  async withoutDatabase(during) {
    await this.db.query('alter role dealflow_realtime nologin');
    try {
      await this.cutDatabase();
      return await during();
    } finally {
      await this.db.query('alter role dealflow_realtime login');
    }
  }

  async key(role) {
    this.keys ??= {};
    return (this.keys[role] ??= await token({ role }));
  }

  // A client of the library. role: of the key; user: signs in as (accessToken option); accessToken:
  // the callback itself; url: where, nginx unless said otherwise; realtime: more options of it.
  async client({ role = 'anon', key, user, accessToken, url = this.url, vsn = '2.0.0', realtime = {} } = {}) {
    if (user) {
      const signed = await token({ role: 'authenticated', sub: user });
      accessToken = async () => signed;
    }
    const client = new Client(this, url, key ?? (await this.key(role)), { accessToken, vsn, realtime });
    this.clients.push(client);
    // Otherwise the first join would go out before the token is known, as the library has it.
    if (accessToken) await client.supabase.realtime.setAuth();
    return client;
  }

  async raw(options = {}) {
    const raw = await Raw.open(this, options);
    this.raws.push(raw);
    return raw;
  }

  // One message into a session, by SQL; returns the row.
  async say(session, message = 'hello', more = {}) {
    const { rows } = await this.db.query(
      `insert into public.chat_messages (stream_session_id, username, message, created_at)
       values ($1, $2, $3, clock_timestamp()) returning *`, [session, more.username ?? 'viewer', message]);
    return rows[0];
  }

  async stop({ unclean = false } = {}) {
    const problems = [];
    const attempt = (what) => what.catch((error) => problems.push(error));
    await Promise.all(this.clients.map((client) => client.close()));
    for (const raw of this.raws) raw.ws.terminate();
    for (const gateway of this.gateways) {
      if (unclean) await attempt(gateway.child?.stop('SIGKILL') ?? Promise.resolve());
      else await attempt(gateway.stop());
      await attempt((async () => gateway.complaints())());
    }
    await attempt(this.system.stop({ unclean }));
    if (problems.length) throw problems[0];
  }
}

// env: settings of the gateway. program: true starts the function too, with programEnv. postgres: a
// server of the test's own, which ends with the world. sql: run before the gateway starts.
export async function startRealtime({ env = {}, program = false, programEnv = {}, postgres, sql, nginx = {} } = {}) {
  const port = await freePort();
  const system = await startSystem({
    begin: false, postgres, env: { ANALYZER: 'off', ...programEnv },
    nginx: { REALTIME_LISTEN: `127.0.0.1:${port}`, ...nginx },
  });
  const world = new World(system);
  try {
    await system.db.query(ROLE);
    await system.db.query(TABLES);
    if (sql) await system.db.query(sql);
    await world.makeGateway(port, env).start();
    if (program) await system.program.start();
    await system.nginx.start();
    system.url = system.nginx.url;
    return world;
  } catch (error) {
    await world.stop({ unclean: true }).catch(() => {});
    throw error;
  }
}

// --- the library's client -----------------------------------------------------------------------

// A WebSocket that writes down what passes: {dir: '>' or '<', text} or {.., bytes}, newest last.
function traced(trace, sockets) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      sockets.push(this);
      this.on('message', (data, isBinary) => note('<', data, isBinary));
    }

    send(data, ...rest) {
      note('>', data, typeof data !== 'string');
      super.send(data, ...rest);
    }
  };
  function note(dir, data, isBinary) {
    trace.push({ dir, at: performance.now(), ...(isBinary ? { bytes: Buffer.from(data) } : { text: String(data) }) });
  }
}

const REALTIME_FIELDS = ['join_ref', 'ref', 'topic', 'event', 'payload'];

// Either serializer's text frame as an object.
export function parseFrame(text) {
  const value = JSON.parse(text);
  if (!Array.isArray(value)) return value;
  return Object.fromEntries(REALTIME_FIELDS.map((name, i) => [name, value[i]]));
}

class Client {
  constructor(world, url, key, { accessToken, vsn, realtime }) {
    this.world = world;
    this.trace = [];
    this.sockets = [];
    this.feeds = [];
    this.supabase = createClient(url, key, {
      auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
      ...(accessToken ? { accessToken } : {}),
      realtime: { transport: traced(this.trace, this.sockets), vsn, ...realtime },
    });
  }

  // Frames that came for a topic, oldest first.
  received(topic, event) {
    return this.trace.filter((each) => each.dir === '<' && each.text).map((each) => parseFrame(each.text))
      .filter((frame) => (!topic || frame.topic === `realtime:${topic}`) && (!event || frame.event === event));
  }

  // A channel with these bindings, not yet subscribed.
  feed(name, bindings = [], config = {}) {
    const feed = new Feed(this, name, bindings, config);
    this.feeds.push(feed);
    return feed;
  }

  async subscribe(name, bindings, config) {
    const feed = this.feed(name, bindings, config);
    feed.subscribe();
    await feed.subscribed();
    return feed;
  }

  // Everything that was committed before has reached this client once a row of our own has: changes
  // come in the order of their commits.
  async settle({ timeoutMs = 30_000 } = {}) {
    if (!this.marks) {
      this.marks = await this.subscribe('marks of the test', [{ event: 'INSERT', schema: 'public', table: 'marks' }]);
      await this.marks.live();
    }
    const { rows } = await this.world.db.query("insert into public.marks (name) values ('mark') returning id");
    await this.marks.row((row) => row.id === rows[0].id, { timeoutMs });
  }

  // As a lost network does it: no close frame.
  cut() {
    for (const socket of this.sockets) socket.terminate();
  }

  async close() {
    // The library's timer of ten seconds stays when the socket is closed, and the process with it.
    const adapter = this.supabase.realtime.socketAdapter;
    if (adapter) adapter.disconnect = (done, code, reason) => Object.getPrototypeOf(adapter).disconnect.call(adapter, done, code, reason, 100);
    await within(2_000, 'leaving', this.supabase.removeAllChannels()).catch(() => {});
    this.supabase.realtime.disconnect();
    this.cut();
  }
}

// One channel with its callbacks' harvest.
class Feed {
  constructor(client, name, bindings, config) {
    this.client = client;
    this.name = name;
    this.statuses = []; // {status, error, at}
    this.systems = [];
    this.events = []; // payloads of callbacks, with `binding` set to which of them
    this.channel = client.supabase.channel(name, { config });
    this.channel.on('system', {}, (payload) => this.systems.push(payload));
    bindings.forEach((binding, i) => {
      this.channel.on('postgres_changes', binding, (payload) => {
        this.events.push({ ...payload, binding: i, at: performance.now() });
        // What an app adds to catch up: the library sends its own object anew at every join.
        if ('x_after' in binding) binding.x_after = payload.new.id;
      });
    });
    this.hasBindings = bindings.length > 0;
  }

  get rows() {
    return this.events.map((event) => event.new);
  }

  subscribe() {
    this.began = performance.now();
    this.channel.subscribe((status, error) =>
      this.statuses.push({ status, error: error?.message, at: performance.now() }));
  }

  has(status, from = 0) {
    return this.statuses.slice(from).find((each) => each.status === status);
  }

  // Resolves to {status, at, ..}. from: only statuses after that many.
  status(status, { from = 0, ...options } = {}) {
    return until(`status ${status} of ${this.name}, which has ${JSON.stringify(this.statuses.map((s) => [s.status, s.error]))}`,
      () => this.has(status, from), { everyMs: 2, ...options });
  }

  subscribed(options) {
    return this.status('SUBSCRIBED', options);
  }

  // A system message that fits.
  system(pattern, { from = 0, ...options } = {}) {
    return until(`a system message ${pattern} on ${this.name}`, () =>
      this.systems.slice(from).find((each) => pattern.test(each.message)), { everyMs: 2, ...options });
  }

  live(options) {
    return this.system(/^Subscribed to PostgreSQL$/, options);
  }

  row(fits, options) {
    return until(`a row on ${this.name}`, () => this.events.find((event) => fits(event.new, event)), { everyMs: 2, ...options });
  }
}

// Asks for an upgrade and takes any answer: {status, headers, body, ms}; 101 is closed at once.
export function knock(url, { apikey, vsn, headers = {} } = {}) {
  const query = new URLSearchParams();
  if (apikey !== undefined) query.set('apikey', apikey);
  if (vsn !== undefined) query.set('vsn', vsn);
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const call = http.request(`${url}/realtime/v1/websocket?${query}`, {
      headers: { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13',
        'sec-websocket-key': Buffer.from('sixteen bytes 16').toString('base64'), ...headers },
    });
    const done = (response, body) => resolve({ status: response.statusCode, headers: response.headers, body,
      ms: performance.now() - began });
    call.setTimeout(20_000, () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.on('upgrade', (response, socket) => {
      socket.destroy();
      done(response, '');
    });
    call.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (piece) => { body += piece; }).on('end', () => done(response, body));
    });
    call.end();
  });
}

// --- a socket of our own ------------------------------------------------------------------------

const KIND_PUSH = 3;
const KIND_BROADCAST = 4;

// A kind 4 frame as an object.
export function parseBroadcast(bytes) {
  assert.equal(bytes[0], KIND_BROADCAST, `no broadcast: ${bytes.subarray(0, 40).toString('hex')}`);
  const [, topicLen, eventLen, metaLen, encoding] = bytes;
  let at = 5;
  const take = (len) => bytes.subarray(at, (at += len)).toString('utf8');
  const topic = take(topicLen);
  const event = take(eventLen);
  const meta = take(metaLen);
  const rest = bytes.subarray(at);
  return { topic, event, meta: meta ? JSON.parse(meta) : undefined,
    payload: encoding === 1 ? JSON.parse(rest.toString('utf8')) : rest };
}

export class Raw {
  // where: base URL, the gateway itself unless said otherwise. vsn null leaves the parameter out.
  static async open(world, { url = world.gateway.url, vsn = '2.0.0', key, role = 'anon', headers, query = '', options = {} } = {}) {
    const raw = new Raw(vsn ?? '1.0.0');
    const apikey = key ?? (await world.key(role));
    const where = `${url.replace(/^http/, 'ws')}/realtime/v1/websocket?apikey=${apikey}`
      + `${vsn === null ? '' : `&vsn=${vsn}`}${query}`;
    raw.ws = new WebSocket(where, { headers, perMessageDeflate: false, ...options });
    raw.ws.on('upgrade', (response) => { raw.response = response; });
    raw.ws.on('message', (data, isBinary) => raw.receive(data, isBinary));
    raw.ws.on('error', () => {}); // closed tells
    raw.closed = new Promise((resolve) => {
      raw.ws.on('close', (code, reason) => {
        raw.isClosed = true;
        resolve({ code, reason: String(reason), at: performance.now() });
      });
    });
    await within(20_000, 'the upgrade', Promise.race([once(raw.ws, 'open'),
      raw.closed.then(({ code }) => { throw new Error(`closed with ${code} instead of opened`); })]));
    return raw;
  }

  constructor(vsn) {
    this.vsn = vsn;
    this.frames = [];
    this.broadcasts = [];
    this.ref = 0;
    this.joinRefs = new Map();
  }

  receive(data, isBinary) {
    const at = performance.now();
    if (isBinary) this.broadcasts.push({ ...parseBroadcast(data), at });
    else this.frames.push({ ...parseFrame(String(data)), at });
  }

  text({ join_ref = null, ref = null, topic, event, payload = {} }) {
    return JSON.stringify(this.vsn === '1.0.0'
      ? { topic, event, payload, ref, ...(join_ref === null ? {} : { join_ref }) }
      : [join_ref, ref, topic, event, payload]);
  }

  send(frame) {
    this.ws.send(this.text(frame));
  }

  next(what, fits, options) {
    return until(`${what} among ${this.frames.length} frames`, () => this.frames.find(fits), { everyMs: 2, ...options });
  }

  reply(ref, options) {
    return this.next(`the reply to ${ref}`, (frame) => frame.event === 'phx_reply' && frame.ref === ref, options);
  }

  // Sends with a new ref and resolves to the reply.
  ask(topic, event, payload = {}, options) {
    const ref = String(++this.ref);
    this.send({ join_ref: this.joinRefs.get(topic) ?? null, ref, topic, event, payload });
    return this.reply(ref, options);
  }

  heartbeat() {
    return this.ask('phoenix', 'heartbeat');
  }

  // Joins and resolves to the reply's payload; topic is the full one.
  async join(topic, { bindings = [], token: access, config = {}, ...more } = {}) {
    const ref = String(++this.ref);
    this.joinRefs.set(topic, ref);
    this.send({
      join_ref: ref, ref, topic, event: 'phx_join',
      payload: { config: { broadcast: { ack: false, self: false }, presence: { key: '', enabled: false },
        postgres_changes: bindings, private: false, ...config }, ...(access ? { access_token: access } : {}), ...more },
    });
    return (await this.reply(ref, { timeoutMs: 25_000 })).payload;
  }

  async joined(topic, options) {
    const payload = await this.join(topic, options);
    assert.equal(payload.status, 'ok', JSON.stringify(payload));
    if (options?.bindings?.length) await this.live(topic);
    return payload.response;
  }

  // The n-th confirmation (from 1) that rows flow.
  live(topic, n = 1) {
    return until(`${topic} to be live`, () => this.of(topic, 'system').filter((frame) =>
      frame.payload.message === 'Subscribed to PostgreSQL').length >= n, { everyMs: 2 });
  }

  of(topic, event) {
    return this.frames.filter((frame) => frame.topic === topic && frame.event === event);
  }

  changes(topic) {
    return this.of(topic, 'postgres_changes');
  }

  records(topic) {
    return this.changes(topic).map((frame) => frame.payload.data.record);
  }

  pushBinary(topic, event, payload, { isJson = !Buffer.isBuffer(payload), metadata = '' } = {}) {
    const ref = String(++this.ref);
    const parts = [this.joinRefs.get(topic) ?? '', ref, topic, event, metadata].map((part) => Buffer.from(part));
    this.ws.send(Buffer.concat([Buffer.from([KIND_PUSH, ...parts.map((part) => part.length), isJson ? 1 : 0]),
      ...parts, isJson ? Buffer.from(JSON.stringify(payload)) : payload]));
    return ref;
  }

  // As Client.settle().
  async settle(world) {
    const topic = 'realtime:marks of the test';
    if (!this.joinRefs.has(topic)) {
      await this.joined(topic, { bindings: [{ event: 'INSERT', schema: 'public', table: 'marks' }] });
    }
    const { rows } = await world.db.query("insert into public.marks (name) values ('mark') returning id");
    await until('the mark', () => this.records(topic).some((row) => row.id === rows[0].id), { everyMs: 2, timeoutMs: 30_000 });
  }
}

export { nowSeconds, root, sanitized, token };
