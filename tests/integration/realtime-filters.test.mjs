// Filters deliver exactly the rows that the same condition selects in SQL, in the column's own type;
// what is wrong with one is said in the documented words. Checklist 26 and 27.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { postgresChangesFilter } from 'supabase-js-2119';
import { startRealtime } from './lib/realtime.mjs';

// Everything that a filter may compare, with values that trap: "10" sorts before "9" as text.
const TABLE = `
  create type public.mood as enum ('low', 'middle', 'high');
  create table public.filtered (
    id uuid primary key default gen_random_uuid(), n int8, price numeric, name text, code varchar(20), flag boolean,
    at timestamptz, day date, owner uuid, mood public.mood, tags text[], doc jsonb);
  grant select on public.filtered to anon, authenticated, service_role;
  select dealflow.watch_table('public.filtered', 'stream_session_id', '{n,name,flag}')`;
const U1 = '11111111-1111-4111-8111-111111111111';
const U2 = 'ABCDEF00-1111-4111-8111-111111111111';
const ROWS = `
  insert into public.filtered (n, price, name, code, flag, at, day, owner, mood, tags, doc) values
    (9, 9.5, 'alice', 'a', true, '2026-01-01 00:00Z', '2026-01-01', '${U1}', 'low', '{a,b}', '{"x": 1}'),
    (10, 10.50, 'Bob', 'b', false, '2026-01-01 01:00+01', '2026-01-02', '${U2}', 'middle', '{}', '{}'),
    (100, 1e3, 'a,b', 'c.d', null, '2026-06-01 00:00Z', '2026-06-01', null, 'high', '{"a,b"}', '[]'),
    (-1, -0.001, 'say "hi"', 'e=f', true, '2025-12-31 23:59:59.999Z', '2025-12-31', '${U1}', null, null, null),
    (null, null, null, null, null, null, null, null, null, null, null),
    (9007199254740993, 12345678901234567890.5, 'ALICE', 'ä ö', false, 'infinity', 'infinity', '${U2}', 'low', '{x}', '1'),
    (0, 0, '', '', true, '1970-01-01', '1970-01-01', '${U1}', 'low', '{a}', 'null'),
    (7, 7, '50% off', '100', false, '2026-01-01', '2026-01-01', '${U2}', 'high', '{z}', '"s"'),
    (8, 8, 'back\\slash_', '(x)', true, '2026-01-01', '2026-01-01', '${U1}', 'middle', '{y}', '{"a": "b"}'),
    (11, 11, '日本語 😀', 'null', false, '2026-01-01', '2026-01-01', null, 'low', '{é}', '{"é": 1}')`;

const CASES = [ // filter, the same in SQL
  ['n=eq.10', 'n = 10'], ['n=neq.10', 'n <> 10'], ['n=lt.10', 'n < 10'], ['n=lte.10', 'n <= 10'], ['n=gt.9', 'n > 9'], ['n=gte.9', 'n >= 9'],
  ['n=eq.9007199254740993', 'n = 9007199254740993'], ['n=eq.9007199254740992', 'n = 9007199254740992'], ['n=lt.-0', 'n < 0'], ['n=eq. 10 ', 'n = 10'],
  ['price=eq.10.5', 'price = 10.5'], ['price=gt.10', 'price > 10'], ['price=eq.1000', 'price = 1000'], ['price=lt.0', 'price < 0'],
  ['name=eq.alice', "name = 'alice'"], ['name=neq.alice', "name <> 'alice'"], ['name=eq."a,b"', "name = 'a,b'"],
  ['name=eq."say \\"hi\\""', `name = 'say "hi"'`], ['name=eq.', "name = ''"], ['name=gt.a', "name > 'a'"], ['name=eq.日本語 😀', "name = '日本語 😀'"],
  ['code=eq.c.d', "code = 'c.d'"], ['code=eq.e=f', "code = 'e=f'"], ['code=eq.(x)', "code = '(x)'"], ['code=eq.100', "code = '100'"],
  ['flag=eq.true', 'flag'], ['flag=eq.f', 'not flag'], ['flag=neq.true', 'flag <> true'], ['flag=is.null', 'flag is null'], ['flag=is.true', 'flag is true'],
  ['flag=is.false', 'flag is false'], ['flag=is.unknown', 'flag is unknown'], ['flag=not.is.true', 'flag is not true'], ['name=is.null', 'name is null'],
  ['name=not.is.null', 'name is not null'],
  ['at=eq.2026-01-01T00:00:00Z', "at = '2026-01-01T00:00:00Z'"], ['at=eq.2026-01-01T02:00:00+02:00', "at = '2026-01-01T02:00:00+02:00'"],
  ['at=lt.2026-01-01', "at < '2026-01-01'"], ['at=gte.2026-06-01', "at >= '2026-06-01'"], ['day=gt.2026-01-01', "day > '2026-01-01'"],
  [`owner=eq.${U1}`, `owner = '${U1}'`], [`owner=eq.${U2.toLowerCase()}`, `owner = '${U2}'`], [`owner=neq.${U1}`, `owner <> '${U1}'`],
  ['mood=eq.high', "mood = 'high'"], ['mood=gt.low', "mood > 'low'"], ['tags=eq."{a,b}"', "tags = '{a,b}'"], ['tags=neq."{a,b}"', "tags <> '{a,b}'"],
  ['tags=in.("{a,b}",{x},{})', "tags in ('{a,b}', '{x}', '{}')"], ['tags=not.in.("{a,b}",{x})', "tags not in ('{a,b}', '{x}')"], ['doc=eq.{"x":1}', `doc = '{"x":1}'`],
  ['n=in.(9,10,11)', 'n in (9, 10, 11)'], ['name=in.(alice,"a,b",Bob)', "name in ('alice', 'a,b', 'Bob')"], ['name=not.in.(alice,Bob)', "name not in ('alice', 'Bob')"],
  [`owner=in.(${U1},${U2})`, 'owner is not null'], ['n=in.(1)', 'false'], ['mood=in.(low,high)', "mood in ('low', 'high')"],
  ['name=like.a%', "name like 'a%'"], ['name=ilike.a%', "name ilike 'a%'"], ['name=like.%', 'name is not null'], ['name=like.50\\% off', "name like '50\\% off'"],
  ['name=not.like.a%', "name not like 'a%'"], ['name=like._ob', "name like '_ob'"], ['code=ilike.%D', "code ilike '%D'"],
  ['name=match.^[a-c]', "name ~ '^[a-c]'"], ['name=imatch.^[a-c]', "name ~* '^[a-c]'"], ['name=not.match.^a', "name !~ '^a'"], ['name=match."^(alice|Bob)$"', "name ~ '^(alice|Bob)$'"],
  ['n=isdistinct.10', 'n is distinct from 10'], ['name=isdistinct.alice', "name is distinct from 'alice'"], ['n=not.isdistinct.10', 'n is not distinct from 10'],
  ['n=not.eq.10', 'n <> 10'], ['n=not.gt.9', 'n <= 9'], ['n=gt.5,n=lt.10', 'n > 5 and n < 10'],
  ['name=neq.alice,flag=is.true,n=gte.0', "name <> 'alice' and flag and n >= 0"], ['n=eq.9,n=eq.10', 'false'], ['', 'true'], ['  ', 'true'],
  ['n=eq.9,name=in.(alice,"x,y"),flag=not.is.false', "n = 9 and name in ('alice', 'x,y') and flag is not false"],
];

