// sql/: what the realtime gateway asks Postgres, on every server version: filters in the columns' own
// types, rows by role, the log by snapshots, and that applying the files twice changes nothing.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate, newerBinDir, newerVersions, psql, startPostgres } from './lib/postgres.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const files = fs.readdirSync(path.join(here, '../../sql/migrations')).filter((name) => /_realtime_/.test(name)).sort();

const uuid = '11111111-1111-4111-8111-111111111111';
const TYPES = `
  create type public.mood as enum ('sad', 'ok', 'happy');
  create domain public.score as int check (value >= 0);
  create table public.sample (
    id uuid primary key, t text, v varchar(5), c char(4), b bool, i int, big bigint, num numeric(10, 2), f float8,
    d date, ts timestamp, tz timestamptz, j jsonb, tags text[], m public.mood, s public.score, raw bytea, "Odd ""name" text);
  insert into public.sample values ('${uuid}', 'It''s 100%', 'abc', 'ab', true, 9, 9007199254740993, 12.50, 0.5,
    '2026-11-22', '2026-11-22 10:00', '2026-11-22 10:00+00', '{"a": [1, null]}', '{a,"b c"}', 'ok', 7, '\\x00ff', 'odd');
  select dealflow.watch_table('public.sample', p_old_columns => '{t,i}');
  grant select on public.sample to service_role, authenticated;
  alter table public.sample enable row level security;`;

const versions = [['Debian\'s', undefined], ...newerVersions.map((version) => [version, () => newerBinDir(version)])];

