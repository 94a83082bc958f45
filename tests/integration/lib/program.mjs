// The program under test: fcgi/monitor-realtime-stream as the build made it.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './process.mjs';
import { request } from './http.mjs';
import { until } from './wait.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const preset = process.env.DF_PRESET || 'debug';
const buildDir = path.resolve(root, process.env.DF_BUILD_DIR || `build/${preset}`);
export const binary = path.join(buildDir, 'bin/monitor-realtime-stream');

// Says whether the build slows things down so much that times mean little.
export const sanitized = preset !== 'release';

if (!fs.existsSync(binary)) {
  throw new Error(`${path.relative(root, binary)} is missing: run tests/run, or build preset ${preset}`);
}

// Only what a service manager would hand over, plus the sanitizers' own settings.
export const baseEnv = {
  PATH: process.env.PATH,
  LC_ALL: 'C',
  ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0:exitcode=86',
  UBSAN_OPTIONS: 'print_stacktrace=1',
  // A drain that is cut short ends by _exit with its threads at work: no leak, but reported as one.
  TSAN_OPTIONS: `exitcode=86:report_thread_leaks=0:second_deadlock_stack=1${process.env.DF_TSAN_SUPPRESSIONS ? `:suppressions=${process.env.DF_TSAN_SUPPRESSIONS}` : ''}`,
};

const sanitizerTalk = /ERROR: (Address|Leak)Sanitizer|runtime error:|WARNING: ThreadSanitizer|SUMMARY: \w+Sanitizer/;

export class Program {
  // dir: a folder for its sockets. env: its settings; null leaves one unset. launch: how to start it
  // other than by itself, as (binary) => [command, arguments, options of spawn()].
  constructor(dir, env, launch = (file) => [file, []]) {
    this.dir = dir;
    this.launch = launch;
    this.socket = path.join(dir, 'monitor.sock');
    this.metricsSocket = path.join(dir, 'metrics.sock');
    this.env = { FCGI_SOCKET: this.socket, METRICS_LISTEN: this.metricsSocket, ...env };
    this.lives = []; // every process there was, the current one last
  }

  get child() {
    return this.lives[this.lives.length - 1];
  }

  get pid() {
    return this.child.pid;
  }

  // Everything it ever wrote, over all restarts.
  logs() {
    return this.lives.map((life) => life.text).join('');
  }

  spawn() {
    const env = { ...baseEnv, ...this.env };
    for (const name of Object.keys(env)) if (env[name] === null) delete env[name];
    const [command, args, options] = this.launch(binary);
    this.lives.push(new Child(command, args, { env, cwd: this.dir, ...options }));
    return this.child;
  }

  async start({ ready = true } = {}) {
    this.spawn();
    await this.up();
    if (ready) await this.ready();
    return this;
  }

  // Waits until its metrics door answers.
  async up() {
    await until('the program to come up', async () => {
      if (!this.child.running) {
        throw Object.assign(new Error(`it ended with ${this.child.code ?? this.child.signal}`), { final: true });
      }
      return (await this.get('/healthz')).status === 200;
    }, { timeoutMs: 20_000 }).catch((error) => {
      throw new Error(`${error.message}\n${this.child.text.slice(-3000)}`);
    });
  }

  async ready(timeoutMs = 15_000) {
    await until('/readyz to say 200', async () => (await this.get('/readyz')).status === 200, { timeoutMs });
  }

  // Asks the private door: /metrics, /readyz, /healthz.
  get(what) {
    return request({ socketPath: this.metricsSocket, path: what }, { timeoutMs: 5_000 });
  }

  // The value of one metric, labels as they are printed; undefined when it is not there.
  async metric(name) {
    const { body } = await this.get('/metrics');
    const line = body.split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? undefined : Number(line.slice(name.length + 1));
  }

  kill(signal = 'SIGKILL') {
    process.kill(this.pid, signal);
  }

  // Ends this life with `signal` and begins the next.
  async restart(signal = 'SIGTERM') {
    if (signal === 'SIGTERM') await this.stop(); // and it must end as it should
    else await this.child.stop(signal);
    await this.start();
  }

  // SIGHUP, and wait until it counts a reload. Settings that changed come from `settings`: they are
  // written to the file that the program reads anew (a process cannot see a new environment).
  async reload(settings) {
    if (settings) this.writeSettings(settings);
    const before = await this.metric('dealflow_reloads_total');
    this.kill('SIGHUP');
    await until('the reload to be counted', async () =>
      (await this.metric('dealflow_reloads_total')) > before);
  }

  // From the next start or reload on.
  writeSettings(settings) {
    this.env.DEALFLOW_ENV_FILE ??= path.join(this.dir, 'settings.env');
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    fs.writeFileSync(this.env.DEALFLOW_ENV_FILE, lines.join(''));
  }

  // Drains it. A leak, a sanitizer's complaint or an exit status other than 0 is a failed test.
  async stop() {
    if (this.child === undefined) return;
    const ended = await this.child.stop('SIGTERM');
    this.complaints();
    if (ended.code !== 0) {
      throw new Error(`the program ended with ${ended.code ?? ended.signal}:\n${ended.text.slice(-4000)}`);
    }
  }

  complaints() {
    for (const life of this.lives) {
      if (sanitizerTalk.test(life.text)) {
        const at = life.text.search(sanitizerTalk);
        throw new Error(`a sanitizer complained:\n${life.text.slice(at, at + 6000)}`);
      }
    }
  }
}
