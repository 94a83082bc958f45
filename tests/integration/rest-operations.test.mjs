// dealflow-rest as a program: settings, signals, what happens while Postgres is slow or away.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { Child, run } from './lib/process.mjs';
import { baseEnv } from './lib/program.mjs';
import { restBinary, startRest } from './lib/rest.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { OWNER, SESSION } from './lib/system.mjs';
import { JWT_SECRET, keyPair, token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const MINE = `[{"id":"${SESSION}"}]`;
const mine = (system, more) => system.ask('stream_sessions?select=id', more);
const codeOf = (answer) => [answer.status, JSON.parse(answer.body).code];

// Views that sleep when they are read: the statement is under way for that long.
const SLEEPERS = `
  create view public.nap as select 1 as id, pg_sleep(0.4)::text as slept;
  create view public.long_sleep as select 1 as id, pg_sleep(30)::text as slept;
  grant select on public.nap, public.long_sleep to authenticated`;

describe('arguments and settings', () => {
  const call = (args, env = {}) => run(restBinary, args, { env: { ...baseEnv, ...env } });
  const enough = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/x', JWT_SECRET };

  test('--help names every setting, --version the version', async () => {
    const help = await call(['--help']);
    assert.equal(help.code, 0);
    for (const name of ['DATABASE_URL', 'REST_MAX_ROWS', 'REST_STATEMENT_TIMEOUT_MS', 'JWKS_FILE']) assert.match(help.text, new RegExp(name));
    assert.match((await call(['--version'])).text, /^dealflow-rest \d+\.\d+\.\d+ \(\w+\)/);
  });
  test('--check prints the settings and no secret', async () => {
    const { code, text } = await call(['--check'], { ...enough, REST_MAX_ROWS: '77' });
    assert.equal(code, 0, text);
    assert.match(text, /^REST_MAX_ROWS=77$/m);
    assert.ok(!text.includes(JWT_SECRET) && !text.includes('127.0.0.1:1'), text);
  });
  test('what is missing or wrong is named', async () => {
    const cases = [[{ JWT_SECRET }, /DATABASE_URL is required/], [{ DATABASE_URL: enough.DATABASE_URL }, /JWT_SECRET, JWKS_FILE or API_KEYS/],
      [{ ...enough, REST_MAX_ROWS: '0' }, /REST_MAX_ROWS/], [{ ...enough, LOG_LEVEL: 'loud' }, /LOG_LEVEL/],
      [{ ...enough, JWKS_FILE: '/nowhere' }, /JWKS_FILE/], [{ ...enough, API_KEYS: 'x' }, /API_KEYS/]];
    for (const [env, message] of cases) {
      const { code, text } = await call(['--check'], env);
      assert.equal(code, 78, text);
      assert.match(text, message);
    }
    const nowhere = await call([], enough);
    assert.deepEqual([nowhere.code, /FCGI_SOCKET/.test(nowhere.text)], [78, true]);
    const unknown = await call(['--nope']);
    assert.deepEqual([unknown.code, /unknown argument '--nope'/.test(unknown.text)], [64, true]);
    const metrics = await call([], { ...enough, FCGI_SOCKET: '127.0.0.1:0', METRICS_LISTEN: '8.8.8.8:1' });
    assert.deepEqual([metrics.code, /METRICS_LISTEN/.test(metrics.text)], [78, true]);
  });
});

describe('a running program', () => {
  let system;
  before(async () => {
    const pair = await keyPair('ES256', 'one');
    system = await startRest({ env: { WORKERS: '1', REST_CONNECTIONS: '2', REST_STATEMENT_TIMEOUT_MS: '1500', REST_WAIT_MS: '200',
      REST_QUEUE_MAX: '2', REST_ANSWER_MAX_BYTES: '65536' } });
    await system.db.query(SLEEPERS);
    system.pair = pair;
    await until('the views to be known', async () => (await system.ask('nap?select=id')).status === 200);
  });
  after(() => system?.stop());

  test('it tells how it is', async () => {
    assert.equal((await mine(system)).body, MINE);
    assert.equal((await system.rest.get('/healthz')).status, 200);
    assert.equal((await system.rest.get('/readyz')).status, 200);
    assert.ok(await system.rest.metric('dealflow_responses_total{status="200"}') >= 1);
    assert.ok(await system.rest.metric('dealflow_request_seconds_count') >= 1);
    assert.ok(await system.rest.metric('dealflow_database_connections') >= 1);
    assert.ok(await system.rest.metric('dealflow_statements_total') >= 1);
  });
  test('a table made later is found after the first miss', async () => {
    await system.db.query('create table public.later (id int); grant select on public.later to authenticated');
    const first = await system.ask('later');
    if (first.status !== 200) assert.deepEqual(codeOf(first), [404, 'PGRST205']);
    await until('the catalogue to be read anew', async () => (await system.ask('later')).status === 200);
    await system.db.query('alter table public.later add column extra text default $$x$$');
    await until('the column to be found', async () => (await system.ask('later?select=extra')).status === 200);
    await system.db.query('drop table public.later');
    assert.deepEqual(codeOf(await system.ask('later')), [404, '42P01']);
    await until('the table to be forgotten', async () => codeOf(await system.ask('later'))[1] === 'PGRST205');
  });
  test('a statement that takes too long is ended', async () => {
    assert.deepEqual(codeOf(await system.ask('long_sleep')), [500, '57014']);
    assert.equal((await mine(system)).body, MINE);
  });
  test('who waits too long for a connection is told so, and so is one too many', async () => {
    const naps = Array.from({ length: 5 }, () => system.ask('nap?select=id,slept'));
    const answers = await Promise.all(naps);
    const seen = answers.map((each) => (each.status === 200 ? '200' : codeOf(each).join(' '))).sort();
    assert.deepEqual(seen, ['200', '200', '503 PGRST003', '504 PGRST003', '504 PGRST003']);
    assert.equal((await mine(system)).body, MINE);
  });
  test('other requests go on while a statement is slow', async () => {
    const slow = system.ask('nap');
    const began = performance.now();
    assert.equal((await mine(system)).body, MINE);
    assert.ok(performance.now() - began < 390, 'it waited for the other one');
    assert.equal((await slow).status, 200);
  });
  test('an answer beyond the limit is an error', async () => {
    await system.db.query(`insert into public.chat_messages (stream_session_id, username, message)
      select '${SESSION}', 'u', repeat('x', 1000) from generate_series(1, 200)`);
    assert.deepEqual(codeOf(await system.ask('chat_messages?select=message')), [500, '54000']);
    assert.equal((await system.ask('chat_messages?select=message&limit=20')).status, 200);
  });
  test('a connection that is killed under it is made anew', async () => {
    for (let i = 0; i < 3; i++) {
      const killed = await system.db.query(`select count(pg_terminate_backend(pid)) as n from pg_stat_activity where application_name = 'dealflow-rest'`);
      assert.ok(Number(killed.rows[0].n) >= 1);
      await until('it to answer', async () => (await mine(system)).body === MINE);
    }
    const during = system.ask('nap');
    await until('the nap to have begun', async () => (await system.db.query(
      `select 1 from pg_stat_activity where application_name = 'dealflow-rest' and state = 'active' and query like '%nap%'`)).rowCount === 1);
    await system.db.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dealflow-rest'`);
    const answer = await during;
    assert.equal(answer.status, 503);
    assert.ok(['57P01', 'PGRST001'].includes(codeOf(answer)[1]), answer.body);
    await until('it to answer', async () => (await mine(system)).body === MINE);
  });
  test('many different statements do not pile up in Postgres', async () => {
    for (let i = 0; i < 260; i++) assert.equal((await system.ask(`stream_sessions?select=a${i}:id`)).status, 200);
    const { rows: [row] } = await system.db.query(`select count(*) as n from pg_stat_activity where application_name = 'dealflow-rest'`);
    assert.equal(Number(row.n), 2);
    assert.equal((await mine(system)).body, MINE);
  });
  test('keys are read anew on SIGHUP, wrong ones are not taken', async () => {
    const bearer = await token({ alg: 'ES256', key: system.pair.privateKey, kid: 'one', role: 'authenticated', sub: OWNER });
    assert.deepEqual(codeOf(await mine(system, { as: bearer })), [401, 'PGRST301']);
    system.writeJwks([system.pair.jwk]);
    system.rest.writeSettings({ JWKS_FILE: system.jwksFile });
    await system.rest.restart();
    assert.equal((await mine(system, { as: bearer })).body, MINE);
    system.writeJwks([]);
    system.rest.kill('SIGHUP');
    await until('the key to be gone', async () => (await mine(system, { as: bearer })).status === 401);
    system.rest.writeSettings({ JWKS_FILE: '/nowhere' });
    system.rest.kill('SIGHUP');
    await system.rest.child.sees(/event=reload_failed/);
    assert.equal((await mine(system)).body, MINE);
    system.rest.writeSettings({});
  });
  test('it drains: what is under way is answered', async () => {
    const under = system.ask('nap');
    await until('it to be under way', async () => (await system.rest.metric('dealflow_requests_active')) >= 1);
    await system.rest.stop();
    assert.equal((await under).status, 200);
    const away = await mine(system);
    assert.deepEqual(codeOf(away), [503, 'UNAVAILABLE']);
    assert.deepEqual([away.headers['retry-after'], away.headers['access-control-allow-origin']], ['1', '*']);
    await system.rest.start();
    assert.equal((await mine(system)).body, MINE);
  });
  test('a second signal ends it at once', async () => {
    system.ask('long_sleep').catch(() => {});
    await until('it to be under way', async () => (await system.rest.metric('dealflow_requests_active')) >= 1);
    const { child } = system.rest;
    child.signalNow('SIGTERM');
    await child.sees(/event=drain_started/);
    child.signalNow('SIGTERM');
    await child.ended;
    assert.equal(child.code, 1);
    await system.rest.start();
  });
});

describe('Postgres away', () => {
  let system;
  before(async () => { system = await startRest({ postgres: await startPostgres() }); });
  after(() => system?.stop());

  test('503 while it is gone, rows as soon as it is back', async () => {
    assert.equal((await mine(system)).body, MINE);
    await system.postgres.stop();
    await until('it to be noticed', async () => (await system.rest.get('/readyz')).status === 503);
    const asked = performance.now();
    assert.deepEqual(codeOf(await mine(system)), [503, 'PGRST001']);
    assert.ok(performance.now() - asked < 5_000, 'nobody waits long for a server that is away');
    await system.postgres.start();
    await until('it to answer', async () => (await mine(system)).body === MINE);
    assert.equal((await system.rest.get('/readyz')).status, 200);
  });
  test('started before Postgres it waits for it', async () => {
    await system.rest.stop();
    await system.postgres.stop();
    await system.rest.start({ ready: false });
    assert.deepEqual(codeOf(await mine(system)), [503, 'PGRST002']);
    await system.postgres.start();
    await system.rest.ready();
    assert.equal((await mine(system)).body, MINE);
  });
});

describe('POSTGREST_URL', () => {
  test('nginx passes everything on to that server, without the prefix', async () => {
    const seen = [];
    const server = http.createServer((request, response) => {
      seen.push([request.method, request.url, request.headers.authorization, request.headers.prefer]);
      response.setHeader('content-type', 'application/json');
      response.end('[{"id":1}]');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const system = await startRest({ nginx: { POSTGREST_URL: `http://127.0.0.1:${server.address().port}` } });
    try {
      const { data } = await system.owner.from('things').select('id').eq('id', 1);
      assert.deepEqual(data, [{ id: 1 }]);
      await system.ask('things?select=id', { as: null, headers: { apikey: 'the-key' }, method: 'POST', body: '{}' });
      assert.deepEqual(seen, [['GET', '/things?select=id&id=eq.1', `Bearer ${system.ownerToken}`, undefined],
        ['POST', '/things?select=id', 'Bearer the-key', undefined]]);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      assert.deepEqual(codeOf(await system.ask('things')), [503, 'UNAVAILABLE']);
    } finally {
      server.closeAllConnections();
      server.close();
      await system.stop();
    }
  });
});
