// Child processes that never outlive the test run.
import { spawn } from 'node:child_process';
import { until } from './wait.mjs';

const alive = new Set();
process.on('exit', () => {
  for (const child of alive) child.signalNow('SIGKILL');
});
// Node ends without 'exit' handlers on a signal; the runner sends one when a file takes too long.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => process.exit(1));
}

export class Child {
  // `options` are those of spawn(); stdout and stderr are collected.
  constructor(command, args, options = {}) {
    this.command = command;
    this.text = '';
    this.stdout = '';
    this.code = null;
    this.signal = null;
    this.running = true;
    this.handle = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    alive.add(this);
    for (const stream of [this.handle.stdout, this.handle.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', (piece) => {
        this.text += piece;
        if (stream === this.handle.stdout) this.stdout += piece;
      });
    }
    this.ended = new Promise((resolve) => {
      const done = (code, signal) => {
        this.running = false;
        this.code = code;
        this.signal = signal;
        alive.delete(this);
        resolve(this);
      };
      this.handle.once('close', done);
      this.handle.once('error', (error) => {
        this.text += `${command}: ${error.message}\n`;
        done(127, null);
      });
    });
  }

  get pid() {
    return this.handle.pid;
  }

  signalNow(signal) {
    try {
      this.handle.kill(signal);
    } catch {
      // it was gone already
    }
  }

  // Ends it and waits until it is gone: first with `signal`, after `graceMs` without mercy.
  async stop(signal = 'SIGTERM', graceMs = 15_000) {
    if (!this.running) return this;
    this.signalNow(signal);
    const hammer = setTimeout(() => {
      this.text += `\n[test: ${this.command} ignored ${signal} for ${graceMs} ms and was killed]\n`;
      this.signalNow('SIGKILL');
    }, graceMs);
    await this.ended;
    clearTimeout(hammer);
    return this;
  }

  // Waits until its output holds `pattern` (RegExp) at or after position `from`.
  async sees(pattern, { from = 0, timeoutMs = 10_000 } = {}) {
    return until(`${pattern} in the output of ${this.command}:\n${this.text.slice(-2000)}`, () => {
      const found = this.text.slice(from).match(pattern);
      if (!found && !this.running) {
        throw Object.assign(new Error(`${this.command} ended with ${this.code ?? this.signal}`), { final: true });
      }
      return found;
    }, { timeoutMs });
  }
}

// Runs a command to its end: {code, stdout, text}.
export async function run(command, args, { input, timeoutMs = 60_000, ...options } = {}) {
  const child = new Child(command, args, {
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...options,
  });
  if (input !== undefined) {
    child.handle.stdin.on('error', () => {}); // it may end without reading all
    child.handle.stdin.end(input);
  }
  const hammer = setTimeout(() => child.signalNow('SIGKILL'), timeoutMs);
  await child.ended;
  clearTimeout(hammer);
  return child;
}
