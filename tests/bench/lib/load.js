// tests/bench/lib/load.js - realistic chat as request bodies, one run of wrk over them, and where the
// CPU time of that run went.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { ROOT } = require('./box.js');

const BODIES = 20000;
const BUYERS_ONE_IN = 5;
const TICKS_PER_SECOND = 100; // USER_HZ, fixed by the Linux ABI
const ENDPOINT = '/functions/v1/monitor-realtime-stream';

/** A small generator, so that every run posts the same lines. */
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function readChat() {
  const dir = path.join(ROOT, 'shared', 'intent', 'data');
  const lines = fs.readdirSync(dir).filter((name) => name.endsWith('.tsv')).sort()
    .flatMap((name) => fs.readFileSync(path.join(dir, name), 'utf8').trimEnd().split('\n').slice(1));
  return lines.map((line) => {
    const [, username, message, isBuyer, isDirect] = line.split('\t');
    return { username, message, isBuyer: isBuyer === '1', isDirect: isDirect === '1' };
  });
}

/** Writes the body file: every fifth line a labelled direct purchase, the rest no buyer at all, so
 * that about a fifth is captured whichever model judges. */
function writeBodies(file, sessions) {
  const next = random(1);
  const chat = readChat();
  const buyers = chat.filter((line) => line.isDirect);
  const others = chat.filter((line) => !line.isBuyer);
  const pick = (list) => list[Math.floor(next() * list.length)];
  const bodies = Array.from({ length: BODIES }, (_, i) => {
    const { username, message } = pick(i % BUYERS_ONE_IN === 0 ? buyers : others);
    return JSON.stringify({ message, username, platform: 'whatnot', streamSessionId: pick(sessions) });
  });
  fs.writeFileSync(file, `${bodies.join('\n')}\n`);
}

function signedToken(secret, claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(
    { iss: 'dealflow', iat: now, exp: now + 86400, ...claims })}`;
  return `${text}.${crypto.createHmac('sha256', secret).update(text).digest('base64url')}`;
}

const serviceToken = (secret) => signedToken(secret, { role: 'service_role' });

/** utime, stime, cutime, cstime of a process in ticks; zeros when it is gone. */
function ticks(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 15).map(Number);
  } catch {
    return [0, 0, 0, 0];
  }
}

function childrenOf(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean);
  } catch {
    return [];
  }
}

/** CPU seconds of a process, its living children, and the children it has already reaped. Read again
 * when a child came or went meanwhile: it would be missing from both sums, or be in both. */
function cpuSeconds(pid) {
  let children;
  let sum;
  do {
    children = childrenOf(pid);
    sum = [...children.map((child) => ticks(child).slice(0, 2)), ticks(pid)].flat()
      .reduce((total, part) => total + part, 0);
  } while (String(children) !== String(childrenOf(pid)));
  return sum / TICKS_PER_SECOND;
}

const reapedSeconds = () => {
  const [, , user, system] = ticks('self');
  return (user + system) / TICKS_PER_SECOND;
};

/** CPU seconds of the whole machine: spent by anybody here, and taken away by its host. */
function machineSeconds() {
  const [user, nice, system, , , irq, softirq, steal] = fs.readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0].trim().split(/\s+/).slice(1).map(Number);
  return { busy: (user + nice + system + irq + softirq) / TICKS_PER_SECOND, steal: steal / TICKS_PER_SECOND };
}

/** Resident memory in MiB: the highest this process has had. */
function peakRssMib(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)[1]) / 1024;
}

/** Runs wrk and returns its RESULT line as an object; throws when wrk fails. */
function wrk({ url, connections, seconds, threads = 1, bodies, token, script = 'post.lua' }) {
  const args = ['-t', threads, '-c', connections, '-d', `${seconds}s`, '--timeout', '10s',
    '-s', path.join(__dirname, '..', script), url].map(String);
  return new Promise((done, failed) => {
    const child = spawn('wrk', args, {
      env: { ...process.env, BENCH_BODIES: bodies, BENCH_TOKEN: token },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => { text += chunk; });
    child.stderr.on('data', (chunk) => { text += chunk; });
    child.on('error', failed);
    child.on('close', () => {
      const line = /^RESULT (.*)$/m.exec(text);
      if (line) done(JSON.parse(line[1]));
      else failed(new Error(`wrk: ${text.trim()}`));
    });
  });
}

/** One measured run against a contender: speed, latency, transactions, CPU split. */
async function measure(db, contender, load) {
  const groups = { nginx: contender.nginx.pid, program: contender.program.pid, postgres: db.server.pid };
  const cpu = () => Object.fromEntries(
    Object.entries(groups).map(([name, pid]) => [name, cpuSeconds(pid)]));
  const writes = db.writes();
  const machineBefore = machineSeconds();
  const wrkBefore = reapedSeconds();
  const before = cpu();
  const result = await wrk({ ...load, url: contender.url });
  const after = cpu();
  const split = Object.fromEntries(Object.keys(groups).map((name) => [name, after[name] - before[name]]));
  split.wrk = reapedSeconds() - wrkBefore;
  const machine = machineSeconds();
  const ours = Object.values(split).reduce((sum, seconds) => sum + seconds, 0);
  const share = (seconds) => Math.max(0, seconds) / (result.seconds * os.cpus().length);
  result.ok = result.requests - result.refused;
  return {
    ...result,
    rate: result.ok / result.seconds,
    commits: db.writes() - writes,
    cpu: split,
    // What spoils a run: work of others on this machine, and time its host did not give it.
    foreign: share(machine.busy - machineBefore.busy - ours),
    steal: share(machine.steal - machineBefore.steal),
    idle: 1 - share(machine.busy - machineBefore.busy),
    rss: peakRssMib(contender.program.pid),
  };
}

module.exports = { ENDPOINT, writeBodies, signedToken, serviceToken, wrk, measure, cpuSeconds, machineSeconds,
  peakRssMib };
