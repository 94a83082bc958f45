// Two gateways on one database give every subscriber the same events: rows, broadcasts, presence.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { long, startRealtime } from './lib/realtime.mjs';
import { OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { until } from './lib/wait.mjs';

const ALL = { event: '*', schema: 'public', table: 'chat_messages' };
const SQL = `
  create policy read_rooms on realtime.messages for select to authenticated using (realtime.topic() like 'room-%');
  create policy write_rooms on realtime.messages for insert to authenticated with check (realtime.topic() like 'room-%')`;

async function startTwo() {
  const world = await startRealtime({ sql: SQL });
  const second = await world.addGateway();
  const urls = [world.gateway.url, second.url];
  return { world, urls, both: (options) => Promise.all(urls.map((url) => world.client({ url, ...options }))) };
}

// Side by side, because a dead gateway takes its time to be missed.
describe('two gateways', { concurrency: true }, () => {
  let rows;
  let lobby;
  before(async () => {
    rows = await startTwo();
    lobby = await startTwo();
  });
  after(async () => {
    await rows?.world.stop();
    await lobby?.world.stop();
  });

  describe('rows and broadcasts', { concurrency: 1 }, () => {
    let world;
    let both;
    before(() => { ({ world, both } = rows); });

    test('rows, in the same order', async () => {
      const clients = [...(await both({ user: OWNER })), ...(await both({ role: 'service_role', vsn: '1.0.0' }))];
      const feeds = await Promise.all(clients.map((client) => client.subscribe('rows', [ALL])));
      for (const feed of feeds) await feed.live();
      for (let i = 0; i < 200; i++) await world.say(i % 3 ? SESSION : OTHER_SESSION, `n ${i}`);
      for (const client of clients) await client.settle(); // what is read too late arrives as one change
      await world.db.query("update public.chat_messages set message = 'changed' where stream_session_id = $1 and message in ('n 1', 'n 2')", [SESSION]);
      await world.db.query("delete from public.chat_messages where message = 'n 4'");
      for (const client of clients) await client.settle();
      const seen = feeds.map((feed) => feed.events.map((event) => [event.eventType, event.new.id ?? event.old.id, event.new.message, event.commit_timestamp]));
      assert.deepEqual(seen[0], seen[1]);
      assert.deepEqual(seen[2], seen[3]);
      assert.deepEqual(seen.map((each) => each.filter(([type]) => type === 'INSERT').length), [133, 133, 200, 200]);
      assert.equal(seen[2].length, 203);
    });

    test('rows again after both lost the database', async () => {
      const clients = await both({ user: OWNER });
      const feeds = await Promise.all(clients.map((client) => client.subscribe('lost', [ALL])));
      for (const feed of feeds) await feed.live();
      const ids = await world.withoutDatabase(async () => {
        const all = [];
        for (let i = 0; i < 50; i++) all.push((await world.say(SESSION, `lost ${i}`)).id);
        return all;
      });
      for (const client of clients) await client.settle();
      for (const feed of feeds) assert.deepEqual(feed.rows.map((row) => row.id), ids);
    });

    test('broadcasts, public, private and over HTTP, also large ones', async () => {
      const name = 'room-both';
      const payloads = [{ n: 1 }, { big: 'é'.repeat(20_000) }, { huge: 'x'.repeat(1_000_000) }];
      for (const config of [{ private: false }, { private: true }]) {
        const clients = [...(await both({ user: OWNER })), ...(await both({ user: OWNER, vsn: '1.0.0' }))];
        const feeds = await Promise.all(clients.map(async (client) => {
          const feed = client.feed(name, [], { ...config, broadcast: { ack: true } });
          feed.heard = [];
          feed.channel.on('broadcast', { event: '*' }, (payload) => feed.heard.push(payload));
          feed.subscribe();
          await feed.subscribed();
          return feed;
        }));
        for (const [i, payload] of payloads.entries()) {
          assert.equal(await feeds[0].channel.send({ type: 'broadcast', event: `e ${i}`, payload }), 'ok');
        }
        await feeds[0].channel.httpSend('over http', { a: 1 });
        // Between gateways there is no promised order with respect to each other.
        await until('all four', () => feeds.slice(1).every((feed) => feed.heard.length >= 4), { timeoutMs: 20_000 });
        for (const feed of feeds.slice(1)) {
          assert.deepEqual(feed.heard.map((each) => each.event).sort(), ['e 0', 'e 1', 'e 2', 'over http']);
          payloads.forEach((payload, i) => assert.deepEqual(feed.heard.find((each) => each.event === `e ${i}`).payload, payload));
        }
        assert.deepEqual(feeds[0].heard.map((each) => each.event), ['over http']); // not what it sent itself
        for (const client of clients) await client.close();
      }
    });
  });

  describe('presence', () => {
    test(`everybody sees everybody${long ? ', and who was at a killed gateway is gone' : ''}`, { timeout: 120_000 }, async () => {
      const { world, urls, both } = lobby;
      const third = await world.addGateway();
      const clients = [...(await both()), await world.client({ url: third.url, realtime: { reconnectAfterMs: () => 600_000 } })];
      const feeds = [];
      for (const [i, client] of clients.entries()) {
        const feed = client.feed('lobby', [], { presence: { key: `at-${i}` } });
        feed.channel.on('presence', { event: 'sync' }, () => {});
        feed.subscribe();
        await feed.subscribed();
        assert.equal(await feed.channel.track({ i }), 'ok');
        feeds.push(feed);
      }
      const here = (feed) => Object.keys(feed.channel.presenceState()).sort();
      await until('everybody to see everybody', () => feeds.every((feed) => here(feed).join() === 'at-0,at-1,at-2'));
      const late = await world.client({ url: urls[1] });
      const feed = late.feed('lobby', []);
      feed.channel.on('presence', { event: 'sync' }, () => {});
      feed.subscribe();
      await until('a late one to see all', () => here(feed).join() === 'at-0,at-1,at-2');
      await clients[0].close();
      await until('one to be gone', () => here(feeds[1]).join() === 'at-1,at-2');
      if (!long) return; // half a minute of silence
      await third.child.stop('SIGKILL');
      await until('the dead gateway\'s guest to be gone', () => here(feeds[1]).join() === 'at-1', { timeoutMs: 90_000 });
      third.lives.length = 0; // it was meant to end so
    });
  });
});
