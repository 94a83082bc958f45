#!/usr/bin/env node
// tests/bench/oldway/server.js - how such streams are usually read: Puppeteer, a browser of its own for
// each stream, a look at the document every 1.5 s, duplicates recognised by name and text. Our own
// code, as small and as quick as this way allows: it knows the rows' test ids, where scripts of this
// kind guess, and delivers nothing.
//   server.js --port N --executable FILE [--shell] --profiles DIR SESSION=URL...
'use strict';
const http = require('node:http');
const path = require('node:path');
const puppeteer = require('puppeteer-core');
const { WebSocketServer } = require('ws');

const POLL_MS = 1500;
const SEEN_MAX = 10000;
const SEEN_MS = 300000;
const BLOCKED = new Set(['image', 'font', 'media', 'stylesheet']);

const clients = new Set();
function broadcast(event) {
  const text = JSON.stringify(event);
  for (const client of clients) client.send(text);
}

/** Runs in the page. */
function readRows() {
  return [...document.querySelectorAll('[data-testid="chat-message"]')].map((row) => {
    const link = row.querySelector('a[href^="/user/"]');
    const text = row.querySelector('.textA');
    return link && text && text.textContent !== 'joined 👋'
      ? { username: decodeURIComponent(link.getAttribute('href').slice('/user/'.length)), message: text.textContent }
      : null;
  }).filter(Boolean);
}

/** Least recently used keys leave first. */
class Seen {
  constructor() {
    this.times = new Map();
  }

  isNew(key, now) {
    const at = this.times.get(key);
    this.times.delete(key);
    this.times.set(key, now);
    if (this.times.size > SEEN_MAX) this.times.delete(this.times.keys().next().value);
    return at === undefined || now - at > SEEN_MS;
  }
}

async function watch(sessionId, url, { executable, shell, profiles }) {
  const browser = await puppeteer.launch({
    executablePath: executable,
    headless: shell ? 'shell' : true,
    userDataDir: path.join(profiles, sessionId),
    args: ['--no-sandbox', '--disable-setuid-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
    defaultViewport: { width: 1366, height: 768 },
  });
  const page = await browser.newPage();
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const done = BLOCKED.has(request.resourceType()) ? request.abort() : request.continue();
    done.catch(() => {}); // the page left meanwhile
  });
  await page.goto(url, { waitUntil: 'domcontentloaded', timeout: 30000 });
  const seen = new Seen();
  let isBusy = false;
  setInterval(async () => {
    if (isBusy) return;
    isBusy = true;
    try {
      for (const row of await page.evaluate(readRows)) {
        if (!seen.isNew(`${row.username}:${row.message}`, Date.now())) continue;
        broadcast({ type: 'new_message', sessionId, message: { ...row, timestamp: new Date().toISOString() } });
      }
    } finally {
      isBusy = false;
    }
  }, POLL_MS);
  return browser;
}

async function main() {
  const settings = { streams: [] };
  const args = process.argv.slice(2);
  while (args.length > 0) {
    const arg = args.shift();
    if (arg === '--shell') settings.shell = true;
    else if (arg.startsWith('--')) settings[arg.slice(2)] = args.shift();
    else settings.streams.push(arg);
  }
  const browsers = [];
  process.on('SIGTERM', async () => {
    await Promise.allSettled(browsers.map((browser) => browser.close()));
    process.exit(0);
  });
  for (const stream of settings.streams) {
    const [sessionId, url] = stream.split(/=(.*)/s);
    browsers.push(await watch(sessionId, url, settings));
  }
  const server = http.createServer((request, response) => response.end('{"status":"ok"}'));
  new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (client) => {
    clients.add(client);
    client.on('close', () => clients.delete(client));
  });
  server.listen(Number(settings.port), '127.0.0.1');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
