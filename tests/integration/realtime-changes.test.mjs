// The database side of the gateway: its reader and its answers, without sockets and channels. Driven by
// changes_probe, a small helper that takes JSON lines (realtime/changes_probe.c).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate, psql, startPostgres } from './lib/postgres.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const preset = process.env.DF_PRESET || 'debug';
const binary = path.resolve(root, process.env.DF_BUILD_DIR || `build/${preset}`, 'bin/changes_probe');

const INSERT = 1;
const ALL = 7;
const sellers = [randomUUID(), randomUUID()];
const sessions = [randomUUID(), randomUUID()];
const service = JSON.stringify({ role: 'service_role' });
const anon = JSON.stringify({ role: 'anon' });
const seller = (n) => JSON.stringify({ role: 'authenticated', sub: sellers[n] });
const bySession = (id) => JSON.stringify([{ column: 'stream_session_id', op: 'eq', not: false, value: id }]);
const where = (column, op, value) => JSON.stringify([{ column, op, not: false, value }]);

// One line of a plan.
const wants = (table, { events = ALL, session = '', filter = '[]', claims = service, schema = 'public' } = {}) =>
  ({ schema, table, events, session, filter, claims });

const probes = new Set();

class Probe {
  constructor(url, env = {}) {
    if (!fs.existsSync(binary)) throw new Error(`changes_probe is missing: build preset ${preset}`);
    this.child = spawn(binary, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, LC_ALL: 'C', DATABASE_URL: url, ...env },
    });
    this.log = '';
    this.events = []; // not asked for yet
    this.version = 0;
    this.token = 100;
    this.child.stderr.setEncoding('utf8').on('data', (text) => { this.log += text; });
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => this.events.push(JSON.parse(line)));
    this.ended = new Promise((done) => { this.child.on('close', (code, signal) => done(code ?? signal)); });
    probes.add(this);
  }

  send(command) { this.child.stdin.write(`${JSON.stringify(command)}\n`); }

  // The first event that fits, taken out of the list.
  next(what, fits, options) {
    return until(what, () => {
      const at = this.events.findIndex(fits);
      return at < 0 ? undefined : this.events.splice(at, 1)[0];
    }, { everyMs: 2, ...options });
  }

  up(is = true) { return this.next(`the connection to be ${is ? 'up' : 'down'}`, (e) => e.event === 'state' && e.up === is); }

  // Publishes a plan and waits until it is in force.
  async plan(...interests) {
    const version = ++this.version;
    this.send({ plan: { version, interests } });
    await this.next(`plan ${version}`, (e) => e.event === 'plan' && e.version === version);
    return version;
  }

  ask(command, event, fits = () => true) {
    const token = ++this.token;
    this.send({ ...command, token });
    return this.next(event, (e) => e.event === event && e.token === token && fits(e));
  }

  check(role, schema, table, filter = '[]', select = '[]') {
    return this.ask({ check: { role, schema, table, filter, select } }, 'checked');
  }

  policy(claims, topic, extension = 'broadcast') {
    return this.ask({ policy: { claims, topic, extension } }, 'policy');
  }

  // Resolves to { rows: [[op, row], ..], last }.
  async catchUp(table, x_after, { events = INSERT, session = '', filter = '[]', claims = service, version, spot = {} } = {}) {
    const token = ++this.token;
    this.send({
      catch_up: { schema: 'public', table, events, filter, session, claims, x_after, until: version ?? this.version, ...spot },
      token,
    });
    const last = await this.next('the end of a catch-up', (e) => e.event === 'catch_up' && e.token === token && e.last, { timeoutMs: 60_000 });
    const pages = this.events.filter((e) => e.event === 'catch_up' && e.token === token);
    this.events = this.events.filter((e) => !pages.includes(e));
    return { last, rows: pages.flatMap((page) => page.rows.map((row) => [page.op, row])) };
  }

  changes() { return this.events.filter((e) => e.event === 'changes'); }

  stats() {
    this.send({ stats: true });
    return this.next('figures', (e) => e.event === 'stats');
  }

  async end() {
    probes.delete(this);
    this.child.stdin.end();
    assert.equal(await within(20_000, 'the end of the probe', this.ended), 0, this.log);
    assert.doesNotMatch(this.log, /Sanitizer|runtime error/);
  }
}

let server;
let db;
before(async () => {
  server = await startPostgres();
  const { code, stderr } = await migrate(server.url());
  assert.equal(code, 0, stderr);
  await psql(server.url(), `
    create role dealflow_realtime login noinherit;
    grant anon, authenticated, service_role to dealflow_realtime;
    insert into auth.users (id, email) values ('${sellers[0]}', 'a@example.test'), ('${sellers[1]}', 'b@example.test');
    insert into public.stream_sessions (id, user_id, platform) values
      ('${sessions[0]}', '${sellers[0]}', 'whatnot'), ('${sessions[1]}', '${sellers[1]}', 'tiktok')`);
  db = await connect();
});
after(async () => {
  await db?.end();
  await server?.remove();
});
afterEach(async () => {
  for (const probe of probes) await probe.end();
});

async function connect() {
  const client = new pg.Client({ connectionString: server.url() });
  client.on('error', () => {}); // a stopped server is what some tests are about
  await client.connect();
  return client;
}

