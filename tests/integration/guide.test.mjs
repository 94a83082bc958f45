// The setup guide of the system that this one replaces, block by block: every command, snippet and
// setting of it, with the same calls, names, options and order, on a box that deploy/up made. Only
// hosts, keys and the stream's address are ours. Where a command is gone (npm install, supabase
// functions deploy, editing a script), its named replacement runs. The last test prints the table
// block -> what was executed, and fails when a block was left out.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { createRequire } from 'node:module';
import puppeteer from 'puppeteer-core';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { Box, root } from './lib/box.mjs';
import { FakeSite } from './lib/fakestream.mjs';
import { startFakeModel, toolCall } from './lib/fake-model.mjs';
import { Scraper } from './lib/scraper.mjs';
import { sleep, until } from './lib/wait.mjs';

globalThis.WebSocket ??= WebSocket; // Node 18 and 20 have none; the browser's own is used below

// The guide's blocks in its order, code or instruction.
const BLOCKS = [
  'Data Flow', 'Build Command', 'Start Command', 'Environment Variables on Render', 'Deploy Edge Function',
  'Configure Frontend', 'Start Monitoring', 'Stop Monitoring', 'Subscribe to Database Updates',
  'Test the Realtime Scraper', 'Test the Edge Function', 'Puppeteer finds the chat: screenshots',
  'Supabase connection', 'AI analysis: key and logs', 'Costs: keyword pre-filtering', 'Costs: certain users only',
  'Costs: local detection only', 'Costs: batches', 'Schema of chat_messages', 'Schema of sales_captured',
  'Polling Interval', 'AI Confidence Threshold', 'Message Deduplication', 'Health Check', 'Auto-restart on failure',
  'Security Notes',
];
const executed = new Map();

function block(name, what, run, options = { timeout: 120_000 }) {
  assert.ok(BLOCKS.includes(name), name);
  test(`${name}: ${what}`, options, async (t) => {
    await run(t);
    executed.set(name, [...(executed.get(name) ?? []), what]);
  });
}

let box, site, seller, stranger, model;

before(async () => {
  site = await FakeSite.start();
  model = await startFakeModel();
  box = await Box.start(site.settings);
  seller = await box.user();
  stranger = await box.user();
}, { timeout: 900_000 });

after(async () => {
  await box?.stop();
  await site?.stop();
  await model?.close();
});

const clientOf = ({ token }) => createClient(box.url, box.field('anon key'), {
  accessToken: async () => token, realtime: { transport: WebSocket },
  auth: { persistSession: false, autoRefreshToken: false },
});
const scraperUrl = () => `${box.url}/scraper`;                       // VITE_REALTIME_SCRAPER_URL
const scraperWs = () => `${box.url.replace('http', 'ws')}/scraper`;  // VITE_REALTIME_SCRAPER_WS

async function newSession(user = seller) {
  const supabase = clientOf(user);
  const { data: session, error } = await supabase.from('stream_sessions')
    .insert({ user_id: user.id, platform: 'whatnot' }).select().single();
  assert.equal(error, null, JSON.stringify(error));
  return session;
}

const call = (where, body, headers = {}) => fetch(where, {
  method: 'POST', headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body),
});
const startMonitoring = (body, { token } = seller, base = scraperUrl()) =>
  call(`${base}/api/start-monitoring`, body, token && { Authorization: `Bearer ${token}` });
const stopMonitoring = (body, { token } = seller, base = scraperUrl()) =>
  call(`${base}/api/stop-monitoring`, body, token && { Authorization: `Bearer ${token}` });

// The guide's curl line for the function, with our host, key and session.
async function curl(body, key = box.field('anon key')) {
  const result = await box.run('curl', ['-sS', '-X', 'POST', `${box.url}/functions/v1/monitor-realtime-stream`,
    '-H', `Authorization: Bearer ${key}`, '-H', 'Content-Type: application/json', '-d', JSON.stringify(body)]);
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}
const post = (session, message, username = 'test_buyer', key = box.field('service key')) =>
  curl({ message, username, streamSessionId: session.id, platform: 'whatnot' }, key);

async function heardBy(socket, type, match) {
  return until(`${type} on the WebSocket`, () => socket.heard.find((event) => event.type === type && match(event)));
}

