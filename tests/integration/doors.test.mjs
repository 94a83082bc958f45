// Two sellers on one box: A tries every door to B's session, and gets nothing in or out. One test a
// door; in each, B's own key shows that the door works.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import puppeteer from 'puppeteer-core';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { Box } from './lib/box.mjs';
import { FakeSite } from './lib/fakestream.mjs';
import { until } from './lib/wait.mjs';

globalThis.WebSocket ??= WebSocket;

const EVERYTHING = ['chat_messages', 'sales_captured', 'message_analysis'];
let box, site, a, b, session, sale;

const clientOf = (user) => createClient(box.url, box.field('anon key'), {
  accessToken: async () => user.token, realtime: { transport: WebSocket },
  auth: { persistSession: false, autoRefreshToken: false },
});

async function http(where, { user, method = 'POST', body } = {}) {
  const response = await fetch(box.url + where, {
    method, body: body && JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${user.token}` },
  });
  return { status: response.status, body: await response.json() };
}
const say = (user, message, more = {}) => http('/functions/v1/monitor-realtime-stream',
  { user, body: { message, username: 'shopper', streamSessionId: session, ...more } });

// What is stored of B's session, in every table, counters included.
const stored = () => box.sql(`select json_build_object(
  'sessions', (select json_agg(s order by id) from stream_sessions s where user_id = '${b.id}'),
  'messages', (select json_agg(m order by id) from chat_messages m where stream_session_id = '${session}'),
  'sales', (select json_agg(c order by id) from sales_captured c where stream_session_id = '${session}'))`);

before(async () => {
  site = await FakeSite.start();
  box = await Box.start(site.settings);
  [a, b] = [await box.user(), await box.user()];
  const { data, error } = await clientOf(b).from('stream_sessions').insert({ user_id: b.id, platform: 'whatnot' }).select().single();
  assert.equal(error, null, JSON.stringify(error));
  session = data.id;
  sale = randomUUID();
  const caught = await say(b, 'I will take it!', { messageId: sale });
  assert.equal(caught.body.analysis?.auto_captured, true, JSON.stringify(caught));
}, { timeout: 900_000 });

after(async () => {
  await box?.stop();
  await site?.stop();
});

test('rest: A sees no row of B and changes none', async () => {
  const [theirs, mine] = [clientOf(a), clientOf(b)];
  for (const table of EVERYTHING) {
    assert.equal((await mine.from(table).select('*')).data?.length, 1, `B sees its row of ${table}`);
    const seen = await theirs.from(table).select('*');
    assert.deepEqual([seen.error, seen.data], [null, []], table);
  }
  for (const table of ['stream_sessions', 'profiles', 'user_settings']) {
    const seen = await theirs.from(table).select('*').eq(table === 'profiles' ? 'id' : 'user_id', b.id);
    assert.deepEqual([seen.error, seen.data], [null, []], table);
  }
  const was = stored();
  const forbidden = [
    theirs.from('stream_sessions').insert({ user_id: b.id, platform: 'whatnot' }),
    theirs.from('sales_captured').insert({ user_id: b.id, stream_session_id: session, platform: 'whatnot', buyer_username: 'x', message_text: 'x' }),
    theirs.from('chat_messages').insert({ stream_session_id: session, username: 'x', message: 'mine' }),
    theirs.from('user_settings').insert({ user_id: b.id, webhook_url: 'https://evil.example/' }),
    theirs.from('stream_sessions').upsert({ id: session, user_id: a.id, platform: 'whatnot' }),
  ];
  for (const answer of await Promise.all(forbidden)) assert.deepEqual([answer.status, answer.error?.code], [403, '42501'], JSON.stringify(answer));
  const without = [
    theirs.from('stream_sessions').update({ ended_at: new Date().toISOString() }).eq('id', session).select(),
    theirs.from('sales_captured').update({ estimated_value: 1 }).eq('id', sale).select(),
    theirs.from('sales_captured').delete().eq('id', sale).select(),
    theirs.from('stream_sessions').delete().eq('id', session).select(),
    theirs.from('user_settings').update({ webhook_url: 'https://evil.example/' }).eq('user_id', b.id).select(),
  ];
  for (const answer of await Promise.all(without)) assert.deepEqual([answer.error, answer.data], [null, []], JSON.stringify(answer));
  assert.equal(stored(), was);
});

test("realtime: A hears nothing of B's rows, live or missed", async () => {
  const heard = { a: [], b: [] };
  const joined = { a: 0, b: 0 };
  const clients = [];
  for (const [name, user] of [['a', a], ['b', b]]) {
    const supabase = clientOf(user);
    clients.push(supabase);
    await supabase.realtime.setAuth();
    let channel = supabase.channel(`doors-${name}`);
    for (const table of ['chat_messages', 'sales_captured', 'stream_sessions']) {
      const position = { event: '*', schema: 'public', table, x_after: '2000-01-01T00:00:00Z' };
      if (table !== 'stream_sessions') position.filter = `stream_session_id=eq.${session}`;
      channel = channel.on('postgres_changes', position, (payload) => heard[name].push(payload));
    }
    channel.on('system', {}, ({ status }) => { joined[name] += status === 'ok' ? 1 : 0; }).subscribe();
  }
  try {
    await until('both to be subscribed', () => joined.a > 0 && joined.b > 0);
    assert.equal((await say(b, 'I will take this one too!')).status, 200);
    await until('B to hear of it', () => heard.b.some(({ table, new: row }) => table === 'sales_captured' && row.message_text === 'I will take this one too!'));
    // Whatever A was to hear came before the answer to a question it asked later.
    const { data: own } = await clientOf(a).from('stream_sessions').insert({ user_id: a.id, platform: 'whatnot' }).select().single();
    await until('A to hear of its own session', () => heard.a.some(({ new: row }) => row.id === own.id));
    assert.deepEqual(heard.a.map(({ new: row }) => row.id), [own.id]);
  } finally {
    for (const supabase of clients) {
      await supabase.removeAllChannels();
      supabase.realtime.disconnect();
    }
  }
});

test("scraper: A cannot start, stop, see or hear B's stream", async () => {
  const address = site.live('doors');
  assert.equal((await http('/scraper/api/start-monitoring', { user: a, body: { url: address, sessionId: session } })).status, 403);
  const started = await http('/scraper/api/start-monitoring', { user: b, body: { url: address, sessionId: session } });
  assert.equal(started.status, 200, JSON.stringify(started.body));
  const sockets = [a, b].map((user) => {
    const socket = new WebSocket(`${box.url.replace('http', 'ws')}/scraper`, ['dealflow', `bearer.${user.token}`]);
    socket.heard = [];
    socket.on('message', (text) => socket.heard.push(JSON.parse(text)));
    return socket;
  });
  const [deaf, listening] = sockets;
  try {
    await until('both greetings', () => sockets.every(({ heard }) => heard.some(({ type }) => type === 'hello')));
    await site.control({ id: 'doors', say: [{ user: 'door.buyer', text: 'mine!' }] });
    await until('B to hear it', () => listening.heard.some(({ type }) => type === 'buyer_detected'));
    assert.deepEqual((await http('/scraper/api/streams', { user: a, method: 'GET' })).body, { streams: [] });
    assert.equal((await http('/scraper/api/streams', { user: b, method: 'GET' })).body.streams.length, 1);
    for (const where of [`/api/stream-summary/${started.body.streamId}`, `/api/screenshot/${session}`])
      assert.equal((await http(`/scraper${where}`, { user: a, method: 'GET' })).status, 404, where);
    assert.equal((await http('/scraper/api/stop-monitoring', { user: a, body: { sessionId: session } })).status, 404);
    // A second buyer proves that the stream was not stopped, and gives A's socket time to hear the first.
    await site.control({ id: 'doors', say: [{ user: 'door.second', text: 'mine!' }] });
    await until('B to hear the next', () => listening.heard.some(({ type, buyer }) => type === 'buyer_detected' && buyer.username === 'door.second'));
    assert.ok(!JSON.stringify(deaf.heard).includes(session) && !JSON.stringify(deaf.heard).includes('door.'), JSON.stringify(deaf.heard));
  } finally {
    for (const socket of sockets) socket.terminate();
    await http('/scraper/api/stop-monitoring', { user: b, body: { sessionId: session } });
  }
});

test("function: A cannot write to B's session, nor learn what is in it", async () => {
  const was = stored();
  const refused = await say(a, 'mine!');
  assert.deepEqual([refused.status, refused.body.success], [403, false]);
  // The id of B's message: neither its verdict nor that it exists there.
  assert.equal((await say(a, 'I will take it!', { messageId: sale })).status, 403);
  const { data: own } = await clientOf(a).from('stream_sessions').insert({ user_id: a.id, platform: 'whatnot' }).select().single();
  const taken = await say(a, 'I will take it!', { messageId: sale, streamSessionId: own.id });
  assert.equal(taken.status, 409);
  assert.ok(!('analysis' in taken.body), JSON.stringify(taken.body));
  assert.equal(stored(), was);
});

test("dashboard: with A's key the address of B's show leads nowhere", async () => {
  const browser = await puppeteer.launch({ executablePath: '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  try {
    for (const [user, sees] of [[a, false], [b, true]]) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      await page.goto(`${box.url}/#token=${user.token}`);
      await page.waitForSelector('main');
      await page.goto(`${box.url}/#/past/${session}/buyers`);
      await page.waitForFunction((words) => document.querySelector('main').innerText.includes(words), { timeout: 15_000 },
        sees ? 'I will take it!' : 'There is no such show, or it is not yours.');
      await page.waitForNetworkIdle({ idleTime: 300, timeout: 15_000 });
      const text = await page.$eval('body', (body) => body.innerText);
      assert.equal(text.includes('shopper') || text.includes('I will take'), sees, text);
      await context.close();
    }
  } finally {
    await browser.close();
  }
});