async function start(env) {
  const probe = new Probe(server.url('dealflow_realtime'), env);
  await probe.up();
  return probe;
}

async function say(session, message, client = db) {
  const { rows } = await client.query(
    `insert into public.chat_messages (stream_session_id, username, message, created_at)
     values ($1, 'viewer', $2, clock_timestamp()) returning id, created_at::text`, [sessions[session], message]);
  return rows[0];
}

// Everything that was committed before has been delivered once a row of our own is.
async function settled(probe) {
  const mark = randomUUID();
  await say(0, mark);
  await probe.next('a row of our own', (e) => e.event === 'changes' && e.rows.some((row) => row.record?.message === mark), { timeoutMs: 60_000 });
}

const messagesOf = (probe) => probe.changes().flatMap((e) => e.rows.map((row) => row.record?.message));

describe('rows', () => {
  test('INSERT, UPDATE and DELETE come in order, each as its role may see it', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    const { id } = await say(0, 'one');
    await probe.next('the insert', (e) => e.op === 'INSERT' && e.rows[0].record.id === id && (probe.inserted = e));
    await db.query('update public.chat_messages set message = $2 where id = $1', [id, 'two']);
    const update = await probe.next('the update', (e) => e.op === 'UPDATE');
    await db.query('delete from public.chat_messages where id = $1', [id]);
    const gone = await probe.next('the delete', (e) => e.op === 'DELETE');

    const [inserted] = probe.inserted.rows;
    assert.equal(probe.inserted.schema, 'public');
    assert.equal(probe.inserted.table, 'chat_messages');
    assert.equal(probe.inserted.session, sessions[0]);
    assert.match(probe.inserted.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.equal(inserted.role, 'service_role');
    assert.equal(inserted.id, id);
    assert.equal(inserted.record.message, 'one');
    assert.equal(inserted.old_record, null);
    assert.deepEqual(inserted.columns, [
      { name: 'id', type: 'uuid' }, { name: 'stream_session_id', type: 'uuid' }, { name: 'username', type: 'text' },
      { name: 'message', type: 'text' }, { name: 'platform', type: 'text' }, { name: 'created_at', type: 'timestamptz' }]);
    assert.deepEqual([inserted.filters, inserted.claims], [[0], [0]]);
    assert.equal(update.rows[0].record.message, 'two');
    assert.deepEqual(update.rows[0].old_record, { id });
    assert.equal(gone.rows[0].record, null);
    assert.deepEqual(gone.rows[0].old_record, { id });
  });

  test('each claim set gets what its policies show, and anon nothing', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages', { claims: seller(0) }), wants('chat_messages', { claims: seller(1) }),
      wants('chat_messages', { claims: anon }), wants('chat_messages', { claims: service }));
    const { id } = await say(1, 'for the second seller');
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.deepEqual(event.rows.map((row) => [row.role, row.id, row.claims]).sort(),
      [['authenticated', id, [1]], ['service_role', id, [3]]]);
  });

  test('a session gets its own rows only, without a question to Postgres about it', async () => {
    const probe = await start();
    await probe.plan(...sessions.map((session) => wants('chat_messages', { session, filter: bySession(session) })));
    for (let n = 0; n < 20; n++) await say(n % 2, `line ${n}`);
    await until('all rows', () => messagesOf(probe).length === 20);
    for (const event of probe.changes()) {
      const n = sessions.indexOf(event.session);
      assert.deepEqual(event.rows.map((row) => row.filters), [[n]]);
      assert.equal(event.rows[0].record.stream_session_id, sessions[n]);
    }
    assert.deepEqual(messagesOf(probe), Array.from({ length: 20 }, (_, n) => `line ${n}`));
  });

  test('filters are told apart by row', async () => {
    const probe = await start();
    await probe.plan(
      wants('chat_messages', { filter: where('message', 'eq', 'red') }),
      wants('chat_messages', { filter: where('message', 'eq', 'blue') }),
      wants('chat_messages', { filter: where('message', 'like', 'b%') }),
      wants('chat_messages', { filter: where('created_at', 'lt', '2000-01-01') }));
    await db.query(`insert into public.chat_messages (stream_session_id, username, message)
      select $1, 'viewer', m from unnest(array['red', 'blue', 'black', 'white']) m`, [sessions[0]]);
    const event = await probe.next('the rows', (e) => e.event === 'changes');
    assert.deepEqual(event.rows.map((row) => [row.record.message, row.filters]),
      [['red', [0]], ['blue', [1, 2]], ['black', [2]]]);
  });

  test('what nobody wants is not read', async () => {
    const probe = await start();
    await probe.plan(wants('sales_captured'), wants('chat_messages', { events: 4 }));
    const before = await probe.stats();
    await say(0, 'unwanted');
    await until('the entry to be passed', async () => (await probe.stats()).entries > before.entries);
    assert.equal((await probe.stats()).batches, before.batches);
    assert.deepEqual(probe.changes(), []);
  });

  test('wildcards take every watched table', async () => {
    const probe = await start();
    await probe.plan(wants('*'), wants('*', { schema: '*', events: INSERT }));
    await say(0, 'hello');
    await db.query('update public.stream_sessions set total_sales_caught = total_sales_caught + 1 where id = $1', [sessions[0]]);
    const insert = await probe.next('the message', (e) => e.table === 'chat_messages');
    const update = await probe.next('the session', (e) => e.table === 'stream_sessions');
    assert.deepEqual(insert.rows[0].filters, [0]);
    assert.equal(update.rows[0].record.id, sessions[0]);
  });

  test('a row larger than a notification is complete', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    const message = 'x"\\é'.repeat(50_000);
    await say(0, message);
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.equal(event.rows[0].record.message, message);
  });

  test('a statement that inserts 10,000 rows yields 10,000, in order', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages', { session: sessions[0], filter: bySession(sessions[0]), claims: seller(0) }));
    await db.query(`insert into public.chat_messages (stream_session_id, username, message)
      select $1, 'viewer', n::text from generate_series(1, 10000) n`, [sessions[0]]);
    await until('all rows', () => messagesOf(probe).length >= 10_000, { timeoutMs: 60_000 });
    assert.deepEqual(messagesOf(probe), Array.from({ length: 10_000 }, (_, n) => String(n + 1)));
  });

  test('what commits after a plan is in force comes under it', async () => {
    const probe = await start();
    for (let n = 0; n < 100; n++) {
      const version = await probe.plan(wants('chat_messages', { filter: where('message', 'eq', `line ${n}`) }));
      await say(0, `line ${n}`);
      const event = await probe.next(`row ${n}`, (e) => e.event === 'changes');
      assert.equal(event.rows[0].record.message, `line ${n}`);
      assert.equal(event.plan, version);
    }
  });

  test('columns without a grant are not shown, and rows without the key not at all', async () => {
    await psql(server.url(), `
      create table public.notes (id bigint generated always as identity primary key, shown text, hidden text);
      select dealflow.watch_table('public.notes');
      grant select (id, shown) on public.notes to authenticated;
      grant select (shown) on public.notes to anon;
      grant select on public.notes to service_role;`);
    const probe = await start();
    await probe.plan(wants('notes', { claims: seller(0) }), wants('notes', { claims: anon }), wants('notes', { claims: service }));
    await db.query(`insert into public.notes (shown, hidden) values ('a', 'b')`);
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.equal(event.session, '');
    const mine = event.rows.find((row) => row.role === 'authenticated');
    assert.deepEqual(mine.record, { id: 1, shown: 'a' });
    assert.deepEqual(mine.columns, [{ name: 'id', type: 'int8' }, { name: 'shown', type: 'text' }]);
    assert.deepEqual(event.rows.find((row) => row.role === 'service_role').record, { id: 1, shown: 'a', hidden: 'b' });
    assert.equal(event.rows.length, 2);
  });

  test('a role that the gateway may not become sees nothing', async () => {
    await psql(server.url(), `create role stranger nologin bypassrls; grant usage on schema public to stranger;
      grant select on public.chat_messages to stranger`);
    const probe = await start();
    const claims = ['stranger', 'none', 'postgres', 'no_such_role', ''].map((role) => JSON.stringify({ role }));
    await probe.plan(...claims.map((each) => wants('chat_messages', { claims: each })), wants('chat_messages'));
    await say(0, 'secret');
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.deepEqual(event.rows.map((row) => row.role), ['service_role']);
    // and the connection itself, which becomes service_role, owns nothing else
    await assert.rejects(psql(server.url('dealflow_realtime'), 'select * from public.chat_messages'), /permission denied/);
    await assert.rejects(psql(server.url('dealflow_realtime'), `select dealflow.realtime_may('{}', 'a', 'broadcast')`), /permission denied/);
  });
});

