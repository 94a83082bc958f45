#!/usr/bin/env node
// Plays the chat of one live sale through the public door and prints what becomes of each line.
// Plain Node 18, no packages. Started by deploy/up --demo; reads its settings from the environment.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const USAGE = `Usage: demo.mjs [--speed X] [--lines N] [--seed N]

Plays the chat of a live sale, about three minutes of it, into a running system.

  --speed X   X times as fast (1)
  --lines N   only the first N lines
  --seed N    another choice of lines (1)

Environment, as deploy/up writes it to var/env: SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY,
DEMO_SESSION_ID. To run it by hand: set -a; . var/env; node deploy/demo.mjs
`;
const FUNCTION_PATH = '/functions/v1/monitor-realtime-stream';
const LOTS = 12;
const MEAN_GAP_MS = 750;
const ATTEMPTS = 5;

function die(status, what) {
    process.stderr.write(`demo: ${what}\n`);
    process.exit(status);
}

function readArguments(list) {
    const options = { speed: 1, lines: Infinity, seed: 1 };
    for (let i = 0; i < list.length; i += 2) {
        const name = list[i].replace(/^--/, '');
        if (name === 'help' || name === '-h') {
            process.stdout.write(USAGE);
            process.exit(0);
        }
        if (!(name in options) || !(Number(list[i + 1]) > 0))
            die(64, `cannot make sense of ${list.slice(i, i + 2).join(' ')}\n\n${USAGE}`);
        options[name] = Number(list[i + 1]);
    }
    return options;
}

/** mulberry32: the same seed gives the same show on every machine. */
function randomFrom(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
}

function loadLines() {
    const here = dirname(fileURLToPath(import.meta.url));
    const folders = [join(here, 'data'), join(here, '..', 'shared', 'intent', 'data')];
    const folder = folders.find((path) => existsSync(join(path, 'chatter.tsv')));
    if (folder === undefined)
        die(1, `the labelled chat is in neither of ${folders.join(', ')}`);
    const files = ['chatter', 'claim-sales', 'cards-coins-comics', 'slang', 'multilingual',
                   'sneakers-fashion-electronics', 'auction-questions'];
    const rows = [];
    for (const file of files) {
        const lines = readFileSync(join(folder, `${file}.tsv`), 'utf8').split('\n').slice(1);
        for (const line of lines) {
            const [, username, message, , isDirect, type, , , lang] = line.split('\t');
            // One in ten shoppers writes another language; long lines do not fit a fast chat.
            if (message === undefined || message.length > 70 || username.length > 20)
                continue;
            rows.push({ username, message, type: isDirect === '1' ? 'direct' : type, lang });
        }
    }
    return rows;
}

/** Lines of a show with the time each comes at: greetings, then lot after lot, then goodbyes. */
function arrangeShow(rows, random) {
    const pools = { chat: [], question: [], direct: [] };
    for (const row of rows) {
        if (row.lang !== 'en' && random() > 0.15)
            continue;
        if (row.type === 'direct')
            pools.direct.push(row);
        else if (row.type === 'product_question' || row.type === 'pricing_question')
            pools.question.push(row);
        else if (row.type === 'general' || row.type === 'interest')
            pools.chat.push(row);
    }
    const show = [];
    let atMs = 0;
    const say = (pool, count, pace) => {
        for (let i = 0; i < count; i++) {
            const row = pools[pool].splice(Math.floor(random() * pools[pool].length), 1)[0];
            atMs += -Math.log(1 - random()) * MEAN_GAP_MS * pace; // exponential gaps: chat is bursty
            show.push({ atMs, username: row.username, message: row.message });
        }
    };
    say('chat', 12, 1.2);
    for (let lot = 0; lot < LOTS; lot++) {
        say('chat', 3 + Math.floor(random() * 4), 1.3); // the next item is shown
        say('question', 2 + Math.floor(random() * 3), 1.2);
        say('chat', 2 + Math.floor(random() * 3), 1);
        say('direct', 2 + Math.floor(random() * 3), 0.4); // everybody claims at once
        say('chat', 4 + Math.floor(random() * 4), 0.9);
    }
    say('chat', 8, 1.5);
    return show;
}

// --- sending ------------------------------------------------------------------------------------

function post(door, line) {
    const body = Buffer.from(JSON.stringify(line));
    return new Promise((done) => {
        const request = door.request(door.url, {
            method: 'POST', agent: door.agent, timeout: 30000,
            headers: { Authorization: `Bearer ${door.key}`, 'Content-Type': 'application/json',
                       'Content-Length': body.length },
        }, (response) => {
            let text = '';
            response.setEncoding('utf8');
            response.on('data', (part) => { text += part; });
            response.on('error', () => done({ status: 0, text: 'the answer broke off' }));
            response.on('end', () => done({
                status: response.statusCode, text,
                waitMs: Number(response.headers['retry-after'] ?? 0) * 1000,
            }));
        });
        request.on('timeout', () => request.destroy(new Error('no answer in 30 s')));
        request.on('error', (why) => done({ status: 0, text: why.message, waitMs: 0 }));
        request.end(body);
    });
}

/** One delivery. The messageId makes sending again harmless. */
async function deliver(door, entry) {
    const line = { message: entry.message, username: entry.username, platform: 'whatnot',
                   streamSessionId: door.session, messageId: randomUUID() };
    let answer;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        const started = performance.now();
        answer = await post(door, line);
        answer.ms = performance.now() - started;
        if (answer.status !== 0 && answer.status !== 429 && answer.status !== 503)
            break;
        if (attempt < ATTEMPTS)
            await delay(Math.max(answer.waitMs, 200 * attempt));
    }
    return answer;
}

// --- showing ------------------------------------------------------------------------------------

const inColour = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const paint = (code, text) => (inColour ? `\x1b[${code}m${text}\x1b[0m` : text);
const clip = (text, width) => {
    const letters = [...text];
    return letters.length > width ? `${letters.slice(0, width - 1).join('')}…`
                                  : text + ' '.repeat(width - letters.length);
};

function show(sinceMs, entry, verdict) {
    const seconds = Math.floor(sinceMs / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    const line = `${clock.padStart(5)}  ${clip(entry.username, 20)}  ${clip(entry.message, 46)}  `;
    if (verdict === null)
        return console.log(line + 'stored');
    const confidence = verdict.confidence.toFixed(2);
    if (verdict.auto_captured)
        console.log(paint('1;32', `${line}BUYER ${confidence}  ${verdict.message_type}`));
    else if (verdict.is_buyer)
        console.log(paint('33', `${line}maybe ${confidence}  ${verdict.message_type}`));
    else
        console.log(line + paint('2', `  -   ${confidence}`));
}

/** What the database says was offered since the start; null where it is not ours to ask. */
function offeredTotal(door, startedAt) {
    const url = process.env.DATABASE_ADMIN_URL;
    if (process.env.DATABASE_PRIVATE !== 'yes' || !url)
        return null;
    const sql = `select coalesce(sum(estimated_value), 0) from public.sales_captured
        where stream_session_id = '${door.session}' and captured_at >= '${startedAt}'`;
    return new Promise((done) => execFile('psql', ['-X', '-A', '-t', '-c', sql, url], { timeout: 5000 },
        (why, out) => done(why ? null : Number(out))));
}

async function summarise(door, tally, startedAt) {
    const sorted = tally.latencies.sort((a, b) => a - b);
    const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
    const offered = await offeredTotal(door, startedAt);
    const money = offered === null ? '' : `, ${offered.toFixed(2)} offered`;
    console.log(`\n${tally.stored} messages stored, ${tally.captured} buyers captured${money}` +
        (sorted.length ? `, median latency ${at(0.5).toFixed(1)} ms, p99 ${at(0.99).toFixed(1)} ms` : '') +
        (tally.failed ? `, ${tally.failed} failed` : ''));
}

// --- all of it ----------------------------------------------------------------------------------

async function main() {
    const options = readArguments(process.argv.slice(2));
    const { SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, DEMO_SESSION_ID } = process.env;
    if (!SUPABASE_URL || !SUPABASE_SERVICE_ROLE_KEY || !DEMO_SESSION_ID)
        die(64, `settings are missing\n\n${USAGE}`);
    const client = SUPABASE_URL.startsWith('https:') ? https : http;
    const door = {
        request: client.request, url: new URL(FUNCTION_PATH, SUPABASE_URL),
        agent: new client.Agent({ keepAlive: true }), key: SUPABASE_SERVICE_ROLE_KEY,
        session: DEMO_SESSION_ID,
    };
    const chat = arrangeShow(loadLines(), randomFrom(options.seed)).slice(0, options.lines);
    const tally = { stored: 0, captured: 0, failed: 0, latencies: [] };
    const stopping = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'])
        process.on(signal, () => stopping.abort());

    const lengthS = Math.round(chat[chat.length - 1].atMs / options.speed / 1000);
    console.log(`A live sale: ${chat.length} chat lines in about ${lengthS} s. Ctrl-C ends it.\n`);
    const startedAt = new Date().toISOString();
    const started = performance.now();
    const underWay = new Set();
    for (const entry of chat) {
        const waitMs = entry.atMs / options.speed - (performance.now() - started);
        await delay(Math.max(0, waitMs), undefined, { signal: stopping.signal }).catch(() => {});
        if (stopping.signal.aborted)
            break;
        const task = deliver(door, entry).then((answer) => {
            if (answer.status !== 200) {
                tally.failed++;
                console.log(paint('31', `       not stored (${answer.status}): ${answer.text}`));
                return;
            }
            const verdict = JSON.parse(answer.text).analysis ?? null;
            tally.stored++;
            tally.latencies.push(answer.ms);
            if (verdict?.auto_captured)
                tally.captured++;
            show(performance.now() - started, entry, verdict);
        }).finally(() => underWay.delete(task));
        underWay.add(task);
    }
    await Promise.all(underWay);
    await summarise(door, tally, startedAt);
    door.agent.destroy();
    process.exitCode = tally.failed > 0 ? 1 : 0;
}

await main();
