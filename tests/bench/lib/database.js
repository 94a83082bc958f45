// tests/bench/lib/database.js - a Postgres server of the benchmark's own: on the disk that TMPDIR is
// on, durable as in production (fsync and synchronous_commit on), migrated by sql/migrate, with
// sessions to write to.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const { ROOT, isRoot, run, sleep } = require('./box.js');

const SESSIONS = 20;
const QUIET_MS = 250; // no transaction for so long: the last run is over
const SETTINGS = {
  listen_addresses: '',
  port: '5432', // only names the socket: nothing listens on TCP
  max_connections: '120',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  synchronous_commit: 'on',
  fsync: 'on',
  logging_collector: 'off',
  log_min_messages: 'warning',
};
const DATA_TABLES = 'public.chat_messages, public.message_analysis, public.sales_captured';

/** Server binaries: PG_BIN, or the newest Debian version. */
function binFolder() {
  if (process.env.PG_BIN) return process.env.PG_BIN;
  const base = '/usr/lib/postgresql';
  const versions = fs.existsSync(base) ? fs.readdirSync(base).map(Number).filter(Boolean) : [];
  if (versions.length === 0) throw new Error(`no Postgres server in ${base}; set PG_BIN`);
  return path.join(base, String(Math.max(...versions)), 'bin');
}

/** The server refuses root: run it as the user postgres then. */
function asServerUser(command, args) {
  if (!isRoot) return [command, args];
  return ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', command, ...args]];
}

class Database {
  constructor(dir) {
    this.dir = dir;
    this.url = `postgresql:///postgres?host=${encodeURIComponent(dir)}&user=postgres`;
    this.env = { PGHOST: dir, PGPORT: '5432', PGDATABASE: 'postgres', PGUSER: 'postgres' };
  }

  static async start(box, { migrate = path.join(ROOT, 'sql', 'migrate') } = {}) {
    const bin = binFolder();
    const dir = box.file('pg');
    const data = path.join(dir, 'data');
    fs.mkdirSync(dir, { mode: 0o755 });
    if (isRoot) run('chown', ['postgres:postgres', dir]);
    const initdb = asServerUser(path.join(bin, 'initdb'), [
      '-D', data, '-U', 'postgres', '-A', 'trust', '--locale=C.UTF-8', '-E', 'UTF8', '-N']);
    run(initdb[0], initdb[1], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
    const settings = { ...SETTINGS, unix_socket_directories: dir };
    const server = asServerUser(path.join(bin, 'postgres'), [
      '-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]);
    const db = new Database(dir);
    db.server = box.start('postgres', server[0], server[1], { cwd: dir, stopSignal: 'SIGINT' });
    await box.ready('postgres', db.server, () => db.sql('select 1') === '1');
    run(migrate, [], { env: { ...process.env, ...db.env, DATABASE_URL: db.url },
      stdio: ['ignore', fs.openSync(box.file('migrate.log'), 'w'), 'inherit'] });
    db.addSessions();
    return db;
  }

  sql(text) {
    return run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', text],
      { env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  }

  /** One seller with SESSIONS sessions; the sign-up trigger may already have made the profile. */
  addSessions() {
    this.sql(`
      insert into auth.users (id, email)
      values ('00000000-0000-4000-8000-000000000001', 'seller@example.test');
      insert into public.profiles (id, email)
      values ('00000000-0000-4000-8000-000000000001', 'seller@example.test')
      on conflict do nothing;
      insert into public.stream_sessions (user_id, platform)
      select '00000000-0000-4000-8000-000000000001', 'whatnot' from generate_series(1, ${SESSIONS});`);
    this.sessions = this.sql('select id from public.stream_sessions order by id').split('\n');
  }

  /** Same ground for every run: nothing left over from requests that wrk cut off, empty tables, no
   * dead rows, no checkpoint falling due. */
  async reset() {
    let before;
    do {
      before = this.writes();
      await sleep(QUIET_MS);
    } while (this.writes() !== before);
    this.sql(`truncate ${DATA_TABLES} cascade;
      update public.stream_sessions set total_sales_caught = 0, total_revenue_recovered = 0;`);
    const log = this.changeLog();
    if (log) this.sql(`truncate ${log}`);
    this.sql('vacuum analyze public.stream_sessions');
    this.sql('checkpoint');
  }

  /** Name of the change log table, '' when there is none. */
  changeLog() {
    return this.sql("select to_regclass('dealflow.change_log')");
  }

  rows() {
    return Number(this.sql('select count(*) from public.chat_messages'));
  }

  sales() {
    return Number(this.sql('select count(*) from public.sales_captured'));
  }

  /** Transactions that wrote something, ever. pg_stat_database.xact_commit would count the same but
   * lags by up to ten seconds, because backends report it late. */
  writes() {
    return Number(this.sql('select pg_snapshot_xmax(pg_current_snapshot())'));
  }
}

module.exports = { Database, SESSIONS };
