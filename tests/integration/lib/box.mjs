// A box of one's own: what deploy/up makes, in a temporary folder and on free ports. The commands a
// person types, and looks at what they did. The first start builds build/release (or DEALFLOW_BUILD).
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './wait.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const BUILD_MS = 600_000; // a first build on a busy machine

export class Box {
  // extra: settings for deploy/up besides the folder and the ports.
  static async start(extra = {}) {
    const box = new Box();
    box.dir = mkdtempSync(path.join(tmpdir(), 'df-box-'));
    chmodSync(box.dir, 0o755); // root's programs run as another user
    box.varDir = path.join(box.dir, 'var');
    // No setting of this shell's own may decide how a test ends.
    const { PATH, HOME, DEALFLOW_BUILD } = process.env;
    box.env = {
      PATH, HOME, DEALFLOW_VAR: box.varDir, HTTP_PORT: String(await freePort()),
      POSTGRES_PORT: String(await freePort()), SCRAPER_PORT: String(await freePort()),
      ...(DEALFLOW_BUILD && { DEALFLOW_BUILD }), ...extra,
    };
    try {
      box.printed = await box.must('up', [], { timeoutMs: BUILD_MS });
    } catch (error) {
      await box.stop();
      throw error;
    }
    return box;
  }

  // Runs a command; resolves with status and output, whatever they are.
  run(command, args, { extra = {}, timeoutMs = 120_000 } = {}) {
    return new Promise((done) => {
      execFile(command, args, { cwd: root, env: { ...this.env, ...extra }, timeout: timeoutMs },
        (why, stdout, stderr) => done({ status: why ? why.code ?? 1 : 0, stdout, stderr }));
    });
  }

  // deploy/NAME, which has to succeed; its output.
  async must(name, args = [], options = {}) {
    const result = await this.run(path.join(root, 'deploy', name), args, options);
    assert.equal(result.status, 0, `deploy/${name} failed:\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
  }

  // deploy/up with these settings, which are kept.
  async set(extra) {
    this.printed = await this.must('up', [], { extra });
  }

  // A setting of var/env.
  setting(name) {
    const line = readFileSync(path.join(this.varDir, 'env'), 'utf8').split('\n')
      .findLast((text) => text.startsWith(`${name}=`));
    return line?.slice(name.length + 1).replace(/^'(.*)'$/, '$1');
  }

  // What deploy/up printed beside a word.
  field(name) {
    return this.printed.match(new RegExp(`^  ${name} +(\\S+)$`, 'm'))?.[1];
  }

  get url() {
    return this.field('URL');
  }

  // Asks the private Postgres as its owner; values as psql prints them.
  sql(text) {
    return execFileSync('psql', ['-X', '-A', '-t', '-c', text, this.setting('DATABASE_ADMIN_URL')],
      { encoding: 'utf8' }).trim();
  }

  // A user as a sign-up makes one: {id, token}.
  async user() {
    const id = randomUUID();
    this.sql(`insert into auth.users (id, email) values ('${id}', '${id}@seller.example')`);
    return { id, token: (await this.must('token', ['--user', id])).trim() };
  }

  pidOf(service) {
    return Number(execFileSync('s6-svstat', ['-o', 'pid', path.join(this.varDir, 'service', service)],
      { encoding: 'utf8' }));
  }

  // What a service logged so far.
  log(service) {
    return readFileSync(path.join(this.varDir, 'log', service, 'current'), 'utf8');
  }

  async stop() {
    if (existsSync(this.varDir)) await this.run(path.join(root, 'deploy', 'down'), []);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
