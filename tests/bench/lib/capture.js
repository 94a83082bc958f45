// tests/bench/lib/capture.js - one run of one contender of tests/bench/capture: start it on fresh
// streams of the stand-in site, let it settle, measure a window, score it against the site's log.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const WebSocket = require('ws');
const { ROOT, freePort, sleep, until } = require('./box.js');

const STARTING_MS = 120000;
const LATE_MS = 3000; // what is still on its way when the window ends: two looks of the old way
const SERVER = path.join(ROOT, 'tests', 'bench', 'oldway', 'server.js');
const LIB = path.join(ROOT, 'tests', 'integration', 'lib');

/** Where the daemon's lines go, for the figures about the daemon alone. */
const SINKS = { outbox: 'nothing posted', endpoint: 'posted to an endpoint that answers at once' };

async function begin(box, settings) {
  const { FakeSite, score, wallMs } = await import(path.join(LIB, 'fakestream.mjs'));
  const proc = await import(path.join(LIB, 'proctree.mjs'));
  const site = await FakeSite.start();
  const model = fs.readFileSync('/proc/cpuinfo', 'utf8').match(/^model name\s*: (.*)$/m)?.[1] ?? 'unknown processor';
  const conditions = `${os.cpus().length} cores (${model}), ${Math.round(os.totalmem() / 2 ** 30)} GiB, ` +
    `load ${os.loadavg()[0].toFixed(2)}, Node ${process.versions.node}, ${settings.rate} messages/s a stream, ` +
    `variant A, profile mix, window ${settings.seconds} s after ${settings.settle} s, ${settings.rounds} rounds`;
  return { box, settings, site, score, wallMs, proc, conditions, runs: 0 };
}

/** Streams of their own for each run: {session, id, url}. */
async function makeStreams({ site }, run, count, rate) {
  const streams = Array.from({ length: count }, (_, i) => {
    const id = `bench-${run}-${i}`;
    return { id, url: site.live(id), session: crypto.randomUUID() };
  });
  for (const { id } of streams) await site.control({ id, rate, profile: 'mix', variant: 'A' });
  return streams;
}

function get(url) {
  return new Promise((done, failed) => {
    http.get(url, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => done(text));
    }).on('error', failed);
  });
}

function post(url, body) {
  return new Promise((done, failed) => {
    const request = http.request(url, { method: 'POST', headers: { 'content-type': 'application/json' } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => { text += piece; })
        .on('end', () => done({ status: response.statusCode, text }));
    });
    request.on('error', failed).end(JSON.stringify(body));
  });
}

async function startOld(context, run, streams, shell) {
  const { box, settings } = context;
  const port = await freePort();
  const name = `old-${run}`;
  const args = [SERVER, '--port', String(port), '--executable', path.resolve(shell ? settings.shell : settings.chromium),
    '--profiles', box.file(name), ...(shell ? ['--shell'] : []), ...streams.map((each) => `${each.session}=${each.url}`)];
  const child = box.start(name, process.execPath, args);
  await waitFor(name, child, port);
  return { child, port };
}

async function startOurs(context, run, streams, env = {}) {
  const { box, settings, site } = context;
  const port = await freePort();
  const name = `ours-${run}`;
  fs.mkdirSync(box.file(name));
  const child = box.start(name, path.resolve(settings.build, 'bin', 'dealflow-scraper'), [], {
    env: { PATH: process.env.PATH, LC_ALL: 'C', HOME: box.file(name), TMPDIR: box.file(name), PORT: String(port),
      BIND: '127.0.0.1', API_AUTH: 'off', CHROME_EXECUTABLE_PATH: path.resolve(settings.shell),
      OUTBOX_PATH: path.join(box.file(name), 'outbox.db'), SCRAPER_PROFILE_DIR: box.file(name),
      SCREENSHOT_DIR: box.file(name), ...site.settings, ...env },
  });
  await waitFor(name, child, port);
  for (const { session, url } of streams) {
    const answer = await post(`http://127.0.0.1:${port}/api/start-monitoring`, { url, sessionId: session });
    if (answer.status !== 200) throw new Error(`start-monitoring: ${answer.status} ${answer.text}`);
  }
  await until('all sessions to be read by frames', async () => {
    const { sessions } = JSON.parse(await get(`http://127.0.0.1:${port}/health`));
    return sessions.length === streams.length && sessions.every((each) => each.state === 'live' && each.source === 'frames');
  }, STARTING_MS);
  return { child, port };
}

async function waitFor(name, child, port) {
  const ended = child.ended.then(() => {
    throw new Error(`${name} ended (${child.end}): ${fs.readFileSync(child.log, 'utf8').slice(-1500)}`);
  });
  await Promise.race([ended, until(name, () => !child.end && get(`http://127.0.0.1:${port}/health`), STARTING_MS)]);
  ended.catch(() => {}); // from now on it is stopped on purpose
}

