// Clients of several years, and the two subscriptions of the setup guide, fed by curl through the
// function. Checklist 48.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import WebSocket from 'ws';
import { CLIENT, parseFrame, startRealtime, token } from './lib/realtime.mjs';
import { run } from './lib/process.mjs';
import { FUNCTION, OWNER, SESSION } from './lib/system.mjs';
import { until, within } from './lib/wait.mjs';

// The oldest ones are CommonJS without an ES entry.
const require = createRequire(import.meta.url);
globalThis.WebSocket ??= WebSocket; // Node 18 and 20 have none, and old supabase-js wants it at once
const VERSIONS = ['2.2.0', '2.8.4', '2.11.15', '2.15.5', '2.75.0', '2.86.0', '2.100.0', CLIENT];
const BOTH = ['2.100.0', CLIENT]; // speak 1.0.0 and 2.0.0
const filter = `stream_session_id=eq.${SESSION}`;

describe('clients', () => {
  let world;
  before(async () => {
    world = await startRealtime({ program: true, programEnv: { ANALYZER: 'local' } });
  });
  after(() => world?.stop());

  describe('48. realtime-js', { concurrency: true }, () => {
    for (const version of VERSIONS) {
      for (const vsn of BOTH.includes(version) ? ['1.0.0', '2.0.0'] : [undefined]) {
        test(`48. ${version}${vsn ? ` with vsn ${vsn}` : ''}: subscribe, insert, callback`, async () => {
          const { RealtimeClient } = require(`realtime-js-${version.replaceAll('.', '')}`);
          const frames = [];
          class Traced extends WebSocket {
            constructor(url) { // the oldest hand over a null and headers besides
              super(url);
              this.on('message', (data, isBinary) => { if (!isBinary) frames.push(parseFrame(String(data))); });
            }
          }
          const access = await token({ role: 'authenticated', sub: OWNER });
          const client = new RealtimeClient(`${world.url.replace('http', 'ws')}/realtime/v1`, {
            // The oldest holds back what comes within 100 ms of the message before.
            params: { apikey: await world.key('anon'), eventsPerSecond: 1000 }, transport: Traced, ...(vsn ? { vsn } : {}),
          });
          try {
            client.connect();
            await client.setAuth(access);
            const name = `matrix ${version} ${vsn}`;
            const statuses = [];
            const events = [];
            const broadcasts = [];
            const channel = client.channel(name, { config: { broadcast: { self: true, ack: true }, presence: { key: version } } });
            let syncs = 0;
            channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'chat_messages', filter }, (payload) => events.push(payload))
              .on('postgres_changes', { event: '*', schema: 'public', table: 'stream_sessions', filter: `id=eq.${SESSION}` }, (payload) => events.push(payload))
              .on('broadcast', { event: 'greeting' }, (payload) => broadcasts.push(payload))
              .on('presence', { event: 'sync' }, () => { syncs += 1; })
              .subscribe((status, error) => statuses.push([status, error?.message]));
            await until(`SUBSCRIBED, after ${JSON.stringify(statuses)}`, () => statuses.some(([status]) => status === 'SUBSCRIBED'));
            await until('rows to flow', () => frames.some((frame) => frame.payload?.message === 'Subscribed to PostgreSQL'));

            const row = await world.say(SESSION, `to ${version}`);
            const event = await until('the row', () => events.find((each) => each.new.id === row.id));
            assert.equal(event.eventType, 'INSERT');
            assert.equal(event.new.message, `to ${version}`);
            assert.deepEqual(event.old, {});
            assert.deepEqual(event.errors, null);
            await world.db.query('update public.stream_sessions set total_sales_caught = total_sales_caught + 1 where id = $1', [SESSION]);
            const update = await until('the update', () => events.find((each) => each.table === 'stream_sessions'));
            assert.deepEqual([update.eventType, update.old], ['UPDATE', { id: SESSION }]);
            assert.equal(typeof update.new.total_sales_caught, 'number');

            // The oldest drop what follows another message too soon, whoever asks.
            const calm = () => until('the library to let a message through', () => !client.inThrottle, { everyMs: 1 });
            await calm();
            assert.equal(await within(5_000, 'send', channel.send({ type: 'broadcast', event: 'greeting', payload: { to: version } })), 'ok');
            await until('the broadcast', () => broadcasts.length === 1);
            assert.deepEqual(broadcasts[0].payload, { to: version });
            await calm();
            assert.equal(await within(5_000, 'track', channel.track({ version })), 'ok');
            await until('the presence', () => channel.presenceState()[version]?.[0]?.version === version);
            assert.ok(syncs >= 1);
            assert.equal(await within(5_000, 'leaving', client.removeChannel(channel)), 'ok');
            assert.ok(!statuses.some(([status]) => ['CHANNEL_ERROR', 'TIMED_OUT'].includes(status)), JSON.stringify(statuses));
          } finally {
            client.disconnect();
          }
        });
      }
    }
  });

  for (const library of ['@supabase/supabase-js', 'supabase-js-2109', 'supabase-js-2119']) {
    test(`the guide's two subscriptions with ${library}, fed by curl`, async () => {
      const { createClient } = await import(library);
      const access = await token({ role: 'authenticated', sub: OWNER });
      const supabase = createClient(world.url, await world.key('anon'), {
        auth: { persistSession: false, autoRefreshToken: false }, accessToken: async () => access,
        realtime: { transport: WebSocket },
      });
      await supabase.realtime.setAuth();
      const sessionId = SESSION;
      const said = [];
      const console = { log: (...words) => said.push(words) };
      const live = [];

      // --- as the guide has it
      const messagesChannel = supabase
        .channel('chat_messages')
        .on('postgres_changes',
          {
            event: 'INSERT',
            schema: 'public',
            table: 'chat_messages',
            filter: `stream_session_id=eq.${sessionId}`
          },
          (payload) => {
            console.log('New message from DB:', payload.new)
          }
        )
        .subscribe()

      const buyersChannel = supabase
        .channel('sales_captured')
        .on('postgres_changes',
          {
            event: 'INSERT',
            schema: 'public',
            table: 'sales_captured',
            filter: `stream_session_id=eq.${sessionId}`
          },
          (payload) => {
            console.log(' New buyer captured:', payload.new)
          }
        )
        .subscribe()
      // --- until here

      try {
        for (const channel of [messagesChannel, buyersChannel]) channel.on('system', {}, (payload) => live.push(payload.message));
        await until('both to be live', () => live.filter((text) => text === 'Subscribed to PostgreSQL').length === 2);
        const posted = await run('curl', ['-sS', '-X', 'POST', `${world.url}${FUNCTION}`,
          '-H', `Authorization: Bearer ${await world.key('anon')}`, '-H', 'Content-Type: application/json',
          '-d', JSON.stringify({ message: 'I will take it!', username: 'test_buyer', streamSessionId: sessionId, platform: 'whatnot' })]);
        assert.equal(JSON.parse(posted.stdout).analysis.auto_captured, true, posted.text);
        const message = await until('the message', () => said.find(([what]) => what === 'New message from DB:'));
        const buyer = await until('the buyer', () => said.find(([what]) => what === ' New buyer captured:'));
        assert.equal(message[1].message, 'I will take it!');
        assert.equal(message[1].username, 'test_buyer');
        assert.equal(message[1].stream_session_id, sessionId);
        assert.equal(buyer[1].buyer_username, 'test_buyer');
        assert.equal(buyer[1].message_text, 'I will take it!');
        assert.equal(buyer[1].user_id, OWNER);
        assert.equal(said.length, 2);
      } finally {
        await within(5_000, 'leaving', supabase.removeAllChannels());
        supabase.realtime.disconnect();
      }
    });
  }
});