// `new WebSocket(REALTIME_SCRAPER_WS)` with an onmessage; a browser cannot set headers, so the token
// is its subprotocol.
async function listen(address, token) {
  const ws = new WebSocket(address, token ? ['dealflow', `bearer.${token}`] : []);
  ws.heard = [];
  ws.onmessage = (event) => ws.heard.push(JSON.parse(event.data));
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = reject;
  });
  return ws;
}

block('Data Flow', 'stream page -> scraper -> WebSocket, and -> function -> both tables', async () => {
  const session = await newSession();
  const ws = await listen(scraperWs(), seller.token);
  assert.equal((await startMonitoring({ url: site.live('flow'), sessionId: session.id })).status, 200);
  await site.control({ id: 'flow', say: [{ user: 'flow.buyer', text: 'I will take it!' }, { user: 'flow.fan', text: 'hello from Ohio' }] });
  await heardBy(ws, 'buyer_detected', ({ buyer }) => buyer.username === 'flow.buyer');
  await heardBy(ws, 'new_message', ({ message }) => message.username === 'flow.fan');
  await until('the rows', () => box.sql(`select (select string_agg(username, ' ' order by username) from chat_messages
    where stream_session_id = '${session.id}') || ' ' || (select string_agg(buyer_username, ' ') from sales_captured
    where stream_session_id = '${session.id}')`) === 'flow.buyer flow.fan flow.buyer');
  ws.close();
  assert.equal((await stopMonitoring({ sessionId: session.id })).status, 200);
});

block('Build Command', 'npm install -> cmake --preset release && cmake --build (what deploy/up ran)', () => {
  const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
  assert.match(readme, /cmake --preset release && cmake --build --preset release --target dealflow-scraper/);
  const render = readFileSync(path.join(root, 'deploy/render/render.yaml'), 'utf8');
  assert.match(render, /dockerfilePath: .*Dockerfile/);
  assert.ok(readdirSync(path.join(box.varDir, 'app/bin')).includes('dealflow-scraper'));
});

block('Start Command', 'node realtime-scraper.js -> dealflow-scraper, started and supervised', async () => {
  const { status, stdout } = await box.run(path.join(box.varDir, 'app/bin/dealflow-scraper'), ['--version']);
  assert.equal(status, 0);
  assert.match(stdout, /^dealflow-scraper \d/);
  assert.ok(box.pidOf('scraper') > 0);
});

block('Environment Variables on Render', 'the daemon with exactly these five, PORT and the rest mean what they meant', async () => {
  const session = await newSession();
  const scraper = await Scraper.start({ site, env: {
    SUPABASE_URL: box.url, SUPABASE_SERVICE_ROLE_KEY: box.field('service key'),
    CHROME_EXECUTABLE_PATH: '/usr/bin/chromium', PUPPETEER_SKIP_CHROMIUM_DOWNLOAD: 'true',
    API_AUTH: null,
  } });
  try {
    const headers = { Authorization: `Bearer ${box.field('service key')}` };
    assert.equal((await scraper.begin({ url: site.live('render'), sessionId: session.id })).status, 401, 'no key, no entry');
    assert.equal((await scraper.begin({ url: site.live('render'), sessionId: session.id }, { headers })).status, 200);
    const browser = scraper.browserProcesses().map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    assert.ok(browser.some((command) => command.includes('chromium') && !command.includes('headless-shell')), 'CHROME_EXECUTABLE_PATH wins');
    await site.control({ id: 'render', say: [{ user: 'render.one', text: 'mine' }] });
    await until('the row, by SUPABASE_URL and its key', () =>
      box.sql(`select count(*) from sales_captured where stream_session_id = '${session.id}'`) === '1');
  } finally {
    await scraper.stop();
  }
});

block('Deploy Edge Function', 'supabase functions deploy -> deploy/up; supabase secrets set LOVABLE_API_KEY -> a setting', async () => {
  model.setBehaviour('ok');
  await box.set({ LOVABLE_API_KEY: 'your-api-key', AI_BASE_URL: model.url, ANALYZER: 'gateway' });
  const session = await newSession();
  const { analysis } = await post(session, 'is this the red one');
  assert.deepEqual([analysis.is_buyer, analysis.confidence], [true, 0.95], "the model server's verdict");
  assert.equal(model.requests.at(-1).headers.authorization, 'Bearer your-api-key');
});

