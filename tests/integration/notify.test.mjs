// LISTEN dealflow: the notification comes after the commit, never before it and never without it.
import test, { after, before, beforeEach, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { startSystem, OTHER_SESSION, SESSION } from './lib/system.mjs';
import { until } from './lib/wait.mjs';

describe('LISTEN dealflow', () => {
  let system;
  let listener;
  let witness; // asks, at the moment a notification arrives, whether its rows can be seen
  const heard = [];

  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off', AI_ON_ERROR: 'fail' } });
    listener = await system.connect();
    witness = await system.connect();
    listener.on('notification', ({ channel, payload }) => {
      const event = { channel, payload, at: performance.now(), ...JSON.parse(payload) };
      event.seen = event.ids
        ? witness.query(`select count(*)::int as n from public.${event.table} where id = any($1)`, [event.ids])
          .then(({ rows }) => rows[0].n)
        : Promise.resolve(undefined);
      heard.push(event);
    });
    await listener.query('listen dealflow');
  });
  after(async () => {
    await listener?.end();
    await witness?.end();
    await system?.stop();
  });
  beforeEach(async () => {
    await system.clean();
    await settled();
    heard.length = 0;
  });

  // Everything that was committed up to now has been delivered once a notification of our own, sent
  // after it, is there: Postgres keeps the order of commits.
  async function settled() {
    const mark = randomUUID();
    await system.db.query('select pg_notify($1, $2)', ['dealflow', JSON.stringify({ mark })]);
    await until('our own notification', () => heard.some((each) => each.mark === mark));
  }

  const of = (table, type = 'INSERT') => heard.filter((each) => each.table === table && each.type === type);

  test('psql sees it too, with the shape that was promised', async () => {
    system.model.buyer();
    const messageId = randomUUID();
    const answer = await system.post({ message: 'mine', username: 'u', streamSessionId: SESSION, messageId });
    assert.equal(answer.status, 200);
    await settled();
    const [message] = of('chat_messages');
    const [sale] = of('sales_captured');
    for (const event of [message, sale]) {
      assert.equal(event.channel, 'dealflow');
      assert.equal(event.schema, 'public');
      assert.equal(event.stream_session_id, SESSION);
      assert.deepEqual(event.ids, [messageId]);
      assert.ok(!Number.isNaN(Date.parse(event.commit_timestamp)), event.commit_timestamp);
      assert.ok(Buffer.byteLength(event.payload) < 8000);
    }
    assert.equal(of('stream_sessions', 'UPDATE').length, 1, 'the counters changed');
    const { rows: [session] } = await system.db.query('select total_sales_caught as n from public.stream_sessions where id = $1', [SESSION]);
    assert.equal(session.n, 1);
  });

  test('its rows can be seen by everybody at the moment it arrives', async () => {
    system.model.buyer();
    await Promise.all(Array.from({ length: 64 }, (_, n) => system.post({
      message: `line ${n}`, username: 'u', streamSessionId: n % 2 ? SESSION : OTHER_SESSION,
    })));
    await settled();
    const events = [...of('chat_messages'), ...of('sales_captured')];
    for (const event of events) assert.equal(await event.seen, event.ids.length, event.payload);
  });

  test('each message is announced exactly once, with its own session', async () => {
    system.model.notBuyer();
    await Promise.all(Array.from({ length: 200 }, (_, n) => system.post({
      message: `line ${n}`, username: 'u', streamSessionId: n % 2 ? SESSION : OTHER_SESSION,
    })));
    await settled();
    const announced = of('chat_messages').flatMap((each) => each.ids.map((id) => `${each.stream_session_id} ${id}`));
    const { rows } = await system.db.query("select stream_session_id || ' ' || id as it from public.chat_messages");
    assert.equal(rows.length, 200);
    assert.deepEqual(announced.sort(), rows.map((each) => each.it).sort());
    assert.ok(of('chat_messages').length < 200, 'one notification for many rows');
    assert.equal(of('sales_captured').length, 0);
  });

  test('with a model server the message is announced before the verdict is there', async () => {
    system.model.buyer({ delayMs: 400 });
    const began = performance.now();
    const answer = await system.post({ message: 'mine', username: 'u', streamSessionId: SESSION });
    const ended = performance.now();
    assert.equal(answer.status, 200);
    await settled();
    const [message] = of('chat_messages');
    const [sale] = of('sales_captured');
    assert.ok(message.at - began < 350, `the message came after ${Math.round(message.at - began)} ms`);
    assert.ok(sale.at - began >= 390, `the sale came after ${Math.round(sale.at - began)} ms`);
    assert.ok(ended - began >= 390);
  });

  test('nothing is announced for what was refused or failed', async () => {
    system.model.buyer();
    await system.db.query(`
      create function public.test_raise() returns trigger language plpgsql as
        $$ begin raise exception 'test' using errcode = 'XX000'; end $$;
      create trigger test_raise before insert on public.chat_messages
        for each row execute function public.test_raise()`);
    try {
      const answer = await system.post({ message: 'lost', username: 'u', streamSessionId: SESSION });
      assert.equal(answer.status, 503);
    } finally {
      await system.db.query('drop function public.test_raise() cascade');
    }
    const unknown = await system.post({ message: 'x', username: 'u', streamSessionId: randomUUID() });
    assert.equal(unknown.status, 404);
    assert.equal((await system.post({ message: '', username: 'u', streamSessionId: SESSION })).status, 400);
    await settled();
    assert.deepEqual(heard.filter((each) => each.table), []);
  });

  test('a statement that is rolled back announces nothing', async () => {
    await system.db.query('begin');
    await system.db.query(
      "insert into public.chat_messages (stream_session_id, username, message) values ($1, 'u', 'never')", [SESSION]);
    await system.db.query('rollback');
    await settled();
    assert.deepEqual(heard.filter((each) => each.table), []);
  });

  test('a repeated delivery announces nothing again', async () => {
    system.model.buyer();
    const body = { message: 'mine', username: 'u', streamSessionId: SESSION, messageId: randomUUID() };
    await system.post(body);
    await settled();
    heard.length = 0;
    assert.equal((await system.post(body)).status, 200);
    await settled();
    assert.deepEqual(heard.filter((each) => each.table), []);
  });
});