describe('what goes wrong', () => {
  test('rows committed while the connection is cut come once each, in order', async () => {
    const probe = await start();
    await probe.plan(...sessions.map((session) => wants('chat_messages', { session, filter: bySession(session) })));
    const writers = await Promise.all([connect(), connect(), connect(), connect()]);
    const sent = [];
    let isDone = false;
    const cutter = (async () => {
      let cuts = 0;
      while (!isDone) {
        const { rowCount } = await db.query(`select pg_terminate_backend(pid) from pg_stat_activity
          where application_name in ('dealflow-realtime', 'dealflow-realtime listen')`);
        cuts += rowCount;
        await sleep(120);
      }
      return cuts;
    })();
    await Promise.all(writers.map(async (client, w) => {
      for (let n = 0; n < 250; n++) {
        const message = `${w}-${n}`;
        await say(w % 2, message, client);
        sent.push(message);
      }
      await client.end();
    }));
    isDone = true;
    assert.ok(await cutter > 4);
    await until('all rows', () => messagesOf(probe).length >= sent.length, { timeoutMs: 60_000 });
    await settled(probe);
    const got = messagesOf(probe);
    assert.deepEqual([...got].sort(), sent.sort());
    for (let w = 0; w < 4; w++) {
      const mine = got.filter((each) => each.startsWith(`${w}-`));
      assert.deepEqual(mine, Array.from({ length: 250 }, (_, n) => `${w}-${n}`));
    }
    assert.ok((await probe.stats()).reconnects > 2);
  });

  test('a server that restarts is found again, and plans wait for it', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    await server.stop('immediate');
    await probe.up(false);
    const version = ++probe.version;
    probe.send({ plan: { version, interests: [wants('chat_messages', { claims: service }), wants('sales_captured')] } });
    const checked = probe.check('service_role', 'public', 'chat_messages');
    await server.start();
    await probe.up();
    await probe.next('the plan', (e) => e.event === 'plan' && e.version === version);
    assert.equal((await checked).ok, true);
    db = await connect();
    await say(0, 'again');
    await probe.next('the row', (e) => e.event === 'changes');
  });

  test('a transaction that commits late is not overtaken for good', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    const slow = await connect();
    await slow.query('begin');
    await say(0, 'slow', slow);
    for (let n = 0; n < 50; n++) await say(1, `quick ${n}`);
    await until('the quick rows', () => messagesOf(probe).length === 50);
    await slow.query('commit');
    await slow.end();
    await until('the slow row', () => messagesOf(probe).length === 51);
    assert.equal(messagesOf(probe).at(-1), 'slow');
  });

  test('a filter that Postgres cannot evaluate any more hurts only itself', async () => {
    await psql(server.url(), `
      create table public.things (id uuid primary key default gen_random_uuid(), size text);
      select dealflow.watch_table('public.things');
      grant select on public.things to service_role`);
    const probe = await start();
    await probe.plan(...['small', '1', 'large', '2', '3'].map((size) => wants('things', { filter: where('size', 'gte', size) })),
      wants('things', { filter: where('id', 'isdistinct', randomUUID()) }));
    await psql(server.url(), 'alter table public.things alter size type integer using 0; insert into public.things (size) values (2)');
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.deepEqual(event.rows[0].filters, [1, 3, 5]);
    const failed = [await probe.next('a failure', (e) => e.event === 'failed'), await probe.next('a failure', (e) => e.event === 'failed')];
    assert.deepEqual(failed.map((each) => [each.what, each.id]).sort(), [['filter', 0], ['filter', 2]]);
    assert.match(failed[0].error, /invalid input syntax for type integer/);
    await psql(server.url(), 'insert into public.things (size) values (3)');
    assert.deepEqual((await probe.next('the next row', (e) => e.event === 'changes')).rows[0].filters, [1, 3, 4, 5]);
    assert.equal(probe.events.filter((e) => e.event === 'failed').length, 0);
  });

  test('a policy that fails or takes too long for one user hurts only him', async () => {
    await psql(server.url(), `
      create table public.guarded (id uuid primary key default gen_random_uuid(), n int);
      select dealflow.watch_table('public.guarded');
      grant select on public.guarded to authenticated;
      alter table public.guarded enable row level security;
      create policy slow on public.guarded for select to authenticated using (
        case auth.jwt() ->> 'sub' when 'fails' then 1 / (n - n) = 1
          when 'sleeps' then pg_sleep(20) is not null else true end)`);
    const probe = await start();
    const claims = ['good', 'sleeps', 'fails', 'well'].map((sub) => JSON.stringify({ role: 'authenticated', sub }));
    await probe.plan(...claims.map((each) => wants('guarded', { claims: each })));
    await db.query('insert into public.guarded (n) values (1)');
    const event = await probe.next('the row', (e) => e.event === 'changes');
    assert.deepEqual(event.rows.map((row) => row.claims), [[0, 3]]);
    const failed = await probe.next('the failure', (e) => e.event === 'failed');
    assert.deepEqual([failed.what, failed.id], ['claims', 1]);
    assert.match(probe.log, /event=policy_failed .*division by zero/);
    const began = performance.now();
    await db.query('insert into public.guarded (n) values (2)');
    await probe.next('the next row', (e) => e.event === 'changes');
    assert.ok(performance.now() - began < 2000, 'who sleeps is not asked again');
  });

  test('a locked table delays its rows and loses none', async (t) => {
    const { id } = await say(0, 'here already');
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    const locker = await connect();
    t.after(() => locker.end().catch(() => {})); // or nothing would end
    await locker.query('begin; lock table public.chat_messages in access exclusive mode');
    await db.query(`insert into dealflow.change_log (table_schema, table_name, op, stream_session_id, ids)
      values ('public', 'chat_messages', 'INSERT', $1, array[$2::uuid])`, [sessions[0], id]);
    await db.query(`notify dealflow, '{}'`);
    // By its lock_timeout, or another one where the machine stalls: the first of a series is logged.
    await until('reading to be refused', () => /reading_interrupted/.test(probe.log))
      .catch((error) => { throw new Error(`${error.message}\n${probe.log}`); });
    assert.deepEqual(probe.changes(), []);
    await locker.query('commit');
    assert.equal((await probe.next('the row', (e) => e.event === 'changes')).rows[0].id, id);
    assert.equal(probe.events.some((e) => e.event === 'failed'), false);
  });

  test('when the loop does not take events, reading waits and nothing is lost', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    probe.send({ hold: true });
    await db.query(`insert into public.chat_messages (stream_session_id, username, message)
      select $1, 'viewer', n || repeat('x', 20000) from generate_series(1, 4000) n`, [sessions[0]]);
    let before = -1;
    await until('reading to stop', async () => {
      const { rows } = await probe.stats();
      const isSame = rows > 0 && rows === before;
      before = rows;
      return isSame;
    }, { everyMs: 1000, timeoutMs: 60_000 });
    assert.ok(before < 3000, `${before} rows are waiting`);
    probe.send({ hold: false });
    await until('all rows', () => messagesOf(probe).length >= 4000, { timeoutMs: 60_000 });
    assert.deepEqual(messagesOf(probe).map((each) => Number.parseInt(each, 10)), Array.from({ length: 4000 }, (_, n) => n + 1));
  });
});

