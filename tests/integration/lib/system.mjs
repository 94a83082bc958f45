// A whole system for one test: Postgres, fake model server, the program, nginx.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import pg from 'pg';
import { Model } from './model.mjs';
import { Nginx } from './nginx.mjs';
import { migrate, startPostgres } from './postgres.mjs';
import { Program } from './program.mjs';
import { keepAlive, request } from './http.mjs';
import { JWT_SECRET, token } from './tokens.mjs';

export const OWNER = 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa';
export const SESSION = 'ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c';
export const OTHER_OWNER = 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb';
export const OTHER_SESSION = 'cd54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4d';
export const FUNCTION = '/functions/v1/monitor-realtime-stream';

const FIXTURE = `
  insert into auth.users (id, email) values
    ('${OWNER}', 'owner@example.test'), ('${OTHER_OWNER}', 'other@example.test');
  insert into public.stream_sessions (id, user_id, platform) values
    ('${SESSION}', '${OWNER}', 'whatnot'), ('${OTHER_SESSION}', '${OTHER_OWNER}', 'whatnot')`;

// Sockets live below it, and their paths may be 107 bytes long at most.
export function temporaryFolder(name) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), `df-${name}-`));
  fs.chmodSync(dir, 0o755);
  return dir;
}

// One Postgres for all systems of a test file, which get a database each.
let shared;
let databases = 0;
after(async () => {
  if (shared) await (await shared).remove();
});

async function connectTo(server, database) {
  const client = new pg.Client({ host: server.socketDir, port: server.port, user: 'postgres', database });
  client.on('error', () => {}); // a stopped server is what some tests are about
  await client.connect();
  return client;
}

async function runSql(server, sql) {
  const client = await connectTo(server, 'postgres');
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

// A migrated database. The first one of a server becomes the template of the others.
const templates = new WeakSet();
async function createDatabase(server, name) {
  if (!templates.has(server)) {
    await runSql(server, 'create database template_dealflow');
    const { code, stderr } = await migrate(server.socketUrl('postgres', 'template_dealflow'));
    if (code !== 0) throw new Error(`sql/migrate: ${stderr}`);
    templates.add(server);
  }
  await runSql(server, `create database ${name} template template_dealflow`);
}

class System {
  constructor(dir) {
    this.dir = dir;
    this.agent = keepAlive(256);
    this.settings = {};
    this.clients = [];
  }

  // A new connection to the database of this system, closed with it.
  async connect() {
    const client = await connectTo(this.postgres, this.database);
    this.clients.push(client);
    return client;
  }

  // After Postgres was away: the old connection is dead.
  async reconnect() {
    await this.db?.end().catch(() => {});
    this.db = await this.connect();
  }

  writeJwks(keys) {
    this.jwksFile = path.join(this.dir, 'jwks.json');
    fs.writeFileSync(`${this.jwksFile}.new`, JSON.stringify({ keys }));
    fs.renameSync(`${this.jwksFile}.new`, this.jwksFile);
  }

  // Empties what requests write, and forgets what the model was asked.
  async clean() {
    await this.db.query(`
      truncate public.chat_messages, public.sales_captured, public.message_analysis, dealflow.change_log;
      update public.stream_sessions set total_sales_caught = 0, total_revenue_recovered = 0`);
    this.model.clear();
  }

  token(claims) {
    return token({ secret: this.settings.JWT_SECRET, ...claims });
  }

  request(where, options) {
    return request(this.url + where, { agent: this.agent, ...options });
  }

  // Posts a message to the function. body: an object, text or bytes. options.token: the caller's,
  // the service's unless options.headers says everything.
  async post(body, { token: bearer, headers, path: where = FUNCTION, ...more } = {}) {
    const all = { 'content-type': 'application/json', ...headers };
    if (bearer !== undefined || headers === undefined) {
      this.serviceToken ??= await this.token();
      all.authorization = `Bearer ${bearer ?? this.serviceToken}`;
    }
    const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    return this.request(where, { method: 'POST', headers: all, body: text, ...more });
  }

  // Ends everything. Fails when the program left a leak, a sanitizer's complaint, or another exit
  // status than 0; unclean: the test ended it in its own way, only complaints count.
  async stop({ unclean = false } = {}) {
    this.agent.destroy();
    const problems = [];
    const attempt = (what) => what?.catch((error) => problems.push(error));
    await attempt(this.nginx?.stop());
    if (this.program) {
      if (unclean) await attempt(this.program.child?.stop('SIGKILL'));
      else await attempt(this.program.stop());
      await attempt((async () => this.program.complaints())());
    }
    await attempt(this.model?.stop());
    for (const client of this.clients) await client.end().catch(() => {});
    if (this.ownsPostgres) await attempt(this.postgres.remove());
    this.afterStop?.();
    fs.rmSync(this.dir, { recursive: true, force: true });
    if (problems.length) throw problems[0];
  }
}

// env: settings of the program. settings: those that a test will reload (a file). jwks: public keys.
// postgres: a server of the test's own, which the system ends. nginx: more settings of nginx/render. begin: false leaves
// the program and nginx to the test.
export async function startSystem({ env = {}, settings, jwks, postgres, nginx = {}, launch, begin = true } = {}) {
  const system = new System(temporaryFolder('sys'));
  try {
    system.postgres = postgres ?? (await (shared ??= startPostgres()));
    system.ownsPostgres = postgres !== undefined;
    system.database = `test_${process.pid}_${++databases}`;
    await createDatabase(system.postgres, system.database);
    const url = system.postgres.socketUrl('postgres', system.database);
    system.db = await system.connect();
    await system.db.query(FIXTURE);
    system.model = await new Model().start();
    if (jwks) system.writeJwks(jwks);
    system.settings = {
      DATABASE_URL: url, JWT_SECRET,
      AI_BASE_URL: system.model.url, REANALYZE_INTERVAL_MS: '0',
      ...(jwks ? { JWKS_FILE: system.jwksFile } : {}), ...env,
    };
    system.program = new Program(system.dir, system.settings, launch);
    if (settings) system.program.writeSettings(settings);
    system.nginx = new Nginx(system.dir, {
      FCGI_SOCKET: system.program.socket, METRICS_LISTEN: system.program.metricsSocket,
      AI_TIMEOUT_MS: system.settings.AI_TIMEOUT_MS ?? '8000',
      REQUEST_MAX_BYTES: system.settings.REQUEST_MAX_BYTES ?? '65536', ...nginx,
    });
    if (begin) {
      await system.program.start();
      await system.nginx.start();
      system.url = system.nginx.url;
    }
    return system;
  } catch (error) {
    await system.stop({ unclean: true }).catch(() => {});
    throw error;
  }
}
