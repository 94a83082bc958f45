// tests/bench/lib/box.js - everything a benchmark starts: one temporary folder, child processes that
// end with it, and waiting for conditions. Nothing outlives the process that made the box.
'use strict';
const { execFileSync, spawn } = require('node:child_process');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const ROOT = path.resolve(__dirname, '..', '..', '..');
const STOP_MS = 10000;
const READY_MS = 20000;
const isRoot = process.getuid() === 0;

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, check, limitMs = READY_MS) {
  const end = Date.now() + limitMs;
  let why;
  do {
    try {
      if (await check()) return;
    } catch (error) {
      why = error;
    }
    await sleep(20);
  } while (Date.now() < end);
  throw new Error(`${what}: not within ${limitMs} ms${why ? ` (${why.message})` : ''}`);
}

function freePort() {
  return new Promise((done, failed) => {
    const probe = net.createServer().on('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

class Box {
  constructor() {
    this.dir = fs.mkdtempSync(path.join(process.env.TMPDIR || os.tmpdir(), 'dealflow-bench-'));
    fs.chmodSync(this.dir, 0o711); // Postgres runs as another user and must get through
    this.children = [];
    process.on('exit', () => { // --help and wrong usage leave early, with nothing started
      if (this.children.length === 0) this.remove();
    });
    for (const signal of ['SIGINT', 'SIGTERM']) {
      process.on(signal, () => this.close().then(() => process.exit(130)));
    }
  }

  file(name) {
    return path.join(this.dir, name);
  }

  /** Starts a program whose output goes to NAME.log; the child is stopped with the box. */
  start(name, command, args, options = {}) {
    const log = this.file(`${name}.log`);
    const out = fs.openSync(log, 'a');
    const child = spawn(command, args, { stdio: ['ignore', out, out], ...options });
    fs.closeSync(out);
    child.log = log;
    child.stopSignal = options.stopSignal || 'SIGTERM';
    child.ended = new Promise((done) => {
      child.on('exit', (code, signal) => {
        child.end = signal || `exit ${code}`;
        done();
      });
      child.on('error', (error) => {
        child.end = error.message;
        done();
      });
    });
    this.children.push(child);
    return child;
  }

  /** Waits until check() is true; a child that ends instead is reported with the tail of its log. */
  async ready(name, child, check) {
    try {
      await until(name, () => {
        if (child.end) throw new Error(child.end);
        return check();
      });
    } catch (error) {
      const tail = fs.readFileSync(child.log, 'utf8').split('\n').slice(-15).join('\n');
      throw new Error(`${error.message}\n${tail}`);
    }
  }

  async stop(child) {
    if (!child.end) child.kill(child.stopSignal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await child.ended;
    clearTimeout(timer);
    this.children = this.children.filter((other) => other !== child);
  }

  async close() {
    for (const child of [...this.children].reverse()) await this.stop(child);
    if (process.env.BENCH_KEEP) console.error(`kept: ${this.dir}`);
    this.remove();
  }

  remove() {
    if (!process.env.BENCH_KEEP) fs.rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Runs fn with a fresh box and always takes the box down again. */
async function withBox(fn) {
  const box = new Box();
  try {
    await fn(box);
  } catch (error) {
    console.error(`bench: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await box.close();
  }
}

/** Reads --name value options; `known` maps names to defaults, whose type decides how to read. */
function options(known, usage) {
  const found = { ...known };
  const args = process.argv.slice(2);
  while (args.length > 0) {
    const name = args.shift().replace(/^--/, '');
    if (name === 'help') {
      console.log(usage);
      process.exit(0);
    }
    if (!(name in known)) usageError(`unknown option ${name}`, usage);
    if (typeof known[name] === 'boolean') {
      found[name] = true;
      continue;
    }
    const value = args.shift();
    if (value === undefined) usageError(`--${name} needs a value`, usage);
    found[name] = value;
    if (typeof known[name] === 'number') {
      found[name] = Number(value);
      if (!(found[name] > 0)) usageError(`--${name} needs a positive number`, usage);
    }
  }
  return found;
}

function usageError(text, usage) {
  console.error(`${text}\n${usage}`);
  process.exit(64);
}

const run = (command, args, settings = {}) =>
  execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 26, ...settings });

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

module.exports = { ROOT, isRoot, sleep, until, freePort, withBox, options, run, median };