/** A client that notes when each message came. */
function listen({ wallMs }, port) {
  return new Promise((done, failed) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false });
    const messages = [];
    socket.on('message', (bytes) => {
      const at = wallMs();
      const event = JSON.parse(bytes);
      if (event.type === 'new_message') messages.push({ ...event.message, session: event.sessionId, at });
    });
    socket.once('open', () => done({ messages, close: () => socket.terminate() }));
    socket.once('error', failed);
  });
}

/** What was used between two moments, and by whom. only: by the root process alone, its first thread
 * (capture and clients) apart from the rest (outbox and delivery). */
function meter({ proc, site }, root, only) {
  const now = () => {
    const tree = proc.treeCpuSeconds(root);
    const threads = only ? proc.threadCpuSeconds(root) : { first: tree, others: 0 };
    const ours = tree + proc.treeCpuSeconds(site.child.pid) + proc.processCpuSeconds(process.pid);
    return { ...threads, ours, machine: proc.machineCpuSeconds(), at: performance.now() };
  };
  const began = now();
  return () => {
    const ended = now();
    const seconds = (ended.at - began.at) / 1000;
    const foreign = ended.machine.busy - began.machine.busy - (ended.ours - began.ours);
    return { cpu: (ended.first - began.first) / seconds, cpuOthers: (ended.others - began.others) / seconds,
      foreign: Math.max(0, foreign) / (ended.machine.all - began.machine.all) };
  };
}

/** Latency from the moment the page showed a message for a reader of the document, from the moment the
 * site sent it for a reader of the socket: the stricter of the two for ours. */
async function judge({ site, score }, streams, messages, window, from) {
  let hit = 0;
  let expected = 0;
  let emitted = 0;
  const latencies = [];
  for (const { id, session } of streams) {
    const mine = messages.filter((each) => each.session === session);
    const truth = await site.truth(id);
    const one = score(truth, mine, { ...window, from });
    hit += one.hit;
    expected += one.expected;
    emitted += one.emitted;
    latencies.push(...one.latencies);
  }
  latencies.sort((a, b) => a - b);
  const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))];
  return { hit, expected, recall: hit / expected, precision: hit / emitted, p50_ms: at(0.5), p99_ms: at(0.99) };
}

async function window(context, streams, started, { from, only, seconds }) {
  const { settings, site, wallMs, proc } = context;
  const client = await listen(context, started.port);
  await sleep(settings.settle * 1000);
  const since = wallMs();
  const stop = meter(context, started.child.pid, only);
  await sleep(seconds * 1000);
  const used = stop();
  const until_ = wallMs();
  const processes = proc.tree(started.child.pid);
  const pss = proc.pssBytes(only ? [started.child.pid] : processes.map((each) => each.pid));
  for (const { id } of streams) await site.control({ id, rate: 0 });
  await sleep(LATE_MS);
  client.close();
  const judged = await judge(context, streams, client.messages, { since, until: until_ }, from);
  return { ...judged, ...used, pss, processes: processes.length };
}

async function measure(context, name, count) {
  const { box, settings } = context;
  const run = ++context.runs;
  const streams = await makeStreams(context, run, count, settings.rate);
  const started = name === 'ours' ? await startOurs(context, run, streams) : await startOld(context, run, streams, name === 'shell');
  try {
    return await window(context, streams, started, { from: name === 'ours' ? 'sent' : 'shown', seconds: settings.seconds });
  } finally {
    await box.stop(started.child);
  }
}

/** Answers every message at once, as the function would. */
function endpoint() {
  return new Promise((done) => {
    const server = http.createServer((request, response) => {
      request.resume().on('end', () => {
        server.messages += 1;
        response.setHeader('content-type', 'application/json');
        response.end('{"success":true,"message":"Message processed","analysis":null}');
      });
    });
    server.messages = 0;
    server.listen(0, '127.0.0.1', () => done(server));
  });
}

async function daemonAlone(context, { tabs, rate, sink }) {
  const { box, settings } = context;
  const run = ++context.runs;
  const streams = await makeStreams(context, run, tabs, rate);
  const server = sink === 'endpoint' ? await endpoint() : null;
  const started = await startOurs(context, run, streams, server
    ? { SUPABASE_URL: `http://127.0.0.1:${server.address().port}`, SUPABASE_SERVICE_ROLE_KEY: 'bench-service-role-key' } : {});
  try {
    const result = await window(context, streams, started, { from: 'sent', only: true, seconds: settings.seconds });
    return { ...result, delivered: server ? server.messages : 0 };
  } finally {
    await box.stop(started.child);
    server?.closeAllConnections?.();
    server?.close();
  }
}

module.exports = { SINKS, begin, measure, daemonAlone };