describe('catching up', () => {
  const ids = (caught) => caught.rows.map(([, row]) => row.id);

  test('from the id of the last row, oldest first, up to where live rows begin', async () => {
    const probe = await start();
    const said = [];
    for (let n = 0; n < 30; n++) said.push(await say(n % 2, `missed ${n}`));
    await probe.plan(wants('chat_messages'));
    said.push(await say(0, 'live'));
    await probe.next('the live row', (e) => e.event === 'changes');
    const caught = await probe.catchUp('chat_messages', said[4].id);
    assert.deepEqual(ids(caught), said.slice(5, 30).map((each) => each.id));
    assert.deepEqual([caught.last.ok, caught.last.error], [true, '']);
    assert.equal(caught.rows[0][0], 'INSERT');
    assert.equal(caught.rows[0][1].record.message, 'missed 5');
    // within one session, under a policy, and by a filter
    const mine = await probe.catchUp('chat_messages', said[4].id, { session: sessions[1], filter: bySession(sessions[1]), claims: seller(1) });
    assert.deepEqual(ids(mine), said.filter((_, n) => n > 4 && n < 30 && n % 2).map((each) => each.id));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[4].id, { claims: anon })), []);
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[4].id, { filter: where('message', 'eq', 'missed 7') })), [said[7].id]);
  });

  test('from the middle of a statement of many rows', async () => {
    const probe = await start();
    const { rows } = await db.query(`insert into public.chat_messages (stream_session_id, username, message, created_at)
      select $1, 'viewer', n::text, clock_timestamp() from generate_series(1, 500) n returning id`, [sessions[0]]);
    await probe.plan(wants('chat_messages'));
    for (const n of [0, 100, 179, 180, 498, 499])
      assert.deepEqual(ids(await probe.catchUp('chat_messages', rows[n].id)), rows.slice(n + 1).map((row) => row.id), `after row ${n}`);
  });

  // Rows of transactions that overlap, in the order in which they came live: [{ id, cut, seq, n }].
  async function overlapping(probe, seed) {
    const random = () => { seed = (seed * 1103515245 + 12345) % 2147483648; return seed / 2147483648; };
    const writers = await Promise.all(Array.from({ length: 6 }, connect));
    const open = new Set();
    let said = 0;
    for (let step = 0; step < 150; step++) {
      const writer = writers[Math.floor(random() * writers.length)];
      if (!open.has(writer)) {
        await writer.query('begin');
        open.add(writer);
      } else if (random() < 0.5) {
        const many = random() < 0.1 ? 200 : 1 + Math.floor(random() * 3); // 200: two entries of the log
        await writer.query(`insert into public.chat_messages (stream_session_id, username, message, created_at)
          select $1, 'viewer', n::text, clock_timestamp() from generate_series(1, $2::int) n`, [sessions[said % 2], many]);
        said += many;
      } else {
        await writer.query('commit');
        open.delete(writer);
        // As often as not the gateway reads before the next one commits.
        if (random() < 0.5) await settled(probe);
      }
      if (step === 75) await db.query(`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'dealflow_realtime'`);
    }
    for (const writer of open) await writer.query('commit');
    await settled(probe);
    for (const writer of writers) await writer.end();
    return probe.changes().flatMap((e) => e.rows.map((row) => ({ id: row.id, cut: e.cut, seq: e.seq, n: row.n })));
  }

  test('transactions that overlap: each row once and in the order in which it came live, from wherever', { timeout: 120_000 }, async (t) => {
    // Without the marks of settled().
    const ids = (caught) => caught.rows.filter(([, row]) => /^\d+$/.test(row.record.message)).map(([, row]) => row.id);
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    await settled(probe);
    const live = await overlapping(probe, 7);
    assert.ok(live.some((row, i) => i > 0 && row.seq < live[i - 1].seq), 'none overlapped: nothing was tested');
    assert.equal(new Set(live.map((row) => row.id)).size, live.length);
    await probe.plan(wants('chat_messages'));
    const places = live.map((_, i) => i).filter((i) => i % 7 === 0 || (i > 0 && live[i].seq < live[i - 1].seq));
    for (const i of places) {
      const after = live.slice(i + 1).map((row) => row.id);
      const { id, ...spot } = live[i];
      assert.deepEqual(ids(await probe.catchUp('chat_messages', id)), after, `after row ${i}`);
      // What the hub remembers says the same, whatever x_after is.
      assert.deepEqual(ids(await probe.catchUp('chat_messages', 'nonsense', { spot })), after, `after spot ${i}`);
    }
    const one = ids(await probe.catchUp('chat_messages', live[3].id, { session: sessions[1], filter: bySession(sessions[1]) }));
    assert.ok(one.length > 20);
    assert.deepEqual(one, live.slice(4).map((row) => row.id).filter((id) => one.includes(id)));
    // Another gateway did not see the order: nothing is missing, and only what overlapped comes again.
    const other = await start();
    await other.plan(wants('chat_messages'));
    let again = 0;
    for (const i of places) {
      const got = new Set(ids(await other.catchUp('chat_messages', live[i].id)));
      assert.ok(live.slice(i + 1).every((row) => got.has(row.id)), `a row is missing after row ${i}`);
      assert.ok(!got.has(live[i].id));
      again += got.size - (live.length - i - 1);
    }
    t.diagnostic(`${live.length} rows, ${places.length} places; another gateway repeats ${again} rows in all`);
  });

  test('a gateway that had nobody for a while still knows where it was', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages'));
    const slow = await connect();
    await slow.query('begin');
    const first = await say(0, 'begins first', slow);
    const last = await say(0, 'ends first');
    await probe.next('the row', (e) => e.event === 'changes' && e.rows[0].id === last.id);
    await probe.plan(); // the only subscriber is gone
    await slow.query('commit');
    await slow.end();
    const missed = await say(1, 'meanwhile');
    await probe.plan(wants('chat_messages'));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', last.id)), [first.id, missed.id]);
    assert.deepEqual(ids(await probe.catchUp('chat_messages', first.id)), [missed.id]);
  });

  test('from the time of a change, which comes again', async () => {
    const probe = await start();
    await probe.plan(wants('chat_messages', { events: ALL }));
    const { id } = await say(0, 'one');
    await db.query('update public.chat_messages set message = $2 where id = $1', [id, 'two']);
    const update = await probe.next('the update', (e) => e.op === 'UPDATE' && e.rows[0].id === id);
    const other = await say(0, 'three');
    await settled(probe);
    await probe.plan(wants('chat_messages', { events: ALL }));
    const { rows } = await probe.catchUp('chat_messages', update.at, { events: ALL });
    const got = rows.map(([op, row]) => [op, row.id]);
    assert.ok(got.some(([op, each]) => op === 'UPDATE' && each === id));
    assert.ok(got.some(([op, each]) => op === 'INSERT' && each === other.id));
  });

  test('from a timestamp: of a row, of several, and of none', async () => {
    const probe = await start();
    const said = [];
    for (let n = 0; n < 10; n++) said.push(await say(0, `at ${n}`));
    await probe.plan(wants('chat_messages'));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[3].created_at)), said.slice(4).map((each) => each.id));
    // cut to milliseconds it is the time of no row: nothing may be missing, one more may come
    const cut = new Date(said[3].created_at).toISOString();
    const from = ids(await probe.catchUp('chat_messages', cut));
    assert.deepEqual(from.slice(-6), said.slice(4).map((each) => each.id));
    assert.ok(from.length <= 10, `${from.length} rows`);
    // rows of one moment: which of them the client has cannot be told
    const { rows } = await db.query(`insert into public.chat_messages (stream_session_id, username, message, created_at)
      select $1, 'viewer', n::text, now() from generate_series(1, 5) n returning id, created_at::text`, [sessions[0]]);
    const other = await start();
    await other.plan(wants('chat_messages'));
    assert.deepEqual(ids(await other.catchUp('chat_messages', rows[2].created_at)), rows.map((row) => row.id));
  });

  test('with updates and deletions, as the log has them', async () => {
    const probe = await start();
    const last = await say(0, 'last');
    const one = await say(0, 'one');
    const two = await say(0, 'two');
    await db.query('update public.chat_messages set message = $2 where id = $1', [one.id, 'one, changed']);
    await db.query('delete from public.chat_messages where id = $1', [two.id]);
    await probe.plan(wants('chat_messages'));
    const { rows } = await probe.catchUp('chat_messages', last.id, { events: ALL });
    assert.deepEqual(rows.map(([op, row]) => [op, row.id, row.record?.message]), [
      ['INSERT', one.id, 'one, changed'], ['UPDATE', one.id, 'one, changed'], ['DELETE', two.id, undefined]]);
    assert.deepEqual(rows[2][1].old_record, { id: two.id });
  });

  test('misses no transaction that was running, and repeats none of a quiet time', async () => {
    const probe = await start();
    const slow = await connect();
    await slow.query('begin');
    const hidden = await say(0, 'committed late', slow);
    const said = [];
    for (let n = 0; n < 5; n++) said.push(await say(0, `quick ${n}`));
    await slow.query('commit');
    await slow.end();
    said.push(await say(0, 'after'));
    await probe.plan(wants('chat_messages'));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[1].id)), [hidden.id, ...said.slice(2).map((each) => each.id)]);
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said.at(-1).id)), []);
  });

  test('together with live rows it is every row, while others write', async (t) => {
    const probe = await start();
    await probe.plan(wants('chat_messages', { filter: where('message', 'eq', 'nothing') }));
    const writers = await Promise.all([connect(), connect(), connect()]);
    const sent = [];
    let isDone = false;
    const first = await say(0, 'first');
    const writing = Promise.all(writers.map(async (client, w) => {
      for (let n = 0; !isDone; n++) {
        if (n % 10 === 0) await client.query('begin');
        sent.push((await say(w % 2, `${w}-${n}`, client)).id);
        if (n % 10 === 6) await client.query('commit');
        await sleep(5);
      }
      await client.query('commit').catch(() => {});
      await client.end();
    }));
    t.after(() => {
      isDone = true;
      return writing;
    });
    await until('some rows', () => sent.length > 100);
    for (let round = 0; round < 5; round++) {
      const version = await probe.plan(wants('chat_messages'));
      const caught = await probe.catchUp('chat_messages', first.id, { version });
      const sofar = sent.length;
      await until('more rows', () => sent.length > sofar + 30);
      if (round === 4) {
        isDone = true;
        await writing;
        await settled(probe);
      }
      const live = probe.changes().filter((e) => e.plan === version).flatMap((e) => e.rows.map((row) => row.id));
      const all = [...ids(caught), ...live];
      assert.equal(new Set(all).size, all.length, 'a row came twice');
      if (round === 4) for (const id of sent) assert.ok(all.includes(id), 'a row is missing');
      await probe.plan(wants('sales_captured'));
    }
  });

  test('beyond the log, by the time of the rows', async () => {
    const probe = await start();
    const said = [];
    for (let n = 0; n < 20; n++) said.push(await say(n % 2, `old ${n}`));
    await db.query(`select dealflow.trim_change_log('0')`);
    said.push(await say(0, 'new'));
    await probe.plan(wants('chat_messages'));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[7].id)), said.slice(8).map((each) => each.id));
    assert.deepEqual(ids(await probe.catchUp('chat_messages', said[7].created_at, { session: sessions[0] })),
      said.slice(8).filter((_, n) => n % 2 === 0).map((each) => each.id));
    const all = await probe.catchUp('chat_messages', said[7].id, { events: ALL });
    assert.equal(all.rows.length, 13);
    assert.match(all.last.error, /changes and deletions of that time are missing/);
  });

  test('pages, with questions answered in between; and ends when it is no longer wanted', async () => {
    const probe = await start();
    const first = await say(0, 'first');
    for (let n = 0; n < 40; n++) {
      await db.query(`insert into public.chat_messages (stream_session_id, username, message)
        select $1, 'viewer', n::text from generate_series(1, 500) n`, [sessions[0]]);
    }
    await probe.plan(wants('chat_messages'));
    const catching = probe.catchUp('chat_messages', first.id);
    await until('its first page', () => probe.events.some((e) => e.event === 'catch_up' && e.rows.length));
    assert.equal((await probe.check('service_role', 'public', 'chat_messages')).ok, true);
    const { last, rows } = await catching;
    assert.equal(last.ok, true);
    assert.equal(rows.length, 20_000);
    assert.equal(new Set(rows.map(([, row]) => row.id)).size, 20_000);

    const token = 9999;
    probe.send({ catch_up: { schema: 'public', table: 'chat_messages', events: INSERT, filter: '[]', session: '', claims: service, x_after: first.id, until: probe.version }, token });
    probe.send({ cancel: token });
    await probe.check('service_role', 'public', 'chat_messages');
    const { rows: none } = await probe.catchUp('chat_messages', first.id, { filter: where('message', 'eq', 'none') });
    assert.deepEqual(none, []);
    assert.equal(probe.events.some((e) => e.token === token && e.last), false);
  });

  test('says why it cannot', async () => {
    const probe = await start({ REALTIME_CATCH_UP_MAX_ROWS: '50' });
    const first = await say(0, 'first');
    await db.query(`insert into public.chat_messages (stream_session_id, username, message)
      select $1, 'viewer', n::text from generate_series(1, 50000) n`, [sessions[0]]);
    await probe.plan(wants('chat_messages'));
    const why = async (...args) => (await probe.catchUp(...args)).last.error;
    assert.equal(await why('chat_messages', first.id), 'more than 50 rows were missed');
    assert.equal(await why('chat_messages', 'yesterday-ish'), 'x_after is neither the id of a row nor a timestamp');
    assert.match(await why('chat_messages', randomUUID()), /does not reach back/);
    assert.equal(await why('*', first.id), 'x_after needs both a schema and a table');
    assert.equal(await why('profiles', first.id), 'the table is not watched');
    assert.equal(await why('chat_messages', ''), '');
  });

  test('with keys that are no uuid', async () => {
    await psql(server.url(), `
      create table public.counted (id int generated always as identity primary key, created_at timestamptz default clock_timestamp());
      create table public.paired (a int, b text, created_at timestamptz default clock_timestamp(), primary key (a, b));
      select dealflow.watch_table('public.counted'), dealflow.watch_table('public.paired');
      grant select on public.counted, public.paired to service_role;
      insert into public.counted select from generate_series(1, 400);
      insert into public.paired select n, 'it''s "' || n from generate_series(1, 20) n`);
    const probe = await start();
    await probe.plan(wants('counted'));
    assert.deepEqual(ids(await probe.catchUp('counted', '390')), [391, 392, 393, 394, 395, 396, 397, 398, 399, 400]);
    const { rows: [{ at }] } = await db.query('select created_at::text as at from public.paired where a = 18');
    const caught = await probe.catchUp('paired', at);
    assert.deepEqual(ids(caught).slice(-2), [{ a: 19, b: `it's "19` }, { a: 20, b: `it's "20` }]);
  });
});