const ERRORS = [ // filter, the message
  ['n=foo.hey', /^Error parsing `filter` params: \["foo", "hey"\]$/],
  ['undefined', /^Error parsing `filter` params: \["undefined"\]$/],
  ['n=in.1,2', /^Error parsing `filter` params: `in` filter value must be wrapped by parentheses$|^Error parsing `filter` params: \["2"\]$/],
  ['n=in.1', /^Error parsing `filter` params: `in` filter value must be wrapped by parentheses$/],
  ['n=eq.1,', /^Error parsing `filter` params: filter must not contain empty segments \(check for extra commas\)$/],
  ['n=eq.1,,n=eq.2', /^Error parsing `filter` params: filter must not contain empty segments \(check for extra commas\)$/],
  ['no_such=eq.1', /Exception: .*invalid column for filter no_such/],
  ['n=eq.ten', /Exception: .*invalid input syntax for type bigint: "ten"/],
  ['n=in.(1,two)', /Exception: .*invalid input syntax for type bigint: "two"/],
  ['owner=eq.not-a-uuid', /Exception: .*invalid input syntax for type uuid: "not-a-uuid"/],
  [`n=in.(${Array.from({ length: 101 }, (_, i) => i).join(',')})`, /too many values for `in` filter\. Maximum 100/],
  ['name=match.(', /Exception: .*(invalid regular expression|parentheses)/],
  ['n=like.1%', /^Unable to subscribe to changes with given parameters/],
  ['n=is.true', /^Unable to subscribe to changes with given parameters|^Error parsing `filter` params/],
  ["n=eq.1'; drop table public.filtered; --", /Exception: .*invalid input syntax for type bigint/],
];

