// tests/bench/lib/fanout.js - the realtime gateway on the benchmark's database, a crowd of subscribers
// (bench_fanout_client), and one case of tests/bench/fanout.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');
const { spawn } = require('node:child_process');
const { freePort, run, sleep, until } = require('./box.js');
const { ask } = require('./contenders.js');
const { cpuSeconds, machineSeconds, peakRssMib, signedToken } = require('./load.js');

const TEAMS = 5;
const USERS = 100;
const LAST_MS = 5000; // until the last delivery of a run has to be there
const LIVE_MS = 120000;
const WARM_S = 2; // for prepared statements and caches

/** Two watched tables of the same shape: one that anybody may read, and one whose rows a user sees by
 * being in their team, looked up in another table as the product's own policies do. */
const TABLES = `
  create table public.bench_open (
    id uuid primary key default gen_random_uuid(), team int not null, sent_us bigint not null, body text not null);
  create table public.bench_teams (team int not null, user_id uuid not null, primary key (user_id, team));
  create table public.bench_rows (like public.bench_open including all);
  insert into public.bench_teams
    select n % ${TEAMS}, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid from generate_series(0, ${USERS - 1}) n;
  alter table public.bench_rows enable row level security;
  create policy of_team on public.bench_rows for select to authenticated using (exists (
    select from public.bench_teams t where t.team = bench_rows.team and t.user_id = (select auth.uid())));
  grant select on public.bench_open to anon, authenticated, service_role;
  grant select on public.bench_rows, public.bench_teams to authenticated, service_role;
  select dealflow.watch_table('public.bench_open'), dealflow.watch_table('public.bench_rows');
  create role dealflow_realtime login noinherit;
  grant anon, authenticated, service_role to dealflow_realtime;`;

const userId = (n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const words = (text) => Object.fromEntries(
  text.trim().split(' ').map((word) => word.split('=')).map(([name, value]) => [name, Number(value)]));

async function startGateway(box, { db, build, secret }) {
  const port = await freePort();
  const metrics = box.file(`realtime-${port}.sock`);
  const gateway = box.start('gateway', path.join(build, 'bin', 'dealflow-realtime'), [], {
    env: { PATH: process.env.PATH, DATABASE_URL: db.url.replace('user=postgres', 'user=dealflow_realtime'), JWT_SECRET: secret,
      REALTIME_LISTEN: `127.0.0.1:${port}`, METRICS_LISTEN: metrics, LOG_LEVEL: 'warn' },
  });
  gateway.port = port;
  await box.ready('gateway', gateway, async () => (await ask({ socketPath: metrics, path: '/readyz' })).status === 200);
  return gateway;
}

/** The subscribers of one case, all live. */
class Crowd {
  static async start(box, { build, secret }, gateway, { clients, rls, table }) {
    const crowd = new Crowd();
    const tokens = box.file(`tokens-${crypto.randomUUID()}`);
    const claims = rls ? Array.from({ length: USERS }, (_, n) => ({ role: 'authenticated', sub: userId(n) })) : [{ role: 'anon' }];
    fs.writeFileSync(tokens, claims.map((each) => `${signedToken(secret, each)}\n`).join(''));
    const binding = JSON.stringify({ event: 'INSERT', schema: 'public', table });
    crowd.child = box.start('client', path.join(build, 'bin', 'bench_fanout_client'),
      [gateway.port, clients, tokens, binding].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    crowd.lines = [];
    readline.createInterface({ input: crowd.child.stdout }).on('line', (line) => crowd.lines.push(line));
    await until('all clients to be subscribed', () => {
      if (crowd.child.end) throw new Error(`the load client: ${crowd.child.end}`);
      return crowd.lines.includes(`live=${clients}`);
    }, LIVE_MS);
    return crowd;
  }

  begin() {
    this.lines.length = 0;
    this.child.stdin.write('start\n');
  }

  /** Waits for so many deliveries, but not for ever: figures() tells what there was. */
  async has(count) {
    const end = Date.now() + LAST_MS;
    do {
      await sleep(200);
      this.lines.length = 0;
      this.child.stdin.write('peek\n');
      await until('a count', () => this.lines.length > 0);
    } while (words(this.lines[0]).deliveries < count && Date.now() < end);
  }

  async figures() {
    this.lines.length = 0;
    this.child.stdin.write('stop\n');
    await until('figures', () => this.lines.length > 0);
    return words(this.lines[0]);
  }

  async end(box) {
    this.child.stdin.end();
    await this.child.ended;
    await box.stop(this.child);
  }
}

/** Writes at the rate and resolves to what the writer printed. */
function write({ build, db }, { table, rate, seconds }) {
  return new Promise((done, failed) => {
    const child = spawn(path.join(build, 'bin', 'bench_fanout_writer'), [db.url, table, rate, seconds, TEAMS].map(String),
      { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; });
    child.on('error', failed);
    child.on('close', (code) => (code === 0 ? done(words(text)) : failed(new Error(`the writer ended with ${code}`))));
  });
}

/** What the machine did between two looks: shares of one core, and what others took of all of them. */
function watch(groups) {
  const look = () => ({ machine: machineSeconds(), at: performance.now(),
    cpu: Object.fromEntries(Object.entries(groups).map(([name, pid]) => [name, cpuSeconds(pid)])) });
  const before = look();
  return () => {
    const after = look();
    const seconds = (after.at - before.at) / 1000;
    const cpu = Object.fromEntries(Object.keys(groups).map((name) => [name, (after.cpu[name] - before.cpu[name]) / seconds]));
    const ours = Object.values(cpu).reduce((sum, share) => sum + share, 0);
    const busy = (after.machine.busy - before.machine.busy) / seconds;
    return { cpu, foreign: Math.max(0, busy - ours) / os.cpus().length,
      steal: (after.machine.steal - before.machine.steal) / seconds / os.cpus().length };
  };
}

/** One case: {clients, rls, rate, seconds}; rate 0 only watches. A fresh gateway each time, because its
 * highest memory counts. */
async function measureCase(context, { clients, rls, rate, seconds }) {
  const { box, db } = context;
  const table = rls ? 'bench_rows' : 'bench_open';
  const gateway = await startGateway(box, context);
  const crowd = await Crowd.start(box, context, gateway, { clients, rls, table });
  try {
    const share = clients / (rls ? TEAMS : 1); // of the subscribers, for each change
    crowd.begin();
    if (rate > 0) await crowd.has((await write(context, { table, rate, seconds: WARM_S })).written * share);
    else await sleep(WARM_S * 1000);
    const seen = watch({ gateway: gateway.pid, client: crowd.child.pid, postgres: db.server.pid });
    crowd.begin();
    let written = { written: 0, seconds, late_ms: 0 };
    if (rate > 0) written = await write(context, { table, rate, seconds });
    else await sleep(seconds * 1000);
    const shares = seen();
    const expected = written.written * share;
    await crowd.has(expected);
    const figures = await crowd.figures();
    if (figures.deliveries !== expected || figures.closed > 0) {
      throw new Error(`${figures.deliveries} deliveries instead of ${expected}, ${figures.closed} clients closed`);
    }
    return { ...shares, ...figures, changes: written.written / written.seconds, deliveriesPerS: expected / written.seconds,
      late: written.late_ms, rss: peakRssMib(gateway.pid) };
  } finally {
    await crowd.end(box);
    await box.stop(gateway);
  }
}

const createTables = (db) => run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', TABLES],
  { env: { ...process.env, ...db.env }, stdio: ['ignore', 'pipe', 'inherit'] });

module.exports = { startGateway, measureCase, createTables };