for (const [version, binDir] of versions) {
  describe(`realtime functions on Postgres ${version}`, () => {
    let server;
    let client;
    before(async () => {
      server = await startPostgres(binDir ? { binDir: binDir() } : {});
      const { code, stderr } = await migrate(server.url());
      assert.equal(code, 0, stderr);
      await psql(server.url(), TYPES);
      await psql(server.url(), `create role dealflow_realtime login noinherit;
        grant anon, authenticated, service_role to dealflow_realtime`);
      client = new pg.Client({ connectionString: server.url('dealflow_realtime') });
      await client.connect();
      await client.query('set role service_role');
    });
    after(async () => {
      await client?.end();
      await server?.remove();
    });

    const condition = (column, op, value, not = false) => (op === 'in'
      ? { column, op, not, values: value } : { column, op, not, value });

    async function rows(op, { table = 'sample', ids = [uuid], keys = null, old = null, roles = ['service_role'], filters = null } = {}) {
      const { rows: found } = await client.query(
        'select * from dealflow.realtime_rows($1, $2, $3, $4::uuid[], $5::jsonb, $6::jsonb, $7::text[], $8::jsonb)',
        ['public', table, op, ids, keys && JSON.stringify(keys), old && JSON.stringify(old), roles, filters && JSON.stringify(filters)]);
      return found;
    }
    const passes = async (...conditions) => {
      const filter = conditions.map((each) => condition(...each));
      const { rows: [{ wrong }] } = await client.query(
        `select dealflow.realtime_check('service_role', 'public', 'sample', $1::jsonb, '[]') as wrong`, [JSON.stringify(filter)]);
      assert.equal(wrong, null, JSON.stringify(filter));
      const [row] = await rows('INSERT', { filters: [{ id: 1, conditions: filter }] });
      return row.passed.length === 1;
    };

    test('values compare in the type of their column', async () => {
      const yes = [
        ['t', 'eq', "It's 100%"], ['t', 'like', "It's 1__\\%"], ['t', 'ilike', 'IT%'], ['t', 'match', "^It's \\d+%$"], ['t', 'imatch', '^it'],
        ['v', 'eq', 'abc'], ['v', 'lt', 'abcdefgh'], ['v', 'neq', 'abcdefgh'], ['c', 'eq', 'ab'], ['c', 'neq', 'abcdef'],
        ['b', 'eq', 't'], ['b', 'is', 'true'], ['b', 'neq', 'false'], ['i', 'lt', '10'], ['i', 'gt', '-10'], ['i', 'in', ['8', '9']],
        ['big', 'eq', '9007199254740993'], ['big', 'gt', '9007199254740992'], ['num', 'eq', '12.5'], ['num', 'gte', '12.500'], ['f', 'eq', '5e-1'],
        ['d', 'gt', '2026-02-01'], ['ts', 'lte', '2026-11-22T10:00:00'], ['tz', 'eq', '2026-11-22T12:00:00+02:00'], ['id', 'eq', uuid.toUpperCase()],
        ['id', 'in', [uuid]], ['m', 'gt', 'sad'], ['m', 'in', ['ok', 'sad']], ['s', 'eq', '7'], ['s', 'isdistinct', '8'], ['j', 'eq', '{"a":[1,null]}'],
        ['tags', 'eq', '{a,b c}'], ['raw', 'eq', '\\x00ff'], ['Odd "name', 'eq', 'odd'], ['t', 'is', 'null', true], ['i', 'isdistinct', '9', true],
        ['t', 'in', ['x,y', 'a "b" \\ {c}', "It's 100%"]],
      ];
      for (const each of yes) {
        assert.equal(await passes(each), true, JSON.stringify(each));
        const [column, op, value, not = false] = each;
        assert.equal(await passes([column, op, value, !not]), false, `not ${JSON.stringify(each)}`);
      }
      assert.equal(await passes(['i', 'gt', '5'], ['t', 'like', 'It%']), true);
      assert.equal(await passes(['i', 'gt', '5'], ['t', 'like', 'no%']), false);
    });

    test('null satisfies no comparison, negated or not', async () => {
      const other = '22222222-2222-4222-8222-222222222222';
      await psql(server.url(), `insert into public.sample (id) values ('${other}')`);
      const ask = async (...each) => {
        const [row] = await rows('INSERT', { ids: [other], filters: [{ id: 1, conditions: [condition(...each)] }] });
        return row.passed.length === 1;
      };
      for (const op of ['eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'like', 'ilike', 'match', 'imatch'])
        for (const not of [false, true]) assert.equal(await ask('t', op, 'x', not), false, `${op} ${not}`);
      for (const not of [false, true]) assert.equal(await ask('t', 'in', ['x'], not), false, `in ${not}`);
      assert.deepEqual([await ask('t', 'is', 'null'), await ask('t', 'is', 'null', true)], [true, false]);
      assert.deepEqual([await ask('b', 'is', 'unknown'), await ask('b', 'is', 'true'), await ask('b', 'is', 'true', true)], [true, false, true]);
      assert.deepEqual([await ask('t', 'isdistinct', 'x'), await ask('t', 'isdistinct', 'x', true)], [true, false]);
    });

    test('filters by equality of one column are told apart', async () => {
      const [row] = await rows('INSERT', { filters: [
        { column: 'i', ids: [4, 5, 6], values: ['8', '9', '09'] }, { column: 't', ids: [7], values: ['x'] },
        { column: 'nope', ids: [8], values: ['x'] }, { id: 9, conditions: [condition('nope', 'eq', 'x')] }] });
      assert.deepEqual(row.passed.sort(), [5, 6]);
    });

    test('what is wrong with a filter is an error before it is used', async () => {
      const wrong = async (...each) => {
        const { rows: [{ text }] } = await client.query(
          `select dealflow.realtime_check('authenticated', 'public', 'sample', $1::jsonb, '[]') as text`, [JSON.stringify([condition(...each)])]);
        return text;
      };
      for (const [each, what] of [
        [['i', 'eq', 'x'], /22P02 .* invalid input syntax for type integer: "x"$/],
        [['i', 'eq', '99999999999'], /22003 .* out of range for type integer$/],
        [['d', 'eq', '2026-13-01'], /22008 /], [['tz', 'eq', 'noon'], /22007 /], [['m', 'eq', 'angry'], /invalid input value for enum/],
        [['i', 'like', '1%'], /42883 .* operator does not exist: integer ~~ text/], [['t', 'is', 'true'], /42804 .* must be type boolean/],
        [['t', 'match', '('], /2201B .* parentheses \(\) not balanced/], [['t', 'imatch', '[z-a]'], /2201B/], [['t', 'like', 'a\\'], /22025 /],
        [['t', 'in', Array(101).fill('x')], /too many values for `in` filter. Maximum 100$/], [['t', 'is', 'maybe'], /invalid value for operator is/],
        [['nope', 'eq', '1'], /invalid column for filter nope$/], [['ctid', 'eq', '(0,1)'], /invalid column for filter ctid$/],
        [['t', 'eq; drop table', '1'], /unknown operator/], [["t') or ('1'='1", 'eq', '1'], /invalid column for filter/],
      ]) assert.match(await wrong(...each) ?? 'nothing', what, JSON.stringify(each).slice(0, 80));
      assert.equal(await wrong('t', 'eq', "'; drop table public.sample; --"), null);
    });

    test('values and columns are those of to_jsonb and pg_type', async () => {
      const [row] = await rows('INSERT');
      assert.deepEqual(JSON.parse(row.shown_columns).map((each) => each.type), ['uuid', 'text', 'varchar', 'bpchar', 'bool', 'int4', 'int8', 'numeric',
        'float8', 'date', 'timestamp', 'timestamptz', 'jsonb', '_text', 'mood', 'score', 'bytea', 'text']);
      assert.match(row.new_record, /"big": 9007199254740993[,}]/);
      const { big, ...record } = JSON.parse(row.new_record);
      assert.deepEqual(record, { id: uuid, t: "It's 100%", v: 'abc', c: 'ab  ', b: true, i: 9, num: 12.5, f: 0.5, d: '2026-11-22', ts: '2026-11-22T10:00:00',
        tz: '2026-11-22T10:00:00+00:00', j: { a: [1, null] }, tags: ['a', 'b c'], m: 'ok', s: 7, raw: '\\x00ff', 'Odd "name': 'odd' });
      assert.deepEqual([row.role, row.is_visible, JSON.parse(row.key), row.old_record], ['service_role', true, uuid, null]);
      const [mine] = await rows('INSERT', { roles: ['authenticated', 'anon', 'postgres', 'nobody'] });
      assert.deepEqual([mine.role, mine.is_visible], ['authenticated', false]);
    });

    test('of a deleted row only the key is shown, and filters ask what the log kept', async () => {
      const old = [{ id: uuid, t: 'gone', i: 3 }, { id: uuid, t: 'other', i: null }];
      const filters = [{ id: 1, conditions: [condition('t', 'like', 'g%'), condition('i', 'lt', '5')] }, { id: 2, conditions: [condition('v', 'eq', 'abc')] },
        { id: 3, conditions: [condition('v', 'is', 'null')] }, { column: 't', ids: [4, 5], values: ['other', 'gone'] }, { column: 'num', ids: [6], values: ['1'] }];
      const found = await rows('DELETE', { ids: null, old, filters, roles: ['authenticated'] });
      assert.deepEqual(found.map((row) => [row.n, row.is_visible, row.new_record, JSON.parse(row.old_record), row.passed.sort()]),
        [['1', true, null, { id: uuid }, [1, 5]], ['2', true, null, { id: uuid }, [4]]]);
    });

    test('keys of every kind', async () => {
      await psql(server.url(), `
        create table public.by_int (id int primary key, a text);
        create table public.by_text (name text primary key, a text);
        create table public.by_two (a int, b text, c text, primary key (b, a));
        select dealflow.watch_table(t) from unnest(array['by_int', 'by_text', 'by_two']::regclass[]) t;
        grant select on public.by_int, public.by_text, public.by_two to authenticated;
        alter table public.by_int enable row level security;
        alter table public.by_text enable row level security;
        alter table public.by_two enable row level security;
        create policy p on public.by_int to authenticated using (a = (select auth.uid())::text);
        create policy p on public.by_text to authenticated using (a = (select auth.uid())::text);
        create policy p on public.by_two to authenticated using (c = (select auth.uid())::text);
        insert into public.by_int values (1, '${uuid}'), (2, 'x'), (3, '${uuid}');
        insert into public.by_text values ('it''s "1"', '${uuid}'), ('2', 'x'), ('3', '${uuid}');
        insert into public.by_two values (1, 'it''s "1"', '${uuid}'), (2, '2', 'x'), (3, '3', '${uuid}')`);
      const cases = {
        by_int: [1, 2, 3, 4], by_text: ['it\'s "1"', '2', '3', '4'],
        by_two: [{ a: 1, b: 'it\'s "1"' }, { a: 2, b: '2' }, { a: 3, b: '3' }, { a: 4, b: '4' }],
      };
      const claims = [JSON.stringify({ role: 'authenticated', sub: uuid }), JSON.stringify({ role: 'authenticated', sub: 'not a uuid' }), JSON.stringify({ role: 'anon' })];
      for (const [table, keys] of Object.entries(cases)) {
        const found = await rows('UPDATE', { table, ids: null, keys, old: [...keys.slice(0, 2), null, null].map((key) => (typeof key === 'object' ? key : { [table === 'by_int' ? 'id' : 'name']: key, extra: 1 })), roles: ['authenticated'] });
        assert.deepEqual(found.map((row) => [Number(row.n), JSON.parse(row.key)]), keys.slice(0, 3).map((key, n) => [n + 1, key]), table);
        assert.deepEqual(JSON.parse(found[2].old_record), {}, 'the old row of a changed key is not known');
        const { rows: seen } = await client.query('select * from dealflow.realtime_visible($1, $2, $3::text[], $4::text[])',
          ['public', table, claims, claims.map(() => JSON.stringify(keys))]);
        assert.deepEqual(seen.map((each) => each.seen?.map(Number) ?? null), [[1, 3], null, null], table);
        assert.deepEqual(seen.map((each) => each.error === null), [true, false, false], table);
      }
    });

    test('becoming somebody ends with the question', async () => {
      const claims = [JSON.stringify({ role: 'authenticated', sub: uuid }), JSON.stringify({ role: 'none' })];
      const { rows: seen } = await client.query(`select * from dealflow.realtime_visible('public', 'sample', $1::text[], $2::text[])`, [claims, [`{${uuid}}`, `{${uuid}}`]]);
      assert.deepEqual(seen.map((each) => each.error), [null, 'role "none" does not exist']);
      await client.query(`select dealflow.realtime_may($1, 'a', 'broadcast')`, [claims[0]]);
      const { rows: [now] } = await client.query(`select current_user as who, current_setting('request.jwt.claims', true) as claims`);
      assert.deepEqual([now.who, now.claims ?? ''], ['service_role', '']);
    });

    test('statements that others put into the session are not run', async () => {
      await rows('INSERT');
      const { rows: mine } = await client.query(`select name from pg_prepared_statements where name like 'dealflow\\_%'`);
      assert.ok(mine.length > 0);
      for (const { name } of mine) {
        await client.query(`deallocate "${name}"`);
        await client.query(`prepare "${name}" (uuid[], jsonb, jsonb, jsonb, jsonb) as
          select 1::bigint, current_user::text, true, 'null', '[]', '{"stolen": true}', null::text, '{}'::int[]`);
      }
      const [row] = await rows('INSERT');
      assert.deepEqual([row.role, JSON.parse(row.key)], ['service_role', uuid]);
      for (let n = 0; n < 70; n++) await rows('INSERT', { filters: [{ id: n, conditions: [condition('i', 'eq', String(n))] }] });
      const { rows: [{ count }] } = await client.query(`select count(*)::int from pg_prepared_statements where name like 'dealflow\\_%'`);
      assert.ok(count <= 64, `${count} statements are kept`);
    });

    test('the log is read between snapshots: once, and not before it is visible', async () => {
      const first = new pg.Client({ connectionString: server.url() });
      await first.connect();
      const snapshot = async () => (await client.query('select snapshot::text from dealflow.realtime_log(null, null, 0, 10)')).rows[0].snapshot;
      const read = async (last, upto = null, after = 0, limit = 100) => {
        const { rows: page } = await client.query('select *, snapshot::text as snapshot from dealflow.realtime_log($1::pg_snapshot, $2::pg_snapshot, $3, $4)', [last, upto, after, limit]);
        return { snapshot: page[0].snapshot, entries: page.filter((each) => each.seq !== null) };
      };
      const touch = (session, n) => session.query(`update public.sample set i = ${n} where id = $1`, [uuid]);
      const last = await snapshot();
      await first.query('begin');
      await touch(first, 1);
      const during = await read(last);
      assert.deepEqual(during.entries, []);
      await first.query('commit');
      await touch(first, 2);
      await touch(first, 3);
      const page = await read(during.snapshot, null, 0, 2);
      const rest = await read(during.snapshot, page.snapshot, page.entries[1].seq, 2);
      assert.equal(page.entries.length, 2);
      assert.equal(rest.entries.length, 1);
      const seqs = [...page.entries, ...rest.entries].map((each) => Number(each.seq));
      assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
      assert.deepEqual((await read(page.snapshot)).entries, []);
      await first.end();
    });

    test('applying the files again changes nothing', async () => {
      const shape = () => psql(server.url(), `select p.oid::regprocedure, md5(pg_get_functiondef(p.oid)), p.proacl::text, obj_description(p.oid)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('dealflow', 'realtime') and p.prokind = 'f' order by p.oid::regprocedure::text`);
      const before = await shape();
      for (const file of files) await psql(server.url(), `set client_min_messages = error; ${fs.readFileSync(path.join(here, '../../sql/migrations', file), 'utf8')}`);
      assert.equal(await shape(), before);
      const missing = await psql(server.url(), `select p.oid::regprocedure from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where n.nspname = 'dealflow' and p.proname like 'realtime%' and (obj_description(p.oid) is null or has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('public', p.oid, 'execute'))`);
      assert.equal(missing, '', 'without a comment, or open to everybody');
    });
  });
}

describe('realtime functions with an extension', () => {
  test('a type brings its own operators', async () => {
    const server = await startPostgres();
    try {
      const { code, stderr } = await migrate(server.url());
      assert.equal(code, 0, stderr);
      await psql(server.url(), `create schema extensions; create extension citext schema extensions;
        create table public.mails (id int primary key, mail extensions.citext);
        insert into public.mails values (1, 'Me@Example.test');
        select dealflow.watch_table('public.mails')`);
      for (const [op, value, want] of [['eq', 'me@example.TEST', '{7}'], ['like', 'me@%', '{7}'], ['in', 'ME@EXAMPLE.TEST', '{7}'], ['neq', 'me@example.test', '{}']]) {
        const filter = JSON.stringify([{ id: 7, conditions: [op === 'in' ? { column: 'mail', op, values: [value] } : { column: 'mail', op, value }] }]);
        assert.equal(await psql(server.url(), `select passed from dealflow.realtime_rows('public', 'mails', 'INSERT', null, '[1]', null, '{postgres}', '${filter}')`), want, op);
      }
    } finally {
      await server.remove();
    }
  });
});