block('Configure Frontend', 'VITE_REALTIME_SCRAPER_URL and VITE_REALTIME_SCRAPER_WS, in config.js for a built page', async () => {
  const window = {};
  new Function('window', 'location', await (await fetch(`${box.url}/config.js`)).text())(window, { origin: box.url });
  const { VITE_REALTIME_SCRAPER_URL, VITE_REALTIME_SCRAPER_WS } = window.DEALFLOW_CONFIG;
  assert.deepEqual([VITE_REALTIME_SCRAPER_URL, VITE_REALTIME_SCRAPER_WS], [scraperUrl(), scraperWs()]);
  const { service } = await (await fetch(`${VITE_REALTIME_SCRAPER_URL}/health`)).json();
  assert.equal(service, 'DealFlow Real-Time Monitor');
});

// A page of an app elsewhere, with supabase-js as npm ships it for browsers.
async function inChromium(run) {
  const library = createRequire(import.meta.url).resolve('@supabase/supabase-js/dist/umd/supabase.js');
  const server = http.createServer((request, response) => {
    const isLibrary = request.url === '/supabase.js';
    response.setHeader('Content-Type', isLibrary ? 'text/javascript' : 'text/html');
    response.end(isLibrary ? readFileSync(library) : '<!doctype html><title>app</title><script src="/supabase.js"></script>');
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const browser = await puppeteer.launch({ executablePath: '/usr/bin/chromium', headless: true,
    args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  try {
    const page = await browser.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await run(page);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
  }
}

block('Start Monitoring', "the snippet in Chromium: session, fetch, WebSocket, both kinds of event", async () => {
  await inChromium(async (page) => {
    const sessionId = await page.evaluate(async ({ url, key, user, REALTIME_SCRAPER_URL, REALTIME_SCRAPER_WS, stream }) => {
      const supabase = window.supabase.createClient(url, key, { accessToken: async () => user.token });

      // Create a stream session
      const { data: session, error } = await supabase
        .from('stream_sessions')
        .insert({
          user_id: user.id,
          platform: 'whatnot'
        })
        .select()
        .single()
      if (error) throw new Error(JSON.stringify(error))

      // Start the realtime scraper (the guide's headers, and the token that is wanted now)
      const response = await fetch(`${REALTIME_SCRAPER_URL}/api/start-monitoring`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${user.token}` },
        body: JSON.stringify({
          url: stream,
          sessionId: session.id
        })
      })
      const started = await response.json()
      if (started.status !== 'monitoring') throw new Error(JSON.stringify(started))

      // Connect to WebSocket for live updates
      window.buyers = []
      window.messages = []
      const ws = new WebSocket(REALTIME_SCRAPER_WS, ['dealflow', `bearer.${user.token}`])
      ws.onmessage = (event) => {
        const data = JSON.parse(event.data)

        if (data.type === 'buyer_detected') {
          window.buyers.push(data.buyer)
        }

        if (data.type === 'new_message') {
          window.messages.push(data.message)
        }
      }
      await new Promise((resolve, reject) => { ws.onopen = resolve; ws.onerror = reject })
      window.ws = ws
      return session.id
    }, { url: box.url, key: box.field('anon key'), user: seller, REALTIME_SCRAPER_URL: scraperUrl(),
         REALTIME_SCRAPER_WS: scraperWs(), stream: site.live('start') });
    await site.control({ id: 'start', say: [{ user: 'start.buyer', text: 'I will take it!' }] });
    await page.waitForFunction(() => window.buyers.length === 1 && window.messages.length === 1, { timeout: 15_000 });
    const { buyer, message } = await page.evaluate(() => ({ buyer: window.buyers[0], message: window.messages[0] }));
    for (const key of ['username', 'message', 'confidence', 'reason', 'timestamp', 'buyerNumber']) assert.ok(key in buyer, key);
    assert.deepEqual([message.username, message.message, message.isBuyer], ['start.buyer', 'I will take it!', true]);
    await page.evaluate(() => window.ws.close());
    assert.equal((await stopMonitoring({ sessionId })).status, 200);
  });
});

block('Stop Monitoring', 'the snippet: fetch, ws.close()', async () => {
  const session = await newSession();
  await startMonitoring({ url: site.live('stop'), sessionId: session.id });
  const ws = await listen(scraperWs(), seller.token);
  const answer = await (await stopMonitoring({ sessionId: session.id })).json();
  assert.deepEqual([answer.status, answer.sessionId], ['stopped', session.id]);
  ws.close();
  const again = await stopMonitoring({ sessionId: session.id });
  assert.deepEqual([again.status, await again.json()], [404, { error: 'No active monitoring session' }]);
  await until('the page to be closed', async () => (await site.streamStats('stop')).clients === 0);
});

block('Subscribe to Database Updates', 'both channels as written, rows posted through the function with curl', async () => {
  await box.set({ ANALYZER: 'local' });
  const session = await newSession();
  const supabase = clientOf(seller);
  await supabase.realtime.setAuth();
  const sessionId = session.id;
  const messages = [];
  const buyers = [];
  const states = {};

  // Subscribe to new chat messages
  supabase
    .channel('chat_messages')
    .on('postgres_changes',
      {
        event: 'INSERT',
        schema: 'public',
        table: 'chat_messages',
        filter: `stream_session_id=eq.${sessionId}`,
      },
      (payload) => {
        messages.push(payload.new);
      })
    .subscribe((state) => { states.messages = state; });

  // Subscribe to new buyer captures
  supabase
    .channel('sales_captured')
    .on('postgres_changes',
      {
        event: 'INSERT',
        schema: 'public',
        table: 'sales_captured',
        filter: `stream_session_id=eq.${sessionId}`,
      },
      (payload) => {
        buyers.push(payload.new);
      })
    .subscribe((state) => { states.buyers = state; });

  try {
    await until('both to be subscribed', () => states.messages === 'SUBSCRIBED' && states.buyers === 'SUBSCRIBED');
    await post(session, 'I will take it!', 'db.buyer');
    await post(await newSession(), 'I will take it!', 'elsewhere');
    await post(session, 'love this show', 'db.fan');
    await until('the rows', () => messages.length === 2 && buyers.length === 1);
    assert.deepEqual(messages.map(({ username }) => username), ['db.buyer', 'db.fan']);
    assert.deepEqual([buyers[0].buyer_username, buyers[0].message_text, buyers[0].user_id], ['db.buyer', 'I will take it!', seller.id]);
  } finally {
    await supabase.removeAllChannels();
    supabase.realtime.disconnect();
  }
});

block('Test the Realtime Scraper', 'API_AUTH=off dealflow-scraper, and the curl line as it stands', async () => {
  const scraper = await Scraper.start({ site }); // listens on this machine only, as for the guide's try
  try {
    const ws = await listen(scraper.url.replace('http', 'ws'));
    const result = await box.run('curl', ['-sS', '-X', 'POST', `${scraper.url}/api/start-monitoring`,
      '-H', 'Content-Type: application/json', '-d', JSON.stringify({ url: site.live('test-stream'), sessionId: 'test-123' })]);
    const answer = JSON.parse(result.stdout);
    assert.deepEqual([answer.status, answer.sessionId], ['monitoring', 'test-123']);
    assert.match(answer.message, /not (stored|delivered)/i, 'it says that nothing is stored for an id that is no UUID');
    for (const key of ['url', 'title', 'viewers', 'source']) assert.ok(key in answer.stream, key);
    await site.control({ id: 'test-stream', say: [{ user: 'local.one', text: 'mine' }] });
    await heardBy(ws, 'new_message', ({ sessionId, message }) => sessionId === 'test-123' && message.username === 'local.one');
    const refused = await call(`${scraper.url}/api/start-monitoring`, { url: 'https://www.whatnot.com.evil.example/live/x', sessionId: 'test-123' });
    assert.equal(refused.status, 400);
    ws.close();
  } finally {
    await scraper.stop();
  }
});

block('Test the Edge Function', 'the curl line with the anon key', async () => {
  const session = await newSession();
  const answer = await post(session, 'I will take it!', 'test_buyer', box.field('anon key'));
  assert.deepEqual([answer.success, answer.analyzed], [true, true]);
  assert.deepEqual(Object.keys(answer.analysis).sort(), ['auto_captured', 'confidence', 'is_buyer', 'message_type']);
  assert.deepEqual([answer.analysis.is_buyer, answer.analysis.auto_captured], [true, true]);
  assert.equal(box.sql(`select buyer_username || ':' || message_text from sales_captured where stream_session_id = '${session.id}'`),
    'test_buyer:I will take it!');
});

block('Puppeteer finds the chat: screenshots', 'DEALFLOW_SAVE_SCREENSHOT=true saves a picture of the page', async () => {
  await box.set({ DEALFLOW_SAVE_SCREENSHOT: 'true' });
  const session = await newSession();
  assert.equal((await startMonitoring({ url: site.live('shot'), sessionId: session.id })).status, 200);
  const folder = path.join(box.varDir, 'scraper/screenshots');
  const picture = await until('a picture', () => readdirSync(folder).find((name) => /\.(png|jpe?g)$/.test(name)));
  const bytes = readFileSync(path.join(folder, picture));
  assert.ok(bytes.length > 1000 && (bytes.readUInt16BE(0) === 0x8950 || bytes.readUInt16BE(0) === 0xffd8), 'it is a picture');
  await stopMonitoring({ sessionId: session.id });
});

block('Supabase connection', 'a daemon without SUPABASE_URL says so, in its answer, its log and /health', async () => {
  const scraper = await Scraper.start({ site, env: { SUPABASE_URL: null, SUPABASE_SERVICE_ROLE_KEY: null } });
  try {
    const session = await newSession();
    const { json } = await scraper.begin({ url: site.live('nowhere'), sessionId: session.id });
    assert.match(`${json.message} ${JSON.stringify(await scraper.health())} ${scraper.logs()}`, /SUPABASE_URL/);
  } finally {
    await scraper.stop();
  }
});

block('AI analysis: key and logs', 'supabase functions logs -> var/log/monitor/current names what the model server said', async () => {
  model.setBehaviour('unauthorized');
  await box.set({ ANALYZER: 'gateway', AI_ON_ERROR: 'fail', AI_BREAKER: 'off' });
  const session = await newSession();
  const answer = await post(session, 'how much is it');
  assert.deepEqual(answer, { error: 'AI analysis failed: 401', success: false });
  await until('the log to say so', () => /AI analysis failed: 401/.test(box.log('monitor')));
  assert.equal(box.sql(`select count(*) from chat_messages where stream_session_id = '${session.id}'`), '1', 'the message stays stored');
});

// Asks the model server about everything unless a switch says otherwise, and counts the questions.
async function asked(settings, lines) {
  model.setBehaviour({ body: toolCall({ is_buyer: false, confidence: 0.1, message_type: 'general' }) });
  await box.set({ ANALYZER: 'gateway', ...settings });
  const session = await newSession();
  const before = model.stats.count;
  const answers = await Promise.all(lines.map(([username, message]) => post(session, message, username)));
  assert.ok(answers.every(({ success }) => success), JSON.stringify(answers));
  return { calls: model.stats.count - before, answers };
}

const LINES = [['ann', 'how much is shipping'], ['bob', 'good morning everyone'], ['cleo', 'mine!'], ['dan', 'lol same']];

block('Costs: keyword pre-filtering', 'AI_PREFILTER: only lines with buying words are asked about', async () => {
  assert.equal((await asked({ AI_ON_ERROR: 'local', AI_PREFILTER: 'off' }, LINES)).calls, 4, 'without it, every line');
  const { calls } = await asked({ AI_PREFILTER: 'on' }, LINES);
  assert.ok(calls > 0 && calls < 4, `${calls} calls`);
});

block('Costs: certain users only', 'AI_ONLY_USERS: only these names are asked about', async () => {
  assert.equal((await asked({ AI_PREFILTER: 'off', AI_ONLY_USERS: 'cleo' }, LINES)).calls, 1);
});

block('Costs: local detection only', 'ANALYZER=local: nobody is asked, buyers are found', async () => {
  const { calls, answers } = await asked({ ANALYZER: 'local' }, LINES);
  assert.equal(calls, 0);
  assert.deepEqual(answers.map(({ analysis }) => analysis.is_buyer), [true, false, true, false]);
});

block('Schema of chat_messages', 'columns and types', () => {
  assert.equal(columns('chat_messages'), 'id:uuid stream_session_id:uuid username:text message:text platform:text created_at:timestamp with time zone');
  assert.match(references('chat_messages'), /stream_session_id.*stream_sessions\(id\)/);
});

block('Schema of sales_captured', 'columns and types', () => {
  const found = columns('sales_captured');
  for (const column of ['id:uuid', 'user_id:uuid', 'stream_session_id:uuid', 'platform:text', 'buyer_username:text', 'message_text:text',
    'item_description:text', 'estimated_value:numeric', 'captured_at:timestamp with time zone']) assert.ok(found.split(/ (?=\w+:)/).includes(column), column);
  assert.match(references('sales_captured'), /user_id.*profiles\(id\)/);
  assert.match(references('sales_captured'), /stream_session_id.*stream_sessions\(id\)/);
});

const columns = (table) => box.sql(`select string_agg(column_name || ':' || data_type, ' ' order by ordinal_position)
  from information_schema.columns where table_schema = 'public' and table_name = '${table}'`);
const references = (table) => box.sql(`select string_agg(pg_get_constraintdef(oid), '; ')
  from pg_constraint where contype = 'f' and conrelid = 'public.${table}'::regclass`);

block('Polling Interval', 'editing 1500 in the script -> POLL_INTERVAL_MS; lines come in steps of it', async () => {
  const INTERVAL_MS = 1200;
  const scraper = await Scraper.start({ site, env: { SCRAPER_SOURCE: 'polling', POLL_INTERVAL_MS: String(INTERVAL_MS) } });
  try {
    const client = await scraper.client();
    const session = await scraper.watch(site.live('polled'));
    for (let i = 0; i < 40; i++) {
      await site.control({ id: 'polled', say: [{ user: `polled.${i}`, text: `line ${i}` }] });
      await sleep(100); // a stream of lines, not a wait for anything
    }
    await until('all lines', () => client.messages(session).length >= 40);
    const times = client.messages(session).map(({ at }) => at);
    const gaps = times.slice(1).map((at, i) => at - times[i]).filter((gap) => gap > INTERVAL_MS / 3);
    assert.ok(gaps.length >= 2, `${times.length} lines came in ${gaps.length + 1} steps`);
    assert.ok(gaps.length <= 40 * 100 * 3 / INTERVAL_MS, `not line by line: ${gaps.length} steps`);
  } finally {
    await scraper.stop();
  }
});

block('AI Confidence Threshold', 'editing 0.7 in index.ts -> CONFIDENCE_THRESHOLD', async () => {
  model.setBehaviour({ body: toolCall({ is_buyer: true, confidence: 0.7, message_type: 'interest' }) });
  await box.set({ ANALYZER: 'gateway', AI_ONLY_USERS: '', CONFIDENCE_THRESHOLD: '0.7' });
  assert.equal((await post(await newSession(), 'ooh')).analysis.auto_captured, true, '0.7 is enough');
  await box.set({ CONFIDENCE_THRESHOLD: '0.71' });
  assert.equal((await post(await newSession(), 'ooh')).analysis.auto_captured, false);
});

// After the threshold, for fewer restarts.
block('Costs: batches', 'AI_BATCH_MS: lines of that time share one call', async () => {
  model.setBehaviour('ok'); // answers with one verdict where several were asked for: the rest fall back
  await box.set({ CONFIDENCE_THRESHOLD: '0.7', AI_BATCH_MS: '400' });
  const session = await newSession();
  const before = model.stats.count;
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => post(session, `is number ${i} still there`, `batch.${i}`)));
  assert.ok(answers.every(({ success, analyzed }) => success && analyzed), JSON.stringify(answers));
  const calls = model.stats.count - before;
  assert.ok(calls >= 1 && calls < 10, `${calls} calls for ten lines`);
  await box.set({ ANALYZER: 'local', AI_BATCH_MS: '0' });
});

block('Message Deduplication', 'editing max and ttl in the script -> DEDUP_MAX, DEDUP_TTL_MS (effect: statement 06 of scraper-capture)', async () => {
  const scraper = path.join(box.varDir, 'app/bin/dealflow-scraper');
  const defaults = (await box.run(scraper, ['--print-settings'])).stdout;
  assert.match(defaults, /^#DEDUP_MAX=10000$/m);
  assert.match(defaults, /^#DEDUP_TTL_MS=300000$/m); // 1000 * 60 * 5
  const changed = (await box.run(scraper, ['--check'],
    { extra: { API_AUTH: 'off', DEDUP_MAX: '20000', DEDUP_TTL_MS: '60000' } })).stdout;
  assert.match(changed, /^DEDUP_MAX=20000$/m);
  assert.match(changed, /^DEDUP_TTL_MS=60000$/m);
  const session = await newSession();
  const ws = await listen(scraperWs(), seller.token);
  await startMonitoring({ url: site.live('dedup'), sessionId: session.id });
  await site.control({ id: 'dedup', say: Array.from({ length: 3 }, () => ({ user: 'twice', text: 'mine' })) });
  await until('three genuine repeats in the table', () =>
    box.sql(`select count(*) from chat_messages where stream_session_id = '${session.id}'`) === '3');
  await site.control({ id: 'dedup', cmd: 'rerender' });
  await site.control({ id: 'dedup', say: [{ user: 'after', text: 'next' }] });
  await heardBy(ws, 'new_message', ({ message }) => message.username === 'after');
  assert.equal(ws.heard.filter((event) => event.type === 'new_message' && event.message.username === 'twice').length, 3, 'and a list drawn anew holds none');
  ws.close();
  await stopMonitoring({ sessionId: session.id });
});

block('Health Check', 'curl .../health, and the response', async () => {
  const session = await newSession();
  await startMonitoring({ url: site.live('health'), sessionId: session.id });
  const { stdout } = await box.run('curl', ['-sS', `${scraperUrl()}/health`]);
  const { status, service, activeSessions } = JSON.parse(stdout);
  assert.deepEqual({ status, service, activeSessions }, { status: 'ok', service: 'DealFlow Real-Time Monitor', activeSessions: 1 });
  await stopMonitoring({ sessionId: session.id });
});

block('Auto-restart on failure', "Render's restart -> the supervisor's; the watched stream is watched again", async () => {
  const session = await newSession();
  await startMonitoring({ url: site.live('restart'), sessionId: session.id });
  const pid = box.pidOf('scraper');
  process.kill(pid, 'SIGKILL');
  await until('another daemon', () => box.pidOf('scraper') > 0 && box.pidOf('scraper') !== pid);
  await until('the page to be open again', async () => (await site.streamStats('restart')).clients === 1, { timeoutMs: 30_000 });
  await site.control({ id: 'restart', say: [{ user: 'again', text: 'mine' }] });
  await until('its chat', () => box.sql(`select count(*) from chat_messages where stream_session_id = '${session.id}' and username = 'again'`) === '1',
    { timeoutMs: 20_000 });
  await stopMonitoring({ sessionId: session.id });
});

block('Security Notes', 'the service key shows nowhere; RLS; ownership of sessions; rate limits', async () => {
  const key = box.field('service key');
  for (const where of ['/', '/config.js', '/scraper/health']) assert.ok(!(await (await fetch(box.url + where)).text()).includes(key), where);
  const session = await newSession();
  await post(session, 'I will take it!');
  for (const table of ['chat_messages', 'sales_captured', 'stream_sessions']) {
    const own = await clientOf(seller).from(table).select('*').eq(table === 'stream_sessions' ? 'id' : 'stream_session_id', session.id);
    assert.equal(own.data.length, 1, table);
    const others = await clientOf(stranger).from(table).select('*');
    assert.deepEqual([others.error, others.data], [null, []], table);
  }
  assert.equal((await startMonitoring({ url: site.live('mine'), sessionId: session.id }, stranger)).status, 403);
  const written = await call(`${box.url}/functions/v1/monitor-realtime-stream`,
    { message: 'mine', username: 'x', streamSessionId: session.id }, { Authorization: `Bearer ${stranger.token}` });
  assert.equal(written.status, 403);
  const burst = await Promise.all(Array.from({ length: 80 }, () => call(`${box.url}/functions/v1/monitor-realtime-stream`,
    { message: 'mine', username: 'x', streamSessionId: session.id }, { Authorization: `Bearer ${box.field('anon key')}` })));
  const limited = burst.filter(({ status }) => status === 429);
  assert.ok(limited.length > 0, 'anon is limited to a burst of 50');
  assert.ok(Number(limited[0].headers.get('retry-after')) >= 1);
});

test('the table: every block of the guide, and what was executed for it', (t) => {
  for (const name of BLOCKS) t.diagnostic(`${name} -> ${executed.get(name)?.join('; ') ?? 'FAILED or left out'}`);
  assert.deepEqual(BLOCKS.filter((name) => !executed.has(name)), []);
});