describe('several gateways', () => {
  test('each tells its subscribers the same rows', async () => {
    const both = [await start(), await start()];
    for (const probe of both) await probe.plan(wants('chat_messages'));
    for (let n = 0; n < 50; n++) await say(n % 2, `line ${n}`);
    for (const probe of both) await settled(probe);
    const [one, two] = both.map((probe) => messagesOf(probe).filter((each) => each.startsWith('line')));
    assert.equal(one.length, 50);
    assert.deepEqual(one, two);
  });

  test('messages reach the others, in order, large ones too, and never their sender', async () => {
    const [from, to] = [await start(), await start()];
    const texts = ['{"a":1}', '{"a":1}', 'quote " backslash \\ comma , brace } é', 'x'.repeat(7900), 'y'.repeat(100_000), '{"last":true}'];
    for (const text of texts) from.send({ send: text });
    await to.next('the last one', (e) => e.event === 'broadcast' && e.text === texts.at(-1));
    assert.deepEqual(to.events.filter((e) => e.event === 'broadcast').map((e) => e.text), texts.slice(0, -1));
    to.send({ send: 'back' });
    await from.next('the answer', (e) => e.event === 'broadcast' && e.text === 'back');
    assert.equal(from.events.some((e) => e.event === 'broadcast'), false);
  });

  test('SQL sends to all of them', async () => {
    const both = [await start(), await start()];
    await db.query(`select realtime.send('{"a": 1}', 'greeting', 'room:1', false), realtime.send('{"a": 1}', 'greeting', 'room:1')`);
    for (const probe of both) {
      const seen = [];
      for (let n = 0; n < 2; n++) seen.push(JSON.parse((await probe.next('a message', (e) => e.event === 'broadcast')).text));
      assert.deepEqual(seen.map((each) => [each.sql, each.topic, each.event, each.payload.a, each.private]),
        [[true, 'room:1', 'greeting', 1, false], [true, 'room:1', 'greeting', 1, true]]);
      assert.notEqual(seen[0].id, seen[1].id);
      assert.equal(seen[0].payload.id, seen[0].id);
    }
    await psql(server.url(), `
      create function public.tell() returns trigger language plpgsql security definer as $$
        begin perform realtime.broadcast_changes('things:' || new.id, tg_op, tg_op, tg_table_name, tg_table_schema, new, old); return null; end $$;
      create table public.told (id int primary key);
      create trigger tell after insert on public.told for each row execute function public.tell();
      insert into public.told values (5)`);
    const { text } = await both[0].next('the change', (e) => e.event === 'broadcast');
    const { topic, event, payload } = JSON.parse(text);
    assert.deepEqual([topic, event, payload.operation, payload.record, payload.old_record], ['things:5', 'INSERT', 'INSERT', { id: 5 }, null]);
  });
});

