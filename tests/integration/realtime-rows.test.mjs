// Row changes: shape, types, order, completeness. Numbers are those of the acceptance checklist for the
// protocol.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { long, slack, startRealtime, uuid } from './lib/realtime.mjs';
import { OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { sleep, until } from './lib/wait.mjs';

const MESSAGES = { event: 'INSERT', schema: 'public', table: 'chat_messages' };
const KINDS = `
  create table public.kinds (
    id uuid primary key default gen_random_uuid(), words text, flag boolean, small smallint, big bigint, exact numeric,
    ratio double precision, doc jsonb, plain json, at timestamptz, local timestamp, day date, tags text[], numbers int[],
    raw bytea, "Odd ""Name"" é" text, nothing text, also_nothing int8);
  create table public.pairs (a int, b text, note text, primary key (a, b));
  create table public.keyless (note text);
  grant select on public.kinds, public.pairs, public.keyless to anon, authenticated, service_role;
  select dealflow.watch_table('public.kinds'), dealflow.watch_table('public.pairs')`;

describe('rows', () => {
  let world;
  let client;
  before(async () => {
    world = await startRealtime({ sql: KINDS });
    client = await world.client({ role: 'service_role' });
  });
  after(() => world?.stop());

  test('22. an INSERT reaches the callback with all that is promised', async () => {
    for (const vsn of ['2.0.0', '1.0.0']) {
      const user = await world.client({ user: OWNER, vsn });
      const feed = await user.subscribe('shape', [{ ...MESSAGES, filter: `stream_session_id=eq.${SESSION}` }]);
      await feed.live();
      const from = Date.now();
      const row = await world.say(SESSION, 'I will take it! é 😀 "quoted" \\ \u0001\n');
      const event = await feed.row((each) => each.id === row.id);
      const { binding, at, commit_timestamp: committed, ...rest } = event;
      assert.deepEqual(rest, {
        schema: 'public', table: 'chat_messages', eventType: 'INSERT', errors: null, old: {},
        new: { id: row.id, stream_session_id: SESSION, username: 'viewer', message: row.message, platform: 'whatnot',
          created_at: rest.new.created_at },
      });
      assert.equal(Date.parse(rest.new.created_at), row.created_at.getTime());
      assert.match(committed, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      assert.ok(Math.abs(Date.parse(committed) - from) < 10_000);
      const [frame] = user.received('shape', 'postgres_changes');
      assert.deepEqual(Object.keys(frame.payload).sort(), ['data', 'ids']);
      assert.equal(frame.ref, null);
      assert.equal(frame.join_ref, vsn === '1.0.0' ? undefined : null);
      await user.close();
    }
  });

  test('23. values arrive with the JavaScript types of the protocol', async () => {
    const feed = await client.subscribe('kinds', [{ event: 'INSERT', schema: 'public', table: 'kinds' }]);
    await feed.live();
    const id = randomUUID();
    await world.db.query(`
      insert into public.kinds values ('${id}', 'text', true, -7, 9007199254740991, 12345.678901, 0.1, '{"a": [1, null, {"b": "é"}]}',
        '{"k": 1}', '2026-11-22 10:00:00.12+02', '2026-11-22 10:00:00.5', '2026-11-22', '{a,"b c",NULL,"d,e"}', '{1,2}', '\\xdeadbeef',
        'odd', null, null)`);
    const { new: row } = await feed.row((each) => each.id === id);
    const { at, ...rest } = row;
    assert.deepEqual(rest, {
      id, words: 'text', flag: true, small: -7, big: 9007199254740991, exact: 12345.678901, ratio: 0.1,
      doc: { a: [1, null, { b: 'é' }] }, plain: { k: 1 }, local: '2026-11-22T10:00:00.5', day: '2026-11-22',
      tags: ['a', 'b c', null, 'd,e'], numbers: [1, 2], raw: '\\xdeadbeef', 'Odd "Name" é': 'odd', nothing: null, also_nothing: null,
    });
    assert.equal(Date.parse(at), Date.parse('2026-11-22T08:00:00.12Z'));
    const [frame] = client.received('kinds', 'postgres_changes');
    const types = Object.fromEntries(frame.payload.data.columns.map((column) => [column.name, column.type]));
    assert.deepEqual(types, {
      id: 'uuid', words: 'text', flag: 'bool', small: 'int2', big: 'int8', exact: 'numeric', ratio: 'float8', doc: 'jsonb',
      plain: 'json', at: 'timestamptz', local: 'timestamp', day: 'date', tags: '_text', numbers: '_int4', raw: 'bytea',
      'Odd "Name" é': 'text', nothing: 'text', also_nothing: 'int8',
    });
    assert.deepEqual(frame.payload.data.columns.map((column) => column.name).slice(0, 4), ['id', 'words', 'flag', 'small']);
  });

  test('23. an int8 beyond 2^53 is complete on the wire', async () => {
    const raw = await world.raw({ role: 'service_role' });
    let wire = '';
    raw.ws.on('message', (data) => { wire += data; });
    await raw.joined('realtime:wide', { bindings: [{ event: 'INSERT', schema: 'public', table: 'kinds' }] });
    await world.db.query("insert into public.kinds (big, exact) values (9007199254740993, 12345678901234567890.5)");
    await until('the row', () => raw.changes('realtime:wide').length === 1);
    assert.match(wire, /"big": ?9007199254740993[,}]/);
    assert.match(wire, /"exact": ?12345678901234567890\.5[,}]/);
  });

  test('24. columns is an array, also for roles that may see nothing of the row', async () => {
    await world.db.query(`
      create table public.closed (id uuid primary key default gen_random_uuid(), note text);
      select dealflow.watch_table('public.closed');
      grant select on public.closed to service_role`);
    const topic = 'realtime:closed';
    const bindings = [{ event: '*', schema: 'public', table: 'closed' }, { event: '*', schema: 'public', table: 'kinds' }];
    const raws = await Promise.all(['anon', 'service_role'].map((role) => world.raw({ role })));
    for (const raw of raws) assert.equal((await raw.join(topic, { bindings })).status, 'ok');
    await raws[1].live(topic);
    for (const sql of ["insert into public.closed (note) values ('secret')", "update public.closed set note = 'still secret'",
      'delete from public.closed']) {
      await world.db.query(sql);
      for (const raw of raws) await raw.settle(world); // what is read too late is not there any more
    }
    assert.equal(raws[1].changes(topic).length, 3);
    for (const frame of raws.flatMap((raw) => raw.changes(topic))) {
      assert.ok(Array.isArray(frame.payload.data.columns));
    }
    for (const frame of raws[0].changes(topic)) { // an error row, if anything at all
      assert.deepEqual(frame.payload.data.errors, ['Error 401: Unauthorized']);
      assert.deepEqual(frame.payload.data.record ?? {}, {});
      assert.doesNotMatch(JSON.stringify(frame), /secret/);
    }
  });

  test('25. UPDATE has old_record with the key, DELETE has only old_record', async () => {
    const feed = await client.subscribe('changes', [{ event: '*', schema: 'public', table: 'chat_messages' },
      { event: 'UPDATE', schema: 'public', table: 'pairs' }, { event: 'DELETE', schema: 'public', table: 'pairs' }]);
    await feed.live();
    const row = await world.say(SESSION, 'first');
    await feed.row((each) => each.id === row.id); // read late, insert and update would arrive as one
    await world.db.query("update public.chat_messages set message = 'second' where id = $1", [row.id]);
    await feed.row((each) => each.message === 'second');
    await world.db.query('delete from public.chat_messages where id = $1', [row.id]);
    await world.db.query("insert into public.pairs values (1, 'x', 'n')");
    await world.db.query("update public.pairs set note = 'm'");
    await feed.row((_, event) => event.table === 'pairs' && event.new.note === 'm');
    await world.db.query('delete from public.pairs');
    await client.settle();
    const of = (table) => feed.events.filter((event) => event.table === table);
    const [insert, update, gone] = of('chat_messages');
    assert.deepEqual([insert.eventType, insert.new.message, insert.old], ['INSERT', 'first', {}]);
    assert.deepEqual([update.eventType, update.new.message, update.old], ['UPDATE', 'second', { id: row.id }]);
    assert.deepEqual([gone.eventType, gone.new, gone.old], ['DELETE', {}, { id: row.id }]);
    const [changed, removed] = of('pairs');
    assert.deepEqual([changed.eventType, changed.new, changed.old], ['UPDATE', { a: 1, b: 'x', note: 'm' }, { a: 1, b: 'x' }]);
    assert.deepEqual([removed.eventType, removed.new, removed.old], ['DELETE', {}, { a: 1, b: 'x' }]);
    const frame = client.received('changes', 'postgres_changes').find((each) => each.payload.data.type === 'DELETE');
    assert.ok(!('record' in frame.payload.data) || frame.payload.data.record === null);
  });

  test('25. a changed key is an update of the new one', async () => { // which old row it was is not known
    const feed = await client.subscribe('keys', [{ event: 'UPDATE', schema: 'public', table: 'pairs' }]);
    await feed.live();
    await world.db.query("insert into public.pairs values (5, 'old', 'n')");
    await world.db.query("update public.pairs set b = 'new' where a = 5");
    const event = await feed.row((each) => each.a === 5);
    assert.deepEqual([event.eventType, event.new], ['UPDATE', { a: 5, b: 'new', note: 'n' }]);
  });

  test('27. a table that is not watched gets the documented system message', async () => {
    for (const table of ['keyless', 'no_such_table', 'profiles']) {
      const feed = await client.subscribe(`unwatched ${table}`, [{ event: '*', schema: 'public', table }]);
      await feed.system(/^Unable to subscribe to changes with given parameters\. Please check Realtime is enabled for the given connect parameters: \[event: \*, schema: public, table: /);
    }
  });

  test('select narrows the columns, the key stays', async () => {
    const feed = await client.subscribe('select', [{ ...MESSAGES, select: ['message'] }, { ...MESSAGES, select: [] }]);
    await feed.live();
    const row = await world.say(SESSION, 'narrow');
    await client.settle();
    const [narrow, wide] = [0, 1].map((binding) => feed.events.find((event) => event.binding === binding && event.new.id === row.id));
    assert.deepEqual(narrow.new, { id: row.id, message: 'narrow' });
    assert.equal(wide.new.username, 'viewer');
    const bad = await client.subscribe('select nothing', [{ ...MESSAGES, select: ['no_such_column'] }]);
    await bad.system(/invalid column for select no_such_column/);
  });

  test('wildcards deliver every watched table', async () => {
    const feed = await client.subscribe('wild', [{ event: '*', schema: '*' }, { event: 'INSERT', schema: 'public' }]);
    await feed.live();
    const row = await world.say(SESSION, 'wild');
    const { rows: [kind] } = await world.db.query('insert into public.kinds (words) values (1) returning id');
    await client.settle();
    for (const id of [row.id, kind.id]) {
      assert.deepEqual(feed.events.filter((event) => event.new.id === id).map((event) => event.binding).sort(), [0, 1]);
    }
  });

  const mixed = long ? 100_000 : 4_000;
  test(`28. twenty sessions each get exactly their own of ${mixed} mixed inserts`, { timeout: 600_000 }, async () => {
    const sessions = Array.from({ length: 20 }, (_, i) => uuid(i + 1));
    await world.db.query(
      `insert into public.stream_sessions (id, user_id, platform) select unnest($1::uuid[]), $2, 'tiktok'`, [sessions, OWNER]);
    const raw = await world.raw({ role: 'service_role', url: world.url });
    const topics = sessions.map((session) => `realtime:mixed ${session}`);
    const got = new Map(topics.map((topic) => [topic, []]));
    raw.receive = ((plain) => function receive(data, isBinary) {
      plain.call(this, data, isBinary);
      const frame = this.frames[this.frames.length - 1];
      if (!got.has(frame.topic) || frame.event !== 'postgres_changes') return;
      this.frames.pop(); // a hundred thousand of them would fill the memory
      got.get(frame.topic).push(frame.payload.data.record);
    })(raw.receive);
    const keepAlive = setInterval(() => raw.heartbeat().catch(() => {}), 10_000);
    for (const [i, session] of sessions.entries()) {
      await raw.joined(topics[i], { bindings: [{ ...MESSAGES, filter: `stream_session_id=eq.${session}` }] });
    }
    const ids = sessions.map(() => []);
    for (let done = 0; done < mixed; done += 100) {
      const { rows } = await world.db.query(
        `insert into public.chat_messages (stream_session_id, username, message)
         select ($1::uuid[])[1 + floor(random() * 20)::int], 'mixed', 'line ' || n from generate_series(1, 100) n
         returning id, stream_session_id`, [sessions]);
      for (const row of rows) ids[sessions.indexOf(row.stream_session_id)].push(row.id);
    }
    await until('all rows', () => topics.every((topic, i) => got.get(topic).length >= ids[i].length), { timeoutMs: 120_000 });
    await raw.settle(world);
    clearInterval(keepAlive);
    topics.forEach((topic, i) => {
      const rows = got.get(topic);
      assert.ok(rows.every((row) => row.stream_session_id === sessions[i]), 'a row of another session');
      assert.deepEqual(rows.map((row) => row.id).sort(), ids[i].sort());
    });
  });

  const ordered = long ? 10_000 : 1_000;
  test(`29. ${ordered} inserts at 500 per second arrive in commit order, none missing, none twice`, { timeout: 120_000 }, async () => {
    const user = await world.client({ user: OWNER });
    const feed = await user.subscribe('ordered', [{ ...MESSAGES, filter: `stream_session_id=eq.${SESSION}` }]);
    await feed.live();
    const began = performance.now();
    const writing = [];
    for (let n = 0; n < ordered; n++) {
      const wait = began + n * 2 - performance.now();
      if (wait > 0) await sleep(wait); // the pace of 500 a second
      writing.push(world.say(SESSION, `n ${n}`)); // one connection: commits in this order
    }
    await Promise.all(writing);
    await user.settle();
    assert.deepEqual(feed.rows.map((row) => Number(row.message.slice(2))), Array.from({ length: ordered }, (_, n) => n));
  });

  test('30. a row larger than a notification arrives complete', async () => {
    const feed = await client.subscribe('large', [{ ...MESSAGES, event: '*' }]);
    await feed.live();
    for (const bytes of [7_900, 8_100, 60_000, 900_000]) {
      const message = `${'é😀x'.repeat(bytes / 7)}`;
      const row = await world.say(SESSION, message);
      const event = await feed.row((each) => each.id === row.id);
      assert.equal(event.new.message, message);
    }
    // An unchanged large value is there in an update, too.
    const row = await world.say(SESSION, 'z'.repeat(50_000));
    await feed.row((each) => each.id === row.id);
    await world.db.query("update public.chat_messages set username = 'renamed' where id = $1", [row.id]);
    const update = await feed.row((each, event) => each.id === row.id && event.eventType === 'UPDATE');
    assert.equal(update.new.message.length, 50_000);
  });

  test('31. one statement inserting 10,000 rows delivers 10,000 events', { timeout: 120_000 }, async () => {
    const user = await world.client({ user: OWNER });
    const feed = await user.subscribe('bulk', [{ ...MESSAGES, filter: `stream_session_id=eq.${SESSION}` }]);
    await feed.live();
    const began = performance.now();
    const { rows } = await world.db.query(
      `insert into public.chat_messages (stream_session_id, username, message)
       select $1, 'bulk', 'line ' || n from generate_series(1, 10000) n returning id`, [SESSION]);
    await until('10,000 events', () => feed.events.length >= 10_000, { timeoutMs: 60_000 });
    await user.settle();
    assert.deepEqual(feed.rows.map((row) => row.id), rows.map((row) => row.id));
    assert.ok(performance.now() - began < 45_000 * slack); // 2 s on a quiet machine; the checklist names no time
    assert.equal(feed.has('CHANNEL_ERROR'), undefined);
  });

  test('changes of a transaction come after its commit, together and in order; those of a rollback never', async () => {
    const feed = await client.subscribe('transactions', [{ event: '*', schema: 'public', table: 'chat_messages' }]);
    await feed.live();
    const other = await world.system.connect();
    await other.query('begin');
    for (const text of ['t1', 't2']) {
      await other.query("insert into public.chat_messages (stream_session_id, username, message) values ($1, 'tx', $2)", [SESSION, text]);
    }
    await world.say(OTHER_SESSION, 'meanwhile');
    await client.settle();
    assert.deepEqual(feed.rows.map((row) => row.message), ['meanwhile']);
    await other.query('commit');
    await client.settle();
    assert.deepEqual(feed.rows.map((row) => row.message), ['meanwhile', 't1', 't2']);
    await other.query('begin');
    await other.query("insert into public.chat_messages (stream_session_id, username, message) values ($1, 'tx', 'never')", [SESSION]);
    await other.query('rollback');
    await client.settle();
    assert.equal(feed.events.length, 3);
  });
});
