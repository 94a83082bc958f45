// /rest/v1 by dealflow-rest: every call form of supabase-js that the dashboard and the guide use, with
// the real library, and PostgREST's answers on the wire.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { clientFor, PUBLISHABLE, SECRET, startRest } from './lib/rest.mjs';
import { OTHER_OWNER, OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { keyPair, nowSeconds, token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

// A table with the kinds of column that ours do not have, open to signed-in users.
const THINGS = `
  create table public.things (
    id int primary key, name text, n numeric, tags text[], data jsonb, span int4range,
    at timestamptz default '2026-01-02 03:04:05+00', "odd ""name" text, kind text not null default 'plain',
    owner uuid default auth.uid(), constraint kind_is_late unique (kind, id) deferrable initially deferred);
  create unique index on public.things (name);
  insert into public.things (id, name, n, tags, data, span, "odd ""name") values
    (1, 'one', 1.5, '{a,b}', '{"k": {"deep": "v1"}, "list": [1, 2]}', '[1,5)', 'x'),
    (2, 'two', 2.25, '{b,c}', '{"k": {"deep": "v2"}}', '[5,9)', null),
    (3, 'thr"ee, (3)', null, null, null, null, null),
    (4, 'F%ur_', 12345678901234567890.123, '{}', '{}', '[9,12)', 'y');
  create view public.some_things as select id, name, n from public.things where n is not null;
  grant select, insert, update, delete on public.things to authenticated;
  grant select on public.some_things to authenticated;
  create table public.shut (id int);
  create table public.parents (id int primary key);
  create table public.children (id int primary key, parent int references public.parents);
  grant select, insert, update, delete on public.parents, public.children to authenticated`;

let system;
before(async () => {
  system = await startRest();
  await system.db.query(THINGS);
  await system.db.query(`notify pgrst, 'reload schema'`);
  await until('the new tables to be known', async () => (await system.owner.from('things').select('id')).status === 200);
});
after(() => system?.stop());

// {data, count} of a call that must succeed with that status.
async function good(call, status = 200) {
  const answer = await call;
  assert.equal(answer.error, null, JSON.stringify(answer.error));
  assert.equal(answer.status, status);
  return answer;
}
async function rows(call) {
  return (await good(call)).data;
}
async function bad(call, status, code, message) {
  const answer = await call;
  assert.equal(answer.status, status, JSON.stringify(answer.error ?? answer.data));
  assert.equal(answer.error.code, code, JSON.stringify(answer.error));
  assert.deepEqual(Object.keys(answer.error), ['code', 'details', 'hint', 'message']);
  if (message) assert.match(answer.error.message, message);
  return answer.error;
}
const ids = async (call) => (await rows(call)).map((each) => each.id);
const things = (columns = 'id') => system.owner.from('things').select(columns);

describe('select', () => {
  test('without columns gives all of them, as Postgres writes them', async () => {
    const [row] = await rows(things('*').eq('id', 1));
    assert.deepEqual(row, {
      id: 1, name: 'one', n: 1.5, tags: ['a', 'b'], data: { k: { deep: 'v1' }, list: [1, 2] }, span: '[1,5)',
      at: '2026-01-02T03:04:05+00:00', 'odd "name': 'x', kind: 'plain', owner: null,
    });
    assert.deepEqual(Object.keys((await rows(system.owner.from('stream_sessions').select()))[0]), [
      'id', 'user_id', 'platform', 'started_at', 'ended_at', 'total_sales_caught', 'total_revenue_recovered', 'created_at']);
  });
  test('columns, aliases, casts, paths into JSON, an odd name', async () => {
    assert.deepEqual(await rows(things('name, ident:id, n::text, data->k->>deep, first:data->list->0, "odd \\"name"').eq('id', 1)),
      [{ name: 'one', ident: 1, n: '1.5', deep: 'v1', first: 1, 'odd "name': 'x' }]);
    assert.deepEqual(await rows(things('*, again:name').eq('id', 1)).then(([row]) => [row.name, row.again]), ['one', 'one']);
  });
  test('a number keeps its digits', async () => {
    const answer = await system.ask('things?select=n&id=eq.4');
    assert.equal(answer.body, '[{"n":12345678901234567890.123}]');
    assert.equal(answer.headers['content-type'], 'application/json; charset=utf-8');
    assert.equal(answer.headers['content-range'], '0-0/*');
  });
  test('a view is as good as a table', async () => {
    assert.deepEqual(await ids(system.owner.from('some_things').select('id').order('id')), [1, 2, 4]);
  });

  const filters = {
    eq: [(q) => q.eq('name', 'two'), [2]],
    neq: [(q) => q.neq('name', 'two'), [1, 3, 4]],
    lt: [(q) => q.lt('id', 2), [1]],
    lte: [(q) => q.lte('id', 2), [1, 2]],
    gt: [(q) => q.gt('n', 2), [2, 4]],
    gte: [(q) => q.gte('n', '1.5'), [1, 2, 4]],
    like: [(q) => q.like('name', 't%'), [2, 3]],
    'like with stars': [(q) => q.filter('name', 'like', 't*o'), [2]],
    ilike: [(q) => q.ilike('name', 'f%'), [4]],
    likeAllOf: [(q) => q.likeAllOf('name', ['t%', '%o']), [2]],
    likeAnyOf: [(q) => q.likeAnyOf('name', ['o%', 't%']), [1, 2, 3]],
    match: [(q) => q.filter('name', 'match', '^t'), [2, 3]],
    imatch: [(q) => q.filter('name', 'imatch', '^F'), [4]],
    in: [(q) => q.in('id', [1, 3, 99]), [1, 3]],
    'in with text that needs quotes': [(q) => q.filter('name', 'in', '("thr\\"ee, (3)","one")'), [1, 3]],
    'in without values': [(q) => q.in('id', []), []],
    'is null': [(q) => q.is('n', null), [3]],
    'is not null': [(q) => q.not('n', 'is', null), [1, 2, 4]],
    isdistinct: [(q) => q.filter('n', 'isdistinct', 1.5), [2, 3, 4]],
    'not eq': [(q) => q.not('id', 'eq', 1), [2, 3, 4]],
    'not in': [(q) => q.not('id', 'in', '(1,2)'), [3, 4]],
    'any of': [(q) => q.filter('id', 'eq(any)', '{1,4}'), [1, 4]],
    contains: [(q) => q.contains('tags', ['b']), [1, 2]],
    'contains JSON': [(q) => q.contains('data', { k: { deep: 'v2' } }), [2]],
    containedBy: [(q) => q.containedBy('tags', ['a', 'b']), [1, 4]],
    overlaps: [(q) => q.overlaps('tags', ['c', 'z']), [2]],
    rangeGt: [(q) => q.rangeGt('span', '[1,5)'), [2, 4]],
    rangeAdjacent: [(q) => q.rangeAdjacent('span', '[5,9)'), [1, 4]],
    'match of several columns': [(q) => q.match({ id: 1, name: 'one' }), [1]],
    'two filters': [(q) => q.gt('id', 1).lt('id', 4), [2, 3]],
    or: [(q) => q.or('id.eq.1,name.eq.two'), [1, 2]],
    'or with and': [(q) => q.or('id.eq.4,and(id.gt.1,n.not.is.null,id.lt.3)'), [2, 4]],
    'or with lists and quotes': [(q) => q.or('id.in.(1,2),name.eq."thr\\"ee, (3)"'), [1, 2, 3]],
    'or with not': [(q) => q.or('not.and(id.lt.4,id.gt.0),id.eq.1'), [1, 4]],
    'a path into JSON': [(q) => q.eq('data->k->>deep', 'v2'), [2]],
    'the date': [(q) => q.eq('at', '2026-01-02T03:04:05Z'), [1, 2, 3, 4]],
  };
  for (const [name, [apply, expected]] of Object.entries(filters)) {
    test(`filter: ${name}`, async () => assert.deepEqual(await ids(apply(things()).order('id')), expected));
  }
  test('filter: not.or and not.and as parameters', async () => {
    const of = async (query) => JSON.parse((await system.ask(`things?select=id&order=id&${query}`)).body).map((each) => each.id);
    assert.deepEqual(await of('not.or=(id.eq.1,id.eq.2)'), [3, 4]);
    assert.deepEqual(await of('not.and=(id.gt.1,id.lt.4)'), [1, 4]);
    assert.deepEqual(await of('and=(id.gt.1,id.lt.4)'), [2, 3]);
  });

  test('order, with nulls where one wants them', async () => {
    assert.deepEqual(await ids(things().order('id', { ascending: false })), [4, 3, 2, 1]);
    assert.deepEqual(await ids(things().order('n', { nullsFirst: true })), [3, 1, 2, 4]);
    assert.deepEqual(await ids(things().order('n', { ascending: false, nullsFirst: false })), [4, 2, 1, 3]);
    assert.deepEqual(await ids(things().order('kind').order('id', { ascending: false })), [4, 3, 2, 1]);
    assert.deepEqual(await ids(things().order('data->k->>deep', { ascending: false, nullsFirst: false }).limit(2)), [2, 1]);
  });
  test('limit, offset, range', async () => {
    assert.deepEqual(await ids(things().order('id').limit(2)), [1, 2]);
    assert.deepEqual(await ids(things().order('id').range(1, 2)), [2, 3]);
    assert.deepEqual(await ids(things().order('id').range(3, 99)), [4]);
    assert.deepEqual(await ids(things().order('id').range(50, 60)), []);
    assert.deepEqual(await ids(things().limit(0)), []);
  });
  test('the Range header, alone and together with limit', async () => {
    const get = async (query, range) => {
      const answer = await system.ask(`things?select=id&order=id${query}`, { headers: { range } });
      return [JSON.parse(answer.body).map((each) => each.id), answer.headers['content-range']];
    };
    assert.deepEqual(await get('', '1-2'), [[2, 3], '1-2/*']);
    assert.deepEqual(await get('', '2-'), [[3, 4], '2-3/*']);
    assert.deepEqual(await get('&limit=1', '2-3'), [[], '*/*']);
    assert.deepEqual(await get('&limit=3', '1-9'), [[2, 3], '1-2/*']);
    assert.deepEqual(await get('', 'bytes=0-1'), [[1, 2, 3, 4], '0-3/*']);
  });
  test('count, with rows and without', async () => {
    const part = await good(system.owner.from('things').select('id', { count: 'exact' }).order('id').range(1, 2), 206);
    assert.deepEqual([part.count, part.data.map((each) => each.id)], [4, [2, 3]]);
    for (const count of ['exact', 'planned', 'estimated'])
      assert.equal((await good(system.owner.from('things').select('id', { count }).gt('id', 1))).count, 3);
    const head = await good(system.owner.from('things').select('*', { count: 'exact', head: true }).lt('id', 3));
    assert.deepEqual([head.count, head.data], [2, null]);
    const raw = await system.ask('things?select=id&limit=1', { method: 'HEAD', headers: { prefer: 'count=exact' } });
    assert.deepEqual([raw.status, raw.body, raw.headers['content-range'], raw.headers['preference-applied']],
      [206, '', '0-0/4', 'count=exact']);
    const none = await system.ask('things?id=eq.77', { headers: { prefer: 'count=exact' } });
    assert.deepEqual([none.status, none.body, none.headers['content-range']], [200, '[]', '*/0']);
  });
  test('single and maybeSingle', async () => {
    assert.equal((await good(things('name').eq('id', 2).single())).data.name, 'two');
    assert.equal((await good(things('name').eq('id', 2).maybeSingle())).data.name, 'two');
    assert.equal((await good(things().eq('id', 77).maybeSingle())).data, null);
    const none = await bad(things().eq('id', 77).single(), 406, 'PGRST116', /Cannot coerce the result to a single JSON object/);
    assert.equal(none.details, 'The result contains 0 rows');
    assert.equal((await bad(things().single(), 406, 'PGRST116')).details, 'The result contains 4 rows');
    assert.equal((await system.owner.from('things').select('id').maybeSingle()).error.code, 'PGRST116');
  });
  test('stripped nulls', async () => {
    const answer = await system.ask('things?select=id,n&id=in.(1,3)&order=id',
      { headers: { accept: 'application/vnd.pgrst.array+json;nulls=stripped' } });
    assert.deepEqual(JSON.parse(answer.body), [{ id: 1, n: 1.5 }, { id: 3 }]);
  });
  test('no more than REST_MAX_ROWS', async () => {
    await system.db.query(`insert into public.things (id, name) select i, 'many ' || i from generate_series(1001, 2500) i`);
    const answer = await good(system.owner.from('things').select('id', { count: 'exact' }).gt('id', 1000).limit(5000), 206);
    assert.deepEqual([answer.data.length, answer.count], [1000, 1500]);
    await system.db.query('delete from public.things where id > 1000');
  });
  test('a read cannot write', async () => {
    await system.db.query(`create function public.sly() returns int language sql volatile as
      'update public.things set kind = ''sly'' where id = 1 returning 1';
      create view public.sly_view with (security_invoker) as select public.sly() as x;
      grant select on public.sly_view to authenticated; notify pgrst`);
    await until('the view to be known', async () => (await system.owner.from('sly_view').select()).error?.code !== 'PGRST205');
    await bad(system.owner.from('sly_view').select(), 405, '25006');
    assert.equal((await system.db.query('select kind from public.things where id = 1')).rows[0].kind, 'plain');
  });
});

describe('insert', () => {
  const fresh = () => ({ id: Math.floor(Math.random() * 1e9), name: randomUUID() });
  after(() => system.db.query('delete from public.things where id > 4'));

  test('one row, without and with what was stored', async () => {
    const quiet = await good(system.owner.from('things').insert(fresh()), 201);
    assert.equal(quiet.data, null);
    const row = fresh();
    const told = await good(system.owner.from('things').insert(row).select(), 201);
    assert.deepEqual([told.data[0].id, told.data[0].kind, told.data[0].owner], [row.id, 'plain', OWNER]);
    assert.deepEqual((await good(system.owner.from('things').insert(fresh()).select('kind').single(), 201)).data, { kind: 'plain' });
    assert.equal((await good(system.owner.from('things').insert(fresh(), { count: 'exact' }), 201)).count, 1);
  });
  test('many rows, equal keys or not', async () => {
    const equal = await good(system.owner.from('things').insert([fresh(), fresh(), fresh()]).select('id'), 201);
    assert.equal(equal.data.length, 3);
    // supabase-js names all columns then; a key that is missing in a row is null there
    const mixed = [{ ...fresh(), n: 5 }, { ...fresh(), tags: ['q'] }];
    const { data } = await good(system.owner.from('things').insert(mixed).select('n,tags'), 201);
    assert.deepEqual(data, [{ n: 5, tags: null }, { n: null, tags: ['q'] }]);
    await bad(system.owner.from('things').insert([fresh(), { ...fresh(), kind: 'k' }]), 400, '23502');
    const { data: kinds } = await good(system.owner.from('things')
      .insert([fresh(), { ...fresh(), kind: 'k' }], { defaultToNull: false }).select('kind,at').order('id'), 201);
    assert.deepEqual(kinds.map((each) => each.kind), ['plain', 'k']);
    assert.equal(kinds[0].at, '2026-01-02T03:04:05+00:00');
    assert.equal((await good(system.owner.from('things').insert([]).select(), 201)).data.length, 0);
  });
  test('JSON, arrays, odd names and letters of every script arrive as they were', async () => {
    const row = { ...fresh(), data: { q: '"\\ \u00e9 \u{1f600} \u0001', n: [1, null, 1.25] }, tags: ['a"b', 'c,d', '{}'], 'odd "name': "'; --" };
    const { data } = await good(system.owner.from('things').insert(row).select('*').single(), 201);
    for (const key of Object.keys(row)) assert.deepEqual(data[key], row[key]);
  });
  test('headers-only says where the row is', async () => {
    const row = fresh();
    const answer = await system.ask('things', { method: 'POST', body: JSON.stringify(row),
      headers: { prefer: 'return=headers-only', 'content-type': 'application/json' } });
    assert.deepEqual([answer.status, answer.body, answer.headers.location, answer.headers['preference-applied']],
      [201, '', `/things?id=eq.${row.id}`, 'return=headers-only']);
  });
  test('an array is wanted as one object: all or nothing', async () => {
    const answer = await bad(system.owner.from('things').insert([fresh(), { ...fresh(), name: 'never stored' }]).select().single(), 406, 'PGRST116');
    assert.equal(answer.details, 'The result contains 2 rows');
    assert.deepEqual(await ids(things().eq('name', 'never stored')), []);
  });
  test('upsert merges, ignores, on the key or on named columns', async () => {
    const row = fresh();
    const upsert = (value, options) => good(system.owner.from('things').upsert(value, options).select('id,name,kind'), 201);
    assert.equal((await upsert(row)).data[0].kind, 'plain');
    assert.equal((await upsert({ ...row, kind: 'merged' })).data[0].kind, 'merged');
    assert.deepEqual((await upsert({ ...row, kind: 'no' }, { ignoreDuplicates: true })).data, []);
    assert.deepEqual((await upsert({ id: row.id, name: row.name, kind: 'by name' }, { onConflict: 'name' })).data,
      [{ ...row, kind: 'by name' }]);
    assert.equal((await upsert([{ ...row, kind: 'a' }, { ...fresh(), kind: 'b' }])).data.length, 2);
    await bad(system.owner.from('things').upsert(row, { onConflict: 'nope' }), 400, '42703');
    await bad(system.owner.from('things').upsert(row, { onConflict: 'kind' }), 400, '42P10');
  });
  test('errors of Postgres with their status', async () => {
    await bad(system.owner.from('things').insert({ id: 1 }), 409, '23505', /duplicate key/);
    await bad(system.owner.from('children').insert({ id: 1, parent: 5 }), 409, '23503');
    await bad(system.owner.from('stream_sessions').insert({ user_id: OWNER, platform: 'radio' }), 400, '23514');
    await bad(system.owner.from('things').insert({ id: 'x' }), 400, '22P02');
    await bad(system.owner.from('things').insert({ ...fresh(), kind: null }), 400, '23502');
    await bad(system.owner.from('chat_messages').insert({ stream_session_id: SESSION, username: 'u', message: 'm' }), 403, '42501');
    await bad(system.anon.from('things').insert(fresh()), 401, '42501', /permission denied for table things/);
    await bad(system.owner.from('things').insert({ ...fresh(), nope: 1 }), 400, 'PGRST204',
      /Could not find the 'nope' column of 'things' in the schema cache/);
    await bad(system.owner.from('nothing').insert({}), 404, 'PGRST205', /Could not find the table 'public.nothing' in the schema cache/);
  });
  test('what fails at the commit was not stored', async () => {
    await system.db.query('create table public.late (id int unique deferrable initially deferred); grant select, insert on public.late to authenticated; notify pgrst');
    await until('the table to be known', async () => (await system.owner.from('late').select()).status === 200);
    await bad(system.owner.from('late').insert([{ id: 1 }, { id: 1 }]), 409, '23505');
    await bad(system.owner.from('late').insert([{ id: 1 }, { id: 1 }]).select(), 409, '23505');
    assert.deepEqual(await rows(system.owner.from('late').select()), []);
    await good(system.owner.from('late').insert({ id: 1 }), 201);
  });
});

describe('update and delete', () => {
  before(() => system.db.query(`insert into public.things (id, name) select i, 'u' || i from generate_series(10, 19) i`));
  after(() => system.db.query('delete from public.things where id > 4'));

  test('update, without and with what it became', async () => {
    const quiet = await good(system.owner.from('things').update({ kind: 'q' }).eq('id', 10), 204);
    assert.equal(quiet.data, null);
    const told = await good(system.owner.from('things').update({ kind: 'r', n: 7 }).gte('id', 10).lte('id', 12).select('id,kind,n'));
    assert.equal(told.data.length, 3);
    assert.ok(told.data.every((each) => each.kind === 'r' && each.n === 7));
    assert.equal((await good(system.owner.from('things').update({ kind: 's' }, { count: 'exact' }).in('id', [10, 11]), 204)).count, 2);
    assert.deepEqual((await good(system.owner.from('things').update({ kind: 's' }).eq('id', 77).select())).data, []);
    assert.deepEqual((await good(system.owner.from('things').update({}).eq('id', 10).select())).data, []);
  });
  test('update of exactly one row, or of none', async () => {
    assert.equal((await good(system.owner.from('things').update({ n: 8 }).eq('id', 13).select('n').single())).data.n, 8);
    const many = await bad(system.owner.from('things').update({ kind: 'all of them' }).gt('id', 9).select().single(), 406, 'PGRST116');
    assert.equal(many.details, 'The result contains 10 rows');
    assert.deepEqual(await ids(things().eq('kind', 'all of them')), []);
    assert.equal((await good(system.owner.from('things').update({ n: 8 }).eq('id', 77).select().maybeSingle())).data, null);
  });
  test('max-affected holds a write back', async () => {
    const call = (n) => system.owner.from('things').update({ kind: 'bounded' }).gt('id', 9).maxAffected(n);
    const refused = await bad(call(9), 400, 'PGRST124');
    assert.equal(refused.details, 'The query affects 10 rows');
    assert.deepEqual(await ids(things().eq('kind', 'bounded')), []);
    await good(call(10), 204);
  });
  test('delete', async () => {
    assert.deepEqual((await good(system.owner.from('things').delete().eq('id', 14).select('id'))).data, [{ id: 14 }]);
    assert.equal((await good(system.owner.from('things').delete({ count: 'exact' }).in('id', [15, 16]), 204)).count, 2);
    await good(system.owner.from('parents').insert({ id: 1 }), 201);
    await good(system.owner.from('children').insert({ id: 1, parent: 1 }), 201);
    await bad(system.owner.from('parents').delete().eq('id', 1), 409, '23503');
  });
  test('without a filter neither does anything', async () => {
    await bad(system.owner.from('things').update({ kind: 'everything' }), 400, '21000', /^UPDATE requires a WHERE clause$/);
    await bad(system.owner.from('things').delete(), 400, '21000', /^DELETE requires a WHERE clause$/);
    assert.deepEqual(await ids(things().eq('kind', 'everything')), []);
    assert.ok((await ids(things())).length > 4);
  });
});

describe('what is not served says so', () => {
  test('embedding, aggregates, functions, other schemas, other media', async () => {
    const embedded = await bad(system.owner.from('stream_sessions').select('*, sales_captured(*)'), 400, 'PGRST200');
    assert.match(embedded.hint, /POSTGREST_URL/);
    await bad(system.owner.from('stream_sessions').select('id, ...profiles(email)'), 400, 'PGRST200');
    await bad(system.owner.from('stream_sessions').select('sales:sales_captured!inner(id)'), 400, 'PGRST200');
    await bad(system.owner.from('things').select('id').eq('sales_captured.id', 1), 400, 'PGRST108');
    await bad(system.owner.from('things').select('id').order('id', { referencedTable: 'sales_captured' }), 400, 'PGRST108');
    await bad(system.owner.from('things').select('n.sum()'), 400, 'PGRST123');
    await bad(system.owner.from('things').select('count()'), 400, 'PGRST123');
    await bad(system.owner.rpc('increment_stream_stats', { a: 1 }), 404, 'PGRST202', /increment_stream_stats/);
    await bad(system.owner.schema('auth').from('users').select(), 406, 'PGRST106', /Invalid schema: auth/);
    await bad(system.owner.schema('dealflow').from('change_log').insert({}), 406, 'PGRST106');
    await bad(system.owner.from('things').select().csv(), 406, 'PGRST107');
    await bad(system.owner.from('nothing').select(), 404, 'PGRST205');
    await bad(system.owner.from('pg_class').select(), 404, 'PGRST205');
    await bad(system.owner.from('shut').select(), 403, '42501');
    await bad(system.owner.from('things').select('id::regclass'), 400, '42704');
    const wire = async (where, options) => {
      const answer = await system.ask(where, options);
      return [answer.status, JSON.parse(answer.body).code];
    };
    assert.deepEqual(await wire(''), [404, 'PGRST126']);
    assert.deepEqual(await wire('a/b'), [404, 'PGRST125']);
    assert.deepEqual(await wire('things?id=eq.1', { method: 'PUT', body: '{}' }), [405, 'PGRST117']);
  });
});

describe('who calls', () => {
  const session = (client) => client.from('stream_sessions').select('id').order('id');

  test('a user sees own rows, the service all, anon none', async () => {
    assert.deepEqual(await ids(session(system.owner)), [SESSION]);
    assert.deepEqual(await ids(session(system.other)), [OTHER_SESSION]);
    assert.deepEqual(await ids(session(system.service)), [SESSION, OTHER_SESSION].sort());
    await bad(session(system.anon), 401, '42501');
  });
  test('user A neither reads nor writes what is user B\'s', async () => {
    const theirs = () => system.db.query(`select (select json_agg(t order by id) from public.stream_sessions t)::text
      || (select json_agg(t order by user_id) from public.user_settings t)::text
      || (select json_agg(t order by id) from public.profiles t)::text as all`).then(({ rows: [row] }) => row.all);
    const before = await theirs();
    const a = system.owner;
    assert.deepEqual(await rows(a.from('stream_sessions').select().eq('id', OTHER_SESSION)), []);
    assert.equal((await good(a.from('stream_sessions').select('*', { count: 'exact', head: true }).eq('user_id', OTHER_OWNER))).count, 0);
    await bad(a.from('stream_sessions').insert({ user_id: OTHER_OWNER, platform: 'whatnot' }), 403, '42501', /row-level security/);
    await bad(a.from('stream_sessions').upsert({ id: OTHER_SESSION, user_id: OWNER, platform: 'tiktok' }), 403, '42501');
    assert.deepEqual((await good(a.from('stream_sessions').update({ platform: 'tiktok' }).eq('id', OTHER_SESSION).select())).data, []);
    await bad(a.from('stream_sessions').update({ user_id: OTHER_OWNER }).eq('id', SESSION), 403, '42501');
    assert.equal((await good(a.from('stream_sessions').delete({ count: 'exact' }).eq('id', OTHER_SESSION), 204)).count, 0);
    assert.deepEqual(await rows(a.from('profiles').select('id')), [{ id: OWNER }]);
    await bad(a.from('user_settings').upsert({ user_id: OTHER_OWNER, webhook_url: 'x' }), 403, '42501');
    assert.equal(await theirs(), before);
  });
  test('claims and role last for one request only', async () => {
    const calls = [];
    for (let i = 0; i < 60; i++) calls.push(session([system.owner, system.other, system.anon][i % 3]));
    const answers = await Promise.all(calls);
    answers.forEach((answer, i) => {
      if (i % 3 === 2) assert.equal(answer.error.code, '42501');
      else assert.deepEqual(answer.data, [{ id: i % 3 === 0 ? SESSION : OTHER_SESSION }]);
    });
  });
  test('new-style keys, as apikey, as bearer, beside a user\'s token', async () => {
    assert.equal((await rows(session(clientFor(system.url, SECRET)))).length, 2);
    await bad(session(clientFor(system.url, PUBLISHABLE)), 401, '42501');
    assert.deepEqual(await ids(session(clientFor(system.url, PUBLISHABLE, system.ownerToken))), [SESSION]);
    const alone = await system.ask('stream_sessions?select=id', { as: null, headers: { apikey: SECRET } });
    assert.equal(JSON.parse(alone.body).length, 2);
  });
  test('a token alone, in apikey alone, in the query string', async () => {
    for (const [query, headers] of [['', { authorization: `Bearer ${system.ownerToken}` }], ['', { apikey: system.ownerToken }],
      [`&apikey=${system.ownerToken}`, {}]]) {
      const answer = await system.ask(`stream_sessions?select=id${query}`, { as: null, headers });
      assert.deepEqual([answer.status, answer.body], [200, `[{"id":"${SESSION}"}]`]);
    }
  });
  test('no key, a wrong key', async () => {
    const none = await system.ask('stream_sessions', { as: null });
    assert.equal(none.status, 401);
    assert.equal(none.body, '{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}');
    for (const headers of [{ apikey: 'sb_secret_wrong_one' }, { authorization: 'Bearer sb_secret_wrong_one' },
      { apikey: 'sb_publishable_wrong', authorization: `Bearer ${system.ownerToken}` }]) {
      const wrong = await system.ask('stream_sessions', { as: null, headers });
      assert.deepEqual([wrong.status, JSON.parse(wrong.body).message], [401, 'Invalid API key']);
    }
  });
  test('tokens that are no good', async () => {
    const now = nowSeconds();
    const es = await keyPair('ES256', 'unknown');
    const cases = [
      [await token({ role: 'authenticated', sub: OWNER, exp: now - 5 }), 'PGRST303', /^JWT expired$/],
      [await token({ role: 'authenticated', sub: OWNER, nbf: now + 500 }), 'PGRST303', /^JWT not yet valid$/],
      [await token({ role: 'authenticated', sub: OWNER, secret: 'another-secret-of-thirty-two-characters' }), 'PGRST301'],
      [await token({ role: 'service_role', alg: 'none' }), 'PGRST301'],
      [await token({ role: 'service_role', alg: 'ES256', key: es.privateKey, kid: 'unknown' }), 'PGRST301'],
      [`${(await token({ role: 'anon' })).split('.').slice(0, 2).join('.')}.`, 'PGRST301'],
      ['garbage', 'PGRST301', /^Expected 3 parts in JWT; got 1$/],
      ['a.b.c', 'PGRST301'],
    ];
    for (const [bearer, code, message] of cases) {
      const answer = await system.ask('stream_sessions', { as: bearer });
      const error = JSON.parse(answer.body);
      assert.deepEqual([answer.status, error.code], [401, code], `${bearer} ${answer.body}`);
      if (message) assert.match(error.message, message);
      assert.match(answer.headers['www-authenticate'], /^Bearer/);
    }
  });
  test('roles that the login may not become', async () => {
    const refusals = [['postgres', 403, '42501'], ['dealflow_rest_test', 403, '42501'], ['none', 401, '22023'],
      ['no such role', 401, '22023'], ['', 401, '42501']];
    for (const [role, status, code] of refusals) {
      const answer = await system.ask('stream_sessions', { as: await token({ role, sub: OWNER }) });
      assert.deepEqual([role, answer.status, JSON.parse(answer.body).code], [role, status, code]);
    }
    const none = await system.ask('stream_sessions', { as: await token({ role: null, sub: OWNER }) });
    assert.equal(none.status, 401); // without a role: anon
  });
});

describe('around it', () => {
  test('a browser may ask from anywhere', async () => {
    const preflight = await system.ask('things', { method: 'OPTIONS', as: null, headers: {
      origin: 'http://app.example', 'access-control-request-method': 'PATCH',
      'access-control-request-headers': 'apikey,authorization,content-type,prefer,x-client-info' } });
    assert.equal(preflight.status, 200);
    assert.equal(preflight.headers['access-control-allow-origin'], '*');
    assert.match(preflight.headers['access-control-allow-methods'], /PATCH/);
    assert.equal(preflight.headers['access-control-allow-headers'], 'apikey,authorization,content-type,prefer,x-client-info');
    const odd = await system.ask('things', { method: 'OPTIONS', as: null,
      headers: { 'access-control-request-headers': 'x"><script>: 1' } });
    assert.match(odd.headers['access-control-allow-headers'], /^authorization, x-client-info, apikey/);
    const answer = await system.ask('things?limit=1');
    assert.match(answer.headers['access-control-expose-headers'], /Content-Range/);
    const error = await system.ask('nothing');
    assert.equal(error.headers['access-control-allow-origin'], '*');
  });
  test('the newer generations of supabase-js', async () => {
    for (const name of ['supabase-js-2109', 'supabase-js-2119']) {
      const { createClient } = await import(name);
      const client = createClient(system.url, system.anonKey, {
        auth: { persistSession: false, autoRefreshToken: false }, realtime: { transport: (await import('ws')).default },
        accessToken: async () => system.ownerToken });
      const id = Math.floor(Math.random() * 1e9);
      assert.equal((await good(client.from('things').insert({ id, name }).select().single(), 201)).data.id, id);
      assert.equal((await good(client.from('things').update({ kind: name }).eq('id', id).select('kind').single())).data.kind, name);
      assert.equal((await good(client.from('things').select('*', { count: 'exact', head: true }).eq('id', id))).count, 1);
      assert.equal((await client.from('things').select().eq('id', -1).maybeSingle()).data, null);
      assert.equal((await client.from('things').select().eq('id', -1).single()).error.code, 'PGRST116');
      await good(client.from('things').upsert({ id, name, kind: 'u' }), 201);
      await good(client.from('things').delete().eq('id', id), 204);
    }
  });
});
