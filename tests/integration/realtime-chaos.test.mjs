// Nothing is lost: messages go through the function while the gateway's connection to the database is
// cut again and again, and subscribers drop and come back with x_after.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { keepAlive, request } from './lib/http.mjs';
import { long, startRealtime, uuid } from './lib/realtime.mjs';
import { FUNCTION, OWNER } from './lib/system.mjs';
import { sleep, until } from './lib/wait.mjs';

const SESSIONS = 20;
const MESSAGES = long ? 100_000 : 3_000;
const PER_SECOND = long ? 500 : 300;
const CUT_MS = long ? 10_000 : 1_000;
const DROP_MS = long ? 1_500 : 400;
const CONNECTIONS = 16;

describe('chaos', () => {
  let world;
  const sessions = Array.from({ length: SESSIONS }, (_, i) => uuid(i + 1));
  before(async () => {
    world = await startRealtime({ program: true, env: { REALTIME_JOINS_PER_10S: '1000' } });
    await world.db.query(
      "insert into public.stream_sessions (id, user_id, platform) select unnest($1::uuid[]), $2, 'whatnot'", [sessions, OWNER]);
  });
  after(() => world?.stop());

  // One subscriber: a client of its own on one session, as an app that catches up.
  async function subscriber(session, i) {
    const client = await world.client({ user: OWNER, vsn: i % 2 ? '1.0.0' : '2.0.0', realtime: { reconnectAfterMs: () => 100 + (i * 97) % 900 } });
    const binding = { event: 'INSERT', schema: 'public', table: 'chat_messages', filter: `stream_session_id=eq.${session}`, x_after: null };
    const feed = await client.subscribe(`session ${i}`, [binding]);
    await feed.live();
    return { client, feed, session };
  }

  test(`${MESSAGES} messages over ${SESSIONS} sessions reach every subscriber, whatever breaks`, { timeout: 1_200_000 }, async (t) => {
    const subscribers = await Promise.all(sessions.map(subscriber));
    // x_after needs a first row: from then on a position is known.
    for (const session of sessions) await world.say(session, 'first');
    for (const { feed } of subscribers) await feed.row(() => true);

    let writing = true;
    let cuts = 0;
    let drops = 0;
    const cutter = (async () => {
      while (writing) {
        await sleep(CUT_MS);
        if ((await world.cutDatabase()) > 0) cuts += 1;
      }
    })();
    const dropper = (async () => {
      while (writing) {
        await sleep(DROP_MS);
        const { client } = subscribers[drops++ % subscribers.length];
        client.cut();
      }
    })();

    const agent = keepAlive(CONNECTIONS);
    const headers = { authorization: `Bearer ${await world.key('service_role')}`, 'content-type': 'application/json' };
    const began = performance.now();
    let next = 0;
    await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
      while (next < MESSAGES) {
        const n = next++;
        const early = began + (n * 1000) / PER_SECOND - performance.now();
        if (early > 0) await sleep(early); // the pace
        const body = JSON.stringify({ message: `chaos ${n}`, username: `viewer_${n % 50}`, messageId: randomUUID(),
          streamSessionId: sessions[(n * 7 + (n >> 3)) % SESSIONS] });
        const { status } = await request(world.url + FUNCTION, { method: 'POST', headers, body, agent });
        assert.equal(status, 200);
      }
    }));
    writing = false;
    await Promise.all([cutter, dropper]);
    agent.destroy();
    assert.ok(cuts >= 3 && drops >= 10, `${cuts} cuts, ${drops} drops: nothing was tested`);

    const { rows } = await world.db.query('select id, stream_session_id as session from public.chat_messages');
    assert.equal(rows.length, MESSAGES + SESSIONS);
    const missing = () => subscribers.map(({ feed, session }) => {
      const got = new Set(feed.rows.map((row) => row.id));
      return rows.filter((row) => row.session === session && !got.has(row.id)).length;
    });
    await until('every row at every subscriber', () => missing().every((n) => n === 0), { timeoutMs: 60_000, everyMs: 250 })
      .catch((error) => { throw new Error(`${error.message}; missing: ${missing()}`); });
    for (const { client, feed, session } of subscribers) {
      await client.settle();
      const ids = feed.rows.map((row) => row.id);
      const mine = rows.filter((row) => row.session === session).map((row) => row.id);
      assert.equal(ids.length, mine.length, 'rows came twice');
      assert.deepEqual(new Set(ids), new Set(mine));
      assert.ok(!feed.has('CLOSED'));
    }
    t.diagnostic(`${rows.length} rows, ${cuts} cuts, ${drops} drops, each row once`);
  });
});