describe('filters', () => {
  let world;
  let client;
  before(async () => {
    world = await startRealtime({ sql: TABLE });
    client = await world.client({ role: 'service_role' });
  });
  after(() => world?.stop());

  // One channel with a binding a case (the library wants them to differ).
  async function subscribe(name, event, filters) {
    const feed = await client.subscribe(name, filters.map((filter) => ({ event, schema: 'public', table: 'filtered', filter })));
    await feed.live();
    return feed;
  }
  const got = (feed, i, part = 'new') => feed.events.filter((event) => event.binding === i).map((event) => event[part].id).sort();
  const selected = async (sql) => (await world.db.query(`select id from public.filtered where ${sql}`)).rows.map((row) => row.id).sort();

  test('26. INSERT: each filter delivers what SQL selects', async () => {
    const feed = await subscribe('inserts', 'INSERT', CASES.map(([filter]) => filter));
    await world.db.query(ROWS);
    await client.settle();
    for (const [i, [filter, sql]] of CASES.entries()) assert.deepEqual(got(feed, i), await selected(sql), filter);
    assert.deepEqual(feed.systems.filter((each) => each.status !== 'ok'), []);
    await client.supabase.removeChannel(feed.channel);
  });

  test('26. UPDATE is filtered on the new row', async () => {
    const feed = await subscribe('updates', 'UPDATE', ['n=gt.1000', 'name=eq.changed', 'n=lt.1000']);
    const { rows } = await world.db.query("update public.filtered set n = n + 2000, name = 'changed' where n between 7 and 11 returning id");
    await client.settle();
    const ids = rows.map((row) => row.id).sort();
    assert.deepEqual([got(feed, 0), got(feed, 1), got(feed, 2)], [ids, ids, []]);
    await client.supabase.removeChannel(feed.channel);
  });

  test('26. DELETE is filtered by the key and by the columns that the log keeps', async () => {
    const { rows: [row] } = await world.db.query("insert into public.filtered (n, name, flag) values (77, 'to go', true) returning id");
    await world.db.query("insert into public.filtered (n, name, flag) values (78, 'to go', false)");
    const feed = await subscribe('deletes', 'DELETE', [`id=eq.${row.id}`, 'n=eq.77', 'flag=eq.false', '', 'n=eq.5']);
    await world.db.query("delete from public.filtered where name = 'to go'");
    await client.settle();
    assert.deepEqual([0, 1, 2, 3, 4].map((i) => got(feed, i, 'old').length), [1, 1, 1, 2, 0]);
    assert.deepEqual(got(feed, 0, 'old'), [row.id]);
    await client.supabase.removeChannel(feed.channel);
  });

  test("26. the library's filter builder serialises to the same", async () => {
    const filter = postgresChangesFilter().gt('n', 5).in('name', ['alice', 'a,b', 'say "hi"']).not('flag', 'is', null);
    const feed = await client.subscribe('builder', [{ event: 'INSERT', schema: 'public', table: 'filtered', filter }]);
    await feed.live();
    const { rows } = await world.db.query(`
      insert into public.filtered (n, name, flag) values (6, 'a,b', true), (6, 'b', true), (4, 'alice', true), (6, 'say "hi"', null)
      returning id`);
    await client.settle();
    assert.deepEqual(got(feed, 0), [rows[0].id]);
  });

  test('27. what is wrong with a filter is said in a system message, and no rows come', async () => {
    const feeds = [];
    for (const [i, [filter, text]] of ERRORS.entries()) {
      const feed = await client.subscribe(`wrong ${i}`, [{ event: 'INSERT', schema: 'public', table: 'filtered', filter }]);
      const said = await feed.system(text);
      assert.equal(said.extension, 'postgres_changes');
      assert.equal(said.status, 'error');
      assert.equal(said.channel, `wrong ${i}`);
      feeds.push(feed);
    }
    await world.db.query(ROWS);
    await client.settle();
    for (const feed of feeds) {
      assert.deepEqual(feed.events, [], feed.name);
      assert.equal(feed.has('CHANNEL_ERROR'), undefined); // the channel stays
      assert.deepEqual(feed.systems.filter((each) => each.status === 'ok'), []);
    }
  });

  test('27. a good binding beside a wrong one still gets its rows', async () => {
    const feed = await client.subscribe('half', [{ event: 'INSERT', schema: 'public', table: 'filtered', filter: 'n=foo.1' },
      { event: 'INSERT', schema: 'public', table: 'filtered', filter: 'n=eq.4242' }]);
    await feed.system(/Error parsing `filter` params/);
    const { rows: [row] } = await world.db.query('insert into public.filtered (n) values (4242) returning id');
    await feed.row((each) => each.id === row.id);
    assert.deepEqual(feed.events.map((event) => event.binding), [1]);
  });

  test('27. a filter without a table, and a binding without anything', async () => {
    const nothing = await client.subscribe('nothing', [{ event: '*' }]);
    await nothing.system(/^No subscription params provided\. Please provide at least a `schema` or `table` to subscribe to/);
    const wild = await client.subscribe('wild select', [{ event: '*', schema: '*', select: ['id'] }]);
    await wild.system(/^Column selection is not supported for wildcard subscriptions\./);
    const text = await client.subscribe('select text', [{ event: '*', schema: 'public', table: 'filtered', select: 'id' }]);
    await text.system(/^Error parsing `select` params: expected a list of column name strings/);
  });

  test('a column that the role may not see does not exist for its filters', async () => {
    await world.db.query(`
      create table public.partly (id uuid primary key default gen_random_uuid(), open text, secret text);
      select dealflow.watch_table('public.partly');
      grant select (id, open) on public.partly to anon; grant select on public.partly to service_role`);
    const anon = await world.client();
    const feed = await anon.subscribe('peek', [{ event: '*', schema: 'public', table: 'partly', filter: 'secret=eq.x' }]);
    await feed.system(/invalid column for filter secret/);
    await world.db.query("insert into public.partly (open, secret) values ('o', 'x')");
    await anon.settle();
    assert.deepEqual(feed.events, []);
  });
});