describe('questions', () => {
  test('policies on realtime.messages decide about private topics', async () => {
    const probe = await start();
    const may = async (claims, topic, extension) => {
      const { ok, read, write } = await probe.policy(claims, topic, extension);
      assert.equal(ok, true);
      return [read, write];
    };
    assert.deepEqual(await may(seller(0), 'room'), [false, false]);
    await psql(server.url(), `
      create policy hear on realtime.messages for select to authenticated
        using (realtime.topic() like 'room%' and extension = 'broadcast');
      create policy speak on realtime.messages for insert to authenticated
        with check (realtime.topic() = 'room:' || (select auth.uid()));
      create policy broken on realtime.messages for select to anon using (1 / (length(topic) - length(topic)) = 1)`);
    assert.deepEqual(await may(seller(0), 'room:1'), [true, false]);
    assert.deepEqual(await may(seller(0), `room:${sellers[0]}`), [true, true]);
    assert.deepEqual(await may(seller(0), `room:${sellers[1]}`), [true, false]);
    assert.deepEqual(await may(seller(0), 'room:1', 'presence'), [false, false]);
    assert.deepEqual(await may(anon, 'room:1'), [false, false]);
    assert.deepEqual(await may(service, 'anything'), [true, true]);
    assert.deepEqual(await may(JSON.stringify({ role: 'none' }), 'room:1'), [false, false]);
    assert.equal(await psql(server.url(), 'select count(*) from realtime.messages'), '0');
  });

  test('what is wrong with a subscription is said in the words of Supabase', async () => {
    const probe = await start();
    const told = async (...args) => (await probe.check(...args)).error;
    assert.equal(await told('authenticated', 'public', 'chat_messages', bySession(sessions[0]), '["id"]'), '');
    assert.equal(await told('anon', 'public', '*'), '');
    assert.equal(await told('authenticated', 'public', 'nothing'), 'Unable to subscribe to changes with given parameters.'
      + ' Please check Realtime is enabled for the given connect parameters: [schema: public, table: nothing, filters: [], select: nil]');
    const wrong = 'Unable to subscribe to changes with given parameters. An exception happened so please check your connect parameters: ';
    assert.equal(await told('authenticated', 'public', 'chat_messages', where('nope', 'eq', '1')), wrong
      + '[schema: public, table: chat_messages, filters: [{"nope", "eq", "1", false}], select: nil].'
      + ' Exception: ERROR P0001 (raise_exception) invalid column for filter nope');
    assert.match(await told('anon', 'public', 'chat_messages', where('id', 'eq', sellers[0])), /invalid column for filter id$/);
    assert.match(await told('authenticated', 'public', 'chat_messages', where('id', 'eq', 'x')), /ERROR 22P02 \(invalid_text_representation\) invalid input syntax for type uuid: "x"$/);
    assert.match(await told('authenticated', 'public', 'chat_messages', '[]', '["id","nope"]'), /invalid column for select nope$/);
    assert.match(await told('authenticated', 'public', '*', '[]', '["id"]'), /^Column selection is not supported for wildcard/);
    assert.match(await told('no_such_role', 'public', 'chat_messages'), /does not exist/);
  });
});
